"""Microsoft.Storage: storage accounts, their keys and containers."""

from __future__ import annotations

from kyanite.server.management.arm import Provider
from kyanite.server.management.storage.routes import ROUTES


def provider() -> Provider:
    """For the table of providers."""
    return Provider("Microsoft.Storage", ROUTES)
