"""Assign, launch, watch, record, recover: the one loop body that moves tasks and nodes.

Any number of processes may run it on one database. An attempt is written down before anything starts; whoever closes
its row records its end; a runner and a fence compete for its claim (reliability reference 3.2).
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from kyanite import limits
from kyanite.batch import nodes, task_runner
from kyanite.batch.assign import FreeNode, Waiting, assign
from kyanite.batch.files import read_range, remove_file, remove_folder, split_path
from kyanite.batch.launching import launch_start_task, launch_task, make_node_folders
from kyanite.batch.model import (
    TASK_ENDED,
    Account,
    AttemptEnd,
    Exited,
    FailureInfo,
    Fenced,
    Lost,
    Pool,
    Task,
    TaskState,
    after_attempt,
    assigned,
)
from kyanite.batch.pools import PoolBackend, Seen
from kyanite.batch.staging import OpenUrl, StagingError
from kyanite.batch.store import Attempt, NodeRow, Store, read_time, time_text
from kyanite.errors import BatchError, InvariantError, KyaniteError


@dataclass(frozen=True)
class Surroundings:
    """What the scheduler works with."""

    store: Store
    backend: Callable[[str], PoolBackend]
    open_url: OpenUrl
    clock: Callable[[], datetime]
    mask: Callable[[str], str]


class Scheduler:
    """Moves the tasks of one database; holds the threads that wait for the runners this process started."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._at = surroundings
        self._store = surroundings.store
        self._me = {**task_runner.identity("server"), "instance": uuid.uuid4().hex}
        self._watched: set[int] = set()
        self._turn = threading.RLock()
        self._changed = threading.Condition()
        self._ticks = 0
        self._dirty = True
        self._last_pump = 0.0
        self._last_sweep = float("-inf")
        self._trouble: list[Exception] = []
        self._closed = False

    def close(self) -> None:
        """Stop moving things; running tasks go on and are adopted by the next process that pumps.

        What was assigned here and has no runner yet is given back.
        """
        with self._turn:
            if not self._closed:
                for attempt in self._store.open_attempts():
                    mine = attempt.id in self._watched
                    if mine and self._look(attempt).status == "unclaimed" and self._fence(attempt):
                        self.settle(attempt, Fenced())
            self._closed = True
        self.notify()

    # ---- being told and waiting

    @property
    def ticks(self) -> int:
        """Grows whenever something changed in this process."""
        return self._ticks

    def notify(self) -> None:
        """Something changed: wake those who wait, look again at the next step."""
        with self._changed:
            self._ticks += 1
            self._dirty = True
            self._changed.notify_all()

    def wait(self, seen: int, seconds: float) -> None:
        """Sleep until something changed since `seen` ticks, at most so long."""
        with self._changed:
            if self._ticks == seen:
                self._changed.wait(seconds)

    def step(self) -> None:
        """Pump unless another thread is at it or did so a moment ago; for callers that poll."""
        if not self._turn.acquire(blocking=False):
            return
        try:
            while self._dirty or time.monotonic() - self._last_pump >= limits.TASK_POLL_SECONDS:
                self._dirty = False
                self.pump()
        finally:
            self._turn.release()

    # ---- one turn

    def pump(self, also: tuple[str, str] | None = None) -> bool:
        """One turn: watch attempts, sweep, prepare nodes of pools with waiting tasks (and of `also`), assign."""
        with self._turn:
            if self._closed:
                return False
            if self._trouble:
                raise self._trouble.pop(0)
            moved = self._watch()
            if time.monotonic() - self._last_sweep >= limits.RETENTION_SWEEP_SECONDS:
                self._last_sweep = time.monotonic()
                self.sweep()
            pools = [(row["account"], row["pool"]) for row in self._store.rows("waiting_pools")]
            for account, key in dict.fromkeys([*pools, *([also] if also else [])]):
                found = self._store.pool(account, key)
                if found is not None:
                    moved |= self._prepare_nodes(*found)
                    moved |= self._assign(*found)
            self._last_pump = time.monotonic()
            if moved:
                self.notify()
            return moved

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
        found = self._store.pool(task.account, task.pool_id)
        if found is None:
            return
        backend = self._backend(found[0])
        for row in self._store.rows("attempts_of_task", sequence=sequence):
            root = backend.node_folder(self._name(task.account), task.pool_id, row["node"])
            if root.is_dir():
                remove_folder(root, tuple(task.root_directory.split("/")))
                remove_folder(root, ("volatile", "attempts", str(row["id"])))

    # ---- nodes

    def _prepare_nodes(self, pool: Pool, start_version: str) -> bool:
        """Begin preparing one node that needs it; start tasks of a pool share its environment, so one at a time."""
        backend = self._backend(pool)
        version = nodes.wanted_version(start_version, backend.stamp(self._name(pool.account), pool.id))
        moved = nodes.drop_leaving(self._store, backend, self._name(pool.account), pool)
        if not any(nodes.needs_preparing(row, version) for row in self._store.nodes(pool)):
            return moved
        key = {"account": pool.account.casefold(), "pool": pool.id.casefold()}
        with self._store.database.transaction():
            if self._store.rows("starting_in_pool", **key)[0]["n"]:
                return moved
            row = next((row for row in self._store.nodes(pool) if nodes.needs_preparing(row, version)), None)
            if row is None:
                return moved
            self._store.move_node(pool, nodes.starting(row, self._at.clock()), self._at.clock())
            number = row.retries + row.losses + 1
            attempt = self._open_attempt("start", row.node.id, {**key, "number": number, "slots": 0})
        self._carry(attempt, partial(self._run_start, attempt, pool, self._account(pool.account), start_version))
        return True

    def _run_start(
        self, attempt: Attempt, pool: Pool, account: Account, start_version: str
    ) -> Callable[[], int] | AttemptEnd:
        backend = self._backend(pool)
        make_node_folders(backend, account.name, pool.id, attempt.node)
        stamp = backend.prepare(account.name, pool.id, lambda _line: None)
        start = pool.spec.start_task
        if start is None:
            return Exited(0, None, None)
        with self._turn:
            row = None if self._closed else self._node_row(pool, attempt)
            if row is None or row.starting != attempt.id:
                return Fenced()
            now = self._at.clock()
            version = nodes.wanted_version(start_version, stamp)
            self._store.move_node(pool, nodes.environment_ready(row, start, version, now), now)
        self.notify()
        return launch_start_task(backend, account, pool, start, attempt, self._at.open_url)

    def _settle_start(self, attempt: Attempt, end: AttemptEnd) -> None:
        found = self._store.pool(attempt.account, attempt.pool)
        row = self._node_row(found[0], attempt) if found else None
        if found is None or row is None:
            return
        pool, start_version = found
        now = self._at.clock()
        if pool.spec.start_task is None and isinstance(end, Exited) and end.failure is None:
            stamp = self._backend(pool).stamp(self._name(pool.account), pool.id)
            moved = nodes.environment_ready(row, None, nodes.wanted_version(start_version, stamp), now)
        else:
            tail = self._stderr_tail(pool, attempt) if not isinstance(end, Fenced) else ""
            moved = nodes.after_start_task(row, pool.spec.start_task, end, now, tail)
            if isinstance(end, Exited) and end.exit_code is None:  # held until the pool changes or is prepared anew
                stamp = self._backend(pool).stamp(self._name(pool.account), pool.id)
                moved = replace(moved, version=nodes.wanted_version(start_version, stamp))
        self._store.move_node(pool, moved, now)

    def _stderr_tail(self, pool: Pool, attempt: Attempt) -> str:
        root = self._backend(pool).node_folder(self._name(pool.account), pool.id, attempt.node)
        try:
            text = read_range(root, ("startup", "stderr.txt"), 0, None).decode(errors="replace")
        except BatchError:
            return ""
        return self._at.mask(text[-limits.STDERR_TAIL_CHARACTERS :])

    def _node_row(self, pool: Pool, attempt: Attempt) -> NodeRow | None:
        return next((row for row in self._store.nodes(pool) if row.node.id == attempt.node), None)

    # ---- tasks

    def _assign(self, pool: Pool, start_version: str) -> bool:
        stamp = self._backend(pool).stamp(self._name(pool.account), pool.id)
        version = nodes.wanted_version(start_version, stamp)
        if not self._free_nodes(pool, version):
            return False
        key = {"account": pool.account.casefold(), "pool": pool.id.casefold()}
        begun: list[tuple[Attempt, Task]] = []
        with self._store.database.transaction():
            free = self._free_nodes(pool, version)
            most = sum(node.free for node in free) + len(free)
            jobs = self._store.rows("waiting_jobs", **key)
            waiting = [
                Waiting(row["sequence"], job["key"], job["priority"], row["sequence"], row["slots"])
                for job in jobs
                for row in self._store.rows(
                    "waiting_tasks", job=job["key"], widest=pool.spec.slots_per_node, most=most, **key
                )
            ]
            running = {job["key"]: job["running"] for job in jobs}
            allowed = {job["key"]: job["max_parallel"] for job in jobs if job["max_parallel"] >= 0}
            for item in assign(waiting, free, pack=pool.spec.pack, running=running, allowed=allowed):
                begun.append(self._begin(item.key, item.node_id))
        for attempt, task in begun:
            self._carry_task(attempt, task, pool)
        return bool(begun)

    def _free_nodes(self, pool: Pool, version: str) -> list[FreeNode]:
        return [
            FreeNode(row.node.id, row.node.total_slots - row.node.used_slots, row.node.total_slots)
            for row in self._store.nodes(pool)
            if nodes.takes_tasks(row, version) and row.node.used_slots < row.node.total_slots
        ]

    def _begin(self, sequence: int, node: str) -> tuple[Attempt, Task]:
        """The intent: task and attempt are written in one transaction, nothing has started yet."""
        found = self._store.task_by_sequence(sequence)
        if found is None:
            raise InvariantError(f"Task {sequence} vanished while it was assigned.")
        moved = assigned(found[0], node, self._at.clock())
        if not self._store.move_task(sequence, found[0], moved):
            raise InvariantError(f"Task {sequence} changed while it was assigned.")
        attempt = self._open_attempt(
            "task",
            node,
            {
                "account": moved.account.casefold(),
                "pool": moved.pool_id.casefold(),
                "number": moved.attempt,
                "slots": moved.spec.required_slots,
            },
            task=sequence,
            job=moved.job_id.casefold(),
        )
        return attempt, moved

    def _carry_task(self, attempt: Attempt, task: Task, pool: Pool) -> None:
        job = self._store.job(task.account, task.job_id)
        if job is None:
            raise InvariantError(f"Job '{task.job_id}' vanished under a running task.")
        account = self._account(task.account)
        self._carry(attempt, partial(launch_task, self._backend(pool), account, job, task, attempt, self._at.open_url))

    def _settle_task(self, attempt: Attempt, end: AttemptEnd) -> None:
        found = self._store.task_by_sequence(attempt.task or 0)
        if found is None:
            raise InvariantError(f"The task of attempt {attempt.id} vanished while it ran.")
        task, _ = found
        if task.state is not TaskState.RUNNING or task.attempt != attempt.number:
            raise InvariantError(f"Attempt {attempt.number} ended while its task is {task.state}.", where=task.id)
        pool = self._store.pool(attempt.account, attempt.pool)
        if pool is not None:
            root = self._backend(pool[0]).node_folder(self._name(attempt.account), pool[0].id, attempt.node)
            for file in task.spec.resource_files:
                if not file.keep and root.is_dir():
                    parts = (*task.root_directory.split("/"), "wd", *split_path(file.file_path))
                    remove_file(root, parts)
        self._store.move_task(attempt.task or 0, task, after_attempt(task, end, self._at.clock()))

    # ---- attempts

    def _open_attempt(
        self, kind: str, node: str, row: Mapping[str, Any], task: int | None = None, job: str | None = None
    ) -> Attempt:
        now = self._at.clock()
        self._store.change(
            "open_attempt",
            kind=kind,
            node=node,
            task=task,
            job=job,
            launcher=json.dumps(self._me),
            at=time_text(now),
            **row,
        )
        identity = self._store.rows("new_attempt")[0]["id"]
        self._watched.add(identity)
        return Attempt(identity, kind, row["account"], row["pool"], node, task, row["number"], self._me, now)

    def _carry(self, attempt: Attempt, begin: Callable[[], Callable[[], int] | AttemptEnd]) -> None:
        """Launch an attempt and wait for its runner in a thread of its own."""
        thread = threading.Thread(
            target=self._carry_out, args=(attempt, begin), name=f"attempt-{attempt.id}", daemon=True
        )
        thread.start()

    def _carry_out(self, attempt: Attempt, begin: Callable[[], Callable[[], int] | AttemptEnd]) -> None:
        try:
            end = self._end_of(attempt, begin)
            with self._turn:
                self._watched.discard(attempt.id)
                if not self._closed:
                    if end is not None:
                        self.settle(attempt, end)
                    self.pump()
        except (KyaniteError, OSError, ValueError) as error:
            self._trouble.append(error)  # raised by the next pump, in the thread of whoever asks
        finally:
            self._watched.discard(attempt.id)
            self.notify()

    def _end_of(self, attempt: Attempt, begin: Callable[[], Callable[[], int] | AttemptEnd]) -> AttemptEnd | None:
        try:
            begun = begin()
        except StagingError as error:
            return Exited(None, None, None, error.failure)
        except (BatchError, OSError, ValueError) as error:
            message = error.message if isinstance(error, BatchError) else str(error)
            return Exited(None, None, None, FailureInfo("ServerError", "CommandLaunchFailed", message))
        if not callable(begun):
            return begun
        begun()
        with self._turn:
            return None if self._closed else self._end_after_runner(attempt)

    def _end_after_runner(self, attempt: Attempt) -> AttemptEnd | None:
        seen = self._look(attempt)
        if seen.status == "unclaimed" and self._fence(attempt):
            return Lost()  # its runner ended before it could take the attempt
        return self._read(attempt, self._look(attempt))

    def settle(self, attempt: Attempt, end: AttemptEnd) -> bool:
        """Record how an attempt ended; False when somebody else has done so."""
        with self._store.database.transaction():
            ending = type(end).__name__.lower()
            if not self._store.change("close_attempt", id=attempt.id, at=time_text(self._at.clock()), ending=ending):
                return False
            if attempt.kind == "start":
                self._settle_start(attempt, end)
            else:
                self._settle_task(attempt, end)
        self.notify()
        return True

    def _watch(self) -> bool:
        """Look at attempts that no thread here waits for: adopted ones, and those whose launcher is gone."""
        moved = False
        for attempt in self._store.open_attempts():
            if attempt.id not in self._watched:
                end = self._recover(attempt)
                moved |= end is not None and self.settle(attempt, end)
        return moved

    def _recover(self, attempt: Attempt) -> AttemptEnd | None:
        seen = self._look(attempt)
        if seen.status == "unclaimed":
            if self._is_being_launched(attempt) or not self._fence(attempt):
                return None
            return Fenced()
        return self._read(attempt, seen)

    def _is_being_launched(self, attempt: Attempt) -> bool:
        """Judged from the launch itself: an attempt that never gave a sign of life has no other time to go by."""
        if self._at.clock() - attempt.launched_at > timedelta(seconds=limits.TASK_PREPARING_SECONDS):
            return False
        if attempt.launcher.get("instance") == self._me["instance"]:
            return False
        return task_runner.is_alive(attempt.launcher)

    def _read(self, attempt: Attempt, seen: Seen) -> AttemptEnd | None:
        match seen.status:
            case "ended" if seen.ending is not None:
                return _exited(seen.ending)
            case "fenced":
                return Fenced()
            case "lost":
                return Lost()
            case _:
                return None

    def request_stop(self, attempt: Attempt) -> None:
        """End a running attempt: fenced when no runner has it yet, stopped by its runner otherwise."""
        if self._fence(attempt):
            self.settle(attempt, Fenced())
            return
        found = self._store.pool(attempt.account, attempt.pool)
        if found is not None:
            self._backend(found[0]).stop(self._folder(attempt))

    # ---- places

    def _look(self, attempt: Attempt) -> Seen:
        return self._backend_of(attempt).inspect(self._folder(attempt))

    def _fence(self, attempt: Attempt) -> bool:
        return self._backend_of(attempt).fence(self._folder(attempt))

    def _folder(self, attempt: Attempt) -> Path:
        found = self._store.pool(attempt.account, attempt.pool)
        pool_id = found[0].id if found else attempt.pool
        return self._backend_of(attempt).attempt_folder(self._name(attempt.account), pool_id, attempt.node, attempt.id)

    def _backend_of(self, attempt: Attempt) -> PoolBackend:
        found = self._store.pool(attempt.account, attempt.pool)
        return self._at.backend(found[0].spec.backend if found else "local")

    def _backend(self, pool: Pool) -> PoolBackend:
        return self._at.backend(pool.spec.backend)

    def _account(self, name: str) -> Account:
        account = self._store.account(name)
        if account is None:
            raise InvariantError(f"Batch account '{name}' vanished.")
        return account

    def _name(self, account: str) -> str:
        return self._account(account).name


def _exited(ending: Mapping[str, Any]) -> Exited:
    failure = FailureInfo.from_json(ending["failure"]) if ending.get("failure") else None
    if failure is not None and failure.code == "TaskEnded" and ending.get("reason") == "stopped":
        failure = replace(TASK_ENDED)
    return Exited(ending["exitCode"], read_time(ending["startTime"]), read_time(ending["endTime"]), failure)
