"""The body of a run query: time range, filters, order, continuation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kyanite.engine.events import utc_text
from kyanite.server.management.arm import ArmError

Json = Any
OPERATORS = ("Equals", "NotEquals", "In", "NotIn")
_MOST_FILTERS = 50
_MOST_VALUES = 1000


@dataclass(frozen=True)
class Filter:
    """One condition: `operand` and `operator` as spelled in the reference, `values` texts."""

    operand: str
    operator: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Query:
    """A run query; the times are UTC texts, inclusive, on the last update."""

    after: str | None
    before: str | None
    filters: tuple[Filter, ...]
    order: tuple[tuple[str, bool], ...]  # (column, descending)
    token: str | None


def read_query(body: Mapping[str, Json], operands: Iterable[str], columns: Iterable[str]) -> Query:
    """The query of a body; ArmError 400 that says what is known for anything else."""
    after, before = _time(body, "lastUpdatedAfter"), _time(body, "lastUpdatedBefore")
    token = body.get("continuationToken")
    if token is not None and not isinstance(token, str):
        raise bad("The continuationToken is a text.")
    return Query(
        after,
        before,
        tuple(_filter(each, operands) for each in _list(body, "filters")),
        tuple(_order(each, columns) for each in _list(body, "orderBy")),
        token or None,
    )


def bad(message: str) -> ArmError:
    """The query cannot be understood."""
    return ArmError(message, code="BadRequest", status=400)


def instant(text: Json) -> str:
    """A time in the clients' spellings as UTC text with six fraction digits; a time without a zone is UTC."""
    try:
        if not isinstance(text, str):
            raise ValueError
        trimmed, zone = _zone_of(text.strip().replace(" ", "T"))
        whole, dot, fraction = trimmed.partition(".")
        if dot:
            whole += f".{(fraction + '000000')[:6]}"
        moment = datetime.fromisoformat(whole + zone)
        return utc_text((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC))
    except (ValueError, OverflowError):
        raise bad(f"{str(text)[:60]!r} is no time: write 2024-01-31T06:00:00Z.") from None


def _zone_of(text: str) -> tuple[str, str]:
    if text[-1:] in "Zz":
        return text[:-1], "+00:00"
    sign = max(text.rfind("+"), text.rfind("-"))
    return (text[:sign], text[sign:]) if sign > len("2024-01-31") else (text, "")


def _time(body: Mapping[str, Json], name: str) -> str | None:
    return instant(body[name]) if body.get(name) is not None else None


def _list(body: Mapping[str, Json], name: str) -> list[Json]:
    value = body.get(name) or []
    if not isinstance(value, list) or len(value) > _MOST_FILTERS:
        raise bad(f"{name} is a list of at most {_MOST_FILTERS} items.")
    return value


def _filter(item: Json, operands: Iterable[str]) -> Filter:
    if not isinstance(item, Mapping):
        raise bad("A filter is an object with operand, operator and values.")
    operand = _one_of(item.get("operand"), operands, "operand")
    operator = _one_of(item.get("operator"), OPERATORS, "operator")
    values = item.get("values")
    if not isinstance(values, list) or not 0 < len(values) <= _MOST_VALUES:
        raise bad(f"The filter on {operand} has no list of 1 to {_MOST_VALUES} values.")
    texts = tuple(_text(value, operand) for value in values)
    if operator in ("Equals", "NotEquals") and len(texts) != 1:
        raise bad(f"The operator {operator} takes one value; use In or NotIn for several.")
    return Filter(operand, operator, texts)


def _text(value: Json, operand: str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        raise bad(f"A value of the filter on {operand} is no text.")
    return value


def _order(item: Json, columns: Iterable[str]) -> tuple[str, bool]:
    if not isinstance(item, Mapping):
        raise bad("An order is an object with orderBy and order.")
    column = _one_of(item.get("orderBy"), columns, "orderBy")
    return column, _one_of(item.get("order", "ASC"), ("ASC", "DESC"), "order") == "DESC"


def _one_of(given: Json, known: Iterable[str], what: str) -> str:
    for each in known:
        if isinstance(given, str) and each.casefold() == given.casefold():
            return each
    raise bad(f"There is no {what} {str(given)[:60]!r}. Known: {', '.join(known)}.")
