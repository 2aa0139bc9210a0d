"""The functions of ARM templates that call a lambda for each item: name -> (fewest arguments, most, function)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cmp_to_key
from typing import Any

from kyanite.definitions.arm_environment import FunctionScope
from kyanite.definitions.arm_values import text_form, type_name, want
from kyanite.errors import TemplateError

Json = Any


@dataclass(frozen=True)
class Lambda:
    """`lambda('x', 'y', body)`: what it gives for values of its variables."""

    names: tuple[str, ...]
    call: Callable[[Sequence[Json]], Json]


def make_lambda(scope: FunctionScope, arguments: Sequence[Callable[..., Json]]) -> Lambda:
    """The lambda whose last argument is its body, the others the names of its variables."""
    *named, body = arguments
    names = tuple(str(want("lambda", each(), "string")) for each in named)

    def call(values: Sequence[Json]) -> Json:
        return scope.counted(body(scope.with_locals(dict(zip(names, values, strict=True)))))

    return Lambda(names, call)


def lambda_variable(scope: FunctionScope, arguments: Sequence[Json]) -> Json:
    """The value of a lambda's variable inside its body."""
    return scope.local(want("lambdaVariables", arguments[0], "string"))


def _applied(function: str, given: Json, *fewest: int) -> Callable[..., Json]:
    if not isinstance(given, Lambda) or len(given.names) not in fewest:
        counts = " or ".join(map(str, fewest))
        raise TemplateError(
            f"{function} wants a lambda with {counts} variable(s).", cure=f"Write {function}(..., lambda('x', ...))."
        )
    return lambda *values: given.call(values[: len(given.names)])


def _map(arguments: Sequence[Json]) -> list[Json]:
    call = _applied("map", arguments[1], 1, 2)
    return [call(item, index) for index, item in enumerate(want("map", arguments[0], "array"))]


def _filter(arguments: Sequence[Json]) -> list[Json]:
    call = _applied("filter", arguments[1], 1, 2)
    items = want("filter", arguments[0], "array")
    return [item for index, item in enumerate(items) if want("filter", call(item, index), "bool")]


def _reduce(arguments: Sequence[Json]) -> Json:
    call = _applied("reduce", arguments[2], 2, 3)
    result = arguments[1]
    for index, item in enumerate(want("reduce", arguments[0], "array")):
        result = call(result, item, index)
    return result


def _sort(arguments: Sequence[Json]) -> list[Json]:
    before = _applied("sort", arguments[1], 2)

    def compare(left: Json, right: Json) -> int:
        if want("sort", before(left, right), "bool"):
            return -1
        return 1 if want("sort", before(right, left), "bool") else 0

    return sorted(want("sort", arguments[0], "array"), key=cmp_to_key(compare))


def _to_object(arguments: Sequence[Json]) -> dict[str, Json]:
    key = _applied("toObject", arguments[1], 1)
    items = {text_form(key(item)): item for item in want("toObject", arguments[0], "array")}
    if len(arguments) == 2:
        return items
    value = _applied("toObject", arguments[2], 1)
    return {name: value(item) for name, item in items.items()}


def _group_by(arguments: Sequence[Json]) -> dict[str, list[Json]]:
    key = _applied("groupBy", arguments[1], 1)
    groups: dict[str, list[Json]] = {}
    for item in want("groupBy", arguments[0], "array"):
        groups.setdefault(text_form(key(item)), []).append(item)
    return groups


def _map_values(arguments: Sequence[Json]) -> dict[str, Json]:
    call = _applied("mapValues", arguments[1], 1)
    return {key: call(item) for key, item in want("mapValues", arguments[0], "object").items()}


def refuse_lambda(value: Json) -> Json:
    """The value of an expression, which may not be a lambda itself."""
    if type_name(value) == "lambda":
        raise TemplateError("A lambda stands where a value is needed.", cure="Give it to map, filter, reduce or sort.")
    return value


LAMBDA_FUNCTIONS: Mapping[str, tuple[int, int | None, Callable[[Sequence[Json]], Json]]] = {
    "filter": (2, 2, _filter),
    "groupBy": (2, 2, _group_by),
    "map": (2, 2, _map),
    "mapValues": (2, 2, _map_values),
    "reduce": (3, 3, _reduce),
    "sort": (2, 2, _sort),
    "toObject": (2, 3, _to_object),
}
