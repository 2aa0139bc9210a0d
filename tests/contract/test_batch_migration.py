"""A workspace of the version before pools had states, jobs had documents and tasks had dependencies."""

from __future__ import annotations

import json

import pytest

import kyanite.database as databases
from batch_kit import BASE, Clock, FakeNodes
from kyanite.batch import wire
from kyanite.batch.service import BatchService
from kyanite.database import Database
from kyanite.secrets import Vault

AT = "2026-01-01T00:00:00.000000Z"
ARM = {
    "vmSize": "STANDARD_F2S_V2",
    "taskSlotsPerNode": 2,
    "deploymentConfiguration": {"virtualMachineConfiguration": {"nodeAgentSkuId": "batch.node.ubuntu 22.04"}},
    "scaleSettings": {"fixedScale": {"targetDedicatedNodes": 1}},
}
POOL = {
    "id": "Pool1",
    "targetNodes": 1,
    "slotsPerNode": 2,
    "pack": False,
    "vmSize": "STANDARD_F2S_V2",
    "displayName": None,
    "startTask": None,
    "windows": False,
    "document": ARM,
    "backend": "local",
}
TASK = {
    "commandLine": "exit 0",
    "resourceFiles": [{"filePath": "a.json", "mode": 0o770, "keep": False, "text": "{}"}],
    "environment": {"A": "1"},
    "maxWallClock": None,
    "retention": 60.0,
    "requiredSlots": 1,
    "maxTaskRetryCount": 2,
    "displayName": None,
}


@pytest.fixture
def old_home(tmp_path, monkeypatch):
    scripts = databases._migrations()
    monkeypatch.setattr(databases, "_migrations", lambda: [script for script in scripts if script[0] <= 3])
    database = Database(tmp_path / "kyanite.db")
    monkeypatch.setattr(databases, "_migrations", lambda: scripts)
    run = database.execute
    run("INSERT INTO batch_accounts VALUES ('acct', 'Acct', 'local')")
    run("INSERT INTO batch_pools VALUES ('acct', 'pool1', ?, 'v', ?)", (json.dumps(POOL), AT))
    run(
        "INSERT INTO batch_nodes (account, pool, number, id, state, since) "
        "VALUES ('acct', 'pool1', 0, 'tvm-0001', 'creating', ?)",
        (AT,),
    )
    run(
        "INSERT INTO batch_jobs (account, key, id, pool, pool_id, priority, max_parallel, environment, created_at) "
        """VALUES ('acct', 'adfv2-pool1', 'adfv2-Pool1', 'pool1', 'Pool1', 7, -1, '{"B": "2"}', ?)""",
        (AT,),
    )
    task = (
        "INSERT INTO batch_tasks (account, job, key, id, pool, spec, slots, state, state_since, created_at, attempt, "
        "start_time, end_time, exit_code, result) "
        "VALUES ('acct', 'adfv2-pool1', ?, ?, 'pool1', ?, 1, ?, ?, ?, ?, ?, ?, ?, ?)"
    )
    run(task, ("done", "Done", json.dumps(TASK), "completed", AT, AT, 1, AT, AT, 0, "success"))
    run(task, ("waits", "waits", json.dumps(TASK), "active", AT, AT, 0, None, None, None, None))
    assert database.query("PRAGMA user_version")[0][0] == 3
    database.close()
    return tmp_path


def test_everything_is_still_there_and_goes_on(old_home):
    clock = Clock()
    database = Database(old_home / "kyanite.db")
    service = BatchService(database, old_home / "batch", Vault(), None, home=old_home, clock=clock)
    service._backends["local"] = nodes = FakeNodes(clock, old_home / "batch")
    try:
        pool = wire.pool_json(service.get_pool("acct", "pool1"), BASE)
        assert (pool["id"], pool["state"], pool["allocationState"]) == ("Pool1", "active", "steady")
        assert (pool["targetDedicatedNodes"], pool["currentDedicatedNodes"], pool["taskSlotsPerNode"]) == (1, 1, 2)
        assert pool["virtualMachineConfiguration"] == {"nodeAgentSKUId": "batch.node.ubuntu 22.04"}
        assert not {"scaleSettings", "deploymentConfiguration"} & set(pool)
        job = wire.job_json(service.get_job("acct", "ADFV2-pool1"), BASE)
        assert (job["id"], job["state"], job["priority"]) == ("adfv2-Pool1", "active", 7)
        assert job["commonEnvironmentSettings"] == [{"name": "B", "value": "2"}]
        done = wire.task_json(service.get_task("acct", "adfv2-pool1", "done"), BASE)
        assert (done["id"], done["executionInfo"]["result"]) == ("Done", "success")
        assert done["environmentSettings"] == [{"name": "A", "value": "1"}]
        for _ in range(200):
            service.pump()
            if service.get_task("acct", "adfv2-pool1", "waits").end_time:
                break
        launch = next(item for item in nodes.launched.values() if item.task_id == "waits")
        assert launch.environment == {"B": "2", "A": "1"}
        assert launch.resource_files[0].content == b"{}"
        service.patch_job("acct", "adfv2-pool1", {"priority": 9})
        service.patch_pool("acct", "pool1", {"metadata": [{"name": "m", "value": "1"}]})
        assert service.get_pool("acct", "pool1").spec.slots_per_node == 2
        service.delete_job("acct", "adfv2-pool1")
        for _ in range(50):
            service._scheduler.notify()
            service.pump()
        assert service.jobs("acct") == []
    finally:
        service.close()
        database.close()


def test_the_schema_is_the_same_however_it_came_about(old_home, tmp_path_factory):
    shape = "SELECT name, sql FROM sqlite_master WHERE name LIKE 'batch%' ORDER BY name"
    migrated, fresh = Database(old_home / "kyanite.db"), Database(None)
    try:
        assert [tuple(row) for row in migrated.query(shape)] == [tuple(row) for row in fresh.query(shape)]
    finally:
        migrated.close()
        fresh.close()
