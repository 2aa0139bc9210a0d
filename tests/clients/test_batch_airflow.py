"""Airflow's AzureBatchOperator against this server; its environment is large: marker `airflow`."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from batch_server import ACCOUNT, batch_server

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / "bench" / ".venv" / "clients-airflow" / "bin" / "python"


@pytest.mark.airflow
def test_the_operator_runs_a_task(tmp_path):
    if not PYTHON.exists():
        pytest.fail("Airflow is missing: python3 bench/environment.py clients-airflow")
    with batch_server(tmp_path / "home") as server:
        command = [PYTHON, Path(__file__).parent / "airflow_operator.py", server.url, ACCOUNT, server.key]
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "AIRFLOW_HOME": str(tmp_path / "airflow")}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr[-4000:]
        assert json.loads(done.stdout.splitlines()[-1]) == {"stdout": "hello from airflow\n"}
