"""Types of activities, datasets, linked services and triggers against what can be run."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from kyanite.definitions.check_references import used_resources
from kyanite.definitions.known_types import ACTIVITY_TYPES, DATASET_TYPES, LINKED_SERVICE_TYPES, TRIGGER_TYPES
from kyanite.definitions.model import Activity, Factory, Pipeline, Resource
from kyanite.definitions.names import near
from kyanite.definitions.paths import join
from kyanite.definitions.problem import Problem, Severity


@dataclass(frozen=True)
class Supported:
    """The types that this kyanite can run, by kind; types compare without case."""

    activities: Collection[str] = ()
    datasets: Collection[str] = ()
    linked_services: Collection[str] = ()
    triggers: Collection[str] = ()


def check_kinds(factory: Factory, supported: Supported) -> Iterator[Problem]:
    """Types that are unknown or not run here: an error where a pipeline needs them, else a warning."""
    for pipeline in factory.pipelines.values():
        for activity in pipeline.walk():
            yield from _activity(pipeline, activity, supported.activities)
    used = used_resources(factory)
    groups: Sequence[tuple[str, Collection[Resource], Collection[str], Sequence[str]]] = (
        ("dataset", factory.datasets.values(), supported.datasets, DATASET_TYPES),
        ("linked service", factory.linked_services.values(), supported.linked_services, LINKED_SERVICE_TYPES),
        ("trigger", factory.triggers.values(), supported.triggers, TRIGGER_TYPES),
    )
    for what, resources, known, all_types in groups:
        for resource in resources:
            severity: Severity = "error" if resource in used else "warning"
            if resource.type:
                yield from _type(what, resource.type, known, all_types, severity, resource.place, "properties.type")


def _activity(pipeline: Pipeline, activity: Activity, known: Collection[str]) -> Iterator[Problem]:
    severity: Severity = "warning" if activity.state == "Inactive" else "error"
    place = join(activity.path, "type")
    if activity.type:
        yield from _type("activity", activity.type, known, ACTIVITY_TYPES, severity, pipeline.place, place)


def _type(
    what: str,
    name: str,
    known: Collection[str],
    all_types: Sequence[str],
    severity: Severity,
    file: str,
    path: str,
) -> Iterator[Problem]:
    if name.lower() in {one.lower() for one in known}:
        return
    listed = ", ".join(sorted(known, key=str.lower)) or "none yet"
    if name.lower() in {one.lower() for one in all_types}:
        message = f"The {what} type {name!r} exists in Data Factory, but kyanite does not run it."
        yield Problem(severity, "UnsupportedType", file, path, message, f"Supported {what} types: {listed}.")
        return
    matches = near(name, [*known, *all_types])
    hint = f"Did you mean {' or '.join(repr(match) for match in matches)}? " if matches else ""
    message = f"There is no {what} type {name!r}."
    yield Problem(severity, "UnknownType", file, path, message, f"{hint}Supported {what} types: {listed}.")
