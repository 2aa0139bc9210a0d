"""Logical functions. `if`, `and`, `or` are lazy: what does not decide is never evaluated."""

from __future__ import annotations

from kyanite.expressions import values
from kyanite.expressions.functions.arguments import ArgumentRefused, boolean
from kyanite.expressions.ordering import order_key
from kyanite.expressions.scope import Evaluation, Json, Thunk


def and_(evaluation: Evaluation, *conditions: Thunk) -> bool:
    """True when all conditions are; stops at the first that is not."""
    return all(boolean(condition(evaluation), index) for index, condition in enumerate(conditions))


def or_(evaluation: Evaluation, *conditions: Thunk) -> bool:
    """True when one condition is; stops there."""
    return any(boolean(condition(evaluation), index) for index, condition in enumerate(conditions))


def if_(evaluation: Evaluation, condition: Thunk, when_true: Thunk, when_false: Thunk) -> Json:
    """One of two values; the other is not evaluated."""
    return when_true(evaluation) if boolean(condition(evaluation)) else when_false(evaluation)


def not_(evaluation: Evaluation, condition: Json) -> bool:
    """The opposite of a boolean."""
    return not boolean(condition)


def equals(evaluation: Evaluation, left: Json, right: Json) -> bool:
    """Deep equality without conversion; only 1 and 1.0 are equal across types."""
    if type(left) is str and type(right) is str:
        evaluation.spend(len(left) >> 10)
        return left == right
    return values.equal(left, right, evaluation)


def greater(evaluation: Evaluation, left: Json, right: Json) -> bool:
    """Order of two numbers or two texts."""
    return _order(evaluation, left, right) > 0


def greater_or_equals(evaluation: Evaluation, left: Json, right: Json) -> bool:
    """Order of two numbers or two texts."""
    return _order(evaluation, left, right) >= 0


def less(evaluation: Evaluation, left: Json, right: Json) -> bool:
    """Order of two numbers or two texts."""
    return _order(evaluation, left, right) < 0


def less_or_equals(evaluation: Evaluation, left: Json, right: Json) -> bool:
    """Order of two numbers or two texts."""
    return _order(evaluation, left, right) <= 0


def _order(evaluation: Evaluation, left: Json, right: Json) -> int:
    if values.is_number(left) and values.is_number(right):
        return int(left > right) - int(left < right)
    if type(left) is str and type(right) is str:
        evaluation.reserve(4 * (len(left) + len(right)))
        one, other = order_key(left), order_key(right)
        return int(one > other) - int(one < other)
    index = 0 if not (values.is_number(left) or type(left) is str) else 1
    kinds = f"'{values.kind_of(left)}' and '{values.kind_of(right)}'"
    raise ArgumentRefused(index, f"Two numbers or two strings are expected, not values of the types {kinds}.")
