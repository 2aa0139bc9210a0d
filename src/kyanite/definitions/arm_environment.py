"""Where an ARM template is deployed to: the values its functions read, given by the caller."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from kyanite.errors import TemplateError, UnsupportedError

Json = Any
NO_ID = "00000000-0000-0000-0000-000000000000"

ListKeys = Callable[[str, str, str], Sequence[str] | Mapping[str, Json]]


def _no_keys(kind: str, name: str, api_version: str) -> Sequence[str]:
    raise UnsupportedError(f"No keys can be listed for {kind} {name!r} here.", cure="Deploy the template instead.")


@dataclass(frozen=True)
class Environment:
    """Subscription, resource group and region of a deployment, and the services behind a template's functions.

    `list_keys` (type, name, api version) gives the account's keys, primary first, which are then shaped as the service
    answers for that api version; a mapping is taken as the ready answer. `providers` (namespace, type) gives the api
    versions, newest first, of a type that is not in our own table. `exists` (type, name) says whether a resource that
    the template does not make is there; `refuse` is told type, name and place of everything that would be made, before
    anything of it is evaluated. `now` and `new_guid` are for utcNow() and newGuid().
    """

    subscription_id: str = NO_ID
    tenant_id: str = NO_ID
    resource_group: str = "kyanite"
    location: str = "local"
    list_keys: ListKeys = _no_keys
    providers: Callable[[str, str], Sequence[str] | None] | None = None
    deployment_name: str = "kyanite"
    exists: Callable[[str, str], bool] = lambda kind, name: False
    refuse: Callable[[Sequence[tuple[str, str, str]]], None] = lambda resources: None
    now: Callable[[], datetime] | None = None
    new_guid: Callable[[], UUID] | None = None

    @property
    def resource_group_id(self) -> str:
        """The id that resource ids of this deployment begin with."""
        return f"/subscriptions/{self.subscription_id}/resourceGroups/{self.resource_group}"


class FunctionScope(Protocol):
    """What a template function may ask for besides its arguments."""

    @property
    def environment(self) -> Environment:
        """Where the template is deployed to."""

    def parameter(self, name: str) -> Json:
        """The value of a template parameter."""

    def variable(self, name: str) -> Json:
        """The value of a template variable."""

    def copy_index(self, loop: str | None) -> int:
        """The counter of a copy loop, the innermost one when no name is given."""

    def find(self, name_or_id: str) -> tuple[str, str]:
        """Type and full name of a resource given by id, partial id or bare name."""

    def reference(self, name_or_id: str, *, full: bool) -> Json:
        """The run-time state of a resource of this template, or of one that exists."""

    def references(self, symbol: str, *, full: bool) -> list[Json]:
        """The run-time states of what a copy loop makes."""

    def local(self, name: str) -> Json:
        """The value of a lambda's variable."""

    def counted(self, value: Json) -> Json:
        """What a lambda gave, its size counted against what the whole template may make."""

    def with_locals(self, values: Mapping[str, Json]) -> FunctionScope:
        """The scope inside a lambda's body."""


def split_id(text: str) -> tuple[str, str] | None:
    """Type and full name in a resource id or partial id (`Ns/type/name/sub/name`); None for a bare name."""
    marker = text.lower().rfind("/providers/")
    parts = (text[marker + len("/providers/") :] if marker >= 0 else text).strip("/").split("/")
    if len(parts) < 3 or len(parts) % 2 == 0 or "." not in parts[0]:
        return None
    return "/".join([parts[0], *parts[1::2]]), "/".join(parts[2::2])


_API_VERSIONS: Mapping[str, tuple[str, ...]] = {
    "microsoft.batch/batchaccounts": ("2024-07-01", "2020-05-01"),
    "microsoft.batch/batchaccounts/pools": ("2024-07-01", "2020-05-01"),
    "microsoft.datafactory/factories": ("2018-06-01",),
    "microsoft.keyvault/vaults": ("2023-07-01",),
    "microsoft.storage/storageaccounts": ("2023-05-01", "2019-06-01"),
}


def provider(environment: Environment, namespace: str, kind: str) -> Json:
    """The answer of `providers('ns','type')`: `{resourceType, locations, apiVersions}`."""
    found: Sequence[str] | None = _API_VERSIONS.get(f"{namespace}/{kind}".lower())
    if found is None and environment.providers is not None:
        found = environment.providers(namespace, kind)
    if found is None:
        known = ", ".join(sorted(_API_VERSIONS))
        raise UnsupportedError(
            f"providers('{namespace}', '{kind}') is not known here.",
            cure=f"Write the api version out. Known types: {known}.",
        )
    return {"resourceType": kind, "locations": [environment.location], "apiVersions": list(found)}


def shape_keys(kind: str, name: str, api_version: str, keys: Sequence[str] | Mapping[str, Json]) -> Json:
    """The answer of `listKeys` for a resource type and api version, from its keys (primary first).

    Storage before 2016 answers `{key1, key2}`, later `{keys: [...]}`; Batch `{accountName, primary, secondary}`.
    """
    if isinstance(keys, Mapping):
        return dict(keys)
    first, second = (*keys, *keys)[:2]
    match kind.lower():
        case "microsoft.storage/storageaccounts" if api_version < "2016":
            return {"key1": first, "key2": second}
        case "microsoft.storage/storageaccounts":
            pairs = (("key1", first), ("key2", second))
            return {"keys": [{"keyName": n, "value": value, "permissions": "FULL"} for n, value in pairs]}
        case "microsoft.batch/batchaccounts":
            return {"accountName": name, "primary": first, "secondary": second}
    raise UnsupportedError(
        f"listKeys of the type {kind} is not supported.",
        cure="Pass the key as a parameter; only storage accounts and Batch accounts have keys here.",
    )


_SERVICES = ("blob", "dfs", "file", "queue", "table", "web")


def runtime_properties(kind: str, name: str, location: str) -> dict[str, Json]:
    """The properties the service itself adds to a resource's state: endpoints of storage and Batch accounts."""
    state: dict[str, Json] = {"provisioningState": "Succeeded"}
    if kind.lower() == "microsoft.storage/storageaccounts":
        state["primaryEndpoints"] = {s: f"https://{name}.{s}.core.windows.net/" for s in _SERVICES}
        state["primaryLocation"] = location
    if kind.lower() == "microsoft.batch/batchaccounts":
        state["accountEndpoint"] = f"{name}.{location}.batch.azure.com"
    return state


def cloud() -> Json:
    """The answer of `environment()`: names and suffixes of the public cloud, which local names follow."""
    return {
        "name": "AzureCloud",
        "gallery": "https://gallery.azure.com/",
        "graph": "https://graph.windows.net/",
        "portal": "https://portal.azure.com",
        "graphAudience": "https://graph.windows.net/",
        "resourceManager": "https://management.azure.com/",
        "batch": "https://batch.core.windows.net/",
        "media": "https://rest.media.azure.net",
        "sqlManagement": "https://management.core.windows.net:8443/",
        "activeDirectoryDataLake": "https://datalake.azure.net/",
        "authentication": {
            "loginEndpoint": "https://login.microsoftonline.com/",
            "audiences": ["https://management.core.windows.net/", "https://management.azure.com/"],
            "tenant": "common",
            "identityProvider": "AAD",
        },
        "suffixes": {
            "acrLoginServer": ".azurecr.io",
            "azureDatalakeAnalyticsCatalogAndJob": "azuredatalakeanalytics.net",
            "azureDatalakeStoreFileSystem": "azuredatalakestore.net",
            "azureFrontDoorEndpointSuffix": "azurefd.net",
            "keyvaultDns": ".vault.azure.net",
            "sqlServerHostname": ".database.windows.net",
            "storage": "core.windows.net",
        },
    }


def resource_id(environment: Environment, arguments: Sequence[Json]) -> str:
    """The result of `resourceId([subscription], [group], 'ns/type[/sub]', name, ...)`."""
    at = next((i for i, a in enumerate(arguments) if "/" in a), None)
    if at is None or at > 2:
        raise TemplateError(
            "resourceId needs a resource type.", cure="Write resourceId('Microsoft.Storage/storageAccounts', 'name')."
        )
    subscription = arguments[0] if at == 2 else environment.subscription_id
    group = arguments[at - 1] if at else environment.resource_group
    path = provider_path("resourceId", arguments[at], arguments[at + 1 :])
    return f"/subscriptions/{subscription}/resourceGroups/{group}/providers/{path}"


def provider_path(function: str, kind: str, names: Sequence[str]) -> str:
    """`ns/type/name/sub/name` of a type and its names; their counts must fit (TemplateError)."""
    namespace, *segments = kind.strip("/").split("/")
    if len(segments) != len(names):
        raise TemplateError(
            f"{function} got {len(names)} name(s) for the type {kind}, which has {len(segments)} segment(s).",
            cure="Give one name for each segment of the type after its namespace.",
        )
    return "/".join([namespace, *(part for pair in zip(segments, names, strict=True) for part in pair)])
