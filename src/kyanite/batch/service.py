"""The Batch service of a workspace, made of the verbs on each kind of thing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kyanite import limits
from kyanite.batch import applications, cleaning, lifecycle, outputs, resizing
from kyanite.batch.account_service import AccountService
from kyanite.batch.application_service import ApplicationService
from kyanite.batch.autoscale_service import AutoscaleService
from kyanite.batch.autoscale_turn import Autoscaler
from kyanite.batch.file_service import FileService
from kyanite.batch.job_service import JobService
from kyanite.batch.machine_metrics import MachineMetrics
from kyanite.batch.model import Account, Exited, FailureInfo, Pool, Task, TaskState
from kyanite.batch.pool_service import PoolService
from kyanite.batch.pools import PoolBackend, Room, open_backend
from kyanite.batch.schedule_service import ScheduleService
from kyanite.batch.scheduler import Scheduler
from kyanite.batch.staging import OpenUrl
from kyanite.batch.store import Store
from kyanite.batch.surroundings import Surroundings
from kyanite.batch.task_service import TaskService
from kyanite.database import Database
from kyanite.secrets import Vault

if TYPE_CHECKING:
    from kyanite.storage import StorageAccounts


class BatchService(
    AccountService,
    ApplicationService,
    AutoscaleService,
    FileService,
    JobService,
    PoolService,
    ScheduleService,
    TaskService,
):
    """The Batch service of a workspace; `root` is its `batch` folder, `home` the workspace's.

    Many processes may open one on the same database. Close it before the database; running tasks go on.
    `task_environment` gives what a pool's tasks see of the workspace's gateway.
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
        task_environment: Callable[[Pool], Mapping[str, str]] | None = None,
    ) -> None:
        self._store = Store(database, vault)
        self._vault = vault
        self._root = root
        self._home = home
        self._clock = clock
        self._storage = accounts
        self._open = open_url or self._open_url
        self._backends: dict[str, PoolBackend] = {}
        self._autoscaler = Autoscaler(self._store, self._autoscale_to, machine=MachineMetrics(str(root)))
        surroundings = Surroundings(
            self._store,
            self._backend,
            clock,
            vault.mask,
            backends=lambda: tuple(self._backends.values()),
            lifecycle=lifecycle,
            autoscale=self._each_turn,
            upload=self._upload,
            packages=self._packages,
            task_environment=task_environment,
        )
        self._scheduler = Scheduler(surroundings)

    def close(self) -> None:
        """Stop scheduling in this process; running tasks go on and the next process adopts them."""
        self._scheduler.close()

    def run_in_background(self) -> None:
        """Take turns in a thread of its own until closed, as a server does."""
        self._scheduler.start()

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
        why_next = time.monotonic() + limits.WHY_SECONDS
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
            if time.monotonic() >= why_next:
                why_next = time.monotonic() + limits.WHY_SECONDS
                self._give_up_if_hopeless(account, job_id, task_id)
            self._scheduler.wait(ticks, limits.TASK_POLL_SECONDS)

    def _give_up_if_hopeless(self, account: str, job_id: str, task_id: str) -> None:
        task = self.get_task(account, job_id, task_id)
        if task.state is not TaskState.ACTIVE:
            return
        reason = self.hopeless(account, job_id, task_id)
        if reason is not None:
            self._end(account, job_id, task_id, delete=False)
            raise reason.error(task)

    # ---- what the turn asks for

    def _each_turn(self, now: datetime) -> bool:
        moved = self._autoscaler.step(now)
        return cleaning.step(self._store, self._backend) or moved

    def _autoscale_to(self, pool: Pool, dedicated: int, low_priority: int, option: str, now: datetime) -> None:
        resizing.change_size(self._store, pool, dedicated, low_priority, option, now)

    def _upload(self, task: Task, folder: Path, end: Exited) -> FailureInfo | None:
        return outputs.upload(task, folder, end, self._open)

    def _packages(self, account: Account, pool: Pool, task: Task | None) -> tuple[tuple[str, Path], ...]:
        documents = [pool.spec.document] if task is None else [pool.spec.document, task.spec.document]
        return applications.resolve(self._store, self._root, account.name, documents)

    def _backend(self, name: str) -> PoolBackend:
        if name not in self._backends:
            self._backends[name] = open_backend(name, Room(self._root, self._home, self._open, self._auto_storage))
        return self._backends[name]

    def _auto_storage(self, account: str) -> str | None:
        """The address of the storage account of the same name as the Batch account, or of the only one there is."""
        names = self._storage.names() if self._storage is not None else []
        same = [name for name in names if name.casefold() == account.casefold()]
        chosen = same[0] if same else names[0] if len(names) == 1 else None
        return f"https://{chosen}.blob.core.windows.net" if chosen else None

    def _open_url(self, url: str) -> tuple[Any, str]:
        from kyanite.connections import open_url

        return open_url(url, self._storage)
