"""The airline pipeline, Copy then Custom: kill -9 before and after every commit, or the disk full there; then resumed.

Whatever the moment: the resumed run Succeeds, its files are byte for byte those of an undisturbed run, a Copy that had
finished is not repeated, a task is launched once, and no half file is ever to be seen.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from kyanite.runs.store import RunQuery
from kyanite.runtime.deploy import deploy
from kyanite.runtime.workspace import open_workspace

ROWS_PER_FILE = 60_000


class Airline:
    """A deployed workspace with two small input files, and what an undisturbed run leaves in it."""

    def __init__(self, home: Path, repository: Path) -> None:
        self.home = home
        example = repository / "examples" / "airline"
        with open_workspace(home, create=True) as workspace:
            template = json.loads((example / "template.json").read_text(encoding="utf-8"))
            deploy(workspace, template, {"nodes": 1, "partSizeInMB": 1})
        self.files = home / "storage" / "airlinestorage" / "filestorage"
        (self.files / "input").mkdir()
        rows = pq.read_table(example / "data" / "flights.parquet")
        for number in range(2):
            piece = rows.slice(number * ROWS_PER_FILE, ROWS_PER_FILE)
            pq.write_table(piece, self.files / "input" / f"flights{number}.parq", row_group_size=15_000)
        shutil.copy(example / "splitparquet.py", home / "storage" / "airlinestorage" / "batchstorage")
        count = home.with_name("count")
        done = self.kyanite("run", "SampleCopyPipeline", fault=f"count:{count}")
        assert done.returncode == 0, done.stderr
        self.commits = int(count.read_text())
        self.reference = self.visible()

    def kyanite(self, *arguments: str, fault: str | None = None) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("KYANITE_")}
        if fault:
            environment["KYANITE_FAULT"] = fault
        command = [sys.executable, "-m", "kyanite", "--home", str(self.home), *arguments, "--json"]
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)

    def visible(self) -> dict[str, str]:
        """Every file of source/ and target/ with its digest."""
        found = {}
        for folder in ("source", "target"):
            for file in sorted((self.files / folder).rglob("*")):
                if file.is_file() and file.name != "_kyanite_split.json":
                    found[file.relative_to(self.files).as_posix()] = hashlib.sha256(file.read_bytes()).hexdigest()
        return found

    def clear(self) -> None:
        for folder in ("source", "target"):
            shutil.rmtree(self.files / folder, ignore_errors=True)


@pytest.fixture(scope="module")
def airline(tmp_path_factory: pytest.TempPathFactory) -> Airline:
    repository = Path(__file__).resolve().parents[2]
    return Airline(tmp_path_factory.mktemp("airline") / "home", repository)


@pytest.mark.parametrize(("fault", "code"), [("kill-before-commit", -9), ("kill-after-commit", -9), ("disk-full", 1)])
def test_failing_at_every_commit(airline: Airline, fault: str, code: int) -> None:
    assert airline.commits >= 6
    assert len([name for name in airline.reference if name.startswith("target/")]) >= 2
    for number in range(1, airline.commits + 1):
        airline.clear()
        known = set(run_ids(airline))
        failed = airline.kyanite("run", "SampleCopyPipeline", fault=f"{fault}:{number}")
        if failed.returncode == 0:
            break  # grouping differs from run to run: this one had fewer commits
        assert failed.returncode == code, (number, failed.stdout, failed.stderr)
        assert "Traceback" not in failed.stderr, (number, failed.stderr)
        for name, digest in airline.visible().items():
            assert airline.reference[name] == digest, (number, name)
        fresh = [run_id for run_id in run_ids(airline) if run_id not in known]
        if fresh:  # else it was killed before the run was there
            resume(airline, fresh[0], number)


def run_ids(airline: Airline) -> list[str]:
    with open_workspace(airline.home) as workspace:
        return [run.run_id for run in workspace.store.runs(RunQuery(limit=1000))]


def resume(airline: Airline, run_id: str, number: int) -> None:
    with open_workspace(airline.home) as workspace:
        before = workspace.store.history(run_id)
        over = workspace.store.summary(run_id).status == "Succeeded"
    merged = airline.files / "source" / "NewFile.parq"
    stamp = merged.stat().st_mtime_ns if merged.exists() else None
    done = airline.kyanite("runs", "resume", run_id)
    assert done.returncode == 0, (number, done.stdout, done.stderr)
    assert json.loads(done.stdout)["pipelineRun"]["status"] == "Succeeded", number
    assert airline.visible() == airline.reference, number
    with open_workspace(airline.home) as workspace:
        after = workspace.store.history(run_id)
        task = next(
            e.body["activityRunId"] for e in after if e.kind == "ActivityStarted" and e.body["type"] == "Custom"
        )
        found = workspace.batch.get_task("airlinebatch", "adfv2-airlinepool", task)
    assert found.exit_code == 0 and found.loss_count <= 1, (number, found)
    copied = any(e.kind == "ActivityEnded" and e.body["path"] == "CopyFile" for e in before)
    if copied:
        assert merged.stat().st_mtime_ns == stamp, (number, "the finished Copy was repeated")
        assert not any(e.kind == "ActivityRecovered" and e.body["path"] == "CopyFile" for e in after), number
    if over:
        assert len(after) == len(before), number
    assert leavings(airline) == [], number


def leavings(airline: Airline) -> list[str]:
    staging = airline.home / "storage" / "airlinestorage" / ".staging"
    return [str(entry) for entry in staging.rglob("*") if entry.is_file()] if staging.is_dir() else []
