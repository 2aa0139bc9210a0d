"""Text functions of ARM templates: name -> (fewest arguments, most, function)."""

from __future__ import annotations

import base64
import binascii
import json
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, unquote, urljoin

from kyanite.definitions.arm_values import guard_length, text_form, want, want_all
from kyanite.errors import TemplateError

Json = Any

# The namespace of ARM's own guid(): a version 5 id over the arguments joined by "-".
_GUID_NAMESPACE = uuid.UUID("11fb06fb-712d-4ddd-98c7-e71bbd588830")
_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{(\d{1,3})(?::([^{}]*))?\}|[{}]")


def _concat(arguments: Sequence[Json]) -> Json:
    if all(isinstance(argument, list) for argument in arguments):
        guard_length(sum(len(argument) for argument in arguments))
        return [item for argument in arguments for item in argument]
    parts = [text_form(want("concat", argument, "string", "int", "bool")) for argument in arguments]
    guard_length(sum(len(part) for part in parts))
    return "".join(parts)


def _format(arguments: Sequence[Json]) -> str:
    pattern: str = want("format", arguments[0], "string")
    pieces: list[str] = []
    place = length = 0
    for match in _PLACEHOLDER.finditer(pattern):
        pieces += (pattern[place : match.start()], _placeholder(match, arguments[1:]))
        length += len(pieces[-1])
        guard_length(length)
        place = match.end()
    return "".join([*pieces, pattern[place:]])


def _placeholder(match: re.Match[str], values: Sequence[Json]) -> str:
    if match[0] in ("{{", "}}"):
        return match[0][0]
    if match[1] is None:
        raise TemplateError("format got a lone brace in its pattern.", cure="Write {{ or }} for a brace.")
    if int(match[1]) >= len(values):
        raise TemplateError(f"format has no value for {{{match[1]}}}.", cure="Give one value for each number.")
    value = values[int(match[1])]
    digits = re.fullmatch(r"[dD](\d{1,2})|(0{1,40})", match[2] or "")
    if match[2] is None:
        return text_form(value)
    if digits is None or not isinstance(value, int) or isinstance(value, bool):
        raise TemplateError(
            f"format does not know the form {match[2]!r} for this value.", cure="Use {0}, or {0:D4} for an integer."
        )
    width = int(digits[1]) if digits[1] is not None else len(digits[2])
    return f"{'-' if value < 0 else ''}{abs(value):0{width}d}" if width else str(value)


def _replace(arguments: Sequence[Json]) -> str:
    text: str
    old: str
    new: str
    text, old, new = want_all("replace", arguments, "string")
    if not old:
        raise TemplateError("replace got an empty text to look for.", cure="Name the text to replace.")
    guard_length(len(text) + text.count(old) * (len(new) - len(old)))
    return text.replace(old, new)


def _substring(arguments: Sequence[Json]) -> str:
    text: str = want("substring", arguments[0], "string")
    start: int = want("substring", arguments[1], "int")
    length: int = want("substring", arguments[2], "int") if len(arguments) == 3 else len(text) - start
    if start < 0 or length < 0 or start + length > len(text):
        raise TemplateError(
            f"substring({start}, {length}) reaches beyond a text of {len(text)} characters.",
            cure="Keep start and length inside the text.",
        )
    return text[start : start + length]


def _pad_left(arguments: Sequence[Json]) -> str:
    text = text_form(want("padLeft", arguments[0], "string", "int"))
    width: int = want("padLeft", arguments[1], "int")
    fill: str = want("padLeft", arguments[2], "string") if len(arguments) == 3 else " "
    if len(fill) != 1:
        raise TemplateError("padLeft got a filling that is not one character.", cure="Give one character.")
    guard_length(width)
    return text.rjust(width, fill)


def _split(arguments: Sequence[Json]) -> list[str]:
    text: str = want("split", arguments[0], "string")
    given = want("split", arguments[1], "string", "array")
    marks = [mark for mark in want_all("split", given if isinstance(given, list) else [given], "string") if mark]
    if not marks:
        return [text]
    return re.split("|".join(re.escape(mark) for mark in sorted(marks, key=len, reverse=True)), text)


def _join(arguments: Sequence[Json]) -> str:
    parts = [text_form(part) for part in want("join", arguments[0], "array")]
    mark: str = want("join", arguments[1], "string")
    guard_length(sum(len(part) + len(mark) for part in parts))
    return mark.join(parts)


def _starts_with(arguments: Sequence[Json]) -> bool:
    text, start = want_all("startsWith", arguments, "string")
    return bool(text.lower().startswith(start.lower()))


def _ends_with(arguments: Sequence[Json]) -> bool:
    text, end = want_all("endsWith", arguments, "string")
    return bool(text.lower().endswith(end.lower()))


def _guid(arguments: Sequence[Json]) -> str:
    return str(uuid.uuid5(_GUID_NAMESPACE, "-".join(text_form(argument) for argument in arguments)))


def _base64(arguments: Sequence[Json]) -> str:
    return base64.b64encode(want("base64", arguments[0], "string").encode("utf-8")).decode("ascii")


def _base64_to_string(arguments: Sequence[Json]) -> str:
    try:
        return base64.b64decode(want("base64ToString", arguments[0], "string"), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        raise TemplateError("base64ToString got a text that is not base64.", cure="Give a base64 text.") from None


def _base64_to_json(arguments: Sequence[Json]) -> Json:
    return _json([_base64_to_string(arguments)])


def _data_uri(text: str) -> str:
    return f"data:text/plain;charset=utf8;base64,{base64.b64encode(text.encode('utf-8')).decode('ascii')}"


def _data_uri_to_string(text: str) -> str:
    head, comma, data = text.partition(",")
    if not head.lower().startswith("data:") or not comma:
        raise TemplateError("dataUriToString got a text that is no data URI.", cure="Give data:...,... .")
    return _base64_to_string([data]) if head.lower().endswith(";base64") else unquote(data)


def _json(arguments: Sequence[Json]) -> Json:
    try:
        return json.loads(want("json", arguments[0], "string"))
    except (ValueError, RecursionError):
        raise TemplateError("json got a text that is no JSON.", cure="Give it one JSON value.") from None


def _uri(arguments: Sequence[Json]) -> str:
    base, relative = want_all("uri", arguments, "string")
    return str(urljoin(base, relative))


def _on_text(name: str, change: Callable[[str], Json]) -> tuple[int, int, Callable[[Sequence[Json]], Json]]:
    return 1, 1, lambda arguments: change(want(name, arguments[0], "string"))


TEXT_FUNCTIONS: Mapping[str, tuple[int, int | None, Callable[[Sequence[Json]], Json]]] = {
    "base64": (1, 1, _base64),
    "base64ToJson": (1, 1, _base64_to_json),
    "base64ToString": (1, 1, _base64_to_string),
    "concat": (1, None, _concat),
    "dataUri": _on_text("dataUri", _data_uri),
    "dataUriToString": _on_text("dataUriToString", _data_uri_to_string),
    "endsWith": (2, 2, _ends_with),
    "format": (1, None, _format),
    "guid": (1, None, _guid),
    "join": (2, 2, _join),
    "json": (1, 1, _json),
    "padLeft": (2, 3, _pad_left),
    "replace": (3, 3, _replace),
    "split": (2, 2, _split),
    "startsWith": (2, 2, _starts_with),
    "string": (1, 1, lambda arguments: text_form(arguments[0])),
    "substring": (2, 3, _substring),
    "toLower": _on_text("toLower", str.lower),
    "toUpper": _on_text("toUpper", str.upper),
    "trim": _on_text("trim", str.strip),
    "uri": (2, 2, _uri),
    "uriComponent": _on_text("uriComponent", lambda text: quote(text, safe="")),
    "uriComponentToString": _on_text("uriComponentToString", unquote),
}
