"""What the parts of the Batch service share: the database, the clock, and finding things by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kyanite.batch import diagnosis
from kyanite.batch.codes import refusal
from kyanite.batch.model import Account, Job, Pool, PoolState, Schedule, Task
from kyanite.batch.store import Store
from kyanite.errors import BatchError
from kyanite.secrets import Vault

if TYPE_CHECKING:
    from kyanite.batch.pools import PoolBackend
    from kyanite.batch.scheduler import Scheduler


class ServiceBase:
    """The ground that every part of the service stands on."""

    _store: Store
    _vault: Vault
    _clock: Callable[[], datetime]
    _root: Path
    _home: Path
    _scheduler: Scheduler
    _backend: Callable[[str], PoolBackend]

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

    def _name(self, account: str) -> str:
        return self.account(account).name

    def pool(self, account: str, pool: str) -> Pool:
        """A pool; PoolNotFound with near names."""
        name = self._name(account)
        found = self._store.pool(name, pool)
        if found is None:
            raise diagnosis.pool_missing(pool, name, [item.id for item in self._store.pools(name)])
        return found[0]

    def get_pool(self, account: str, pool: str) -> Pool:
        """A pool; PoolNotFound with near names."""
        return self.pool(account, pool)

    def _living_pool(self, account: str, pool: str) -> Pool:
        found = self.pool(account, pool)
        if found.state is PoolState.DELETING:
            raise refusal("PoolBeingDeleted", where=f"pool {found.id}")
        return found

    def job(self, account: str, job_id: str) -> Job:
        """A job; JobNotFound with near names."""
        name = self._name(account)
        found = self._store.job(name, job_id)
        if found is None:
            cure = diagnosis.near(job_id, [job.id for job in self._store.jobs(name, limit=1000)])
            raise BatchError(f"There is no job '{job_id}' in '{name}'.", cure=cure, code="JobNotFound")
        return found

    def get_job(self, account: str, job: str) -> Job:
        """A job; JobNotFound with near names."""
        return self.job(account, job)

    def get_schedule(self, account: str, schedule: str) -> Schedule:
        """A job schedule; JobScheduleNotFound."""
        found = self._store.schedule(self._name(account), schedule)
        if found is None:
            raise refusal("JobScheduleNotFound", where=f"job schedule {schedule}")
        return found

    def _found(self, account: str, job_id: str, task_id: str) -> tuple[int, Task]:
        found = self._store.task(account, job_id, task_id)
        if found is None:
            self.job(account, job_id)
            raise BatchError(f"There is no task '{task_id}' in job '{job_id}'.", code="TaskNotFound")
        return found

    def get_task(self, account: str, job_id: str, task_id: str) -> Task:
        """A task; TaskNotFound when there is none."""
        return self._found(account, job_id, task_id)[1]

    def _begin(self) -> Any:
        """A transaction; what was written in it is worked on once it is done."""
        return self._store.database.transaction()

    def _remember(self, prefix: str, values: Mapping[str, str | None]) -> None:
        """Passwords of a document become secrets: sealed where it is stored, masked where it is shown."""
        known = {f"{prefix}/{name}": value for name, value in values.items() if value}
        if known:
            self._vault.register(known)
