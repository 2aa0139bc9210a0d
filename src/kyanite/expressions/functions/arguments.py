"""Checks of what a function was given; each refusal names the argument so that the error can point at it."""

from __future__ import annotations

from collections.abc import Mapping

from kyanite.errors import ExpressionError
from kyanite.expressions.scope import Evaluation, Json
from kyanite.expressions.syntax import INTEGER_MAXIMUM, INTEGER_MINIMUM
from kyanite.expressions.values import is_number, is_xml, kind_of, text_form
from kyanite.expressions.xml_tree import XmlNode, parse_xml


class ArgumentRefused(ExpressionError):
    """A function cannot take its argument number `index` (0-based); evaluation adds name, text and position."""

    def __init__(self, index: int, reason: str, *seen: Json) -> None:
        super().__init__(reason)
        self.index = index
        self.seen = seen


def text(value: Json, index: int = 0) -> str:
    """The argument as text; numbers, booleans and null are refused."""
    if type(value) is str:
        return value
    raise ArgumentRefused(index, f"A string is expected, not a value of type '{kind_of(value)}'.")


def integer(value: Json, index: int = 0) -> int:
    """The argument as an integer; `1.0` and `'1'` are refused."""
    if type(value) is int:
        return value
    raise ArgumentRefused(index, f"An integer is expected, not a value of type '{kind_of(value)}'.")


def number(value: Json, index: int = 0) -> int | float:
    """The argument as an integer of 64 bits or a double; JSON texts can hold larger integers, which are refused."""
    if type(value) is float or (type(value) is int and INTEGER_MINIMUM <= value <= INTEGER_MAXIMUM):
        return value
    if type(value) is int:
        raise ArgumentRefused(index, "The integer does not fit in 64 bits.")
    raise ArgumentRefused(index, f"A number is expected, not a value of type '{kind_of(value)}'.")


def boolean(value: Json, index: int = 0) -> bool:
    """The argument as a boolean; `'true'`, 1 and null are refused."""
    if type(value) is bool:
        return value
    raise ArgumentRefused(index, f"A boolean is expected, not a value of type '{kind_of(value)}'.", value)


def array(value: Json, index: int = 0) -> list[Json]:
    """The argument as an array."""
    if isinstance(value, list | tuple):
        return value if isinstance(value, list) else list(value)
    raise ArgumentRefused(index, f"An array is expected, not a value of type '{kind_of(value)}'.")


def text_or_array(value: Json, index: int = 0) -> str | list[Json]:
    """The argument as text or as an array."""
    if type(value) is str or type(value) is list:
        return value
    if isinstance(value, tuple):
        return list(value)
    raise ArgumentRefused(index, f"A string or an array is expected, not a value of type '{kind_of(value)}'.")


def count(value: Json, index: int) -> int:
    """The argument as an integer that is not negative."""
    if integer(value, index) < 0:
        raise ArgumentRefused(index, "The number must not be negative.")
    return int(value)


def collections(values: tuple[Json, ...]) -> list[list[Json]] | list[Mapping[str, Json]]:
    """All arguments, which must be all arrays or all objects."""
    objects = [value for value in values if isinstance(value, Mapping)]
    if len(objects) == len(values):
        return objects
    for index, value in enumerate(values):
        if not isinstance(value, list | tuple):
            raise ArgumentRefused(index, f"All must be arrays or all objects, this is of type '{kind_of(value)}'.")
    return [list(value) for value in values]


def numbers(values: tuple[Json, ...]) -> list[int | float]:
    """All arguments, or the items of the only one, as numbers; none at all is refused."""
    items = values[0] if len(values) == 1 and isinstance(values[0], list | tuple) else values
    if not items:
        raise ArgumentRefused(0, "The array has no items.")
    for index, item in enumerate(items):
        if not is_number(item):
            place = 0 if items is not values else index
            raise ArgumentRefused(place, f"Numbers are expected, not a value of type '{kind_of(item)}'.")
        number(item, 0 if items is not values else index)
    return list(items)


def xml_document(value: Json, index: int, evaluation: Evaluation) -> XmlNode:
    """The document of an XML value; texts are refused."""
    if not is_xml(value):
        raise ArgumentRefused(index, f"An XML value is expected, not a value of type '{kind_of(value)}'.")
    whole = text_form(value, evaluation)
    evaluation.spend(len(whole) >> 6)
    try:
        return parse_xml(whole)
    except ExpressionError as problem:
        raise ArgumentRefused(index, problem.message) from None
