"""`serve`: one process that runs the scheduler and works on the runs of a workspace until it is told to stop."""

from __future__ import annotations

import fcntl
import os
import threading
import time
import traceback
from bisect import insort
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from kyanite.engine.events import utc_text, utc_time
from kyanite.engine.triggers import TRIGGERS
from kyanite.errors import ConflictError, KyaniteError
from kyanite.limits import LEASE_SECONDS, RUNS_AT_ONCE
from kyanite.runs.store import UNFINISHED, Owner, RunQuery, RunSummary
from kyanite.runtime.clock import utc_now
from kyanite.runtime.fold import fold
from kyanite.runtime.queueing import limited, may_start
from kyanite.runtime.scheduler import Scheduler
from kyanite.runtime.threads import DaemonThreads
from kyanite.runtime.triggers_fire import Log
from kyanite.runtime.worker import Worker
from kyanite.runtime.workspace import Workspace

LOCK_FILE = "serve.lock"
_AFTER_AN_ERROR = timedelta(seconds=5)
_LOOK_FOR_ORPHANS = timedelta(seconds=LEASE_SECONDS)
_JUST_MADE = timedelta(seconds=LEASE_SECONDS)


def serve(
    workspace: Workspace,
    stop: threading.Event,
    *,
    seconds: float | None = None,
    clock: Callable[[], datetime] = utc_now,
    log: Log = lambda text: None,
    make_worker: Callable[[], Worker] | None = None,
    around: Callable[[RunPool], AbstractContextManager[object]] = nullcontext,
) -> None:
    """Schedule, and work on runs and tasks, until `stop` is set or some seconds have passed; unfinished ones first.

    Runs that are in progress at the end stay as they are: the next one goes on with them. ConflictError when another
    process serves the workspace. `around` is entered once we are the one who serves, and left at the end.
    """
    with only_server(workspace.home, clock()):
        pool = RunPool(workspace, make_worker=make_worker or (lambda: Worker(workspace)), clock=clock, log=log)
        scheduler = Scheduler(workspace, clock=clock, on_run=pool.submit, log=log)
        with around(pool):
            log(f"serving {workspace.home}")
            _work(scheduler, pool, stop, seconds=seconds, clock=clock, log=log)
        left = pool.stop()
        log("stopped" + (f"; runs in progress that the next `kyanite serve` goes on with: {left}" if left else ""))


def _work(
    scheduler: Scheduler,
    pool: RunPool,
    stop: threading.Event,
    *,
    seconds: float | None,
    clock: Callable[[], datetime],
    log: Log,
) -> None:
    end = None if seconds is None else time.monotonic() + seconds
    orphans_at = clock()
    while not stop.is_set() and (end is None or time.monotonic() < end):
        try:
            if clock() >= orphans_at:
                orphans_at = clock() + _LOOK_FOR_ORPHANS
                pool.adopt()
            wake = scheduler.look()
            pool.admit()
        except KyaniteError as error:
            log(f"tried again in {_AFTER_AN_ERROR.seconds} s: {error}")
            wake = clock() + _AFTER_AN_ERROR
        patience = max(0.0, (wake - clock()).total_seconds())
        stop.wait(patience if end is None else max(0.0, min(patience, end - time.monotonic())))


@contextmanager
def only_server(home: Path, now: datetime) -> Iterator[None]:
    """Be the one who serves a workspace, or ConflictError that names the other; a process that dies is it no more."""
    file = home / LOCK_FILE
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise _served_already(file) from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{Owner.current().to_text()}\n{utc_text(now)}\n".encode())
        yield
    finally:
        os.close(descriptor)


def _served_already(file: Path) -> ConflictError:
    lines = file.read_text(encoding="utf-8").splitlines()
    who = "another process"
    if len(lines) == 2:
        owner = Owner.from_text(lines[0])
        who = f"the process {owner.pid} on {owner.host} since {lines[1][:19]}Z"
    return ConflictError(
        f"The workspace is served already by {who}.",
        where=str(file.parent),
        cure="Stop that one first, or name another workspace with --home.",
    )


class RunPool:
    """A few threads that each work on one run at a time, in the order they were given.

    A run that its pipeline's `concurrency` keeps in the queue takes no thread from the others meanwhile.
    """

    def __init__(
        self,
        workspace: Workspace,
        *,
        make_worker: Callable[[], Worker],
        clock: Callable[[], datetime] = utc_now,
        log: Log = lambda text: None,
        size: int = RUNS_AT_ONCE,
    ) -> None:
        self._workspace = workspace
        self._store = workspace.store
        self._make_worker = make_worker
        self._clock = clock
        self._log = log
        self._threads = DaemonThreads(size)
        self._workers = threading.local()
        self._lock = threading.Lock()
        self._known: set[str] = set()
        self._queued: dict[tuple[str, str], list[tuple[int, str]]] = {}  # (factory, pipeline) -> (number, run), sorted
        self._stopping = False

    def submit(self, run_id: str) -> None:
        """Work on a run as soon as a thread is free; nothing when it is in hand already."""
        with self._lock:
            if run_id in self._known or self._stopping:
                return
            self._known.add(run_id)
        self._threads.submit(partial(self._work, run_id))

    def adopt(self) -> int:
        """Take up the runs that nobody works on: their process has gone. How many."""
        found = self._store.runs(RunQuery(status=UNFINISHED, limit=10_000))
        ids = {run.run_id for run in found}
        orphans = [run for run in reversed(found) if run.parent_run_id not in ids and self._is_orphan(run)]
        for run in orphans:
            self._log(f"run {run.run_id} of {run.pipeline} goes on")
            self.submit(run.run_id)
        return len(orphans)

    def _is_orphan(self, run: RunSummary) -> bool:
        if run.run_id in self._known:
            return False
        if run.owner is not None:
            return not run.owner.alive()
        # whoever made it by hand is about to work on it; one that a trigger made is ours
        by_trigger = run.invoked_by.get("invokedByType") in TRIGGERS
        return by_trigger or self._clock() - utc_time(run.queued_at) > _JUST_MADE

    def busy(self) -> int:
        """How many runs are in hand or waiting for a thread."""
        with self._lock:
            return len(self._known)

    def stop(self) -> int:
        """Begin nothing any more; how many runs are left as they are. Their threads end with the process."""
        with self._lock:
            self._stopping = True
            return len(self._known)

    def admit(self) -> None:
        """Try the oldest run of each queue again: there may be a free place."""
        with self._lock:
            oldest = [runs.pop(0)[1] for runs in self._queued.values() if runs]
        for run_id in oldest:
            self._threads.submit(partial(self._work, run_id))

    def _work(self, run_id: str) -> None:
        over = True
        try:
            if not self._stopping:
                over = not self._queue(run_id)
                if over:
                    self._run(run_id)
        except ConflictError:
            pass  # another living process works on it
        except Exception as error:  # noqa: BLE001 - a thread of the pool must survive; the run is taken up again
            if not self._stopping:  # afterwards the database may be closed already
                self._log(f"run {run_id} is taken up again later: {error}")
                if os.environ.get("KYANITE_DEBUG"):
                    traceback.print_exc()
        finally:
            if over:
                with self._lock:
                    self._known.discard(run_id)

    def _queue(self, run_id: str) -> bool:
        """Put a run back for which its pipeline has no free place."""
        summary = self._store.summary(run_id)
        if summary is None or summary.status != "Queued":
            return False
        state, _ = fold(self._store, run_id)
        if not limited(state) or may_start(self._store, state):
            return False
        with self._lock:
            insort(self._queued.setdefault((summary.factory, summary.pipeline), []), (summary.number, run_id))
        return True

    def _run(self, run_id: str) -> None:
        worker = getattr(self._workers, "worker", None)
        if worker is None:
            worker = self._workers.worker = self._make_worker()
        status = worker.run(run_id)
        summary = self._store.summary(run_id)
        pipeline = summary.pipeline if summary is not None else "?"
        self._log(f"run {run_id} of {pipeline} {status}")
        self.admit()
