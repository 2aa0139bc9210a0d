"""The Batch data plane over HTTP, as the official clients speak it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kyanite.server.batch.service import BatchRest
    from kyanite.server.context import ServerContext


def open_service(context: ServerContext) -> BatchRest:
    """For the table of services."""
    from kyanite.server.batch.service import BatchRest

    return BatchRest(context)
