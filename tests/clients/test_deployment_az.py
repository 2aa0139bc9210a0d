"""`az`, unmodified: login, a group, the tutorial's template, a run and its output. Marker `az`: it has 730 MB."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kyanite.runtime.serve import RunPool
from kyanite.runtime.worker import Worker
from kyanite.runtime.workspace import open_workspace
from kyanite.server.serving import listening
from kyanite.server.tokens import TENANT_ID

ROOT = Path(__file__).resolve().parents[2]
AZ = ROOT / "bench" / ".venv" / "clients-az" / "bin" / "az"
AUTHORS_TEMPLATE = ROOT.parent / "shared" / "seed" / "adf_deploy.json"
DATA = ROOT / "examples" / "airline" / "data" / "flights.parquet"
SUFFIX = "az1"
FACTORY = (
    "/subscriptions/{subscriptionId}/resourceGroups/airline/providers/Microsoft.DataFactory"
    f"/factories/delabadf{SUFFIX}"
)
WITHIN = 300.0

pytestmark = pytest.mark.az


class Az:
    """The command line with a profile of its own; each call gives the JSON it printed."""

    def __init__(self, folder: Path, ca_file: str) -> None:
        self._environment = {
            "AZURE_CONFIG_DIR": str(folder / "config"),
            "AZURE_CORE_COLLECT_TELEMETRY": "no",
            "AZURE_CORE_INSTANCE_DISCOVERY": "false",
            "HOME": str(folder),
            "PATH": os.environ["PATH"],
            "REQUESTS_CA_BUNDLE": ca_file,
        }

    def __call__(self, *arguments: str) -> Any:
        command = [AZ, *arguments, "--output", "json", "--only-show-errors"]
        done = subprocess.run(
            command, env=self._environment, capture_output=True, text=True, timeout=WITHIN, check=False
        )
        assert done.returncode == 0, (arguments, done.stderr[-3000:])
        return json.loads(done.stdout) if done.stdout.strip() else None

    def rest(self, method: str, path: str, body: Any = None) -> Any:
        """`az rest` on the factory."""
        url = f"{FACTORY}{path}{'&' if '?' in path else '?'}api-version=2018-06-01"
        more = ["--body", json.dumps(body)] if body is not None else []
        return self("rest", "--method", method, "--url", url, *more)


@pytest.fixture
def az(tmp_path: Path) -> Iterator[Az]:
    if not AZ.exists():
        pytest.fail("az is missing: python3 bench/environment.py clients-az")
    if not AUTHORS_TEMPLATE.is_file() and not os.environ.get("CI"):
        pytest.skip("the author's template is not beside this checkout")
    with open_workspace(tmp_path / "home", create=True) as workspace:
        pool = RunPool(workspace, make_worker=lambda: Worker(workspace))
        try:
            with listening(workspace, pool, http_port=0, https_port=0) as addresses:
                run = Az(tmp_path, addresses.ca_file)
                endpoints = ("resource-manager", "active-directory", "active-directory-resource-id")
                named = [each for name in endpoints for each in (f"--endpoint-{name}", addresses.https)]
                graph = ["--endpoint-active-directory-graph-resource-id", addresses.https]
                run("cloud", "register", "--name", "Kyanite", *named, *graph)
                run("cloud", "set", "--name", "Kyanite")
                token = Path(addresses.token_file).read_text("ascii").strip()
                login = ["--service-principal", "-u", "owner", "-p", token, "--tenant", TENANT_ID]
                assert run("login", *login)[0]["name"] == "kyanite"
                yield run
        finally:
            pool.stop()


def test_the_tutorial(az: Az, tmp_path: Path) -> None:
    group = az("group", "create", "--name", "airline", "--location", "westeurope")
    assert group["properties"]["provisioningState"] == "Succeeded"
    deployment = ["--resource-group", "airline", "--name", "adf"]
    template = ["--template-file", str(AUTHORS_TEMPLATE), "--parameters", f"uniqueSuffix={SUFFIX}"]
    told = az("deployment", "group", "what-if", *deployment, *template, "--no-pretty-print")
    assert {each["changeType"] for each in told["changes"]} <= {"Create", "Ignore"}
    made = az("deployment", "group", "create", *deployment, *template)
    assert made["properties"]["provisioningState"] == "Succeeded"
    assert az("deployment", "group", "show", *deployment)["name"] == "adf"
    assert len(az("deployment", "operation", "group", "list", *deployment)) == len(told["changes"])
    store = ["--account-name", f"delabstorage{SUFFIX}"]
    keys = az("storage", "account", "keys", "list", "--resource-group", "airline", *store)
    assert [each["keyName"] for each in keys] == ["key1", "key2"]
    shown = az("resource", "show", "--ids", made["properties"]["outputResources"][0]["id"])
    assert shown["name"].startswith("delab")
    exported = az("group", "export", "--name", "airline")
    assert "secureString" in {each["type"] for each in exported["parameters"].values()}
    fill(tmp_path)
    run_id = az.rest("post", "/pipelines/SampleCopyPipeline/createRun", {})["runId"]
    end = time.monotonic() + WITHIN
    status = ""
    while status not in ("Succeeded", "Failed", "Cancelled") and time.monotonic() < end:
        run = az.rest("get", f"/pipelineruns/{run_id}")
        status = run["status"]
    assert (status, run["message"]) == ("Succeeded", "")
    window = {"lastUpdatedAfter": "2000-01-01T00:00:00Z", "lastUpdatedBefore": "2100-01-01T00:00:00Z"}
    copied, custom = az.rest("post", f"/pipelineruns/{run_id}/queryActivityruns", window)["value"]
    assert copied["output"]["rowsCopied"] == 336_776
    assert custom["output"]["exitcode"] == 0
    account = az("batch", "account", "list", "--resource-group", "airline")[0]["name"]
    az("batch", "account", "login", "--resource-group", "airline", "--name", account, "--shared-key-auth")
    job = az("batch", "job", "list")[0]["id"]
    task = az("batch", "task", "list", "--job-id", job)[0]["id"]
    target = tmp_path / "stdout.txt"
    place = ["--job-id", job, "--task-id", task, "--file-path", "stdout.txt", "--destination", str(target)]
    az("batch", "task", "file", "download", *place)
    assert target.stat().st_size > 0


def fill(folder: Path) -> None:
    """The input file and the program, where the template's pipeline looks for them."""
    kyanite = [sys.executable, "-m", "kyanite", "--home", str(folder / "home"), "storage", "put"]
    account = f"delabstorage{SUFFIX}"
    program = ROOT / "examples" / "airline" / "splitparquet.py"
    for arguments in (
        [DATA, f"{account}/filestorage/input/", "--name", "flights.parq"],
        [program, f"{account}/batchstorage/"],
    ):
        subprocess.run([*kyanite, *map(str, arguments)], check=True, capture_output=True)
