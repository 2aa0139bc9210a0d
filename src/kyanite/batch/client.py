"""The interface through which activities use a Batch account; in-process here, remote later with the same methods."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Protocol

from kyanite.batch.files import FileEntry
from kyanite.batch.model import Account, Job, Pool, Task, TaskSpec
from kyanite.batch.service import BatchService
from kyanite.errors import BatchError


class BatchClient(Protocol):
    """One Batch account, opened with a key that was checked."""

    account: Account

    def pool(self, pool_id: str) -> Pool:
        """A pool; PoolNotFound with near names."""

    def ensure_job(self, job_id: str, pool_id: str) -> Job:
        """The job on a pool that must exist; made when it is not there."""

    def add_task(self, job_id: str, spec: TaskSpec) -> Task:
        """Add a task; TaskExists when the id is taken."""

    def get_task(self, job_id: str, task_id: str) -> Task:
        """A task; TaskNotFound when there is none."""

    def wait_task(
        self,
        job_id: str,
        task_id: str,
        *,
        cancelled: Callable[[], bool] = ...,
        timeout: float | None = None,
        progress: Callable[[Task], None] = ...,
    ) -> Task:
        """The completed task; see BatchService.wait_task."""

    def terminate_task(self, job_id: str, task_id: str) -> None:
        """End a task; TaskCompleted when it is."""

    def list_files(self, job_id: str, task_id: str) -> list[FileEntry]:
        """The files of a task, relative to its directory."""

    def read_file(self, job_id: str, task_id: str, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """Bytes of a task's file."""


class LocalBatchClient:
    """A Batch account of this workspace."""

    def __init__(self, service: BatchService, account: Account) -> None:
        self._service = service
        self.account = account

    def pool(self, pool_id: str) -> Pool:
        """A pool; PoolNotFound with near names."""
        return self._service.pool(self.account.name, pool_id)

    def ensure_job(self, job_id: str, pool_id: str) -> Job:
        """The job on a pool that must exist; made when it is not there."""
        return self._service.ensure_job(self.account.name, job_id, self.pool(pool_id).id)

    def add_task(self, job_id: str, spec: TaskSpec) -> Task:
        """Add a task; TaskExists when the id is taken."""
        return self._service.add_task(self.account.name, job_id, spec)

    def get_task(self, job_id: str, task_id: str) -> Task:
        """A task; TaskNotFound when there is none."""
        return self._service.get_task(self.account.name, job_id, task_id)

    def wait_task(
        self,
        job_id: str,
        task_id: str,
        *,
        cancelled: Callable[[], bool] = lambda: False,
        timeout: float | None = None,
        progress: Callable[[Task], None] = lambda _task: None,
    ) -> Task:
        """The completed task; see BatchService.wait_task."""
        return self._service.wait_task(
            self.account.name, job_id, task_id, cancelled=cancelled, timeout=timeout, progress=progress
        )

    def terminate_task(self, job_id: str, task_id: str) -> None:
        """End a task; TaskCompleted when it is."""
        self._service.terminate_task(self.account.name, job_id, task_id)

    def list_files(self, job_id: str, task_id: str) -> list[FileEntry]:
        """The files of a task, relative to its directory."""
        return self._service.list_files(self.account.name, job_id, task_id)

    def read_file(self, job_id: str, task_id: str, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """Bytes of a task's file."""
        return self._service.read_file(self.account.name, job_id, task_id, path, offset, length)


def open_client(service: BatchService, account: str, access_key: str | None) -> BatchClient:
    """The account opened with its key; None is accepted in the owner's own workspace.

    AuthenticationFailed for a wrong key, AccountNotFound with near names (Data Factory reports both as 2501).
    """
    found = service.account(account)
    if access_key is not None:
        matches = [hmac.compare_digest(access_key.encode(), key.encode()) for key in service.keys(account).values()]
        if not any(matches):
            raise BatchError(
                "Cannot access user batch account; please check batch account settings: "
                f"the access key given for '{found.name}' is not one of its keys.",
                cure="Take the key from the deployed account (listKeys, or `kyanite keys`).",
                code="AuthenticationFailed",
            )
    return LocalBatchClient(service, found)
