"""The storage service: accounts of the workspace over the protocols of Blob storage and Data Lake Storage."""

from __future__ import annotations

from kyanite.server.context import ServerContext
from kyanite.server.storage.service import StorageService


def open_service(context: ServerContext) -> StorageService:
    """For the table of services."""
    return StorageService(context)
