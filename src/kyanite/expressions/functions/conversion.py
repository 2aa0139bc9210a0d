"""Conversions between types, encodings, JSON."""

from __future__ import annotations

import re
from decimal import Decimal
from math import isfinite
from urllib.parse import quote, unquote_to_bytes

from kyanite.errors import ExpressionError
from kyanite.expressions import characters, json_text, values
from kyanite.expressions.functions.arguments import ArgumentRefused, number, text, xml_document
from kyanite.expressions.scope import Evaluation, Json, Thunk
from kyanite.expressions.syntax import INTEGER_MAXIMUM, INTEGER_MINIMUM
from kyanite.expressions.xml_tree import xml_to_json

TEXT_TYPE = "text/plain;charset=utf-8"
_NUMBER = re.compile(r"[+-]?(?=[0-9.])([0-9][0-9,]*+)?(\.[0-9]*+)?([eE][+-]?[0-9]{1,4})?", re.ASCII)
_NOT_CONVERTIBLE = "The value cannot be converted to the target type"
_DATA_URI = re.compile(r"data:(?P<type>[^,]*?)(?P<base64>;base64)?,(?P<data>.*)", re.DOTALL | re.IGNORECASE)


def array(evaluation: Evaluation, value: Json) -> list[Json]:
    """An array of one item; an array stays as it is."""
    return value if isinstance(value, list) else [value]


def create_array(evaluation: Evaluation, *items: Json) -> list[Json]:
    """An array of all arguments."""
    return list(items)


def base64(evaluation: Evaluation, value: Json) -> str:
    """Base64 of a text's UTF-8, of a binary's content, or of a container's JSON."""
    if type(value) is str:
        evaluation.reserve(2 * len(value))
        return str(values.binary(characters.utf8_bytes(value))[values.CONTENT])
    if values.is_binary(value):
        return str(value[values.CONTENT])
    if isinstance(value, dict | list):
        return base64(evaluation, json_text.write(value, evaluation))
    raise ArgumentRefused(0, f"A string is expected, not a value of type '{values.kind_of(value)}'.")


def base64_to_string(evaluation: Evaluation, value: Json) -> str:
    """Text of base64."""
    return characters.utf8_text(_decoded(evaluation, value))


def base64_to_binary(evaluation: Evaluation, value: Json) -> Json:
    """Binary value of base64."""
    return values.binary(_decoded(evaluation, value))


def binary(evaluation: Evaluation, value: Json) -> Json:
    """Binary value of a text form's UTF-8."""
    if values.is_binary(value):
        return values.binary(values.binary_content(value))
    whole = values.text_form(value, evaluation)
    evaluation.reserve(2 * len(whole))
    return values.binary(characters.utf8_bytes(whole))


def bool_(evaluation: Evaluation, value: Json) -> bool:
    """0 is false, other numbers true; of texts only true and false, in any case."""
    if isinstance(value, bool | int | float):
        return value != 0
    word = text(value).strip(characters.WHITE_SPACE).lower() if value is not None else ""
    if word not in ("true", "false"):
        raise ArgumentRefused(0, _NOT_CONVERTIBLE)
    return word == "true"


def coalesce(evaluation: Evaluation, *candidates: Thunk) -> Json:
    """The first value that is not null; those after it are not evaluated."""
    for candidate in candidates:
        value = candidate(evaluation)
        if value is not None:
            return value
    return None


def data_uri(evaluation: Evaluation, value: Json) -> str:
    """A data URI with a text in it."""
    return f"data:{TEXT_TYPE};base64,{base64(evaluation, text(value))}"


def data_uri_to_binary(evaluation: Evaluation, value: Json) -> Json:
    """Binary value with the URI's own content type."""
    content_type, content = _data_uri_parts(evaluation, value)
    return values.binary(content, content_type)


def data_uri_to_string(evaluation: Evaluation, value: Json) -> str:
    """The text in a data URI."""
    return characters.utf8_text(_data_uri_parts(evaluation, value)[1])


def decode_data_uri(evaluation: Evaluation, value: Json) -> Json:
    """Text, or JSON or binary by the URI's content type, as the engine does (the documentation says binary)."""
    content_type, content = _data_uri_parts(evaluation, value)
    kind = content_type.split(";")[0].strip().lower()
    if kind == values.OCTET_TYPE:
        return values.binary(content, content_type)
    if kind == "application/json":
        return json(evaluation, characters.utf8_text(content))
    return characters.utf8_text(content)


def uri_component(evaluation: Evaluation, value: Json) -> str:
    """Percent-encoded UTF-8 of a text form; ASCII letters, digits and `-_.~` stay."""
    whole = values.text_form(value, evaluation)
    evaluation.reserve(9 * len(whole))
    return quote(characters.utf8_bytes(whole), safe="")


def uri_component_to_string(evaluation: Evaluation, value: Json) -> str:
    """Text of percent-encoded UTF-8; `+` is a blank."""
    return characters.utf8_text(_unquoted(evaluation, text(value).replace("+", " ")))


def uri_component_to_binary(evaluation: Evaluation, value: Json) -> Json:
    """Binary value of percent-encoded UTF-8."""
    return values.binary(_unquoted(evaluation, text(value).replace("+", " ")))


def float_(evaluation: Evaluation, value: Json) -> float:
    """A double; commas in a text are thousands separators and dropped."""
    if isinstance(value, bool | int | float):
        return float(number(value) if not isinstance(value, bool) else value)
    real = float(_number_text(value))
    if not isfinite(real):
        raise ArgumentRefused(0, _NOT_CONVERTIBLE)
    return real


def int_(evaluation: Evaluation, value: Json) -> int:
    """A 64-bit integer; a text or double with a fraction is refused."""
    if isinstance(value, bool | int):
        return int(value)
    exact = Decimal(value) if isinstance(value, float) else Decimal(_number_text(value))
    if exact.adjusted() > 19 or exact != exact.to_integral_value():
        raise ArgumentRefused(0, _NOT_CONVERTIBLE)
    if not INTEGER_MINIMUM <= exact <= INTEGER_MAXIMUM:
        raise ArgumentRefused(0, _NOT_CONVERTIBLE)
    return int(exact)


def json(evaluation: Evaluation, value: Json) -> Json:
    """The value that a JSON text or an XML value stands for; an empty text is null, as in the engine."""
    if values.is_xml(value):
        return xml_to_json(xml_document(value, 0, evaluation))
    whole = text(value)
    evaluation.spend(len(whole) >> 8)
    try:
        return json_text.read(whole)
    except ExpressionError as problem:
        raise ArgumentRefused(0, problem.message) from None


def string(evaluation: Evaluation, value: Json) -> str:
    """The text form."""
    return values.text_form(value, evaluation)


def _decoded(evaluation: Evaluation, value: Json) -> bytes:
    whole = text(value)
    evaluation.reserve(len(whole))
    try:
        return values.base64_bytes(whole)
    except ExpressionError as problem:
        raise ArgumentRefused(0, problem.message) from None


def _data_uri_parts(evaluation: Evaluation, value: Json) -> tuple[str, bytes]:
    match = _DATA_URI.fullmatch(text(value))
    if match is None:
        raise ArgumentRefused(0, "The text is not a data URI (data:<type>;base64,<content>).")
    data = match["data"]
    content = _decoded(evaluation, data) if match["base64"] else _unquoted(evaluation, data)
    return match["type"] or "text/plain;charset=US-ASCII", content


def _unquoted(evaluation: Evaluation, whole: str) -> bytes:
    evaluation.reserve(3 * len(whole))
    return unquote_to_bytes(characters.utf8_bytes(whole))


def _number_text(value: Json) -> str:
    if type(value) is str:
        match = _NUMBER.fullmatch(value.strip(characters.WHITE_SPACE))
        if match and (match[1] or (match[2] or "").strip(".")) and len(value) <= 400:
            return match[0].replace(",", "")
    raise ArgumentRefused(0, _NOT_CONVERTIBLE)
