"""The verbs on jobs. Batch reference sections 7 and 8."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from kyanite.batch import job_nodes, job_rules, lifecycle, making
from kyanite.batch.codes import missing, refusal, wrong_value
from kyanite.batch.conditions import NO_CONDITIONS, Conditions
from kyanite.batch.documents import read_job
from kyanite.batch.model import Job, JobState, check_identifier, etag
from kyanite.batch.reading import Document, choice, text
from kyanite.batch.service_base import ServiceBase
from kyanite.errors import BatchError

_PATCHABLE = (
    "allowTaskPreemption",
    "constraints",
    "maxParallelTasks",
    "metadata",
    "networkConfiguration",
    "onAllTasksComplete",
    "poolInfo",
    "priority",
)
_REASON_CHARACTERS = 1024


class JobService(ServiceBase):
    """The verbs on jobs."""

    def add_job(self, account: str, document: Document) -> Job:
        """Make a job from the body of `POST /jobs`, with its auto pool and its job manager task.

        A missing pool is no error: the tasks wait. An auto pool that cannot be made ends the job with the reason.
        """
        name = self._name(account)
        job = read_job(name, document, self._clock())
        with self._begin():
            if self._store.schedule(name, job.id) is not None:
                raise refusal("JobScheduleWithSameIdExists", where=f"job {job.id}")
            made = making.make_job(self._store, job, self._clock())
        self._scheduler.notify()
        return made

    def ensure_job(
        self, account: str, job_id: str, pool_id: str, *, priority: int = 0, max_parallel_tasks: int = -1
    ) -> Job:
        """The job, made when it is not there. A missing pool is no error: its tasks wait."""
        name = self._name(account)
        check_identifier("job", job_id)
        check_identifier("pool", pool_id)
        if not -1000 <= priority <= 1000:
            raise BatchError(f"Job priority {priority} is not between -1000 and 1000.", code="OutOfRangePriority")
        body = {"id": job_id, "priority": priority, "maxParallelTasks": max_parallel_tasks}
        with self._begin():
            kept = self._store.job(name, job_id)
            if kept is None:
                document = {**body, "poolInfo": {"poolId": pool_id}}
                kept = making.make_job(self._store, read_job(name, document, self._clock()), self._clock())
        if kept.pool_id.casefold() != pool_id.casefold():
            message = f"Job '{job_id}' exists and runs on pool '{kept.pool_id}', not on '{pool_id}'."
            raise BatchError(message, code="JobExists")
        return kept

    def jobs(self, account: str) -> list[Job]:
        """The jobs of an account, oldest first."""
        return self._store.jobs_by_age(self._name(account))

    def list_jobs(self, account: str, after: str | None = None) -> Iterable[Job]:
        """The jobs of an account by id, those after the id `after`."""
        return self._store.jobs(self._name(account), after or "")

    # ---- changing a job

    def patch_job(self, account: str, job: str, document: Document, *, conditions: Conditions = NO_CONDITIONS) -> Job:
        """Replace the properties that are given."""
        given = {name: value for name, value in document.items() if value is not None}
        wrong = [name for name in given if name not in _PATCHABLE]
        if wrong:
            raise refusal("PropertyNotUpdatable", f"'{wrong[0]}' cannot be patched.", PropertyName=wrong[0])
        return self._change_job(account, job, lambda found: {**found.document, **given}, conditions)

    def update_job(self, account: str, job: str, document: Document, *, conditions: Conditions = NO_CONDITIONS) -> Job:
        """Replace all properties that can be changed; those not given get their defaults back."""
        given = {name: document[name] for name in _PATCHABLE if document.get(name) is not None}

        def change(found: Job) -> dict[str, Any]:
            kept = {name: value for name, value in found.document.items() if name not in _PATCHABLE}
            return {**kept, "poolInfo": found.document.get("poolInfo"), **given}

        return self._change_job(account, job, change, conditions)

    def set_job_priority(self, account: str, job_id: str, priority: int) -> None:
        """Change a job's priority; waiting tasks follow at once."""
        self.patch_job(account, job_id, {"priority": priority})

    def _change_job(
        self, account: str, job: str, change: Callable[[Job], dict[str, Any]], conditions: Conditions
    ) -> Job:
        with self._begin():
            found = self._met_job(account, job, conditions)
            job_rules.check_changeable(found)
            read = read_job(found.account, change(found), found.created_at, scheduled=True)
            pool_id = found.pool_id
            if read.document.get("poolInfo") != found.document.get("poolInfo"):
                pool_id = self._other_pool(found, read)
            changed = replace(
                found,
                pool_id=pool_id,
                document=read.document,
                priority=read.priority,
                max_parallel_tasks=read.max_parallel_tasks,
                on_all_complete=read.on_all_complete,
                deadline=read.deadline,
                modified_at=self._clock(),
            )
            self._store.change_job(changed)
        self._scheduler.notify()
        return self.job(account, job)

    def _other_pool(self, found: Job, read: Job) -> str:
        """The pool that a disabled job is moved to, with its waiting tasks."""
        if found.state is not JobState.DISABLED:
            raise refusal("JobNotDisabled", "A job's pool can be changed only while it is disabled.")
        if found.auto_pool or read.auto_pool:
            raise wrong_value("poolInfo", "", "An auto pool can be neither given up nor asked for later.")
        pool = self._store.pool(found.account, read.pool_id)
        pool_id = pool[0].id if pool else read.pool_id
        place = {"account": found.account.casefold(), "job": found.id.casefold()}
        self._store.change("move_tasks_to_pool", pool=pool_id.casefold(), **place)
        return pool_id

    def _met_job(self, account: str, job: str, conditions: Conditions) -> Job:
        found = self.job(account, job)
        changed = found.modified_at or found.created_at
        conditions.check(etag(found.version, changed), changed)
        return found

    # ---- states

    def disable_job(self, account: str, job: str, document: Document, *, conditions: Conditions = NO_CONDITIONS) -> Job:
        """Begin to disable a job; `disableTasks` says what becomes of its running tasks."""
        if document.get("disableTasks") is None:
            raise missing("disableTasks")
        option = choice(document, "disableTasks", ("requeue", "terminate", "wait"), "requeue")
        return self._move(account, job, conditions, lambda found, at: job_rules.disabled(found, option, at))

    def enable_job(self, account: str, job: str, *, conditions: Conditions = NO_CONDITIONS) -> Job:
        """Begin to enable a disabled job."""
        return self._move(account, job, conditions, job_rules.enabled)

    def terminate_job(
        self, account: str, job: str, document: Document | None = None, *, conditions: Conditions = NO_CONDITIONS
    ) -> Job:
        """Begin to end a job: running tasks are killed, waiting ones wait for ever, then it is completed."""
        reason = (text(document or {}, "terminateReason") or "UserTerminate")[:_REASON_CHARACTERS]
        return self._move(account, job, conditions, lambda found, at: job_rules.terminated(found, reason, at))

    def delete_job(self, account: str, job: str, *, conditions: Conditions = NO_CONDITIONS) -> None:
        """Begin to delete a job with its tasks and their files."""
        self._move(account, job, conditions, job_rules.deleted)

    def _move(self, account: str, job: str, conditions: Conditions, rule: Callable[[Job, datetime], Job]) -> Job:
        with self._begin():
            found = rule(self._met_job(account, job, conditions), self._clock())
            self._store.move_job(found, attention=True)
            lifecycle.advance_job(self._store, found, self._clock())
        self._scheduler.notify()
        remaining = self._store.job(found.account, found.id)
        return remaining or found

    # ---- looking

    def task_counts(self, account: str, job: str) -> list[Mapping[str, Any]]:
        """How many tasks are in each state and with which result, with their slots; see wire.task_counts_json."""
        found = self.job(account, job)
        rows = self._store.rows("task_counts", account=found.account.casefold(), job=found.id.casefold())
        return [dict(row) for row in rows]

    def prep_release_status(self, account: str, job: str, after: str | None = None) -> list[job_nodes.JobNode]:
        """Where the job's preparation and release ran; JobPreparationTaskNotSpecified for a job without."""
        found = self.job(account, job)
        if not found.document.get("jobPreparationTask"):
            raise refusal("JobPreparationTaskNotSpecified", where=f"job {found.id}")
        rows = job_nodes.of_job(self._store, found)
        return [row for row in rows if row.node_id.casefold() > (after or "").casefold()]
