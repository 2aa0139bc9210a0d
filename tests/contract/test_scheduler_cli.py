"""`kyanite trigger` and `kyanite serve` on a real workspace."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from kyanite.cli.main import main
from kyanite.definitions.load import load_documents
from kyanite.runs.store import RunQuery
from kyanite.runtime.scheduler import Scheduler
from kyanite.runtime.workspace import open_workspace


class Result(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


START = {"pipelineReference": {"referenceName": "Load", "type": "PipelineReference"}, "parameters": {"at": "x"}}
WAIT = {"name": "wait", "type": "Wait", "typeProperties": {"waitTimeInSeconds": 2}}
LOAD = {"name": "Load", "properties": {"parameters": {"at": {"type": "string"}}, "activities": [WAIT]}}
DAILY = {
    "name": "daily",
    "properties": {
        "type": "ScheduleTrigger",
        "runtimeState": "Started",
        "pipelines": [START],
        "typeProperties": {
            "recurrence": {
                "frequency": "Day",
                "interval": 1,
                "startTime": "2024-01-01T06:30:00",
                "timeZone": "W. Europe Standard Time",
            }
        },
    },
}
HOURLY = {
    "name": "hourly",
    "properties": {
        "type": "TumblingWindowTrigger",
        "pipeline": START,
        "typeProperties": {
            "frequency": "Hour",
            "interval": 1,
            "startTime": "2024-01-01T00:00:00Z",
            "endTime": "2024-01-01T02:00:00Z",
            "maxConcurrency": 1,
        },
    },
}


@pytest.fixture
def home(workspace_home: Path) -> Path:
    with open_workspace(workspace_home, create=True) as workspace:
        documents = [("pipeline", LOAD), ("trigger", DAILY), ("trigger", HOURLY)]
        workspace.save_factory(load_documents("airline", documents))
    return workspace_home


@pytest.fixture
def kyanite(home: Path, capsys: pytest.CaptureFixture[str]):
    def run(*arguments: str) -> Result:
        code = main(arguments)
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        return Result(code, captured.out, captured.err)

    return run


def test_start_list_show_and_stop(kyanite) -> None:
    states = {item["name"]: item["runtimeState"] for item in kyanite("trigger", "list", "--json").json}
    assert states == {"daily": "Stopped", "hourly": "Stopped"}
    assert kyanite("trigger", "start", "DAILY").out == "trigger daily Started\n"
    listed = kyanite("trigger", "list").out.splitlines()
    assert [line.split()[:3] for line in listed[2:]] == [
        ["daily", "ScheduleTrigger", "Started"],
        ["hourly", "TumblingWindowTrigger", "Stopped"],
    ]
    assert ":30:00" in listed[2] and "Load" in listed[2]
    shown = kyanite("trigger", "show", "daily")
    assert "state     Started" in shown.out and "W. Europe Standard Time" in shown.out
    document = kyanite("trigger", "show", "daily", "--json").json
    assert document["properties"]["runtimeState"] == "Started"
    assert document["properties"]["typeProperties"] == DAILY["properties"]["typeProperties"]
    assert kyanite("trigger", "stop", "--all", "--json").json == [
        {"name": "daily", "runtimeState": "Stopped"},
        {"name": "hourly", "runtimeState": "Stopped"},
    ]
    assert kyanite("trigger", "show", "daily", "--json").json["properties"]["runtimeState"] == "Stopped"


def test_what_is_wrong_is_said(kyanite) -> None:
    assert kyanite("trigger", "start").code == 2
    assert kyanite("trigger", "start", "daily", "--all").code == 2
    unknown = kyanite("trigger", "start", "dayly")
    assert unknown.code == 1 and "'daily'" in unknown.err
    assert kyanite("trigger", "rerun", "0000").code == 1
    assert "date and time" in kyanite("trigger", "preview", "daily", "--after", "tomorrow").err


def test_preview_shows_both_clocks(kyanite) -> None:
    lines = kyanite("trigger", "preview", "daily", "--after", "2024-03-30T00:00:00Z", "--next", "3").out.splitlines()
    assert "local (W. Europe Standard Time)" in lines[0] and "UTC" in lines[0]
    assert lines[2].split() == ["1", "2024-03-30", "06:30:00", "+01:00", "2024-03-30", "05:30:00"]
    assert lines[3].split() == ["2", "2024-03-31", "06:30:00", "+02:00", "2024-03-31", "04:30:00", "clocks", "changed"]
    assert len(lines) == 5
    windows = kyanite("trigger", "preview", "hourly", "--after", "2024-01-01T00:00:00Z", "--json").json
    assert [fire["windowEnd"] for fire in windows] == ["2024-01-01T01:00:00Z", "2024-01-01T02:00:00Z"]
    assert kyanite("trigger", "preview", "hourly").out == "it fires no more\n"


def test_runs_cancel_and_rerun(kyanite, home: Path) -> None:
    assert kyanite("trigger", "runs").out == "no trigger runs\n"
    kyanite("trigger", "start", "hourly")
    with open_workspace(home) as workspace:
        Scheduler(workspace).look()
    row = kyanite("trigger", "runs").out.splitlines()[2].split()
    assert row[1:3] == ["hourly", "Inprogress"]
    run = kyanite("trigger", "runs", "hourly", "--json").json[0]
    assert run["triggerRunId"].startswith(row[0])
    assert run["windowStart"] == "2024-01-01T00:00:00Z"
    assert kyanite("trigger", "rerun", "hourly@2024-01-01T00:00:00Z").code == 1
    assert kyanite("trigger", "cancel", row[0]).code == 0
    assert kyanite("runs", "resume", "--all", "--quiet").code == 1
    with open_workspace(home) as workspace:
        Scheduler(workspace).look()
    kyanite("trigger", "stop", "hourly")
    again = kyanite("trigger", "rerun", "hourly@2024-01-01T00:00:00Z")
    assert "Waiting" in again.out and "kyanite trigger start hourly" in again.err
    assert kyanite("trigger", "cancel", "hourly@2024-01-01T00:00:00Z", "--json").json["status"] == "Canceled"


@contextmanager
def serving(home: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "kyanite", "serve", "--for", "60"]
    environment = {**os.environ, "KYANITE_HOME": str(home), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment) as one:
        try:
            yield one
        finally:
            one.kill()


def read_until(process: subprocess.Popen[str], words: str) -> str:
    """What a process says until it says some words."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if words in line:
            return said
    raise AssertionError(f"it never said {words!r}: {said}")


def test_serve_runs_windows_stops_on_signals_and_goes_on(kyanite, home: Path) -> None:
    kyanite("trigger", "start", "hourly")
    with serving(home) as one:
        read_until(one, "window 2024-01-01T00:00:00Z runs")
        refused = kyanite("serve", "--for", "1")
        assert refused.code == 1 and str(one.pid) in refused.err
        with open_workspace(home) as workspace:
            deadline = time.monotonic() + 20
            while not workspace.store.runs(RunQuery(status="InProgress")):
                assert time.monotonic() < deadline
                time.sleep(0.02)
        one.send_signal(signal.SIGTERM)
        rest = read_until(one, "stopped")
        assert one.wait(timeout=20) == 0
        assert "goes on with: 1" in rest and "Traceback" not in rest
    with serving(home) as two:
        assert "goes on" in read_until(two, "window 2024-01-01T00:00:00Z Succeeded")
        two.send_signal(signal.SIGINT)
        read_until(two, "stopped")
        assert two.wait(timeout=20) == 0
