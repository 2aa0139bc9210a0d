"""Who answers for which namespace."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from kyanite.server.management.arm import Provider

# namespace in lower case -> "module:function" that gives its Provider; paths without a namespace (subscriptions,
# resource groups, /providers, /tenants) are those of microsoft.resources
PROVIDERS: dict[str, str] = {
    "microsoft.batch": "kyanite.server.management.batch:provider",
    "microsoft.datafactory": "kyanite.server.management.datafactory:provider",
    "microsoft.resources": "kyanite.server.management.resources:provider",
    "microsoft.storage": "kyanite.server.management.storage:provider",
}

RESOURCES = "microsoft.resources"


@cache
def load_providers() -> dict[str, Provider]:
    """Every provider by its namespace in lower case."""
    found = {}
    for namespace, reference in PROVIDERS.items():
        module, _, function = reference.partition(":")
        found[namespace] = getattr(import_module(module), function)()
    return found
