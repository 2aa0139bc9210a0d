"""What every pool backend must do, seen from the service: one class of cases, a fixture `world` for each backend.

A backend's test file makes a `World` and subclasses `BackendContract`. Cases that a backend cannot hold are named in
its class attribute `cannot` (name of what is needed -> why); `needs` skips them with that reason.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from kyanite.batch.model import AllocationState, NodeState, Task, TaskState, task_problems
from kyanite.batch.pools import BACKENDS, PoolBackend
from kyanite.batch.service import BatchService
from kyanite.batch.specs import PoolSpec, ResourceFile, StartTask, TaskSpec
from kyanite.database import Database
from kyanite.errors import BatchError
from kyanite.secrets import Vault

# Another process that takes turns on a workspace until it is killed.
SERVER = """
import sys, time
from pathlib import Path
from kyanite.runtime.workspace import open_workspace
workspace = open_workspace(Path(sys.argv[1]))
workspace.batch.run_in_background()
print("up", flush=True)
time.sleep(600)
"""


@dataclass
class World:
    """A workspace at `home` whose pools are of the backend under test; `spec` makes their PoolSpec.

    `folder` is a place that commands of this backend can write to and this process can read.
    """

    home: Path
    folder: Path
    backend: str
    spec: Callable[..., PoolSpec]
    seconds: float = 60.0
    patience: float = 20.0  # how long what still runs may take to end when the world does
    servers: list[subprocess.Popen[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.open()

    def open(self) -> None:
        """The service in this process."""
        self.database = Database(self.home / "kyanite.db")
        self.service = BatchService(
            self.database, self.home / "batch", Vault(self.home / "secrets.json"), None, home=self.home
        )
        self.service.create_account("acct")

    def close(self) -> None:
        """Let go of the service; what runs goes on."""
        self.service.close()
        self.database.close()

    def pool(self, name: str = "pool", **changes: Any) -> None:
        """A pool with a job of the same name."""
        self.service.create_pool("acct", self.spec(name, **changes))
        self.service.ensure_job("acct", name, name)

    def add(self, command: str, task: str = "t", job: str = "pool", **changes: Any) -> None:
        """A task."""
        self.service.add_task("acct", job, TaskSpec(task, command, **changes))

    def wait(self, task: str = "t", job: str = "pool") -> Task:
        """The completed task."""
        found = self.service.wait_task("acct", job, task, timeout=self.seconds)
        assert task_problems(found) == []
        return found

    def run(self, command: str, task: str = "t", job: str = "pool", **changes: Any) -> Task:
        """A task from end to end."""
        self.add(command, task, job, **changes)
        return self.wait(task, job)

    def task(self, task: str = "t", job: str = "pool") -> Task:
        """A task as it is now."""
        return self.service.get_task("acct", job, task)

    def text(self, path: str = "stdout.txt", task: str = "t", job: str = "pool") -> str:
        """A file of a task."""
        return self.service.read_file("acct", job, task, path).decode()

    def until(self, condition: Callable[[], Any], pump: bool = True) -> Any:
        """Take turns until the condition holds."""
        end = time.monotonic() + self.seconds
        while not (answer := condition()):
            assert time.monotonic() < end, "it never happened"
            if pump:
                self.service.pump()
            time.sleep(0.02)
        return answer

    def server(self) -> subprocess.Popen[str]:
        """Another process that takes turns."""
        process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(self.home)], stdout=subprocess.PIPE, text=True, env=dict(os.environ)
        )
        self.servers.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        return process

    def end(self) -> None:
        """Nothing of the world is left running, not even after a failed case."""
        for process in self.servers:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        for job in self.service.jobs("acct"):
            for task in self.service.tasks("acct", job.id):
                if task.state is not TaskState.COMPLETED:
                    self.service.terminate_task("acct", job.id, task.id)
        end = time.monotonic() + self.patience
        while self.database.query("SELECT 1 FROM batch_attempts WHERE ended_at IS NULL") and time.monotonic() < end:
            self.service.pump()
            time.sleep(0.02)
        self.close()


def waiting(world: World, name: str = "go") -> str:
    """A command that waits for a file in the world's folder."""
    return f"until [ -e {world.folder}/{name} ]; do sleep 0.05; done"


class BackendContract:
    """The cases."""

    @pytest.fixture(autouse=True)
    def _needs(self, request: pytest.FixtureRequest, world: World) -> None:
        marker = request.node.get_closest_marker("needs")
        module, _, name = BACKENDS[world.backend].partition(":")
        backend: type[PoolBackend] = getattr(__import__(module, fromlist=[name]), name)
        reasons = getattr(backend, "cannot", {})
        for need in marker.args if marker else ():
            if need in reasons:
                pytest.skip(f"{world.backend}: {reasons[need]}")

    # ---- commands

    @pytest.mark.parametrize(("code", "result"), [(0, "success"), (3, "failure"), (255, "failure")])
    def test_exit_codes(self, world: World, code: int, result: str) -> None:
        world.pool()
        task = world.run(f"/bin/sh -c 'exit {code}'")
        assert (task.exit_code, task.result, task.attempt) == (code, result, 1)
        assert (task.failure_info is None) == (code == 0)

    def test_output_is_kept_apart_and_read_by_range(self, world: World) -> None:
        world.pool()
        world.run("/bin/sh -c 'echo out; echo err >&2; mkdir -p sub; echo deep > sub/file'")
        assert (world.text(), world.text("stderr.txt"), world.text("wd/sub/file")) == ("out\n", "err\n", "deep\n")
        assert world.service.read_file("acct", "pool", "t", "stdout.txt", 1, 1) == b"u"
        names = {entry.name for entry in world.service.list_files("acct", "pool", "t")}
        assert {"stdout.txt", "stderr.txt", "wd", "wd/sub", "wd/sub/file"} <= names
        with pytest.raises(BatchError) as caught:
            world.text("wd/none")
        assert caught.value.error_code == "FileNotFound"

    def test_environment(self, world: World) -> None:
        world.pool()
        world.run("/bin/sh -c 'pwd; env'", environment={"MINE": "a b=c'\"", "AZ_BATCH_TASK_ID": "forged"})
        seen = dict(line.split("=", 1) for line in world.text().splitlines() if "=" in line)
        assert (seen["MINE"], seen["AZ_BATCH_TASK_ID"].lower() != "forged") == ("a b=c'\"", True)
        for name in ("POOL_ID", "NODE_ID", "JOB_ID", "TASK_DIR", "NODE_ROOT_DIR", "NODE_SHARED_DIR", "ACCOUNT_NAME"):
            assert seen[f"AZ_BATCH_{name}"]
        assert seen["AZ_BATCH_TASK_WORKING_DIR"] == seen["AZ_BATCH_TASK_DIR"] + "/wd"
        assert world.text().splitlines()[0] == seen["AZ_BATCH_TASK_WORKING_DIR"]

    def test_files_are_there_before_the_command(self, world: World) -> None:
        world.pool()
        files = (ResourceFile("in/one.txt", content=b"one"), ResourceFile("run.sh", content=b"cat in/one.txt"))
        assert world.run("/bin/sh run.sh", resource_files=files).exit_code == 0
        assert world.text() == "one"

    def test_a_missing_program_and_a_missing_file_are_not_retried(self, world: World) -> None:
        world.pool()
        task = world.run("no-such-program", max_retry_count=3)
        assert (task.exit_code, task.retry_count) == (None, 0)
        assert task.failure_info is not None
        assert task.failure_info.code == "CommandProgramNotFound"
        files = (ResourceFile("x", source_path="/no/such/file"),)
        task = world.run("true", "u", resource_files=files, max_retry_count=3)
        assert task.failure_info is not None
        assert (task.exit_code, task.retry_count, task.failure_info.code) == (None, 0, "BlobNotFound")

    def test_a_failing_command_is_retried_as_often_as_asked(self, world: World) -> None:
        world.pool()
        task = world.run(f"/bin/sh -c 'echo x >> {world.folder}/tries; exit 1'", max_retry_count=2)
        assert (task.retry_count, task.loss_count, task.attempt) == (2, 0, 3)
        assert (world.folder / "tries").read_text() == "x\n" * 3

    # ---- ending

    def test_terminating_ends_the_whole_tree(self, world: World) -> None:
        world.pool()
        beat = "while true; do date +%s%N > {0}/{1}; sleep 0.05; done"
        daemon = f"setsid sh -c '{beat.format(world.folder, 'daemon')}' &"
        files = (ResourceFile("run.sh", content=f"{daemon}\n{beat.format(world.folder, 'main')}".encode()),)
        world.add("/bin/sh run.sh", resource_files=files)
        both = lambda: all((world.folder / name).exists() for name in ("daemon", "main"))  # noqa: E731
        world.until(both)
        world.service.terminate_task("acct", "pool", "t")
        task = world.wait()
        assert task.failure_info is not None
        assert (task.result, task.failure_info.code) == ("failure", "TaskEnded")
        last = [(world.folder / name).read_text() for name in ("daemon", "main")]
        time.sleep(0.3)
        assert [(world.folder / name).read_text() for name in ("daemon", "main")] == last

    def test_the_wall_clock_limit(self, world: World) -> None:
        world.pool()
        began = time.monotonic()
        task = world.run("sleep 600", max_wall_clock=1, max_retry_count=5)
        assert task.failure_info is not None
        assert (task.failure_info.code, task.retry_count, task.attempt) == ("TaskEnded", 0, 1)
        assert time.monotonic() - began < world.seconds

    def test_a_waiting_task_is_terminated_and_never_runs(self, world: World) -> None:
        world.pool(target_nodes=0)
        world.add(f"touch {world.folder}/ran")
        world.service.terminate_task("acct", "pool", "t")
        assert world.wait().result == "failure"
        assert not (world.folder / "ran").exists()

    # ---- losing processes

    @pytest.mark.needs("node_lost")
    def test_a_lost_node_is_noticed_and_its_task_runs_again(self, world: World) -> None:
        world.pool()
        world.add(f"/bin/sh -c 'echo x >> {world.folder}/began; {waiting(world)}'")
        world.until(lambda: (world.folder / "began").exists())
        self.kill_node(world)
        world.until(lambda: (world.folder / "began").read_text() == "x\nx\n")
        (world.folder / "go").touch()
        task = world.wait()
        assert (task.exit_code, task.attempt, task.loss_count, task.retry_count) == (0, 2, 1, 0)
        assert task.requeue_count == 0

    def kill_node(self, world: World) -> None:
        """End the node of the only running task as a crash would."""
        raise NotImplementedError

    def test_a_killed_server_disturbs_nothing(self, world: World) -> None:
        """Running tasks go on, the next process adopts them and finds their ends; nothing runs twice."""
        world.pool(slots_per_node=3)
        for number in range(3):
            script = f"echo $AZ_BATCH_TASK_ID >> {world.folder}/ran; {waiting(world)}; echo end; exit {number}"
            world.add(f"/bin/sh -c '{script}'", f"t{number}")
        server = world.server()
        ran = world.folder / "ran"
        world.until(lambda: ran.exists() and len(ran.read_text().split()) == 3, pump=False)
        os.kill(server.pid, signal.SIGKILL)
        server.wait()
        world.service.pump()
        assert {world.task(f"t{number}").state for number in range(3)} == {TaskState.RUNNING}
        (world.folder / "go").touch()
        ends = [world.wait(f"t{number}") for number in range(3)]
        assert [(task.exit_code, task.attempt, task.loss_count) for task in ends] == [(n, 1, 0) for n in range(3)]
        assert sorted(ran.read_text().split()) == ["t0", "t1", "t2"]
        assert [world.text(task=f"t{number}") for number in range(3)] == ["end\n"] * 3

    def test_an_end_that_nobody_saw_is_found(self, world: World) -> None:
        world.pool()
        world.add(
            f"/bin/sh -c 'touch {world.folder}/began; {waiting(world)}; echo late; touch {world.folder}/over; exit 4'"
        )
        world.until(lambda: (world.folder / "began").exists())
        world.close()
        (world.folder / "go").touch()
        world.until(lambda: (world.folder / "over").exists(), pump=False)
        world.open()
        task = world.wait()
        assert (task.exit_code, task.attempt, world.text()) == (4, 1, "late\n")

    # ---- start tasks

    def test_a_start_task_runs_once_and_first(self, world: World) -> None:
        start = StartTask(f"/bin/sh -c 'echo start >> {world.folder}/order'")
        world.pool(start_task=start)
        for number in range(2):
            world.run(f"/bin/sh -c 'echo task >> {world.folder}/order'", f"t{number}")
        assert (world.folder / "order").read_text().split() == ["start", "task", "task"]
        (node,) = world.service.nodes("acct", "pool")
        assert node.start_task is not None
        assert (node.start_task.state, node.start_task.exit_code) == ("completed", 0)

    def test_a_failing_start_task_keeps_tasks_away_and_says_why(self, world: World) -> None:
        world.pool(start_task=StartTask("/bin/sh -c 'exit 7'"))
        world.add(f"touch {world.folder}/ran")
        shown = lambda: world.service.nodes("acct", "pool")[0].state is NodeState.START_TASK_FAILED  # noqa: E731
        world.until(shown)
        (node,) = world.service.nodes("acct", "pool")
        assert node.start_task is not None
        assert (node.start_task.exit_code, node.start_task.result) == (7, "failure")
        with pytest.raises(BatchError, match="exit code 7"):
            world.wait()
        assert not (world.folder / "ran").exists()

    # ---- pools

    def test_two_pools_do_not_touch_each_other(self, world: World) -> None:
        world.pool("one")
        world.pool("two")
        world.add(f"/bin/sh -c '{waiting(world)}; echo $AZ_BATCH_POOL_ID'", "t", "one")
        assert world.run("/bin/sh -c 'echo $AZ_BATCH_POOL_ID'", "t", "two").exit_code == 0
        assert world.task("t", "one").state is not TaskState.COMPLETED
        (world.folder / "go").touch()
        assert world.wait("t", "one").exit_code == 0
        assert (world.text(job="one"), world.text(job="two")) == ("one\n", "two\n")

    def test_slots_bound_what_runs_at_once(self, world: World) -> None:
        world.pool(slots_per_node=2)
        for number in range(3):
            world.add(f"/bin/sh -c 'touch {world.folder}/began{number}; {waiting(world)}'", f"t{number}")
        began = lambda: len(list(world.folder.glob("began*")))  # noqa: E731
        world.until(lambda: began() == 2)
        for _ in range(10):
            world.service.pump()
            time.sleep(0.02)
        assert began() == 2
        assert [node.used_slots for node in world.service.nodes("acct", "pool")] == [2]
        (world.folder / "go").touch()
        assert [world.wait(f"t{number}").exit_code for number in range(3)] == [0] * 3

    def test_a_wide_task_waits_for_its_slots(self, world: World) -> None:
        world.pool(slots_per_node=2)
        world.add(f"/bin/sh -c '{waiting(world)}'", "narrow")
        world.until(lambda: world.task("narrow").state is TaskState.RUNNING)
        world.add("true", "wide", required_slots=2)
        world.service.pump()
        assert world.task("wide").state is TaskState.ACTIVE
        (world.folder / "go").touch()
        assert (world.wait("narrow").exit_code, world.wait("wide").exit_code) == (0, 0)

    def test_resizing_adds_and_removes_nodes(self, world: World) -> None:
        world.pool(target_nodes=1)
        world.run("true")
        world.service.resize_pool("acct", "pool", {"targetDedicatedNodes": 2})
        for number in range(2):
            world.add(f"/bin/sh -c 'touch {world.folder}/began{number}; {waiting(world)}'", f"n{number}")
        world.until(lambda: len(list(world.folder.glob("began*"))) == 2)
        world.service.resize_pool(
            "acct", "pool", {"targetDedicatedNodes": 1, "nodeDeallocationOption": "taskcompletion"}
        )
        world.service.pump()
        assert [world.task(f"n{number}").state for number in range(2)] == [TaskState.RUNNING] * 2
        (world.folder / "go").touch()
        assert [world.wait(f"n{number}").exit_code for number in range(2)] == [0, 0]
        world.until(lambda: len(world.service.nodes("acct", "pool")) == 1)

    def test_a_removed_nodes_task_runs_again_elsewhere(self, world: World) -> None:
        world.pool(target_nodes=1)
        world.add(f"/bin/sh -c 'echo x >> {world.folder}/began; {waiting(world)}'")
        world.until(lambda: (world.folder / "began").exists())
        node = world.task().node_id
        world.service.remove_nodes("acct", "pool", {"nodeList": [node]})
        world.until(lambda: world.service.nodes("acct", "pool") == [])
        world.until(lambda: world.service.pool("acct", "pool").allocation is AllocationState.STEADY)
        task = world.task()
        assert (task.state, task.requeue_count, task.loss_count) == (TaskState.ACTIVE, 1, 0)
        (world.folder / "go").touch()
        world.service.resize_pool("acct", "pool", {"targetDedicatedNodes": 1})
        task = world.wait()
        assert (task.exit_code, task.requeue_count, task.attempt) == (0, 1, 2)

    def test_autoscale_gives_a_pool_its_nodes(self, world: World) -> None:
        world.pool(target_nodes=0)
        world.add("true")
        world.service.enable_autoscale("acct", "pool", {"autoScaleFormula": "$TargetDedicatedNodes = 1;"})
        world.until(lambda: world.task().state is TaskState.COMPLETED)
        assert world.task().exit_code == 0
        assert len(world.service.nodes("acct", "pool")) == 1

    # ---- nodes

    def test_a_node_without_scheduling_gets_no_tasks(self, world: World) -> None:
        world.pool()
        world.run("true")
        (node,) = world.service.nodes("acct", "pool")
        world.service.disable_scheduling("acct", "pool", node.id)
        world.add("true", "u")
        for _ in range(5):
            world.service.pump()
        assert world.service.nodes("acct", "pool")[0].state is NodeState.OFFLINE
        assert world.task("u").state is TaskState.ACTIVE
        world.service.enable_scheduling("acct", "pool", node.id)
        assert world.wait("u").exit_code == 0

    @pytest.mark.parametrize(("option", "ends"), [("requeue", 0), ("terminate", None), ("taskcompletion", 0)])
    @pytest.mark.needs("place")
    def test_a_reboot_runs_the_start_task_again(self, world: World, option: str, ends: int | None) -> None:
        world.pool(start_task=StartTask(f"/bin/sh -c 'echo s >> {world.folder}/starts'"))
        world.add(f"/bin/sh -c 'echo x >> {world.folder}/began; {waiting(world)}'")
        world.until(lambda: (world.folder / "began").exists())
        world.service.reboot_node("acct", "pool", "tvm-0001", option)
        world.service.pump()
        with pytest.raises(BatchError) as caught:
            world.service.reboot_node("acct", "pool", "tvm-0001", option)
        assert caught.value.error_code in ("NodeBeingRebooted", "NodeNotReady")
        (world.folder / "go").touch()
        task = world.wait()
        assert (task.result == "success") == (ends == 0)
        assert task.requeue_count == (1 if option == "requeue" else 0)
        world.run("true", "after")
        assert (world.folder / "starts").read_text() == "s\ns\n"
