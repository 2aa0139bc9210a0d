"""kill -9 before and after every commit of a run; then another process goes on, and nothing can tell the difference."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from kyanite.engine.invariants import check_invariants
from kyanite.runs.store import RunQuery
from kyanite.runtime.fold import fold
from kyanite.runtime.workspace import open_workspace

PROGRAM = Path(__file__).with_name("run_program.py")
RAN_ONCE = {"first": 1, "inner": 3, "right": 1, "turn": 2}


def program(home: Path, what: str, fault: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KYANITE_")}
    if fault:
        environment["KYANITE_FAULT"] = fault
    command = [sys.executable, str(PROGRAM), str(home), what]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)


@pytest.fixture(scope="module")
def commits(tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many commits an undisturbed run has; the points to kill at are counted, not chosen."""
    folder = tmp_path_factory.mktemp("count")
    done = program(folder / "home", "start", f"count:{folder / 'count'}")
    assert json.loads(done.stdout)["status"] == "Succeeded", done.stderr
    return int((folder / "count").read_text())


@pytest.mark.parametrize("side", ["before", "after"])
def test_killed_at_every_commit_and_resumed(tmp_path: Path, commits: int, side: str) -> None:
    assert commits >= 12
    for number in range(1, commits + 1):
        home = tmp_path / f"{side}{number}"
        killed = program(home, "start", f"kill-{side}-commit:{number}")
        if killed.returncode == 0:
            break  # grouping differs from run to run: this one had fewer commits
        assert killed.returncode == -9, (number, killed.stderr)
        verify(home, number)


def verify(home: Path, number: int) -> None:
    with open_workspace(home, create=True) as workspace:
        main = [run for run in workspace.store.runs(RunQuery()) if run.parent_run_id is None]
        if not main:
            return  # killed before the run was there: nothing to go on with, nothing happened
        assert not (home / "effects.txt").exists() or main[0].status != "Queued", number
    done = program(home, "resume")
    assert done.returncode == 0 and "Traceback" not in done.stderr, (number, done.stderr)
    with open_workspace(home) as workspace:
        summary = workspace.store.summary(main[0].run_id)
        assert summary is not None and summary.status == "Succeeded", (number, summary and summary.message)
        states = [fold(workspace.store, run.run_id)[0] for run in workspace.store.runs(RunQuery())]
        events = [event for run in states for event in workspace.store.read(run.run_id)]
    for state in states:
        check_invariants(state)
    parent = next(state for state in states if state.pipeline.name == "main")
    assert sorted(parent.variables["seen"]) == ["x", "y", "z"], number
    assert parent.variables["last"] == "child", number
    assert parent.variables["turns"] == ["t", "t"], number
    assert len(states) == 2, number
    assert_effects(home, events, number)


def assert_effects(home: Path, events: list, number: int) -> None:
    """Each attempt did its work once, and once more only when the log says that it was taken over."""
    did = Counter((home / "effects.txt").read_text(encoding="utf-8").split("\n")[:-1])
    recovered = Counter(event.body["path"].rsplit("/", 1)[-1] for event in events if event.kind == "ActivityRecovered")
    names = Counter(dict.fromkeys(RAN_ONCE, 0))
    for line, times in did.items():
        names[line.split()[1]] += times
    for name, times in RAN_ONCE.items():
        assert times <= names[name] <= times + recovered[name], (number, name, names, recovered)
    assert "wrong" not in names, number
    started = Counter(event.body["activityRunId"] for event in events if event.kind == "ActivityStarted")
    assert set(started.values()) == {1}, number
