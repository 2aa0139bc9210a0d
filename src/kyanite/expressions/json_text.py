"""JSON texts as the service's engine reads them: strict JSON, and the lenient forms authors get away with."""

from __future__ import annotations

import json
import re

from kyanite import limits
from kyanite.errors import ExpressionError
from kyanite.expressions.scope import MISSING, Json
from kyanite.expressions.values import check_depth, check_result, whole_characters

_SPACE = re.compile(r"(?:\s++|/\*.*?\*/|//[^\r\n]*+)*+", re.DOTALL)
_NUMBER = re.compile(r"[+-]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]++)?")
_NAME = re.compile(r"[\w$]++")
_PLAIN = {'"': re.compile(r'[^"\\]*+'), "'": re.compile(r"[^'\\]*+")}
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_WORDS: dict[str, Json] = {"true": True, "false": False, "null": None}


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
