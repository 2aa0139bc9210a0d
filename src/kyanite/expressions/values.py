"""The value rules: text forms, equality, UTF-16 lengths, sizes.

Values are JSON values as Python holds them: `int` is a 64-bit integer, `float` a double, and they stay apart.
Text forms are those of the service's .NET engine.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from json.encoder import encode_basestring

from kyanite import limits
from kyanite.errors import ExpressionError
from kyanite.expressions.scope import Evaluation, Json

CONTENT_TYPE = "$content-type"
CONTENT = "$content"
XML_TYPE = "application/xml;charset=utf-8"
OCTET_TYPE = "application/octet-stream"

_SURROGATE = re.compile("[\ud800-\udfff]")
_WIDE = re.compile("[\U00010000-\U0010ffff]")


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


def float_text(number: float) -> str:
    """Shortest round-trip form; exponents from 1E+17 up and below 0.0001."""
    text = repr(number)
    if "e" not in text:
        return text.removesuffix(".0")
    mantissa, exponent = text.split("e")
    if exponent == "+16":
        return str(int(number))
    return f"{mantissa.removesuffix('.0')}E{exponent}"


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
        return float_text(value)
    if is_binary(value):
        return utf8_text(binary_content(value))
    return json_text(value, evaluation)


def json_text(value: Json, evaluation: Evaluation, *, canonical: bool = False) -> str:
    """Compact JSON: whole doubles keep `.0`, only control characters and quotes are escaped.

    `canonical` sorts the keys, so that equal values give equal texts.
    """
    writer = _JsonWriter(canonical)
    writer.write(value, 1)
    evaluation.reserve(writer.size)
    return "".join(writer.pieces)


class _JsonWriter:
    def __init__(self, canonical: bool) -> None:
        self.canonical = canonical
        self.pieces: list[str] = []
        self.size = 0

    def put(self, piece: str) -> None:
        self.pieces.append(piece)
        self.size += len(piece)
        if self.size > limits.EXPRESSION_RESULT_BYTES:
            raise ExpressionError(f"The JSON text would be larger than {limits.EXPRESSION_RESULT_BYTES} bytes.")

    def write(self, value: Json, level: int) -> None:
        if isinstance(value, Mapping):
            self.write_object(value, level)
        elif isinstance(value, list | tuple):
            check_depth(level)
            separator = "["
            for item in value:
                self.put(separator)
                self.write(item, level + 1)
                separator = ","
            self.put("]" if value else "[]")
        else:
            self.put(_json_scalar(value))

    def write_object(self, value: Mapping[str, Json], level: int) -> None:
        check_depth(level)
        separator = "{"
        for key in sorted(value) if self.canonical else value:
            self.put(separator)
            self.put(_json_string(key))
            self.put(":")
            self.write(value[key], level + 1)
            separator = ","
        self.put("}" if value else "{}")


def _json_scalar(value: Json) -> str:
    if type(value) is str:
        return _json_string(value)
    if value is None:
        return "null"
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is float:
        text = float_text(value)
        return text + ".0" if text.lstrip("-").isdigit() else text
    return str(value)


def _json_string(text: str) -> str:
    quoted: str = encode_basestring(text)
    if quoted.isascii():
        return quoted
    return quoted.replace("\x85", "\\u0085").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def check_depth(level: int) -> None:
    """Refuse containers nested deeper than JSON may be."""
    if level > limits.JSON_DEPTH:
        raise ExpressionError(f"The value is nested deeper than {limits.JSON_DEPTH} levels.")


def check_result(value: Json) -> None:
    """Refuse a result whose JSON would be too large or too deep; shared parts count each time they appear."""
    room = limits.EXPRESSION_RESULT_BYTES
    waiting: list[tuple[Json, int]] = [(value, 1)]
    while waiting:
        part, level = waiting.pop()
        if isinstance(part, str):
            room -= len(part) + 2
        elif isinstance(part, Mapping):
            check_depth(level)
            room -= 2 + sum(map(len, part)) + 4 * len(part)
            waiting.extend((item, level + 1) for item in part.values())
        elif isinstance(part, list | tuple):
            check_depth(level)
            room -= 2 + len(part)
            waiting.extend((item, level + 1) for item in part)
        else:
            room -= 4
        if room < 0:
            raise ExpressionError(f"The result is larger than {limits.EXPRESSION_RESULT_BYTES} bytes.")


def same(left: Json, right: Json, evaluation: Evaluation, level: int = 1) -> bool:
    """Deep equality that keeps types apart (`1` is not `1.0`); the order of an object's keys does not matter."""
    if isinstance(left, Mapping):
        if not isinstance(right, Mapping) or len(left) != len(right):
            return False
        check_depth(level)
        evaluation.spend(1 + (len(left) >> 4))
        return all(key in right and same(value, right[key], evaluation, level + 1) for key, value in left.items())
    if isinstance(left, list | tuple):
        if not isinstance(right, list | tuple) or len(left) != len(right):
            return False
        check_depth(level)
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
        return dict, json_text(value, evaluation, canonical=True)
    return type(value), value


def is_number(value: Json) -> bool:
    """Integers and doubles; booleans are no numbers."""
    return type(value) is int or type(value) is float


def is_binary(value: Json) -> bool:
    """The object form of binary and XML values."""
    return isinstance(value, Mapping) and CONTENT_TYPE in value and isinstance(value.get(CONTENT), str)


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


def utf8_text(content: bytes) -> str:
    """UTF-8 bytes as text; broken sequences become U+FFFD, as in .NET."""
    return content.decode("utf-8", "replace")


def utf8_bytes(text: str) -> bytes:
    """Text as UTF-8; half surrogate pairs become U+FFFD, as in .NET."""
    return whole_characters(text).encode("utf-8")


def whole_characters(text: str) -> str:
    """Join surrogate pairs and replace half ones by U+FFFD, so that the text can be stored anywhere."""
    if text.isascii() or not _SURROGATE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def length(text: str) -> int:
    """Length in UTF-16 units, as .NET counts: an emoji is 2."""
    return len(text) if text.isascii() else len(text) + len(_WIDE.findall(text))


def cut(text: str, start: int, stop: int) -> str:
    """The UTF-16 units `start` to `stop`; half an emoji becomes U+FFFD."""
    if text.isascii() or not _WIDE.search(text):
        return text[start:stop]
    return text.encode("utf-16-le", "surrogatepass")[2 * start : 2 * stop].decode("utf-16-le", "replace")


def unit_offset(text: str, offset: int) -> int:
    """The offset in UTF-16 units of the character at `offset`, or -1 for -1."""
    return offset if offset < 0 else length(text[:offset])


def upper(text: str) -> str:
    """Invariant upper case, one character for one (`ß` stays)."""
    if text.isascii():
        return text.upper()
    return "".join(changed if len(changed := letter.upper()) == 1 else letter for letter in text)


def lower(text: str) -> str:
    """Invariant lower case, one character for one."""
    if text.isascii():
        return text.lower()
    return "".join(changed if len(changed := letter.lower()) == 1 else letter for letter in text)


def find_key(mapping: Mapping[str, Json], name: str) -> str | None:
    """The key that `name` means: the exact one, else one that differs in case only, else None."""
    if name in mapping:
        return name
    folded = name.lower()
    return next((key for key in mapping if key.lower() == folded), None)
