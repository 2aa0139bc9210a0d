"""Servers, node agents and tasks are killed at random: each attempt runs at most once, no task is forgotten."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from kyanite import limits
from kyanite.batch import processes
from kyanite.batch.model import TaskState, task_problems
from kyanite.batch.node_link import end_agent
from kyanite.batch.service import BatchService
from kyanite.batch.specs import PoolSpec, TaskSpec
from kyanite.database import Database
from kyanite.secrets import Vault

SERVER = """
import sys, time
from pathlib import Path
from kyanite import limits
from kyanite.batch.service import BatchService
from kyanite.database import Database
from kyanite.secrets import Vault
limits.NODE_LOOK_SECONDS = 0.3
home = Path(sys.argv[1])
service = BatchService(Database(home / "kyanite.db"), home / "batch", Vault(home / "secrets.json"), None, home=home)
service.run_in_background()
print("up", flush=True)
time.sleep(600)
"""
NODES = ("tvm-0001", "tvm-0002")
SECONDS = 35.0


class Storm:
    """A workspace with two nodes of three slots, two servers, and somebody who kills."""

    def __init__(self, home: Path, seed: int) -> None:
        self.home = home
        self.chance = random.Random(seed)
        self.killed: Counter[str] = Counter()
        self.servers: list[subprocess.Popen[str]] = []
        self.database = Database(home / "kyanite.db")
        self.service = BatchService(self.database, home / "batch", Vault(home / "secrets.json"), None, home=home)
        self.service.create_account("acct")
        self.service.create_pool("acct", PoolSpec("pool", target_nodes=len(NODES), slots_per_node=3))
        self.service.ensure_job("acct", "job", "pool")

    def serve(self) -> None:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(self.home)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.servers.append(process)

    def agent(self, node: str) -> int | None:
        who = processes.read_small_json(str(self.volatile(node) / "agent.json"))
        return who["pid"] if who and processes.is_alive(who) else None

    def volatile(self, node: str) -> Path:
        return self.home / f"batch/acct/pool/nodes/{node}/volatile"

    def kill_something(self) -> None:
        due = [kind for kind in ("agent", "task", "server") if not self.killed[kind]]  # each at least once
        kind = due[0] if due else self.chance.choices(["task", "server", "agent"], [6, 3, 2])[0]
        if kind == "server":
            server = self.chance.choice(self.servers)
            self.servers.remove(server)
            server.kill()
            server.wait()
            server.stdout.close()
            self.serve()
        else:
            agent = self.agent(self.chance.choice(NODES))
            if agent is None:
                return
            below = processes.descendants([agent])
            victim = agent if kind == "agent" else self.chance.choice(below) if below else None
            if victim is None:
                return
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
        self.killed[kind] += 1

    def open_tasks(self) -> int:
        rows = self.database.query("SELECT COUNT(*) AS n FROM batch_tasks WHERE state <> 'completed'")
        return int(rows[0]["n"])

    def end(self) -> None:
        for server in self.servers:
            server.kill()
            server.wait()
            server.stdout.close()
        self.service.close()
        for node in NODES:
            if self.volatile(node).is_dir():
                end_agent(self.volatile(node))
        self.database.close()


def weather(storm: Storm, tasks: int, kills: int) -> None:
    names = [f"t{number}" for number in range(tasks)]
    for name in names:
        seconds = round(storm.chance.uniform(0, 0.1), 3)
        command = f"/bin/sh -c 'echo $AZ_BATCH_TASK_ID $KYANITE_ATTEMPT >> {storm.home}/ran; sleep {seconds}; echo end'"
        storm.service.add_task("acct", "job", TaskSpec(name, command, max_retry_count=-1))
    for _ in range(2):
        storm.serve()
    end = time.monotonic() + SECONDS
    while storm.open_tasks():
        assert time.monotonic() < end, f"{storm.open_tasks()} tasks are forgotten after {dict(storm.killed)}"
        if storm.killed.total() < kills:
            storm.kill_something()
        time.sleep(storm.chance.uniform(0.02, 0.08))
    ran = [tuple(line.split()) for line in (storm.home / "ran").read_text().splitlines()]
    assert max(Counter(ran).values()) == 1, "an attempt ran twice"
    launches = Counter(task for task, _attempt in ran)
    lost = 0
    for name in names:
        task = storm.service.get_task("acct", "job", name)
        assert (task.state, task_problems(task)) == (TaskState.COMPLETED, [])
        assert launches[name] <= task.attempt
        assert task.requeue_count == 0
        if task.result == "success":
            assert launches[name] >= 1
            assert storm.service.read_file("acct", "job", name, "stdout.txt") == b"end\n"
        else:
            assert task.failure_info.code == "TaskLostTooOften"
            assert task.loss_count == limits.LOSSES_PER_TASK
            lost += 1
    assert lost <= storm.killed["agent"] / limits.LOSSES_PER_TASK
    assert storm.database.query("SELECT id FROM batch_attempts WHERE ended_at IS NULL") == []
    assert min(storm.killed[kind] for kind in ("task", "server", "agent")) > 0, storm.killed


@pytest.fixture
def storm(tmp_path, request):
    made = Storm(tmp_path, request.param)
    yield made
    made.end()


@pytest.mark.parametrize("storm", [1], indirect=True)
def test_200_tasks_survive_kills_of_everything(storm):
    weather(storm, tasks=200, kills=60)


@pytest.mark.slow
@pytest.mark.parametrize("storm", range(2, 12), indirect=True)
def test_many_storms(storm):
    weather(storm, tasks=200, kills=60)
