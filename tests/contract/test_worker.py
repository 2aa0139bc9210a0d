"""The worker on a real workspace: what it makes durable, cancelling from outside, recovery, queueing, child runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kyanite.activities.context import ActivityContext
from kyanite.definitions.load import load_documents
from kyanite.definitions.model import Factory
from kyanite.engine.invariants import check_invariants
from kyanite.errors import ActivityError, ConflictError, DefinitionError, NotFoundError, StateError, UnsupportedError
from kyanite.runs.store import Owner, RunQuery
from kyanite.runtime.fold import fold
from kyanite.runtime.monitor import activity_runs, list_runs, pipeline_run
from kyanite.runtime.start import cancel_run, start_run
from kyanite.runtime.worker import Worker
from kyanite.runtime.workspace import Workspace, open_workspace

SECRET = "pl4in+secret/value=="
POOL = {"referenceName": "pool", "type": "LinkedServiceReference"}
SERVICES: list[tuple[str, dict]] = [
    (
        "linkedService",
        {
            "name": "store",
            "properties": {"type": "AzureBlobStorage", "typeProperties": {"connectionString": "AccountName=a"}},
        },
    ),
    (
        "linkedService",
        {
            "name": "pool",
            "properties": {
                "type": "AzureBatch",
                "typeProperties": {
                    "accountName": "a",
                    "batchUri": "https://a.local.batch.azure.com",
                    "poolName": "p",
                    "linkedServiceName": {"referenceName": "store", "type": "LinkedServiceReference"},
                },
            },
        },
    ),
]


def custom(name: str, **more: Any) -> dict:
    properties = more.pop("typeProperties", {"command": "true"})
    return {"name": name, "type": "Custom", "linkedServiceName": POOL, "typeProperties": properties, **more}


def after(*names: str) -> list[dict]:
    return [{"activity": name, "dependencyConditions": ["Succeeded"]} for name in names]


def factory(*activities: dict, others: list[dict] | None = None, **properties: Any) -> Factory:
    main = {"name": "main", "properties": {"activities": list(activities), **properties}}
    pipelines: list[tuple[str, dict]] = [("pipeline", document) for document in (main, *(others or []))]
    return load_documents("f", [*pipelines, *SERVICES])


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with open_workspace(tmp_path / "home", create=True) as opened:
        yield opened


def run(workspace: Workspace, definitions: Factory, do: Callable[[ActivityContext], Any], **parameters: Any) -> str:
    run_id = start_run(workspace, definitions, "main", parameters)
    Worker(workspace, activities={"Custom": do}).run(run_id)
    return run_id


def test_every_attempt_is_an_activity_run_of_its_own(workspace: Workspace) -> None:
    def flaky(context: ActivityContext) -> dict:
        if context.attempt == 0:
            raise ActivityError("not yet", code="E1")
        return {"attempt": context.attempt}

    run_id = run(workspace, factory(custom("A", policy={"retry": 1, "retryIntervalInSeconds": 0})), flaky)
    first, second = activity_runs(workspace, run_id)
    assert (first["status"], first["error"]["errorCode"], first["retryAttempt"]) == ("Failed", "E1", None)
    assert (second["status"], second["output"], second["retryAttempt"]) == ("Succeeded", {"attempt": 1}, 1)
    assert first["activityRunId"] != second["activityRunId"]
    assert pipeline_run(workspace, run_id)["status"] == "Succeeded"


def test_an_unexpected_error_in_an_activity_is_its_failure_without_a_traceback(workspace: Workspace) -> None:
    def broken(context: ActivityContext) -> dict:
        raise ZeroDivisionError("boom")

    run_id = run(workspace, factory(custom("A")), broken)
    (row,) = activity_runs(workspace, run_id)
    assert row["error"]["failureType"] == "SystemError" and "boom" in row["error"]["message"]


def test_a_full_disk_interrupts_the_run_instead_of_failing_it(workspace: Workspace) -> None:
    def full(context: ActivityContext) -> dict:
        if not context.recovering:
            raise StateError("The disk is full.", code="DiskFull")
        return {}

    run_id = start_run(workspace, factory(custom("A")), "main")
    with pytest.raises(StateError, match="full"):
        Worker(workspace, activities={"Custom": full}).run(run_id)
    assert pipeline_run(workspace, run_id)["status"] == "InProgress"
    assert Worker(workspace, activities={"Custom": full}).run(run_id) == "Succeeded"


def test_an_activity_type_nobody_runs_is_refused_by_name_before_the_run(workspace: Workspace) -> None:
    definitions = factory({"name": "A", "type": "HDInsightHive", "typeProperties": {}})
    with pytest.raises(DefinitionError, match="HDInsightHive"):
        start_run(workspace, definitions, "main")
    assert list_runs(workspace) == []


def test_the_worker_refuses_a_type_by_name_too(workspace: Workspace) -> None:
    from kyanite.activities import activity_runner

    with pytest.raises(UnsupportedError, match=r"'Coppy'.*Did you mean 'Copy'"):
        activity_runner("Coppy")


def test_cancelling_from_another_process_stops_what_runs(workspace: Workspace) -> None:
    stopped = threading.Event()

    def endless(context: ActivityContext) -> dict:
        with open_workspace(workspace.home) as other:
            cancel_run(other, context.run_id, by="a test")
        if context.cancelled.wait(timeout=20):
            stopped.set()
        raise ActivityError("stopped")

    run_id = run(workspace, factory(custom("A"), custom("B", dependsOn=after("A"))), endless)
    assert stopped.is_set()
    found = pipeline_run(workspace, run_id)
    assert (found["status"], found["message"]) == ("Cancelled", "The run was cancelled by a test.")
    assert [(row["activityName"], row["status"]) for row in activity_runs(workspace, run_id)] == [("A", "Cancelled")]
    with pytest.raises(ConflictError, match="over already"):
        cancel_run(workspace, run_id)


def test_a_timeout_stops_the_attempt_and_the_next_one_succeeds(workspace: Workspace) -> None:
    def slow_first(context: ActivityContext) -> dict:
        if context.attempt == 0:
            context.cancelled.wait(timeout=20)
            raise ActivityError("was told to stop")
        return {}

    policy = {"timeout": "0.00:00:01", "retry": 1, "retryIntervalInSeconds": 0}
    run_id = run(workspace, factory(custom("A", policy=policy)), slow_first)
    assert [row["status"] for row in activity_runs(workspace, run_id)] == ["TimedOut", "Succeeded"]


def test_a_dead_workers_run_is_taken_over_and_finished_work_is_not_repeated(workspace: Workspace) -> None:
    class Died(BaseException):
        pass

    did: list[str] = []

    def work(context: ActivityContext) -> dict:
        did.append(f"{context.name} {context.recovering}")
        return {}

    def die(run_id: str, event: Any) -> None:
        if event.kind == "ActivityStarted" and event.body["path"] == "B":
            raise Died

    definitions = factory(custom("A"), custom("B", dependsOn=after("A")), custom("C", dependsOn=after("B")))
    run_id = start_run(workspace, definitions, "main")
    with pytest.raises(Died):
        Worker(workspace, activities={"Custom": work}).run(run_id, die)
    assert did == ["A False"]
    assert Worker(workspace, activities={"Custom": work}).run(run_id) == "Succeeded"
    assert did == ["A False", "B True", "C False"]
    state, _ = fold(workspace.store, run_id)
    check_invariants(state)
    assert [activity.recoveries for activity in state.activities.values()] == [0, 1, 0]


def test_many_parallel_activities_survive_one_interruption(workspace: Workspace) -> None:
    class Died(BaseException):
        pass

    block = threading.Event()

    def die(run_id: str, event: Any) -> None:
        if event.kind == "ActivityStarted" and event.body["path"] == "A14":
            raise Died

    definitions = factory(*(custom(f"A{number}") for number in range(15)))
    run_id = start_run(workspace, definitions, "main")
    with pytest.raises(Died):
        Worker(workspace, activities={"Custom": lambda context: block.wait(20)}).run(run_id, die)
    block.set()
    assert Worker(workspace, activities={"Custom": lambda context: {}}).run(run_id) == "Succeeded"


def test_a_run_that_keeps_being_interrupted_is_given_up(workspace: Workspace) -> None:
    class Died(BaseException):
        pass

    def die(run_id: str, event: Any) -> None:
        if event.kind in ("ActivityStarted", "ActivityRecovered"):
            raise Died

    block = threading.Event()
    run_id = start_run(workspace, factory(custom("A")), "main")
    for _ in range(11):
        with pytest.raises(Died):
            Worker(workspace, activities={"Custom": lambda context: block.wait(20)}).run(run_id, die)
    assert Worker(workspace, activities={"Custom": lambda context: block.wait(20)}).run(run_id) == "Failed"
    block.set()
    assert "interrupted 11 times" in pipeline_run(workspace, run_id)["message"]


def test_a_finished_run_and_an_unknown_run(workspace: Workspace) -> None:
    run_id = run(workspace, factory(custom("A")), lambda context: {})
    events = workspace.store.version(run_id)
    assert Worker(workspace).run(run_id) == "Succeeded"
    assert workspace.store.version(run_id) == events
    with pytest.raises(NotFoundError):
        Worker(workspace).run("00000000-0000-0000-0000-000000000000")


def test_child_runs_are_linked_and_give_their_value_back(workspace: Workspace) -> None:
    value = {"type": "Expression", "content": "@toUpper(pipeline().parameters.word)"}
    returned = {
        "variableName": "pipelineReturnValue",
        "setSystemVariable": True,
        "value": [{"key": "k", "value": value}],
    }
    child = {
        "name": "child",
        "properties": {
            "parameters": {"word": {"type": "string"}},
            "activities": [{"name": "R", "type": "SetVariable", "typeProperties": returned}],
        },
    }
    call = {
        "name": "Call",
        "type": "ExecutePipeline",
        "typeProperties": {
            "pipeline": {"referenceName": "child", "type": "PipelineReference"},
            "waitOnCompletion": True,
            "parameters": {"word": "hello"},
        },
    }
    read = {"variableName": "v", "value": "@activity('Call').output.pipelineReturnValue.k"}
    set_variable = {"name": "S", "type": "SetVariable", "typeProperties": read, "dependsOn": after("Call")}
    variables = {"v": {"type": "String"}}
    run_id = run(workspace, factory(call, set_variable, others=[child], variables=variables), lambda context: {})
    assert fold(workspace.store, run_id)[0].variables == {"v": "HELLO"}
    (found,) = workspace.store.runs(RunQuery(parent=run_id))
    assert found.invoked_by["pipelineRunId"] == run_id
    assert activity_runs(workspace, run_id)[0]["output"]["pipelineRunId"] == found.run_id


def test_a_child_that_nobody_waits_for_still_ends(workspace: Workspace) -> None:
    child = {"name": "child", "properties": {"activities": [custom("C")]}}
    call = {"pipeline": {"referenceName": "child", "type": "PipelineReference"}, "waitOnCompletion": False}
    definitions = factory({"name": "Call", "type": "ExecutePipeline", "typeProperties": call}, others=[child])
    run_id = run(workspace, definitions, lambda context: time.sleep(0.05) or {})
    statuses = {item.pipeline: item.status for item in workspace.store.runs(RunQuery())}
    assert statuses == {"main": "Succeeded", "child": "Succeeded"}
    assert pipeline_run(workspace, run_id)["status"] == "Succeeded"


def test_a_child_that_nobody_waits_for_is_found_again_after_a_kill(workspace: Workspace) -> None:
    class Died(BaseException):
        pass

    def die(run_id: str, event: Any) -> None:
        if event.kind == "RunEnded":
            raise Died

    child = {"name": "child", "properties": {"activities": [custom("C")]}}
    call = {"pipeline": {"referenceName": "child", "type": "PipelineReference"}, "waitOnCompletion": False}
    definitions = factory({"name": "Call", "type": "ExecutePipeline", "typeProperties": call}, others=[child])
    run_id = start_run(workspace, definitions, "main")
    with pytest.raises(Died):
        Worker(workspace, activities={"Custom": lambda context: {}}).run(run_id, die)
    statuses = {item.pipeline: item.status for item in workspace.store.runs(RunQuery())}
    assert statuses["main"] == "Succeeded" and statuses["child"] != "Succeeded"
    assert Worker(workspace, activities={"Custom": lambda context: {}}).run(run_id) == "Succeeded"
    assert {item.status for item in workspace.store.runs(RunQuery())} == {"Succeeded"}


def test_a_run_whose_child_somebody_else_advances_is_given_back(workspace: Workspace) -> None:
    class Died(BaseException):
        pass

    def die(run_id: str, event: Any) -> None:
        if event.kind == "ActivityStarted" and event.body["path"] == "C":
            raise Died

    child = {"name": "child", "properties": {"activities": [custom("C")]}}
    call = {"pipeline": {"referenceName": "child", "type": "PipelineReference"}, "waitOnCompletion": True}
    definitions = factory({"name": "Call", "type": "ExecutePipeline", "typeProperties": call}, others=[child])
    run_id = start_run(workspace, definitions, "main")
    with pytest.raises(Died):
        Worker(workspace, activities={"Custom": lambda context: {}}).run(run_id, die)
    (other,) = workspace.store.runs(RunQuery(parent=run_id))
    theirs = workspace.store.claim(other.run_id, Owner.current(), datetime.now(UTC))
    with pytest.raises(ConflictError):
        Worker(workspace).run(run_id)
    assert theirs is not None
    workspace.store.release(theirs)
    assert Worker(workspace, activities={"Custom": lambda context: {}}).run(run_id) == "Succeeded"


def test_concurrency_keeps_later_runs_queued_oldest_first(workspace: Workspace) -> None:
    definitions = factory(custom("A"), concurrency=1)
    ids = [start_run(workspace, definitions, "main") for _ in range(3)]
    running, most, order = 0, 0, []
    guard = threading.Lock()

    def work(context: ActivityContext) -> dict:
        nonlocal running, most
        with guard:
            running += 1
            most = max(most, running)
            order.append(context.run_id)
        time.sleep(0.1)
        with guard:
            running -= 1
        return {}

    def advance(run_id: str) -> None:
        with open_workspace(workspace.home) as own:
            Worker(own, activities={"Custom": work}).run(run_id)

    threads = [threading.Thread(target=advance, args=(run_id,)) for run_id in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert most == 1 and sorted(order) == sorted(ids)
    assert {item.status for item in workspace.store.runs(RunQuery())} == {"Succeeded"}


def test_secrets_are_nowhere_but_in_the_vault_and_the_activity(workspace: Workspace) -> None:
    seen: list[Any] = []

    def work(context: ActivityContext) -> dict:
        seen.append(context.type_properties["extendedProperties"]["key"]["value"])
        return {"echo": f"got {SECRET}"}

    extended = {"key": {"type": "SecureString", "value": "@pipeline().parameters.key"}}
    parameters = {"key": {"type": "SecureString"}, "plain": {"type": "String"}}
    definitions = factory(
        custom(
            "A",
            typeProperties={"command": "@concat('run ', pipeline().parameters.plain)", "extendedProperties": extended},
        ),
        parameters=parameters,
    )
    run_id = run(workspace, definitions, work, key=SECRET, plain=f"--key={SECRET}")
    assert seen == [SECRET]
    shown = [pipeline_run(workspace, run_id), activity_runs(workspace, run_id), workspace.store.history(run_id)]
    assert SECRET not in repr(shown) and "***" in repr(shown)
    for file in workspace.home.rglob("*"):
        if file.is_file() and file.name != "secrets.json":
            assert SECRET.encode() not in file.read_bytes(), file


def test_a_secure_parameter_made_for_a_child_is_known_as_a_secret(workspace: Workspace) -> None:
    child = {
        "name": "child",
        "properties": {
            "parameters": {"key": {"type": "SecureString"}, "pin": {"type": "securestring"}},
            "activities": [custom("C", typeProperties={"command": "@concat('run ', pipeline().parameters.key)"})],
        },
    }
    call = {
        "pipeline": {"referenceName": "child", "type": "PipelineReference"},
        "waitOnCompletion": True,
        "parameters": {"key": "@concat('pl4in+', 'secret/value==')", "pin": "1234"},
    }
    definitions = factory({"name": "Call", "type": "ExecutePipeline", "typeProperties": call}, others=[child])
    seen: list[str] = []
    run(workspace, definitions, lambda context: seen.append(context.type_properties["command"]) or {})
    assert seen == [f"run {SECRET}"]
    (summary,) = workspace.store.runs(RunQuery(pipeline="child"))
    assert summary.parameters == {"key": "***", "pin": "***"}
    shown = [item for found in workspace.store.runs(RunQuery()) for item in activity_runs(workspace, found.run_id)]
    assert SECRET not in repr(shown) and "run ***" in repr(shown)
    assert SECRET.encode() not in (workspace.home / "kyanite.db-wal").read_bytes()


def test_secure_input_and_output_are_not_shown_but_can_be_used(workspace: Workspace) -> None:
    read = {"variableName": "v", "value": "@activity('A').output.x"}
    definitions = factory(
        custom("A", policy={"secureInput": True, "secureOutput": True}),
        {"name": "S", "type": "SetVariable", "typeProperties": read, "dependsOn": after("A")},
        variables={"v": {"type": "String"}},
    )
    run_id = run(workspace, definitions, lambda context: {"x": "seen"})
    row = activity_runs(workspace, run_id)[0]
    assert (row["input"], row["output"]) == (None, None)
    assert fold(workspace.store, run_id)[0].variables == {"v": "seen"}


def test_progress_is_shown_while_an_activity_runs(workspace: Workspace) -> None:
    shown: list[Any] = []

    def work(context: ActivityContext) -> dict:
        context.progress({"rowsRead": 1})
        deadline = time.monotonic() + 10
        while not shown and time.monotonic() < deadline:
            with open_workspace(workspace.home) as other:
                rows = activity_runs(other, context.run_id)
            shown.extend(row["output"] for row in rows if row["output"])
            time.sleep(0.01)
        return {"rowsRead": 2}

    run_id = run(workspace, factory(custom("A")), work)
    assert shown[0] == {"rowsRead": 1}
    assert activity_runs(workspace, run_id)[0]["output"] == {"rowsRead": 2}
