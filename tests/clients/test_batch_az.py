"""`az batch`: the data plane's commands with an account key, unmodified. Its environment has 730 MB: marker `az`."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from batch_server import ACCOUNT, batch_server, wait_until

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "bench" / ".venv" / "clients-az" / "bin" / "az"

pytestmark = pytest.mark.az


@pytest.fixture
def az(tmp_path):
    if not PROGRAM.exists():
        pytest.fail("az is missing: python3 bench/environment.py clients-az")
    with batch_server(tmp_path / "home") as server:
        environment = {
            "AZURE_CONFIG_DIR": str(tmp_path / "config"),
            "AZURE_CORE_COLLECT_TELEMETRY": "no",
            "AZURE_BATCH_ACCOUNT": ACCOUNT,
            "AZURE_BATCH_ACCESS_KEY": server.key,
            "AZURE_BATCH_ENDPOINT": server.url,
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
        }

        def run(*arguments: str, fails: bool = False):
            command = [PROGRAM, "batch", *arguments, "--output", "json"]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
            if fails:
                assert done.returncode
                return done.stderr
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout) if done.stdout.strip() else None

        yield run


def test_the_data_plane_s_commands(az, tmp_path):
    image = ["--image", "canonical:ubuntu:22_04-lts:latest", "--node-agent-sku-id", "batch.node.ubuntu 22.04"]
    az("pool", "create", "--id", "cli", "--vm-size", "standard_d2s_v3", "--target-dedicated-nodes", "1", *image)
    assert [each["id"] for each in az("pool", "list")] == ["cli"]
    same = ["--id", "cli", "--vm-size", "a1", "--target-dedicated-nodes", "1", *image]
    assert "PoolExists" in az("pool", "create", *same, fails=True)
    az("job", "create", "--id", "cli", "--pool-id", "cli")
    az("task", "create", "--job-id", "cli", "--task-id", "t1", "--command-line", "/bin/sh -c 'echo hello from az'")
    wait_until(lambda: az("task", "show", "--job-id", "cli", "--task-id", "t1")["state"] == "completed", 60)
    assert az("job", "task-counts", "show", "--job-id", "cli")["taskCounts"]["succeeded"] == 1
    files = az("task", "file", "list", "--job-id", "cli", "--task-id", "t1")
    assert "stdout.txt" in {each["name"] for each in files}
    target = tmp_path / "stdout.txt"
    place = ["--job-id", "cli", "--task-id", "t1", "--file-path", "stdout.txt", "--destination", str(target)]
    az("task", "file", "download", *place)
    assert target.read_text("utf-8") == "hello from az\n"
    assert [each["id"] for each in az("job", "list", "--filter", "state eq 'active'")] == ["cli"]
    assert [each["state"] for each in az("node", "list", "--pool-id", "cli")] == ["idle"]
    az("job", "stop", "--job-id", "cli")
    az("job", "delete", "--job-id", "cli", "--yes")
    az("pool", "resize", "--pool-id", "cli", "--target-dedicated-nodes", "2")
    az("pool", "delete", "--pool-id", "cli", "--yes")
