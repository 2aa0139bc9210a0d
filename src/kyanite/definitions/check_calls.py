"""Who starts which pipeline with which parameters: ExecutePipeline activities and triggers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kyanite import limits
from kyanite.definitions.activity import as_list, as_object
from kyanite.definitions.check_references import check_arguments
from kyanite.definitions.model import Activity, Factory, Pipeline
from kyanite.definitions.paths import descend, join
from kyanite.definitions.problem import Problem, error, warning

Json = Any


def check_calls(factory: Factory) -> Iterator[Problem]:
    """Arguments of started pipelines, circles of calls, chains that are too long."""
    calls: dict[str, list[tuple[Activity, str]]] = {}
    for pipeline in factory.pipelines.values():
        calls[pipeline.name] = []
        for activity in pipeline.walk():
            child = _started(factory, activity.type_properties.get("pipeline"))
            if activity.type.lower() != "executepipeline" or child is None:
                continue
            calls[pipeline.name].append((activity, child.name))
            place = descend(activity.path, "typeProperties", "parameters")
            given = activity.type_properties.get("parameters")
            yield from check_arguments(pipeline, place, given, child, "pipeline")
    yield from _triggers(factory)
    yield from _circles(factory, calls)


def _started(factory: Factory, reference: Json) -> Pipeline | None:
    name = as_object(reference).get("referenceName")
    return factory.pipelines.get(name, None) if isinstance(name, str) else None


def _triggers(factory: Factory) -> Iterator[Problem]:
    for trigger in factory.triggers.values():
        entries = [
            (descend("properties", "pipelines", index), entry)
            for index, entry in enumerate(as_list(trigger.properties.get("pipelines")))
        ]
        if isinstance(trigger.properties.get("pipeline"), dict):
            entries.append(("properties.pipeline", trigger.properties["pipeline"]))
        for place, entry in entries:
            started = _started(factory, as_object(entry).get("pipelineReference"))
            if started is not None:
                given = as_object(entry).get("parameters")
                yield from check_arguments(trigger, join(place, "parameters"), given, started, "pipeline")


def _circles(factory: Factory, calls: dict[str, list[tuple[Activity, str]]]) -> Iterator[Problem]:
    depths: dict[str, int] = {}
    reported: set[frozenset[str]] = set()
    for start in calls:
        trail: list[str] = []
        yield from _descend(factory, calls, start, trail, depths, reported)


def _descend(
    factory: Factory,
    calls: dict[str, list[tuple[Activity, str]]],
    name: str,
    trail: list[str],
    depths: dict[str, int],
    reported: set[frozenset[str]],
) -> Iterator[Problem]:
    """Depth-first over the calls; `depths` keeps how many runs stand below each pipeline."""
    if name in depths or len(trail) > 10 * limits.NESTED_RUNS:
        return
    trail.append(name)
    below = 0
    for activity, child in calls[name]:
        place, file = descend(activity.path, "typeProperties", "pipeline"), factory.pipelines[name].place
        if child in trail:
            circle = [*trail[trail.index(child) :], child]
            if frozenset(circle) not in reported:
                reported.add(frozenset(circle))
                message = f"Pipelines start each other in a circle: {' -> '.join(repr(one) for one in circle)}."
                cure = f"Make sure that a condition ends it: a run fails beyond {limits.NESTED_RUNS} nested runs."
                yield warning("PipelineCallsItself", file, place, message, cure)
            continue
        yield from _descend(factory, calls, child, trail, depths, reported)
        below = max(below, 1 + depths.get(child, 0))
        if below == limits.NESTED_RUNS + 1:
            message = f"{name!r} starts more than {limits.NESTED_RUNS} pipelines inside each other."
            yield error("TooManyNestedRuns", file, place, message, "Start fewer pipelines from inside others.")
    trail.pop()
    depths[name] = below
