"""The local backend: environments, claims, runners."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from kyanite.batch import python_env, task_runner
from kyanite.batch.pools import BACKENDS, Order, open_backend
from kyanite.errors import UnsupportedError


@pytest.fixture
def nodes(tmp_path):
    return open_backend("local", tmp_path / "batch", tmp_path)


def order(folder, *argv, **changes):
    (folder / "wd").mkdir(parents=True, exist_ok=True)
    environment = changes.pop("environment", {"PATH": "/usr/bin:/bin"})
    return Order(argv, environment, folder, folder / "wd", changes.get("wall_clock"), 0.5)


def test_backends_are_sorted_and_all_load(tmp_path):
    assert list(BACKENDS) == sorted(BACKENDS)
    for name in BACKENDS:
        open_backend(name, tmp_path, tmp_path)
    with pytest.raises(UnsupportedError, match="Supported: local"):
        open_backend("cloud", tmp_path, tmp_path)


# ---- claims


def test_a_claim_is_taken_once_and_says_by_whom(tmp_path):
    who = task_runner.identity("runner")
    assert task_runner.take_claim(str(tmp_path), who)
    assert not task_runner.take_claim(str(tmp_path), task_runner.identity("fence"))
    assert json.loads((tmp_path / "claim").read_text()) == who
    assert [path.name for path in tmp_path.iterdir()] == ["claim"]


def test_only_one_of_many_takes_a_claim(tmp_path):
    won = []

    def attempt(number):
        won.append(task_runner.take_claim(str(tmp_path), {"role": "runner", "pid": number}))

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False] * 15 + [True]


def test_a_process_is_its_pid_and_its_start_time():
    me = task_runner.identity("server")
    assert task_runner.is_alive(me)
    assert not task_runner.is_alive({**me, "start": "1"})
    assert not task_runner.is_alive({**me, "boot": "another"})
    assert not task_runner.is_alive({**me, "start": None})
    with subprocess.Popen(["true"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert task_runner.process_start(child.pid) is None  # a zombie is dead
    assert task_runner.process_start(child.pid) is None


def test_a_fenced_attempt_never_runs(nodes, tmp_path):
    folder = nodes.attempt_folder("a", "p", "n", 1)
    assert nodes.inspect(folder).status == "unclaimed"
    assert nodes.fence(folder)
    assert nodes.fence(folder)  # by whoever: a fence is nobody's runner
    assert nodes.inspect(folder).status == "fenced"
    wait = nodes.launch(folder, order(tmp_path / "task", "touch", "ran"))
    assert wait() == 3
    assert not (tmp_path / "task/wd/ran").exists()
    assert nodes.inspect(folder).status == "fenced"
    assert not (folder / "spec.json").exists()


def test_fencing_removes_the_order_that_nobody_will_read(nodes, tmp_path):
    folder = nodes.attempt_folder("a", "p", "n", 1)
    folder.mkdir(parents=True)
    (folder / "spec.json").write_text('{"environment": {"KEY": "secret"}}')
    assert nodes.fence(folder)
    assert [path.name for path in folder.iterdir()] == ["claim"]


def test_a_fence_left_by_a_dead_process_is_no_runner(nodes):
    """The identity inside the claim: recovery must not wait for its own fence after a second crash."""
    folder = nodes.attempt_folder("a", "p", "n", 1)
    folder.mkdir(parents=True)
    assert task_runner.take_claim(str(folder), {"role": "fence", "pid": 1, "start": "0", "boot": "old"})
    assert nodes.inspect(folder).status == "fenced"
    assert nodes.fence(folder)


def test_a_runner_that_has_the_claim_cannot_be_fenced(nodes, tmp_path):
    folder = nodes.attempt_folder("a", "p", "n", 1)
    wait = nodes.launch(folder, order(tmp_path / "task", "true"))
    assert wait() == 0
    assert not nodes.fence(folder)
    seen = nodes.inspect(folder)
    assert (seen.status, seen.ending["exitCode"], seen.ending["reason"]) == ("ended", 0, "exited")


@pytest.mark.parametrize("claim", ["", '{"role": "run', '{"role": "runner", "pid": 1, "start": "0", "boot": "old"}'])
def test_a_claim_of_a_dead_runner_or_a_torn_one_is_a_loss(nodes, claim):
    folder = nodes.attempt_folder("a", "p", "n", 1)
    folder.mkdir(parents=True)
    (folder / "claim").write_text(claim)
    assert nodes.inspect(folder).status == "lost"
    assert not nodes.fence(folder)


# ---- runners


def test_the_order_is_private_and_gone_once_read(nodes, tmp_path):
    folder = nodes.attempt_folder("a", "p", "n", 1)
    old = os.umask(0)
    try:
        wait = nodes.launch(folder, order(tmp_path / "task", "true"))
    finally:
        os.umask(old)
    assert wait() == 0
    assert not (folder / "spec.json").exists()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "task/stdout.txt").stat().st_mode & 0o777 == 0o600


def test_a_stop_file_ends_a_runner_before_and_after_it_starts(nodes, tmp_path):
    folder = nodes.attempt_folder("a", "p", "n", 1)
    folder.mkdir(parents=True)
    (folder / "stop").touch()
    assert nodes.launch(folder, order(tmp_path / "task", "touch", "ran"))() == 0
    assert nodes.inspect(folder).ending["failure"]["code"] == "TaskEnded"
    assert not (tmp_path / "task/wd/ran").exists()


def test_a_command_that_ignores_sigterm_is_killed_after_the_grace(nodes, tmp_path):
    folder = nodes.attempt_folder("a", "p", "n", 1)
    script = "trap '' TERM; sleep 60 & wait; sleep 60"
    wait = nodes.launch(folder, order(tmp_path / "task", "/bin/sh", "-c", script, wall_clock=0.1))
    assert wait() == 0
    ending = nodes.inspect(folder).ending
    assert (ending["exitCode"], ending["reason"]) == (137, "wallClock")


def test_output_links_are_not_followed(nodes, tmp_path):
    (tmp_path / "victim").write_text("kept")
    task = tmp_path / "task"
    task.mkdir()
    (task / "stdout.txt").symlink_to(tmp_path / "victim")
    folder = nodes.attempt_folder("a", "p", "n", 1)
    assert nodes.launch(folder, order(task, "echo", "x"))() == 0
    assert ((task / "stdout.txt").read_text(), (tmp_path / "victim").read_text()) == ("x\n", "kept")


def test_output_that_cannot_be_written_fails_the_launch(nodes, tmp_path):
    (tmp_path / "task/stdout.txt").mkdir(parents=True)
    folder = nodes.attempt_folder("a", "p", "n", 1)
    assert nodes.launch(folder, order(tmp_path / "task", "touch", "ran"))() == 0
    assert nodes.inspect(folder).ending["failure"]["code"] == "CommandLaunchFailed"
    assert not (tmp_path / "task/wd/ran").exists()


def test_the_command_has_no_terminal_and_no_foreign_descriptor(nodes, tmp_path):
    folder = nodes.attempt_folder("a", "p", "n", 1)
    script = (
        "import os; print(sorted(int(f) for f in os.listdir('/proc/self/fd'))[:3], len(os.listdir('/proc/self/fd')))"
    )
    read, write = os.pipe()
    os.set_inheritable(write, True)
    assert nodes.launch(folder, order(tmp_path / "task", sys.executable, "-I", "-S", "-c", script))() == 0
    os.close(read)
    os.close(write)
    assert (tmp_path / "task/stdout.txt").read_text() == "[0, 1, 2] 4\n"  # 3 is the listing itself


# ---- the pool's Python


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin"})


def test_packages_of_the_pool_come_before_those_of_the_host(tmp_path):
    env = tmp_path / "env"
    stamp = python_env.ensure(env, lambda _line: None)
    assert python_env.current_stamp(env) == stamp == python_env.ensure(env, lambda _line: None)
    (packages,) = (env / "lib").glob("python*/site-packages")
    (packages / "pyarrow.py").write_text("mine = True")
    done = run(str(env / "bin/python"), "-c", "import pyarrow, kyanite, sys; print(pyarrow.mine, sys.prefix)")
    assert done.stdout.split() == ["True", str(env)], done.stderr


def test_pip_works_on_the_pools_environment(tmp_path):
    env = tmp_path / "env"
    python_env.ensure(env, lambda _line: None)
    package = tmp_path / "package"
    package.mkdir()
    done = run(str(env / "bin/pip"), "--version")
    assert done.returncode == 0, done.stderr
    done = run(str(env / "bin/pip"), "config", "debug")
    assert str(env) in done.stdout


def test_an_environment_of_another_python_is_made_anew(tmp_path):
    env = tmp_path / "env"
    first = python_env.ensure(env, lambda _line: None)
    marker = env / "kyanite-environment.json"
    content = json.loads(marker.read_text())
    content["host"]["version"] = "2.7"
    marker.write_text(json.dumps(content))
    assert python_env.current_stamp(env) is None
    assert python_env.ensure(env, lambda _line: None) != first


@pytest.mark.slow
def test_a_host_without_pip_still_gives_the_pool_one(tmp_path, monkeypatch):
    monkeypatch.setattr(python_env, "find_spec", lambda _name: None)
    monkeypatch.setattr(python_env, "_host_packages", lambda: "")
    env = tmp_path / "env"
    lines = []
    python_env.ensure(env, lines.append)
    assert "installing pip" in lines
    done = run(str(env / "bin/pip"), "--version")
    assert str(env) in done.stdout, done.stderr


def test_the_runner_needs_the_standard_library_only():
    source = Path(task_runner.__file__).read_text()
    assert "import kyanite" not in source
    assert "from kyanite" not in source
