"""The management API: Azure Resource Manager's paths for what this workspace holds."""

from __future__ import annotations

from kyanite.server.context import ServerContext
from kyanite.server.management.service import ManagementService


def open_service(context: ServerContext) -> ManagementService:
    """For the table of services."""
    return ManagementService(context)
