"""The local backend: environments, claims, node agents."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from kyanite import limits
from kyanite.batch import commands, node_agent, processes, python_env
from kyanite.batch.node_link import end_agent, open_socket
from kyanite.batch.pools import BACKENDS, Key, Launch, Place, ProcessLimits, Room, open_backend
from kyanite.errors import UnsupportedError

PLACE = Place("a", "p", "n")
FIRST = Key(PLACE, 1)


@pytest.fixture
def nodes(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "NODE_IDLE_SECONDS", 0.2)
    monkeypatch.setattr(limits, "NODE_HEARTBEAT_SECONDS", 0.2)
    backend = open_backend("local", Room(tmp_path / "batch", tmp_path, lambda url: (None, url)))
    yield backend
    backend.close()
    end_agent(agent_folder(backend))


def agent_folder(nodes):
    return nodes.node_folder("a", "p", "n") / "volatile"


def attempt(nodes, number=1):
    return agent_folder(nodes) / f"attempts/{number}"


def task(nodes):
    return nodes.node_folder("a", "p", "n") / "workitems/j/job-1/t"


def launch(nodes, command, key=FIRST, **changes):
    nodes.launch(Launch(key, "task", ("workitems", "j", "job-1", "t"), command, "https://a", "j", "t", **changes))


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.005)
    return answer


def run(nodes, command, key=FIRST, **changes):
    launch(nodes, command, key, **changes)
    return until(lambda: (seen := nodes.poll([key])[key.attempt]).status not in ("unclaimed", "running") and seen)


def command_line(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def agent_of(nodes):
    return processes.read_small_json(str(agent_folder(nodes) / "agent.json"))


def test_backends_are_sorted_and_all_load(tmp_path):
    room = Room(tmp_path, tmp_path, lambda url: (None, url))
    assert list(BACKENDS) == sorted(BACKENDS)
    for name in BACKENDS:
        open_backend(name, room).close()
    with pytest.raises(UnsupportedError, match=r"Supported: .*local"):
        open_backend("cloud", room)


# ---- claims


def test_a_claim_is_taken_once_and_says_by_whom(tmp_path):
    who = processes.identity("runner")
    assert processes.take_claim(str(tmp_path), who)
    assert not processes.take_claim(str(tmp_path), processes.identity("fence"))
    assert json.loads((tmp_path / "claim").read_text()) == who
    assert [path.name for path in tmp_path.iterdir()] == ["claim"]


def test_only_one_of_many_takes_a_claim(tmp_path):
    won = []

    def take(number):
        won.append(processes.take_claim(str(tmp_path), {"role": "runner", "pid": number}))

    threads = [threading.Thread(target=take, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False] * 15 + [True]


def test_a_process_is_its_pid_and_its_start_time():
    me = processes.identity("server")
    assert processes.is_alive(me)
    assert not processes.is_alive({**me, "start": "1"})
    assert not processes.is_alive({**me, "boot": "another"})
    assert not processes.is_alive({**me, "start": None})
    with subprocess.Popen(["true"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert processes.process_start(child.pid) is None  # a zombie is dead
    assert processes.process_start(child.pid) is None


def test_a_fenced_attempt_never_runs(nodes):
    assert nodes.poll([FIRST])[1].status == "unclaimed"
    assert nodes.fence(FIRST)
    assert nodes.fence(FIRST)  # by whoever: a fence is nobody's runner
    assert run(nodes, "touch ran").status == "fenced"
    reports = until(nodes.reports)
    assert [(report.attempt, report.end) for report in reports] == [(1, None)]  # refused: to be looked at
    assert not (task(nodes) / "wd/ran").exists()


def test_a_fence_left_by_a_dead_process_is_no_runner(nodes):
    """The identity inside the claim: recovery must not wait for its own fence after a second crash."""
    attempt(nodes).mkdir(parents=True)
    assert processes.take_claim(str(attempt(nodes)), {"role": "fence", "pid": 1, "start": "0", "boot": "old"})
    assert nodes.poll([FIRST])[1].status == "fenced"
    assert nodes.fence(FIRST)


def test_a_run_attempt_cannot_be_fenced_nor_run_again(nodes):
    seen = run(nodes, "/bin/sh -c 'echo x >> ran'")
    assert (seen.status, seen.ending["exitCode"], seen.ending["reason"]) == ("ended", 0, "exited")
    assert not nodes.fence(FIRST)
    launch(nodes, "/bin/sh -c 'echo x >> ran'")
    other = run(nodes, "true", Key(PLACE, 2))
    assert (other.status, (task(nodes) / "wd/ran").read_text()) == ("ended", "x\n")
    ends = [report.end for report in nodes.reports() if report.attempt == 1]
    assert [end.exit_code for end in ends if end] == [0]


@pytest.mark.parametrize("claim", ["", '{"role": "run', '{"role": "runner", "pid": 1, "start": "0", "boot": "old"}'])
def test_a_claim_of_a_dead_agent_or_a_torn_one_is_a_loss(nodes, claim):
    attempt(nodes).mkdir(parents=True)
    (attempt(nodes) / "claim").write_text(claim)
    assert nodes.poll([FIRST])[1].status == "lost"
    assert not nodes.fence(FIRST)


# ---- commands


def test_what_a_node_writes_is_private(nodes):
    old = os.umask(0)
    try:
        run(nodes, "touch mine")
    finally:
        os.umask(old)
    modes = {path.name: path.stat().st_mode & 0o777 for path in attempt(nodes).iterdir()}
    assert modes == {"claim": 0o600, "exit.json": 0o600}
    assert attempt(nodes).stat().st_mode & 0o777 == 0o700
    assert (task(nodes) / "stdout.txt").stat().st_mode & 0o777 == 0o600
    assert (task(nodes) / "wd/mine").stat().st_mode & 0o777 == 0o600
    assert (agent_folder(nodes) / "agent.sock").stat().st_mode & 0o077 == 0


def test_no_order_is_kept_on_the_disk(nodes):
    run(nodes, "true", environment={"KEY": "a-secret-value"})
    texts = [path.read_bytes() for path in nodes.node_folder("a", "p", "n").rglob("*") if path.is_file()]
    assert texts
    assert not any(b"a-secret-value" in text for text in texts)


def test_a_stop_file_ends_an_attempt_before_it_starts(nodes):
    attempt(nodes).mkdir(parents=True)
    nodes.stop(FIRST, 0.1)
    assert run(nodes, "touch ran").ending["failure"]["code"] == "TaskEnded"
    assert not (task(nodes) / "wd/ran").exists()


def test_a_command_that_ignores_sigterm_is_killed_after_the_grace(nodes):
    script = "/bin/sh -c \"trap '' TERM; sleep 60 & wait; sleep 60\""
    ending = run(nodes, script, wall_clock=0.1, grace=0.3).ending
    assert (ending["exitCode"], ending["reason"]) == (137, "wallClock")


def test_output_links_are_not_followed(nodes, tmp_path):
    (tmp_path / "victim").write_text("kept")
    task(nodes).mkdir(parents=True)
    (task(nodes) / "stdout.txt").symlink_to(tmp_path / "victim")
    assert run(nodes, "echo x").status == "ended"
    assert ((task(nodes) / "stdout.txt").read_text(), (tmp_path / "victim").read_text()) == ("x\n", "kept")


def test_output_that_cannot_be_written_fails_the_launch(nodes):
    (task(nodes) / "stdout.txt").mkdir(parents=True)
    assert run(nodes, "touch ran").ending["failure"]["code"] == "CommandLaunchFailed"
    assert not (task(nodes) / "wd/ran").exists()
    assert run(nodes, "true", Key(PLACE, 2)).status == "ended"  # and the node works on


def test_the_command_has_no_terminal_and_no_foreign_descriptor(nodes):
    script = "print(sorted(int(f) for f in os.listdir('/proc/self/fd'))[:3], len(os.listdir('/proc/self/fd')))"
    read, write = os.pipe()
    os.set_inheritable(write, True)
    assert run(nodes, f'{sys.executable} -I -S -c "import os; {script}"').ending["exitCode"] == 0
    os.close(read)
    os.close(write)
    assert (task(nodes) / "stdout.txt").read_text() == "[0, 1, 2] 4\n"  # 3 is the listing itself


def test_limits_of_memory_file_size_and_their_absence(nodes):
    grow = f"{sys.executable} -I -S -c 'x = bytearray(400_000_000); print(len(x))'"
    assert run(nodes, grow).ending["exitCode"] == 0
    few = ProcessLimits(memory=200_000_000, file_size=1_000)
    assert run(nodes, grow, Key(PLACE, 2), limits=few).ending["exitCode"] == 1
    assert "MemoryError" in (task(nodes) / "stderr.txt").read_text()
    write = "/bin/sh -c 'head -c 100000 /dev/zero > big'"
    assert run(nodes, write, Key(PLACE, 3), limits=few).ending["exitCode"] != 0
    assert (task(nodes) / "wd/big").stat().st_size <= 1_024
    assert run(nodes, write, Key(PLACE, 4)).ending["exitCode"] == 0  # the node itself is not limited


HIDDEN = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execve('/bin/sleep', ['sleep', '120'], {} if sys.argv[1] == 'hidden' else os.environ)
    os._exit(0)
time.sleep(0.3)
"""


@pytest.mark.parametrize("how", ["marked", "hidden"])
def test_daemons_end_with_their_task_those_of_others_go_on(nodes, tmp_path, how):
    """A daemon is told by the mark in its environment; one that wiped it ends when nothing else runs on the node."""
    script = tmp_path / "hidden.py"
    script.write_text(HIDDEN)
    launch(nodes, f"/bin/sh -c '{sys.executable} {script} marked; sleep 120'", Key(PLACE, 1))
    mark = f"{node_agent.MARK}={attempt(nodes)}".encode()
    sleepers = lambda: [pid for pid, _, _ in processes.living() if processes.is_marked(pid, (mark,))]  # noqa: E731
    until(lambda: len(sleepers()) == 3)  # the shell, its sleep, the daemon
    below = lambda: processes.descendants([agent_of(nodes)["pid"]])  # noqa: E731
    assert run(nodes, f"{sys.executable} {script} {how}", Key(PLACE, 2)).ending["exitCode"] == 0
    assert len(sleepers()) == 3
    nodes.stop(FIRST, 0.1)
    until(lambda: nodes.poll([FIRST])[1].status == "ended")
    assert sleepers() == []
    until(lambda: below() == [])


# ---- node agents


def test_a_node_is_one_small_process_that_ends_when_nobody_needs_it(nodes):
    run(nodes, "true")
    who = agent_of(nodes)
    resident = int(Path(f"/proc/{who['pid']}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    assert resident < 15 * 1024 * 1024
    time.sleep(0.5)
    assert processes.is_alive(who)  # this process still listens
    nodes.close()
    until(lambda: not processes.is_alive(who))
    assert not (agent_folder(nodes) / "agent.json").exists()
    assert nodes.health(PLACE).wanted is None  # it ended well
    assert not (agent_folder(nodes) / "agent.sock").exists()


def test_a_node_outlives_whoever_started_it_while_it_runs_something(nodes):
    launch(nodes, "/bin/sh -c 'until [ -e go ]; do sleep 0.02; done; exit 9'")
    until(lambda: nodes.poll([FIRST])[1].status == "running")
    nodes.close()
    time.sleep(0.5)
    (task(nodes) / "wd/go").touch()
    seen = until(lambda: (seen := nodes.poll([FIRST])[1]).status == "ended" and seen)
    assert seen.ending["exitCode"] == 9


def test_a_node_has_one_agent_however_many_start_it(nodes, tmp_path):
    others = [open_backend("local", Room(tmp_path / "batch", tmp_path, lambda url: (None, url))) for _ in range(4)]
    threads = [threading.Thread(target=each.ready_node, args=(PLACE,)) for each in (nodes, *others)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    def agents():
        command = f"/{node_agent.__name__.rpartition('.')[2]}.py\0{agent_folder(nodes)}\0".encode()
        return [pid for pid, _, _ in processes.living() if command in command_line(pid)]

    until(lambda: len(agents()) == 2)  # the agent and its guardian
    time.sleep(0.1)
    assert len(agents()) == 2
    for each in others:
        each.close()


def test_a_killed_agent_takes_its_commands_along_and_the_next_one_works(nodes):
    launch(nodes, f"{sys.executable} -c 'import os; os.fork() or os.setsid(); os.system(\"sleep 120\")'")
    until(lambda: nodes.poll([FIRST])[1].status == "running")
    who = agent_of(nodes)
    below = until(lambda: processes.descendants([who["pid"]]))
    os.kill(who["pid"], signal.SIGKILL)
    until(lambda: not any(processes.process_start(pid) for pid in below))  # nobody asked: the guardian did it
    until(lambda: nodes.health(PLACE).wanted == "unknown")  # the guardian may be quicker than its end
    assert nodes.poll([FIRST])[1].status == "lost"
    assert [report.attempt for report in until(nodes.reports)] == [1]
    assert run(nodes, "true", Key(PLACE, 2)).ending["exitCode"] == 0
    assert nodes.health(PLACE).wanted is None


def test_a_silent_agent_is_unknown_and_can_be_restarted(nodes, monkeypatch):
    monkeypatch.setattr(limits, "NODE_LOST_SECONDS", 0.5)
    launch(nodes, "sleep 120")
    until(lambda: nodes.poll([FIRST])[1].status == "running")
    who = agent_of(nodes)
    os.kill(who["pid"], signal.SIGSTOP)
    until(lambda: nodes.health(PLACE).wanted == "unknown")
    assert nodes.poll([FIRST])[1].status == "running"  # it may come back: nothing is given out twice
    monkeypatch.setattr("kyanite.batch.pools.local.SILENT_SECONDS", 0.1)
    nodes.restart_node(PLACE, clean=False)
    assert not processes.is_alive(who)
    assert nodes.poll([FIRST])[1].status == "lost"
    assert nodes.health(PLACE).wanted is None


def test_a_node_is_revived_once_however_many_want_to(nodes):
    launch(nodes, "sleep 120")
    until(lambda: nodes.poll([FIRST])[1].status == "running")
    dead = agent_of(nodes)
    os.kill(dead["pid"], signal.SIGKILL)
    until(lambda: not processes.is_alive(dead))
    assert nodes.health(PLACE).wanted == "unknown"
    nodes.revive_node(PLACE)
    until(lambda: processes.is_alive(agent_of(nodes)))
    fresh = agent_of(nodes)
    assert nodes.poll([FIRST])[1].status == "lost"
    second = Key(PLACE, 2)
    launch(nodes, "sleep 120", second)
    until(lambda: nodes.poll([second])[2].status == "running")
    nodes.revive_node(PLACE)  # another process, which had seen the dead agent too
    assert (agent_of(nodes), nodes.poll([second])[2].status) == (fresh, "running")


def test_a_silent_agent_is_revived_by_force(nodes, monkeypatch):
    monkeypatch.setattr(limits, "NODE_LOST_SECONDS", 0.5)
    nodes.ready_node(PLACE)
    who = agent_of(nodes)
    os.kill(who["pid"], signal.SIGSTOP)
    until(lambda: nodes.health(PLACE).wanted == "unknown")
    nodes.revive_node(PLACE)
    assert not processes.is_alive(who)
    until(lambda: processes.is_alive(agent_of(nodes)))


def test_what_ends_with_its_node_was_not_ended_by_its_user(nodes):
    launch(nodes, "sleep 120")
    until(lambda: nodes.poll([FIRST])[1].status == "running")
    end_agent(agent_folder(nodes))
    assert nodes.poll([FIRST])[1].status == "lost"


def test_a_full_disk_makes_a_node_unusable(nodes, monkeypatch):
    nodes.ready_node(PLACE)
    monkeypatch.setattr(limits, "NODE_DISK_RESERVED_BYTES", 1 << 60)
    health = nodes.health(PLACE)
    assert (health.wanted, "bytes are free" in health.reason) == ("unusable", True)


def test_reimaging_removes_files_rebooting_does_not(nodes):
    run(nodes, "touch kept")
    nodes.restart_node(PLACE, clean=False)
    assert (task(nodes) / "wd/kept").exists()
    nodes.restart_node(PLACE, clean=True)
    assert not task(nodes).exists()
    assert nodes.poll([FIRST])[1].status == "ended"  # how the attempt ended is still told
    nodes.remove_node(PLACE)
    assert not nodes.node_folder("a", "p", "n").exists()


def test_the_agent_ends_when_its_folder_is_removed(nodes):
    nodes.ready_node(PLACE)
    who = agent_of(nodes)
    subprocess.run(["rm", "-rf", str(nodes.node_folder("a", "p", "n"))], check=True)
    until(lambda: not processes.is_alive(who))


def test_a_folder_of_any_depth_has_its_socket(tmp_path):
    deep = tmp_path / ("x" * 100) / ("y" * 100)
    backend = open_backend("local", Room(deep / "batch", deep, lambda url: (None, url)))
    assert run(backend, "true").ending["exitCode"] == 0
    with open_socket(agent_folder(backend)) as link:
        link.sendall(b'{"do": "end"}\n')
    backend.close()


def test_a_message_that_comes_in_pieces_is_one_message(nodes):
    nodes.ready_node(PLACE)
    with open_socket(agent_folder(nodes)) as link:
        for piece in (b'{"do": "st', b'op", "folder": "none"}\n{"do"', b': "end"}\n'):
            link.sendall(piece)
            time.sleep(0.05)
        until(lambda: not (agent_folder(nodes) / "agent.json").exists())


def test_the_agent_needs_the_standard_library_only():
    for module in (node_agent, commands, processes):
        lines = Path(module.__file__).read_text().splitlines()
        ours = [line.strip() for line in lines if "import" in line and "kyanite" in line and not line.startswith('"')]
        assert all(line.startswith("from kyanite.batch import") for line in ours)  # not taken when started by path
    done = subprocess.run(
        [sys.executable, "-I", "-S", node_agent.__file__], capture_output=True, text=True, check=False
    )
    assert "IndexError" in done.stderr  # it came as far as its arguments


# ---- the pool's Python


def python(*command):
    return subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin"})


def test_packages_of_the_pool_come_before_those_of_the_host(tmp_path):
    env = tmp_path / "env"
    stamp = python_env.ensure(env, lambda _line: None)
    assert python_env.current_stamp(env) == stamp == python_env.ensure(env, lambda _line: None)
    (packages,) = (env / "lib").glob("python*/site-packages")
    (packages / "pyarrow.py").write_text("mine = True")
    done = python(str(env / "bin/python"), "-c", "import pyarrow, kyanite, sys; print(pyarrow.mine, sys.prefix)")
    assert done.stdout.split() == ["True", str(env)], done.stderr


def test_pip_works_on_the_pools_environment(tmp_path):
    env = tmp_path / "env"
    python_env.ensure(env, lambda _line: None)
    package = tmp_path / "package"
    package.mkdir()
    done = python(str(env / "bin/pip"), "--version")
    assert done.returncode == 0, done.stderr
    done = python(str(env / "bin/pip"), "config", "debug")
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
    done = python(str(env / "bin/pip"), "--version")
    assert str(env) in done.stdout, done.stderr
