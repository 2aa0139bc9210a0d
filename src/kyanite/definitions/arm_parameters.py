"""Parameters of an ARM template: what is declared against what is given, with all mistakes named at once."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from kyanite.definitions.activity import as_object
from kyanite.definitions.arm_data_functions import same
from kyanite.definitions.arm_values import type_name
from kyanite.definitions.names import suggestion
from kyanite.errors import TemplateError, UnsupportedError

Json = Any

_TYPES = {
    "array": "array",
    "bool": "bool",
    "int": "int",
    "object": "object",
    "secureobject": "object",
    "securestring": "string",
    "string": "string",
}


def read_parameters(document: Mapping[str, Json]) -> dict[str, Json]:
    """Name -> value of a parameter file (`{"parameters": {name: {"value": ...}}}`); a plain map is taken as it is."""
    inner = document.get("parameters")
    if not isinstance(inner, dict):
        return {name: value for name, value in document.items() if name not in ("$schema", "contentVersion")}
    values: dict[str, Json] = {}
    for name, entry in inner.items():
        if isinstance(entry, dict) and "reference" in entry:
            raise UnsupportedError(
                f"The parameter {name!r} refers to a key vault.",
                where=f"parameters.{name}",
                cure="Give its value instead; SecureString parameters are kept sealed.",
            )
        if not isinstance(entry, dict) or "value" not in entry:
            raise TemplateError(
                f"The parameter {name!r} has no value.", where=f"parameters.{name}", cure='Write {"value": ...}.'
            )
        values[name] = entry["value"]
    return values


def resolve_types(declared: dict[str, Json], definitions: Json) -> dict[str, Json]:
    """The declarations with each `$ref` to a type of the template's own (`#/definitions/name`) followed."""
    known = as_object(definitions)
    resolved = {}
    for name, raw in declared.items():
        entry = raw
        for _ in range(len(known) + 1):
            if not isinstance(entry, dict) or not isinstance(entry.get("$ref"), str):
                break
            target = known.get(entry["$ref"].removeprefix("#/definitions/"))
            if not isinstance(target, dict):
                raise TemplateError(
                    f"The type {entry['$ref']!r} is not defined.",
                    where=f"parameters.{name}.$ref",
                    cure=suggestion(entry["$ref"].rpartition("/")[2], known, "definitions"),
                )
            entry = {**target, **{key: value for key, value in entry.items() if key != "$ref"}}
        resolved[name] = entry
    return resolved


def check_parameters(declared: Mapping[str, Json], given: Mapping[str, Json], where: str) -> dict[str, Json]:
    """The given values by declared name, converted from text where the type asks for it.

    One TemplateError names everything that is missing (with its description), unknown, of a wrong type or not allowed.
    """
    spelled = {name.lower(): name for name in declared}
    values: dict[str, Json] = {}
    mistakes: list[str] = []
    for name, value in given.items():
        target = spelled.get(name.lower())
        if target is None:
            mistakes.append(f"{name!r} is not declared ({suggestion(name, declared, 'parameters')[:-1]})")
            continue
        entry = as_object(declared[target])
        converted = _convert(value, entry)
        mistake = _mistake(converted, entry)
        if mistake:
            mistakes.append(f"{target!r} {mistake}")
        elif converted is not None or "defaultValue" not in entry:
            values[target] = converted
    for name, raw in declared.items():
        entry = as_object(raw)
        if name not in values and "defaultValue" not in entry and not _was_given(name, given):
            if entry.get("nullable") is True:
                values[name] = None
                continue
            description = as_object(entry.get("metadata")).get("description")
            kind = str(entry.get("type", "string"))
            mistakes.append(f"{name!r} ({kind}) is missing" + (f": {description}" if description else ""))
    if mistakes:
        listed = "; ".join(mistake.removesuffix(".") for mistake in mistakes)
        raise TemplateError(
            f"The template's parameters do not fit: {listed}.",
            where=where or "parameters",
            cure="Give each declared parameter without a default value, and no other.",
        )
    return values


def is_secure(entry: Json) -> bool:
    """Whether a declaration is a `secureString` or `secureObject`."""
    return str(as_object(entry).get("type", "")).lower().startswith("secure")


def check_default(name: str, value: Json, entry: Json, path: str) -> Json:
    """An evaluated default value, checked like a given one."""
    mistake = _mistake(value, as_object(entry))
    if mistake:
        raise TemplateError(f"The default of {name!r} {mistake}.", where=path, cure="Correct the default value.")
    return value


def _was_given(name: str, given: Mapping[str, Json]) -> bool:
    return any(other.lower() == name.lower() and value is not None for other, value in given.items())


def _convert(value: Json, entry: dict[str, Json]) -> Json:
    """Command lines give text; integers, booleans, arrays and objects are read out of it."""
    kind = _TYPES.get(str(entry.get("type", "string")).lower())
    if not isinstance(value, str) or kind in ("string", None):
        return value
    if kind == "int":
        return int(value) if re.fullmatch(r"[+-]?\d{1,18}", value, re.ASCII) else value
    if kind == "bool":
        return {"true": True, "false": False}.get(value.lower(), value)
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _mistake(value: Json, entry: dict[str, Json]) -> str:
    kind = str(entry.get("type", "string"))
    wanted = _TYPES.get(kind.lower())
    if wanted is None:
        return f"has the unknown type {kind!r} (known: {', '.join(sorted(_TYPES))})"
    if value is None:
        return "" if entry.get("nullable") is True or "defaultValue" in entry else "is missing (null)"
    if type_name(value) != wanted:
        return f"is of the type {type_name(value)}, not {kind}"
    allowed = entry.get("allowedValues")
    if isinstance(allowed, list) and not any(same(value, one) for one in allowed):
        return f"is not one of the allowed values {json.dumps(allowed, ensure_ascii=False)}"
    size = value if wanted == "int" else (len(value) if wanted in ("string", "array") else None)
    low, high = (entry.get(f"{end}{'Value' if wanted == 'int' else 'Length'}") for end in ("min", "max"))
    if isinstance(size, int) and isinstance(low, int) and size < low:
        return f"is below the minimum {low}"
    if isinstance(size, int) and isinstance(high, int) and size > high:
        return f"is above the maximum {high}"
    return ""
