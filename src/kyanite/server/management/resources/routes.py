"""The operations of Microsoft.Resources."""

from __future__ import annotations

from kyanite.server.management.arm import GROUP, Handler, Route
from kyanite.server.management.resources import deployments, groups, subscriptions

_SUBSCRIPTION = "/subscriptions/{subscription}"
_DEPLOYMENTS = "/providers/Microsoft.Resources/deployments"
_ONE = GROUP + _DEPLOYMENTS + "/{deployment}"
_OPERATIONS = GROUP + "/deployments/{deployment}/operations"  # the clients' own spelling, without a provider


def _at(template: str, *operations: tuple[str, str, str, Handler | None]) -> tuple[Route, ...]:
    return tuple(Route(method, template, name, role, handler) for method, name, role, handler in operations)


ROUTES: tuple[Route, ...] = (
    *_at("/tenants", ("GET", "Tenants_List", "reader", subscriptions.list_tenants)),
    *_at("/subscriptions", ("GET", "Subscriptions_List", "reader", subscriptions.list_all)),
    *_at(_SUBSCRIPTION, ("GET", "Subscriptions_Get", "reader", subscriptions.get)),
    *_at(_SUBSCRIPTION + "/locations", ("GET", "Subscriptions_ListLocations", "reader", subscriptions.list_locations)),
    *_at("/providers", ("GET", "Providers_ListAtTenantScope", "reader", subscriptions.list_providers)),
    *_at("/providers/{namespace}", ("GET", "Providers_GetAtTenantScope", "reader", subscriptions.get_provider)),
    *_at(_SUBSCRIPTION + "/providers", ("GET", "Providers_List", "reader", subscriptions.list_providers)),
    *_at(_SUBSCRIPTION + "/providers/{namespace}", ("GET", "Providers_Get", "reader", subscriptions.get_provider)),
    *_at(
        _SUBSCRIPTION + "/providers/{namespace}/register",
        ("POST", "Providers_Register", "author", subscriptions.get_provider),
    ),
    *_at(
        _SUBSCRIPTION + "/providers/{namespace}/unregister",
        ("POST", "Providers_Unregister", "admin", None),
    ),
    *_at(_SUBSCRIPTION + "/resources", ("GET", "Resources_List", "reader", groups.list_resources)),
    *_at(_SUBSCRIPTION + "/resourceGroups", ("GET", "ResourceGroups_List", "reader", groups.list_all)),
    *_at(
        GROUP,
        ("GET", "ResourceGroups_Get", "reader", groups.get),
        ("HEAD", "ResourceGroups_CheckExistence", "reader", groups.exists),
        ("PUT", "ResourceGroups_CreateOrUpdate", "author", groups.put),
        ("PATCH", "ResourceGroups_Update", "author", groups.patch),
        ("DELETE", "ResourceGroups_Delete", "admin", groups.delete),
    ),
    *_at(GROUP + "/resources", ("GET", "Resources_ListByResourceGroup", "reader", groups.list_resources)),
    *_at(GROUP + "/exportTemplate", ("POST", "ResourceGroups_ExportTemplate", "reader", groups.export_template)),
    *_at(GROUP + "/moveResources", ("POST", "Resources_MoveResources", "admin", None)),
    *_at(GROUP + _DEPLOYMENTS, ("GET", "Deployments_ListByResourceGroup", "reader", deployments.list_all)),
    *_at(
        _ONE,
        ("GET", "Deployments_Get", "reader", deployments.get),
        ("HEAD", "Deployments_CheckExistence", "reader", deployments.exists),
        ("PUT", "Deployments_CreateOrUpdate", "author", deployments.put),
        ("DELETE", "Deployments_Delete", "author", deployments.delete),
    ),
    *_at(_ONE + "/validate", ("POST", "Deployments_Validate", "author", deployments.validate)),
    *_at(_ONE + "/whatIf", ("POST", "Deployments_WhatIf", "author", deployments.tell_what_if)),
    *_at(_ONE + "/cancel", ("POST", "Deployments_Cancel", "author", None)),
    *_at(_ONE + "/exportTemplate", ("POST", "Deployments_ExportTemplate", "reader", None)),
    *_at(_ONE + "/operations", ("GET", "DeploymentOperations_List", "reader", deployments.list_operations)),
    *_at(_ONE + "/operations/{operation}", ("GET", "DeploymentOperations_Get", "reader", deployments.get_operation)),
    *_at(_OPERATIONS, ("GET", "DeploymentOperations_ListByName", "reader", deployments.list_operations)),
    *_at(_OPERATIONS + "/{operation}", ("GET", "DeploymentOperations_GetByName", "reader", deployments.get_operation)),
    *_at(
        _ONE + "/operationStatuses/{operation}",
        ("GET", "Deployments_GetOperationStatus", "reader", deployments.get_status),
    ),
    *_at(
        _SUBSCRIPTION + _DEPLOYMENTS + "/{deployment}",
        ("GET", "Deployments_GetAtSubscriptionScope", "reader", None),
        ("PUT", "Deployments_CreateOrUpdateAtSubscriptionScope", "author", None),
    ),
)
