"""The operations on Batch accounts, pools, nodes, jobs and tasks, on the workspace's database and disk."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kyanite import limits
from kyanite.batch import diagnosis
from kyanite.batch.command_line import parse_command_line
from kyanite.batch.files import FileEntry, list_folder, read_range, split_path
from kyanite.batch.model import (
    Account,
    Job,
    Node,
    NodeState,
    Pool,
    PoolSpec,
    Task,
    TaskSpec,
    TaskState,
    check_identifier,
    terminated,
)
from kyanite.batch.nodes import drop_leaving, needs_preparing, resize, wanted_version
from kyanite.batch.pools import PoolBackend, open_backend
from kyanite.batch.preparing import watch_preparation
from kyanite.batch.scheduler import Scheduler, Surroundings
from kyanite.batch.staging import OpenUrl, check_paths
from kyanite.batch.store import Attempt, Store, time_text
from kyanite.database import Database
from kyanite.errors import BatchError
from kyanite.secrets import Vault

if TYPE_CHECKING:
    from kyanite.storage import StorageAccounts

_PRIORITY = 1000


class BatchService:
    """The Batch service of a workspace; `root` is its `batch` folder, `home` the workspace's.

    Many processes may open one on the same database. Close it before the database; running tasks go on.
    """

    def __init__(
        self,
        database: Database,
        root: Path,
        vault: Vault,
        accounts: StorageAccounts | None,
        *,
        home: Path,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        open_url: OpenUrl | None = None,
    ) -> None:
        self._store = Store(database, vault)
        self._vault = vault
        self._root = root
        self._home = home
        self._clock = clock
        self._storage = accounts
        self._backends: dict[str, PoolBackend] = {}
        surroundings = Surroundings(self._store, self._backend, open_url or self._open_url, clock, vault.mask)
        self._scheduler = Scheduler(surroundings)

    def close(self) -> None:
        """Stop scheduling in this process; running tasks go on and the next process adopts them."""
        self._scheduler.close()

    # ---- accounts

    def create_account(self, name: str, location: str = "local") -> Account:
        """Make the account unless it exists; its keys are `batch/<name>/primary` and `secondary` in the vault."""
        check_identifier("Batch account", name)
        self._store.change("put_account", key=name.casefold(), name=name, location=location)
        account = self.account(name)
        for key in ("primary", "secondary"):
            self._vault.get_or_create(f"batch/{account.name}/{key}")
        return account

    def accounts(self) -> list[Account]:
        """All accounts, by name."""
        return self._store.accounts()

    def account(self, name: str) -> Account:
        """The account, whatever the case of its name; AccountNotFound with near names."""
        account = self._store.account(name)
        if account is None:
            known = [item.name for item in self.accounts()]
            cure = diagnosis.near(name, known)
            raise BatchError(f"There is no Batch account '{name}'.", cure=cure, code="AccountNotFound")
        return account

    def keys(self, account: str) -> dict[str, str]:
        """The account's `primary` and `secondary` key."""
        name = self.account(account).name
        return {key: self._vault.get_or_create(f"batch/{name}/{key}") for key in ("primary", "secondary")}

    # ---- pools and nodes

    def create_pool(self, account: str, spec: PoolSpec) -> Pool:
        """Make the pool, or give the one that exists its new properties; nodes are prepared on first use.

        A changed start task runs again on each node before its next task; nodes too many leave once they are empty.
        """
        name = self.account(account).name
        check_identifier("pool", spec.id)
        if spec.start_task is not None:
            parse_command_line(spec.start_task.command_line)
            check_paths(spec.start_task.resource_files)
        existing = self._store.pool(name, spec.id)
        kept = replace(spec, id=existing[0].id) if existing else spec
        self._backend(kept.backend)
        with self._store.database.transaction():
            self._store.put_pool(name, kept, self._clock())
            pool = self.pool(name, spec.id)
            resize(self._store, pool, self._clock())
        drop_leaving(self._store, self._backend(kept.backend), name, pool)
        self._scheduler.notify()
        return pool

    def pools(self, account: str) -> list[Pool]:
        """The pools of an account, by id."""
        return self._store.pools(self.account(account).name)

    def pool(self, account: str, pool: str) -> Pool:
        """A pool; PoolNotFound with near names."""
        name = self.account(account).name
        found = self._store.pool(name, pool)
        if found is None:
            raise diagnosis.pool_missing(pool, name, [item.id for item in self.pools(account)])
        return found[0]

    def nodes(self, account: str, pool: str) -> list[Node]:
        """The nodes of a pool with their states, start task results and folders."""
        return self._nodes(self.pool(account, pool))

    def _nodes(self, pool: Pool) -> list[Node]:
        """A node that must be prepared (again) before its next task is shown as one that is being created."""
        backend = self._backend(pool.spec.backend)
        name = self.account(pool.account).name
        found = self._store.pool(name, pool.id)
        version = wanted_version(found[1] if found else "", backend.stamp(name, pool.id))
        return [
            replace(
                row.node,
                folder=str(backend.node_folder(name, pool.id, row.node.id)),
                state=NodeState.CREATING if needs_preparing(row, version) else row.node.state,
            )
            for row in self._store.nodes(pool)
        ]

    def prepare_pool(
        self,
        account: str,
        pool: str,
        progress: Callable[[str], None] = lambda _line: None,
        *,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> list[Node]:
        """Prepare every node now (environment, start task) and wait; nodes whose start task failed try again.

        `progress` gets a line per change and the start task's output. StartTaskFailed when no node is usable.
        """
        found = self.pool(account, pool)
        key = (found.account.casefold(), found.id.casefold())
        self._store.change("reset_failed_nodes", account=key[0], pool=key[1], at=time_text(self._clock()))
        return watch_preparation(
            found,
            lambda: self.nodes(account, pool),
            lambda: self._scheduler.pump(also=key),
            self._scheduler,
            lambda line: progress(self._vault.mask(line)),
            cancelled,
        )

    # ---- jobs

    def ensure_job(
        self, account: str, job_id: str, pool_id: str, *, priority: int = 0, max_parallel_tasks: int = -1
    ) -> Job:
        """The job, made when it is not there. A missing pool is no error: its tasks wait."""
        name = self.account(account).name
        check_identifier("job", job_id)
        if not -_PRIORITY <= priority <= _PRIORITY:
            raise BatchError(f"Job priority {priority} is not between -1000 and 1000.", code="InvalidPropertyValue")
        found = self._store.pool(name, pool_id)
        pool_spelling = found[0].id if found else check_identifier("pool", pool_id)
        if self._store.job(name, job_id) is None:
            job = Job(name, job_id, pool_spelling, self._clock(), priority, max_parallel_tasks)
            self._store.put_job(job)
        kept = self.job(name, job_id)
        if kept.pool_id.casefold() != pool_id.casefold():
            message = f"Job '{job_id}' exists and runs on pool '{kept.pool_id}', not on '{pool_id}'."
            raise BatchError(message, code="JobExists")
        return kept

    def job(self, account: str, job_id: str) -> Job:
        """A job; JobNotFound with near names."""
        found = self._store.job(account, job_id)
        if found is None:
            cure = diagnosis.near(job_id, [job.id for job in self.jobs(account)])
            raise BatchError(f"There is no job '{job_id}' in '{account}'.", cure=cure, code="JobNotFound")
        return found

    def jobs(self, account: str) -> list[Job]:
        """The jobs of an account, oldest first."""
        return self._store.jobs(self.account(account).name)

    def set_job_priority(self, account: str, job_id: str, priority: int) -> None:
        """Change a job's priority; waiting tasks follow at once."""
        job = self.job(account, job_id)
        self._store.change("set_job_priority", account=account.casefold(), key=job.id.casefold(), priority=priority)

    # ---- tasks

    def add_task(self, account: str, job_id: str, spec: TaskSpec) -> Task:
        """Add a waiting task. TaskExists when the job has one of that id; a wrong command line or path is refused."""
        job = self.job(account, job_id)
        check_identifier("task", spec.id)
        parse_command_line(spec.command_line)
        check_paths(spec.resource_files)
        _check_numbers(spec)
        if not self._store.put_task(account, job, spec, self._clock()):
            raise BatchError(f"Job '{job.id}' has a task '{spec.id}' already.", code="TaskExists")
        self._scheduler.notify()
        return self.get_task(account, job_id, spec.id)

    def tasks(self, account: str, job_id: str) -> list[Task]:
        """The tasks of a job in the order they were added."""
        return self._store.tasks(account, self.job(account, job_id).id)

    def get_task(self, account: str, job_id: str, task_id: str) -> Task:
        """A task; TaskNotFound when there is none."""
        return self._found(account, job_id, task_id)[1]

    def _found(self, account: str, job_id: str, task_id: str) -> tuple[int, Task]:
        found = self._store.task(account, job_id, task_id)
        if found is None:
            raise BatchError(f"There is no task '{task_id}' in job '{job_id}'.", code="TaskNotFound")
        return found

    def terminate_task(self, account: str, job_id: str, task_id: str) -> None:
        """End a task: a waiting one at once, a running one once its processes are gone. TaskCompleted if it is."""
        if not self._end(account, job_id, task_id, delete=False):
            raise BatchError(f"Task '{task_id}' is completed.", code="TaskCompleted")

    def delete_task(self, account: str, job_id: str, task_id: str) -> None:
        """Remove a task with its files; a running one is ended first and gone once its processes are."""
        self._end(account, job_id, task_id, delete=True)
        self._scheduler.sweep()

    def _end(self, account: str, job_id: str, task_id: str, *, delete: bool) -> bool:
        attempt: Attempt | None = None
        with self._store.database.transaction():
            sequence, task = self._found(account, job_id, task_id)
            was_completed = task.state is TaskState.COMPLETED
            now = time_text(self._clock())
            if not was_completed or delete:
                self._store.change("request_stop", sequence=sequence, reason="TaskEnded", deleted=int(delete), at=now)
            if task.state is TaskState.ACTIVE:
                self._store.move_task(sequence, task, terminated(task, self._clock()))
            elif not was_completed:
                attempt = self._store.open_attempt_of(sequence)
        if attempt is not None:
            self._scheduler.request_stop(attempt)
        self._scheduler.notify()
        return not was_completed

    def why_waiting(self, account: str, job_id: str, task_id: str) -> diagnosis.Waiting | None:
        """Why a task is not running yet; None when it is or was."""
        return self._why(self.get_task(account, job_id, task_id))

    def _why(self, task: Task) -> diagnosis.Waiting | None:
        if task.state is not TaskState.ACTIVE:
            return None
        found = self._store.pool(task.account, task.pool_id)
        nodes = self._nodes(found[0]) if found else []
        known = [] if found else [pool.id for pool in self._store.pools(task.account)]
        return diagnosis.why_waiting(task, found[0] if found else None, nodes, known)

    def pump(self) -> None:
        """One step of the scheduler: watch, recover, prepare nodes, assign, launch. Safe in many processes at once."""
        self._scheduler.pump()

    def sweep(self) -> None:
        """Remove the files of tasks whose retention is over; `pump` does it once a minute."""
        self._scheduler.sweep()

    def wait_task(
        self,
        account: str,
        job_id: str,
        task_id: str,
        *,
        cancelled: Callable[[], bool] = lambda: False,
        timeout: float | None = None,
        progress: Callable[[Task], None] = lambda _task: None,
    ) -> Task:
        """The completed task; schedules meanwhile. `progress` gets the task at each change of state.

        When `cancelled` says so or `timeout` seconds are over the task is terminated and its end awaited. A task that
        could never start (no such pool, no nodes, start task failed everywhere) is terminated and BatchError tells why.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        shown: Any = None
        stopping = False
        while True:
            ticks = self._scheduler.ticks
            task = self.get_task(account, job_id, task_id)
            if (task.state, task.attempt) != shown:
                shown = (task.state, task.attempt)
                progress(task)
            if task.state is TaskState.COMPLETED:
                return task
            if not stopping and (cancelled() or (deadline is not None and time.monotonic() >= deadline)):
                stopping = True
                self._end(account, job_id, task_id, delete=False)
                continue
            self._scheduler.step()
            self._give_up_if_hopeless(account, job_id, task_id)
            self._scheduler.wait(ticks, limits.TASK_POLL_SECONDS)

    def _give_up_if_hopeless(self, account: str, job_id: str, task_id: str) -> None:
        task = self.get_task(account, job_id, task_id)
        reason = self._why(task)
        if reason is not None and reason.hopeless:
            self._end(account, job_id, task_id, delete=False)
            raise reason.error(task)

    # ---- files

    def list_files(self, account: str, job_id: str, task_id: str, *, recursive: bool = True) -> list[FileEntry]:
        """The files of a task, names relative to its directory (`stdout.txt`, `wd/result.json`)."""
        root, parts = self._task_folder(account, job_id, task_id)
        return list_folder(root, parts, recursive)

    def read_file(
        self, account: str, job_id: str, task_id: str, path: str, offset: int = 0, length: int | None = None
    ) -> bytes:
        """Bytes of a file of a task, running or completed; at most limits.TASK_OUTPUT_READ_BYTES per call."""
        root, parts = self._task_folder(account, job_id, task_id)
        return read_range(root, (*parts, *split_path(path)), offset, length)

    def _task_folder(self, account: str, job_id: str, task_id: str) -> tuple[Path, tuple[str, ...]]:
        sequence, task = self._found(account, job_id, task_id)
        if task.files_removed:
            raise BatchError(f"The files of task '{task_id}' were removed.", code="TaskFilesCleanedup")
        rows = self._store.rows("attempts_of_task", sequence=sequence)
        found = self._store.pool(task.account, task.pool_id)
        if not rows or found is None:
            raise BatchError(f"Task '{task_id}' has not run yet and has no files.", code="TaskFilesUnavailable")
        backend = self._backend(found[0].spec.backend)
        root = backend.node_folder(self.account(account).name, found[0].id, rows[-1]["node"])
        if not root.is_dir():
            raise BatchError(f"The node of task '{task_id}' is gone.", code="TaskFilesUnavailable")
        return root, tuple(task.root_directory.split("/"))

    # ---- what it stands on

    def _backend(self, name: str) -> PoolBackend:
        if name not in self._backends:
            self._backends[name] = open_backend(name, self._root, self._home)
        return self._backends[name]

    def _open_url(self, url: str) -> tuple[Any, str]:
        from kyanite.connections import open_url

        return open_url(url, self._storage)


def _check_numbers(spec: TaskSpec) -> None:
    texts = [spec.command_line, *spec.environment, *spec.environment.values()]
    wrong = {
        "required_slots must be at least 1": spec.required_slots < 1,
        "max_wall_clock must be more than 0 seconds": spec.max_wall_clock is not None and spec.max_wall_clock <= 0,
        "retention cannot be negative": spec.retention < 0,
        "max_retry_count must be at least -1": spec.max_retry_count < -1,
        "a NUL character cannot be passed to a command": any("\0" in text for text in texts),
        "a variable's name cannot be empty or hold '='": any(not name or "=" in name for name in spec.environment),
    }
    for rule, broken in wrong.items():
        if broken:
            raise BatchError(f"Task '{spec.id}': {rule}.", code="InvalidPropertyValue")
