"""Tasks of a pool reach the workspace under Azure's names, and go on doing so when another process takes over."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kyanite.batch.pool_spec import pool_from_rest
from kyanite.cli.main import main
from kyanite.runtime.workspace import open_workspace

# an ordinary script for Azure: it knows the account's name and nothing of kyanite
SCRIPT = """
import os, sys, time
from azure.identity import DefaultAzureCredential
from azure.storage.blob import BlobServiceClient

with DefaultAzureCredential() as credential:
    with BlobServiceClient("https://raw.blob.core.windows.net", credential=credential) as service:
        box = service.get_container_client("box")
        box.upload_blob("begun", b"", overwrite=True)
        while len(sys.argv) > 1 and not os.path.exists(sys.argv[1]):
            time.sleep(0.05)
        box.upload_blob("done", b"", overwrite=True)
        print(sorted(blob.name for blob in box.list_blobs()))
"""
TELL = """
import json, os
print(json.dumps({name: os.environ.get(name, "") for name in ("IDENTITY_ENDPOINT", "HTTPS_PROXY", "KYANITE_HOME")}))
"""


class Site:
    """A workspace with a pool, and a git folder whose pipeline runs one command on it."""

    def __init__(self, folder: Path, gateway: str | None = None) -> None:
        self.home = folder / "home"
        self.folder = folder / "factory"
        metadata = [{"name": "kyanite.gateway", "value": gateway}] if gateway else []
        pool = {"id": "pool", "vmSize": "small", "targetDedicatedNodes": 1, "metadata": metadata}
        with open_workspace(self.home, create=True) as workspace:
            box = workspace.accounts.create("raw")
            box.create_container("box")
            workspace.batch.create_account("nodes")
            workspace.batch.create_pool("nodes", pool_from_rest(pool))
            keys = box.keys[0], workspace.batch.keys("nodes")["primary"]
        store = f"DefaultEndpointsProtocol=https;AccountName=raw;AccountKey={keys[0]};EndpointSuffix=core.windows.net"
        self.write(
            "linkedService", "store", {"type": "AzureBlobStorage", "typeProperties": {"connectionString": store}}
        )
        reference = {"referenceName": "store", "type": "LinkedServiceReference"}
        batch = {"accountName": "nodes", "accessKey": {"type": "SecureString", "value": keys[1]}, "poolName": "pool",
                 "batchUri": "https://nodes.local.batch.azure.com", "linkedServiceName": reference}  # fmt: skip
        self.write("linkedService", "batch", {"type": "AzureBatch", "typeProperties": batch})

    def write(self, kind: str, name: str, properties: dict[str, Any]) -> None:
        file = self.folder / kind / f"{name}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"name": name, "properties": properties}))

    def pipeline(self, script: str, *arguments: object) -> None:
        """A pipeline `Run` with the script as a task's program."""
        file = self.folder.parent / "script.py"
        file.write_text(script)
        command = " ".join(["python", str(file), *map(str, arguments)])
        activity = {"name": "Task", "type": "Custom", "typeProperties": {"command": command},
                    "linkedServiceName": {"referenceName": "batch", "type": "LinkedServiceReference"}}  # fmt: skip
        self.write("pipeline", "Run", {"activities": [activity]})

    def blobs(self) -> list[str]:
        return sorted(file.name for file in (self.home / "storage" / "raw" / "box").iterdir())

    def kyanite(self, *line: str) -> list[str]:
        return ["--home", str(self.home), *line]


def output(site: Site, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    main(site.kyanite("runs", "logs", "latest"))
    return capsys.readouterr().out


def test_an_ordinary_script_as_a_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = Site(tmp_path)
    site.pipeline(SCRIPT)
    assert main(site.kyanite("run", "Run", "--factory", str(site.folder), "--quiet")) == 0
    assert site.blobs() == ["begun", "done"]
    assert "['begun', 'done']" in output(site, capsys)


@pytest.mark.parametrize("gateway", ["off", "closed"])
def test_the_pool_says_whether_its_tasks_use_it(
    tmp_path: Path, gateway: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    site = Site(tmp_path, gateway)
    site.pipeline(TELL)
    assert main(site.kyanite("run", "Run", "--factory", str(site.folder), "--quiet")) == 0
    told = json.loads(next(line for line in output(site, capsys).splitlines() if line.startswith("{")))
    assert told["KYANITE_HOME"] == str(site.home)
    if gateway == "off":
        assert told["IDENTITY_ENDPOINT"] == told["HTTPS_PROXY"] == ""
        assert not (site.home / "gateway.json").exists()
    else:
        assert told["HTTPS_PROXY"].startswith("http://kyanite:***@127.0.0.1:")  # the secret in it is shown to nobody


def until(said: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 60
    while not said():
        assert time.monotonic() < end and process.poll() is None, process.stdout and process.stdout.read()
        time.sleep(0.02)


def test_a_task_whose_run_was_killed_reaches_the_workspace_when_it_is_resumed(tmp_path: Path) -> None:
    site = Site(tmp_path)
    go = tmp_path / "go"
    site.pipeline(SCRIPT, go)
    command = [sys.executable, "-m", "kyanite", *site.kyanite("run", "Run", "--factory", str(site.folder), "--quiet")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        until(lambda: "begun" in site.blobs(), process)
        os.kill(process.pid, signal.SIGKILL)
    port = json.loads((site.home / "gateway.json").read_text())["proxy"]
    go.touch()  # the task goes on while nobody answers: its client tries again
    assert main(site.kyanite("runs", "resume", "latest")) == 0
    assert site.blobs() == ["begun", "done"]
    assert json.loads((site.home / "gateway.json").read_text())["proxy"] == port
