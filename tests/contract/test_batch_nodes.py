"""States of nodes that come and go by themselves, and the options of what is asked of them."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime, timedelta

import pytest
from backend_contract import World

from kyanite import limits
from kyanite.batch import processes
from kyanite.batch.model import NodeState, TaskState
from kyanite.batch.nodes import is_empty, needs_preparing, takes_tasks
from kyanite.batch.specs import PoolSpec, StartTask
from kyanite.errors import BatchError


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "KILL_GRACE_SECONDS", 0.3)
    monkeypatch.setattr(limits, "NODE_IDLE_SECONDS", 1.0)
    monkeypatch.setattr(limits, "NODE_LOOK_SECONDS", 0.1)
    home, folder = tmp_path / "home", tmp_path / "seen"
    home.mkdir()
    folder.mkdir()
    made = World(home, folder, "local", PoolSpec)
    made.pool()
    yield made
    made.end()


def state(world, node=0):
    return world.service.nodes("acct", "pool")[node].state


def agent(world):
    return processes.read_small_json(str(world.home / "batch/acct/pool/nodes/tvm-0001/volatile/agent.json"))


def holding(world):
    world.add(f"/bin/sh -c 'echo x >> {world.folder}/began; until [ -e {world.folder}/go ]; do sleep 0.02; done'")
    world.until(lambda: (world.folder / "began").exists())


def test_a_full_disk_makes_nodes_unusable_until_there_is_room(world, monkeypatch):
    world.run("true")
    monkeypatch.setattr(limits, "NODE_DISK_RESERVED_BYTES", 1 << 60)
    world.until(lambda: state(world) is NodeState.UNUSABLE)
    (node,) = world.service.nodes("acct", "pool")
    assert node.errors[0].code == "DiskFull"
    world.add("true", "u")
    for _ in range(5):
        world.service.pump()
    assert world.task("u").state is TaskState.ACTIVE
    monkeypatch.setattr(limits, "NODE_DISK_RESERVED_BYTES", 0)
    assert world.wait("u").exit_code == 0
    assert world.service.nodes("acct", "pool")[0].errors == ()


def test_a_silent_node_is_unknown_and_its_task_runs_again(world, monkeypatch):
    """The agent is stopped, not killed: nothing tells but its missing heartbeat."""
    monkeypatch.setattr(limits, "NODE_HEARTBEAT_SECONDS", 0.1)
    monkeypatch.setattr(limits, "NODE_LOST_SECONDS", 1.0)
    monkeypatch.setattr("kyanite.batch.pools.local.SILENT_SECONDS", 0.2)
    holding(world)
    os.kill(agent(world)["pid"], signal.SIGSTOP)
    states = set()
    world.until(lambda: states.add(state(world)) or (world.folder / "began").read_text() == "x\nx\n")
    assert NodeState.UNKNOWN in states
    (world.folder / "go").touch()
    task = world.wait()
    assert (task.exit_code, task.attempt, task.loss_count, task.requeue_count) == (0, 2, 1, 0)
    world.until(lambda: state(world) is NodeState.IDLE)


def test_an_idle_nodes_death_costs_nothing(world):
    world.run("true")
    who = agent(world)
    os.kill(who["pid"], signal.SIGKILL)
    world.until(lambda: not processes.is_alive(who), pump=False)
    task = world.run("true", "u")
    assert (task.exit_code, task.loss_count) == (0, 0)


def test_disabling_waits_for_what_runs_when_asked_to(world):
    holding(world)
    world.service.disable_scheduling("acct", "pool", "tvm-0001", "taskcompletion")
    world.service.pump()
    assert (world.task().state, state(world)) == (TaskState.RUNNING, NodeState.RUNNING)
    with pytest.raises(BatchError) as caught:
        world.service.disable_scheduling("acct", "pool", "tvm-0001")
    assert caught.value.error_code == "NodeAlreadyInTargetSchedulingState"
    (world.folder / "go").touch()
    assert world.wait().requeue_count == 0
    world.until(lambda: state(world) is NodeState.OFFLINE)


@pytest.mark.parametrize(("option", "expected"), [("requeue", TaskState.ACTIVE), ("terminate", TaskState.COMPLETED)])
def test_disabling_ends_what_runs(world, option, expected):
    holding(world)
    world.service.disable_scheduling("acct", "pool", "tvm-0001", option)
    world.until(lambda: world.task().state is expected)
    assert world.task().requeue_count == (1 if option == "requeue" else 0)


def test_a_node_leaves_only_after_its_files_may_go(world):
    now = [datetime.now(UTC)]
    world.service.close()
    from kyanite.batch.service import BatchService
    from kyanite.secrets import Vault

    world.service = BatchService(
        world.database,
        world.home / "batch",
        Vault(world.home / "secrets.json"),
        None,
        home=world.home,
        clock=lambda: now[0],
    )
    world.run("true", retention=3600)
    world.service.remove_nodes(
        "acct", "pool", {"nodeList": ["tvm-0001"], "nodeDeallocationOption": "retaineddata", "resizeTimeout": "PT2H"}
    )
    for _ in range(5):
        world.service.pump()
    assert state(world) is NodeState.LEAVING_POOL
    now[0] += timedelta(seconds=3700)
    world.until(lambda: world.service.nodes("acct", "pool") == [])


def test_reimaging_removes_the_nodes_files(world):
    world.run("touch kept")
    world.service.reimage_node("acct", "pool", "tvm-0001")
    folder = world.home / "batch/acct/pool/nodes/tvm-0001/workitems/pool"
    world.until(lambda: not folder.exists())
    assert world.run("true", "u").exit_code == 0


def test_operations_on_nodes_that_are_not_there_or_wrong(world):
    for verb in (world.service.reboot_node, world.service.reimage_node, world.service.disable_scheduling):
        with pytest.raises(BatchError) as caught:
            verb("acct", "pool", "tvm-9999", "requeue")
        assert caught.value.error_code == "NodeNotFound"
        with pytest.raises(BatchError) as caught:
            verb("acct", "pool", "tvm-0001", "later")
        assert caught.value.error_code == "InvalidPropertyValue"
    with pytest.raises(BatchError) as caught:
        world.service.reboot_node("acct", "pool", "tvm-0001")  # it was never prepared
    assert caught.value.error_code == "NodeNotReady"


def test_a_change_behind_the_schedulers_back_is_seen(world, monkeypatch):
    """Another thread of this process may change the database without telling; one second is the longest it waits."""
    monkeypatch.setattr(limits, "TURN_SECONDS", 0.2)
    world.run("true")
    world.database.execute("UPDATE batch_nodes SET scheduling = 'disabled'")
    world.add("true", "u")
    for _ in range(5):
        world.service.pump()
    world.database.execute("UPDATE batch_nodes SET scheduling = 'enabled'")
    assert world.wait("u").exit_code == 0


def test_start_tasks_that_are_lost_are_tried_again(world):
    start = f"/bin/sh -c 'echo x >> {world.folder}/starts; until [ -e {world.folder}/go ]; do sleep 0.02; done'"
    world.service.create_pool("acct", PoolSpec("pool", start_task=StartTask(start)))
    world.add("true")
    world.until(lambda: (world.folder / "starts").exists())
    assert state(world) is NodeState.WAITING_FOR_START_TASK
    os.kill(agent(world)["pid"], signal.SIGKILL)
    world.until(lambda: (world.folder / "starts").read_text() == "x\nx\n")
    (world.folder / "go").touch()
    assert world.wait().exit_code == 0


def test_what_is_asked_of_a_node_keeps_tasks_away():
    from dataclasses import replace

    from kyanite.batch.model import Node
    from kyanite.batch.store import NodeRow

    now = datetime(2026, 1, 1, tzinfo=UTC)
    node = Node("a", "p", "n", NodeState.IDLE, now, 2)
    row = NodeRow(node, "v", 0, 0, False, None)
    assert takes_tasks(row, "v")
    assert not needs_preparing(row, "v")
    assert needs_preparing(row, "w")
    for other in (
        replace(row, leaving=True),
        replace(row, wanted="reboot"),
        replace(row, node=replace(node, scheduling=False)),
        replace(row, node=replace(node, state=NodeState.UNKNOWN)),
        replace(row, version="w"),
    ):
        assert not takes_tasks(other, "v")
    assert not needs_preparing(replace(row, node=replace(node, state=NodeState.UNUSABLE)), "w")
    kept = replace(row, option="retaineddata")
    assert (is_empty(kept, now, now), is_empty(kept, now + timedelta(seconds=1), now)) == (True, False)
    assert is_empty(row, now + timedelta(seconds=1), now)
    assert not is_empty(replace(row, node=replace(node, used_slots=1)), None, now)
