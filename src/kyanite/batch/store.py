"""The batch tables of one database. Texts with secrets are sealed by the vault before they are stored.

What follows from the end of a task (its dependents, its job) is written in the transaction that ends it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kyanite.batch import dependency_rows
from kyanite.batch.exit_conditions import options_of
from kyanite.batch.model import (
    Account,
    Job,
    Node,
    Pool,
    PoolSpec,
    Schedule,
    Task,
    TaskSpec,
    TaskState,
    retention_end,
)
from kyanite.batch.rows import (
    job_of,
    node_of,
    optional_time_text,
    pool_of,
    schedule_of,
    spec_body,
    start_info_body,
    task_body,
    task_facts,
    task_of,
)
from kyanite.batch.rows import read_time as read_time
from kyanite.batch.rows import time_text as time_text
from kyanite.database import Database, Row, named_statements
from kyanite.secrets import Vault

SQL = named_statements("kyanite.batch", "queries.sql")


@dataclass(frozen=True)
class Attempt:
    """A launch of a task (`task` is its sequence), of a node's start task or of a job's preparation or release there.

    `kind` is task, start, prep or release. It has not ended.
    """

    id: int
    kind: str
    account: str
    pool: str
    node: str
    task: int | None
    number: int
    launcher: dict[str, Any]
    launched_at: datetime
    job: str | None = None


@dataclass(frozen=True)
class NodeRow:
    """A node as stored; `version` names the start task and environment it was prepared with.

    `wanted` is reboot, reimage or preempt while that is to be done; `option` what then becomes of running tasks (also
    of a node that is `leaving`): requeue, terminate, taskcompletion or retaineddata.
    """

    node: Node
    version: str | None
    retries: int
    losses: int
    leaving: bool
    starting: int | None
    wanted: str | None = None
    option: str = "requeue"


class Store:
    """The batch tables of one database."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self.database = database
        self.vault = vault

    def rows(self, statement: str, **arguments: Any) -> list[Row]:
        """All rows of a named SELECT."""
        return self.database.query(SQL[statement], arguments)

    def change(self, statement: str, **arguments: Any) -> int:
        """Run a named changing statement; the number of rows it changed."""
        return self.database.execute(SQL[statement], arguments)

    # ---- accounts

    def accounts(self) -> list[Account]:
        """All accounts, by name."""
        return [Account(row["name"], row["location"]) for row in self.rows("accounts")]

    def account(self, name: str) -> Account | None:
        """The account of that name, whatever its case."""
        rows = self.rows("account", key=name.casefold())
        return Account(rows[0]["name"], rows[0]["location"]) if rows else None

    # ---- pools

    def put_pool(self, account: str, spec: PoolSpec, at: datetime) -> None:
        """Keep a new pool, or the new wishes for one that exists."""
        start = spec.start_task.to_json() if spec.start_task else None
        self.change(
            "put_pool",
            account=account.casefold(),
            key=spec.id.casefold(),
            spec=self.vault.seal_json(spec_body(spec)),
            start_version=hashlib.sha256(json.dumps(start, sort_keys=True).encode()).hexdigest()[:16],
            at=time_text(at),
        )

    def pool(self, account: str, pool: str) -> tuple[Pool, str] | None:
        """A pool and the version of its start task."""
        rows = self.rows("pool", account=account.casefold(), key=pool.casefold())
        return (pool_of(rows[0], self.vault), rows[0]["start_version"]) if rows else None

    def pools(self, account: str, after: str = "", limit: int = -1) -> list[Pool]:
        """The pools of an account by id, those after the id `after`."""
        rows = self.rows("pools", account=account.casefold(), after=after.casefold(), limit=limit)
        return [pool_of(row, self.vault) for row in rows]

    def move_pool(self, pool: Pool) -> None:
        """Store a pool's states and the wishes of its resize."""
        self.change(
            "move_pool",
            account=pool.account.casefold(),
            key=pool.id.casefold(),
            state=pool.state.value,
            state_since=optional_time_text(pool.state_since),
            allocation=pool.allocation.value,
            allocation_since=optional_time_text(pool.allocation_since),
            resize_by=optional_time_text(pool.resize_by),
            resize_errors=json.dumps([error.to_json() for error in pool.resize_errors]),
            deallocation=pool.deallocation,
            auto_for=pool.auto_for,
        )

    # ---- nodes

    def nodes(self, pool: Pool) -> list[NodeRow]:
        """The nodes of a pool in the order they were added."""
        rows = self.rows("nodes", account=pool.account.casefold(), pool=pool.id.casefold())
        return [self._node(row, pool) for row in rows]

    def _node(self, row: Row, pool: Pool) -> NodeRow:
        return NodeRow(
            node_of(row, pool),
            row["start_version"],
            row["start_retries"],
            row["start_losses"],
            bool(row["leaving"]),
            row["starting"],
            row["wanted"],
            row["wanted_option"] or row["deallocation"] or "requeue",
        )

    def move_node(self, pool: Pool, row: NodeRow, at: datetime) -> None:
        """Store a node's new state, version, counters and start task information."""
        info = row.node.start_task
        self.change(
            "move_node",
            account=pool.account.casefold(),
            pool=pool.id.casefold(),
            id=row.node.id,
            state=row.node.state.value,
            at=time_text(at),
            version=row.version,
            info=json.dumps(self.vault.mask_json(start_info_body(info))) if info else None,
            retries=row.retries,
            losses=row.losses,
        )
        self.change(
            "node_errors",
            account=pool.account.casefold(),
            pool=pool.id.casefold(),
            id=row.node.id,
            errors=json.dumps([error.to_json() for error in row.node.errors]),
        )

    # ---- jobs and schedules

    def job(self, account: str, job: str) -> Job | None:
        """A job by its id, whatever the case."""
        rows = self.rows("job", account=account.casefold(), key=job.casefold())
        return job_of(rows[0], self.vault) if rows else None

    def jobs(self, account: str, after: str = "", limit: int = -1) -> list[Job]:
        """The jobs of an account, by id."""
        rows = self.rows("jobs_by_id", account=account.casefold(), after=after.casefold(), limit=limit)
        return [job_of(row, self.vault) for row in rows]

    def jobs_by_age(self, account: str) -> list[Job]:
        """The jobs of an account, oldest first."""
        return [job_of(row, self.vault) for row in self.rows("jobs", account=account.casefold())]

    def put_job(self, job: Job) -> bool:
        """Keep a job; False when one of that id exists."""
        return bool(self.change("put_job", **self._job_arguments(job), **self._job_details(job)))

    def change_job(self, job: Job) -> None:
        """Store a job's document and what is read from it; its eTag changes."""
        self.change("change_job", **self._job_arguments(job))

    def move_job(self, job: Job, *, attention: bool) -> None:
        """Store a job's state; with `attention` the next turn looks at it."""
        details = {**self._job_details(job), "attention": int(attention)}
        self.change("move_job", account=job.account.casefold(), key=job.id.casefold(), **details)

    def _job_arguments(self, job: Job) -> dict[str, Any]:
        manager = job.document.get("jobManagerTask") or {}
        constraints = job.document.get("constraints") or {}
        return {
            "account": job.account.casefold(),
            "key": job.id.casefold(),
            "id": job.id,
            "pool": job.pool_id.casefold(),
            "pool_id": job.pool_id,
            "priority": job.priority,
            "max_parallel": job.max_parallel_tasks,
            "environment": self.vault.seal_json(dict(job.environment)),
            "document": self.vault.seal_json(dict(job.document)) if job.document else None,
            "created_at": time_text(job.created_at),
            "modified_at": time_text(job.modified_at or job.created_at),
            "uses_dependencies": int(job.uses_dependencies),
            "on_all_complete": job.on_all_complete,
            "on_failure": job.on_failure,
            "retries": int(constraints.get("maxTaskRetryCount") or 0),
            "deadline": optional_time_text(job.deadline),
            "manager": str(manager["id"]).casefold() if manager.get("id") else None,
            "prepares": int(bool(job.document.get("jobPreparationTask"))),
            "schedule": job.schedule.casefold() if job.schedule else None,
            "auto_pool": int(job.auto_pool),
        }

    def _job_details(self, job: Job) -> dict[str, Any]:
        error = job.scheduling_error
        return {
            "state": job.state.value,
            "state_since": optional_time_text(job.state_since),
            "previous_state": job.previous_state.value if job.previous_state else None,
            "previous_since": optional_time_text(job.previous_since),
            "end_time": optional_time_text(job.end_time),
            "terminate_reason": job.terminate_reason,
            "scheduling_error": json.dumps(error.to_json()) if error else None,
            "disable_option": job.disable_option,
        }

    def schedule(self, account: str, schedule: str) -> Schedule | None:
        """A job schedule by its id, whatever the case."""
        rows = self.rows("schedule", account=account.casefold(), key=schedule.casefold())
        return schedule_of(rows[0], self.vault) if rows else None

    def put_schedule(self, schedule: Schedule, *, attention: bool = True) -> None:
        """Keep a schedule as it is now."""
        self.change(
            "put_schedule",
            account=schedule.account.casefold(),
            key=schedule.id.casefold(),
            id=schedule.id,
            document=self.vault.seal_json(dict(schedule.document)),
            created_at=time_text(schedule.created_at),
            state=schedule.state.value,
            state_since=optional_time_text(schedule.state_since),
            previous_state=schedule.previous_state.value if schedule.previous_state else None,
            previous_since=optional_time_text(schedule.previous_since),
            version=schedule.version,
            modified_at=optional_time_text(schedule.modified_at),
            next_run=optional_time_text(schedule.next_run),
            recent_job=schedule.recent_job,
            jobs=schedule.jobs,
            end_time=optional_time_text(schedule.end_time),
            attention=int(attention),
        )

    # ---- tasks

    def put_task(self, account: str, job: Job, spec: TaskSpec, at: datetime) -> bool:
        """Keep a waiting task with what it depends on; False when the job has one of that id."""
        place = {"account": account.casefold(), "job": job.id.casefold()}
        with self.database.transaction():
            added = self.change(
                "put_task",
                **place,
                key=spec.id.casefold(),
                id=spec.id,
                pool=job.pool_id.casefold(),
                spec=self.vault.seal_json(task_body(spec)),
                slots=spec.required_slots,
                rank=0 if str((job.document.get("jobManagerTask") or {}).get("id", "")) == spec.id else 1,
                affinity=(spec.document.get("affinityInfo") or {}).get("affinityId"),
                at=time_text(at),
            )
            if not added:
                return False
            if spec.document.get("dependsOn"):
                dependency_rows.depend(self.database, SQL, place, spec)
        return True

    def task(self, account: str, job: str, task: str) -> tuple[int, Task] | None:
        """A task and its sequence number."""
        rows = self.rows("task", account=account.casefold(), job=job.casefold(), key=task.casefold())
        return (rows[0]["sequence"], task_of(rows[0], self.vault)) if rows else None

    def task_by_sequence(self, sequence: int) -> tuple[Task, bool] | None:
        """A task and whether it is to be deleted."""
        rows = self.rows("task_by_sequence", sequence=sequence)
        return (task_of(rows[0], self.vault), bool(rows[0]["deleted"])) if rows else None

    def tasks(self, account: str, job: str, after: int = 0, limit: int = -1) -> list[Task]:
        """The tasks of a job in the order they were added, those after the sequence number `after`."""
        place = {"account": account.casefold(), "job": job.casefold()}
        rows = self.rows("tasks", **place, after=after, limit=limit, state=None, prefix="")
        return [task_of(row, self.vault) for row in rows]

    def each_task(
        self,
        account: str,
        job: str,
        after: int = 0,
        state: str | None = None,
        prefix: str = "",
        keep: Callable[[Mapping[str, Any]], bool] | None = None,
    ) -> Iterator[Task]:
        """The same a thousand at a time, for jobs of any size, perhaps only some.

        `state`, `prefix` (of the id) and `keep` (given a task's `task_facts`) leave out others before they are read.
        """
        place = {"account": account.casefold(), "job": job.casefold(), "limit": 1000}
        place |= {"state": state, "prefix": prefix.casefold()}
        while True:
            rows = self.rows("tasks", after=after, **place)
            for row in rows:
                if keep is None or keep(task_facts(row)):
                    yield task_of(row, self.vault)
            if len(rows) < 1000:
                return
            after = rows[-1]["sequence"]

    def tasks_to_clean(self, at: datetime) -> list[tuple[int, Task, bool]]:
        """Completed tasks whose files may go, and whether the task goes with them."""
        rows = self.rows("files_to_remove", at=time_text(at))
        return [(row["sequence"], task_of(row, self.vault), bool(row["deleted"])) for row in rows]

    def change_task(self, sequence: int, task: Task) -> None:
        """Store a task's changed document; its eTag changes."""
        self.change(
            "change_task",
            sequence=sequence,
            spec=self.vault.seal_json(task_body(task.spec)),
            version=task.version,
            modified_at=optional_time_text(task.modified_at),
        )

    def move_task(self, sequence: int, old: Task, new: Task) -> bool:
        """Store a task's new state and what follows from it; False when it is no longer in the old one."""
        remove_at = retention_end(new)
        failure = self.vault.mask_json(new.failure_info.to_json()) if new.failure_info else None
        arguments = {
            "sequence": sequence,
            "from_state": old.state.value,
            "from_attempt": old.attempt,
            "state": new.state.value,
            "state_since": time_text(new.state_since or new.created_at),
            "previous_state": new.previous_state.value if new.previous_state else None,
            "previous_since": optional_time_text(new.previous_since),
            "attempt": new.attempt,
            "node": new.node_id,
            "start_time": optional_time_text(new.start_time),
            "end_time": optional_time_text(new.end_time),
            "exit_code": new.exit_code,
            "result": new.result,
            "failure": json.dumps(failure) if failure else None,
            "retry_count": new.retry_count,
            "requeue_count": new.requeue_count,
            "loss_count": new.loss_count,
            "last_retry": optional_time_text(new.last_retry),
            "last_requeue": optional_time_text(new.last_requeue),
            "version": new.version,
            "modified_at": optional_time_text(new.modified_at),
            "remove_at": optional_time_text(remove_at),
        }
        with self.database.transaction():
            moved = bool(self.change("move_task", **arguments))
            if moved and new.state is TaskState.COMPLETED:
                self._after_task(sequence, new)
            elif moved and new.state is TaskState.ACTIVE:
                self.change("watch_ending_job", account=new.account.casefold(), job=new.job_id.casefold())
        return moved

    def _after_task(self, sequence: int, task: Task) -> None:
        """Dependents of a completed task become free, its job is looked at, its node counts it."""
        place = {"account": task.account.casefold(), "job": task.job_id.casefold()}
        options = options_of(task)
        row = self.rows("job_watch", **place)[0]
        if row["uses_dependencies"]:
            self.change("set_satisfied", sequence=sequence, satisfied=int(options.satisfies))
            if options.satisfies:
                dependency_rows.satisfy(self.database, SQL, place, task.id)
        acts = row["on_failure"] != "noaction" and task.failure_info is not None and options.job_action != "none"
        manages = row["manager"] == task.id.casefold()
        watched = row["on_all_complete"] != "noaction" or row["state"] not in ("active", "disabled")
        if acts or manages or watched:
            self.change("watch_job", **place, action=options.job_action if acts else None)
        if task.node_id is not None and task.attempt:
            succeeded = int(task.result == "success")
            node = {"pool": task.pool_id.casefold(), "node": task.node_id, "succeeded": succeeded}
            self.change("count_on_node", account=place["account"], **node)

    # ---- attempts

    def open_attempts(self) -> list[Attempt]:
        """Every attempt that has not ended, oldest first."""
        return [read_attempt(row) for row in self.rows("open_attempts")]

    def open_attempt_of(self, sequence: int) -> Attempt | None:
        """The running attempt of a task."""
        rows = self.rows("open_attempt_of_task", sequence=sequence)
        return read_attempt(rows[0]) if rows else None

    def attempts_of(self, sequence: int) -> list[Attempt]:
        """All attempts of a task, ended ones too, oldest first."""
        return [read_attempt(row) for row in self.rows("attempts_of_task", sequence=sequence)]

    def stops_wanted(self) -> list[Attempt]:
        """Open attempts that are to be stopped and were not told yet; `stop_told` once they were."""
        return [read_attempt(row) for row in self.rows("stops_wanted")]


def read_attempt(row: Row) -> Attempt:
    """An attempt from its row."""
    return Attempt(
        row["id"],
        row["kind"],
        row["account"],
        row["pool"],
        row["node"],
        row["task"],
        row["number"],
        json.loads(row["launcher"]),
        datetime.fromisoformat(row["launched_at"]),
        row["job"],
    )
