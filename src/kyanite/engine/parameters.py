"""A run's parameters and variables: declared types, defaults, what callers may give."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kyanite.definitions.model import MISSING, Pipeline
from kyanite.errors import ActivityError, ParameterError
from kyanite.expressions import kind_of

Json = Any

_TYPE_NAMES = {
    "array": "Array",
    "bool": "Bool",
    "boolean": "Bool",
    "float": "Float",
    "int": "Int",
    "integer": "Int",
    "object": "Object",
    "securestring": "SecureString",
    "string": "String",
}


def type_name(declared: str) -> str:
    """The one spelling of a declared type; unknown types stay as they are."""
    return _TYPE_NAMES.get(declared.casefold(), declared)


def is_true(value: Json) -> bool:
    """A plain switch of a definition: true, also written as a text in any case."""
    return value is True or (isinstance(value, str) and value.strip().casefold() == "true")


def resolve_parameters(pipeline: Pipeline, given: Mapping[str, Json]) -> dict[str, Json]:
    """All parameters of a run: given values checked and converted, defaults for the rest.

    Raises ParameterError naming every missing, unknown and ill-typed parameter at once.
    """
    declared = {name.casefold(): name for name in pipeline.parameters}
    problems = [
        f"it has no parameter '{name}' (it has: {', '.join(pipeline.parameters) or 'none'})"
        for name in given
        if name.casefold() not in declared
    ]
    values = {declared[name.casefold()]: value for name, value in given.items() if name.casefold() in declared}
    resolved: dict[str, Json] = {}
    missing = []
    for name, parameter in pipeline.parameters.items():
        if name in values:
            try:
                resolved[name] = _convert(name, type_name(parameter.type), values[name])
            except ParameterError as error:
                problems.append(error.message)
        elif parameter.default is MISSING:
            missing.append(f"'{name}' ({type_name(parameter.type)})")
        else:
            resolved[name] = parameter.default
    if missing:
        problems.insert(0, f"it needs a value for {', '.join(missing)}")
    if problems:
        raise ParameterError(
            f"Pipeline '{pipeline.name}' cannot run: {'; '.join(problems)}.", cure="Give parameters as -p NAME=VALUE."
        )
    return resolved


def _convert(name: str, declared: str, value: Json) -> Json:
    """A value as its declared type; text holding JSON is accepted because callers send text."""
    refused = ParameterError(f"parameter '{name}' is declared {declared} but was given {kind_of(value)}")
    if declared in ("Array", "Object", "Int", "Float", "Bool") and isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise refused from error
    fits = {
        "Array": isinstance(value, list),
        "Bool": isinstance(value, bool),
        "Float": isinstance(value, int | float) and not isinstance(value, bool),
        "Int": isinstance(value, int) and not isinstance(value, bool),
        "Object": isinstance(value, dict),
    }
    if declared in ("String", "SecureString"):
        if isinstance(value, dict) and value.get("type") == "SecureString":
            return value.get("value")
        # ExecutePipeline hands arrays and objects over as JSON text
        return value if isinstance(value, str) or value is None else json.dumps(value, separators=(",", ":"))
    if not fits.get(declared, True):
        raise refused
    return float(value) if declared == "Float" else value


def initial_variables(pipeline: Pipeline) -> dict[str, Json]:
    """The variables at the start of a run: defaults, else the empty value of the type."""
    return {name: variable.default for name, variable in pipeline.variables.items()}


def variable_name(pipeline: Pipeline, name: Json) -> str:
    """The declared spelling of a variable; ActivityError when there is none of that name."""
    for declared in pipeline.variables:
        if isinstance(name, str) and declared.casefold() == name.casefold():
            return declared
    known = ", ".join(pipeline.variables) or "none"
    raise ActivityError(f"The pipeline has no variable '{name}'; it has: {known}.", code="VariableNotFound")


def check_variable_value(pipeline: Pipeline, name: str, value: Json) -> None:
    """Raise ActivityError unless a value fits the variable's declared type."""
    declared = type_name(pipeline.variables[name].type)
    fits = {
        "Array": isinstance(value, list),
        "Bool": isinstance(value, bool),
        "Int": isinstance(value, int) and not isinstance(value, bool),
        "String": isinstance(value, str),
    }
    if not fits.get(declared, True):
        shown = {"Bool": "Boolean", "Int": "Integer"}.get(declared, declared)
        raise ActivityError(
            f"The variable '{name}' of type '{shown}' cannot be initialized or updated with value of type "
            f"'{kind_of(value)}'. The variable '{name}' only supports values of types '{shown}'.",
            code="InvalidVariableValue",
        )
