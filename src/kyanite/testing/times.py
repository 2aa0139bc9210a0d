"""Moments and durations as tests write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from kyanite.definitions.timespan import parse_timespan
from kyanite.errors import ParameterError

Duration = str | float | timedelta
Moment = str | datetime

_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}


def seconds_of(duration: Duration) -> float:
    """Seconds of `90`, `"90s"`, `"2m"`, `"1h 30m"`, `"00:02:00"` or a timedelta; anything else is a ParameterError."""
    if isinstance(duration, timedelta):
        return duration.total_seconds()
    if isinstance(duration, int | float):
        return float(duration)
    text = duration.strip()
    if ":" in text:
        return parse_timespan(text)
    parts = _PART.findall(text)
    if not parts or _PART.sub("", text).strip():
        raise ParameterError(f"{duration!r} is no duration.", cure='Write seconds, or "2m", "1h 30m", "00:02:00".')
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def moment_of(moment: Moment) -> datetime:
    """An aware UTC time of ISO text or a datetime; one without a zone is UTC."""
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment)
        except ValueError:
            raise ParameterError(f"{moment!r} is no time.", cure='Write ISO 8601: "2026-01-31T06:00:00Z".') from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
