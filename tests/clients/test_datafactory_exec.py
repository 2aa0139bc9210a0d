"""Programs written for Azure, unmodified, under `kyanite exec`: DefaultAzureCredential; Airflow's operator."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
AIRFLOW = ROOT / "bench" / ".venv" / "clients-airflow" / "bin" / "python"
ACTIVITY = {"name": "w", "type": "Wait", "typeProperties": {"waitTimeInSeconds": 1}}
PROGRAM = f"""
import time
from azure.identity import DefaultAzureCredential
from azure.mgmt.datafactory import DataFactoryManagementClient

client = DataFactoryManagementClient(DefaultAzureCredential(), "11111111-2222-3333-4444-555555555555")
client.factories.create_or_update("rg", "airline", {{"location": "westeurope"}})
document = {{"properties": {{"activities": [{ACTIVITY}], "parameters": {{"n": {{"type": "Int", "defaultValue": 1}}}}}}}}
client.pipelines.create_or_update("rg", "airline", "Hello", document)
run = client.pipelines.create_run("rg", "airline", "Hello")
end = time.monotonic() + 60
status = ""
while status not in ("Succeeded", "Failed") and time.monotonic() < end:
    time.sleep(0.1)
    status = client.pipeline_runs.get("rg", "airline", run.run_id).status
print(status)
"""


def executed(folder: Path, *command: str | Path) -> str:
    """The last line that a program printed under `kyanite exec`."""
    program = [sys.executable, "-m", "kyanite"]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "AIRFLOW_HOME": str(folder / "airflow"),
        "KYANITE_HOME": str(folder / "home"),
    }
    done = subprocess.run(
        [*program, "exec", "--", *map(str, command)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout.splitlines()[-1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    command = [sys.executable, "-m", "kyanite", "--home", str(tmp_path / "home"), "init"]
    subprocess.run(command, check=True, capture_output=True)
    return tmp_path


def test_a_program_with_the_default_credential(folder: Path) -> None:
    assert executed(folder, sys.executable, "-c", PROGRAM) == "Succeeded"


@pytest.mark.airflow
def test_airflows_operator_runs_a_pipeline(folder: Path) -> None:
    if not AIRFLOW.exists():
        pytest.fail("Airflow is missing: python3 bench/environment.py clients-airflow")
    assert executed(folder, sys.executable, "-c", PROGRAM) == "Succeeded"
    told = json.loads(executed(folder, AIRFLOW, Path(__file__).parent / "airflow_datafactory.py"))
    assert told == {"status": "Succeeded", "parameters": {"n": "5"}}
