"""Time zones by their Windows names, as the service has them; IANA names are accepted as an extension."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from difflib import get_close_matches
from functools import lru_cache
from zoneinfo import ZoneInfo

from kyanite.errors import ExpressionError
from kyanite.expressions.timestamps import NO_ZONE, UTC_ZONE, Timestamp, from_clock, timestamp
from kyanite.expressions.windows_zones import WINDOWS_ZONES

_IANA = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){1,2}")
_FOLDED = {name.lower(): place for name, place in WINDOWS_ZONES.items()}
_MICROSECOND = timedelta(microseconds=1)


@lru_cache(maxsize=256)
def find_zone(name: str) -> tzinfo:
    """The zone of a name; raises ExpressionError for an unknown one."""
    if name.upper() == "UTC":
        return UTC
    place = _FOLDED.get(name.lower(), name if _IANA.fullmatch(name) else None)
    try:
        return ZoneInfo(place) if place else _unknown(name)
    except (KeyError, ValueError, OSError):
        return _unknown(name)


def _unknown(name: str) -> tzinfo:
    near = get_close_matches(name[:100], WINDOWS_ZONES, n=1)
    cure = f"Did you mean '{near[0]}'?" if near else "Write a Windows name like 'Pacific Standard Time'."
    raise ExpressionError(f"The time zone '{name[:100]}' is not known.", cure=cure)


def to_local(moment: Timestamp, zone: tzinfo) -> Timestamp:
    """The clock in a zone of a moment in UTC; only the zone UTC itself keeps a `Z`."""
    if zone is UTC:
        return Timestamp(moment.ticks, UTC_ZONE)
    try:
        offset = moment.clock.replace(tzinfo=UTC).astimezone(zone).utcoffset()
    except (OverflowError, ValueError):
        offset = None
    return timestamp(moment.ticks + _ticks(offset), NO_ZONE)


def to_utc(moment: Timestamp, zone: tzinfo, name: str) -> Timestamp:
    """The moment in UTC of a clock in a zone; a time that does not exist or comes twice there is refused."""
    earlier, later = (_offset(moment.clock, zone, fold) for fold in (0, 1))
    if earlier != later:
        what = "comes twice" if earlier > later else "does not exist"
        raise ExpressionError(f"The local time {moment.clock.isoformat()} {what} in the time zone '{name}'.")
    return timestamp(moment.ticks - _ticks(earlier), UTC_ZONE)


def _offset(clock: datetime, zone: tzinfo, fold: int) -> timedelta:
    return clock.replace(tzinfo=zone, fold=fold).utcoffset() or timedelta()


def _ticks(offset: timedelta | None) -> int:
    if offset is None:
        raise ExpressionError("The date lies outside the years 1 to 9999.")
    return 10 * (offset // _MICROSECOND)


def now_in_utc(now: datetime) -> Timestamp:
    """The clock's answer, in whatever zone it is given, as a timestamp in UTC."""
    return from_clock(now.astimezone(UTC), UTC_ZONE)
