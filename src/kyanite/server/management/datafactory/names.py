"""Where resources stand: segments of paths, kinds of documents, types and ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from kyanite.definitions.model import Factory, Resource
from kyanite.server.management.arm import ArmCall, ArmError

NAMESPACE = "Microsoft.DataFactory"
API_VERSION = "2018-06-01"


@dataclass(frozen=True)
class Kind:
    """A kind of resource below a factory: `segment` in paths, `kind` of its documents, `what` it is called."""

    segment: str
    kind: str
    what: str
    operations: str
    not_found: str = "ResourceNotFound"


KINDS: Mapping[str, Kind] = {
    each.segment.lower(): each
    for each in (
        Kind("adfcdcs", "adfcdc", "change data capture", "ChangeDataCapture"),
        Kind("credentials", "credential", "credential", "CredentialOperations"),
        Kind("dataflows", "dataflow", "data flow", "DataFlows"),
        Kind("datasets", "dataset", "dataset", "Datasets", "DatasetNotFound"),
        Kind("globalParameters", "globalParameters", "global parameters", "GlobalParameters"),
        Kind("integrationRuntimes", "integrationRuntime", "integration runtime", "IntegrationRuntimes"),
        Kind("linkedservices", "linkedService", "linked service", "LinkedServices", "LinkedServiceNotFound"),
        Kind("managedVirtualNetworks", "managedVirtualNetwork", "managed virtual network", "ManagedVirtualNetworks"),
        Kind("pipelines", "pipeline", "pipeline", "Pipelines", "PipelineNotFound"),
        Kind("triggers", "trigger", "trigger", "Triggers", "TriggerNotFound"),
    )
}
ENDPOINTS = Kind(
    "managedVirtualNetworks/managedPrivateEndpoints",
    "managedPrivateEndpoint",
    "managed private endpoint",
    "ManagedPrivateEndpoints",
)


def factory_id(call: ArmCall, factory: str) -> str:
    """The id of a factory, with the subscription and resource group that the caller named."""
    group = call.resource_group or "kyanite"
    return (
        f"/subscriptions/{quote(call.subscription)}/resourceGroups/{quote(group)}"
        f"/providers/{NAMESPACE}/factories/{quote(factory)}"
    )


def resource_id(call: ArmCall, factory: str, kind: Kind, name: str) -> str:
    """The id of a resource of a factory."""
    outer, _, inner = kind.segment.partition("/")
    if inner:
        network, _, name = name.partition("/")
        return f"{factory_id(call, factory)}/{outer}/{quote(network)}/{inner}/{quote(name)}"
    return f"{factory_id(call, factory)}/{kind.segment}/{quote(name)}"


def find(factory: Factory, kind: Kind, name: str) -> Resource | None:
    """A resource by kind and name in any case."""
    wanted = (kind.kind, name.casefold())
    return next((each for each in factory.resources if (each.kind, each.name.casefold()) == wanted), None)


def not_found(kind: Kind, name: str, target: str) -> ArmError:
    """There is no such resource."""
    return ArmError(f"The {kind.what} '{name[:260]}' was not found.", code=kind.not_found, status=404, target=target)
