"""The turn: hear what ended, record it, assign what waits, launch it. One transaction per turn, however much happened.

Any number of processes may take turns on one database. An attempt is written down before anything starts; whoever
closes its row records its end; a node and a fence compete for its claim (reliability reference 3.2).
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial

from kyanite import limits
from kyanite.batch.assign import FreeNode, Waiting, assign, preferred_node
from kyanite.batch.attempts import Ledger
from kyanite.batch.launching import NOTHING, Extra, LaunchSpec, job_launch, task_launch
from kyanite.batch.model import AttemptEnd, Fenced, Pool, Task, assigned, prepared
from kyanite.batch.node_turn import NodeKeeper
from kyanite.batch.nodes import takes_tasks
from kyanite.batch.pools import Launch
from kyanite.batch.specs import FailureInfo
from kyanite.batch.staging import StagingError
from kyanite.batch.store import Attempt, NodeRow, time_text
from kyanite.batch.surroundings import Surroundings
from kyanite.batch.trouble import Trouble
from kyanite.database import Row
from kyanite.errors import InvariantError, KyaniteError

_Deferred = Callable[[], None]


class Scheduler:
    """Moves the tasks and nodes of one database. A turn is taken by whoever calls, and when a node has news."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._at = surroundings
        self._store = surroundings.store
        self._turn = threading.RLock()
        self._changed = threading.Condition()
        self._ledger = Ledger(surroundings, self._wake)
        self._trouble = Trouble()
        self._keeper = NodeKeeper(surroundings, self._ledger, self._turn, self.notify, self._fails)
        self._ticks = 0
        self._dirty = True
        self._seen_version = -1
        self._last_pump = 0.0
        self._last_full = float("-inf")
        self._last_look = float("-inf")
        self._last_own_look = time.monotonic()
        self._last_sweep = float("-inf")
        self._listening: set[int] = set()
        self._thread: threading.Thread | None = None
        self._prepares_all = False
        self._closed = False

    def close(self) -> None:
        """Stop moving things; running tasks go on and are adopted by the next process that takes turns.

        What was assigned here and is run by no node yet is given back.
        """
        with self._turn:
            if not self._closed:
                self._closed = self._keeper.closed = True
                for given in list(self._ledger.given.values()):
                    if given.backend.fence(given.key):
                        with self._store.database.transaction():
                            self._ledger.settle(given.attempt, Fenced())
        self.notify()
        if self._thread is not None:
            self._thread.join(timeout=10)
        self._keeper.close()
        for backend in self._at.backends():
            backend.close()
        self._ledger.close()

    # ---- being told and waiting

    @property
    def ticks(self) -> int:
        """Grows whenever something changed in this process."""
        return self._ticks

    def notify(self) -> None:
        """Something changed: wake those who wait, take a turn soon if a node's thread is there to take it."""
        self._tell()
        self._wake()

    def _tell(self) -> None:
        with self._changed:
            self._ticks += 1
            self._dirty = True
            self._changed.notify_all()

    def _wake(self) -> None:
        for backend in self._at.backends():
            backend.wake()
            if self._thread is not None:
                return

    def wait(self, seen: int, seconds: float) -> None:
        """Sleep until something changed since `seen` ticks, at most so long."""
        with self._changed:
            if self._ticks == seen:
                self._changed.wait(seconds)

    def step(self) -> None:
        """Take a turn unless another thread is at it or did so a moment ago; for callers that poll."""
        if self._closed or not self._turn.acquire(blocking=False):
            return
        try:
            while self._dirty or time.monotonic() - self._last_pump >= limits.TASK_POLL_SECONDS:
                self.pump()
        finally:
            self._turn.release()

    def start(self) -> None:
        """Take turns in the background until closed, and prepare nodes before tasks wait for them."""
        with self._turn:
            if self._thread is None and not self._closed:
                self._prepares_all = self._trouble.to_log = True
                self._thread = threading.Thread(target=self._serve, name="scheduler", daemon=True)
                self._thread.start()

    def _serve(self) -> None:
        while not self._closed:
            ticks = self._ticks
            self._news()
            self.wait(ticks, limits.TASK_POLL_SECONDS)

    def _news(self) -> None:
        """A node has news, or somebody has: in whatever thread, a turn."""
        try:
            with self._turn:
                if not self._closed:
                    self._take_turn(None)
        except Exception as error:  # noqa: BLE001 - this thread, or the node's, must go on
            self._fails(error)
            self._tell()

    def _fails(self, error: Exception) -> None:
        if not self._closed:  # the database may be closed already
            self._trouble.add(error)

    # ---- one turn

    def pump(self, also: tuple[str, str] | None = None) -> bool:
        """One turn; nodes are prepared in pools with waiting tasks and in `also`. Whether anything moved."""
        with self._turn:
            if self._closed:
                return False
            self._trouble.raise_one()
            return self._take_turn(also)

    def _take_turn(self, also: tuple[str, str] | None) -> bool:
        self._ledger.new_turn()
        self._listen()
        ends = self._ends()
        for attempt, _end in ends:
            with contextlib.suppress(OSError):
                self._ledger.clear_up(attempt)
        moved = self._keeper.look()
        if time.monotonic() - self._last_sweep >= limits.RETENTION_SWEEP_SECONDS:
            self._last_sweep = time.monotonic()
            self.sweep()
        if self._at.autoscale is not None:
            moved |= self._at.autoscale(self._at.clock())
        moved |= self._work_on_nodes()
        if ends or moved or also or self._something_changed():
            moved |= self._record_and_assign(ends, also)
        self._last_pump = time.monotonic()
        if moved:
            self._tell()
        return moved

    def _listen(self) -> None:
        for backend in self._at.backends():
            if id(backend) not in self._listening:
                self._listening.add(id(backend))
                backend.listen(self._news)

    def _something_changed(self) -> bool:
        """Whether this process or another has changed the database since the last turn, or a second has passed."""
        with self._changed:
            told, self._dirty = self._dirty, False
        version = self._store.database.query("PRAGMA data_version")[0][0]
        late = time.monotonic() - self._last_full >= limits.TURN_SECONDS
        changed = told or version != self._seen_version or late
        self._seen_version = version
        return bool(changed)

    def _ends(self) -> list[tuple[Attempt, AttemptEnd]]:
        ends = self._ledger.told(self._at.backends())
        now = time.monotonic()
        if now - self._last_look >= limits.TASK_POLL_SECONDS:
            self._last_look = now
            own_too = now - self._last_own_look >= limits.NODE_LOOK_SECONDS
            if own_too:
                self._last_own_look = now
            ends += self._ledger.look(own_too)
        return list({attempt.id: (attempt, end) for attempt, end in ends}.values())

    def _work_on_nodes(self) -> bool:
        moved = False
        for row in self._store.rows("pools_with_node_work"):
            found = self._ledger.pool(row["account"], row["pool"])
            if found is not None:
                moved |= self._keeper.carry_out(found[0])
        return moved

    def _record_and_assign(self, ends: list[tuple[Attempt, AttemptEnd]], also: tuple[str, str] | None) -> bool:
        self._last_full = time.monotonic()
        deferred: list[_Deferred] = []
        try:
            with self._store.database.transaction():
                moved = self._record(ends)
                moved |= self._assign_all(also, deferred)
        except InvariantError:
            if not ends:
                raise
            return self._record_one_by_one(ends)
        self._ledger.gone(attempt for attempt, _end in ends)
        for work in deferred:
            work()
        self._stop_what_should()
        return moved or bool(deferred)

    def _record(self, ends: list[tuple[Attempt, AttemptEnd]]) -> bool:
        moved = False
        for attempt, end in ends:
            moved |= self._ledger.settle(attempt, end)
        if self._at.lifecycle is not None:
            moved |= self._at.lifecycle.step(self._store, self._at.clock())
        return moved

    def _record_one_by_one(self, ends: list[tuple[Attempt, AttemptEnd]]) -> bool:
        """One of them cannot be recorded: it must not keep the others from it."""
        for attempt, end in ends:
            try:
                with self._store.database.transaction():
                    self._ledger.settle(attempt, end)
            except InvariantError as error:
                self._trouble.add(error)
            self._ledger.gone([attempt])
        self._dirty = True
        return True

    # ---- assigning

    def _assign_all(self, also: tuple[str, str] | None, deferred: list[_Deferred]) -> bool:
        waiting = [(row["account"], row["pool"]) for row in self._store.rows("waiting_pools")]
        preparing = [(row["account"], row["pool"]) for row in self._preparing_pools()]
        for place in dict.fromkeys([*waiting, *preparing, *([also] if also else [])]):
            found = self._ledger.pool(*place)
            if found is not None:
                pool, start_version = found
                version, rows = self._keeper.version(pool, start_version), self._store.nodes(pool)
                deferred += self._keeper.prepare(pool, version, rows, start_version)
                if place in waiting:
                    self._assign(pool, [row for row in rows if takes_tasks(row, version)], deferred)
        self._launch_for_jobs(deferred)
        self._release_held(deferred)
        return bool(deferred)

    def _preparing_pools(self) -> list[dict[str, str]]:
        return [dict(row) for row in self._store.rows("pools_to_prepare")] if self._prepares_all else []

    def _assign(self, pool: Pool, usable: list[NodeRow], deferred: list[_Deferred]) -> None:
        rows = {row.node.id: row for row in usable}
        free = [
            FreeNode(row.node.id, row.node.total_slots - row.node.used_slots, row.node.total_slots)
            for row in rows.values()
            if row.node.used_slots < row.node.total_slots
        ]
        if not free:
            return
        key = {"account": pool.account.casefold(), "pool": pool.id.casefold()}
        most = sum(node.free for node in free) + len(free)
        jobs = {row["key"]: row for row in self._store.rows("waiting_jobs", **key)}
        waiting = [
            Waiting(
                row["sequence"],
                job,
                jobs[job]["priority"],
                row["sequence"],
                row["slots"],
                row["rank"],
                excluded,
                preferred_node(row["affinity"]),
            )
            for job in jobs
            if len(excluded := self._blocked_nodes(pool, jobs[job], free)) < len(free)
            for row in self._store.rows("waiting_tasks", job=job, widest=pool.spec.slots_per_node, most=most, **key)
        ]
        running = {job: row["running"] for job, row in jobs.items()}
        allowed = {job: row["max_parallel"] for job, row in jobs.items() if row["max_parallel"] >= 0}
        for item in assign(waiting, free, pack=pool.spec.pack, running=running, allowed=allowed):
            self._begin(pool, item.key, rows[item.node_id], deferred)

    def _blocked_nodes(self, pool: Pool, job: Row, free: list[FreeNode]) -> frozenset[str]:
        """Nodes on which the job's preparation failed for good."""
        if self._at.lifecycle is None or not job["prepares"]:
            return frozenset()
        key = {"account": pool.account.casefold(), "pool": pool.id.casefold(), "job": job["key"]}
        blocked = self._store.rows("blocked_nodes", **key)
        return frozenset(row["node"] for row in blocked) & {node.id for node in free}

    def _begin(self, pool: Pool, sequence: int, row: NodeRow, deferred: list[_Deferred]) -> None:
        """The intent: task and attempt are written in one transaction, nothing has started yet."""
        found = self._store.task_by_sequence(sequence)
        if found is None:
            raise InvariantError(f"Task {sequence} vanished while it was assigned.")
        task, now = found[0], self._at.clock()
        hold = self._must_wait(pool, task, row.node.id)
        moved = assigned(task, row.node.id, now, hold=hold)
        if not self._store.move_task(sequence, task, moved):
            raise InvariantError(f"Task {sequence} changed while it was assigned.")
        slots = moved.spec.required_slots
        attempt = self._ledger.open("task", pool, row.node.id, moved.attempt, slots, (sequence, moved))

        def begin() -> None:
            self._ledger.give(attempt, moved, held=hold)
            if not hold:
                self._launch_task(attempt, moved, pool, row.node.dedicated)

        deferred.append(begin)

    def _must_wait(self, pool: Pool, task: Task, node: str) -> bool:
        if self._at.lifecycle is None:
            return False
        job = self._ledger.job(task.account, task.job_id)
        if job is None or not job.document.get("jobPreparationTask"):
            return False
        ready = self._at.lifecycle.ready_on(self._store, pool.account, job.id.casefold(), node, self._at.clock())
        return ready != "ready"

    def _release_held(self, deferred: list[_Deferred]) -> None:
        """Tasks that were held back for their job's preparation: begin them, or give them back."""
        for given in [given for given in self._ledger.given.values() if given.held and given.task is not None]:
            attempt = given.attempt
            found = self._store.task_by_sequence(attempt.task or 0)
            pool = self._ledger.pool(attempt.account, attempt.pool)
            if found is None or pool is None or self._at.lifecycle is None:
                continue
            state = self._at.lifecycle.ready_on(
                self._store, attempt.account, attempt.job or "", attempt.node, self._at.clock()
            )
            if found[0].stop_reason is not None or state == "blocked":
                if given.backend.fence(given.key):
                    self._ledger.settle(attempt, Fenced())
                    deferred.append(lambda attempt=attempt: self._ledger.gone([attempt]))  # type: ignore[misc]
            elif state == "ready":
                moved = prepared(found[0], self._at.clock())
                self._store.move_task(attempt.task or 0, found[0], moved)
                deferred.append(lambda a=attempt, m=moved, p=pool[0]: self._begin_held(a, m, p))  # type: ignore[misc]

    def _begin_held(self, attempt: Attempt, task: Task, pool: Pool) -> None:
        self._ledger.give(attempt, task)
        self._launch_task(attempt, task, pool, True)

    def _launch_for_jobs(self, deferred: list[_Deferred]) -> None:
        """Preparations and releases that the rules of jobs have opened."""
        if self._at.lifecycle is None:
            return
        for row in self._store.rows("attempts_to_launch"):
            attempt = next(item for item in self._store.open_attempts() if item.id == row["id"])
            pool = self._ledger.pool(attempt.account, attempt.pool)
            spec = self._at.lifecycle.launch_of(self._store, attempt)
            self._store.change("take_attempt", id=attempt.id, launcher=self._ledger.launcher, at=self._now_text())
            if pool is None or spec is None:
                self._ledger.settle(attempt, Fenced())
                continue
            deferred.append(partial(self._launch_job, attempt, spec, pool[0]))

    def _now_text(self) -> str:
        return time_text(self._at.clock())

    def _launch_job(self, attempt: Attempt, spec: LaunchSpec, pool: Pool) -> None:
        extra = self._extra(attempt, pool)
        if extra is not None:
            self._launch(attempt, job_launch(self._ledger.account(attempt.account), pool, spec, attempt, extra))

    def _launch_task(self, attempt: Attempt, task: Task, pool: Pool, dedicated: bool) -> None:
        job = self._ledger.job(task.account, task.job_id)
        if job is None:
            raise InvariantError(f"Job '{task.job_id}' vanished under a running task.")
        account = self._ledger.account(attempt.account)
        extra = self._extra(attempt, pool, task)
        if extra is not None:
            self._launch(attempt, task_launch(account, pool, job, task, attempt, dedicated, extra))

    def _launch(self, attempt: Attempt, launch: Launch) -> None:
        if attempt.id not in self._ledger.given:
            self._ledger.give(attempt)
        self._ledger.backend(attempt).launch(launch)

    def _extra(self, attempt: Attempt, pool: Pool, task: Task | None = None) -> Extra | None:
        """What the surroundings add; None when the attempt fails for want of it."""
        at = self._at
        account = self._ledger.account(pool.account.casefold())
        try:
            environment = at.task_environment(pool) if at.task_environment else {}
            packages = at.packages(account, pool, task) if at.packages else ()
            token = at.token(account, task) if at.token and task else None
        except StagingError as error:
            self._ledger.fails(attempt, error.failure)
            return None
        except KyaniteError as error:
            self._ledger.fails(attempt, FailureInfo("ServerError", "CommandLaunchFailed", error.message))
            return None
        return Extra(environment, packages, token) if environment or packages or token else NOTHING

    # ---- stopping

    def request_stop(self, attempt: Attempt) -> None:
        """End a running attempt: fenced when no node runs it yet, stopped by its node otherwise."""
        with self._turn:
            if self._closed:
                return
            end = self._ledger.stop(attempt)
            if end is not None:
                with self._store.database.transaction():
                    self._ledger.settle(attempt, end)
                self._ledger.gone([attempt])
        self.notify()

    def _stop_what_should(self) -> None:
        for attempt in self._store.stops_wanted():
            self._store.change("stop_told", id=attempt.id)
            end = self._ledger.stop(attempt)
            if end is not None:
                with self._store.database.transaction():
                    self._ledger.settle(attempt, end)
                self._ledger.gone([attempt])
            self._dirty = True

    # ---- retention

    def sweep(self) -> None:
        """Remove the folders of tasks whose retention is over, and deleted tasks altogether."""
        now = self._at.clock()
        for sequence, task, deleted in self._store.tasks_to_clean(now):
            try:
                self._remove_files(sequence, task)
            except OSError:
                later = time_text(now + timedelta(hours=1))
                self._store.change("remove_later", sequence=sequence, at=later)
                continue
            with self._store.database.transaction():
                self._store.change("files_removed", sequence=sequence)
                if deleted:
                    self._store.change("drop_attempts", sequence=sequence)
                    self._store.change("drop_task", sequence=sequence)

    def _remove_files(self, sequence: int, task: Task) -> None:
        for attempt in self._store.attempts_of(sequence):
            key, backend = self._ledger.key(attempt), self._ledger.backend(attempt)
            backend.files(key.place).remove(tuple(task.root_directory.split("/")))
            backend.forget(key)
