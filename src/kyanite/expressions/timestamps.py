"""Timestamps as the service's engine reads them: 100 ns ticks and what the text said about its zone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal

from kyanite.errors import ExpressionError

TICKS_PER_SECOND = 10_000_000
TICKS_PER_DAY = 86_400 * TICKS_PER_SECOND
LAST_TICK = 3_155_378_975_999_999_999  # 9999-12-31T23:59:59.9999999
ZERO = datetime(1, 1, 1)
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")

UTC_ZONE = "Z"
OFFSET_ZONE = "+00:00"  # the text had an offset: converted to UTC, and printed like this
NO_ZONE = ""


@dataclass(frozen=True, slots=True)
class Timestamp:
    """`ticks` are 100 ns since 0001-01-01T00:00:00; `zone` is what `K` prints: `Z`, `+00:00` or nothing."""

    ticks: int
    zone: str

    @property
    def clock(self) -> datetime:
        """Date and time of day to the microsecond, without a zone."""
        return ZERO + timedelta(microseconds=self.ticks // 10)

    @property
    def weekday(self) -> int:
        """0 is Sunday."""
        return (self.ticks // TICKS_PER_DAY + 1) % 7

    def moved(self, ticks: int) -> Timestamp:
        """So many ticks later; raises ExpressionError outside the years 1 to 9999."""
        return timestamp(self.ticks + ticks, self.zone)


def timestamp(ticks: int, zone: str) -> Timestamp:
    """A timestamp; raises ExpressionError outside the years 1 to 9999."""
    if not 0 <= ticks <= LAST_TICK:
        raise ExpressionError("The date lies outside the years 1 to 9999.")
    return Timestamp(ticks, zone)


def from_clock(clock: datetime, zone: str) -> Timestamp:
    """A timestamp of a date and time whose own zone, if it has one, is dropped."""
    passed = clock.replace(tzinfo=None) - ZERO
    return Timestamp(10 * (passed.days * 86_400_000_000 + passed.seconds * 1_000_000 + passed.microseconds), zone)


_MONTH = "|".join(f"{month[:3]}(?:{month[3:]})?" for month in MONTHS)
_TIME = (
    r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:\.(?P<fraction>\d{1,30}))?)?(?:\s*(?P<half>AM|PM))?"
)
_ZONE = r"\s*(?P<zone>Z|GMT|UTC|(?P<sign>[+-])(?P<ahead>\d{1,2})(?::?(?P<minutes>\d{2}))?)?"
_DAY = "|".join(f"{day[:3]}(?:{day[3:]})?" for day in WEEKDAYS)
_WEEKDAY = rf"(?:(?P<weekday>{_DAY}),?\s+)?"
_FORMS = [
    re.compile(rf"\s*{date}(?:(?:T|t|,?\s+){_TIME})?{_ZONE}\s*", re.IGNORECASE | re.ASCII)
    for date in (
        r"(?P<year>\d{4})[-/](?P<month>\d{1,2})[-/](?P<day>\d{1,2})",
        r"(?P<month>\d{1,2})[-/](?P<day>\d{1,2})[-/](?P<year>\d{4})",
        rf"{_WEEKDAY}(?P<name>{_MONTH})\.?\s+(?P<day>\d{{1,2}}),?\s+(?P<year>\d{{4}})",
        rf"{_WEEKDAY}(?P<day>\d{{1,2}})[\s-]+(?P<name>{_MONTH})\.?,?[\s-]+(?P<year>\d{{4}})",
    )
]
_SHORT_MONTHS = [month[:3].lower() for month in MONTHS]
_LONGEST = 100


def parse_timestamp(text: str) -> Timestamp:
    """Read ISO 8601, en-US and RFC 1123 forms; an offset is applied at once. Raises ExpressionError."""
    for form in _FORMS:
        if len(text) <= _LONGEST and (match := form.fullmatch(text)):
            return _from_parts(match.groupdict())
    raise ExpressionError(
        f"The datetime string must match ISO 8601 format, which '{text[:_LONGEST]}' does not.",
        cure="Write it like 2018-03-15T13:00:00Z.",
    )


def _from_parts(parts: dict[str, str | None]) -> Timestamp:
    name = parts.get("name")
    month = int(parts["month"] or 0) if name is None else _SHORT_MONTHS.index(name[:3].lower()) + 1
    try:
        clock = datetime(int(parts["year"] or 0), month, int(parts["day"] or 0))
        clock = clock.replace(hour=_hour(parts), minute=int(parts["minute"] or 0), second=int(parts["second"] or 0))
    except ValueError:
        raise ExpressionError("The datetime string names a date or a time of day that does not exist.") from None
    found = from_clock(clock, NO_ZONE)
    weekday = parts.get("weekday")
    if weekday and WEEKDAYS[found.weekday][:3].lower() != weekday[:3].lower():
        raise ExpressionError(f"The datetime string names a wrong day of the week: it was a {WEEKDAYS[found.weekday]}.")
    offset, zone = _zone(parts)
    return timestamp(found.ticks + _fraction(parts["fraction"] or "") - offset, zone)


def _fraction(digits: str) -> int:
    """Ticks of a fraction of a second; what is finer than a tick is rounded."""
    if len(digits) <= 7:
        return int(digits.ljust(7, "0"))
    return int((Decimal(f"0.{digits}") * TICKS_PER_SECOND).quantize(Decimal(1), ROUND_HALF_EVEN))


def _hour(parts: dict[str, str | None]) -> int:
    hour = int(parts["hour"] or 0)
    half = parts["half"]
    if half is None:
        return hour
    if hour > 12:
        raise ValueError
    return hour % 12 + (12 if half.lower() == "pm" else 0)


def _zone(parts: dict[str, str | None]) -> tuple[int, str]:
    """Offset in ticks and what `K` will print."""
    if parts["sign"] is None:
        return 0, UTC_ZONE if parts["zone"] else NO_ZONE
    hours, minutes = int(parts["ahead"] or 0), int(parts["minutes"] or 0)
    if minutes > 59 or hours * 60 + minutes > 14 * 60:
        raise ExpressionError("The datetime string has an offset beyond 14 hours.")
    offset = (hours * 60 + minutes) * 60 * TICKS_PER_SECOND
    return (offset if parts["sign"] == "+" else -offset), OFFSET_ZONE
