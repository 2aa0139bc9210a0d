"""Output files of real commands, in containers of the workspace's own storage account."""

from __future__ import annotations

import pytest

from kyanite.batch import wire
from kyanite.batch.service import BatchService
from kyanite.database import Database
from kyanite.secrets import Vault
from kyanite.storage import StorageAccounts

OUT = "https://store.blob.core.windows.net/out"


@pytest.fixture
def service(tmp_path):
    database, vault = Database(tmp_path / "kyanite.db"), Vault(tmp_path / "secrets.json")
    accounts = StorageAccounts(tmp_path / "storage", vault)
    accounts.create("store")
    accounts.get("store").create_container("out")
    made = BatchService(database, tmp_path / "batch", vault, accounts, home=tmp_path)
    made.create_account("acct")
    made.add_pool("acct", {"id": "p", "vmSize": "local", "targetDedicatedNodes": 1})
    made.add_job("acct", {"id": "j", "poolInfo": {"poolId": "p"}})
    yield made
    made.close()
    database.close()


def output(pattern, condition, path=None, url=OUT):
    container = {"containerUrl": url} | ({"path": path} if path else {})
    return {
        "filePattern": pattern,
        "destination": {"container": container},
        "uploadOptions": {"uploadCondition": condition},
    }


def run(service, task_id, command, *outputs, **more):
    body = {"id": task_id, "commandLine": f"/bin/sh -c '{command}'", "outputFiles": list(outputs), **more}
    service.add_task("acct", "j", body)
    return service.wait_task("acct", "j", task_id, timeout=60)


def blobs(tmp_path):
    root = tmp_path / "storage/store/out"
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_results_and_logs_reach_the_container(service, tmp_path):
    outputs = [
        output("**/*.csv", "tasksuccess", "results"),
        output("../std*.txt", "taskcompletion", "logs/t"),
        output("why.txt", "taskfailure"),
    ]
    task = run(service, "t", "mkdir d; echo 1 > a.csv; echo 2 > d/b.csv; echo why > why.txt; echo hello", *outputs)
    assert (task.exit_code, task.result) == (0, "success")
    assert blobs(tmp_path) == ["logs/t/stderr.txt", "logs/t/stdout.txt", "results/a.csv", "results/d/b.csv"]
    assert (tmp_path / "storage/store/out/logs/t/stdout.txt").read_text() == "hello\n"
    assert "a.csv" in service.read_file("acct", "j", "t", "fileuploadout.txt").decode()


def test_only_the_last_run_uploads(service, tmp_path):
    command = "echo x >> n; test $(wc -l < n) -ge 2"
    task = run(service, "t", command, output("n", "taskcompletion"), constraints={"maxTaskRetryCount": 3})
    assert (task.exit_code, task.retry_count) == (0, 1)
    assert (tmp_path / "storage/store/out/n").read_text() == "x\nx\n"


def test_an_upload_that_fails_fails_the_task_and_keeps_its_exit_code(service):
    url = "https://store.blob.core.windows.net/missing?sv=1&sig=s3cr3tsignature"
    task = run(service, "t", "echo x > a", output("a", "taskcompletion", url=url), constraints={"maxTaskRetryCount": 3})
    assert (task.exit_code, task.result, task.retry_count) == (0, "failure", 0)
    failure = wire.task_json(task, "")["executionInfo"]["failureInfo"]
    assert (failure["category"], failure["code"]) == ("UserError", "FileUploadContainerNotFound")
    text = service.read_file("acct", "j", "t", "fileuploaderr.txt").decode()
    assert "missing" in text
    assert "s3cr3t" not in text + str(failure)


def test_what_can_be_uploaded_is_uploaded_though_another_fails(service, tmp_path):
    missing = "https://store.blob.core.windows.net/missing"
    task = run(service, "t", "echo x > a; exit 3", output("a", "taskfailure", url=missing), output("a", "taskfailure"))
    assert (task.exit_code, task.result, task.failure_info.code) == (3, "failure", "FileUploadContainerNotFound")
    assert blobs(tmp_path) == ["a"]
