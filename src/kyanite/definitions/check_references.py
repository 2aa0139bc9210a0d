"""References between resources: do their targets exist, are they of the right kind, do their parameters fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kyanite.definitions.activity import as_object
from kyanite.definitions.model import MISSING, Factory, Names, Resource
from kyanite.definitions.names import suggestion
from kyanite.definitions.paths import join
from kyanite.definitions.problem import Problem, error, warning

Json = Any

_KINDS = {
    "CredentialReference": "credential",
    "DataFlowReference": "data flow",
    "DatasetReference": "dataset",
    "IntegrationRuntimeReference": "integration runtime",
    "LinkedServiceReference": "linked service",
    "PipelineReference": "pipeline",
    "TriggerReference": "trigger",
}
# members that hold a reference -> the type it must have
_EXPECTED = {
    "connectVia": "IntegrationRuntimeReference",
    "credential": "CredentialReference",
    "dataset": "DatasetReference",
    "linkedServiceName": "LinkedServiceReference",
    "pipeline": "PipelineReference",
    "pipelineReference": "PipelineReference",
    "referenceTrigger": "TriggerReference",
    "resourceLinkedService": "LinkedServiceReference",
    "store": "LinkedServiceReference",
}
# the same for lists of references
_EXPECTED_ITEMS = {
    "datasets": "DatasetReference",
    "inputs": "DatasetReference",
    "linkedServices": "LinkedServiceReference",
    "outputs": "DatasetReference",
}
# the user's own JSON: what looks like a reference in there is none
_FREE = {"annotations", "body", "extendedProperties", "headers", "userProperties", "variables", "schema", "structure"}
_ALWAYS_THERE = {"autoresolveintegrationruntime"}


def check_references(factory: Factory) -> Iterator[Problem]:
    """Broken references, references of a wrong type, unknown and missing parameters of their targets."""
    for resource in factory.resources:
        if resource.kind in ("pipeline", "dataset", "linkedService", "trigger"):
            for path, expected, raw in find_references(resource):
                yield from _reference(factory, resource, path, expected, raw)


def find_references(resource: Resource) -> Iterator[tuple[str, str | None, Json]]:
    """(JSON path, expected reference type or None, raw value) of everything that is, or should be, a reference."""
    waiting: list[tuple[str, Json, str | None]] = [("properties", resource.properties, None)]
    while waiting:
        path, value, expected = waiting.pop()
        is_reference = isinstance(value, dict) and "referenceName" in value
        if is_reference or (expected is not None and isinstance(value, str)):
            yield path, expected, value
        if isinstance(value, dict):
            for key, item in reversed(value.items()):
                if key in _FREE:
                    continue
                if key == "pipeline" and isinstance(item, dict) and "pipelineReference" in item:
                    waiting.append((join(path, key), item, None))  # a tumbling window trigger's one pipeline
                elif is_reference:
                    waiting.append((join(path, key), item, None))
                else:
                    waiting.append((join(path, key), item, _EXPECTED_ITEMS.get(key) or _EXPECTED.get(key)))
        elif isinstance(value, list):
            inner = expected if expected in _EXPECTED_ITEMS.values() else None
            waiting += [(join(path, index), item, inner) for index, item in reversed(list(enumerate(value)))]


def used_resources(factory: Factory) -> set[Resource]:
    """Datasets and linked services that some pipeline needs, directly or through other resources."""
    used: set[Resource] = set()
    waiting: list[Resource] = list(factory.pipelines.values())
    while waiting:
        for _, _, raw in find_references(waiting.pop()):
            target = _target(factory, raw) if isinstance(raw, dict) else None
            if target is not None and target.kind != "pipeline" and target not in used:
                used.add(target)
                waiting.append(target)
    return used


def check_arguments(resource: Resource, path: str, given: Json, target: Resource, what: str) -> Iterator[Problem]:
    """Arguments for a target's parameters: unknown ones, and missing ones that have no default."""
    arguments = as_object(given)
    known = {name.lower() for name in target.parameters}
    for name in arguments:
        if name.lower() not in known:
            message = f"The {what} {target.name!r} has no parameter {name!r}."
            cure = suggestion(name, target.parameters, "parameters")
            yield error("UnknownParameter", resource.place, join(path, name), message, cure)
    lower = {name.lower() for name in arguments}
    missing = [n for n, p in target.parameters.items() if p.default is MISSING and n.lower() not in lower]
    if missing:
        names = ", ".join(repr(name) for name in missing)
        message = f"The {what} {target.name!r} needs a value for {names}."
        yield error("MissingParameter", resource.place, path, message, "Give it here, or declare a default value.")


def _reference(factory: Factory, resource: Resource, path: str, expected: str | None, raw: Json) -> Iterator[Problem]:
    if not isinstance(raw, dict):
        if resource.kind == "pipeline" or path.endswith("linkedServiceName"):  # elsewhere it may be a plain setting
            cure = f'Write {{"referenceName": ..., "type": "{expected}"}}.'
            yield error("WrongReferenceType", resource.place, path, "A reference is given as a text.", cure)
        return
    name, kind = raw.get("referenceName"), raw.get("type", expected)
    if expected is None and kind not in list(_KINDS):
        return  # notebooks, Spark pools and the like: other services resolve them
    if not isinstance(name, str) or not name:
        message = "The reference name is no text; it is never evaluated."
        yield error("BadReference", resource.place, join(path, "referenceName"), message, "Write the name itself.")
        return
    if not isinstance(kind, str) or kind not in _KINDS or (expected is not None and kind != expected):
        wanted = expected or " or ".join(sorted(_KINDS))
        message = f"The reference to {name!r} is of the type {kind!r}."
        yield error("WrongReferenceType", resource.place, join(path, "type"), message, f"Use {wanted}.")
        return
    if kind == "IntegrationRuntimeReference" and name.lower() in _ALWAYS_THERE:
        return
    target = _target(factory, raw | {"type": kind})
    if target is None:
        named = _named(factory, kind)
        message = f"There is no {_KINDS[kind]} {name!r}."
        cure = suggestion(name, named, f"{_KINDS[kind]}s")
        # git folders often leave shared integration runtimes and credentials out; neither is needed here
        report = warning if kind in ("CredentialReference", "IntegrationRuntimeReference") else error
        yield report("BrokenReference", resource.place, join(path, "referenceName"), message, cure)
    elif target.kind in ("dataset", "linkedService"):
        yield from check_arguments(resource, join(path, "parameters"), raw.get("parameters"), target, _KINDS[kind])


def _named(factory: Factory, kind: str) -> Mapping[str, Resource]:
    match kind:
        case "DatasetReference":
            return factory.datasets
        case "LinkedServiceReference":
            return factory.linked_services
        case "PipelineReference":
            return factory.pipelines
        case "TriggerReference":
            return factory.triggers
        case "IntegrationRuntimeReference":
            return factory.integration_runtimes
        case "CredentialReference":
            return factory.credentials
        case "DataFlowReference":
            return Names(((r.name, r) for r in factory.others if r.kind == "dataflow"), what="data flows")
    return {}


def _target(factory: Factory, raw: dict[str, Json]) -> Resource | None:
    name, kind = raw.get("referenceName"), raw.get("type")
    if not isinstance(name, str) or not isinstance(kind, str):
        return None
    return _named(factory, kind).get(name, None)
