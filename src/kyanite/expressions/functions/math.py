"""Arithmetic of 64-bit integers and doubles: two integers stay integers, a double makes the result a double."""

from __future__ import annotations

from math import fmod, isfinite

from kyanite.errors import ExpressionError
from kyanite.expressions.functions.arguments import ArgumentRefused, integer, number, numbers
from kyanite.expressions.scope import Evaluation, Json
from kyanite.expressions.syntax import INTEGER_MAXIMUM, INTEGER_MINIMUM

RANGE_ITEMS = 100_000  # the service's own bound of range()


def add(evaluation: Evaluation, left: Json, right: Json) -> int | float:
    """The sum."""
    return _fitting(number(left) + number(right, 1))


def sub(evaluation: Evaluation, left: Json, right: Json) -> int | float:
    """The difference."""
    return _fitting(number(left) - number(right, 1))


def mul(evaluation: Evaluation, left: Json, right: Json) -> int | float:
    """The product."""
    return _fitting(number(left) * number(right, 1))


def div(evaluation: Evaluation, left: Json, right: Json) -> int | float:
    """The quotient; of two integers cut toward zero."""
    dividend, divisor = number(left), number(right, 1)
    if divisor == 0:
        raise ArgumentRefused(1, "Division by zero.")
    if isinstance(dividend, int) and isinstance(divisor, int):
        quotient = abs(dividend) // abs(divisor)
        return _fitting(quotient if (dividend < 0) == (divisor < 0) else -quotient)
    return _fitting(dividend / divisor)


def mod(evaluation: Evaluation, left: Json, right: Json) -> int | float:
    """The remainder, with the sign of the first."""
    dividend, divisor = number(left), number(right, 1)
    if divisor == 0:
        raise ArgumentRefused(1, "Division by zero.")
    if isinstance(dividend, int) and isinstance(divisor, int):
        rest = abs(dividend) % abs(divisor)
        return rest if dividend >= 0 else -rest
    return fmod(dividend, divisor)


def max_(evaluation: Evaluation, *items: Json) -> int | float:
    """The largest of the arguments or of one array; a double when one of them is."""
    return _as_wide_as(numbers(items), max(numbers(items)))


def min_(evaluation: Evaluation, *items: Json) -> int | float:
    """The smallest of the arguments or of one array; a double when one of them is."""
    return _as_wide_as(numbers(items), min(numbers(items)))


def rand(evaluation: Evaluation, minimum: Json, maximum: Json) -> int:
    """A random integer from the minimum to below the maximum; randomness comes from the scope's GUIDs."""
    low, high = integer(minimum), integer(maximum, 1)
    if low > high:
        raise ArgumentRefused(1, "The maximum must not be less than the minimum.")
    noise = evaluation.scope.new_guid().int & (2**62 - 1)
    return low + noise % max(high - low, 1)


def range_(evaluation: Evaluation, start: Json, size: Json) -> list[int]:
    """Integers in a row."""
    first, number_of = integer(start), integer(size, 1)
    if not 0 <= number_of <= RANGE_ITEMS:
        raise ArgumentRefused(1, f"The count must be from 0 to {RANGE_ITEMS}.")
    evaluation.reserve_items(number_of)
    _fitting(first + number_of)
    return list(range(first, first + number_of))


def _as_wide_as(items: list[int | float], chosen: int | float) -> int | float:
    return float(chosen) if any(type(item) is float for item in items) else chosen


def _fitting(result: int | float) -> int | float:
    if isinstance(result, int):
        if not INTEGER_MINIMUM <= result <= INTEGER_MAXIMUM:
            raise ExpressionError("The result does not fit in a 64-bit integer.")
    elif not isfinite(result):
        raise ExpressionError("The result is too large for a double.")
    return result
