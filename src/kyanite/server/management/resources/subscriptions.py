"""Subscriptions, tenants, locations and providers: a workspace has one of each, under any id that a client uses."""

from __future__ import annotations

from typing import Any
from uuid import NAMESPACE_URL, uuid5

from kyanite.errors import NotFoundError
from kyanite.server.http import Response
from kyanite.server.management.arm import ArmCall, Route
from kyanite.server.tokens import TENANT_ID

Json = Any
SUBSCRIPTION_ID = str(uuid5(NAMESPACE_URL, "kyanite:subscription"))
LOCATION = "local"
# of providers that answer any version: what clients that ask first then take
_USUAL_VERSIONS = ("2025-04-01", "2024-07-01", "2023-05-01", "2021-04-01", "2019-06-01")


async def list_tenants(call: ArmCall) -> Response:
    """The workspace's tenant."""
    tenant = {"id": f"/tenants/{TENANT_ID}", "tenantId": TENANT_ID, "displayName": "kyanite", "tenantCategory": "Home"}
    return Response.json({"value": [tenant]})


async def list_all(call: ArmCall) -> Response:
    """The workspace as the only subscription."""
    return Response.json({"value": [_subscription(SUBSCRIPTION_ID)]})


async def get(call: ArmCall) -> Response:
    """The workspace under the id that was asked for."""
    return Response.json(_subscription(call.subscription))


def _subscription(identity: str) -> dict[str, Json]:
    return {
        "id": f"/subscriptions/{identity}",
        "subscriptionId": identity,
        "tenantId": TENANT_ID,
        "displayName": "kyanite",
        "state": "Enabled",
        "subscriptionPolicies": {"spendingLimit": "Off"},
        "authorizationSource": "RoleBased",
        "managedByTenants": [],
    }


async def list_locations(call: ArmCall) -> Response:
    """The machine that it runs on."""
    one = {
        "id": f"/subscriptions/{call.subscription}/locations/{LOCATION}",
        "name": LOCATION,
        "displayName": "This machine",
        "regionalDisplayName": "This machine",
        "metadata": {"regionType": "Physical"},
    }
    return Response.json({"value": [one]})


async def list_providers(call: ArmCall) -> Response:
    """The namespaces of the route tables."""
    from kyanite.server.management.providers import load_providers

    found = [_provider(call, each.namespace, each.routes, each.api_versions) for each in load_providers().values()]
    return Response.json({"value": found})


async def get_provider(call: ArmCall) -> Response:
    """One namespace with its resource types; it needs no registration, so registering it answers the same."""
    from kyanite.server.management.providers import load_providers

    one = load_providers().get(call.names["namespace"].lower())
    if one is None:
        known = ", ".join(each.namespace for each in load_providers().values())
        raise NotFoundError(f"There is no resource provider '{call.names['namespace'][:80]}'. There are: {known}.")
    return Response.json(_provider(call, one.namespace, one.routes, one.api_versions))


def _provider(call: ArmCall, namespace: str, routes: tuple[Route, ...], versions: tuple[str, ...]) -> dict[str, Json]:
    types = sorted({kind for route in routes if (kind := _type_of(route.template, namespace))})
    answer: dict[str, Json] = {
        "namespace": namespace,
        "registrationState": "Registered",
        "registrationPolicy": "RegistrationFree",
        "resourceTypes": [
            {"resourceType": kind, "locations": [LOCATION], "apiVersions": list(versions or _USUAL_VERSIONS)}
            for kind in types
        ],
    }
    if call.subscription:
        answer["id"] = f"/subscriptions/{call.subscription}/providers/{namespace}"
    return answer


def _type_of(template: str, namespace: str) -> str:
    """`factories/pipelines` from `.../providers/Microsoft.DataFactory/factories/{factory}/pipelines/{name}`."""
    parts = template.strip("/").split("/")
    lower = [part.lower() for part in parts]
    if namespace.lower() not in lower:
        return ""
    below = parts[lower.index(namespace.lower()) + 1 :]
    if len(below) % 2 or not all(each.startswith("{") for each in below[1::2]):
        return ""
    return "/".join(below[::2])
