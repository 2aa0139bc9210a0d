"""The functions of the formula language. A list of doubles and vectors is flattened before a function sees it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kyanite.batch.autoscale.values import Value, ValueProblem, Vector, kind, read_time

if TYPE_CHECKING:
    from kyanite.batch.autoscale.evaluate import Evaluation

ANY = 1_000_000


class Stopped(Exception):
    """`stop()` was called."""


@dataclass(frozen=True, slots=True)
class Function:
    """How many arguments a function takes, and what it does with them."""

    least: int
    most: int
    do: Callable[[Evaluation, Sequence[Value]], Value]


def flat(arguments: Sequence[Value]) -> Vector:
    """One vector from doubles, vectors and metrics."""
    found: list[float] = []
    for value in arguments:
        match value:
            case float():
                found.append(value)
            case tuple():
                found += value
            case _:
                raise ValueProblem(f"Doubles and vectors are needed, this is a {kind(value)}.")
    return tuple(found)


def _of_list(do: Callable[[Vector], float]) -> Function:
    """A function of a doubleVecList; of no values at all it is NaN, as the service lets formulas go on."""
    return Function(0, ANY, lambda _, arguments: do(found) if (found := flat(arguments)) else math.nan)


def _each(do: Callable[[float], float]) -> Function:
    """A function of a double, or component-wise of a list."""

    def call(_: Evaluation, arguments: Sequence[Value]) -> Value:
        if len(arguments) == 1 and isinstance(arguments[0], float):
            return do(arguments[0])
        return tuple(do(item) for item in flat(arguments))

    return Function(1, ANY, call)


def _logarithm(do: Callable[[float], float]) -> Function:
    def checked(value: float) -> float:
        if not value > 0:
            raise ValueProblem(f"There is no logarithm of {value:g}.")
        return do(value)

    return _each(checked)


def _whole(do: Callable[[float], int]) -> Function:
    return _each(lambda value: float(do(value)) if math.isfinite(value) else value)


def _nearest(value: float) -> int:
    return math.floor(value + 0.5) if value >= 0 else math.ceil(value - 0.5)


def _deviation(values: Vector) -> float:
    if len(values) < 2:
        return math.nan
    middle = sum(values) / len(values)
    return math.sqrt(sum((value - middle) * (value - middle) for value in values) / (len(values) - 1))


def _extreme(pick: Callable[[Vector], float]) -> Callable[[Vector], float]:
    return lambda values: math.nan if any(map(math.isnan, values)) else pick(values)


def _percentile(_: Evaluation, arguments: Sequence[Value]) -> Value:
    values, percent = sorted(flat(arguments[:1])), _double(arguments[1])
    if not 0 <= percent <= 100:
        raise ValueProblem(f"A percentile is between 0 and 100, this is {percent:g}.")
    if not values:
        return math.nan
    place = (len(values) - 1) * percent / 100
    low = math.floor(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (place - low)


def _value_at(_: Evaluation, arguments: Sequence[Value]) -> Value:
    values, index = flat(arguments[:1]), _double(arguments[1])
    if not 0 <= index < len(values):
        raise ValueProblem(f"The vector has {len(values):,} elements; there is none at {index:g}.")
    return values[int(index)]


def _double(value: Value) -> float:
    if isinstance(value, float):
        return value
    raise ValueProblem(f"A double is needed, this is a {kind(value)}.")


def _time(evaluation: Evaluation, arguments: Sequence[Value]) -> Value:
    if not arguments or arguments[0] == "":
        return evaluation.now
    if not isinstance(arguments[0], str):
        raise ValueProblem(f"A time is given as a string, this is a {kind(arguments[0])}.")
    return read_time(arguments[0])


def _stop(_: Evaluation, __: Sequence[Value]) -> Value:
    raise Stopped


FUNCTIONS = {
    "avg": _of_list(lambda values: sum(values) / len(values)),
    "ceil": _whole(math.ceil),
    "floor": _whole(math.floor),
    "len": Function(0, ANY, lambda _, arguments: float(len(flat(arguments)))),
    "lg": _logarithm(math.log2),
    "ln": _logarithm(math.log),
    "log": _logarithm(math.log10),
    "max": _of_list(_extreme(max)),
    "min": _of_list(_extreme(min)),
    "norm": _of_list(lambda values: math.hypot(*values)),
    "percentile": Function(2, 2, _percentile),
    "rand": Function(0, 0, lambda evaluation, _: evaluation.rand()),
    "range": _of_list(_extreme(lambda values: max(values) - min(values))),
    "round": _whole(_nearest),
    "std": _of_list(_deviation),
    "stop": Function(0, 0, _stop),
    "sum": Function(0, ANY, lambda _, arguments: float(sum(flat(arguments)))),
    "time": Function(0, 1, _time),
    "val": Function(2, 2, _value_at),
    "vec": Function(0, ANY, lambda _, arguments: flat(arguments)),
}
