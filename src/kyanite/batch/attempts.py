"""The attempts that are open: written down before anything starts, closed by whoever is first, never forgotten.

An attempt that this process launched is told to it; any other is looked at. Reliability reference 3.2.
"""

from __future__ import annotations

import json
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from kyanite import limits
from kyanite.batch import processes
from kyanite.batch.files import split_path
from kyanite.batch.model import (
    Account,
    AttemptEnd,
    Exited,
    FailureInfo,
    Fenced,
    Job,
    Lost,
    Pool,
    Task,
    TaskState,
    after_attempt,
)
from kyanite.batch.pools import Key, Place, PoolBackend, Seen, read_ending
from kyanite.batch.store import Attempt, time_text
from kyanite.batch.surroundings import Surroundings
from kyanite.errors import InvariantError


@dataclass(frozen=True)
class Given:
    """An attempt that this process opened; `task` as it was then. `held` waits for its job's preparation."""

    attempt: Attempt
    key: Key
    backend: PoolBackend
    task: Task | None = None
    held: bool = False


class Ledger:
    """Opens, watches and closes the attempts of one database."""

    def __init__(self, at: Surroundings, wake: Callable[[], None]) -> None:
        self._at = at
        self._store = at.store
        self._wake = wake
        self.me = {**processes.identity("server"), "instance": uuid.uuid4().hex}
        self.launcher = json.dumps(self.me)
        self.given: dict[int, Given] = {}
        self._adopted: dict[int, Given] = {}
        self._aside: deque[tuple[Attempt, AttemptEnd]] = deque()
        self._uploading: set[int] = set()
        self._uploads: ThreadPoolExecutor | None = None
        self._pools: dict[tuple[str, str], tuple[Pool, str] | None] = {}
        self._accounts: dict[str, Account] = {}
        self._jobs: dict[tuple[str, str], Job | None] = {}
        self.settle_start: Callable[[Attempt, AttemptEnd], None] = lambda _attempt, _end: None

    def close(self) -> None:
        """Wait for uploads under way; they are done again by the next process if they were not recorded."""
        if self._uploads is not None:
            self._uploads.shutdown(wait=True, cancel_futures=True)

    # ---- what attempts refer to, read at most once per turn

    def new_turn(self) -> None:
        """Forget what was read: it may have changed."""
        self._pools.clear()
        self._accounts.clear()
        self._jobs.clear()

    def pool(self, account: str, key: str) -> tuple[Pool, str] | None:
        """A pool and its start task's version."""
        place = (account.casefold(), key.casefold())
        if place not in self._pools:
            self._pools[place] = self._store.pool(*place)
        return self._pools[place]

    def account(self, name: str) -> Account:
        """An account by its key."""
        if name not in self._accounts:
            account = self._store.account(name)
            if account is None:
                raise InvariantError(f"Batch account '{name}' vanished.")
            self._accounts[name] = account
        return self._accounts[name]

    def job(self, account: str, key: str) -> Job | None:
        """A job."""
        place = (account.casefold(), key.casefold())
        if place not in self._jobs:
            self._jobs[place] = self._store.job(*place)
        return self._jobs[place]

    def backend(self, attempt: Attempt) -> PoolBackend:
        """The backend of an attempt's pool; a pool that is gone was a local one."""
        found = self.pool(attempt.account, attempt.pool)
        return self._at.backend(found[0].spec.backend if found else "local")

    def key(self, attempt: Attempt) -> Key:
        """An attempt as backends know it."""
        found = self.pool(attempt.account, attempt.pool)
        pool_id = found[0].id if found else attempt.pool
        return Key(Place(self.account(attempt.account).name, pool_id, attempt.node), attempt.id)

    # ---- opening

    def open(
        self, kind: str, pool: Pool, node: str, number: int, slots: int, task: tuple[int, Task] | None = None
    ) -> Attempt:
        """Write down that something is about to be launched (inside a transaction); the attempt."""
        now = self._at.clock()
        row: dict[str, Any] = {
            "kind": kind,
            "account": pool.account.casefold(),
            "pool": pool.id.casefold(),
            "node": node,
            "task": task[0] if task else None,
            "job": task[1].job_id.casefold() if task else None,
            "number": number,
        }
        self._store.change("open_attempt", **row, slots=slots, launcher=self.launcher, at=time_text(now))
        identity = self._store.rows("new_attempt")[0]["id"]
        return Attempt(id=identity, launcher=self.me, launched_at=now, **row)

    def give(self, attempt: Attempt, task: Task | None = None, held: bool = False) -> Given:
        """Remember an attempt whose end will be told to this process."""
        given = Given(attempt, self.key(attempt), self.backend(attempt), task, held)
        self.given[attempt.id] = given
        return given

    # ---- watching

    def told(self, backends: Iterable[PoolBackend]) -> list[tuple[Attempt, AttemptEnd]]:
        """The ends that backends reported, those found by polling what they could not tell, and finished uploads."""
        ends: list[tuple[Attempt, AttemptEnd]] = []
        doubtful: list[Given] = []
        for backend in backends:
            for report in backend.reports():
                given = self.given.get(report.attempt) or self._adopted.get(report.attempt)
                if given is None:
                    continue  # another process's, or settled already
                if report.end is not None:
                    ends.append((given.attempt, report.end))
                else:
                    doubtful.append(given)
        ends += self._poll(doubtful, own=True)
        ready = [item for item in ends if not self._uploaded_later(*item)]
        while self._aside:
            ready.append(self._aside.popleft())
        return list({attempt.id: (attempt, end) for attempt, end in ready}.values())

    def look(self, all_of_them: bool = False) -> list[tuple[Attempt, AttemptEnd]]:
        """Look at open attempts that nobody tells this process about; at its own too when asked to."""
        others: list[Given] = []
        mine: list[Given] = []
        seen: dict[int, Given] = {}
        for attempt in self._store.open_attempts():
            given = self.given.get(attempt.id)
            if given is not None:
                mine.append(given)
                continue
            kept = self._adopted.get(attempt.id) or Given(attempt, self.key(attempt), self.backend(attempt))
            seen[attempt.id] = kept
            if attempt.launcher:
                others.append(kept)
        self._adopted = seen
        ends = self._poll(others, own=False)
        if all_of_them:
            ends += [end for end in self._poll(mine, own=False) if isinstance(end[1], Exited | Lost)]
        return [item for item in ends if not self._uploaded_later(*item)]

    def fails(self, attempt: Attempt, failure: FailureInfo) -> None:
        """An attempt cannot be launched; the next turn records it."""
        self._aside.append((attempt, Exited(None, None, None, failure)))
        self._wake()

    def _poll(self, many: list[Given], *, own: bool) -> list[tuple[Attempt, AttemptEnd]]:
        ends: list[tuple[Attempt, AttemptEnd]] = []
        by_backend: dict[int, list[Given]] = {}
        for given in many:
            by_backend.setdefault(id(given.backend), []).append(given)
        for group in by_backend.values():
            seen = group[0].backend.poll([given.key for given in group])
            for given in group:
                end = self._end_of(given, seen[given.attempt.id], own)
                if end is not None:
                    ends.append((given.attempt, end))
        return ends

    def _end_of(self, given: Given, seen: Seen, own: bool) -> AttemptEnd | None:
        match seen.status:
            case "ended" if seen.ending is not None:
                return read_ending(seen.ending)
            case "fenced":
                return Fenced()
            case "lost":
                return Lost()
            case "unclaimed" if own:  # its node was told and is gone; counted, so that it cannot go on for ever
                return Lost() if given.backend.fence(given.key) else None
            case "unclaimed" if not self._is_being_launched(given.attempt) and given.backend.fence(given.key):
                return Fenced()
            case _:
                return None

    def _is_being_launched(self, attempt: Attempt) -> bool:
        """Judged from the launch itself: an attempt that never gave a sign of life has no other time to go by."""
        if self._at.clock() - attempt.launched_at > timedelta(seconds=limits.TASK_PREPARING_SECONDS):
            return False
        if attempt.launcher.get("instance") == self.me["instance"]:
            return attempt.id in self.given
        return processes.is_alive(attempt.launcher)

    # ---- between the end of a command and that of its task

    def _uploaded_later(self, attempt: Attempt, end: AttemptEnd) -> bool:
        """Whether output files must be uploaded first; the end then comes back with what became of them."""
        if attempt.kind != "task" or self._at.upload is None or not isinstance(end, Exited) or end.exit_code is None:
            return False
        if attempt.id in self._uploading:
            return True
        given = self.given.get(attempt.id) or self._adopted.get(attempt.id)
        task = given.task if given and given.task else self._task(attempt)
        if task is None or not task.spec.document.get("outputFiles") or not self._has_files_here(attempt):
            return False
        if end.failure is None and after_attempt(task, end, self._at.clock()).state is not TaskState.COMPLETED:
            return False  # it runs again: only the last run's files count
        if self._uploads is None:
            self._uploads = ThreadPoolExecutor(limits.STAGING_AT_ONCE, "uploads")
        self._uploading.add(attempt.id)
        key, backend = self.key(attempt), self.backend(attempt)
        self._uploads.submit(self._upload, attempt, task, key, backend, end)
        return True

    def _has_files_here(self, attempt: Attempt) -> bool:
        """Whether the node's files are on this machine; a node elsewhere uploads by itself."""
        place = self.key(attempt).place
        return self.backend(attempt).node_folder(place.account, place.pool, place.node) is not None

    def _upload(self, attempt: Attempt, task: Task, key: Key, backend: PoolBackend, end: Exited) -> None:
        root = backend.node_folder(key.place.account, key.place.pool, key.place.node)
        try:
            problem = None
            if root is not None and self._at.upload is not None:
                problem = self._at.upload(task, root.joinpath(*task.root_directory.split("/")), end)
        except Exception as error:  # noqa: BLE001 - nobody waits for this thread; the attempt must end all the same
            problem = FailureInfo(
                "UserError", "FileUploadMiscError", f"The output files could not be uploaded: {error}"
            )
        self._aside.append((attempt, replace(end, failure=end.failure or problem)))
        self._wake()

    def _task(self, attempt: Attempt) -> Task | None:
        found = self._store.task_by_sequence(attempt.task or 0)
        return found[0] if found else None

    def clear_up(self, attempt: Attempt) -> None:
        """Remove the files of an ended attempt that hold secrets; before its end is recorded."""
        if attempt.kind != "task":
            return
        given = self.given.get(attempt.id)
        task = given.task if given and given.task else self._task(attempt)
        for file in task.spec.resource_files if task else ():
            if task is not None and not file.keep:
                files = self.backend(attempt).files(self.key(attempt).place)
                files.remove((*task.root_directory.split("/"), "wd", *split_path(file.file_path)))

    # ---- closing

    def settle(self, attempt: Attempt, end: AttemptEnd) -> bool:
        """Record how an attempt ended (inside a transaction); False when somebody else has done so."""
        ending = type(end).__name__.lower()
        now = self._at.clock()
        if not self._store.change("close_attempt", id=attempt.id, at=time_text(now), ending=ending):
            return False
        match attempt.kind:
            case "start":
                self.settle_start(attempt, end)
            case "task":
                self._settle_task(attempt, end)
            case _ if self._at.lifecycle is not None:
                self._at.lifecycle.attempt_ended(self._store, attempt, end, now)
        return True

    def _settle_task(self, attempt: Attempt, end: AttemptEnd) -> None:
        task = self._task(attempt)
        if task is None:
            raise InvariantError(f"The task of attempt {attempt.id} vanished while it ran.")
        if task.state not in (TaskState.RUNNING, TaskState.PREPARING) or task.attempt != attempt.number:
            raise InvariantError(f"Attempt {attempt.number} ended while its task is {task.state}.", where=task.id)
        if not self._store.move_task(attempt.task or 0, task, after_attempt(task, end, self._at.clock())):
            raise InvariantError("The task changed while its attempt was closed.", where=task.id)

    def gone(self, attempts: Iterable[Attempt]) -> None:
        """Forget attempts that are settled and committed."""
        for attempt in attempts:
            self.given.pop(attempt.id, None)
            self._adopted.pop(attempt.id, None)
            self._uploading.discard(attempt.id)

    # ---- stopping

    def stop(self, attempt: Attempt) -> AttemptEnd | None:
        """End an attempt: fenced when nobody runs it yet (that is its end), stopped by its node otherwise."""
        key, backend = self.key(attempt), self.backend(attempt)
        if backend.fence(key):
            return Fenced()
        backend.stop(key, limits.KILL_GRACE_SECONDS)
        return None
