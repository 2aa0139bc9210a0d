"""Nodes on this machine: a folder each, tasks as detached processes of the user who runs kyanite."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kyanite.batch import python_env, task_runner
from kyanite.batch.environment import node_environment
from kyanite.batch.pools import Order, Seen

ATTEMPT_MARK = "KYANITE_ATTEMPT"
_RUNNER = Path(task_runner.__file__)


class LocalNodes:
    """The local backend: `root` holds ACCOUNT/POOL/{env,nodes/NODE}, `home` is the workspace."""

    def __init__(self, root: Path, home: Path) -> None:
        self._root = root.absolute()
        self._home = home.absolute()

    def node_folder(self, account: str, pool: str, node: str) -> Path:
        """The root folder of a node (AZ_BATCH_NODE_ROOT_DIR)."""
        return self._root / account / pool / "nodes" / node

    def remove_node(self, account: str, pool: str, node: str) -> None:
        """Remove a node's folder; nothing runs there any more."""
        folder = self.node_folder(account, pool, node)
        if folder.exists():
            shutil.rmtree(folder)

    def stamp(self, account: str, pool: str) -> str | None:
        """Which build of the pool's Python environment is in place; None when there is none that fits."""
        return python_env.current_stamp(self._environment_folder(account, pool))

    def prepare(self, account: str, pool: str, say: Callable[[str], None]) -> str:
        """Make the pool's Python environment unless it is there."""
        return python_env.ensure(self._environment_folder(account, pool), say)

    def environment(self, account: str, pool: str) -> dict[str, str]:
        """The node's part of a task's environment: allowed host variables, the pool's Python first on PATH."""
        return node_environment(os.environ, self._environment_folder(account, pool), self._home)

    def attempt_folder(self, account: str, pool: str, node: str, attempt: int) -> Path:
        """The private folder of an attempt."""
        return self.node_folder(account, pool, node) / "volatile" / "attempts" / str(attempt)

    def launch(self, folder: Path, order: Order) -> Callable[[], int]:
        """Start the attempt's runner in a session of its own; the answer waits for it."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        spec = {
            "argv": list(order.argv),
            "environment": {**order.environment, ATTEMPT_MARK: str(folder)},
            "taskFolder": str(order.task_folder),
            "workingFolder": str(order.working_folder),
            "wallClock": order.wall_clock,
            "grace": order.grace,
        }
        task_runner.write_private(str(folder / "spec.json"), json.dumps(spec))
        with (folder / "runner.txt").open("wb") as trouble:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-X", "utf8", str(_RUNNER), str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=trouble,
                stderr=trouble,
                env={name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ},
                cwd=folder,
                start_new_session=True,
            )
        return process.wait

    def inspect(self, folder: Path) -> Seen:
        """Look at an attempt; what a lost runner left behind is ended before `lost` is said."""
        ending = _read(folder / "exit.json")
        if ending is not None:
            return Seen("ended", ending)
        if not (folder / "claim").exists():
            return Seen("unclaimed")
        owner = _read(folder / "claim")
        if owner is not None and owner["role"] == "fence":
            return Seen("fenced")
        if owner is not None and task_runner.is_alive(owner):
            return Seen("running")
        ending = _read(folder / "exit.json")  # it may have been written while we looked
        if ending is not None:
            return Seen("ended", ending)
        _end_leftovers(folder)
        return Seen("lost")

    def fence(self, folder: Path) -> bool:
        """Take the attempt so that no runner ever can; False when a runner was first."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not task_runner.take_claim(str(folder), task_runner.identity("fence")):
            owner = _read(folder / "claim")
            if owner is None or owner["role"] != "fence":
                return False
        (folder / "spec.json").unlink(missing_ok=True)  # nobody will read it, and it may hold secrets
        return True

    def stop(self, folder: Path) -> None:
        """Ask the attempt's runner to end its command: a file that it looks for, and a signal so that it looks now."""
        with contextlib.suppress(FileExistsError):
            (folder / "stop").touch(mode=0o600, exist_ok=False)
        owner = _read(folder / "claim")
        if owner is not None and owner["role"] == "runner" and task_runner.is_alive(owner):
            with contextlib.suppress(ProcessLookupError):
                os.kill(owner["pid"], signal.SIGTERM)

    def _environment_folder(self, account: str, pool: str) -> Path:
        return self._root / account / pool / "env"


def _read(path: Path) -> dict[str, Any] | None:
    """A small JSON file; None when it is missing or, after a power cut, empty or torn."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _end_leftovers(folder: Path) -> None:
    """Kill every process that carries the attempt's mark in its environment: their runner is dead."""
    import psutil

    for _ in range(50):
        found = [process for process in psutil.process_iter() if _is_marked(process, str(folder))]
        if not found:
            return
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(found, timeout=0.1)


def _is_marked(process: Any, mark: str) -> bool:
    import psutil

    try:
        return bool(process.environ().get(ATTEMPT_MARK) == mark and process.status() != psutil.STATUS_ZOMBIE)
    except (psutil.Error, OSError):
        return False
