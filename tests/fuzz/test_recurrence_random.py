"""Recurrences against a slow reference that walks by quarters of an hour."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from kyanite.engine.triggers.recurrence import WEEK_DAYS, fires, next_fire, read_recurrence
from kyanite.expressions.windows_zones import WINDOWS_ZONES

STEP = timedelta(minutes=15)
DAYS = 75
# zone -> a day some weeks before something odd happens to its clocks
STARTS = {
    "Egypt Standard Time": datetime(2024, 4, 1),  # the missing hour begins at midnight
    "Lord Howe Standard Time": datetime(2024, 3, 20),  # half an hour of summer time
    "Nepal Standard Time": datetime(2024, 2, 20),
    "Pacific Standard Time": datetime(2024, 10, 5),
    "Samoa Standard Time": datetime(2011, 12, 1),  # 30 December did not exist
    "UTC": datetime(2024, 1, 20),
    "W. Europe Standard Time": datetime(2024, 3, 1),
}


@cache
def walls(start: datetime, zone: ZoneInfo) -> dict[datetime, datetime]:
    """Wall time -> moment for every quarter of an hour, found by looking at each moment's clock."""
    shown: dict[datetime, list[datetime]] = {}
    moment = start.replace(tzinfo=UTC) - timedelta(days=2)
    while moment < start.replace(tzinfo=UTC) + timedelta(days=DAYS + 2):
        shown.setdefault(moment.astimezone(zone).replace(tzinfo=None), []).append(moment)
        moment += STEP
    result: dict[datetime, datetime] = {}
    wall, last = min(shown), shown[min(shown)][-1]
    while wall < start + timedelta(days=DAYS):
        if wall in shown:
            last = shown[wall][-1]  # of two, the second
        else:
            last += STEP  # a time that does not exist keeps its distance
        result[wall] = last
        wall += STEP
    return result


def is_day(recurrence: dict, start: datetime, wall: datetime) -> bool:
    interval, schedule = recurrence["interval"], recurrence.get("schedule", {})
    last = calendar.monthrange(wall.year, wall.month)[1]
    name = wall.strftime("%A")
    if recurrence["frequency"] == "Day":
        return (wall.date() - start.date()).days % interval == 0
    if recurrence["frequency"] == "Week":
        sundays = [day.date().toordinal() // 7 for day in (start, wall)]  # ordinal 7 was a Sunday
        if (sundays[1] - sundays[0]) % interval:
            return False
        return name in schedule.get("weekDays", [start.strftime("%A")])
    if ((wall.year - start.year) * 12 + wall.month - start.month) % interval:
        return False
    if not schedule:
        return wall.day == start.day or (wall.day == last < start.day)
    if "monthDays" in schedule and not {wall.day, wall.day - last - 1} & set(schedule["monthDays"]):
        return False
    if "monthlyOccurrences" in schedule:
        from_front, from_back = (wall.day - 1) // 7 + 1, -((last - wall.day) // 7 + 1)
        return any(
            item["day"] == name and item.get("occurrence") in (None, from_front, from_back)
            for item in schedule["monthlyOccurrences"]
        )
    return "monthDays" in schedule or wall.day == start.day


def slow(recurrence: dict) -> list[datetime]:
    zone = UTC if recurrence["timeZone"] == "UTC" else ZoneInfo(WINDOWS_ZONES[recurrence["timeZone"]])
    start = datetime.fromisoformat(recurrence["startTime"].removesuffix("Z"))
    known = walls(STARTS[recurrence["timeZone"]], zone)
    schedule = recurrence.get("schedule", {})
    hours, minutes = schedule.get("hours", [start.hour]), schedule.get("minutes", [start.minute])
    found = {
        moment
        for wall, moment in known.items()
        if wall.hour in hours and wall.minute in minutes and is_day(recurrence, start, wall)
    }
    return sorted(moment for moment in found if moment >= known[start])


@st.composite
def recurrences(draw: st.DrawFn) -> dict:
    zone = draw(st.sampled_from(sorted(STARTS)))
    start = STARTS[zone] + draw(st.integers(0, 40)) * timedelta(days=1) + draw(st.integers(0, 95)) * STEP
    frequency = draw(st.sampled_from(["Day", "Week", "Month"]))
    recurrence: dict = {
        "frequency": frequency,
        "interval": draw(st.integers(1, 3)),
        "startTime": start.isoformat() + ("Z" if zone == "UTC" else ""),
        "timeZone": zone,
    }
    keys = {
        "minutes": st.lists(st.sampled_from([0, 15, 30, 45]), min_size=1, max_size=3),
        "hours": st.lists(st.integers(0, 23) | st.sampled_from([0, 1, 2, 3]), min_size=1, max_size=4),
    }
    if frequency == "Week":
        keys["weekDays"] = st.lists(st.sampled_from(WEEK_DAYS), min_size=1, max_size=3)
    if frequency == "Month":
        keys["monthDays"] = st.lists(st.integers(1, 31) | st.integers(-31, -1), min_size=1, max_size=4)
        occurrence = st.fixed_dictionaries(
            {"day": st.sampled_from(WEEK_DAYS)}, optional={"occurrence": st.sampled_from([-5, -2, -1, 1, 2, 5])}
        )
        keys["monthlyOccurrences"] = st.lists(occurrence, min_size=1, max_size=2)
    chosen = draw(st.sets(st.sampled_from(sorted(keys))))
    if chosen:
        recurrence["schedule"] = {key: draw(keys[key]) for key in sorted(chosen)}
    return recurrence


@settings(max_examples=80)
@given(recurrences())
def test_fires_as_the_walk_from_wall_time_to_wall_time_does(recurrence: dict) -> None:
    expected = slow(recurrence)
    rule = read_recurrence(recurrence)
    until = (STARTS[recurrence["timeZone"]] + timedelta(days=DAYS - 2)).replace(tzinfo=UTC)
    got = []
    for fire in fires(rule):
        if fire >= until:
            break
        got.append(fire)
    assert got == [fire for fire in expected if fire < until]


@settings(max_examples=40)
@given(recurrences(), st.integers(-500, 100_000))
def test_asking_from_any_moment_gives_the_same_fires(recurrence: dict, minutes: int) -> None:
    rule = read_recurrence(recurrence)
    after = rule.first + timedelta(minutes=minutes)
    before = list(islice(fires(rule, after - timedelta(days=200)), 400))
    later = [fire for fire in before if fire > after]
    if later:
        assert next_fire(rule, after) == later[0]
