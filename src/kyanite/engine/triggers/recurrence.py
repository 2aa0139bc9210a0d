"""Schedule triggers: the fire times of a recurrence, each found by arithmetic, however long ago the rule began.

Day, Week and Month follow the clock on the wall of the rule's time zone; Minute and Hour keep fixed distances. Rules:
Data Factory's documentation; where that is silent, its public schedule calculator (weeks begin on Sunday, doubled and
missing hours).
"""

from __future__ import annotations

from bisect import bisect_left
from calendar import monthrange
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import cached_property
from typing import Any

from kyanite.engine.triggers.values import MICROSECOND, choice, member, moment, whole
from kyanite.errors import DefinitionError, ExpressionError
from kyanite.expressions.zones import find_zone

Json = Any

FREQUENCIES = ("Minute", "Hour", "Day", "Week", "Month")
WEEK_DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
LARGEST_INTERVAL = 1000
_MONTHS_IN_A_CYCLE = 4800  # the calendar repeats itself every 400 years
_NEAR = timedelta(hours=36)  # no clock change reaches farther
# which keys a frequency allows; the vendor's calculator refuses `minutes` on Hour, its documentation does not
_KEYS = {
    "Minute": (),
    "Hour": ("minutes",),
    "Day": ("minutes", "hours"),
    "Week": ("minutes", "hours", "weekDays"),
    "Month": ("minutes", "hours", "monthDays", "monthlyOccurrences"),
}


@dataclass(frozen=True, slots=True)
class Schedule:
    """The `schedule` of a recurrence; an empty member was not given. Week days count from Sunday = 0.

    `occurrences` are (week day, which one): 1 is the first of the month, -1 the last, None every one.
    """

    minutes: tuple[int, ...] = ()
    hours: tuple[int, ...] = ()
    week_days: tuple[int, ...] = ()
    month_days: tuple[int, ...] = ()
    occurrences: tuple[tuple[int, int | None], ...] = ()


@dataclass(frozen=True)
class Recurrence:
    """A checked recurrence. `start` is the clock in `zone`, `end` (inclusive) is in UTC."""

    frequency: str
    interval: int
    start: datetime
    end: datetime | None
    zone: tzinfo
    zone_name: str
    schedule: Schedule | None

    @cached_property
    def first(self) -> datetime:
        """The start in UTC; nothing fires before."""
        return instant(self.start, self.zone)

    @cached_property
    def times(self) -> tuple[timedelta, ...]:
        """The times of day at which it fires, sorted; seconds, and what the schedule leaves out, are the start's."""
        schedule = self.schedule or Schedule()
        rest = timedelta(seconds=self.start.second, microseconds=self.start.microsecond)
        hours, minutes = schedule.hours or (self.start.hour,), schedule.minutes or (self.start.minute,)
        return tuple(sorted(timedelta(hours=hour, minutes=minute) + rest for hour in hours for minute in minutes))


# ---- fire times


def next_fire(rule: Recurrence, after: datetime) -> datetime | None:
    """The first fire time (UTC) later than `after`, or None when there is none; `after` is aware."""
    floor = max(after.astimezone(UTC), rule.first - MICROSECOND)
    try:
        find = _next_by_distance if rule.frequency in ("Minute", "Hour") else _next_by_clock
        fire = find(rule, floor)
    except OverflowError:  # beyond the year 9999
        return None
    return None if fire is None or (rule.end is not None and fire > rule.end) else fire


def fires(rule: Recurrence, after: datetime | None = None) -> Iterator[datetime]:
    """All fire times (UTC) later than `after`, else from the first one on."""
    fire = next_fire(rule, after or rule.first - MICROSECOND)
    while fire is not None:
        yield fire
        fire = next_fire(rule, fire)


def instant(clock: datetime, zone: tzinfo) -> datetime:
    """The moment in UTC of a clock in a zone.

    A time that does not exist keeps its distance (02:15 is 03:15 on that day); of one that comes twice the second
    counts. Both follow the vendor's calculator; nothing else says so.
    """
    offsets = (_offset(clock.replace(tzinfo=zone, fold=fold)) for fold in (0, 1))
    return (clock - min(offsets)).replace(tzinfo=UTC)


def _offset(at: datetime) -> timedelta:
    return at.utcoffset() or timedelta()


def _offsets_near(at: datetime, zone: tzinfo) -> list[timedelta]:
    return [_offset((at + distance).astimezone(zone)) for distance in (-_NEAR, timedelta(), _NEAR)]


def _next_by_distance(rule: Recurrence, floor: datetime) -> datetime | None:
    period = timedelta(minutes=rule.interval) if rule.frequency == "Minute" else timedelta(hours=rule.interval)
    index = (floor - rule.first) // period
    if rule.schedule is None:
        return rule.first + (index + 1) * period
    rest = timedelta(seconds=rule.start.second, microseconds=rule.start.microsecond)
    for number in range(max(index, 0), index + 3):  # an hour that holds a base time; the next one is the latest
        base = rule.first + number * period
        clock = base.astimezone(rule.zone)
        hour = base - timedelta(minutes=clock.minute, seconds=clock.second, microseconds=clock.microsecond)
        for minute in rule.schedule.minutes:
            fire = hour + timedelta(minutes=minute) + rest
            if fire > floor:
                return fire
    return None


def _next_by_clock(rule: Recurrence, floor: datetime) -> datetime | None:
    """The earliest moment after `floor`; near a change of the clock a later wall time may come first."""
    best: datetime | None = None
    limit = datetime.max
    low = floor.replace(tzinfo=None) + min(_offsets_near(floor, rule.zone))
    for clock in _clocks(rule, low):
        if clock > limit:
            break
        fire = instant(clock, rule.zone)
        if fire <= floor or (best is not None and fire >= best):
            continue
        best = fire
        offsets = _offsets_near(fire, rule.zone)
        if limit == datetime.max:
            limit = clock + (max(offsets) - min(offsets))
        if limit == clock:
            break
    return best


def _clocks(rule: Recurrence, low: datetime) -> Iterator[datetime]:
    """The wall times of a rule from `low` on, in order."""
    for day in _DATES[rule.frequency](rule, low.date()):
        midnight = datetime(day.year, day.month, day.day)
        for time in rule.times[bisect_left(rule.times, low - midnight) :]:
            yield midnight + time


def _daily(rule: Recurrence, low: date) -> Iterator[date]:
    yield from _stepped(rule.start.date(), rule.interval, low)


def _weekly(rule: Recurrence, low: date) -> Iterator[date]:
    start = rule.start.date()
    if rule.schedule is None:
        yield from _stepped(start, 7 * rule.interval, low)
        return
    days = rule.schedule.week_days or (start.isoweekday() % 7,)
    sunday = start - timedelta(days=start.isoweekday() % 7)
    for week in _stepped(sunday, 7 * rule.interval, low - timedelta(days=6)):
        yield from (day for number in days if (day := week + timedelta(days=number)) >= low)


def _stepped(start: date, days: int, low: date) -> Iterator[date]:
    day = start + timedelta(days=max(0, -((start - low).days // days)) * days)
    while True:
        yield day
        day += timedelta(days=days)


def _monthly(rule: Recurrence, low: date) -> Iterator[date]:
    start = rule.start.year * 12 + rule.start.month - 1
    steps = max(0, (low.year * 12 + low.month - 1 - start) // rule.interval)
    fruitless = 0
    while fruitless <= _MONTHS_IN_A_CYCLE:
        year, month = divmod(start + steps * rule.interval, 12)
        if year > date.max.year:
            return
        days = _days_of_month(rule, year, month + 1)
        fruitless = 0 if days else fruitless + 1
        yield from (day for number in days if (day := date(year, month + 1, number)) >= low)
        steps += 1


_DATES: Mapping[str, Callable[[Recurrence, date], Iterator[date]]] = {
    "Day": _daily,
    "Month": _monthly,
    "Week": _weekly,
}


def _days_of_month(rule: Recurrence, year: int, month: int) -> list[int]:
    first_week_day, last = monthrange(year, month)
    if rule.schedule is None:
        return [min(rule.start.day, last)]
    days = set(range(1, last + 1))
    if rule.schedule.month_days:
        days &= {number if number > 0 else last + 1 + number for number in rule.schedule.month_days}
    if rule.schedule.occurrences:
        days &= {day for item in rule.schedule.occurrences for day in _occurrence(first_week_day, last, *item)}
    if not rule.schedule.month_days and not rule.schedule.occurrences:
        days &= {rule.start.day}
    return sorted(days)


def _occurrence(first_week_day: int, last: int, week_day: int, which: int | None) -> range | list[int]:
    days = range(1 + (week_day - (first_week_day + 1)) % 7, last + 1, 7)
    if which is None:
        return days
    index = which - 1 if which > 0 else len(days) + which
    return [days[index]] if 0 <= index < len(days) else []


# ---- reading


def read(type_properties: Mapping[str, Json], where: str) -> Recurrence:
    """The recurrence of a ScheduleTrigger's typeProperties."""
    if "recurrence" not in type_properties:
        raise DefinitionError("A schedule trigger needs a recurrence.", where=where, cure='Add "recurrence": {...}.')
    return read_recurrence(member(type_properties["recurrence"], f"{where}.recurrence"), f"{where}.recurrence")


def read_recurrence(raw: Mapping[str, Json], where: str = "recurrence") -> Recurrence:
    """A recurrence as definitions write it; DefinitionError says what is wrong and what to write."""
    frequency = choice(raw.get("frequency"), f"{where}.frequency", FREQUENCIES)
    interval = whole(raw.get("interval"), f"{where}.interval", 1, LARGEST_INTERVAL, default=1)
    zone_name = raw.get("timeZone") or "UTC"
    zone = _zone(zone_name, f"{where}.timeZone")
    start = _start(raw.get("startTime"), zone, zone_name, f"{where}.startTime")
    end = None
    if raw.get("endTime") is not None:
        read_end = moment(raw["endTime"], f"{where}.endTime")
        end = read_end.astimezone(UTC) if read_end.tzinfo else instant(read_end, zone)
    rule = Recurrence(frequency, interval, start, end, zone, zone_name, None)
    if end is not None and end < rule.first:
        raise DefinitionError("It lies before the start.", where=f"{where}.endTime", cure="Write a later time.")
    return replace(rule, schedule=_schedule(raw.get("schedule"), frequency, f"{where}.schedule"))


def _zone(name: Json, where: str) -> tzinfo:
    if not isinstance(name, str):
        raise DefinitionError("It is not a text.", where=where, cure="Write a name like 'W. Europe Standard Time'.")
    try:
        return find_zone(name)
    except ExpressionError as error:
        raise DefinitionError(error.message, where=where, cure=error.cure) from error


def _start(value: Json, zone: tzinfo, zone_name: str, where: str) -> datetime:
    """The start as the clock in the zone; like the service, UTC wants a `Z` and every other zone none."""
    start = moment(value, where)
    if zone is UTC:
        if start.tzinfo is None:
            cure = f"Write {value}Z, or give a timeZone."
            raise DefinitionError("A start in UTC needs a Z at its end.", where=where, cure=cure)
        return start.astimezone(UTC).replace(tzinfo=None)
    if start.tzinfo is not None:
        clock = start.replace(tzinfo=None).isoformat()
        raise DefinitionError(
            f"With the time zone '{zone_name}' the start must have no Z and no offset: it is the clock there.",
            where=where,
            cure=f"Write {clock} for that clock, or the time zone UTC.",
        )
    return start


def _schedule(value: Json, frequency: str, where: str) -> Schedule | None:
    raw = {key: item for key, item in member(value, where).items() if item not in (None, [])}
    if not raw:
        return None
    for key in raw:
        if key not in _KEYS[frequency]:
            allowed = ", ".join(_KEYS[frequency])
            raise DefinitionError(
                f"`{key}` cannot stand in the schedule of a recurrence by {frequency}.",
                where=f"{where}.{key}",
                cure=f"Allowed with {frequency}: {allowed}." if allowed else "Leave the schedule out.",
            )
    return Schedule(
        minutes=_numbers(raw, "minutes", where, range(60)),
        hours=_numbers(raw, "hours", where, range(24)),
        week_days=_sorted(_week_day(name, f"{where}.weekDays") for name in _listed(raw.get("weekDays"))),
        month_days=_numbers(raw, "monthDays", where, [*range(-31, 0), *range(1, 32)]),
        occurrences=tuple(
            _read_occurrence(item, f"{where}.monthlyOccurrences[{index}]")
            for index, item in enumerate(_listed(raw.get("monthlyOccurrences")))
        ),
    )


def _listed(value: Json) -> list[Json]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _sorted(values: Iterator[int]) -> tuple[int, ...]:
    return tuple(sorted(set(values)))


def _numbers(raw: Mapping[str, Json], key: str, where: str, allowed: range | list[int]) -> tuple[int, ...]:
    for value in _listed(raw.get(key)):
        if isinstance(value, bool) or not isinstance(value, int) or value not in allowed:
            bounds = "1 to 31 or -31 to -1" if key == "monthDays" else f"{allowed[0]} to {allowed[-1]}"
            raise DefinitionError(f"It holds {value!r:.60}.", where=f"{where}.{key}", cure=f"Write {bounds}.")
    return _sorted(iter(_listed(raw.get(key))))


def _week_day(name: Json, where: str) -> int:
    return WEEK_DAYS.index(choice(name, where, WEEK_DAYS))


def _read_occurrence(value: Json, where: str) -> tuple[int, int | None]:
    item = member(value, where)
    which = item.get("occurrence")
    if which is not None and whole(which, f"{where}.occurrence", -5, 5) == 0:
        cure = "Write 1 for the first one of the month, -1 for the last."
        raise DefinitionError("It is 0.", where=f"{where}.occurrence", cure=cure)
    return _week_day(item.get("day"), f"{where}.day"), which
