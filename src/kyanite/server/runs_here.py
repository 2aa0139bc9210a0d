"""Somebody works on the runs that clients make: threads of this process, made when the first run comes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kyanite.runtime.serve import RunPool
    from kyanite.runtime.workspace import Workspace


class RunsHere:
    """Works on runs until it is stopped; what is in progress then, the next `kyanite serve` goes on with."""

    def __init__(self, workspace: Workspace, log: Callable[[str], None] = lambda text: None) -> None:
        self._workspace = workspace
        self._log = log
        self._pool: RunPool | None = None
        self._lock = threading.Lock()

    def submit(self, run_id: str) -> None:
        """Work on a run as soon as a thread is free."""
        from kyanite.runtime.serve import RunPool
        from kyanite.runtime.worker import Worker

        with self._lock:
            if self._pool is None:
                self._pool = RunPool(self._workspace, make_worker=lambda: Worker(self._workspace), log=self._log)
        self._pool.submit(run_id)

    def stop(self) -> int:
        """Begin nothing any more; how many runs are left as they are."""
        return 0 if self._pool is None else self._pool.stop()
