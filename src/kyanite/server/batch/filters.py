"""The Batch service's `$filter` language: read once, then asked about each object of a list.

    expression = term ("or" term)*          term = factor ("and" factor)*
    factor = "(" expression ")" | "startswith" "(" property "," text ")" | property operator literal
    operator = eq ne gt ge lt le            literal = 'text' | 12 | 1.5 | true | false | null | DateTime'...'

Names are compared exactly, texts without regard to case (batch reference 23; OData filters in Batch).
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from kyanite import limits

Literal = str | int | float | bool | datetime | None

_TOKEN = re.compile(
    r"\s*(?:(?P<date>[Dd]ate[Tt]ime'(?P<moment>[^']*)')|(?P<text>'(?:[^']|'')*')|(?P<number>-?\d+(?:\.\d+)?(?![\w.]))"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*(?:/[A-Za-z_][A-Za-z0-9_]*)*)|(?P<mark>[(),]))"
)
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
}
_CONSTANTS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
_LONGEST_NUMBER = 40


class FilterProblem(Exception):
    """Why a filter cannot be used; the text goes to the client as the reason."""


@dataclass(frozen=True)
class Comparison:
    """One condition: a property's path, an operator (`startswith` too) and the value it is compared with."""

    path: tuple[str, ...]
    operator: str
    value: Literal

    def matches(self, document: Mapping[str, Any]) -> bool:
        """Whether an object fulfils it; a property that is not there is equal to nothing but null."""
        found: Any = document
        for name in self.path:
            found = found.get(name) if isinstance(found, Mapping) else None
        if self.operator == "startswith":
            return isinstance(found, str) and found.casefold().startswith(str(self.value).casefold())
        left, right = _comparable(found, self.value)
        if left is None or right is None or type(left) is not type(right):
            both_missing = left is None and right is None
            return both_missing if self.operator == "eq" else self.operator == "ne" and not both_missing
        return _OPERATORS[self.operator](left, right)


@dataclass(frozen=True)
class Both:
    """All of these hold."""

    parts: tuple[Condition, ...]

    def matches(self, document: Mapping[str, Any]) -> bool:
        """Whether an object fulfils every part."""
        return all(part.matches(document) for part in self.parts)


@dataclass(frozen=True)
class Either:
    """At least one of these holds."""

    parts: tuple[Condition, ...]

    def matches(self, document: Mapping[str, Any]) -> bool:
        """Whether an object fulfils some part."""
        return any(part.matches(document) for part in self.parts)


Condition = Comparison | Both | Either


def parse_filter(text: str, allowed: Mapping[str, frozenset[str]]) -> Condition:
    """The condition a filter states; `allowed` has the operators of each property (`executionInfo/exitCode`).

    FilterProblem for a wrong text, an unknown property, an operator it does not take, and beyond the limits.
    """
    if len(text) > limits.BATCH_FILTER_CHARACTERS:
        raise FilterProblem(f"The filter has more than {limits.BATCH_FILTER_CHARACTERS} characters.")
    parser = _Parser(list(_tokens(text)), allowed)
    condition = parser.either(0)
    if parser.kind:
        raise FilterProblem(f"'{parser.text}' is not expected at character {parser.at + 1}.")
    return condition


def comparisons(condition: Condition) -> Iterator[Comparison]:
    """Every comparison within a condition."""
    if isinstance(condition, Comparison):
        yield condition
        return
    for part in condition.parts:
        yield from comparisons(part)


def fixed(condition: Condition | None) -> Mapping[str, str]:
    """What every object that fulfils a condition has for sure: a `state`, a `prefix` of its `id` (each may be absent).

    So that a store can leave out the others before they are read; texts in lower case.
    """
    found: dict[str, str] = {}
    parts = condition.parts if isinstance(condition, Both) else (condition,)
    for part in parts:
        if not isinstance(part, Comparison) or not isinstance(part.value, str):
            continue
        if part.path == ("state",) and part.operator == "eq":
            found["state"] = part.value.casefold()
        if part.path == ("id",) and part.operator in ("eq", "startswith"):
            found["prefix"] = part.value.casefold()
    return found


class _Parser:
    """Recursive descent over the tokens (kind, text, value, position); the last one has no kind."""

    def __init__(self, tokens: list[tuple[str, str, Literal, int]], allowed: Mapping[str, frozenset[str]]) -> None:
        self._tokens = tokens
        self._next = 0
        self._allowed = allowed
        self._count = 0
        self._advance()

    def _advance(self) -> None:
        self.kind, self.text, self.value, self.at = self._tokens[self._next]
        self._next = min(self._next + 1, len(self._tokens) - 1)

    def _is_word(self, word: str) -> bool:
        return self.kind == "name" and self.text.lower() == word

    def _expect(self, mark: str) -> None:
        if self.kind != "mark" or self.text != mark:
            raise FilterProblem(f"'{mark}' is expected at character {self.at + 1}.")
        self._advance()

    def either(self, depth: int) -> Condition:
        if depth > limits.BATCH_FILTER_DEPTH:
            raise FilterProblem(f"The filter is nested more than {limits.BATCH_FILTER_DEPTH} deep.")
        parts = [self._both(depth)]
        while self._is_word("or"):
            self._advance()
            parts.append(self._both(depth))
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _both(self, depth: int) -> Condition:
        parts = [self._factor(depth)]
        while self._is_word("and"):
            self._advance()
            parts.append(self._factor(depth))
        return parts[0] if len(parts) == 1 else Both(tuple(parts))

    def _factor(self, depth: int) -> Condition:
        if self.kind == "mark" and self.text == "(":
            self._advance()
            inner = self.either(depth + 1)
            self._expect(")")
            return inner
        self._count += 1
        if self._count > limits.BATCH_FILTER_COMPARISONS:
            raise FilterProblem(f"The filter has more than {limits.BATCH_FILTER_COMPARISONS} comparisons.")
        if self._is_word("startswith"):
            return self._starts_with()
        name = self._property()
        word = self.text.lower()
        if self.kind != "name" or word not in _OPERATORS:
            raise FilterProblem(f"An operator (eq, ne, gt, ge, lt, le) is expected at character {self.at + 1}.")
        self._advance()
        return self._comparison(name, word, self._literal())

    def _starts_with(self) -> Condition:
        self._advance()
        self._expect("(")
        name = self._property()
        self._expect(",")
        value = self._literal()
        self._expect(")")
        if not isinstance(value, str):
            raise FilterProblem("startswith takes a text.")
        return self._comparison(name, "startswith", value)

    def _property(self) -> str:
        if self.kind != "name":
            raise FilterProblem(f"A property is expected at character {self.at + 1}.")
        name = self.text
        self._advance()
        return name

    def _literal(self) -> Literal:
        if self.kind == "name" and self.text in _CONSTANTS:
            value: Literal = _CONSTANTS[self.text]
        elif self.kind in ("text", "number", "date"):
            value = self.value
        else:
            raise FilterProblem(f"A value is expected at character {self.at + 1}.")
        self._advance()
        return value

    def _comparison(self, name: str, word: str, value: Literal) -> Comparison:
        operators = self._allowed.get(name)
        if operators is None:
            known = ", ".join(sorted(self._allowed)) or "none"
            raise FilterProblem(f"This list cannot be filtered by '{name[:100]}'. Properties: {known}.")
        if word not in operators:
            raise FilterProblem(f"'{name}' cannot be compared with {word}. Operators: {', '.join(sorted(operators))}.")
        return Comparison(tuple(name.split("/")), word, value)


def _tokens(text: str) -> Iterator[tuple[str, str, Literal, int]]:
    at = 0
    end = len(text.rstrip())
    while at < end:
        found = _TOKEN.match(text, at)
        if found is None:
            raise FilterProblem(f"The filter cannot be read at character {at + 1}.")
        kind = found.lastgroup if found.lastgroup != "moment" else "date"
        piece = found[kind or ""]
        yield str(kind), piece, _value(str(kind), piece, found["moment"]), found.start(str(kind))
        at = found.end()
    yield "", "the end", None, end


def _value(kind: str, piece: str, moment: str | None) -> Literal:
    if kind == "text":
        return piece[1:-1].replace("''", "'")
    if kind == "number":
        if len(piece) > _LONGEST_NUMBER:
            raise FilterProblem("A number of the filter is too long.")
        return float(piece) if "." in piece else int(piece)
    if kind == "date":
        found = read_moment(moment or "")
        if found is None:
            raise FilterProblem(f"'{(moment or '')[:100]}' is not a date and time.")
        return found
    return None


def read_moment(text: str) -> datetime | None:
    """An ISO 8601 time of the service (up to 7 digits of a second, Z) or an RFC 1123 date; None for anything else."""
    trimmed = re.sub(r"(\.\d{6})\d+", r"\1", text.strip())
    try:
        found = datetime.fromisoformat(trimmed)
    except ValueError:
        try:
            found = parsedate_to_datetime(trimmed)
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _comparable(found: Any, value: Literal) -> tuple[Any, Any]:
    """Both sides as values that can be compared, None where there is nothing."""
    if isinstance(value, datetime):
        return (read_moment(found) if isinstance(found, str) else None), value
    if isinstance(value, str):
        return (found.casefold() if isinstance(found, str) else None), value.casefold()
    if isinstance(value, int | float) and not isinstance(value, bool):
        is_number = isinstance(found, int | float) and not isinstance(found, bool)
        return (float(found) if is_number else None), float(value)
    return found, value


_EQUAL = frozenset({"eq", "ne"})
_ORDER = frozenset(_OPERATORS)
_TEXT = _ORDER | {"startswith"}
_FILE_FILTER = {"name": frozenset({"startswith"})}
_JOB_FILTER = {
    "state": _EQUAL,
    "stateTransitionTime": _ORDER,
    "previousState": _EQUAL,
    "previousStateTransitionTime": _ORDER,
    "creationTime": _ORDER,
    "lastModified": _ORDER,
    "priority": _ORDER,
    "executionInfo/startTime": _ORDER,
    "executionInfo/endTime": _ORDER,
    "executionInfo/poolId": _TEXT,
    "executionInfo/terminateReason": _TEXT,
}

# list -> property -> operators; what the reference does not tell of pools, jobs and tasks is allowed generously
FILTERS: dict[str, Mapping[str, frozenset[str]]] = {
    "images": {"osType": _EQUAL, "verificationType": _EQUAL, "nodeAgentSKUId": _EQUAL},
    "nodes": {
        "id": _TEXT,
        "state": _EQUAL,
        "stateTransitionTime": _ORDER,
        "lastBootTime": _ORDER,
        "allocationTime": _ORDER,
        "schedulingState": _EQUAL,
        "startTaskInfo/state": _EQUAL,
        "startTaskInfo/result": _EQUAL,
        "startTaskInfo/exitCode": _ORDER,
        "startTaskInfo/startTime": _ORDER,
        "startTaskInfo/endTime": _ORDER,
    },
    "nodecounts": {"poolId": frozenset({"eq"})},
    "files": _FILE_FILTER,
    "jobs": {"id": _TEXT, **_JOB_FILTER},
    "jobschedules": {
        "id": _TEXT,
        "state": _EQUAL,
        "stateTransitionTime": _ORDER,
        "previousState": _EQUAL,
        "previousStateTransitionTime": _ORDER,
        "creationTime": _ORDER,
        "lastModified": _ORDER,
        "executionInfo/nextRunTime": _ORDER,
        "executionInfo/endTime": _ORDER,
    },
    "pools": {
        "id": _TEXT,
        "displayName": _TEXT,
        "state": _EQUAL,
        "allocationState": _EQUAL,
        "stateTransitionTime": _ORDER,
        "allocationStateTransitionTime": _ORDER,
        "creationTime": _ORDER,
        "lastModified": _ORDER,
        "enableAutoScale": _EQUAL,
        "vmSize": _TEXT,
    },
    "prep": {
        "poolId": _TEXT,
        "nodeId": _TEXT,
        "jobPreparationTaskExecutionInfo/startTime": _ORDER,
        "jobPreparationTaskExecutionInfo/endTime": _ORDER,
        "jobPreparationTaskExecutionInfo/exitCode": _ORDER,
        "jobReleaseTaskExecutionInfo/startTime": _ORDER,
        "jobReleaseTaskExecutionInfo/endTime": _ORDER,
        "jobReleaseTaskExecutionInfo/exitCode": _ORDER,
    },
    "tasks": {
        "id": _TEXT,
        "displayName": _TEXT,
        "state": _EQUAL,
        "previousState": _EQUAL,
        "stateTransitionTime": _ORDER,
        "previousStateTransitionTime": _ORDER,
        "creationTime": _ORDER,
        "lastModified": _ORDER,
        "executionInfo/startTime": _ORDER,
        "executionInfo/endTime": _ORDER,
        "executionInfo/exitCode": _ORDER,
        "executionInfo/retryCount": _ORDER,
        "executionInfo/requeueCount": _ORDER,
        "executionInfo/result": _EQUAL,
        "executionInfo/failureInfo/category": _EQUAL,
        "executionInfo/failureInfo/code": _EQUAL,
        "nodeInfo/poolId": _TEXT,
        "nodeInfo/nodeId": _TEXT,
    },
    "usage": {},
}
