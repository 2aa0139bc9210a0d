"""Tumbling windows, storage event filters, and what parameters see."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kyanite.definitions.load import load_documents
from kyanite.definitions.model import make_resource
from kyanite.engine.triggers import read_trigger, starts, storage_events, tumbling, type_of
from kyanite.engine.triggers.check import check_triggers
from kyanite.engine.triggers.storage_events import CREATED, DELETED, BlobEvent
from kyanite.engine.triggers.values import us_text
from kyanite.errors import DefinitionError, ExpressionError, UnsupportedError

SCOPE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/airline"
HOUR = timedelta(hours=1)
HOURLY = {"frequency": "Hour", "interval": 1, "startTime": "2024-01-01T00:00:00Z", "maxConcurrency": 2}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@given(
    st.sampled_from(["Minute", "Hour", "Month"]),
    st.integers(1, 30),
    st.datetimes(datetime(2015, 1, 1), datetime(2030, 1, 1)),
    st.integers(-50, 400),
)
def test_windows_touch_and_every_moment_is_in_one(frequency: str, interval: int, start: datetime, index: int) -> None:
    raw = {**HOURLY, "frequency": frequency, "interval": interval, "startTime": start.isoformat()}
    rule = tumbling.read(raw, "typeProperties")
    window, following = tumbling.window_at(rule, index), tumbling.window_at(rule, index + 1)
    assert window.start < window.end == following.start
    for moment in (window.start, window.end - timedelta(microseconds=1)):
        assert tumbling.index_of(rule, moment) == index
    assert tumbling.is_window(rule, window)
    assert not tumbling.is_window(rule, tumbling.Window(window.start, window.end + HOUR))


def test_monthly_windows_that_begin_on_the_last_day() -> None:
    rule = tumbling.read({**HOURLY, "frequency": "Month", "startTime": "2024-01-31T06:00:00Z"}, "t")
    assert [tumbling.window_at(rule, index).start.day for index in range(4)] == [31, 29, 31, 30]


def test_windows_end_with_the_last_that_starts_before_the_end() -> None:
    rule = tumbling.read({**HOURLY, "endTime": "2024-01-01T02:30:00Z", "delay": "00:10:00"}, "t")
    assert tumbling.due_count(rule, at("2024-01-01T03:09:59Z")) == 2
    assert tumbling.next_due(rule, at("2024-01-01T03:09:59Z")) == at("2024-01-01T03:10:00Z")
    assert tumbling.due_count(rule, at("2025-01-01T00:00:00Z")) == 3
    assert tumbling.next_due(rule, at("2024-01-01T03:10:00Z")) is None


def test_a_window_never_waits_for_itself_nor_beyond_the_others_end() -> None:
    own = {"type": "SelfDependencyTumblingWindowTriggerReference", "offset": "-01:30:00", "size": "02:00:00"}
    other = {
        "type": "TumblingWindowTriggerDependencyReference",
        "referenceTrigger": {"type": "TriggerReference", "referenceName": "self"},
        "size": "05:00:00",
    }
    rule = tumbling.read({**HOURLY, "dependsOn": [own, other]}, "t")
    up = tumbling.read({**HOURLY, "endTime": "2024-01-01T06:00:00Z"}, "t")
    found = tumbling.needs(rule, {"Self": up}, tumbling.window_at(rule, 4))
    assert [(need.trigger, need.window.start.hour) for need in found] == [
        ("self", 2),
        ("self", 3),
        ("Self", 4),
        ("Self", 5),
    ]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"frequency": "Day"}, "t.frequency"),
        ({"interval": 0}, "t.interval"),
        ({"startTime": "yesterday"}, "t.startTime"),
        ({"endTime": "2024-01-01T00:00:00Z"}, "t.endTime"),
        ({"maxConcurrency": None}, "t.maxConcurrency"),
        ({"delay": "-01:00:00"}, "t.delay"),
        ({"delay": "1h"}, "t.delay"),
        ({"retryPolicy": {"intervalInSeconds": 29}}, "t.retryPolicy.intervalInSeconds"),
        ({"dependsOn": [{"type": "Other"}]}, "t.dependsOn[0].type"),
        ({"dependsOn": [{"type": "TumblingWindowTriggerDependencyReference"}]}, "t.dependsOn[0].referenceTrigger"),
        (
            {
                "dependsOn": [
                    {"type": "SelfDependencyTumblingWindowTriggerReference", "offset": "-01:00:00", "size": "00:00:00"}
                ]
            },
            "t.dependsOn[0].size",
        ),
    ],
)
def test_refused_windows_say_where(change: dict, place: str) -> None:
    tumbling.read(HOURLY, "t")
    with pytest.raises(DefinitionError) as refused:
        tumbling.read({**HOURLY, **change}, "t")
    assert refused.value.where == place
    assert refused.value.cure


EVENTS = {"scope": SCOPE, "events": [CREATED], "blobPathBeginsWith": "/in/blobs/day"}


def event(path: str, kind: str = CREATED, size: int | None = 1, account: str = "airline") -> BlobEvent:
    return BlobEvent("1", account, kind, path, size, at("2024-01-01T00:00:00Z"))


@pytest.mark.parametrize(
    ("change", "blob", "fires"),
    [
        ({}, event("in/day/a.csv"), True),
        ({}, event("in/days.csv"), True),
        ({}, event("in/Day/a.csv"), False),
        ({}, event("other/day/a.csv"), False),
        ({}, event("in/day/a.csv", DELETED), False),
        ({}, event("in/day/a.csv", account="other"), False),
        ({}, event("in/day/a.csv", size=0), False),
        ({"ignoreEmptyBlobs": False}, event("in/day/a.csv", size=0), True),
        ({"events": [CREATED, DELETED]}, event("in/day/a.csv", DELETED, size=None), True),
        ({"blobPathEndsWith": ".csv"}, event("in/day/a.csv"), True),
        ({"blobPathEndsWith": ".csv"}, event("in/day/a.CSV"), False),
        ({"blobPathBeginsWith": None, "blobPathEndsWith": "/in/blobs/a.csv"}, event("in/a.csv"), True),
        ({"blobPathBeginsWith": "/in/"}, event("in/a.csv"), True),
    ],
)
def test_which_blobs_make_a_trigger_fire(change: dict, blob: BlobEvent, fires: bool) -> None:
    assert storage_events.read({**EVENTS, **change}, "t").matches(blob) is fires


@pytest.mark.parametrize(
    ("change", "place", "cure"),
    [
        ({"scope": "airline"}, "t.scope", "storageAccounts/NAME"),
        ({"events": []}, "t.events", CREATED),
        ({"events": ["BlobCreated"]}, "t.events[0]", CREATED),
        ({"blobPathBeginsWith": None}, "t", "blobPathEndsWith"),
        ({"blobPathBeginsWith": "in/blobs/day"}, "t.blobPathBeginsWith", "Write /in/blobs/day."),
        ({"blobPathBeginsWith": "/in/day/x"}, "t.blobPathBeginsWith", "Write /in/blobs/day/x."),
        ({"ignoreEmptyBlobs": "yes"}, "t.ignoreEmptyBlobs", "true or false"),
    ],
)
def test_refused_filters_say_where_and_what_to_write(change: dict, place: str, cure: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        storage_events.read({**EVENTS, **change}, "t")
    assert refused.value.where == place
    assert cure in (refused.value.cure or "")


def start(**parameters: str) -> starts.PipelineStart:
    return starts.PipelineStart("p", parameters, "p")


NOW = datetime(2024, 1, 1, 6, 0, 1, 250_000, tzinfo=UTC)


def test_parameters_of_a_schedule() -> None:
    scope = starts.schedule_scope("daily", at("2024-01-01T06:00:00Z"), NOW)
    given = start(planned="@trigger().scheduledTime", real="@{trigger().startTime}", fixed="x")
    assert starts.evaluate_parameters(given, scope) == {
        "planned": "2024-01-01T06:00:00Z",
        "real": "2024-01-01T06:00:01.2500000Z",
        "fixed": "x",
    }
    with pytest.raises(ExpressionError):
        starts.evaluate_parameters(start(name="@triggerBody().fileName"), scope)


def test_parameters_of_a_window() -> None:
    window = tumbling.Window(at("2024-01-01T05:00:00Z"), at("2024-01-01T06:00:00Z"))
    scope = starts.window_scope("hourly", window, window.end, NOW)
    given = start(
        low="@trigger().outputs.windowStartTime",
        high="@formatDateTime(trigger().outputs.windowEndTime, 'yyyy-MM-dd HH:mm')",
    )
    assert starts.evaluate_parameters(given, scope) == {"low": "2024-01-01T05:00:00Z", "high": "2024-01-01 06:00"}


def test_parameters_of_a_storage_event() -> None:
    given = start(
        folder="@triggerBody().folderPath", name="@triggerBody().fileName", same="@trigger().outputs.body.fileName"
    )
    deep = starts.evaluate_parameters(given, starts.event_scope("e", event("in/day/1/a.csv"), NOW))
    assert deep == {"folder": "in/day/1", "name": "a.csv", "same": "a.csv"}
    assert starts.evaluate_parameters(given, starts.event_scope("e", event("in/a.csv"), NOW))["folder"] == "in"


def reference(name: str) -> dict:
    return {"pipelineReference": {"referenceName": name, "type": "PipelineReference"}}


def test_the_pipelines_of_a_trigger() -> None:
    several = make_resource(
        "trigger", "t", {"properties": {"pipelines": [reference("a"), reference("b"), reference("a")]}}
    )
    assert [(item.pipeline, item.key) for item in starts.starts_of(several)] == [("a", "a"), ("b", "b"), ("a", "a (2)")]
    single = make_resource("trigger", "t", {"properties": {"pipeline": reference("a")}})
    assert [item.pipeline for item in starts.starts_of(single)] == ["a"]
    broken = make_resource("trigger", "t", {"properties": {"pipelines": [{"pipeline": "a"}]}})
    with pytest.raises(DefinitionError, match="number 1"):
        starts.starts_of(broken)


def test_types_are_known_in_any_case_and_others_are_named() -> None:
    known = make_resource("trigger", "t", {"properties": {"type": "scheduletrigger", "typeProperties": {}}})
    assert type_of(known) == "ScheduleTrigger"
    with pytest.raises(DefinitionError, match="recurrence"):
        read_trigger(known)
    other = make_resource("trigger", "t", {"properties": {"type": "CustomEventsTrigger"}})
    with pytest.raises(UnsupportedError, match="CustomEventsTrigger") as refused:
        read_trigger(other)
    assert "ScheduleTrigger" in (refused.value.cure or "")


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        ("2018-06-16T00:43:15Z", "6/16/2018 12:43:15 AM"),
        ("2018-06-06T12:03:05Z", "6/6/2018 12:03:05 PM"),
        ("2018-11-16T23:43:15Z", "11/16/2018 11:43:15 PM"),
    ],
)
def test_times_in_the_properties_of_trigger_runs(moment: str, text: str) -> None:
    assert us_text(at(moment)) == text


def checked(kind: str, rule: dict, **properties: object) -> list[tuple[str, str, str]]:
    document = {"name": "t", "properties": {"type": kind, "typeProperties": rule, **properties}}
    found = check_triggers(load_documents("f", [("trigger", document)]))
    return [(problem.severity, problem.code, problem.path) for problem in found]


@pytest.mark.parametrize(
    ("recurrence", "code"),
    [
        ({"frequency": "Day"}, None),
        ({"frequency": "Day", "schedule": {"minutes": [0], "hours": [3]}}, None),
        ({"frequency": "Day", "schedule": {"minutes": [0]}}, "MinutesWithoutHours"),
        ({"frequency": "Hour", "schedule": {"minutes": [0]}}, "ScheduleOnHour"),
        ({"frequency": "Month", "interval": 12, "schedule": {"monthDays": [30]}}, "NeverFires"),
    ],
)
def test_surprising_schedules_are_pointed_out(recurrence: dict, code: str | None) -> None:
    rule = {"recurrence": {"startTime": "2024-02-01T06:30:00Z", **recurrence}}
    expected = [("warning", code, "properties.typeProperties.recurrence.schedule")] if code else []
    assert checked("ScheduleTrigger", rule) == expected


def test_what_a_start_would_refuse_is_found_before() -> None:
    rule = {"recurrence": {"frequency": "Day", "startTime": "2024-02-01T06:30:00"}}
    place = "properties.typeProperties.recurrence.startTime"
    assert checked("ScheduleTrigger", rule) == [("error", "BadTrigger", place)]
    assert checked("CustomEventsTrigger", {}) == []
    assert checked("TumblingWindowTrigger", {**HOURLY, "frequency": "Minute"})[0][1] == "ShortWindow"
    assert checked("TumblingWindowTrigger", HOURLY) == []
    assert checked("TumblingWindowTrigger", HOURLY, pipelines=["p"]) == [("error", "BadTrigger", "properties")]
