"""Servers and runners are killed; every task runs exactly once, none is lost, none is forgotten."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from kyanite import limits
from kyanite.batch import processes
from kyanite.batch.model import PoolSpec, ResourceFile, TaskSpec, TaskState, task_problems
from kyanite.batch.node_link import end_agent
from kyanite.batch.service import BatchService
from kyanite.database import Database
from kyanite.secrets import Vault

# A server that pumps until it is killed, or that sends itself SIGNAL when it comes to its AT-th step. Steps are the two
# sides of each change of the database and of each launch.
SERVER = """
import os, signal, sys, time
from pathlib import Path
from kyanite import limits
from kyanite.batch.pools.local import LocalNodes
from kyanite.batch.service import BatchService
from kyanite.batch.store import Store
from kyanite.database import Database
from kyanite.secrets import Vault
limits.NODE_LOOK_SECONDS = 0.3
home, at, number = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
steps = 0
def step():
    global steps
    steps += 1
    if steps == at:
        os.kill(os.getpid(), number)
def watched(owner, name):
    original = getattr(owner, name)
    def call(*arguments, **named):
        step()
        answer = original(*arguments, **named)
        step()
        return answer
    setattr(owner, name, call)
watched(Store, "change")
watched(LocalNodes, "launch")
service = BatchService(Database(home / "kyanite.db"), home / "batch", Vault(home / "secrets.json"), None, home=home)
print("up", flush=True)
while True:
    service.pump()
    if at < 0 and all(task.end_time for task in service.tasks("acct", "job")):
        print(steps, flush=True)
        at = 0
    time.sleep(0.002)
"""


def open_service(database, home):
    return BatchService(database, home / "batch", Vault(home / "secrets.json"), None, home=home)


@dataclass
class Workspace:
    home: Path
    database: Database
    service: BatchService
    servers: list

    def server(self, at=0, number=signal.SIGKILL):
        command = [sys.executable, "-c", SERVER, str(self.home), str(at), str(int(number))]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.servers.append(process)
        return process

    def prepare(self):
        """Nodes ready, and this process has no ear at them any more: what is added waits for a server."""
        self.service.prepare_pool("acct", "pool")
        self.service.close()
        self.service = open_service(self.database, self.home)

    def add(self, command, name="t", **changes):
        self.service.add_task("acct", "job", TaskSpec(name, command, **changes))

    def task(self, name="t"):
        task = self.service.get_task("acct", "job", name)
        assert task_problems(task) == []
        return task

    def until(self, condition, seconds=30, pump=True):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "it never happened"
            if pump:
                self.service.pump()
            time.sleep(0.005)

    def finish(self, names, seconds=60):
        done = lambda: all(self.task(name).state is TaskState.COMPLETED for name in names)  # noqa: E731
        self.until(done, seconds)
        assert self.database.query("SELECT * FROM batch_attempts WHERE ended_at IS NULL") == []

    def folder(self, name="t"):
        return self.home / f"batch/acct/pool/nodes/tvm-0001/workitems/job/job-1/{name}"

    def claims(self):
        for path in (self.home / "batch/acct/pool/nodes/tvm-0001/volatile/attempts").glob("*/claim"):
            yield json.loads(path.read_text())


@pytest.fixture
def make(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "KILL_GRACE_SECONDS", 0.3)
    monkeypatch.setattr(limits, "NODE_LOOK_SECONDS", 0.3)
    made = []

    def build(name="ws", slots=4):
        home = tmp_path / name
        home.mkdir()
        database = Database(home / "kyanite.db")
        service = open_service(database, home)
        service.create_account("acct")
        service.create_pool("acct", PoolSpec("pool", slots_per_node=slots))
        service.ensure_job("acct", "job", "pool")
        made.append(Workspace(home, database, service, []))
        return made[-1]

    yield build
    for workspace in made:
        for process in workspace.servers:
            process.kill()
            process.wait()
            process.stdout.close()
        workspace.service.close()
        end_agent(workspace.home / "batch/acct/pool/nodes/tvm-0001/volatile")
        workspace.database.close()


def counting(home, seconds):
    return f"/bin/sh -c 'echo $AZ_BATCH_TASK_ID >> {home}/ran; sleep {seconds}; echo end'"


def storm(workspace, tasks, kills, seed):
    """Kill servers at random moments while they work through the tasks, then finish in this process."""
    chance = random.Random(seed)
    names = [f"t{number}" for number in range(tasks)]
    for name in names:
        workspace.add(counting(workspace.home, round(chance.uniform(0, 0.2), 2)), name)
    for _ in range(kills):
        server = workspace.server()
        assert server.stdout.readline() == "up\n"
        time.sleep(chance.uniform(0, 0.12))
        server.kill()
        server.wait()
    workspace.finish(names)
    ran = (workspace.home / "ran").read_text().split()
    assert sorted(ran) == sorted(names), f"seed {seed}"
    for name in names:
        task = workspace.task(name)
        assert (task.exit_code, task.loss_count, task.retry_count, task.requeue_count) == (0, 0, 0, 0)
        assert (workspace.folder(name) / "stdout.txt").read_text() == "end\n"


def test_killed_servers_lose_no_task_and_double_none(make):
    storm(make(), tasks=20, kills=8, seed=20)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_killed_servers_many_times(make, seed):
    storm(make(), tasks=60, kills=40, seed=seed)


def count_steps(make):
    workspace = make("count")
    workspace.add(counting(workspace.home, 0))
    server = workspace.server(at=-1)
    assert server.stdout.readline() == "up\n"
    steps = int(server.stdout.readline())
    server.kill()
    return steps


def kill_at(make, at):
    workspace = make(f"at{at}")
    workspace.add(counting(workspace.home, 0.05))
    server = workspace.server(at=at)
    server.wait(timeout=30)
    assert server.returncode == -signal.SIGKILL
    workspace.finish(["t"])
    task = workspace.task()
    assert (workspace.home / "ran").read_text() == "t\n", f"killed at step {at}"
    assert (task.exit_code, task.loss_count) == (0, 0), f"killed at step {at}"


def test_a_server_killed_on_either_side_of_a_step(make):
    """Every third step here, all of them in the slow run."""
    steps = count_steps(make)
    assert steps >= 16
    for at in range(1, steps, 3):
        kill_at(make, at)


@pytest.mark.slow
def test_a_server_killed_on_either_side_of_every_step(make):
    for at in range(1, count_steps(make) + 1):
        kill_at(make, at)


def test_running_tasks_are_adopted_by_the_next_server(make):
    workspace = make(slots=20)
    names = [f"t{number}" for number in range(20)]
    for number, name in enumerate(names):
        wait = "until [ -e $AZ_BATCH_NODE_SHARED_DIR/go ]; do sleep 0.05; done"
        workspace.add(f"/bin/sh -c 'echo begin; {wait}; echo end; exit {number}'", name)
    server = workspace.server()
    begun = lambda name: (workspace.folder(name) / "stdout.txt").exists()  # noqa: E731
    workspace.until(lambda: all(begun(name) for name in names), pump=False)
    server.kill()
    server.wait()
    workspace.service.pump()
    assert {workspace.task(name).state for name in names} == {TaskState.RUNNING}
    (workspace.home / "batch/acct/pool/nodes/tvm-0001/shared/go").touch()
    workspace.finish(names)
    for number, name in enumerate(names):
        task = workspace.task(name)
        assert (task.exit_code, task.attempt, task.loss_count) == (number, 1, 0)
        assert (workspace.folder(name) / "stdout.txt").read_text() == "begin\nend\n"


def test_a_stopped_server_that_comes_back_can_do_nothing(make, monkeypatch):
    """It stops between intent and launch, another fences its attempt; its own runner may then not run."""
    monkeypatch.setattr(limits, "TASK_PREPARING_SECONDS", 0.2)
    workspace = make()
    workspace.prepare()
    workspace.add(counting(workspace.home, 0))
    server = workspace.server(at=5, number=signal.SIGSTOP)  # move_task, open_attempt: 4 sides; then launch
    workspace.until(lambda: os.waitid(os.P_PID, server.pid, os.WSTOPPED | os.WNOWAIT | os.WNOHANG), pump=False)
    assert workspace.task().attempt == 1
    workspace.finish(["t"])
    assert workspace.task().attempt == 2
    server.send_signal(signal.SIGCONT)
    attempts = workspace.home / "batch/acct/pool/nodes/tvm-0001/volatile/attempts"
    first, second = sorted(attempts.glob("*/claim"))[-2:]
    assert [json.loads(claim.read_text())["role"] for claim in (first, second)] == ["fence", "runner"]
    time.sleep(0.3)  # the stopped one gives its order to the node, which refuses it
    assert (workspace.home / "ran").read_text() == "t\n"
    assert (workspace.task().exit_code, workspace.task().loss_count) == (0, 0)


def test_a_fence_left_by_a_crashed_recovery_is_not_waited_for(make):
    """Killed after it had fenced and before it had recorded that: the fence must not pass for a living runner."""
    workspace = make()
    workspace.prepare()
    workspace.add(counting(workspace.home, 0))
    server = workspace.server(at=5)
    server.wait(timeout=30)
    (attempt,) = workspace.database.query("SELECT * FROM batch_attempts WHERE ended_at IS NULL")
    folder = workspace.home / f"batch/acct/pool/nodes/tvm-0001/volatile/attempts/{attempt['id']}"
    folder.mkdir(parents=True, exist_ok=True)
    assert processes.take_claim(str(folder), {"role": "fence", "pid": server.pid, "start": "1", "boot": "x"})
    workspace.finish(["t"])
    assert (workspace.home / "ran").read_text() == "t\n"
    assert (workspace.task().attempt, workspace.task().loss_count) == (2, 0)


ORPHAN = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open('orphan.pid', 'w').write(str(os.getpid()))
        time.sleep(120)
    os._exit(0)
print('x', flush=True)
time.sleep(120)
"""


def agent_of(workspace):
    who = processes.read_small_json(str(workspace.home / "batch/acct/pool/nodes/tvm-0001/volatile/agent.json"))
    return who["pid"] if who and processes.is_alive(who) else None


@pytest.mark.parametrize("adopted", [False, True])
def test_a_lost_runner_is_counted_and_its_task_runs_again_until_it_is_blamed(make, adopted):
    workspace = make()
    orphan = workspace.folder() / "wd/orphan.pid"
    files = (ResourceFile("orphan.py", content=ORPHAN.encode()),)
    workspace.add(f"{sys.executable} orphan.py", resource_files=files, max_retry_count=5)
    for loss in range(1, limits.LOSSES_PER_TASK + 1):
        server = workspace.server() if adopted else None
        workspace.until(lambda: orphan.exists() and orphan.read_text() and agent_of(workspace), pump=not adopted)
        pid, process = int(orphan.read_text()), agent_of(workspace)
        orphan.unlink()
        if server is not None:
            server.kill()
            server.wait()
        os.kill(process, signal.SIGKILL)
        workspace.until(lambda loss=loss: workspace.task().loss_count == loss)
        assert processes.process_start(pid) is None, "what the task had started outlived its runner"
    task = workspace.task()
    assert (task.state, task.failure_info.code) == (TaskState.COMPLETED, "TaskLostTooOften")
    assert (task.retry_count, task.requeue_count, task.attempt) == (0, 0, limits.LOSSES_PER_TASK)


def test_terminating_a_task_whose_server_is_gone(make):
    workspace = make()
    workspace.add("sleep 120")
    server = workspace.server()
    workspace.until(lambda: (workspace.folder() / "stdout.txt").exists(), pump=False)
    server.kill()
    server.wait()
    workspace.service.terminate_task("acct", "job", "t")
    workspace.finish(["t"])
    assert workspace.task().failure_info.code == "TaskEnded"
