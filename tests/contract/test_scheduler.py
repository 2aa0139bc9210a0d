"""The scheduler on a real workspace with a clock that the tests move: nothing is lost, nothing is made twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kyanite.definitions.load import load_documents
from kyanite.engine.events import utc_text
from kyanite.errors import ConflictError, DefinitionError, NotFoundError, ParameterError, UnsupportedError
from kyanite.limits import SCHEDULE_LATE_SECONDS, WINDOW_WAIT_SECONDS
from kyanite.runs.store import Owner, RunQuery
from kyanite.runtime.monitor import pipeline_run
from kyanite.runtime.scheduler import Scheduler
from kyanite.runtime.serve import RunPool, only_server, serve
from kyanite.runtime.start import start_run
from kyanite.runtime.triggers import list_triggers, preview, start_trigger, stop_trigger, trigger_document
from kyanite.runtime.triggers_runs import cancel_trigger_run, find_trigger_run, rerun_trigger_run, trigger_runs
from kyanite.runtime.triggers_store import TriggerRunQuery, TriggerStore
from kyanite.runtime.worker import Worker
from kyanite.runtime.workspace import Workspace, open_workspace
from kyanite.storage import events

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
BEGIN = datetime(2024, 3, 30, 12, 0, 30, tzinfo=UTC)
SCOPE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/airline"


class Clock:
    def __init__(self) -> None:
        self.now = BEGIN

    def __call__(self) -> datetime:
        return self.now

    def move(self, distance: timedelta) -> datetime:
        self.now += distance
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def workspace(workspace_home: Path) -> Iterator[Workspace]:
    with open_workspace(workspace_home, create=True) as opened:
        yield opened


def activity(kind: str) -> dict:
    properties = {
        "SetVariable": {"variableName": "v", "value": "@concat(pipeline().TriggerType, ' ', pipeline().TriggerName)"},
        "Fail": {"message": "as told", "errorCode": "1"},
    }
    return {"name": "a", "type": kind, "typeProperties": properties[kind]}


def pipeline(name: str, *parameters: str, kind: str = "SetVariable") -> tuple[str, dict]:
    properties = {
        "variables": {"v": {"type": "String"}},
        "parameters": {parameter: {"type": "string"} for parameter in parameters},
        "activities": [activity(kind)],
    }
    return "pipeline", {"name": name, "properties": properties}


def starts(pipeline_name: str, **parameters: str) -> dict:
    return {
        "pipelineReference": {"referenceName": pipeline_name, "type": "PipelineReference"},
        "parameters": parameters,
    }


def schedule(name: str, *pipelines: dict, state: str = "Stopped", **recurrence: object) -> tuple[str, dict]:
    rule = {"frequency": "Minute", "interval": 15, "startTime": "2017-12-08T00:00:00Z", **recurrence}
    return "trigger", {
        "name": name,
        "properties": {
            "type": "ScheduleTrigger",
            "runtimeState": state,
            "pipelines": list(pipelines),
            "typeProperties": {"recurrence": rule},
        },
    }


def windows(name: str, start: dict, **more: object) -> tuple[str, dict]:
    rule = {"frequency": "Hour", "interval": 1, "startTime": "2024-03-30T08:00:00Z", "maxConcurrency": 2, **more}
    properties = {"type": "TumblingWindowTrigger", "pipeline": start, "typeProperties": rule}
    return "trigger", {"name": name, "properties": properties}


def blob_events(name: str, start: dict, **more: object) -> tuple[str, dict]:
    rule = {
        "scope": SCOPE,
        "events": ["Microsoft.Storage.BlobCreated"],
        "blobPathBeginsWith": "/inbox/blobs/day/",
        **more,
    }
    properties = {"type": "BlobEventsTrigger", "pipelines": [start], "typeProperties": rule}
    return "trigger", {"name": name, "properties": properties}


def deploy(workspace: Workspace, *documents: tuple[str, dict]) -> None:
    workspace.save_factory(load_documents("f", documents))


def begin(workspace: Workspace, clock: Clock, *names: str) -> None:
    for name in names:
        start_trigger(workspace, workspace.factory("f"), name, now=clock.now)


def made_runs(workspace: Workspace) -> list[dict]:
    """All pipeline runs, oldest first."""
    return [pipeline_run(workspace, run.run_id) for run in reversed(workspace.store.runs(RunQuery(limit=1000)))]


def work(workspace: Workspace) -> int:
    """Work on all unfinished runs; how many."""
    found = workspace.store.runs(RunQuery(status=("Queued", "InProgress"), limit=1000))
    for run in reversed(found):
        Worker(workspace).run(run.run_id)
    return len(found)


def shown(workspace: Workspace, name: str) -> list[tuple[str, str]]:
    """(start of the window, status), oldest first."""
    runs = trigger_runs(workspace, TriggerRunQuery(trigger=name, limit=1000))
    return sorted((run["windowStart"][8:16], run["status"]) for run in runs)


# ---- schedules


def test_a_schedule_fires_once_for_each_time_over_restarts(workspace: Workspace, clock: Clock) -> None:
    deploy(workspace, pipeline("p", "at"), schedule("quarter", starts("p", at="@trigger().scheduledTime")))
    begin(workspace, clock, "QUARTER")
    told: list[str] = []
    for _ in range(4 * 60):
        Scheduler(workspace, clock=clock, on_run=told.append).look()  # a new process at every look
        clock.move(MINUTE / 2)
    runs = made_runs(workspace)
    assert [run["parameters"]["at"][11:16] for run in runs] == [
        f"{12 + minute // 60}:{minute % 60:02}" for minute in range(15, 121, 15)
    ]
    assert told == [run["runId"] for run in runs]
    first = trigger_runs(workspace)[-1]
    assert runs[0]["invokedBy"] == {
        "id": first["triggerRunId"],
        "name": "quarter",
        "invokedByType": "ScheduleTrigger",
        "time": first["triggerRunTimestamp"],
    }
    assert first["properties"] == {"TriggerTime": "3/30/2024 12:15:00 PM", "ScheduleTime": "3/30/2024 12:15:00 PM"}
    assert first["triggeredPipelines"] == {"p": runs[0]["runId"]}
    assert first["status"] == "Succeeded"
    Worker(workspace).run(runs[0]["runId"])
    variable = next(event for event in workspace.store.history(runs[0]["runId"]) if event.kind == "VariableSet")
    assert variable.body["value"] == "ScheduleTrigger quarter"


def test_what_nobody_was_there_for_is_dropped(workspace: Workspace, clock: Clock) -> None:
    deploy(workspace, pipeline("p", "at"), schedule("quarter", starts("p", at="@trigger().scheduledTime")))
    begin(workspace, clock, "quarter")
    said: list[str] = []
    clock.move(3 * HOUR)
    Scheduler(workspace, clock=clock, log=said.append).look()
    assert [run["parameters"]["at"] for run in made_runs(workspace)] == ["2024-03-30T15:00:00Z"]  # 30 s ago
    assert any("2024-03-30T12:15:00Z" in line and "dropped" in line for line in said)
    clock.now = datetime(2024, 3, 30, 18, 10, tzinfo=UTC)  # ten minutes after a fire: more than what is made up for
    assert SCHEDULE_LATE_SECONDS < 600
    Scheduler(workspace, clock=clock).look()
    assert len(made_runs(workspace)) == 1


def test_two_schedulers_at_once_make_each_run_once(workspace: Workspace, workspace_home: Path, clock: Clock) -> None:
    deploy(
        workspace,
        pipeline("p"),
        schedule("minutely", starts("p"), interval=1),
        windows("hourly", starts("p"), maxConcurrency=4),
    )
    begin(workspace, clock, "minutely", "hourly")
    clock.move(4 * MINUTE)
    barrier = threading.Barrier(3)
    failures: list[Exception] = []

    def one() -> None:
        try:
            with open_workspace(workspace_home) as own:
                scheduler = Scheduler(own, clock=clock)
                barrier.wait(timeout=20)
                scheduler.look()
        except Exception as error:  # noqa: BLE001 - shown by the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=one) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert failures == []
    by = [run["invokedBy"]["name"] for run in made_runs(workspace)]
    assert sorted(by) == ["hourly"] * 4 + ["minutely"] * 4
    assert len(trigger_runs(workspace)) == 8


def test_a_trigger_fires_from_its_start_on_and_not_after_its_stop(workspace: Workspace, clock: Clock) -> None:
    deploy(workspace, pipeline("p"), schedule("minutely", starts("p"), state="Started", interval=1))
    scheduler = Scheduler(workspace, clock=clock)

    def count_after(minutes: int) -> int:
        for _ in range(minutes):
            clock.move(MINUTE)
            scheduler.look()
        return len(made_runs(workspace))

    assert count_after(3) == 0  # deployed triggers are Stopped, whatever they say
    begin(workspace, clock, "minutely")
    assert count_after(2) == 2
    stop_trigger(workspace, workspace.factory("f"), "minutely", now=clock.now)
    assert count_after(3) == 2
    clock.move(-4 * MINUTE)  # a clock set back does not bring old fires again
    begin(workspace, clock, "minutely")
    assert count_after(1) == 2
    assert count_after(3) == 5


def test_a_changed_trigger_counts_as_stopped(workspace: Workspace, clock: Clock) -> None:
    deploy(workspace, pipeline("p"), schedule("minutely", starts("p"), interval=1))
    begin(workspace, clock, "minutely")
    scheduler = Scheduler(workspace, clock=clock)
    deploy(workspace, pipeline("p"), schedule("minutely", starts("p"), state="Started", interval=1))  # the same rule
    clock.move(MINUTE)
    scheduler.look()
    assert len(made_runs(workspace)) == 1
    deploy(workspace, pipeline("p"), schedule("minutely", starts("p"), interval=2))
    clock.move(2 * MINUTE)
    scheduler.look()
    assert len(made_runs(workspace)) == 1
    listed = list_triggers(workspace, workspace.factory("f"), now=clock.now)[0]
    assert (listed["runtimeState"], listed["note"]) == ("Stopped", "changed since it was started")
    assert trigger_document(workspace, workspace.factory("f"), "minutely")["properties"]["runtimeState"] == "Stopped"
    begin(workspace, clock, "minutely")
    clock.move(2 * MINUTE)
    scheduler.look()
    assert len(made_runs(workspace)) == 2


def test_one_pipeline_that_cannot_run_does_not_disturb_the_others(workspace: Workspace, clock: Clock) -> None:
    documents = [pipeline("p", "x"), pipeline("q")]
    deploy(workspace, *documents, schedule("both", starts("p", x="@trigger().nothing"), starts("q"), interval=1))
    begin(workspace, clock, "both")
    clock.move(MINUTE)
    Scheduler(workspace, clock=clock).look()
    run = trigger_runs(workspace)[0]
    assert run["status"] == "Failed"
    assert "'p'" in run["message"] and "nothing" in run["message"]
    assert list(run["triggeredPipelines"]) == ["q"]
    assert [made["pipelineName"] for made in made_runs(workspace)] == ["q"]


@pytest.mark.parametrize(
    ("documents", "error", "words"),
    [
        ([schedule("t")], DefinitionError, "at least one pipeline"),
        ([schedule("t", starts("absent"))], NotFoundError, "absent"),
        ([schedule("t", starts("p"), interval=0)], DefinitionError, "is 0"),
        ([schedule("t", starts("needs"))], ParameterError, "no value for 'x'"),
        ([schedule("t", starts("p", y="1"))], ParameterError, "'y'"),
        ([windows("t", starts("p"), dependsOn=[{"type": "TumblingWindowTriggerDependencyReference",
          "referenceTrigger": {"referenceName": "s", "type": "TriggerReference"}}]),
          schedule("s", starts("p"))], DefinitionError, "no windows"),
        ([blob_events("t", starts("p"))], NotFoundError, "airline"),
        ([("trigger", {"name": "t", "properties": {"type": "CustomEventsTrigger"}})], UnsupportedError, "CustomEvents"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)  # fmt: skip
def test_a_trigger_that_could_not_work_is_not_started(
    workspace: Workspace, clock: Clock, documents: list, error: type[Exception], words: str
) -> None:
    deploy(workspace, pipeline("p"), pipeline("needs", "x"), *documents)
    with pytest.raises(error, match=words):
        begin(workspace, clock, "t")
    assert list_triggers(workspace, workspace.factory("f"))[0]["runtimeState"] == "Stopped"


# ---- windows


def test_backfill_is_oldest_first_and_so_many_at_a_time(workspace: Workspace, clock: Clock) -> None:
    given = starts("p", low="@trigger().outputs.windowStartTime", high="@trigger().outputs.windowEndTime")
    deploy(workspace, pipeline("p", "low", "high"), windows("hourly", given))
    begin(workspace, clock, "hourly")
    waves = []
    for _ in range(4):
        for _ in range(2):
            Scheduler(workspace, clock=clock).look()
        waves.append(work(workspace))
    assert waves == [2, 2, 0, 0]
    hours = [(run["parameters"]["low"][11:13], run["parameters"]["high"][11:13]) for run in made_runs(workspace)]
    assert hours == [("08", "09"), ("09", "10"), ("10", "11"), ("11", "12")]
    assert [status for _, status in shown(workspace, "hourly")] == ["Succeeded"] * 4
    stop_trigger(workspace, workspace.factory("f"), "hourly", now=clock.now)
    clock.move(2 * HOUR)
    Scheduler(workspace, clock=clock).look()
    assert work(workspace) == 0
    begin(workspace, clock, "hourly")  # goes on with the next window that has not run
    Scheduler(workspace, clock=clock).look()
    assert [run["parameters"]["low"][11:13] for run in made_runs(workspace)][4:] == ["12", "13"]
    one = trigger_runs(workspace)[0]
    assert one["properties"]["windowStartTime"] == "3/30/2024 1:00:00 PM"
    assert (one["status"], one["windowEnd"]) == ("Inprogress", "2024-03-30T14:00:00Z")


def test_no_window_is_passed_over_when_places_come_and_go(
    workspace: Workspace, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy(workspace, pipeline("p"), windows("hourly", starts("p")))
    begin(workspace, clock, "hourly")
    others = iter([2, 0, 0, 0])  # another scheduler has taken both places; a moment later they are free again
    with monkeypatch.context() as busy:
        busy.setattr(TriggerStore, "running_windows", lambda store, key: next(others))
        Scheduler(workspace, clock=clock).look()
    Scheduler(workspace, clock=clock).look()
    assert [hour for hour, _ in shown(workspace, "hourly")] == ["30T08:00", "30T09:00"]


def test_a_failed_run_is_tried_again_with_the_same_parameters(workspace: Workspace, clock: Clock) -> None:
    retry = {"count": 1, "intervalInSeconds": 60}
    given = starts("p", at="@trigger().startTime")
    trigger = windows("hourly", given, maxConcurrency=1, retryPolicy=retry, endTime="2024-03-30T09:00:00Z")
    deploy(workspace, pipeline("p", "at", kind="Fail"), trigger)
    begin(workspace, clock, "hourly")
    scheduler = Scheduler(workspace, clock=clock)
    scheduler.look()
    assert work(workspace) == 1
    clock.now = datetime.now(UTC)  # runs end by the real clock
    scheduler.look()
    assert shown(workspace, "hourly") == [("30T08:00", "Waiting")]
    scheduler.look()
    assert work(workspace) == 0
    clock.move(2 * MINUTE)
    scheduler.look()
    assert work(workspace) == 1
    first, second = made_runs(workspace)
    assert first["parameters"] == second["parameters"]
    assert first["runId"] != second["runId"]
    clock.move(2 * MINUTE)
    scheduler.look()
    run = trigger_runs(workspace)[0]
    assert run["status"] == "Failed" and "as told" in run["message"]
    clock.move(HOUR)
    scheduler.look()
    assert work(workspace) == 0
    deploy(workspace, pipeline("p", "at"), trigger)  # the pipeline is mended
    rerun_trigger_run(workspace, find_trigger_run(workspace, "f", "hourly@2024-03-30T08:00:00Z"), now=clock.now)
    scheduler.look()
    assert work(workspace) == 1
    scheduler.look()
    run = trigger_runs(workspace)[0]
    assert (run["status"], run["reruns"]) == ("Succeeded", 1)
    assert made_runs(workspace)[2]["parameters"] != first["parameters"]


def test_windows_wait_for_those_they_depend_on(workspace: Workspace, clock: Clock) -> None:
    other = {
        "type": "TumblingWindowTriggerDependencyReference",
        "referenceTrigger": {"referenceName": "UP", "type": "TriggerReference"},
        "offset": "-01:00:00",
        "size": "02:00:00",
    }
    deploy(
        workspace,
        pipeline("p"),
        windows("up", starts("p"), maxConcurrency=1),
        windows("down", starts("p"), dependsOn=[other]),
    )
    begin(workspace, clock, "up", "down")
    scheduler = Scheduler(workspace, clock=clock)
    scheduler.look()
    assert shown(workspace, "up") == [("30T08:00", "Inprogress")]
    assert shown(workspace, "down") == [(f"30T{hour:02}:00", "Waiting") for hour in (8, 9, 10, 11)]
    first = trigger_runs(workspace, TriggerRunQuery(trigger="down"))[-1]
    assert first["dependencyStatus"] == {"UP 2024-03-30T08:00:00Z": "Waiting"}
    order = []
    for _ in range(8):
        work(workspace)
        scheduler.look()
        order.append([hour for hour, status in shown(workspace, "down") if status == "Succeeded"])
    assert [len(done) for done in order] == sorted(len(done) for done in order)
    assert order[-1] == ["30T08:00", "30T09:00", "30T10:00", "30T11:00"]
    by = [(run["invokedBy"]["name"], run["runId"]) for run in made_runs(workspace)]
    assert [name for name, _ in by][:2] == ["up", "up"] or [name for name, _ in by][:2] == ["up", "down"]
    assert len(by) == 8


def test_a_window_waits_seven_days_and_can_be_cancelled(workspace: Workspace, clock: Clock) -> None:
    own = {"type": "SelfDependencyTumblingWindowTriggerReference", "offset": "-01:00:00"}
    end = "2024-03-30T11:00:00Z"
    deploy(workspace, pipeline("p", kind="Fail"), windows("chain", starts("p"), dependsOn=[own], endTime=end))
    begin(workspace, clock, "chain")
    scheduler = Scheduler(workspace, clock=clock)
    scheduler.look()
    assert work(workspace) == 1
    scheduler.look()
    assert shown(workspace, "chain") == [("30T08:00", "Failed"), ("30T09:00", "Waiting"), ("30T10:00", "Waiting")]
    cancel_trigger_run(workspace, find_trigger_run(workspace, "f", "chain@2024-03-30T10:00:00Z"), now=clock.now)
    clock.move(timedelta(seconds=WINDOW_WAIT_SECONDS))
    scheduler.look()
    assert shown(workspace, "chain")[1] == ("30T09:00", "Waiting")
    clock.move(MINUTE)
    scheduler.look()
    assert shown(workspace, "chain") == [("30T08:00", "Failed"), ("30T09:00", "Failed"), ("30T10:00", "Canceled")]
    failed = find_trigger_run(workspace, "f", "chain@2024-03-30T09:00:00Z")
    assert "7 days" in failed.message and "2024-03-30T08:00:00Z" in failed.message
    with pytest.raises(ConflictError):
        cancel_trigger_run(workspace, failed)


def test_cancelling_a_running_window_cancels_its_run(workspace: Workspace, clock: Clock) -> None:
    deploy(workspace, pipeline("p"), windows("hourly", starts("p"), maxConcurrency=1, retryPolicy={"count": 3}))
    begin(workspace, clock, "hourly")
    scheduler = Scheduler(workspace, clock=clock)
    scheduler.look()
    cancel_trigger_run(workspace, find_trigger_run(workspace, "f", "hourly@2024-03-30T08:00:00Z"))
    for run in workspace.store.runs(RunQuery(status="Canceling")):
        assert Worker(workspace).run(run.run_id) == "Cancelled"
    scheduler.look()
    assert shown(workspace, "hourly") == [("30T08:00", "Canceled"), ("30T09:00", "Inprogress")]
    with pytest.raises(ConflictError, match="not over"):
        rerun_trigger_run(workspace, find_trigger_run(workspace, "f", "hourly@2024-03-30T09:00:00Z"))


def test_a_window_whose_parameters_cannot_be_evaluated_fails(workspace: Workspace, clock: Clock) -> None:
    end = "2024-03-30T09:00:00Z"
    deploy(workspace, pipeline("p", "x"), windows("t", starts("p", x="@triggerBody().fileName"), endTime=end))
    begin(workspace, clock, "t")
    for _ in range(2):
        Scheduler(workspace, clock=clock).look()
    run = trigger_runs(workspace)[0]
    assert run["status"] == "Failed" and "triggerBody" in run["message"]
    assert made_runs(workspace) == []


def test_windows_cannot_move_once_there_are_some(workspace: Workspace, clock: Clock) -> None:
    deploy(workspace, pipeline("p"), windows("hourly", starts("p")))
    begin(workspace, clock, "hourly")
    Scheduler(workspace, clock=clock).look()
    deploy(workspace, pipeline("p"), windows("hourly", starts("p"), endTime="2024-03-30T20:00:00Z"))
    begin(workspace, clock, "hourly")
    deploy(workspace, pipeline("p"), windows("hourly", starts("p"), startTime="2024-03-30T08:30:00Z"))
    with pytest.raises(ConflictError, match="does not give"):
        begin(workspace, clock, "hourly")


# ---- storage events


@pytest.fixture
def account(workspace: Workspace):
    account = workspace.accounts.create("airline")
    account.create_container("inbox")
    return account


def put(account, path: str, content: bytes = b"x") -> None:
    with account.open_write("inbox", path) as writer:
        writer.write(content)
        writer.commit()


def event_parameters(workspace: Workspace) -> list[tuple[str, str]]:
    return [(run["parameters"]["folder"], run["parameters"]["name"]) for run in made_runs(workspace)]


GIVEN = starts("p", folder="@triggerBody().folderPath", name="@triggerBody().fileName")


def test_blobs_start_pipelines_also_when_another_process_writes_them(
    workspace: Workspace, workspace_home: Path, clock: Clock, account
) -> None:
    deploy(workspace, pipeline("p", "folder", "name"), blob_events("arrived", GIVEN))
    clock.now = datetime.now(UTC)
    put(account, "day/before.csv")
    begin(workspace, clock, "arrived")
    with open_workspace(workspace_home) as other:  # nobody schedules yet
        put(other.accounts.get("airline"), "day/1/a.csv")
        put(other.accounts.get("airline"), "day/b.csv")
        put(other.accounts.get("airline"), "night/c.csv")
        put(other.accounts.get("airline"), "day/empty.csv", b"")
    for _ in range(2):
        Scheduler(workspace, clock=clock).look()
    assert event_parameters(workspace) == [("inbox/day/1", "a.csv"), ("inbox/day", "b.csv")]
    assert made_runs(workspace)[0]["invokedBy"]["invokedByType"] == "BlobEventsTrigger"
    put(account, "day/b.csv", b"again")  # an overwrite is an event too
    with account.open_set("inbox", "day/set", lambda name: True) as several:
        for name in ("x", "y"):
            with several.open(name) as writer:
                writer.write(b"1")
                writer.commit()
        several.commit()
    with account.open_write("inbox", "day/aborted.csv") as writer:
        writer.write(b"x")
    Scheduler(workspace, clock=clock).look()
    assert event_parameters(workspace)[2:] == [("inbox/day", "b.csv"), ("inbox/day/set", "x"), ("inbox/day/set", "y")]
    stop_trigger(workspace, workspace.factory("f"), "arrived", now=clock.now)
    assert not events.is_listening(account.folder)
    put(account, "day/late.csv")
    Scheduler(workspace, clock=clock).look()
    assert len(made_runs(workspace)) == 5


def test_deleted_blobs_start_pipelines(workspace: Workspace, clock: Clock, account) -> None:
    rule = blob_events("left", GIVEN, events=["Microsoft.Storage.BlobDeleted"])
    deploy(workspace, pipeline("p", "folder", "name"), rule)
    clock.now = datetime.now(UTC)
    begin(workspace, clock, "left")
    put(account, "day/a.csv")
    account.delete("inbox", "day/a.csv")
    Scheduler(workspace, clock=clock).look()
    assert event_parameters(workspace) == [("inbox/day", "a.csv")]


def test_an_event_that_was_handled_but_not_forgotten_makes_nothing_twice(
    workspace: Workspace, clock: Clock, account, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy(workspace, pipeline("p", "folder", "name"), blob_events("arrived", GIVEN))
    clock.now = datetime.now(UTC)
    begin(workspace, clock, "arrived")
    put(account, "day/a.csv")
    with monkeypatch.context() as broken:
        broken.setattr(events, "forget", lambda account, note: None)
        Scheduler(workspace, clock=clock).look()
    assert len(events.noted(account.folder)) == 1
    Scheduler(workspace, clock=clock).look()
    assert len(made_runs(workspace)) == 1
    assert events.noted(account.folder) == []


def test_what_killed_writers_left_is_settled_by_looking(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    events.listen(tmp_path)
    (tmp_path / "in" / "old").write_text("1")
    time.sleep(0.03)  # more than a step of the file system's clock

    def killed(kind: str, path: str, *, done: bool) -> None:
        with pytest.raises(KeyboardInterrupt), events.announced(tmp_path, kind, "in", [path]):
            if done and kind == events.CREATED:
                (tmp_path / "in" / "beside").write_text("1")
                (tmp_path / "in" / "beside").rename(tmp_path / "in" / path)
            intent = next(file for file in (tmp_path / ".events").iterdir() if file.suffix == ".intent")
            kept = intent.read_text()
            raise KeyboardInterrupt
        intent.write_text(kept)
        intent.rename(intent.with_suffix(".kept"))

    killed(events.CREATED, "new", done=True)
    killed(events.CREATED, "never", done=False)
    killed(events.CREATED, "old", done=False)
    killed(events.DELETED, "gone", done=True)
    killed(events.DELETED, "old", done=False)
    for file in (tmp_path / ".events").iterdir():
        file.rename(file.with_suffix(".intent"))
    (tmp_path / ".events" / "01700000000000000000-torn.intent").write_text('{"kind": "cre')
    assert events.noted(tmp_path, unsettled_seconds=3600) == []
    found = events.noted(tmp_path, unsettled_seconds=0)
    assert [(note.kind, note.paths) for note in found] == [("created", ("new",)), ("deleted", ("gone",))]
    assert len(list((tmp_path / ".events").iterdir())) == 2


# ---- serving


def test_serve_takes_up_runs_fires_and_stops(workspace: Workspace, clock: Clock) -> None:
    deploy(workspace, pipeline("p"), schedule("minutely", starts("p"), interval=1), windows("hourly", starts("p")))
    begin(workspace, clock, "minutely", "hourly")
    clock.move(MINUTE)
    Scheduler(workspace, clock=clock).look()  # a process that was killed right after
    stop = threading.Event()
    said: list[str] = []

    def log(text: str) -> None:
        said.append(text)
        if len([run for run in made_runs(workspace) if run["status"] == "Succeeded"]) == 5:
            stop.set()

    serve(workspace, stop, seconds=20, clock=clock, log=log)
    assert stop.is_set()
    assert len(made_runs(workspace)) == 5
    assert said[0].startswith("serving ")
    assert any("goes on" in line for line in said)


def test_only_one_serves_a_workspace(workspace: Workspace, clock: Clock) -> None:
    with only_server(workspace.home, clock.now), pytest.raises(ConflictError, match=r"since 2024-03-30T12:00:30Z"):
        serve(workspace, threading.Event(), seconds=0)
    serve(workspace, threading.Event(), seconds=0)


def test_a_run_that_somebody_is_about_to_work_on_is_left_alone(workspace: Workspace, clock: Clock) -> None:
    deploy(workspace, pipeline("p"))
    clock.now = datetime.now(UTC)
    run_id = start_run(workspace, workspace.factory("f"), "p")
    pool = RunPool(workspace, make_worker=lambda: Worker(workspace), clock=clock)
    assert pool.adopt() == 0
    pool.stop()
    clock.move(HOUR)
    assert RunPool(workspace, make_worker=lambda: Worker(workspace), clock=clock, size=0).adopt() == 1
    assert pipeline_run(workspace, run_id)["status"] == "Queued"


def test_runs_that_wait_for_a_free_place_do_not_hold_up_the_others(workspace: Workspace) -> None:
    kind, one_at_a_time = pipeline("one")
    one_at_a_time["properties"]["concurrency"] = 1
    deploy(workspace, (kind, one_at_a_time), pipeline("other"))
    factory, store = workspace.factory("f"), workspace.store
    elsewhere = start_run(workspace, factory, "one")
    lease = store.claim(elsewhere, Owner.current(), datetime.now(UTC))
    assert lease is not None
    at = utc_text(datetime.now(UTC))
    store.append(elsewhere, 1, [{"kind": "RunStarted", "at": at}], lease=lease)
    first, second, other = (start_run(workspace, factory, name) for name in ("one", "one", "other"))
    ended: list[str] = []
    pool = RunPool(workspace, make_worker=lambda: Worker(workspace), log=ended.append, size=1)
    for run_id in (second, first, other):
        pool.submit(run_id)
    wait_for(lambda: len(ended) == 1)
    assert other in ended[0]
    pool.admit()
    store.append(elsewhere, 2, [{"kind": "RunEnded", "at": at, "status": "Succeeded", "message": ""}], lease=lease)
    pool.admit()
    wait_for(lambda: pool.busy() == 0)
    assert {line.split()[1] for line in ended[1:]} == {first, second}
    assert all(line.endswith("Succeeded") for line in ended)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# ---- preview


def test_preview_shows_local_and_utc_time_and_the_change_of_clocks() -> None:
    factory = load_documents(
        "f",
        [
            schedule(
                "day", frequency="Day", interval=1, startTime="2024-01-01T06:30:00", timeZone="W. Europe Standard Time"
            ),
            windows("hourly", starts("p"), delay="00:10:00", endTime="2024-03-30T14:00:00Z"),
            blob_events("arrived", starts("p")),
        ],
    )
    got = list(preview(factory.triggers["day"], 2, after=BEGIN))
    assert [(fire["local"], fire["utc"], fire["change"]) for fire in got] == [
        ("2024-03-31T06:30:00+02:00", "2024-03-31T04:30:00Z", False),
        ("2024-04-01T06:30:00+02:00", "2024-04-01T04:30:00Z", False),
    ]
    got = list(preview(factory.triggers["day"], 2, after=BEGIN - timedelta(days=1)))
    assert [fire["change"] for fire in got] == [False, True]
    got = list(preview(factory.triggers["hourly"], 5, after=BEGIN))
    assert [(fire["utc"][11:16], fire["windowStart"][11:16]) for fire in got] == [
        ("12:10", "11:00"),
        ("13:10", "12:00"),
        ("14:10", "13:00"),
    ]
    with pytest.raises(UnsupportedError):
        list(preview(factory.triggers["arrived"], 1))


def test_runs_are_forgotten_when_their_time_is_over(workspace: Workspace) -> None:
    from kyanite.limits import RUN_RETENTION_DAYS

    workspace.save_factory(load_documents("f", [pipeline("p")]))
    run_id = start_run(workspace, workspace.factory("f"), "p", {})
    assert Worker(workspace).run(run_id) == "Succeeded"
    now = datetime.now(UTC)
    Scheduler(workspace, clock=lambda: now + timedelta(days=RUN_RETENTION_DAYS - 1)).look()
    assert workspace.store.summary(run_id) is not None
    Scheduler(workspace, clock=lambda: now + timedelta(days=RUN_RETENTION_DAYS + 1)).look()
    assert workspace.store.summary(run_id) is None
