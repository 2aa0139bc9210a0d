"""An owner is a process; a later process with the same number is somebody else."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from kyanite.runs import owner
from kyanite.runs.owner import Owner


@pytest.fixture
def child():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.stdin.close()
    process.wait()


def owner_of(process):
    return replace(Owner.current(), pid=process.pid, started=owner._started(process.pid))


def test_this_process_is_alive_and_always_the_same():
    assert Owner.current().alive()
    assert Owner.current() == Owner.current()


def test_text_and_back():
    assert Owner.from_text(Owner.current().to_text()) == Owner.current()


def test_a_child_lives_until_it_ends_even_when_nobody_waited_for_it(child):
    other = owner_of(child)
    assert other.alive()
    child.kill()
    child.stdin.close()
    # ended but not reaped: its entry in the process table does not count as life
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not other.alive()
    child.wait()
    assert not other.alive()


def test_a_later_process_with_the_same_number_is_another(child):
    assert not replace(owner_of(child), started="1").alive()


def test_another_boot_of_this_host_is_gone_and_another_host_is_unknown():
    me = Owner.current()
    assert not replace(me, boot_id="earlier:pid").alive()
    assert replace(me, boot_id="earlier:pid", host="elsewhere").alive()


def test_another_container_on_this_machine_is_unknown():
    me = Owner.current()
    boot = me.boot_id.partition(":")[0]
    assert replace(me, boot_id=f"{boot}:pid:[1]", pid=2**22 + 5).alive()


def test_a_program_may_have_any_name(tmp_path):
    odd = tmp_path / "a) R (b"
    odd.symlink_to(sys.executable)
    process = subprocess.Popen([odd, "-c", "input()"], stdin=subprocess.PIPE)
    assert owner_of(process).alive()
    assert owner._started(process.pid).isdigit()
    process.communicate()


def test_systems_without_proc(monkeypatch, tmp_path, child):
    monkeypatch.setattr(owner, "_PROC", tmp_path / "missing")
    me = Owner.current()
    assert me.boot_id.endswith(":host")
    assert me.alive()
    other = owner_of(child)
    assert other.alive()
    child.kill()
    child.wait()
    assert not other.alive()
