"""The contract of pool backends, held by nodes of this machine."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from backend_contract import BackendContract, World

from kyanite import limits
from kyanite.batch import processes
from kyanite.batch.specs import PoolSpec


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(limits, "KILL_GRACE_SECONDS", 0.5)
    monkeypatch.setattr(limits, "NODE_IDLE_SECONDS", 1.0)
    monkeypatch.setattr(limits, "NODE_LOOK_SECONDS", 0.2)
    home, folder = tmp_path / "home", tmp_path / "seen"
    home.mkdir()
    folder.mkdir()
    made = World(home, folder, "local", PoolSpec)
    yield made
    made.end()


class TestLocal(BackendContract):
    def kill_node(self, world: World) -> None:
        root = world.home / "batch/acct/pool/nodes/tvm-0001/volatile"
        who = processes.read_small_json(str(root / "agent.json"))
        assert who is not None
        os.kill(who["pid"], signal.SIGKILL)
