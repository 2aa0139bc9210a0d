"""Expressions: mistakes in their text, and names they read that are not there or not in scope."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kyanite.definitions.activity import as_list, as_object
from kyanite.definitions.known_types import SYSTEM_VARIABLES
from kyanite.definitions.model import Activity, Factory, Pipeline, Resource
from kyanite.definitions.names import suggestion
from kyanite.definitions.paths import descend, join
from kyanite.definitions.placement import Placed, placed_activities
from kyanite.definitions.problem import Problem, error, warning
from kyanite.errors import ExpressionError
from kyanite.expressions import Reference, find_problems, references

Json = Any

_INNER_LISTS = {"activities", "ifTrueActivities", "ifFalseActivities", "defaultActivities", "cases"}
_PARENT_ONLY = {"triggeredbypipelinename", "triggeredbypipelinerunid"}
# kinds of references that belong to another document than a pipeline
_FOREIGN = {
    "dataset": "a dataset",
    "linkedService": "a linked service",
    "trigger": "a trigger",
    "triggerBody": "a trigger",
}

Judge = Callable[[Reference], Iterator[tuple[str, str, str]]]


def check_expressions(factory: Factory) -> Iterator[Problem]:
    """Problems of every expression of pipelines, datasets, linked services and triggers."""
    for pipeline in factory.pipelines.values():
        everything = placed_activities(pipeline)
        places = {placed.activity.name.lower(): placed for placed in reversed(everything)}
        for placed in everything:
            yield from _activity(factory, pipeline, placed, places)
    for dataset in factory.datasets.values():
        yield from _own_scope(dataset, "dataset")
    for linked_service in factory.linked_services.values():
        yield from _own_scope(linked_service, "linkedService")
    for trigger in factory.triggers.values():
        yield from _trigger(trigger)


def texts(value: Json, path: str) -> Iterator[tuple[str, str]]:
    """(JSON path, text) of every text that is evaluated inside a value; names of references are not."""
    waiting: list[tuple[str, Json]] = [(path, value)]
    while waiting:
        place, item = waiting.pop()
        if isinstance(item, str):
            if "@" in item:
                yield place, item
        elif isinstance(item, dict):
            fixed = {"referenceName", "type"} if "referenceName" in item else set()
            waiting += [(join(place, key), item[key]) for key in reversed(item) if key not in fixed]
        elif isinstance(item, list):
            waiting += [(join(place, index), child) for index, child in reversed(list(enumerate(item)))]


def activity_texts(activity: Activity) -> Iterator[tuple[str, str]]:
    """(JSON path, text) of every text of an activity that is evaluated; inner activities are not looked into."""
    inner = _INNER_LISTS if activity.branches else set()
    for name, value in activity.type_properties.items():
        if name not in inner:
            yield from texts(value, descend(activity.path, "typeProperties", name))
    for member in ("linkedServiceName", "inputs", "outputs"):
        yield from texts(activity.document.get(member), join(activity.path, member))
    policy = as_object(activity.document.get("policy"))
    for member in ("timeout", "retry"):
        yield from texts(policy.get(member), descend(activity.path, "policy", member))
    for index, entry in enumerate(as_list(activity.document.get("userProperties"))):
        yield from texts(as_object(entry).get("value"), descend(activity.path, "userProperties", index, "value"))


def _activity(factory: Factory, pipeline: Pipeline, placed: Placed, places: Mapping[str, Placed]) -> Iterator[Problem]:
    for path, text in activity_texts(placed.activity):
        member = path.removeprefix(f"{placed.activity.path}.typeProperties.").split(".")[0].split("[")[0]
        yield from _text(pipeline, path, text, _pipeline_judge(factory, pipeline, placed, places, member))


def _text(resource: Resource, path: str, text: str, judge: Judge) -> Iterator[Problem]:
    for found in find_problems(text):
        place = f"{path}, position {found.position + 1}" if found.position is not None else path
        yield error("BadExpression", resource.place, place, found.message, found.cure or "Correct the expression.")
    try:
        read = list(references(text))
    except ExpressionError:
        return
    for reference in read:
        place = f"{path}, position {reference.position + 1}"
        for code, message, cure in judge(reference):
            is_lint = code in ("FailsOnManualRun", "OutsideScope")
            yield (warning if is_lint else error)(code, resource.place, place, message, cure)


def _pipeline_judge(
    factory: Factory, pipeline: Pipeline, placed: Placed, places: Mapping[str, Placed], member: str
) -> Judge:
    known: Mapping[str, tuple[Mapping[str, Json], str, str]] = {
        "variable": (pipeline.variables, "UnknownVariable", "variables"),
        "parameter": (pipeline.parameters, "UnknownParameter", "parameters"),
        "globalParameter": (factory.global_parameter_documents, "UnknownGlobalParameter", "global parameters"),
    }

    def judge(reference: Reference) -> Iterator[tuple[str, str, str]]:
        name = reference.name
        if reference.kind in known:
            names, code, what = known[reference.kind]
            if not reference.optional and name.lower() not in {one.lower() for one in names}:
                owner = "factory" if reference.kind == "globalParameter" else "pipeline"
                yield code, f"The {owner} has no {what[:-1]} {name!r}.", suggestion(name, names, what)
        elif reference.kind == "activity":
            yield from _activity_read(pipeline, placed, places, member, name)
        elif reference.kind == "item" and not _has_item(placed, member):
            cure = "Use it inside a ForEach, or in the condition of a Filter."
            yield "ItemOutsideLoop", "item() stands outside of a ForEach and of a Filter's condition.", cure
        elif reference.kind == "pipeline":
            yield from _system_variable(reference)
        elif reference.kind in _FOREIGN:
            message = f"{reference.kind}() can only be used in the document of {_FOREIGN[reference.kind]}."
            yield "WrongScope", message, "Pass the value through a parameter."

    return judge


def _activity_read(
    pipeline: Pipeline, placed: Placed, places: Mapping[str, Placed], member: str, name: str
) -> Iterator[tuple[str, str, str]]:
    found = places.get(name.lower())
    if found is None:
        cure = suggestion(name, pipeline.activities_by_name, "activities")
        yield "UnknownActivity", f"The pipeline has no activity {name!r}.", cure
        return
    if not _has_ended(found, placed, member):
        reader, read = repr(placed.activity.name), repr(found.activity.name)
        message = f"{reader} reads {read}, which need not have ended before it."
        cure = f"Let {reader} depend on {read}, directly or through others."
        if found.inside("foreach"):
            cure = f"{read} runs once per item of a ForEach; collect its results in a variable with AppendVariable."
        elif found.container is not None:
            cure = f"Let {reader} depend on the container around {read}."
        yield "ActivityNotUpstream", message, cure


def _has_ended(found: Placed, placed: Placed, member: str) -> bool:
    """Whether an activity, or a container around it that runs it at most once at a time, ends before a reader starts.

    Published templates read the activities of an Until or If after it; those of a ForEach have no single result.
    """
    visible = placed.upstream
    if placed.activity.type.lower() == "until" and member == "expression":
        visible |= {inner.name.lower() for inner in placed.activity.branches["activities"]}
    candidate: Placed | None = found
    while candidate is not None and candidate.activity.name.lower() not in visible:
        outer = candidate.container
        candidate = None if outer is None or outer.activity.type.lower() == "foreach" else outer
    return candidate is not None


def _has_item(placed: Placed, member: str) -> bool:
    own = placed.activity.type.lower() == "filter" and member == "condition"
    return own or placed.inside("foreach")


def _system_variable(reference: Reference) -> Iterator[tuple[str, str, str]]:
    name = reference.name
    if reference.optional:
        return
    if name.lower() not in {one.lower() for one in SYSTEM_VARIABLES}:
        message = f"There is no system variable pipeline().{name}."
        yield "UnknownSystemVariable", message, suggestion(name, SYSTEM_VARIABLES, "system variables")
    elif name.lower() in _PARENT_ONLY:
        message = f"pipeline().{name} fails in runs that no other pipeline started."
        yield "FailsOnManualRun", message, f"Write pipeline()?.{name}."


def _own_scope(resource: Resource, root: str) -> Iterator[Problem]:
    """A dataset or linked service reads its own parameters only."""

    def judge(reference: Reference) -> Iterator[tuple[str, str, str]]:
        if reference.kind == root:
            named = reference.name.lower() in {one.lower() for one in resource.parameters}
            if reference.name and not named and not reference.optional:
                message = f"{root}() has no parameter {reference.name!r}."
                yield "UnknownParameter", message, suggestion(reference.name, resource.parameters, "parameters")
        else:
            message = f"A {resource.kind} sees its own parameters only; Data Factory refuses {reference.kind} here."
            yield "OutsideScope", message, "Declare a parameter and pass the value where it is referred to."

    for path, text in texts(resource.type_properties, "properties.typeProperties"):
        yield from _text(resource, path, text, judge)
    if resource.kind == "dataset":
        place = "properties.linkedServiceName"
        for path, text in texts(resource.properties.get("linkedServiceName"), place):
            yield from _text(resource, path, text, judge)


def _trigger(trigger: Resource) -> Iterator[Problem]:
    def judge(reference: Reference) -> Iterator[tuple[str, str, str]]:
        if reference.kind not in ("trigger", "triggerBody"):
            message = f"A trigger sees trigger() and triggerBody() only, not {reference.kind}."
            yield "WrongScope", message, "Move the expression into the pipeline."

    for member in ("pipelines", "pipeline"):
        for path, text in texts(trigger.properties.get(member), join("properties", member)):
            yield from _text(trigger, path, text, judge)
