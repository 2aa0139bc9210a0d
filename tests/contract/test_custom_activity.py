"""Custom on a real local pool: its files, its output, its logs, and every way it can fail."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kyanite.batch.model import PoolSpec
from kyanite.definitions.load import load_documents
from kyanite.runtime.monitor import activity_runs
from kyanite.runtime.start import start_run
from kyanite.runtime.worker import Worker
from kyanite.runtime.workspace import Workspace, open_workspace

STORE = {"referenceName": "store", "type": "LinkedServiceReference"}
POOL = {"referenceName": "pool", "type": "LinkedServiceReference"}
KEY = "a+very/secret=key"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    with open_workspace(tmp_path_factory.mktemp("custom") / "home", create=True) as opened:
        opened.accounts.create("boxes").create_container("code")
        opened.batch.create_account("acct")
        opened.batch.create_pool("acct", PoolSpec("pool1", target_nodes=1, vm_size="STANDARD_D2S_V3"))
        opened.batch.prepare_pool("acct", "pool1", lambda text: None)
        for path in ("job/run.sh", "job/lib/data.txt", "twice/a/x.txt", "twice/b/x.txt"):
            with opened.accounts.get("boxes").open_write("code", path) as out:
                out.write(path.encode())
                out.commit()
        opened.accounts.get("boxes").make_folder("code", "empty")
        yield opened


def linked(name: str, kind: str, **properties: Any) -> tuple[str, dict]:
    return "linkedService", {"name": name, "properties": {"type": kind, "typeProperties": properties}}


def custom(
    workspace: Workspace, command: str, *, batch: dict | None = None, policy: dict | None = None, **properties: Any
) -> dict[str, Any]:
    activity = {
        "name": "C",
        "type": "Custom",
        "linkedServiceName": POOL,
        "policy": policy or {},
        "typeProperties": {"command": command, **properties},
    }
    dataset = {
        "name": "d",
        "properties": {
            "type": "Binary",
            "linkedServiceName": STORE,
            "typeProperties": {"location": {"type": "AzureBlobStorageLocation", "container": "code"}},
        },
    }
    account = {"accountName": "acct", "poolName": "pool1", "batchUri": "https://acct.local.batch.azure.com"}
    documents = [
        ("pipeline", {"name": "main", "properties": {"activities": [activity]}}),
        ("dataset", dataset),
        linked("store", "AzureBlobStorage", connectionString="AccountName=boxes"),
        linked("pool", "AzureBatch", **{**account, "linkedServiceName": STORE, **(batch or {})}),
    ]
    run_id = start_run(workspace, load_documents("f", documents), "main")
    Worker(workspace).run(run_id)
    return activity_runs(workspace, run_id)[-1]


def kept(workspace: Workspace, row: dict[str, Any], name: str) -> str:
    path = workspace.home / "storage" / "boxes" / "adfjobs" / row["activityRunId"] / name
    return path.read_text(encoding="utf-8")


def code(row: dict[str, Any]) -> str:
    assert row["status"] == "Failed", row
    return row["error"]["errorCode"]


def test_the_services_own_output_and_the_programs(workspace: Workspace) -> None:
    row = custom(workspace, """/bin/sh -c "echo out; echo err >&2; echo '{\\"rows\\": 7}' > outputs.json" """)
    assert row["status"] == "Succeeded", row["error"]
    output = row["output"]
    assert (output["exitcode"], output["customOutput"]) == (0, {"rows": 7})
    assert json.loads(output["computeInformation"]) == {
        "account": "acct",
        "poolName": "pool1",
        "vmSize": "standard_d2s_v3",
    }
    root = f"https://boxes.blob.core.windows.net/adfjobs/{row['activityRunId']}/output"
    assert output["outputs"] == [f"{root}/stdout.txt", f"{root}/stderr.txt"]
    assert (kept(workspace, row, "output/stdout.txt"), kept(workspace, row, "output/stderr.txt")) == ("out\n", "err\n")
    assert output["billingReference"]["billableDuration"][0]["duration"] == 1 / 60
    assert workspace.batch.get_task("acct", "adfv2-pool1", row["activityRunId"]).exit_code == 0


@pytest.mark.parametrize("content", ["not json", "{", ""])
def test_an_invalid_outputs_file_counts_as_none(workspace: Workspace, content: str) -> None:
    row = custom(workspace, f"/bin/sh -c \"printf '{content}' > outputs.json\"")
    assert row["status"] == "Succeeded" and "customOutput" not in row["output"]


def test_the_files_beside_the_program(workspace: Workspace) -> None:
    row = custom(
        workspace,
        '/bin/sh -c "ls; cat activity.json linkedServices.json datasets.json; pwd; env"',
        resourceLinkedService=STORE,
        folderPath="code/job",
        extendedProperties={"key": {"type": "SecureString", "value": KEY}, "n": 3},
        referenceObjects={"linkedServices": [STORE], "datasets": [{"referenceName": "d", "type": "DatasetReference"}]},
    )
    assert row["status"] == "Succeeded", row["error"]
    task = workspace.batch.read_file("acct", "adfv2-pool1", row["activityRunId"], "stdout.txt").decode()
    for part in ("run.sh", "data.txt", KEY, '"n": 3', '"AzureBlobStorage"', '"Binary"', "AZ_BATCH_TASK_ID="):
        assert part in task
    assert KEY not in json.dumps(row)
    runtime = [kept(workspace, row, f"runtime/{name}.json") for name in ("activity", "linkedServices", "datasets")]
    assert KEY not in "".join(runtime) + kept(workspace, row, "output/stdout.txt")
    assert json.loads(runtime[2])[0]["properties"]["linkedServiceName"]["referenceName"] == "store"
    left = {entry.name for entry in workspace.batch.list_files("acct", "adfv2-pool1", row["activityRunId"])}
    assert "wd/run.sh" in left and "wd/activity.json" not in left


def test_an_exit_code_brings_the_last_words_along(workspace: Workspace) -> None:
    row = custom(workspace, '/bin/sh -c "echo first >&2; echo it broke >&2; exit 9"')
    assert code(row) == "2500" and "code 9" in row["error"]["message"] and "it broke" in row["error"]["message"]
    assert row["error"]["details"][1]["stderr"] == "first\nit broke"


@pytest.mark.parametrize(
    ("command", "properties", "expected", "shown"),
    [
        ("nosuchprogram --x", {}, "2500", "nosuchprogram"),
        ("   ", {}, "2103", "command"),
        ("true", {"resourceLinkedService": STORE, "folderPath": "code/twice"}, "2508", "x.txt"),
        ("true", {"resourceLinkedService": STORE, "folderPath": "code/empty"}, "2507", "code/empty"),
        ("true", {"resourceLinkedService": STORE, "folderPath": "code/nowhere"}, "2507", "code/nowhere"),
        (
            "true",
            {"batch": {"accessKey": {"type": "SecureString", "value": "d3Jvbmcga2V5"}}},
            "2501",
            "not one of its keys",
        ),
        ("true", {"batch": {"poolName": "pool2"}}, "2501", "pool1"),
        ("true", {"batch": {"accountName": "acc"}}, "2501", "acct"),
    ],
)
def test_failures_have_the_services_codes(
    workspace: Workspace, command: str, properties: dict, expected: str, shown: str
) -> None:
    row = custom(workspace, command, **properties)
    assert code(row) == expected
    assert shown in row["error"]["message"] and "Traceback" not in row["error"]["message"]


def test_the_right_key_is_accepted(workspace: Workspace) -> None:
    key = workspace.batch.keys("acct")["secondary"]
    row = custom(workspace, "true", batch={"accessKey": {"type": "SecureString", "value": key}})
    assert row["status"] == "Succeeded"


def test_a_timeout_ends_the_task_with_all_it_started(workspace: Workspace, tmp_path: Path) -> None:
    command = f'/bin/sh -c "(sleep 61; touch {tmp_path}/late) & sleep 60"'
    row = custom(workspace, command, policy={"timeout": "0.00:00:01"})
    assert row["status"] == "TimedOut"
    task = workspace.batch.get_task("acct", "adfv2-pool1", row["activityRunId"])
    assert task.result == "failure"
    assert not [line for line in command_lines() if str(tmp_path) in line]


def command_lines() -> Iterator[str]:
    """Of every process there is."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            yield (folder / "cmdline").read_bytes().decode(errors="replace")


def test_a_retry_is_a_task_of_its_own(workspace: Workspace) -> None:
    row = custom(workspace, "false", policy={"retry": 1, "retryIntervalInSeconds": 0})
    assert (code(row), row["retryAttempt"]) == ("2500", 1)
    assert workspace.batch.get_task("acct", "adfv2-pool1", row["activityRunId"]).exit_code == 1
