"""Date functions: texts in, texts out (format `o` unless one is given), integers for parts."""

from __future__ import annotations

from calendar import monthrange
from datetime import datetime

from kyanite.errors import ExpressionError
from kyanite.expressions.date_formats import format_timestamp
from kyanite.expressions.functions.arguments import ArgumentRefused, integer, text
from kyanite.expressions.scope import Evaluation, Json
from kyanite.expressions.timestamps import (
    NO_ZONE,
    OFFSET_ZONE,
    TICKS_PER_DAY,
    TICKS_PER_SECOND,
    UTC_ZONE,
    Timestamp,
    from_clock,
    parse_timestamp,
)
from kyanite.expressions.zones import find_zone, now_in_utc, to_local, to_utc

_UNITS = {
    "second": TICKS_PER_SECOND,
    "minute": 60 * TICKS_PER_SECOND,
    "hour": 3600 * TICKS_PER_SECOND,
    "day": TICKS_PER_DAY,
    "week": 7 * TICKS_PER_DAY,
}
_MONTHS = {"month": 1, "year": 12}


def utc_now(evaluation: Evaluation, form: Json = None) -> str:
    """The scope's clock."""
    return _text(now_in_utc(evaluation.scope.now()), form, 0)


def add_days(evaluation: Evaluation, moment: Json, count: Json, form: Json = None) -> str:
    """So many days later."""
    return _text(_moved(_moment(moment), integer(count, 1), "day"), form, 2)


def add_hours(evaluation: Evaluation, moment: Json, count: Json, form: Json = None) -> str:
    """So many hours later."""
    return _text(_moved(_moment(moment), integer(count, 1), "hour"), form, 2)


def add_minutes(evaluation: Evaluation, moment: Json, count: Json, form: Json = None) -> str:
    """So many minutes later."""
    return _text(_moved(_moment(moment), integer(count, 1), "minute"), form, 2)


def add_seconds(evaluation: Evaluation, moment: Json, count: Json, form: Json = None) -> str:
    """So many seconds later."""
    return _text(_moved(_moment(moment), integer(count, 1), "second"), form, 2)


def add_to_time(evaluation: Evaluation, moment: Json, count: Json, unit: Json, form: Json = None) -> str:
    """So many units later; months stop at the month's last day."""
    return _text(_moved(_moment(moment), integer(count, 1), _unit(unit, 2)), form, 3)


def subtract_from_time(evaluation: Evaluation, moment: Json, count: Json, unit: Json, form: Json = None) -> str:
    """So many units earlier; months stop at the month's last day."""
    return _text(_moved(_moment(moment), -integer(count, 1), _unit(unit, 2)), form, 3)


def get_future_time(evaluation: Evaluation, count: Json, unit: Json, form: Json = None) -> str:
    """So many units from now."""
    return _text(_moved(now_in_utc(evaluation.scope.now()), integer(count), _unit(unit, 1)), form, 2)


def get_past_time(evaluation: Evaluation, count: Json, unit: Json, form: Json = None) -> str:
    """So many units before now."""
    return _text(_moved(now_in_utc(evaluation.scope.now()), -integer(count), _unit(unit, 1)), form, 2)


def convert_from_utc(evaluation: Evaluation, moment: Json, zone: Json, form: Json = None) -> str:
    """The clock in a zone; the text must end in `Z`."""
    found = _moment(moment)
    if found.zone != UTC_ZONE:
        raise ArgumentRefused(0, "The timestamp must be in UTC and end in 'Z'.")
    return _text(to_local(found, find_zone(text(zone, 1))), form, 2)


def convert_to_utc(evaluation: Evaluation, moment: Json, zone: Json, form: Json = None) -> str:
    """The UTC of a clock in a zone; a text with a zone of its own is refused, `Z` only when the zone is not UTC."""
    found, name = _moment(moment), text(zone, 1)
    place = find_zone(name)
    if found.zone == OFFSET_ZONE or (found.zone == UTC_ZONE and name.upper() != "UTC"):
        raise ArgumentRefused(0, f"The timestamp has a zone of its own and cannot be taken as '{name}'.")
    return _text(to_utc(found, place, name), form, 2)


def convert_time_zone(evaluation: Evaluation, moment: Json, source: Json, target: Json, form: Json = None) -> str:
    """The clock in the target zone; a zone in the text wins over the source zone."""
    found, name = _moment(moment), text(source, 1)
    place, wanted = find_zone(name), find_zone(text(target, 2))
    if found.zone == NO_ZONE:
        found = to_utc(found, place, name)
    return _text(to_local(found, wanted), form, 3)


def format_date_time(evaluation: Evaluation, moment: Json, form: Json = None) -> str:
    """The timestamp in another format."""
    return _text(_moment(moment), form, 1)


def start_of_day(evaluation: Evaluation, moment: Json, form: Json = None) -> str:
    """Midnight before the moment."""
    found = _moment(moment)
    return _text(found.moved(-(found.ticks % TICKS_PER_DAY)), form, 1)


def start_of_hour(evaluation: Evaluation, moment: Json, form: Json = None) -> str:
    """The full hour before the moment."""
    found = _moment(moment)
    return _text(found.moved(-(found.ticks % _UNITS["hour"])), form, 1)


def start_of_month(evaluation: Evaluation, moment: Json, form: Json = None) -> str:
    """Midnight of the first day of the month."""
    found = _moment(moment)
    first = datetime(found.clock.year, found.clock.month, 1)
    return _text(from_clock(first, found.zone), form, 1)


def day_of_week(evaluation: Evaluation, moment: Json) -> int:
    """0 is Sunday."""
    return _moment(moment).weekday


def day_of_month(evaluation: Evaluation, moment: Json) -> int:
    """From 1."""
    return _moment(moment).clock.day


def day_of_year(evaluation: Evaluation, moment: Json) -> int:
    """From 1."""
    return _moment(moment).clock.timetuple().tm_yday


def ticks(evaluation: Evaluation, moment: Json) -> int:
    """100 ns units since 0001-01-01T00:00:00."""
    return _moment(moment).ticks


def _moment(value: Json) -> Timestamp:
    whole = text(value)
    try:
        return parse_timestamp(whole)
    except ExpressionError as problem:
        raise ArgumentRefused(0, str(problem)) from None


def _text(moment: Timestamp, form: Json, index: int) -> str:
    if form is None:
        return format_timestamp(moment, "o")
    try:
        return format_timestamp(moment, text(form, index) or "G")
    except ExpressionError as problem:
        raise ArgumentRefused(index, str(problem)) from None


def _unit(value: Json, index: int) -> str:
    unit = text(value, index).lower()
    if unit not in _UNITS and unit not in _MONTHS:
        raise ArgumentRefused(index, "The time unit must be one of Second, Minute, Hour, Day, Week, Month, Year.")
    return unit


def _moved(moment: Timestamp, count: int, unit: str) -> Timestamp:
    if unit in _UNITS:
        return moment.moved(count * _UNITS[unit])
    clock = moment.clock
    month = clock.year * 12 + clock.month - 1 + count * _MONTHS[unit]
    year, month = month // 12, month % 12 + 1
    if not 1 <= year <= 9999:
        raise ExpressionError("The date lies outside the years 1 to 9999.")
    start = datetime(year, month, min(clock.day, monthrange(year, month)[1]))
    return from_clock(start, moment.zone).moved(moment.ticks % TICKS_PER_DAY)
