"""Recurrences: clock changes, months without the day, bounds, refused definitions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest

from kyanite.engine.triggers.recurrence import fires, next_fire, read_recurrence
from kyanite.errors import DefinitionError


def test_every_minute_of_every_month_day_is_found_at_once() -> None:
    schedule = {"minutes": list(range(60)), "hours": list(range(24)), "monthDays": list(range(1, 32))}
    rule = read_recurrence(
        {
            "frequency": "Month",
            "interval": 1,
            "startTime": "2017-01-01T00:00:00",
            "timeZone": "W. Europe Standard Time",
            "schedule": schedule,
        }
    )
    at = datetime(2024, 3, 31, 0, 59, tzinfo=UTC)  # 01:59 there; 02:00 to 02:59 do not exist
    assert list(islice(fires(rule, at), 2)) == [at + timedelta(minutes=1), at + timedelta(minutes=2)]


def wall_times(recurrence: dict, after: str, count: int) -> list[str]:
    rule = read_recurrence(recurrence)
    found = islice(fires(rule, datetime.fromisoformat(after)), count)
    return [fire.astimezone(rule.zone).strftime("%m-%d %H:%M %z") for fire in found]


@pytest.mark.parametrize(
    ("zone", "start", "schedule", "after", "expected"),
    [
        # two entries that fall on one instant fire once, in the order of the instants
        (
            "W. Europe Standard Time",
            "2024-03-01T00:00:00",
            {"hours": [2, 3], "minutes": [0, 30]},
            "2024-03-30T12:00Z",
            ["03-31 03:00 +0200", "03-31 03:30 +0200", "04-01 02:00 +0200"],
        ),
        # a later wall time of the same day can come before one that was moved
        (
            "W. Europe Standard Time",
            "2024-03-01T00:00:00",
            {"hours": [2, 3], "minutes": [45]},
            "2024-03-30T12:00Z",
            ["03-31 03:45 +0200", "04-01 02:45 +0200", "04-01 03:45 +0200"],
        ),
        # the doubled hour: once, at the second
        (
            "Pacific Standard Time",
            "2024-11-01T01:30:00",
            {},
            "2024-11-02T12:00Z",
            ["11-03 01:30 -0800", "11-04 01:30 -0800"],
        ),
        # the missing hour begins at midnight
        (
            "Egypt Standard Time",
            "2024-04-01T00:15:00",
            {},
            "2024-04-25T12:00Z",
            ["04-26 01:15 +0300", "04-27 00:15 +0300"],
        ),
        # half an hour
        (
            "Lord Howe Standard Time",
            "2024-10-01T02:10:00",
            {},
            "2024-10-05T12:00Z",
            ["10-06 02:40 +1100", "10-07 02:10 +1100"],
        ),
        # a day that was left out fires on the next one, with it
        (
            "Samoa Standard Time",
            "2011-12-01T10:00:00",
            {},
            "2011-12-29T12:00Z",
            ["12-29 10:00 -1000", "12-31 10:00 +1400", "01-01 10:00 +1400"],
        ),
    ],
)
def test_when_clocks_change(zone: str, start: str, schedule: dict, after: str, expected: list[str]) -> None:
    recurrence = {"frequency": "Day", "startTime": start, "timeZone": zone, "schedule": schedule}
    assert wall_times(recurrence, after, len(expected)) == expected


def test_minutes_of_the_hours_that_hold_a_base_time() -> None:
    recurrence = {
        "frequency": "Hour",
        "interval": 2,
        "startTime": "2024-01-10T12:25:30Z",
        "schedule": {"minutes": [10, 40]},
    }
    rule = read_recurrence(recurrence)
    got = [fire.strftime("%d %H:%M:%S") for fire in islice(fires(rule), 4)]
    assert got == ["10 12:40:30", "10 14:10:30", "10 14:40:30", "10 16:10:30"]


def test_a_fire_exactly_at_the_start_and_at_the_end_counts() -> None:
    day = {"frequency": "Day", "startTime": "2024-01-10T06:00:00Z", "schedule": {"hours": [6], "minutes": [0]}}
    rule = read_recurrence({**day, "endTime": "2024-01-12T06:00:00Z"})
    assert [fire.day for fire in fires(rule)] == [10, 11, 12]


def test_a_rule_that_can_never_fire_says_so_in_time() -> None:
    rule = read_recurrence(
        {
            "frequency": "Month",
            "interval": 12,
            "startTime": "2024-02-01T00:00:00Z",
            "schedule": {"monthDays": [30, 31]},
        }
    )
    assert next_fire(rule, rule.first) is None


def test_nothing_fires_after_the_last_year() -> None:
    for frequency in ("Minute", "Hour", "Day", "Week", "Month"):
        rule = read_recurrence({"frequency": frequency, "interval": 1000, "startTime": "9999-12-30T00:00:00Z"})
        assert len(list(islice(fires(rule), 5))) in (1, 3, 4, 5)


GOOD = {"frequency": "Day", "interval": 1, "startTime": "2024-01-10T12:00:00Z"}


@pytest.mark.parametrize(
    ("change", "place", "cure"),
    [
        ({"frequency": "Year"}, "recurrence.frequency", "Minute, Hour, Day, Week, Month"),
        ({"interval": 0}, "recurrence.interval", "1 to 1000"),
        ({"interval": 1001}, "recurrence.interval", "1 to 1000"),
        ({"interval": True}, "recurrence.interval", "1 to 1000"),
        ({"startTime": None}, "recurrence.startTime", "2024-01-31T06:00:00Z"),
        ({"startTime": "2024-02-30T00:00:00Z"}, "recurrence.startTime", "2024-01-31T06:00:00Z"),
        ({"startTime": "2024-01-10T12:00:00"}, "recurrence.startTime", "2024-01-10T12:00:00Z"),
        ({"timeZone": "Pacific Standard Time"}, "recurrence.startTime", "2024-01-10T12:00:00 for that clock"),
        ({"timeZone": "Pacific Standart Time"}, "recurrence.timeZone", "'Pacific Standard Time'"),
        ({"endTime": "2024-01-09T12:00:00Z"}, "recurrence.endTime", "later"),
        ({"schedule": {"weekDays": ["Monday"]}}, "recurrence.schedule.weekDays", "minutes, hours"),
        ({"schedule": {"hours": [24]}}, "recurrence.schedule.hours", "0 to 23"),
        ({"schedule": {"minutes": "0"}}, "recurrence.schedule.minutes", "0 to 59"),
        ({"schedule": {"seconds": [1]}}, "recurrence.schedule.seconds", "minutes, hours"),
        ({"frequency": "Minute", "schedule": {"minutes": [1]}}, "recurrence.schedule.minutes", "Leave"),
        ({"frequency": "Week", "schedule": {"weekDays": ["Mon"]}}, "recurrence.schedule.weekDays", "Monday"),
        ({"frequency": "Month", "schedule": {"monthDays": [32]}}, "recurrence.schedule.monthDays", "-31 to -1"),
        (
            {"frequency": "Month", "schedule": {"monthlyOccurrences": [{"day": "Friday", "occurrence": 0}]}},
            "recurrence.schedule.monthlyOccurrences[0].occurrence",
            "-1 for the last",
        ),
    ],
)
def test_refused_recurrences_say_where_and_what_to_write(change: dict, place: str, cure: str) -> None:
    read_recurrence(GOOD)
    with pytest.raises(DefinitionError) as refused:
        read_recurrence({**GOOD, **change})
    assert refused.value.where == place
    assert cure in (refused.value.cure or "")
