"""What a Custom activity keeps of its task's output when that is longer than one read."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kyanite import limits
from kyanite.activities import custom
from kyanite.batch.model import PoolSpec
from kyanite.definitions.load import load_documents
from kyanite.runtime.monitor import activity_runs
from kyanite.runtime.start import start_run
from kyanite.runtime.worker import Worker
from kyanite.runtime.workspace import Workspace, open_workspace

SECRET = "s3cret-of-the-task"
LINES = 900


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    monkeypatch.setattr(limits, "TASK_OUTPUT_READ_BYTES", 1000)
    monkeypatch.setattr(custom, "STDERR_BYTES", 500)
    with open_workspace(tmp_path / "home", create=True) as opened:
        opened.accounts.create("boxes")
        opened.batch.create_account("acct")
        opened.batch.create_pool("acct", PoolSpec("pool", target_nodes=1))
        yield opened


def run_python(workspace: Workspace, program: str) -> dict[str, Any]:
    (workspace.home.parent / "program.py").write_text(program, encoding="utf-8")
    store = {"type": "AzureBlobStorage", "typeProperties": {"connectionString": "AccountName=boxes"}}
    batch = {
        "accountName": "acct",
        "batchUri": "https://acct.local.batch.azure.com",
        "poolName": "pool",
        "linkedServiceName": {"referenceName": "store", "type": "LinkedServiceReference"},
    }
    activity = {
        "name": "A",
        "type": "Custom",
        "linkedServiceName": {"referenceName": "batch", "type": "LinkedServiceReference"},
        "typeProperties": {"command": f"{sys.executable} {workspace.home.parent}/program.py"},
    }
    documents = [
        ("pipeline", {"name": "main", "properties": {"activities": [activity]}}),
        ("linkedService", {"name": "store", "properties": store}),
        ("linkedService", {"name": "batch", "properties": {"type": "AzureBatch", "typeProperties": batch}}),
    ]
    run_id = start_run(workspace, load_documents("f", documents), "main")
    Worker(workspace).run(run_id)
    return activity_runs(workspace, run_id)[-1]


def test_a_long_output_is_kept_whole_and_masked_everywhere(workspace: Workspace) -> None:
    workspace.vault.put("mine", SECRET)
    row = run_python(workspace, f"for i in range({LINES}): print(i, {SECRET!r})\nprint('y' * 2500, end='')\n")
    assert row["status"] == "Succeeded"
    kept = workspace.home / "storage" / "boxes" / "adfjobs" / row["activityRunId"] / "output" / "stdout.txt"
    assert kept.read_text() == "".join(f"{i} ***\n" for i in range(LINES)) + "y" * 2500


def test_a_failure_tells_the_end_of_a_long_stderr(workspace: Workspace) -> None:
    row = run_python(workspace, "import sys\nfor i in range(900): print(i, file=sys.stderr)\nsys.exit('the end')\n")
    assert row["status"] == "Failed"
    assert row["error"]["message"].endswith("Its last words: the end")
