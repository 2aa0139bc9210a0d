"""Somebody works on the runs and tasks that clients make: threads of this process, made when the first one comes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kyanite.runtime.serve import RunPool
    from kyanite.runtime.workspace import Workspace
    from kyanite.server.http import Request, Response


class RunsHere:
    """Works on runs and tasks until the process ends; what is in progress then, the next one goes on with."""

    def __init__(self, workspace: Workspace, log: Callable[[str], None] = lambda text: None) -> None:
        self._workspace = workspace
        self._log = log
        self._pool: RunPool | None = None
        self._batch = False
        self._lock = threading.Lock()

    def submit(self, run_id: str) -> None:
        """Work on a run as soon as a thread is free."""
        from kyanite.runtime.serve import RunPool
        from kyanite.runtime.worker import Worker

        with self._lock:
            if self._pool is None:
                self._pool = RunPool(self._workspace, make_worker=lambda: Worker(self._workspace), log=self._log)
        self._pool.submit(run_id)

    def observe(self, request: Request, response: Response) -> None:
        """For a ServerContext's observers: from the first Batch request on, tasks are launched and watched."""
        if request.service == "batch" and not self._batch:
            self._batch = True
            self._workspace.batch.run_in_background()

    def stop(self) -> None:
        """Begin no run any more."""
        if self._pool is not None:
            self._pool.stop()
