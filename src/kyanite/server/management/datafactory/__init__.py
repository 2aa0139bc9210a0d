"""Microsoft.DataFactory: factories, their documents and their runs."""

from __future__ import annotations

from kyanite.server.management.arm import Provider


def provider() -> Provider:
    """For the table of providers."""
    from kyanite.server.management.datafactory.names import API_VERSION
    from kyanite.server.management.datafactory.routes import ROUTES

    return Provider("Microsoft.DataFactory", ROUTES, (API_VERSION,))
