"""Values inside ARM templates: their type names, their text form, and checks of arguments."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from kyanite import limits
from kyanite.errors import LimitError, TemplateError

Json = Any


def type_name(value: Json) -> str:
    """The ARM name of a value's type."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    names = ((str, "string"), (int, "int"), (float, "float"), (list, "array"), (dict, "object"))
    return next((name for kind, name in names if isinstance(value, kind)), "lambda")


def text_form(value: Json) -> str:
    """A value as `concat`, `string` and `format` print it: `True`, `False`, compact JSON for arrays and objects."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool | int):
        return str(value)
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    guard_length(len(text))
    return text


def want(function: str, value: Json, *kinds: str) -> Json:
    """The value when its type is one of `kinds`, otherwise TemplateError."""
    if type_name(value) not in kinds:
        raise TemplateError(
            f"{function} got a value of the type {type_name(value)} where it wants {' or '.join(kinds)}.",
            cure=f"Give {function} a value of that type.",
        )
    return value


def want_all(function: str, values: Sequence[Json], kind: str) -> Sequence[Json]:
    """The values when all are of one type, otherwise TemplateError."""
    for value in values:
        want(function, value, kind)
    return values


def guard_length(length: int) -> None:
    """Refuse a result longer than a document may ever be (LimitError)."""
    if length > limits.EXPRESSION_RESULT_BYTES:
        raise LimitError(
            f"A template expression gives more than {limits.EXPRESSION_RESULT_BYTES:,} characters.",
            cure="Make the value smaller.",
        )


def guard_size(value: Json) -> None:
    """Refuse a value whose JSON text would be too large; shared parts count as often as they stand in it."""
    total = 0
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting += item.values()
            total += sum(len(key) + 4 for key in item)
        elif isinstance(item, list):
            waiting += item
        total += len(item) + 2 if isinstance(item, str | list) else 4
        guard_length(total)
