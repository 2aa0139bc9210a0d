"""azure-batch 14.2, unmodified, in an environment of its own."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from batch_server import ACCOUNT, batch_server


def test_the_older_client_runs_a_hundred_tasks(tmp_path, old_python):
    with batch_server(tmp_path / "home") as server:
        script = Path(__file__).parent / "old" / "batch_flow.py"
        command = [old_python, script, server.url, ACCOUNT, server.key, server.storage_url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert [each for each in server.answered if each[1] == 500] == []
        stdout = server.workspace.accounts.get("mystore").open_read("output", "old/stdout.txt")
        with stdout:
            assert stdout.read() == b"one two three\n"
    assert told == {
        "again": "PoolExists",
        "exists": True,
        "added": [100, ["TaskAddStatus.success"]],
        "succeeded": 100,
        "stdout": "one two three\n",
        "range": "two",
        "size": "2",
        "files": [
            "stderr.txt",
            "stdout.txt",
            "wd",
            "wd/id.txt",
            "wd/words.txt",
        ],
        "paged": 100,
        "stale": "ConditionNotMet",
        "priority": 3,
        "limit": "1:00:00",
        "nodes": ["idle"],
        "images": told["images"],
        "counts": [1],
        "certificates": "NotImplemented",
        "desktop": "NotImplemented",
        "reason": "over",
    }
    assert told["images"] > 0
