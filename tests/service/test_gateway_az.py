"""The Azure command line under `kyanite exec`: no cloud registered, no endpoint given, nothing configured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kyanite.runtime.workspace import open_workspace
from kyanite.server.keys import make_keys

AZ = Path(__file__).resolve().parents[2] / "bench" / ".venv" / "clients-az" / "bin" / "az"

pytestmark = pytest.mark.az


@pytest.mark.parametrize(
    "login", [("--identity",), ("--service-principal", "-u", "any", "-p", "TOKEN", "--tenant", "TENANT")]
)
def test_login_then_storage_and_batch(tmp_path: Path, login: tuple[str, ...]) -> None:
    if not AZ.exists():
        pytest.fail("az is missing: python3 bench/environment.py clients-az")
    home = tmp_path / "home"
    with open_workspace(home, create=True) as workspace:
        token = make_keys(workspace).read_text().strip()
        workspace.accounts.create("raw").create_container("box")
        workspace.batch.create_account("nodes")
    told = {"TOKEN": token, "TENANT": "00000000-0000-0000-0000-000000000000"}
    environment = {**os.environ, "AZURE_CONFIG_DIR": str(tmp_path / "az"), "AZURE_CORE_COLLECT_TELEMETRY": "no"}

    def az(*line: str) -> Any:
        command = [
            sys.executable,
            "-m",
            "kyanite",
            "--home",
            str(home),
            "exec",
            "--",
            str(AZ),
            *line,
            "--output",
            "json",
        ]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout or "null")

    subscription = az("login", *(told.get(word, word) for word in login))[0]
    assert subscription["tenantId"] == told["TENANT"]
    listing = az("storage", "container", "list", "--account-name", "raw", "--auth-mode", "login")
    assert [each["name"] for each in listing] == ["box"]
    assert [each["name"] for each in az("batch", "account", "list")] == ["nodes"]
