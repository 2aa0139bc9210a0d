"""Microsoft.Batch as Resource Manager has it: accounts, their keys, pools, applications."""

from __future__ import annotations

from kyanite.server.management.arm import GROUP, Provider, Route
from kyanite.server.management.batch import accounts, applications, pools
from kyanite.server.management.batch.documents import NAMESPACE

_SUBSCRIPTION = f"/subscriptions/{{subscription}}/providers/{NAMESPACE}"
_ACCOUNTS = f"{GROUP}/providers/{NAMESPACE}/batchAccounts"
_ACCOUNT = f"{_ACCOUNTS}/{{account}}"
_POOL = f"{_ACCOUNT}/pools/{{pool}}"
_APPLICATION = f"{_ACCOUNT}/applications/{{application}}"
_VERSION = f"{_APPLICATION}/versions/{{version}}"
_LOCATION = f"{_SUBSCRIPTION}/locations/{{location}}"
_LINK = f"{_ACCOUNT}/privateEndpointConnections"
_PERIMETER = f"{_ACCOUNT}/networkSecurityPerimeterConfigurations"

ROUTES = (
    Route("PUT", _ACCOUNT, "BatchAccount_Create", "admin", accounts.create),
    Route("PATCH", _ACCOUNT, "BatchAccount_Update", "admin", accounts.update),
    Route("GET", _ACCOUNT, "BatchAccount_Get", "reader", accounts.get),
    Route("DELETE", _ACCOUNT, "BatchAccount_Delete", "admin", accounts.delete),
    Route("GET", _ACCOUNTS, "BatchAccount_ListByResourceGroup", "reader", accounts.list_all),
    Route("GET", f"{_SUBSCRIPTION}/batchAccounts", "BatchAccount_List", "reader", accounts.list_all),
    Route("POST", f"{_ACCOUNT}/listKeys", "BatchAccount_GetKeys", "author", accounts.list_keys),
    Route("POST", f"{_ACCOUNT}/regenerateKeys", "BatchAccount_RegenerateKey", "admin", accounts.regenerate_key),
    Route(
        "POST",
        f"{_ACCOUNT}/syncAutoStorageKeys",
        "BatchAccount_SynchronizeAutoStorageKeys",
        "operator",
        accounts.sync_keys,
    ),
    Route(
        "GET",
        f"{_ACCOUNT}/outboundNetworkDependenciesEndpoints",
        "BatchAccount_ListOutboundNetworkDependenciesEndpoints",
        "reader",
    ),
    Route("GET", f"{_ACCOUNT}/detectors", "BatchAccount_ListDetectors", "reader"),
    Route("GET", f"{_ACCOUNT}/detectors/{{detector}}", "BatchAccount_GetDetector", "reader"),
    Route("PUT", _POOL, "Pool_Create", "author", pools.create),
    Route("PATCH", _POOL, "Pool_Update", "author", pools.update),
    Route("GET", _POOL, "Pool_Get", "reader", pools.get),
    Route("DELETE", _POOL, "Pool_Delete", "author", pools.delete),
    Route("GET", f"{_ACCOUNT}/pools", "Pool_ListByBatchAccount", "reader", pools.list_all),
    Route("POST", f"{_POOL}/stopResize", "Pool_StopResize", "operator", pools.stop_resize),
    Route("POST", f"{_POOL}/disableAutoScale", "Pool_DisableAutoScale", "operator", pools.disable_autoscale),
    Route("PUT", _APPLICATION, "Application_Create", "author", applications.create),
    Route("PATCH", _APPLICATION, "Application_Update", "author", applications.update),
    Route("GET", _APPLICATION, "Application_Get", "reader", applications.get),
    Route("DELETE", _APPLICATION, "Application_Delete", "author", applications.delete),
    Route("GET", f"{_ACCOUNT}/applications", "Application_List", "reader", applications.list_all),
    Route("PUT", _VERSION, "ApplicationPackage_Create", "author", applications.create_package),
    Route("POST", f"{_VERSION}/activate", "ApplicationPackage_Activate", "author", applications.activate_package),
    Route("GET", _VERSION, "ApplicationPackage_Get", "reader", applications.get_package),
    Route("DELETE", _VERSION, "ApplicationPackage_Delete", "author", applications.delete_package),
    Route("GET", f"{_APPLICATION}/versions", "ApplicationPackage_List", "reader", applications.list_packages),
    Route("GET", f"{_LOCATION}/quotas", "Location_GetQuotas", "reader", accounts.quotas),
    Route(
        "POST", f"{_LOCATION}/checkNameAvailability", "Location_CheckNameAvailability", "reader", accounts.check_name
    ),
    Route("GET", f"{_LOCATION}/virtualMachineSkus", "Location_ListSupportedVirtualMachineSkus", "reader"),
    Route("GET", f"/providers/{NAMESPACE}/operations", "Operations_List", "reader"),
    Route("GET", f"{_ACCOUNT}/privateLinkResources", "PrivateLinkResource_ListByBatchAccount", "reader"),
    Route("GET", f"{_ACCOUNT}/privateLinkResources/{{resource}}", "PrivateLinkResource_Get", "reader"),
    Route("GET", _LINK, "PrivateEndpointConnection_ListByBatchAccount", "reader"),
    Route("GET", f"{_LINK}/{{connection}}", "PrivateEndpointConnection_Get", "reader"),
    Route("PATCH", f"{_LINK}/{{connection}}", "PrivateEndpointConnection_Update", "admin"),
    Route("DELETE", f"{_LINK}/{{connection}}", "PrivateEndpointConnection_Delete", "admin"),
    Route("GET", _PERIMETER, "NetworkSecurityPerimeter_ListConfigurations", "reader"),
    Route("GET", f"{_PERIMETER}/{{configuration}}", "NetworkSecurityPerimeter_GetConfiguration", "reader"),
    Route(
        "POST", f"{_PERIMETER}/{{configuration}}/reconcile", "NetworkSecurityPerimeter_ReconcileConfiguration", "admin"
    ),
)


def provider() -> Provider:
    """For the table of namespaces."""
    return Provider(NAMESPACE, ROUTES)
