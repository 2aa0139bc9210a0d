"""Reading the values of a trigger's definition: whole numbers, choices, moments, spans; and writing moments."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from kyanite.errors import DefinitionError

Json = Any

_MOMENT = re.compile(
    r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)(:\d\d)?(?:\.(\d{1,9}))?(?:(Z)|([+-]\d\d):?(\d\d)?)?", re.ASCII | re.IGNORECASE
)
_SPAN = re.compile(r"(-)?(?:(\d+)\.)?(\d\d):([0-5]\d|60):([0-5]\d|60)", re.ASCII)
MICROSECOND = timedelta(microseconds=1)


def whole(value: Json, where: str, low: int, high: int, *, default: int | None = None) -> int:
    """A whole number from `low` to `high`; DefinitionError for anything else, and when absent without a default."""
    if value is None and default is not None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        shown = "is missing" if value is None else f"is {value!r:.60}"
        raise DefinitionError(f"It {shown}.", where=where, cure=f"Write a whole number from {low} to {high}.")
    return value


def choice(value: Json, where: str, known: Sequence[str]) -> str:
    """One of the known words, given in any case."""
    for word in known:
        if isinstance(value, str) and value.casefold() == word.casefold():
            return word
    shown = "is missing" if value is None else f"is {value!r:.60}"
    raise DefinitionError(f"It {shown}.", where=where, cure=f"Write one of {', '.join(known)}.")


def moment(value: Json, where: str) -> datetime:
    """An ISO 8601 date and time; without a zone when the text has none."""
    match = _MOMENT.fullmatch(value) if isinstance(value, str) else None
    if match:
        day, clock, seconds, fraction, zulu, hours, minutes = match.groups()
        zone = "+00:00" if zulu else f"{hours}:{minutes or '00'}" if hours else ""
        try:
            return datetime.fromisoformat(f"{day}T{clock}{seconds or ':00'}.{(fraction or '0')[:6]:0<6}{zone}")
        except ValueError:
            pass  # the thirtieth of February and the like: refused below
    shown = "is missing" if value is None else f"is {value!r:.60}"
    raise DefinitionError(f"It {shown}.", where=where, cure="Write a date and time like 2024-01-31T06:00:00Z.")


def utc_moment(value: Json, where: str) -> datetime:
    """An ISO 8601 date and time in UTC; one without a zone is meant so."""
    read = moment(value, where)
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)


def span(value: Json, where: str, *, negative: bool = False) -> timedelta:
    """A time span such as `1.00:00:00` or, where it is allowed, `-01:00:00`."""
    match = _SPAN.fullmatch(value) if isinstance(value, str) and 8 <= len(value) <= 15 else None
    if match is None or (match[1] and not negative):
        example = "-01:00:00 or 1.00:00:00" if negative else "01:00:00 or 1.00:00:00"
        raise DefinitionError(f"It is {value!r:.60}.", where=where, cure=f"Write a time span like {example}.")
    sign, days, hours, minutes, seconds = match.groups()
    try:
        length = timedelta(days=int(days or 0), hours=int(hours), minutes=int(minutes), seconds=int(seconds))
    except OverflowError as error:
        raise DefinitionError("The time span is too long.", where=where) from error
    return -length if sign else length


def member(value: Json, where: str) -> Mapping[str, Json]:
    """A JSON object; an absent one is empty."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise DefinitionError("It is not an object.", where=where, cure="Write it as {...}.")
    return value


def wire_time(at: datetime) -> str:
    """A moment as expressions see it: `2024-01-31T06:00:00Z`, with seven fraction digits when it has any."""
    text = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    text = text.rjust(19, "0")  # strftime leaves the zeros of early years out
    return f"{text}.{at.microsecond:06}0Z" if at.microsecond else f"{text}Z"


def precise_time(at: datetime) -> str:
    """A moment with seven fraction digits always, as the service writes actual times."""
    return f"{at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}0Z"


def us_text(at: datetime) -> str:
    """A moment as the `properties` of trigger runs hold it: `6/16/2018 12:43:15 AM`."""
    at = at.astimezone(UTC)
    half = "AM" if at.hour < 12 else "PM"
    return f"{at.month}/{at.day}/{at.year} {at.hour % 12 or 12}:{at.minute:02}:{at.second:02} {half}"
