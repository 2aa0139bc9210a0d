"""The value rules: types, text forms, equality, binary values.

Values are JSON values as Python holds them: `int` is a 64-bit integer, `float` a double, and they stay apart.
Text forms are those of the service's .NET engine.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping

from kyanite.errors import ExpressionError
from kyanite.expressions import json_text
from kyanite.expressions.characters import utf8_text
from kyanite.expressions.scope import Evaluation, Json

CONTENT_TYPE = "$content-type"
CONTENT = "$content"
XML_TYPE = "application/xml;charset=utf-8"
OCTET_TYPE = "application/octet-stream"


def kind_of(value: Json) -> str:
    """The engine's name of a value's type, for messages."""
    match value:
        case None:
            return "Null"
        case bool():
            return "Boolean"
        case int():
            return "Integer"
        case float():
            return "Float"
        case str():
            return "String"
        case Mapping():
            return "Object"
        case _:
            return "Array"


def text_form(value: Json, evaluation: Evaluation) -> str:
    """The text that interpolation, `concat`, `join` and `string` make of a value."""
    if type(value) is str:
        return value
    if value is None:
        return ""
    if type(value) is bool:
        return "True" if value else "False"
    if type(value) is int:
        return str(value)
    if type(value) is float:
        return json_text.float_text(value)
    if is_binary(value):
        return utf8_text(binary_content(value))
    return json_text.write(value, evaluation)


def same(left: Json, right: Json, evaluation: Evaluation, level: int = 1) -> bool:
    """Deep equality that keeps types apart (`1` is not `1.0`); the order of an object's keys does not matter."""
    if isinstance(left, Mapping):
        if not isinstance(right, Mapping) or len(left) != len(right):
            return False
        json_text.check_depth(level)
        evaluation.spend(1 + (len(left) >> 4))
        return all(key in right and same(value, right[key], evaluation, level + 1) for key, value in left.items())
    if isinstance(left, list | tuple):
        if not isinstance(right, list | tuple) or len(left) != len(right):
            return False
        json_text.check_depth(level)
        evaluation.spend(1 + (len(left) >> 4))
        return all(same(a, b, evaluation, level + 1) for a, b in zip(left, right, strict=True))
    return type(left) is type(right) and bool(left == right)


def equal(left: Json, right: Json, evaluation: Evaluation) -> bool:
    """`equals()`: like `same`, but an integer equals the double of the same value."""
    if is_number(left) and is_number(right):
        return bool(left == right)
    return same(left, right, evaluation)


def identity(value: Json, evaluation: Evaluation) -> tuple[type, Json]:
    """A hashable key: two values have the same one exactly when they are the `same`."""
    if isinstance(value, Mapping | list | tuple):
        return dict, json_text.write(value, evaluation, canonical=True)
    return type(value), value


def is_number(value: Json) -> bool:
    """Integers and doubles; booleans are no numbers."""
    return type(value) is int or type(value) is float


def is_binary(value: Json) -> bool:
    """The object form of binary and XML values."""
    return isinstance(value, Mapping) and CONTENT_TYPE in value and isinstance(value.get(CONTENT), str)


def is_xml(value: Json) -> bool:
    """Whether a value is binary with an XML content type."""
    return is_binary(value) and "xml" in str(value[CONTENT_TYPE]).lower()


def binary(content: bytes, content_type: str = OCTET_TYPE) -> dict[str, Json]:
    """Bytes as a value: an object with the content type and base64 content."""
    return {CONTENT_TYPE: content_type, CONTENT: base64.b64encode(content).decode("ascii")}


def binary_content(value: Mapping[str, Json]) -> bytes:
    """The bytes behind a binary value."""
    return base64_bytes(value[CONTENT])


def base64_bytes(text: str) -> bytes:
    """Strict base64 (padding required, blanks ignored); raises ExpressionError for other text."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ExpressionError("The text is not valid base64.") from None


def find_key(mapping: Mapping[str, Json], name: str) -> str | None:
    """The key that `name` means: the exact one, else one that differs in case only, else None."""
    if name in mapping:
        return name
    folded = name.lower()
    return next((key for key in mapping if key.lower() == folded), None)


def joined(items: Iterable[Json], delimiter: str, evaluation: Evaluation) -> str:
    """Text forms with a delimiter between them; the size is asked for before the result is built."""
    texts = [item if type(item) is str else text_form(item, evaluation) for item in items]
    size = sum(map(len, texts)) + len(delimiter) * len(texts)
    if size > 1024:
        evaluation.reserve(size)
    return delimiter.join(texts)
