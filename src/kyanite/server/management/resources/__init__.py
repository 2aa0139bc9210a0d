"""Microsoft.Resources: subscriptions, resource groups, providers and deployments of ARM templates."""

from __future__ import annotations

from kyanite.server.management.arm import Provider
from kyanite.server.management.resources.routes import ROUTES


def provider() -> Provider:
    """For the table of providers."""
    return Provider("Microsoft.Resources", ROUTES)
