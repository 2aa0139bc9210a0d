"""`-p NAME=VALUE`: text from a command line becomes a value of the declared type."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from kyanite.cli.documents import read_parameters
from kyanite.errors import ParameterError

parameter_option = click.option(
    "-p",
    "--parameter",
    "assignments",
    metavar="NAME=VALUE",
    multiple=True,
    help="A parameter; may be given many times. JSON for Array, Object, Int, Bool.",
)
parameters_option = click.option(
    "--parameters",
    "parameters_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="A JSON file of parameters (plain object or ARM parameters file); -p wins over it.",
)


def assigned(assignments: Iterable[str]) -> dict[str, str]:
    """`NAME=VALUE` texts as a mapping; a text without `=` is wrong usage."""
    values: dict[str, str] = {}
    for text in assignments:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise click.BadParameter(f"{text!r} is not NAME=VALUE.", param_hint="-p")
        values[name.strip()] = value
    return values


def gather(assignments: Iterable[str], file: Path | None, types: Mapping[str, str]) -> dict[str, Any]:
    """The values of a parameters file and of `-p`, the latter typed by `types` (declared name -> type).

    Names match without regard to case; a name that is not declared is kept for the caller to refuse.
    """
    declared = {name.casefold(): name for name in types}
    values = dict(read_parameters(file)) if file is not None else {}
    for name, text in assigned(assignments).items():
        spelled = declared.get(name.casefold(), name)
        for other in [key for key in values if key.casefold() == name.casefold()]:
            del values[other]
        values[spelled] = typed(spelled, text, types.get(spelled, "String"))
    return values


def typed(name: str, text: str, kind: str) -> Any:
    """The text as a value of a parameter type of Data Factory or of an ARM template."""
    convert = _CONVERTERS.get(kind.casefold())
    if convert is None:
        return text
    try:
        return convert(text)
    except (ValueError, RecursionError):
        raise ParameterError(
            f"{text!r} is not a value of type {kind}.",
            where=f"parameter {name}",
            cure=f"Write it as {_SAMPLES[kind.casefold()]}.",
            code="InvalidParameter",
        ) from None


def guessed(text: str) -> Any:
    """JSON where the text is JSON, else the text itself: for values whose type nobody declared."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _bool(text: str) -> bool:
    value = {"true": True, "false": False}.get(text.strip().casefold())
    if value is None:
        raise ValueError(text)
    return value


def _json_of(kind: type) -> Callable[[str], Any]:
    def convert(text: str) -> Any:
        value = json.loads(text)
        if not isinstance(value, kind):
            raise ValueError(text)
        return value

    return convert


def _number(text: str) -> float | int:
    value = json.loads(text)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(text)
    return value


_CONVERTERS: dict[str, Callable[[str], Any]] = {
    "array": _json_of(list),
    "bool": _bool,
    "boolean": _bool,
    "float": _number,
    "int": int,
    "integer": int,
    "number": _number,
    "object": _json_of(dict),
    "secureobject": _json_of(dict),
}
_SAMPLES = {
    "array": "JSON such as '[1, 2]'",
    "bool": "true or false",
    "boolean": "true or false",
    "float": "a number such as 2.5",
    "int": "a whole number such as 42",
    "integer": "a whole number such as 42",
    "number": "a number such as 2.5",
    "object": "JSON such as '{\"a\": 1}'",
    "secureobject": "JSON such as '{\"a\": 1}'",
}
