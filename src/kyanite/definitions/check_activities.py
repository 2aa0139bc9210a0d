"""What each kind of activity needs: required properties, counts, time spans, fitting linked services."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kyanite.definitions.known_types import REQUIRED_LINKED_SERVICE, REQUIRED_PROPERTIES
from kyanite.definitions.model import Activity, Factory, Pipeline, carried
from kyanite.definitions.paths import descend, join
from kyanite.definitions.problem import Problem, error, warning
from kyanite.definitions.timespan import parse_timespan
from kyanite.errors import DefinitionError

Json = Any

_STORAGE_TYPES = ("AzureBlobStorage", "AzureStorage", "AzureBlobFS")
# (activity type, member of typeProperties) that must give a boolean, or an array
_CONDITIONS = {("ifcondition", "expression"), ("until", "expression"), ("filter", "condition")}
_ARRAYS = {("foreach", "items"), ("filter", "items")}
_TIME_SPANS = {
    "until": "timeout",
    "validation": "timeout",
    "webactivity": "httpRequestTimeout",
    "webhook": "timeout",
}


def check_activities(factory: Factory) -> Iterator[Problem]:
    """Missing and malformed parts of activities."""
    for pipeline in factory.pipelines.values():
        for activity in pipeline.walk():
            yield from _required(pipeline, activity)
            yield from _expressions(pipeline, activity)
            yield from _time_spans(pipeline, activity)
            yield from _retry(pipeline, activity)
            match activity.type.lower():
                case "copy":
                    yield from _copy(pipeline, activity)
                case "custom":
                    yield from _custom(factory, pipeline, activity)
                case "executepipeline":
                    yield from _execute_pipeline(pipeline, activity)


def _required(pipeline: Pipeline, activity: Activity) -> Iterator[Problem]:
    kind = activity.type.lower()
    missing = [name for name in REQUIRED_PROPERTIES.get(kind, ()) if activity.type_properties.get(name) is None]
    if kind == "setvariable" and "value" in activity.type_properties:
        missing = [name for name in missing if name != "value"]  # null is a value
    for name in missing:
        message = f"The {activity.type} activity {activity.name!r} has no {name}."
        place = descend(activity.path, "typeProperties", name)
        yield error("MissingProperty", pipeline.place, place, message, f'Write "{name}" in its typeProperties.')
    if kind in REQUIRED_LINKED_SERVICE and "linkedServiceName" not in activity.document:
        message = f"The {activity.type} activity {activity.name!r} names no linked service."
        cure = f'Write "linkedServiceName": a reference to {REQUIRED_LINKED_SERVICE[kind]}.'
        yield error("MissingProperty", pipeline.place, join(activity.path, "linkedServiceName"), message, cure)


def _expressions(pipeline: Pipeline, activity: Activity) -> Iterator[Problem]:
    for name, raw in activity.type_properties.items():
        key = (activity.type.lower(), name)
        value = carried(raw)
        if key not in _CONDITIONS and key not in _ARRAYS:
            continue
        wanted = "a boolean" if key in _CONDITIONS else "an array"
        fits = isinstance(value, bool) if key in _CONDITIONS else isinstance(value, list)
        is_whole = isinstance(value, str) and value[:1] == "@" and value[:2] not in ("@@", "@{")
        if value is not None and not fits and not is_whole:
            message = f"{name} must give {wanted}, and this value never does."
            cure = "Write one expression that begins with @ and has no @{ } around it."
            place = descend(activity.path, "typeProperties", name)
            yield error("NotAnExpression", pipeline.place, place, message, cure)


def _time_spans(pipeline: Pipeline, activity: Activity) -> Iterator[Problem]:
    policy = activity.document.get("policy")
    spans = [(descend(activity.path, "policy", "timeout"), policy.get("timeout") if isinstance(policy, dict) else None)]
    member = _TIME_SPANS.get(activity.type.lower())
    if member:
        spans.append((descend(activity.path, "typeProperties", member), activity.type_properties.get(member)))
    for place, raw in spans:
        value = carried(raw)
        if value is None or (isinstance(value, str) and "@" in value):
            continue
        try:
            parse_timespan(value if isinstance(value, str) else "")
        except DefinitionError:
            message = f"{str(value)[:40]!r} is no time span."
            cure = "Write d.hh:mm:ss or hh:mm:ss, for example 0.12:00:00."
            yield error("BadTimeout", pipeline.place, place, message, cure)


def _retry(pipeline: Pipeline, activity: Activity) -> Iterator[Problem]:
    policy = activity.document.get("policy")
    raw = carried(policy.get("retry")) if isinstance(policy, dict) else None
    fits = isinstance(raw, int) and not isinstance(raw, bool) and raw >= 0
    if raw is not None and not fits and not (isinstance(raw, str) and ("@" in raw or raw.isdecimal())):
        place = descend(activity.path, "policy", "retry")
        yield error(
            "BadValue", pipeline.place, place, "The retry count is no integer of 0 or more.", "Write an integer."
        )


def _copy(pipeline: Pipeline, activity: Activity) -> Iterator[Problem]:
    for member in ("inputs", "outputs"):
        raw = activity.document.get(member)
        count = len(raw) if isinstance(raw, list) else 0
        if count != 1:
            message = f"The Copy activity {activity.name!r} has {count} {member}; it takes exactly one."
            cure = "Write a list of one DatasetReference."
            yield error("WrongCount", pipeline.place, join(activity.path, member), message, cure)
    for member in ("source", "sink"):
        raw = activity.type_properties.get(member)
        if raw is not None and not (isinstance(raw, dict) and isinstance(raw.get("type"), str)):
            place = descend(activity.path, "typeProperties", member)
            message = f"The {member} has no type."
            yield error(
                "MissingProperty", pipeline.place, place, message, 'Write {"type": "ParquetSource"} or the like.'
            )


def _custom(factory: Factory, pipeline: Pipeline, activity: Activity) -> Iterator[Problem]:
    given = [name for name in ("resourceLinkedService", "folderPath") if activity.type_properties.get(name)]
    if len(given) == 1:
        message = f"{activity.name!r} has {given[0]} only; resourceLinkedService and folderPath belong together."
        place = descend(activity.path, "typeProperties", given[0])
        yield error("MissingProperty", pipeline.place, place, message, "Write both, or neither.")
    places = (
        (join(activity.path, "linkedServiceName"), activity.linked_service, ("AzureBatch",)),
        (
            descend(activity.path, "typeProperties", "resourceLinkedService"),
            activity.type_properties.get("resourceLinkedService"),
            _STORAGE_TYPES,
        ),
    )
    for place, raw, wanted in places:
        name = raw.get("referenceName") if isinstance(raw, dict) else None
        target = factory.linked_services.get(name, None) if isinstance(name, str) else None
        if target is not None and target.type and target.type not in wanted:
            message = f"{activity.name!r} uses {target.name!r}, a linked service of the type {target.type}."
            yield error("WrongLinkedServiceType", pipeline.place, place, message, f"Use {' or '.join(wanted)}.")


def _execute_pipeline(pipeline: Pipeline, activity: Activity) -> Iterator[Problem]:
    if "waitOnCompletion" not in activity.type_properties:
        message = f"{activity.name!r} does not say waitOnCompletion, and false is taken."
        place = descend(activity.path, "typeProperties", "waitOnCompletion")
        yield warning("WaitNotStated", pipeline.place, place, message, "Write true or false.")
