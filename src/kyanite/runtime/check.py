"""Validation with what this kyanite can run: the registries say which kinds are supported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from kyanite.activities import ACTIVITIES
from kyanite.connections import CONNECTIONS
from kyanite.definitions.check import Supported, check
from kyanite.definitions.model import Factory, Pipeline, Resource
from kyanite.definitions.problem import Problem
from kyanite.engine.control import CONTROL_ACTIVITIES
from kyanite.engine.triggers import TRIGGERS
from kyanite.engine.triggers.check import check_triggers
from kyanite.errors import DefinitionError
from kyanite.movement.formats import FORMATS
from kyanite.runtime.secret_values import short_secrets

Json = Any


def supported_kinds() -> Supported:
    """What the registries hold."""
    return Supported(
        activities=frozenset({*ACTIVITIES, *CONTROL_ACTIVITIES}),
        datasets=frozenset(FORMATS),
        linked_services=frozenset({*CONNECTIONS, "AzureBatch"}),
        triggers=frozenset(TRIGGERS),
    )


def check_factory(factory: Factory) -> list[Problem]:
    """Every problem of a factory, errors and warnings; nothing is executed."""
    return [*check(factory, supported=supported_kinds()), *check_triggers(factory), *short_secrets(factory)]


def refuse_broken(factory: Factory, pipeline: Pipeline) -> None:
    """Raise DefinitionError when what a pipeline uses has errors; problems elsewhere do not matter for its run."""
    around = surroundings(factory, pipeline)
    used = {resource.place for resource in around.resources}
    errors = [problem for problem in check_factory(around) if problem.severity == "error" and problem.file in used]
    if not errors:
        return
    lines = [f"{problem.file} {problem.path}: {problem.message} {problem.cure}".strip() for problem in errors]
    raise DefinitionError(
        f"Pipeline '{pipeline.name}' cannot run, {len(errors)} problem{'s' if len(errors) > 1 else ''}:\n  "
        + "\n  ".join(lines)
    )


def surroundings(factory: Factory, start: Resource) -> Factory:
    """The factory without what does not matter for a resource: what it refers to, and the global parameters."""
    global_parameters = (each for each in factory.resources if each.kind == "globalParameters")
    return replace(factory, resources=(*reachable(factory, start), *global_parameters))


def reachable(factory: Factory, start: Resource) -> list[Resource]:
    """A resource and all that it refers to, directly or not."""
    found: dict[tuple[str, str], Resource] = {}
    queue: list[Resource] = [start]
    while queue:
        resource = queue.pop()
        key = (resource.kind, resource.name.casefold())
        if key in found:
            continue
        found[key] = resource
        queue.extend(_referred(factory, resource.properties))
    return list(found.values())


def _referred(factory: Factory, value: Json) -> Iterator[Resource]:
    if isinstance(value, dict):
        target = _target(factory, value)
        if target is not None:
            yield target
        for item in value.values():
            yield from _referred(factory, item)
    elif isinstance(value, list):
        for item in value:
            yield from _referred(factory, item)


def _target(factory: Factory, reference: Mapping[str, Json]) -> Resource | None:
    kinds: dict[str, Mapping[str, Resource]] = {
        "DatasetReference": factory.datasets,
        "LinkedServiceReference": factory.linked_services,
        "PipelineReference": factory.pipelines,
    }
    name, kind = reference.get("referenceName"), reference.get("type")
    named = kinds.get(kind) if isinstance(kind, str) else None
    return named[name] if named is not None and isinstance(name, str) and name in named else None
