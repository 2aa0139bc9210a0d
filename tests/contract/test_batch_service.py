"""The batch service with real processes."""

from __future__ import annotations

import io
import sys
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kyanite import limits
from kyanite.batch.model import NodeState, PoolSpec, ResourceFile, StartTask, TaskSpec, TaskState, task_problems
from kyanite.batch.service import BatchService
from kyanite.database import Database
from kyanite.errors import BatchError, StorageError
from kyanite.secrets import Vault

PY = sys.executable


class FakeConnection:
    def __init__(self, files):
        self._files = files

    def open_read(self, path):
        if path not in self._files:
            raise StorageError(f"{path} does not exist", code="BlobNotFound")
        return io.BytesIO(self._files[path])


@dataclass
class Workspace:
    home: Path
    service: BatchService
    database: Database
    vault: Vault

    def run(self, command, task_id="t", *, job="job", **changes):
        self.add(command, task_id, job=job, **changes)
        return self.wait(task_id, job=job)

    def add(self, command, task_id="t", *, job="job", **changes):
        return self.service.add_task("acct", job, TaskSpec(task_id, command, **changes))

    def wait(self, task_id="t", *, job="job", **options):
        task = self.service.wait_task("acct", job, task_id, **{"timeout": 60, **options})
        assert task_problems(task) == []
        return task

    def until(self, condition, seconds=60):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "it never happened"
            self.service.pump()
            time.sleep(0.01)

    def text(self, path="stdout.txt", task_id="t", job="job"):
        return self.service.read_file("acct", job, task_id, path).decode()

    def folder(self, task_id="t", node="tvm-0001", pool="pool"):
        return self.home / f"batch/acct/{pool}/nodes/{node}/workitems/job/job-1/{task_id}"


@pytest.fixture
def make(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "KILL_GRACE_SECONDS", 0.5)
    opened = []
    blobs = {"c/main.py": b"print('from storage')"}

    def build(spec=None, home=tmp_path, **options):
        database = Database(home / "kyanite.db")
        vault = Vault(home / "secrets.json")
        service = BatchService(
            database,
            home / "batch",
            vault,
            None,
            home=home,
            open_url=lambda url: (FakeConnection(blobs), url.split("/", 3)[3]),
            **options,
        )
        service.create_account("acct")
        if spec is not None:
            service.create_pool("acct", spec)
            service.ensure_job("acct", "job", spec.id)
        opened.append((service, database))
        return Workspace(home, service, database, vault)

    yield build
    for service, _ in opened:
        service.close()
    if opened:
        end_everything(opened[-1][1], tmp_path)
    for _, database in opened:
        database.close()


def end_everything(database, home):
    """No test leaves a process behind, not even a failing one."""
    last = BatchService(database, home / "batch", Vault(home / "secrets.json"), None, home=home)
    end = time.monotonic() + 20
    while database.query("SELECT 1 FROM batch_attempts WHERE ended_at IS NULL") and time.monotonic() < end:
        for job in last.jobs("acct"):
            for task in last.tasks("acct", job.id):
                if task.state is not TaskState.COMPLETED and task.stop_reason is None:
                    last.terminate_task("acct", job.id, task.id)
        last.pump()
        time.sleep(0.02)
    last.close()


@pytest.fixture
def batch(make):
    return make(PoolSpec("pool", target_nodes=1, slots_per_node=2))


# ---- running a command


def test_output_exit_code_and_folders(batch):
    task = batch.run("/bin/sh -c 'echo out; echo err >&2; pwd > here; exit 3'")
    assert (task.state, task.exit_code, task.result) == (TaskState.COMPLETED, 3, "failure")
    assert (task.failure_info.code, task.node_id, task.retry_count) == ("FailureExitCode", "tvm-0001", 0)
    assert (batch.text(), batch.text("stderr.txt")) == ("out\n", "err\n")
    assert batch.text("wd/here").strip() == str(batch.folder() / "wd")
    assert sorted(path.name for path in batch.folder().iterdir()) == ["stderr.txt", "stdout.txt", "wd"]
    assert task.start_time <= task.end_time
    node = batch.home / "batch/acct/pool/nodes/tvm-0001"
    assert {"applications", "fsmounts", "shared", "startup", "volatile", "workitems"} <= {
        path.name for path in node.iterdir()
    }


def test_success(batch):
    task = batch.run("true")
    assert (task.exit_code, task.result, task.failure_info) == (0, "success", None)


def test_the_environment_is_built_from_scratch(batch, monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_SERVER", "s")
    monkeypatch.setenv("LC_TIME", "C")
    batch.run("env", environment={"MINE": "1 = 2", "AZ_BATCH_TASK_ID": "forged"})
    seen = dict(line.split("=", 1) for line in batch.text().splitlines())
    assert "SECRET_OF_THE_SERVER" not in seen
    assert (seen["MINE"], seen["LC_TIME"], seen["AZ_BATCH_TASK_ID"]) == ("1 = 2", "C", "t")
    assert (seen["AZ_BATCH_JOB_ID"], seen["AZ_BATCH_POOL_ID"], seen["AZ_BATCH_NODE_ID"]) == ("job", "pool", "tvm-0001")
    assert seen["AZ_BATCH_TASK_WORKING_DIR"] == str(batch.folder() / "wd")
    assert Path(seen["AZ_BATCH_NODE_SHARED_DIR"]).is_dir()
    assert seen["KYANITE_HOME"] == str(batch.home)


def test_scripts_find_the_pools_python_and_kyanite(batch):
    task = batch.run("python -c 'import sys, kyanite, pyarrow; print(sys.prefix)'")
    assert task.exit_code == 0, batch.text("stderr.txt")
    assert batch.text().strip() == str(batch.home / "batch/acct/pool/env")


def test_a_windows_command_line_runs(batch):
    task = batch.run('cmd /c "echo %AZ_BATCH_TASK_ID% & echo %NOT_SET%"')
    assert (task.exit_code, batch.text()) == (0, "t\n%NOT_SET%\n")


def test_a_missing_program_is_named(batch):
    task = batch.run("no-such-program --x")
    assert (task.exit_code, task.failure_info.code) == (None, "CommandProgramNotFound")
    assert "no-such-program" in task.failure_info.message
    assert "no-such-program" in batch.text("stderr.txt")


def test_a_file_that_is_no_program_fails_to_launch(batch):
    files = (ResourceFile("plain", content=b"x", mode=0o600), ResourceFile("odd", content=b"\x01\x02"))
    assert batch.run("./plain", resource_files=files).failure_info.code == "CommandLaunchFailed"
    assert batch.run("odd", "u", resource_files=files).failure_info.code == "CommandLaunchFailed"


def test_a_command_that_the_system_cannot_take_fails_to_launch(batch):
    assert batch.run("echo \ud800").failure_info.code == "CommandLaunchFailed"
    assert batch.run("echo " + "x" * 200_000, "long").failure_info.code == "CommandLaunchFailed"


def test_a_signal_becomes_128_plus_its_number(batch):
    assert batch.run("/bin/sh -c 'kill -KILL $$'").exit_code == 137


def test_programs_get_default_signals(batch):
    assert batch.run("grep -E 'SigIgn|SigBlk' /proc/self/status").exit_code == 0
    of_the_c_library = 0b11 << 31  # 32 and 33 are glibc's own; posix_spawn leaves them ignored
    seen = [int(line.split()[1], 16) & ~of_the_c_library for line in batch.text().splitlines()]
    assert seen == [0, 0]


# ---- resource files


def test_resource_files_are_staged(batch, tmp_path):
    (tmp_path / "local.txt").write_text("local")
    files = (
        ResourceFile("main.py", http_url="https://a.blob.core.windows.net/c/main.py"),
        ResourceFile("sub/dir/activity.json", content=b"{}"),
        ResourceFile("copy.txt", source_path=str(tmp_path / "local.txt")),
        ResourceFile("secret.json", content=b"topsecret", keep=False),
    )
    task = batch.run(
        "/bin/sh -c 'python main.py; cat sub/dir/activity.json copy.txt secret.json'", resource_files=files
    )
    assert (task.exit_code, batch.text()) == (0, "from storage\n{}localtopsecret")
    names = [entry.name for entry in batch.service.list_files("acct", "job", "t")]
    assert names == [
        "stderr.txt",
        "stdout.txt",
        "wd",
        "wd/copy.txt",
        "wd/main.py",
        "wd/sub",
        "wd/sub/dir",
        "wd/sub/dir/activity.json",
    ]


@pytest.mark.parametrize(
    ("file", "code"),
    [
        (ResourceFile("x", http_url="https://a.blob.core.windows.net/c/none"), "BlobNotFound"),
        (ResourceFile("x", source_path="/no/such/file"), "BlobNotFound"),
        (ResourceFile("here/x", content=b""), "ResourceFileCreateFailed"),
        (ResourceFile("link/x", content=b""), "ResourceFileCreateFailed"),
    ],
)
def test_a_file_that_cannot_be_staged_fails_the_task_without_a_retry(batch, tmp_path, file, code):
    batch.run("/bin/sh -c 'ln -s / link; touch here; false'")
    files = (file,)
    wd = batch.folder("u") / "wd"
    wd.mkdir(parents=True)
    (wd / "link").symlink_to(tmp_path)
    (wd / "here").touch()
    task = batch.run("true", "u", resource_files=files, max_retry_count=3)
    assert (task.exit_code, task.failure_info.code, task.retry_count) == (None, code, 0)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", "", "a//b", "a\\..\\b", "a\0b"])
def test_a_resource_file_cannot_leave_the_folder(batch, path):
    with pytest.raises(BatchError, match="not a path below"):
        batch.add("true", resource_files=(ResourceFile(path, content=b""),))


def test_a_resource_file_has_one_source(batch):
    with pytest.raises(BatchError, match="exactly one source"):
        batch.add("true", resource_files=(ResourceFile("x"),))


# ---- stopping


def test_the_wall_clock_limit_ends_the_task(batch):
    task = batch.run("sleep 60", max_wall_clock=0.3, max_retry_count=5)
    assert (task.exit_code, task.failure_info.code, task.retry_count) == (143, "TaskEnded", 0)
    assert "maxWallClockTime" in task.failure_info.message


DAEMON = """
import os, sys, time, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open('daemon.pid', 'w').write(str(os.getpid()))
        time.sleep(120)
    os._exit(0)
if len(sys.argv) > 1:
    while not os.path.exists('daemon.pid') or not open('daemon.pid').read():
        time.sleep(0.01)
    sys.exit(0)
time.sleep(120)
"""


def process_exists(pid):
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return False
    return fields[0] not in ("Z", "X")


def test_terminating_kills_the_whole_tree(batch):
    files = (ResourceFile("daemon.py", content=DAEMON.encode()),)
    batch.add(f"/bin/sh -c '{PY} daemon.py; true'", resource_files=files)
    pid_file = batch.folder() / "wd/daemon.pid"
    batch.until(lambda: pid_file.exists() and pid_file.read_text())
    daemon = int(pid_file.read_text())
    assert process_exists(daemon)
    batch.service.terminate_task("acct", "job", "t")
    task = batch.wait()
    assert (task.result, task.failure_info.code) == ("failure", "TaskEnded")
    assert not process_exists(daemon)


def test_nothing_is_left_after_a_normal_end(batch):
    task = batch.run(f"{PY} daemon.py leave", resource_files=(ResourceFile("daemon.py", content=DAEMON.encode()),))
    assert task.exit_code == 0
    assert not process_exists(int(batch.text("wd/daemon.pid")))


def test_terminating_a_waiting_task_and_a_completed_one(batch):
    batch.add("true")
    batch.service.terminate_task("acct", "job", "t")
    assert batch.wait().failure_info.code == "TaskEnded"
    with pytest.raises(BatchError, match="completed") as caught:
        batch.service.terminate_task("acct", "job", "t")
    assert caught.value.error_code == "TaskCompleted"


def test_waiting_can_be_cancelled_and_can_time_out(batch):
    batch.add("sleep 60", "a")
    batch.add("sleep 60", "b")
    states = []
    cancelled = lambda: TaskState.RUNNING in states  # noqa: E731
    task = batch.wait("a", cancelled=cancelled, progress=lambda task: states.append(task.state))
    assert (task.failure_info.code, states) == (
        "TaskEnded",
        [TaskState.ACTIVE, TaskState.RUNNING, TaskState.COMPLETED],
    )
    assert batch.wait("b", timeout=0.1).failure_info.code == "TaskEnded"


def test_deleting_removes_task_and_files(batch):
    batch.run("true")
    batch.service.delete_task("acct", "job", "t")
    assert not batch.folder().exists()
    with pytest.raises(BatchError, match="no task 't'"):
        batch.service.get_task("acct", "job", "t")
    assert batch.run("true").exit_code == 0


def test_deleting_a_running_task_kills_it(batch):
    batch.add("sleep 60")
    batch.until(lambda: (batch.folder() / "stdout.txt").exists())
    batch.service.delete_task("acct", "job", "t")
    assert batch.service.tasks("acct", "job") == []
    batch.until(lambda: batch.service.nodes("acct", "pool")[0].used_slots == 0)
    batch.service.sweep()
    assert not batch.folder().exists()


# ---- scheduling


def test_a_failing_task_is_retried_as_often_as_asked(batch):
    task = batch.run("/bin/sh -c 'echo x >> tries; exit 1'", max_retry_count=2)
    assert (task.retry_count, task.loss_count, task.attempt) == (2, 0, 3)
    assert batch.text("wd/tries") == "x\n" * 3


def test_slots_bound_what_runs_at_once_and_all_are_used(make):
    batch = make(PoolSpec("pool", target_nodes=2, slots_per_node=2))
    batch.service.prepare_pool("acct", "pool")
    script = "/bin/sh -c 'until [ -e $AZ_BATCH_NODE_SHARED_DIR/go ]; do sleep 0.02; done'"
    for number in range(5):
        batch.add(script, f"t{number}")
    batch.add(script, "wide", required_slots=2)
    batch.until(lambda: sum(node.used_slots for node in batch.service.nodes("acct", "pool")) == 4)
    batch.service.pump()
    assert [task.id for task in batch.service.tasks("acct", "job") if task.state is TaskState.RUNNING] == [
        "t0",
        "t1",
        "t2",
        "t3",
    ]
    assert [node.used_slots for node in batch.service.nodes("acct", "pool")] == [2, 2]
    for node in ("tvm-0001", "tvm-0002"):
        (batch.home / f"batch/acct/pool/nodes/{node}/shared/go").touch()
    assert [batch.wait(name).exit_code for name in ("t0", "t1", "t2", "t3", "t4", "wide")] == [0] * 6


def test_job_priority_goes_before_age(make):
    batch = make(PoolSpec("pool", target_nodes=1, slots_per_node=1))
    batch.service.ensure_job("acct", "urgent", "pool", priority=100)
    line = "/bin/sh -c 'echo {} >> $AZ_BATCH_NODE_SHARED_DIR/order'"
    batch.service.prepare_pool("acct", "pool")
    batch.add(line.format("first").replace("echo", "until [ -e ../../go ]; do sleep 0.02; done; echo"), "first")
    batch.until(lambda: (batch.folder("first") / "wd").exists())
    batch.add(line.format("t0"), "t0")
    batch.add(line.format("t1"), "t1")
    batch.add(line.format("u"), "u", job="urgent")
    (batch.folder("first").parent / "go").touch()
    batch.wait("t1")
    order = batch.home / "batch/acct/pool/nodes/tvm-0001/shared/order"
    assert order.read_text().split() == ["first", "u", "t0", "t1"]


def test_parallel_tasks_of_a_job_are_capped(make):
    batch = make(PoolSpec("pool", target_nodes=1, slots_per_node=4))
    batch.service.ensure_job("acct", "narrow", "pool", max_parallel_tasks=1)
    batch.service.prepare_pool("acct", "pool")
    for number in range(3):
        batch.add("sleep 0.2", f"t{number}", job="narrow")
    batch.service.pump()
    assert batch.service.nodes("acct", "pool")[0].used_slots == 1
    assert batch.wait("t2", job="narrow").exit_code == 0


def test_two_pools_have_their_own_nodes_and_python(batch):
    batch.service.create_pool("acct", PoolSpec("other"))
    batch.service.ensure_job("acct", "job2", "other")
    batch.add("/bin/sh -c 'echo $VIRTUAL_ENV'")
    batch.add("/bin/sh -c 'echo $VIRTUAL_ENV'", job="job2")
    assert batch.wait().exit_code == batch.wait(job="job2").exit_code == 0
    assert batch.text().strip().endswith("/acct/pool/env")
    assert batch.text(job="job2").strip().endswith("/acct/other/env")


def test_a_task_id_is_taken_once_whatever_its_case(batch):
    batch.add("true", "Split")
    with pytest.raises(BatchError) as caught:
        batch.add("true", "sPLIT")
    assert caught.value.error_code == "TaskExists"


def test_ensure_job_is_idempotent_and_keeps_its_pool(batch):
    assert batch.service.ensure_job("acct", "JOB", "POOL").id == "job"
    batch.service.create_pool("acct", PoolSpec("other"))
    with pytest.raises(BatchError, match="runs on pool 'pool'"):
        batch.service.ensure_job("acct", "job", "other")


@pytest.mark.parametrize(
    "changes",
    [
        {"required_slots": 0},
        {"max_wall_clock": 0},
        {"retention": -1},
        {"max_retry_count": -2},
        {"environment": {"A=": "x"}},
    ],
)
def test_impossible_numbers_are_refused(batch, changes):
    with pytest.raises(BatchError):
        batch.add("true", **changes)


def test_secrets_are_sealed_at_rest_and_masked_when_shown(batch):
    batch.vault.put("storage/a/key1", "s3cr3t/Key==")
    content = ResourceFile("linkedServices.json", content=b'[{"key": "s3cr3t/Key=="}]')
    batch.add("echo s3cr3t/Key==", environment={"K": "s3cr3t/Key=="}, resource_files=(content,))
    task = batch.wait()
    assert "s3cr3t" not in repr(task)
    assert (batch.text(), batch.text("wd/linkedServices.json")) == ("s3cr3t/Key==\n", '[{"key": "s3cr3t/Key=="}]')
    rows = batch.database.query("SELECT * FROM batch_tasks")
    assert "s3cr3t" not in repr([tuple(row) for row in rows])
    specs = list((batch.home / "batch").rglob("spec.json"))
    assert specs == []


def test_a_failure_that_names_a_secret_is_masked(batch):
    batch.vault.put("storage/a/key1", "s3cr3tprogram")
    task = batch.run("s3cr3tprogram")
    assert task.failure_info.code == "CommandProgramNotFound"
    assert "s3cr3t" not in repr(task)
    assert task.failure_info.details == (("Program", "***"),)


# ---- start tasks and nodes


def test_a_start_task_runs_once_per_node_and_before_tasks(make):
    start = StartTask(
        "/bin/sh -c 'echo $AZ_BATCH_NODE_ID ${AZ_BATCH_TASK_ID-none} >> ../../../../started; pip --version'"
    )
    batch = make(PoolSpec("pool", target_nodes=2, start_task=start))
    lines = []
    nodes = batch.service.prepare_pool("acct", "pool", lines.append)
    assert [(node.state, node.start_task.exit_code) for node in nodes] == [(NodeState.IDLE, 0)] * 2
    batch.service.prepare_pool("acct", "pool")
    assert batch.run("cat ../../../../../../../started").exit_code == 0
    started = batch.home / "batch/acct/pool/started"
    assert started.read_text() == "tvm-0001 none\ntvm-0002 none\n"
    assert lines[-1] == "tvm-0002: ready"
    assert "pip" in (batch.home / "batch/acct/pool/nodes/tvm-0001/startup/stdout.txt").read_text()


def test_a_changed_start_task_runs_again(make):
    batch = make(PoolSpec("pool", start_task=StartTask("touch ../../shared/one")))
    batch.service.prepare_pool("acct", "pool")
    batch.service.create_pool("acct", PoolSpec("pool", start_task=StartTask("touch ../../shared/two")))
    assert batch.service.nodes("acct", "pool")[0].state is NodeState.CREATING
    task = batch.run("ls ../../../../../shared")
    assert (task.exit_code, batch.text()) == (0, "one\ntwo\n")


def test_a_failing_start_task_is_explained_everywhere(make):
    start = StartTask("/bin/sh -c 'echo x >> ../tries; echo the disk is green >&2; exit 7'", max_retry_count=1)
    batch = make(PoolSpec("pool", start_task=start))
    with pytest.raises(BatchError, match=r"exit code 7.*the disk is green") as caught:
        batch.service.prepare_pool("acct", "pool")
    assert caught.value.error_code == "StartTaskFailed"
    (node,) = batch.service.nodes("acct", "pool")
    assert (node.state, node.start_task.exit_code, node.start_task.retry_count) == (NodeState.START_TASK_FAILED, 7, 1)
    assert (batch.home / "batch/acct/pool/nodes/tvm-0001/startup/tries").read_text() == "x\nx\n"
    batch.add("true")
    with pytest.raises(BatchError, match=r"task t: Pool 'pool' cannot run tasks.*exit code 7.*green"):
        batch.wait()
    assert batch.service.get_task("acct", "job", "t").failure_info.code == "TaskEnded"
    batch.service.create_pool("acct", PoolSpec("pool", start_task=StartTask("true")))
    assert batch.run("true", "u").exit_code == 0


def test_a_start_task_that_is_not_waited_for_blocks_nothing(make):
    batch = make(PoolSpec("pool", start_task=StartTask("false", wait_for_success=False)))
    assert batch.run("true").exit_code == 0
    batch.until(lambda: batch.service.nodes("acct", "pool")[0].start_task.state == "completed")
    (node,) = batch.service.nodes("acct", "pool")
    assert (node.state, node.start_task.result) == (NodeState.IDLE, "failure")


def test_a_start_task_without_its_resource_file_fails(make):
    file = ResourceFile("x", source_path="/no/such/file")
    batch = make(PoolSpec("pool", start_task=StartTask("true", (file,))))
    with pytest.raises(BatchError, match="could not be staged"):
        batch.service.prepare_pool("acct", "pool")


def test_a_task_on_a_pool_without_nodes_says_so(make):
    batch = make(PoolSpec("pool", target_nodes=0))
    lines = []
    assert batch.service.prepare_pool("acct", "pool", lines.append) == []
    assert "no nodes" in lines[0]
    batch.add("true")
    batch.service.pump()
    assert batch.service.why_waiting("acct", "job", "t").code == "PoolHasNoNodes"
    with pytest.raises(BatchError, match="has no nodes"):
        batch.wait()


def test_a_task_on_a_missing_pool_waits_until_somebody_asks(make):
    batch = make(PoolSpec("pool"))
    batch.service.ensure_job("acct", "lost", "poool")
    batch.add("true", job="lost")
    batch.service.pump()
    assert batch.service.get_task("acct", "lost", "t").state is TaskState.ACTIVE
    with pytest.raises(BatchError, match="Did you mean 'pool'"):
        batch.wait(job="lost")


def test_a_task_too_wide_for_its_nodes_says_so(batch):
    batch.add("true", required_slots=3)
    with pytest.raises(BatchError, match="needs 3 slots"):
        batch.wait()


def test_a_smaller_pool_lets_its_last_nodes_go(make):
    batch = make(PoolSpec("pool", target_nodes=3))
    batch.service.prepare_pool("acct", "pool")
    batch.service.create_pool("acct", PoolSpec("pool", target_nodes=1))
    batch.until(lambda: [node.id for node in batch.service.nodes("acct", "pool")] == ["tvm-0001"])
    assert not (batch.home / "batch/acct/pool/nodes/tvm-0003").exists()
    batch.service.create_pool("acct", PoolSpec("pool", target_nodes=2))
    assert len(batch.service.prepare_pool("acct", "pool")) == 2


# ---- files and retention


def test_files_are_removed_when_their_retention_is_over(make):
    now = [datetime(2026, 1, 1, tzinfo=UTC)]
    batch = make(PoolSpec("pool"), clock=lambda: now[0])
    batch.run("true", retention=3600)
    ended = batch.service.get_task("acct", "job", "t").end_time
    now[0] = ended + timedelta(seconds=3599)
    batch.service.sweep()
    assert batch.folder().exists()
    now[0] = ended + timedelta(seconds=3601)
    batch.service.sweep()
    assert not batch.folder().exists()
    with pytest.raises(BatchError) as caught:
        batch.text()
    assert caught.value.error_code == "TaskFilesCleanedup"


def test_output_is_read_by_range_while_it_is_written(batch, monkeypatch):
    batch.add("/bin/sh -c 'printf 0123456789; touch written; sleep 60'")
    batch.until(lambda: (batch.folder() / "wd/written").exists())
    read = batch.service.read_file
    assert read("acct", "job", "t", "stdout.txt", 2, 3) == b"234"
    assert read("acct", "job", "t", "stdout.txt", 100) == b""
    monkeypatch.setattr(limits, "TASK_OUTPUT_READ_BYTES", 4)
    assert read("acct", "job", "t", "stdout.txt", 0, 100) == b"0123"
    batch.service.terminate_task("acct", "job", "t")
    batch.wait()


def test_files_of_a_task_that_has_not_run(batch):
    batch.add("true")
    with pytest.raises(BatchError) as caught:
        batch.text()
    assert caught.value.error_code == "TaskFilesUnavailable"


# ---- many at once


def test_two_services_on_one_database_share_the_work(make, tmp_path):
    first = make(PoolSpec("pool", target_nodes=1, slots_per_node=4))
    second = make(PoolSpec("pool", target_nodes=1, slots_per_node=4))
    for number in range(24):
        first.add(f"/bin/sh -c 'echo {number} >> {tmp_path}/count'", f"t{number}")
    problems = []

    def work(workspace, names):
        try:
            for name in names:
                assert workspace.wait(name).exit_code == 0
        except (AssertionError, BatchError) as error:
            problems.append(error)

    names = [f"t{number}" for number in range(24)]
    threads = [
        threading.Thread(target=work, args=(first, names)),
        threading.Thread(target=work, args=(second, names[::-1])),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert sorted((tmp_path / "count").read_text().split(), key=int) == [str(number) for number in range(24)]


def test_closing_leaves_running_tasks_to_the_next_service(make):
    first = make(PoolSpec("pool"))
    first.add("/bin/sh -c 'until [ -e go ]; do sleep 0.02; done; exit 5'")
    first.until(lambda: (first.folder() / "stdout.txt").exists())
    first.service.close()
    second = make(PoolSpec("pool"))
    second.service.pump()
    (first.folder() / "wd/go").touch()
    task = second.wait()
    assert (task.exit_code, task.attempt, task.loss_count) == (5, 1, 0)


def test_no_descriptor_is_left_open(batch):
    batch.run("true", "warm")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(5):
        batch.run("true", f"t{number}", resource_files=(ResourceFile("a/b", content=b"x"),))
        batch.text(task_id=f"t{number}")
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
