"""kill -9 after every commit of a scheduler at work, and before every second one; then another one goes on.

Nothing is lost and nothing is made twice: schedules, windows, storage events.

Run as a program (`test_trigger_kill.py FOLDER before|after`) this file kills forks of itself, so that trying every
commit takes seconds.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import kyanite.database
from kyanite.database import faults
from kyanite.definitions.load import load_documents
from kyanite.runs.store import UNFINISHED, RunQuery
from kyanite.runtime.monitor import pipeline_run
from kyanite.runtime.scheduler import Scheduler
from kyanite.runtime.triggers import start_trigger
from kyanite.runtime.triggers_runs import trigger_runs
from kyanite.runtime.triggers_store import TriggerRunQuery
from kyanite.runtime.worker import Worker
from kyanite.runtime.workspace import Workspace, open_workspace
from kyanite.storage import events

BEGIN = datetime(2024, 3, 30, 12, 0, 30, tzinfo=UTC)
LOOKS = 3
MINUTES = ["2024-03-30T12:01:00Z", "2024-03-30T12:02:00Z"]
WINDOWS = ["2024-03-30T10:00:00Z", "2024-03-30T11:00:00Z"]
BLOBS = ["a.csv"]


def reference(name: str) -> dict:
    return {"referenceName": name, "type": "PipelineReference"}


def trigger(name: str, kind: str, value: str, rule: dict) -> tuple[str, dict]:
    start = {"pipelineReference": reference("p"), "parameters": {"what": value}}
    pipelines = {"pipeline": start} if kind == "TumblingWindowTrigger" else {"pipelines": [start]}
    return "trigger", {"name": name, "properties": {"type": kind, "typeProperties": rule, **pipelines}}


SET = {"name": "set", "type": "SetVariable", "typeProperties": {"variableName": "v", "value": "x"}}
PIPELINE = {
    "name": "p",
    "properties": {
        "parameters": {"what": {"type": "string"}},
        "variables": {"v": {"type": "String"}},
        "activities": [SET],
    },
}
DOCUMENTS = [
    ("pipeline", PIPELINE),
    trigger(
        "minutely",
        "ScheduleTrigger",
        "@trigger().scheduledTime",
        {"recurrence": {"frequency": "Minute", "interval": 1, "startTime": "2024-01-01T00:00:00Z"}},
    ),
    trigger(
        "hourly",
        "TumblingWindowTrigger",
        "@trigger().outputs.windowStartTime",
        {"frequency": "Hour", "interval": 1, "startTime": WINDOWS[0], "maxConcurrency": 1},
    ),
    trigger(
        "arrived",
        "BlobEventsTrigger",
        "@triggerBody().fileName",
        {
            "scope": "/providers/Microsoft.Storage/storageAccounts/airline",
            "events": ["Microsoft.Storage.BlobCreated"],
            "blobPathEndsWith": ".csv",
        },
    ),
]


def prepare(home: Path) -> None:
    with open_workspace(home, create=True) as workspace:
        workspace.save_factory(load_documents("f", DOCUMENTS))
        account = workspace.accounts.create("airline")
        account.create_container("inbox")
        for name in ("minutely", "hourly", "arrived"):
            start_trigger(workspace, workspace.factory("f"), name, now=BEGIN)
        for name in BLOBS:
            with account.open_write("inbox", name) as writer:
                writer.write(b"1")
                writer.commit()


def schedule_and_work(home: Path) -> None:
    """Three looks, a minute apart, each followed by work on the runs there are; another time it begins again."""
    with open_workspace(home) as workspace:
        now = [BEGIN]
        scheduler = Scheduler(workspace, clock=lambda: now[0])
        for number in range(LOOKS):
            now[0] = BEGIN + number * timedelta(minutes=1)
            scheduler.look()
            for run in workspace.store.runs(RunQuery(status=UNFINISHED)):
                Worker(workspace).run(run.run_id)
        scheduler.look()


def in_fork(work: Callable[[], None], fault: str | None) -> int:
    """Do the work in a fork that a planned failure may end; the signal that killed it, 0 when it finished."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            kyanite.database._fault = faults.planned({"KYANITE_FAULT": fault} if fault else {})
            work()
            code = 0
        except Exception:  # noqa: BLE001 - told by the exit code
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert not (os.WIFEXITED(status) and os.WEXITSTATUS(status)), f"a scheduler failed ({fault})"
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def verify(workspace: Workspace) -> None:
    runs = [pipeline_run(workspace, run.run_id) for run in workspace.store.runs(RunQuery(limit=1000))]
    fired = trigger_runs(workspace, TriggerRunQuery(limit=1000))
    assert Counter(run["parameters"]["what"] for run in runs) == Counter([*MINUTES, *WINDOWS, *BLOBS])
    assert {run["status"] for run in runs} == {"Succeeded"}
    assert {run["status"] for run in fired} == {"Succeeded"}
    assert sorted(run["windowStart"] for run in fired if "windowStart" in run) == WINDOWS
    made = {run["runId"]: run["invokedBy"]["id"] for run in runs}
    assert made == {run["triggeredPipelines"]["p"]: run["triggerRunId"] for run in fired}
    account = workspace.accounts.get("airline")
    assert account is not None and events.noted(account.folder) == []


def try_every_commit(folder: Path, side: str) -> dict[str, int]:
    template = folder / "template"
    prepare(template)
    counted = shutil.copytree(template, folder / "counted")
    in_fork(lambda: schedule_and_work(counted), f"count:{folder / 'count'}")
    commits = int((folder / "count").read_text())
    killed = 0
    tried = range(1, commits + 1, 1 if side == "after" else 2)
    for number in tried:
        home = shutil.copytree(template, folder / f"{side}{number}")
        killed += in_fork(lambda home=home: schedule_and_work(home), f"kill-{side}-commit:{number}") == 9
        in_fork(lambda home=home: schedule_and_work(home), None)
        with open_workspace(home) as workspace:
            verify(workspace)
        shutil.rmtree(home)
    return {"commits": commits, "tried": len(tried), "killed": killed}


@pytest.mark.parametrize("side", ["before", "after"])
def test_killed_at_every_commit_and_begun_again(tmp_path: Path, side: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KYANITE_")}
    command = [sys.executable, __file__, str(tmp_path), side]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["commits"] >= 20
    assert told["killed"] >= told["tried"] - 3  # how a worker groups its commits differs a little


if __name__ == "__main__":
    print(json.dumps(try_every_commit(Path(sys.argv[1]), sys.argv[2])))
