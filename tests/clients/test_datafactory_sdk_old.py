"""azure-mgmt-datafactory 9.3 with its typed models, unmodified, in an environment of its own."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from datafactory_server import ROWS, datafactory_server


def test_the_older_client_does_the_tutorial_with_typed_models(tmp_path: Path, old_python: Path) -> None:
    with datafactory_server(tmp_path / "home") as server:
        script = Path(__file__).parent / "old" / "datafactory_flow.py"
        command = [old_python, script, server.url, server.ca_file, server.token, server.storage_key, server.batch_key]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        assert [each for each in server.answered if each[2] >= 400] == []
    assert json.loads(done.stdout) == {
        "run": ["Succeeded", {"n": "5"}, "Manual", True],
        "activities": [["CopyFile", "Copy", "Succeeded"], ["CountInBatch", "Custom", "Succeeded"]],
        "copy": {"rowsCopied": 2 * ROWS, "filesRead": 2, "filesWritten": 1},
        "custom": [0, {"parts": 2}],
        "secret": ["AzureBlobStorageLinkedService", {"type": "SecureString", "value": "**********"}],
        "kinds": ["CopyActivity", "CustomActivity"],
        "trigger": ["Started", "ScheduleTrigger", "Succeeded", ["Quick"], "Stopped"],
        "unchanged": True,
        "pipelines": ["CopyParquet", "Quick"],
        "aio": "Succeeded",
    }
