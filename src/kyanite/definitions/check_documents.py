"""Shapes and names of documents: what the typed views skip because it is malformed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from kyanite.definitions.model import Factory, Pipeline, Resource
from kyanite.definitions.paths import descend, join
from kyanite.definitions.problem import Problem, error, warning

Json = Any

_FACTORY_NAME = re.compile(r"[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*\Z")
_RESOURCE_NAME = re.compile(r"[A-Za-z0-9_][^<>*#.%&:\\+?/\x00-\x1f]{0,259}\Z")
_ACTIVITY_NAME = re.compile(r"[^<>*%&:\\+?/\x00-\x1f]+\Z")
_NAMED_KINDS = ("pipeline", "dataset", "linkedService", "trigger")
_PARAMETER_TYPES = {"object", "string", "int", "float", "bool", "array", "securestring"}
_VARIABLE_TYPES = {"string", "bool", "boolean", "array", "integer"}
_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "array": (list, str),
    "bool": (bool, str),
    "boolean": (bool, str),
    "float": (int, float, str),
    "int": (int, float, str),
    "integer": (int, str),
    "object": (dict, str),
    "securestring": (str, dict),
    "string": (str,),
}
# containers: where their inner lists stand
_INNER_LISTS = ("activities", "ifTrueActivities", "ifFalseActivities", "defaultActivities")
_CONTAINERS = {"foreach", "until", "ifcondition", "switch"}


def check_documents(factory: Factory) -> Iterator[Problem]:
    """Names, `properties`, lists of activities, declared parameters and variables."""
    if not _FACTORY_NAME.match(factory.name) or not 3 <= len(factory.name) <= 63:
        yield warning(
            "BadFactoryName",
            factory.place,
            "name",
            f"Data Factory would refuse the factory name {factory.name!r}.",
            "Use 3 to 63 letters, digits and single dashes.",
        )
    for resource in factory.resources:
        if resource.kind in _NAMED_KINDS and not _RESOURCE_NAME.match(resource.name):
            yield error(
                "BadName",
                resource.place,
                "name",
                f"{resource.name[:80]!r} is no valid name.",
                r"Begin with a letter, digit or _, and leave out < > * # . % & : \ + ? /.",
            )
        if resource.kind in _NAMED_KINDS and not isinstance(resource.document.get("properties"), dict):
            yield error(
                "PropertiesMissing",
                resource.place,
                "properties",
                f"The {resource.kind} has no properties object.",
                'Write {"name": ..., "properties": {...}}.',
            )
            continue
        yield from _parameters(resource)
        yield from _body(resource)


def _body(resource: Resource) -> Iterator[Problem]:
    if isinstance(resource, Pipeline):
        raw = resource.properties.get("activities", [])
        yield from _activities(resource, raw, "properties.activities")
        yield from _concurrency(resource)
    elif resource.kind in _NAMED_KINDS:
        if not resource.type:
            message = f"The {resource.kind} has no type."
            yield error("TypeMissing", resource.place, "properties.type", message, 'Write "type" as a text.')
        if resource.kind == "dataset" and "linkedServiceName" not in resource.properties:
            yield error(
                "MissingProperty",
                resource.place,
                "properties.linkedServiceName",
                "The dataset has no linked service.",
                'Write {"referenceName": ..., "type": "LinkedServiceReference"}.',
            )


def _concurrency(pipeline: Pipeline) -> Iterator[Problem]:
    if "concurrency" in pipeline.properties and pipeline.concurrency is None:
        message = "The concurrency is no integer of 1 or more."
        yield error("BadValue", pipeline.place, "properties.concurrency", message, "Write an integer, or leave it out.")


def _activities(pipeline: Pipeline, raw: Json, path: str) -> Iterator[Problem]:
    if not isinstance(raw, list):
        yield error("NotAList", pipeline.place, path, "The activities are no list.", "Write [...] around them.")
        return
    for index, activity in enumerate(raw):
        place = join(path, index)
        if not isinstance(activity, dict):
            yield error(
                "NotAnObject", pipeline.place, place, "The activity is no object.", "Write {...}, or remove it."
            )
            continue
        yield from _envelope(pipeline, activity, place)
        if str(activity.get("type", "")).lower() in _CONTAINERS:
            yield from _inner(pipeline, activity.get("typeProperties"), join(place, "typeProperties"))


def _envelope(pipeline: Pipeline, activity: dict[str, Json], place: str) -> Iterator[Problem]:
    for member in ("name", "type"):
        if not isinstance(activity.get(member), str) or not activity[member]:
            code = "NameMissing" if member == "name" else "TypeMissing"
            message = f"The activity has no {member}."
            yield error(code, pipeline.place, join(place, member), message, f'Write "{member}" as a text.')
    name = activity.get("name")
    if isinstance(name, str) and name and not _ACTIVITY_NAME.match(name):
        yield error(
            "BadName",
            pipeline.place,
            join(place, "name"),
            f"{name[:80]!r} is no valid activity name.",
            r"Leave out < > * % & : \ + ? / and control characters.",
        )
    for member, kind in (("dependsOn", list), ("typeProperties", dict), ("policy", dict), ("userProperties", list)):
        if activity.get(member) is not None and not isinstance(activity[member], kind):
            code, wanted = ("NotAList", "list") if kind is list else ("NotAnObject", "object")
            message = f"The {member} of the activity are no {wanted}."
            yield error(code, pipeline.place, join(place, member), message, f"Write a JSON {wanted}, or leave it out.")


def _inner(pipeline: Pipeline, raw: Json, path: str) -> Iterator[Problem]:
    if not isinstance(raw, dict):
        return
    for member in _INNER_LISTS:
        if raw.get(member) is not None:
            yield from _activities(pipeline, raw[member], join(path, member))
    cases = raw.get("cases")
    if cases is None:
        return
    if not isinstance(cases, list):
        yield error("NotAList", pipeline.place, join(path, "cases"), "The cases are no list.", "Write [...].")
        return
    seen: set[str] = set()
    for index, case in enumerate(cases):
        place = descend(path, "cases", index)
        if not isinstance(case, dict) or "value" not in case:
            yield error("MissingProperty", pipeline.place, place, "The case has no value.", 'Write "value" as a text.')
            continue
        if str(case["value"]) in seen:
            message = f"A second case has the value {str(case['value'])[:80]!r}; it is never reached."
            yield error("DuplicateCase", pipeline.place, join(place, "value"), message, "Remove one of them.")
        seen.add(str(case["value"]))
        yield from _activities(pipeline, case.get("activities", []), join(place, "activities"))


def _parameters(resource: Resource) -> Iterator[Problem]:
    groups = [("parameters", _PARAMETER_TYPES, "parameter")]
    if resource.kind == "pipeline":
        groups.append(("variables", _VARIABLE_TYPES, "variable"))
    for member, types, what in groups:
        raw = resource.properties.get(member)
        if raw is None or raw == []:
            continue  # published templates write [] for no parameters
        if not isinstance(raw, dict):
            message = f"The {member} are no object."
            yield error("NotAnObject", resource.place, f"properties.{member}", message, "Write {name: {type: ...}}.")
            continue
        for name, entry in raw.items():
            yield from _declaration(resource, name, entry, types, what, descend("properties", member, name))


def _declaration(
    resource: Resource, name: str, entry: Json, types: set[str], what: str, place: str
) -> Iterator[Problem]:
    kind = entry.get("type") if isinstance(entry, dict) else None
    if not isinstance(kind, str) or kind.lower() not in types:
        message = f"The {what} {name!r} has no valid type."
        yield error("BadType", resource.place, place, message, f"Use one of {', '.join(sorted(types))}.")
        return
    default = entry.get("defaultValue")
    allowed = (list,) if what == "variable" and kind.lower() == "array" else _PYTHON_TYPES[kind.lower()]
    if default is not None and (not isinstance(default, allowed) or _is_disguised(default, kind)):
        message = f"The default of the {what} {name!r} does not fit the type {kind}."
        cure = f"Write a value of the type {kind}."
        yield warning("DefaultDoesNotFit", resource.place, join(place, "defaultValue"), message, cure)


def _is_disguised(default: Json, kind: str) -> bool:
    """Whether a JSON boolean stands for a number: Python counts it as one."""
    return isinstance(default, bool) and kind.lower() not in ("bool", "boolean")
