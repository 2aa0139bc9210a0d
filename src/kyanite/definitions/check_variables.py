"""SetVariable and AppendVariable: do the variables exist, do the values fit, do parallel loops race."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kyanite.definitions.model import Activity, Factory, Pipeline, Variable, carried
from kyanite.definitions.names import suggestion
from kyanite.definitions.paths import descend
from kyanite.definitions.placement import Placed, placed_activities
from kyanite.definitions.problem import Problem, error, warning
from kyanite.errors import ExpressionError
from kyanite.expressions import references

Json = Any


def check_variables(factory: Factory) -> Iterator[Problem]:
    """Problems of activities that write variables."""
    for pipeline in factory.pipelines.values():
        setters = 0
        for placed in placed_activities(pipeline):
            activity = placed.activity
            if activity.type.lower() not in ("setvariable", "appendvariable"):
                continue
            if activity.type_properties.get("setSystemVariable") is True:
                setters += 1
                if setters == 2:
                    yield _second_setter(pipeline, activity)
                continue
            yield from _target(pipeline, placed)


def _second_setter(pipeline: Pipeline, activity: Activity) -> Problem:
    message = f"{activity.name!r} is a second activity that sets the return value; the last one to run wins."
    cure = "Set the return value in one activity, or make sure that only one of them runs."
    return warning("SecondReturnValue", pipeline.place, activity.path, message, cure)


def _target(pipeline: Pipeline, placed: Placed) -> Iterator[Problem]:
    activity = placed.activity
    name = activity.type_properties.get("variableName")
    place = descend(activity.path, "typeProperties", "variableName")
    if not isinstance(name, str) or not name:
        return
    variable: Variable | None = pipeline.variables.get(name, None)
    if variable is None:
        cure = suggestion(name, pipeline.variables, "variables")
        yield error("UnknownVariable", pipeline.place, place, f"The pipeline has no variable {name!r}.", cure)
        return
    if activity.type.lower() == "appendvariable":
        if variable.type.lower() != "array":
            message = f"{activity.name!r} appends to {name!r}, which is of the type {variable.type}."
            cure = "Declare the variable as Array, or use SetVariable."
            yield error("VariableTypeMismatch", pipeline.place, place, message, cure)
        return
    yield from _value(pipeline, activity, variable)
    if any(_is_parallel(outer.activity) for outer in placed.around):
        message = f"{activity.name!r} sets {name!r} inside a parallel ForEach; iterations overwrite each other's value."
        cure = "Set isSequential to true, or use AppendVariable or a pipeline of its own for the body."
        yield warning("VariableRace", pipeline.place, place, message, cure)


def _value(pipeline: Pipeline, activity: Activity, variable: Variable) -> Iterator[Problem]:
    value = carried(activity.type_properties.get("value"))
    place = descend(activity.path, "typeProperties", "value")
    if isinstance(value, str) and "@" in value:
        if variable.name.lower() in _variables_read(value):
            message = f"{activity.name!r} reads {variable.name!r}, the variable that it sets."
            cure = "Copy the value to a second variable first, and read that one."
            yield error("VariableReadsItself", pipeline.place, place, message, cure)
        return
    fits: dict[str, tuple[type, ...]] = {
        "string": (str,),
        "array": (list,),
        "bool": (bool, str),
        "boolean": (bool, str),
    }
    allowed = fits.get(variable.type.lower())
    if value is not None and allowed and not isinstance(value, allowed):
        message = f"The value does not fit the variable {variable.name!r} of the type {variable.type}."
        yield error(
            "VariableTypeMismatch", pipeline.place, place, message, f"Give a value of the type {variable.type}."
        )


def _variables_read(text: str) -> set[str]:
    try:
        return {found.name.lower() for found in references(text) if found.kind == "variable"}
    except ExpressionError:
        return set()  # reported where expressions are checked


def _is_parallel(activity: Activity) -> bool:
    properties = activity.type_properties
    return (
        activity.type.lower() == "foreach"
        and properties.get("isSequential") is not True
        and properties.get("batchCount") != 1
    )
