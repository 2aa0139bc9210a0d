"""The operations of Microsoft.Storage."""

from __future__ import annotations

from kyanite.server.management.arm import GROUP, Handler, Route
from kyanite.server.management.storage import accounts, containers

_NAMESPACE = "/providers/Microsoft.Storage"
_SUBSCRIPTION = "/subscriptions/{subscription}" + _NAMESPACE
_ACCOUNT = GROUP + _NAMESPACE + "/storageAccounts/{account}"
_BLOBS = _ACCOUNT + "/blobServices"
_CONTAINER = _BLOBS + "/default/containers/{container}"


def _at(template: str, *operations: tuple[str, str, str, Handler | None]) -> tuple[Route, ...]:
    return tuple(Route(method, template, name, role, handler) for method, name, role, handler in operations)


ROUTES: tuple[Route, ...] = (
    *_at(_SUBSCRIPTION + "/storageAccounts", ("GET", "StorageAccounts_List", "reader", accounts.list_all)),
    *_at(
        GROUP + _NAMESPACE + "/storageAccounts",
        ("GET", "StorageAccounts_ListByResourceGroup", "reader", accounts.list_all),
    ),
    *_at(
        _SUBSCRIPTION + "/checkNameAvailability",
        ("POST", "StorageAccounts_CheckNameAvailability", "reader", accounts.check_name),
    ),
    *_at(_SUBSCRIPTION + "/skus", ("GET", "Skus_List", "reader", None)),
    *_at(_SUBSCRIPTION + "/usages", ("GET", "Usages_List", "reader", None)),
    *_at(
        _ACCOUNT,
        ("GET", "StorageAccounts_GetProperties", "reader", accounts.get),
        ("PUT", "StorageAccounts_Create", "author", accounts.put),
        ("PATCH", "StorageAccounts_Update", "author", accounts.patch),
        ("DELETE", "StorageAccounts_Delete", "admin", accounts.delete),
    ),
    *_at(_ACCOUNT + "/listKeys", ("POST", "StorageAccounts_ListKeys", "admin", accounts.list_keys)),
    *_at(_ACCOUNT + "/regenerateKey", ("POST", "StorageAccounts_RegenerateKey", "admin", accounts.regenerate_key)),
    *_at(_ACCOUNT + "/ListAccountSas", ("POST", "StorageAccounts_ListAccountSAS", "admin", None)),
    *_at(_ACCOUNT + "/ListServiceSas", ("POST", "StorageAccounts_ListServiceSAS", "admin", None)),
    *_at(_ACCOUNT + "/failover", ("POST", "StorageAccounts_Failover", "admin", None)),
    *_at(_BLOBS, ("GET", "BlobServices_List", "reader", containers.list_services)),
    *_at(
        _BLOBS + "/default",
        ("GET", "BlobServices_GetServiceProperties", "reader", containers.get_service),
        ("PUT", "BlobServices_SetServiceProperties", "author", None),
    ),
    *_at(_BLOBS + "/default/containers", ("GET", "BlobContainers_List", "reader", containers.list_all)),
    *_at(
        _CONTAINER,
        ("GET", "BlobContainers_Get", "reader", containers.get),
        ("PUT", "BlobContainers_Create", "author", containers.put),
        ("PATCH", "BlobContainers_Update", "author", containers.patch),
        ("DELETE", "BlobContainers_Delete", "admin", containers.delete),
    ),
    *_at(_CONTAINER + "/lease", ("POST", "BlobContainers_Lease", "author", None)),
    *_at(_ACCOUNT + "/managementPolicies/default", ("GET", "ManagementPolicies_Get", "reader", None)),
)
