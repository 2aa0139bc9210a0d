"""Date functions of ARM templates: name -> (fewest arguments, most, function)."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from kyanite.definitions.arm_values import want
from kyanite.errors import ExpressionError, TemplateError
from kyanite.expressions.date_formats import format_timestamp
from kyanite.expressions.timestamps import from_clock, parse_timestamp

Json = Any
_COMPACT = "yyyyMMdd'T'HHmmss'Z'"
_WRITTEN = "yyyy-MM-dd'T'HH:mm:ss'Z'"
_COMPACT_TEXT = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z", re.ASCII)
_DURATION = re.compile(
    r"(?P<sign>-?)P(?!$)(?:(?P<years>\d{1,6})Y)?(?:(?P<months>\d{1,6})M)?(?:(?P<weeks>\d{1,6})W)?(?:(?P<days>\d{1,6})D)?"
    r"(?:T(?!$)(?:(?P<hours>\d{1,9})H)?(?:(?P<minutes>\d{1,9})M)?(?:(?P<seconds>\d{1,9})S)?)?",
    re.ASCII,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def written(moment: datetime, form: Json = None) -> str:
    """A moment as `utcNow(form)` writes it: `20240131T060000Z` unless a .NET format is given."""
    return _formatted("utcNow", moment, _COMPACT if form is None else want("utcNow", form, "string"))


def _formatted(function: str, moment: datetime, form: str) -> str:
    try:
        return format_timestamp(from_clock(moment.astimezone(UTC), "Z"), form)
    except ExpressionError as error:
        raise TemplateError(f"{function} cannot write the date: {error.message}", cure=error.cure) from None


def _read(function: str, value: Json) -> datetime:
    text: str = want(function, value, "string")
    if match := _COMPACT_TEXT.fullmatch(text):
        text = "{}-{}-{}T{}:{}:{}Z".format(*match.groups())
    try:
        return parse_timestamp(text).clock.replace(tzinfo=UTC)
    except ExpressionError as error:
        raise TemplateError(f"{function} cannot read the date: {error.message}", cure=error.cure) from None


def _date_time_add(arguments: Sequence[Json]) -> str:
    text: str = want("dateTimeAdd", arguments[1], "string")
    match = _DURATION.fullmatch(text)
    if match is None:
        raise TemplateError("dateTimeAdd got a text that is no ISO 8601 duration.", cure="Write it like P1DT12H.")
    part = {name: int(number or 0) for name, number in match.groupdict().items() if name != "sign"}
    sign = -1 if match["sign"] else 1
    base = _read("dateTimeAdd", arguments[0])
    month = base.year * 12 + base.month - 1 + sign * (part["years"] * 12 + part["months"])
    try:
        year, month = month // 12, month % 12 + 1
        moved = base.replace(year=year, month=month, day=min(base.day, monthrange(year, month)[1]))
        names = ("weeks", "days", "hours", "minutes", "seconds")
        moved += sign * timedelta(**{name: part[name] for name in names})
    except (ValueError, OverflowError):
        raise TemplateError("dateTimeAdd leaves the years 1 to 9999.", cure="Add less.") from None
    if len(arguments) == 3:
        return _formatted("dateTimeAdd", moved, want("dateTimeAdd", arguments[2], "string"))
    compact = _COMPACT_TEXT.fullmatch(arguments[0])
    return _formatted("dateTimeAdd", moved, _COMPACT if compact else _WRITTEN)


def _from_epoch(arguments: Sequence[Json]) -> str:
    try:
        moment = _EPOCH + timedelta(seconds=want("dateTimeFromEpoch", arguments[0], "int"))
    except OverflowError:
        raise TemplateError("dateTimeFromEpoch leaves the years 1 to 9999.", cure="Give seconds since 1970.") from None
    return _formatted("dateTimeFromEpoch", moment, _WRITTEN)


def _to_epoch(arguments: Sequence[Json]) -> int:
    return int((_read("dateTimeToEpoch", arguments[0]) - _EPOCH) // timedelta(seconds=1))


DATE_FUNCTIONS: Mapping[str, tuple[int, int | None, Callable[[Sequence[Json]], Json]]] = {
    "dateTimeAdd": (2, 3, _date_time_add),
    "dateTimeFromEpoch": (1, 1, _from_epoch),
    "dateTimeToEpoch": (1, 1, _to_epoch),
}
