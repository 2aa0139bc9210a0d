"""Conformance cases of triggers: each comparison bites."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kyanite.testing.conformance import run_cases

Json = Any
DAILY = {"frequency": "Day", "interval": 1, "startTime": "2024-01-10T12:00:00Z", "timeZone": "UTC"}
HOURLY = {"frequency": "Hour", "interval": 1, "startTime": "2024-01-01T00:00:00Z", "maxConcurrency": 2}
SELF = {"type": "SelfDependencyTumblingWindowTriggerReference", "offset": "-01:00:00", "size": "01:00:00"}
UP = {"type": "TumblingWindowTriggerDependencyReference", "referenceTrigger": {"referenceName": "up"}}


def day(number: int, clock: str = "12:00:00") -> str:
    return f"2024-01-{number:02}T{clock}Z"


def hour(number: int) -> str:
    return f"2024-01-01T{number:02}:00:00Z"


def told(**case: Json) -> str | None:
    (verdict,) = run_cases("triggers", [json.dumps({"id": "t", **case})])
    return f"{verdict.failure.wanted} | {verdict.failure.got}" if verdict.failure else None


def test_schedules() -> None:
    assert told(kind="schedule", recurrence=DAILY, fires=[day(10), day(11)]) is None
    assert told(kind="schedule", recurrence=DAILY, now=day(20, "13:00:00"), fires=[day(21)]) is None
    assert told(kind="schedule", recurrence=DAILY, fires=[day(10), day(12)]) == (
        "2024-01-10T12:00:00Z, 2024-01-12T12:00:00Z | 2024-01-10T12:00:00Z, 2024-01-11T12:00:00Z"
    )
    ending = {**DAILY, "endTime": day(11)}
    assert told(kind="schedule", recurrence=ending, fires=[day(10), day(11)], then="none") is None
    assert told(kind="schedule", recurrence=ending, fires=[day(10)], then="none") is not None
    assert told(kind="schedule", recurrence=ending, fires=[day(10), day(11), day(12)]) is not None


def test_what_must_be_refused() -> None:
    wrong = {**DAILY, "schedule": {"hours": [24]}}
    assert told(kind="schedule", recurrence=wrong, invalid=True, why="hours") is None
    assert told(kind="schedule", recurrence=DAILY, invalid=True, why="hours") == "refused: hours | accepted"
    assert told(kind="schedule", recurrence=wrong, fires=[]) is not None
    assert told(kind="tumbling", trigger={**HOURLY, "maxConcurrency": 51}, invalid=True) is None
    assert told(kind="tumbling", trigger=HOURLY, invalid=True) is not None
    assert told(kind="lunar") == "one of schedule, tumbling, tumbling-backfill, tumbling-dependency | kind 'lunar'"


def test_windows() -> None:
    window = {"start": hour(0), "end": hour(1), "fire_at": hour(3)}
    delayed = {**HOURLY, "delay": "02:00:00"}
    assert told(kind="tumbling", trigger=delayed, windows=[window]) is None
    assert told(kind="tumbling", trigger=HOURLY, windows=[window]) is not None
    assert told(kind="tumbling", trigger={**delayed, "endTime": hour(1)}, windows=[window], then="none") is None
    assert told(kind="tumbling", trigger=delayed, windows=[window], then="none") is not None


@pytest.mark.parametrize(
    ("rule", "first", "second"),
    [
        (HOURLY, [hour(0), hour(1)], [hour(2)]),
        ({**HOURLY, "maxConcurrency": 1}, [hour(0)], [hour(1)]),
        ({**HOURLY, "dependsOn": [SELF]}, [hour(0)], [hour(1)]),
        ({**HOURLY, "maxConcurrency": 50}, [hour(0), hour(1), hour(2)], []),
    ],
)
def test_backfill(rule: Json, first: Json, second: Json) -> None:
    case = {"kind": "tumbling-backfill", "trigger": rule, "now": hour(3), "due": 3}
    assert told(**case, first_wave=first, second_wave_when_first_done=second) is None
    assert told(**{**case, "due": 4}, first_wave=first) == "4 windows due | 3"
    assert told(**case, first_wave=first[:-1]) is not None
    assert told(**case, first_wave=first, second_wave_when_first_done=[hour(5)]) is not None


def test_dependencies() -> None:
    case = {"kind": "tumbling-dependency", "trigger": {**HOURLY, "dependsOn": [UP]}, "upstream": {"up": HOURLY}}
    case |= {"window": hour(5), "needs": [{"trigger": "up", "start": hour(5), "end": hour(6)}]}
    assert told(**case, states={"up": {hour(5): "Succeeded"}}, ready=True) is None
    assert told(**case, states={"up": {hour(5): "Running"}}, ready=False) is None
    assert told(**case, states={}, ready=True) == "ready True | ready False"
    assert told(**{**case, "needs": []}, states={}, ready=False) is not None
    assert told(**{**case, "window": day(1, "05:30:00")}, states={}, ready=False) is not None
