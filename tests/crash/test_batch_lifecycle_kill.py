"""The process that takes turns is killed over and over while jobs prepare, release, and come from a schedule."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from kyanite.batch import processes
from kyanite.batch.model import PoolSpec
from kyanite.batch.node_link import end_agent
from kyanite.batch.service import BatchService
from kyanite.database import Database
from kyanite.secrets import Vault

PROGRAM = Path(__file__).with_name("batch_lifecycle_program.py")


def notes(home, word):
    return f"/bin/sh -c 'echo {word} >> {home}/ran'"


def agents(home):
    """The node agents of a workspace that are alive."""
    marks = [processes.read_small_json(str(path)) for path in home.glob("batch/acct/*/nodes/*/volatile/agent.json")]
    return [mark for mark in marks if mark and processes.is_alive(mark)]


@pytest.fixture
def batch(tmp_path):
    """A service with a ready pool of one node; nobody takes turns any more when the test begins."""
    database = Database(tmp_path / "kyanite.db")

    def opened():
        return BatchService(database, tmp_path / "batch", Vault(tmp_path / "secrets.json"), None, home=tmp_path)

    service = opened()
    service.create_account("acct")
    service.create_pool("acct", PoolSpec("pool", slots_per_node=2))
    service.prepare_pool("acct", "pool")
    service.close()
    service = opened()
    yield service
    service.close()
    for volatile in tmp_path.glob("batch/acct/*/nodes/*/volatile"):
        end_agent(volatile)
    database.close()


def prepared_job(service, home):
    body = {
        "id": "prepared",
        "poolInfo": {"poolId": "pool"},
        "jobPreparationTask": {"commandLine": notes(home, "preparation")},
        "jobReleaseTask": {"commandLine": notes(home, "release")},
    }
    service.add_job("acct", body)
    for task in ("one", "two"):
        service.add_task("acct", "prepared", {"id": task, "commandLine": notes(home, task)})
    service.patch_job("acct", "prepared", {"onAllTasksComplete": "terminatejob"})


def scheduled_job(service, home):
    pool = {"vmSize": "local", "targetDedicatedNodes": 1}
    auto = {"autoPoolIdPrefix": "auto", "poolLifetimeOption": "jobschedule", "keepAlive": False, "pool": pool}
    body = {
        "id": "once",
        "schedule": {},
        "jobSpecification": {
            "poolInfo": {"autoPoolSpecification": auto},
            "jobManagerTask": {"id": "manager", "commandLine": notes(home, "manager")},
        },
    }
    service.add_schedule("acct", body)


def test_preparation_release_schedule_and_auto_pool_under_kills(batch, tmp_path):
    prepared_job(batch, tmp_path)
    scheduled_job(batch, tmp_path)
    done = subprocess.run([sys.executable, str(PROGRAM), str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > 10, "hardly anything was killed"

    ran = sorted((tmp_path / "ran").read_text().split())
    assert ran == sorted(["preparation", "one", "two", "release", "manager"])
    jobs = {job.id: (str(job.state), job.terminate_reason) for job in batch.jobs("acct")}
    assert jobs == {"prepared": ("completed", "AllTasksComplete"), "once:job-1": ("completed", "JMComplete")}
    (node,) = batch.prep_release_status("acct", "prepared")
    assert (node.preparation["exitCode"], node.preparation["retryCount"], node.release["exitCode"]) == (0, 0, 0)
    tasks = [task for job in jobs for task in batch.tasks("acct", job)]
    assert [(task.exit_code, task.retry_count, task.requeue_count, task.loss_count) for task in tasks] == [
        (0, 0, 0, 0)
    ] * 3
    assert batch._store.database.query("SELECT * FROM batch_attempts WHERE ended_at IS NULL") == []
    assert [folder.name for folder in (tmp_path / "batch/acct").glob("auto*")] == []
    end = time.monotonic() + 10
    while len(agents(tmp_path)) > 1:
        assert time.monotonic() < end, "an agent of the auto pool is left"
        time.sleep(0.02)
