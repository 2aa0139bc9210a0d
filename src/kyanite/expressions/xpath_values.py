"""The values of XPath 1.0 (nodes, double, string, boolean), their conversions, comparison and core functions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import ceil, floor, isfinite, isinf, isnan, nan
from operator import ge, gt, le, lt
from typing import Protocol, TypeAlias

from kyanite.errors import ExpressionError
from kyanite.expressions.json_text import float_text
from kyanite.expressions.xml_tree import XmlNode

Value: TypeAlias = list[XmlNode] | float | str | bool


class Work(Protocol):
    """Who is told of visited nodes."""

    def visit(self, count: int) -> None:
        """So many nodes were looked at."""


@dataclass(frozen=True, slots=True)
class Focus:
    """Where a part of a query is evaluated: the node, its position from 1 among `size`."""

    node: XmlNode
    position: int
    size: int
    work: Work


_NUMBER = re.compile(r"-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)")
_SPACE = " \t\r\n"


def node_set(value: Value) -> list[XmlNode]:
    """The value as nodes; other kinds are refused."""
    if isinstance(value, list):
        return value
    raise ExpressionError("The XPath query uses a value where it needs nodes.")


def in_order(nodes: Iterable[XmlNode]) -> list[XmlNode]:
    """Nodes once each in document order."""
    return sorted({id(node): node for node in nodes}.values(), key=lambda node: node.order)


def _text(node: XmlNode, focus: Focus) -> str:
    focus.work.visit(1 + max(node.last - node.order, 0))
    text = node.text
    focus.work.visit(len(text) >> 6)
    return text


def string(value: Value, focus: Focus) -> str:
    """The string form; of nodes that of the first."""
    if isinstance(value, list):
        return _text(value[0], focus) if value else ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if not isfinite(value):
            return "NaN" if isnan(value) else "Infinity" if value > 0 else "-Infinity"
        return float_text(value + 0.0) if value else "0"
    return value


def number(value: Value, focus: Focus) -> float:
    """The number form; NaN for texts that are none."""
    if isinstance(value, bool | float):
        return float(value)
    text = string(value, focus).strip(_SPACE)
    return float(text) if _NUMBER.fullmatch(text) else nan


def boolean(value: Value) -> bool:
    """Nodes and texts are true when there are any, numbers when neither 0 nor NaN."""
    if isinstance(value, float):
        return bool(value) and not isnan(value)
    return bool(value)


def compare(operator: str, left: Value, right: Value, focus: Focus) -> bool:
    """Nodes compare when any of them does."""
    if operator in ("=", "!=") and (isinstance(left, bool) or isinstance(right, bool)):
        return (boolean(left) == boolean(right)) == (operator == "=")
    lefts: list[Value] = [_text(node, focus) for node in left] if isinstance(left, list) else [left]
    rights: list[Value] = [_text(node, focus) for node in right] if isinstance(right, list) else [right]
    focus.work.visit(len(lefts) * len(rights))
    return any(_compare_one(operator, one, other, focus) for one in lefts for other in rights)


_ORDERS: dict[str, Callable[[float, float], bool]] = {"<": lt, "<=": le, ">": gt, ">=": ge}


def _compare_one(operator: str, left: Value, right: Value, focus: Focus) -> bool:
    if operator in _ORDERS:
        return _ORDERS[operator](number(left, focus), number(right, focus))
    if isinstance(left, float) or isinstance(right, float):
        return (number(left, focus) == number(right, focus)) == (operator == "=")
    return (string(left, focus) == string(right, focus)) == (operator == "=")


def _named(part: Callable[[XmlNode], str]) -> Callable[..., Value]:
    def function(focus: Focus, nodes: Value | None = None) -> Value:
        found = [focus.node] if nodes is None else node_set(nodes)
        return part(found[0]) if found else ""

    return function


def _own(focus: Focus, value: Value | None) -> Value:
    return [focus.node] if value is None else value


def _substring(focus: Focus, text: Value, start: Value, length: Value | None = None) -> Value:
    whole = string(text, focus)
    first = _rounded(number(start, focus))
    last = float("inf") if length is None else first + _rounded(number(length, focus))
    return "".join(letter for place, letter in enumerate(whole, 1) if first <= place < last)


def _rounded(value: float) -> float:
    return float(floor(value + 0.5)) if isfinite(value) else value


def _translated(focus: Focus, text: Value, old: Value, new: Value) -> Value:
    replacements = string(new, focus)
    table: dict[int, str | None] = {}
    for index, letter in enumerate(string(old, focus)):
        table.setdefault(ord(letter), replacements[index] if index < len(replacements) else None)
    return string(text, focus).translate(table)


def _whole(function: Callable[[float], int]) -> Callable[..., Value]:
    def rounded(focus: Focus, value: Value) -> Value:
        found = number(value, focus)
        return found if isnan(found) or isinf(found) else float(function(found))

    return rounded


def _after(focus: Focus, text: Value, mark: Value) -> Value:
    return string(text, focus).partition(string(mark, focus))[2] if string(mark, focus) else string(text, focus)


def _before(focus: Focus, text: Value, mark: Value) -> Value:
    before, found, _ = string(text, focus).partition(string(mark, focus)) if string(mark, focus) else ("", "", "")
    return before if found else ""


_MANY = 1000
FUNCTIONS: dict[str, tuple[Callable[..., Value], int, int]] = {
    "boolean": (lambda focus, value: boolean(value), 1, 1),
    "ceiling": (_whole(ceil), 1, 1),
    "concat": (lambda focus, *values: "".join(string(value, focus) for value in values), 2, _MANY),
    "contains": (lambda focus, text, part: string(part, focus) in string(text, focus), 2, 2),
    "count": (lambda focus, nodes: float(len(node_set(nodes))), 1, 1),
    "false": (lambda focus: False, 0, 0),
    "floor": (_whole(floor), 1, 1),
    "last": (lambda focus: float(focus.size), 0, 0),
    "local-name": (_named(lambda node: node.local_name), 0, 1),
    "name": (_named(lambda node: node.name), 0, 1),
    "namespace-uri": (_named(lambda node: node.namespace), 0, 1),
    "normalize-space": (lambda focus, text=None: " ".join(string(_own(focus, text), focus).split()), 0, 1),
    "not": (lambda focus, value: not boolean(value), 1, 1),
    "number": (lambda focus, value=None: number(_own(focus, value), focus), 0, 1),
    "position": (lambda focus: float(focus.position), 0, 0),
    "round": (lambda focus, value: _rounded(number(value, focus)), 1, 1),
    "starts-with": (lambda focus, text, part: string(text, focus).startswith(string(part, focus)), 2, 2),
    "string": (lambda focus, value=None: string(_own(focus, value), focus), 0, 1),
    "string-length": (lambda focus, text=None: float(len(string(_own(focus, text), focus))), 0, 1),
    "substring": (_substring, 2, 3),
    "substring-after": (_after, 2, 2),
    "substring-before": (_before, 2, 2),
    "sum": (lambda focus, nodes: float(sum(number([node], focus) for node in node_set(nodes))), 1, 1),
    "translate": (_translated, 3, 3),
    "true": (lambda focus: True, 0, 0),
}
