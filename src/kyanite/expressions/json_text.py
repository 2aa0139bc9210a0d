"""JSON texts as the service's engine writes and reads them: compact output, strict or lenient input."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from json.encoder import encode_basestring

from kyanite import limits
from kyanite.errors import ExpressionError
from kyanite.expressions.characters import whole_characters
from kyanite.expressions.scope import MISSING, Evaluation, Json

_SPACE = re.compile(r"(?:\s++|/\*.*?\*/|//[^\r\n]*+)*+", re.DOTALL)
_NUMBER = re.compile(r"[+-]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]++)?")
_NAME = re.compile(r"[\w$]++")
_PLAIN = {'"': re.compile(r'[^"\\]*+'), "'": re.compile(r"[^'\\]*+")}
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_WORDS: dict[str, Json] = {"true": True, "false": False, "null": None}


def float_text(number: float) -> str:
    """Shortest round-trip form; exponents from 1E+17 up and below 0.0001."""
    text = repr(number)
    if "e" not in text:
        return text.removesuffix(".0")
    mantissa, exponent = text.split("e")
    if exponent == "+16":
        return str(int(number))
    return f"{mantissa.removesuffix('.0')}E{exponent}"


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


def write(value: Json, evaluation: Evaluation, *, canonical: bool = False) -> str:
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


def read(text: str) -> Json:
    """The value of a JSON text; raises ExpressionError for broken, too deep or too large ones. Blank text is null."""
    if not text.strip():
        return None
    value = _read_strict(text) if text.count(",") < limits.JSON_KEYS else MISSING
    if value is MISSING:
        value = _Reader(text).document()
    return _without_halves(value) if "\\u" in text else value


def _read_strict(text: str) -> Json:
    """The fast way for strict JSON; MISSING when the lenient reader has to look (and to say what is wrong)."""
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_real)
    except (ValueError, RecursionError):
        return MISSING
    if text.count("{") + text.count("[") > limits.JSON_DEPTH:
        check_result(value)
    return value


def _without_halves(value: Json) -> Json:
    if isinstance(value, str):
        return whole_characters(value)
    if isinstance(value, list):
        return [_without_halves(item) for item in value]
    if isinstance(value, dict):
        return {whole_characters(key): _without_halves(item) for key, item in value.items()}
    return value


def _refuse_constant(name: str) -> Json:
    raise ExpressionError(f"The JSON text holds '{name}', which is no JSON value.")


def _real(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise ExpressionError("The JSON text holds a number that is too large for a double.")
    return number


class _Reader:
    """Lenient reader: single quotes, unquoted names, comments, trailing commas."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.keys = 0

    def document(self) -> Json:
        value = self.value(1)
        if self.peek():
            raise self.error("has more text after its end")
        return value

    def peek(self) -> str:
        match = _SPACE.match(self.text, self.position)
        self.position = match.end() if match else self.position
        return self.text[self.position : self.position + 1]

    def value(self, level: int) -> Json:
        mark = self.peek()
        if mark in ("{", "["):
            check_depth(level)
            self.position += 1
            return self.members(level) if mark == "{" else self.items(level)
        if mark in ("'", '"'):
            return self.string(mark)
        if number := _NUMBER.match(self.text, self.position):
            self.position = number.end()
            return self.number(number[0])
        if (word := _NAME.match(self.text, self.position)) and word[0] in _WORDS:
            self.position = word.end()
            return _WORDS[word[0]]
        raise self.error("has no value")

    def number(self, digits: str) -> int | float:
        if digits.lstrip("+-").isdigit():
            if len(digits) > 1000:
                raise self.error("has an integer of more than 1000 digits")
            return int(digits)
        return _real(digits)

    def items(self, level: int) -> list[Json]:
        items: list[Json] = []
        while self.peek() != "]":
            self.count()
            items.append(self.value(level + 1))
            if not self.comma("]"):
                break
        self.position += 1
        return items

    def members(self, level: int) -> dict[str, Json]:
        members: dict[str, Json] = {}
        while (mark := self.peek()) != "}":
            self.count()
            name = self.string(mark) if mark in ("'", '"') else self.name()
            if self.peek() != ":":
                raise self.error("has no ':' after a name")
            self.position += 1
            members[name] = self.value(level + 1)
            if not self.comma("}"):
                break
        self.position += 1
        return members

    def comma(self, closing: str) -> bool:
        mark = self.peek()
        if mark == ",":
            self.position += 1
            return True
        if mark != closing:
            raise self.error(f"has no ',' or '{closing}'")
        return False

    def count(self) -> None:
        self.keys += 1
        if self.keys > limits.JSON_KEYS:
            raise self.error(f"has more than {limits.JSON_KEYS} items")

    def name(self) -> str:
        match = _NAME.match(self.text, self.position)
        if match is None:
            raise self.error("has no name")
        self.position = match.end()
        return match[0]

    def string(self, quote: str) -> str:
        pieces: list[str] = []
        self.position += 1
        while True:
            match = _PLAIN[quote].match(self.text, self.position)
            if match is None or match.end() == len(self.text):
                raise self.error("has a string without an end")
            pieces.append(match[0])
            self.position = match.end() + 1
            if self.text[match.end()] == quote:
                return "".join(pieces)
            pieces.append(self.escape())

    def escape(self) -> str:
        letter = self.text[self.position : self.position + 1]
        self.position += 1
        if letter == "u":
            digits = self.text[self.position : self.position + 4]
            if not re.fullmatch("[0-9a-fA-F]{4}", digits):
                raise self.error("has a broken \\u escape")
            self.position += 4
            return chr(int(digits, 16))
        if letter in _ESCAPES:
            return _ESCAPES[letter]
        if letter and letter in "\\/'\"":
            return letter
        raise self.error("has an unknown escape")

    def error(self, problem: str) -> ExpressionError:
        return ExpressionError(f"The JSON text {problem} at its position {self.position}.")
