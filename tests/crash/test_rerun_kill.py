"""kill -9 after every commit of a rerun: what it reuses is fixed when it is made, so a resumed one does the same."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from kyanite.engine.invariants import check_invariants
from kyanite.runs.store import RunQuery
from kyanite.runtime.fold import fold
from kyanite.runtime.workspace import open_workspace

PROGRAM = Path(__file__).with_name("rerun_program.py")
REUSED = {"first", "loop/0/inner", "c1"}
EXECUTED = {"inner b", "c2 true", "last true"}


def program(home: Path, what: str, fault: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KYANITE_")}
    if fault:
        environment["KYANITE_FAULT"] = fault
    command = [sys.executable, str(PROGRAM), str(home), what]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a run that failed, and whose cause is mended since."""
    home = tmp_path_factory.mktemp("failed") / "home"
    done = program(home, "run")
    assert json.loads(done.stdout)["status"] == "Failed", done.stderr
    (home / "mended").touch()
    (home / "effects.txt").unlink()
    return home


def test_killed_after_every_commit_and_resumed(tmp_path: Path, failed: Path) -> None:
    number, killed = 0, True
    while killed:
        number += 1
        home = tmp_path / str(number)
        shutil.copytree(failed, home)
        done = program(home, "rerun", f"kill-after-commit:{number}")
        killed = done.returncode == -9
        assert killed or done.returncode == 0, (number, done.stderr)
        if killed:
            again = program(home, "resume")
            assert again.returncode == 0 and "Traceback" not in again.stderr, (number, again.stderr)
        verify(home, number)
    assert number > 5  # the last one had no commit left to be killed at


def verify(home: Path, number: int) -> None:
    with open_workspace(home) as workspace:
        runs = list(reversed(workspace.store.runs(RunQuery())))
        old, _, new, child = runs
        assert (new.status, child.status, new.group_id) == ("Succeeded", "Succeeded", old.run_id), number
        assert child.parent_run_id == new.run_id, number
        states = [fold(workspace.store, run.run_id)[0] for run in (new, child)]
        events = [event for run in (new, child) for event in workspace.store.read(run.run_id)]
    for state in states:
        check_invariants(state)
    reused = [event.body["path"] for event in events if event.kind == "ActivityReused"]
    assert sorted(reused) == sorted(REUSED), number
    taken_over = sum(event.kind == "ActivityRecovered" for event in events)
    did = Counter(line.split(" ", 1)[1] for line in (home / "effects.txt").read_text(encoding="utf-8").splitlines())
    assert set(did) == EXECUTED, (number, did)
    assert sum(did.values()) <= len(EXECUTED) + taken_over, (number, did)
