"""Rows of the batch tables <-> the model. Texts with secrets are sealed by the vault before they are stored."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kyanite.batch.model import (
    Account,
    FailureInfo,
    Job,
    Node,
    NodeState,
    Pool,
    PoolSpec,
    StartTask,
    StartTaskInfo,
    Task,
    TaskSpec,
    TaskState,
    retention_end,
)
from kyanite.database import Database, Row, named_statements
from kyanite.secrets import Vault

SQL = named_statements("kyanite.batch", "queries.sql")


def time_text(moment: datetime) -> str:
    """UTC with six digits of a second and a Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def read_time(text: str | None) -> datetime | None:
    """Read what `time_text` or the task runner wrote."""
    return datetime.fromisoformat(text) if text else None


@dataclass(frozen=True)
class Attempt:
    """A launch of a task (`task` is its sequence) or of a node's start task (`task` None), not yet ended."""

    id: int
    kind: str
    account: str
    pool: str
    node: str
    task: int | None
    number: int
    launcher: dict[str, Any]
    launched_at: datetime


@dataclass(frozen=True)
class NodeRow:
    """A node as stored; `version` names the start task and environment it was prepared with."""

    node: Node
    version: str | None
    retries: int
    losses: int
    leaving: bool
    starting: int | None


class Store:
    """The batch tables of one database."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self.database = database
        self._vault = vault

    def rows(self, statement: str, **arguments: Any) -> list[Row]:
        """All rows of a named SELECT."""
        return self.database.query(SQL[statement], arguments)

    def change(self, statement: str, **arguments: Any) -> int:
        """Run a named changing statement; the number of rows it changed."""
        return self.database.execute(SQL[statement], arguments)

    # ---- accounts, pools, nodes, jobs

    def accounts(self) -> list[Account]:
        """All accounts, by name."""
        return [Account(row["name"], row["location"]) for row in self.rows("accounts")]

    def account(self, name: str) -> Account | None:
        """The account of that name, whatever its case."""
        return next((account for account in self.accounts() if account.name.casefold() == name.casefold()), None)

    def put_pool(self, account: str, spec: PoolSpec, at: datetime) -> None:
        """Keep a new pool, or the new wishes for one that exists."""
        body = {
            "id": spec.id,
            "targetNodes": spec.target_nodes,
            "slotsPerNode": spec.slots_per_node,
            "pack": spec.pack,
            "vmSize": spec.vm_size,
            "displayName": spec.display_name,
            "startTask": spec.start_task.to_json() if spec.start_task else None,
            "windows": spec.windows,
            "document": dict(spec.document),
            "backend": spec.backend,
        }
        version = hashlib.sha256(json.dumps(body["startTask"], sort_keys=True).encode()).hexdigest()[:16]
        self.change(
            "put_pool",
            account=account.casefold(),
            key=spec.id.casefold(),
            spec=self._vault.seal_json(body),
            start_version=version,
            created_at=time_text(at),
        )

    def pool(self, account: str, pool: str) -> tuple[Pool, str] | None:
        """A pool and the version of its start task."""
        rows = self.rows("pool", account=account.casefold(), key=pool.casefold())
        return (self._pool(rows[0]), rows[0]["start_version"]) if rows else None

    def pools(self, account: str) -> list[Pool]:
        """The pools of an account, by id."""
        return [self._pool(row) for row in self.rows("pools", account=account.casefold())]

    def _pool(self, row: Row) -> Pool:
        body = self._vault.open_json(row["spec"])
        spec = PoolSpec(
            body["id"],
            body["targetNodes"],
            body["slotsPerNode"],
            body["pack"],
            body["vmSize"],
            body["displayName"],
            StartTask.from_json(body["startTask"]) if body["startTask"] else None,
            body["windows"],
            body["document"],
            body["backend"],
        )
        return Pool(row["account"], spec, datetime.fromisoformat(row["created_at"]))

    def nodes(self, pool: Pool) -> list[NodeRow]:
        """The nodes of a pool in the order they were added."""
        rows = self.rows("nodes", account=pool.account.casefold(), pool=pool.id.casefold())
        return [self._node(row, pool) for row in rows]

    def _node(self, row: Row, pool: Pool) -> NodeRow:
        state = NodeState(row["state"])
        if state is NodeState.IDLE and row["used"]:
            state = NodeState.RUNNING
        info = _read_start_info(row["start_info"]) if pool.spec.start_task else None
        node = Node(
            pool.account,
            pool.id,
            row["id"],
            NodeState.LEAVING_POOL if row["leaving"] else state,
            datetime.fromisoformat(row["since"]),
            pool.spec.slots_per_node,
            row["used"],
            info,
        )
        return NodeRow(
            node,
            row["start_version"],
            row["start_retries"],
            row["start_losses"],
            bool(row["leaving"]),
            row["starting"],
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
            info=json.dumps(self._vault.mask_json(_start_info_document(info))) if info else None,
            retries=row.retries,
            losses=row.losses,
        )

    def job(self, account: str, job: str) -> Job | None:
        """A job by its id, whatever the case."""
        rows = self.rows("job", account=account.casefold(), key=job.casefold())
        return self._job(rows[0]) if rows else None

    def jobs(self, account: str) -> list[Job]:
        """The jobs of an account, oldest first."""
        return [self._job(row) for row in self.rows("jobs", account=account.casefold())]

    def _job(self, row: Row) -> Job:
        return Job(
            row["account"],
            row["id"],
            row["pool_id"],
            datetime.fromisoformat(row["created_at"]),
            row["priority"],
            row["max_parallel"],
            environment=self._vault.open_json(row["environment"]),
        )

    def put_job(self, job: Job) -> None:
        """Keep a job unless one of that id exists."""
        self.change(
            "put_job",
            account=job.account.casefold(),
            key=job.id.casefold(),
            id=job.id,
            pool=job.pool_id.casefold(),
            pool_id=job.pool_id,
            priority=job.priority,
            max_parallel=job.max_parallel_tasks,
            environment=self._vault.seal_json(dict(job.environment)),
            created_at=time_text(job.created_at),
        )

    # ---- tasks and attempts

    def put_task(self, account: str, job: Job, spec: TaskSpec, at: datetime) -> bool:
        """Keep a waiting task; False when the job has one of that id."""
        added = self.change(
            "put_task",
            account=account.casefold(),
            job=job.id.casefold(),
            key=spec.id.casefold(),
            id=spec.id,
            pool=job.pool_id.casefold(),
            spec=self._vault.seal_json(spec.to_json()),
            slots=spec.required_slots,
            at=time_text(at),
        )
        return bool(added)

    def task(self, account: str, job: str, task: str) -> tuple[int, Task] | None:
        """A task and its sequence number."""
        rows = self.rows("task", account=account.casefold(), job=job.casefold(), key=task.casefold())
        return (rows[0]["sequence"], self._task(rows[0])) if rows else None

    def task_by_sequence(self, sequence: int) -> tuple[Task, bool] | None:
        """A task and whether it is to be deleted."""
        rows = self.rows("task_by_sequence", sequence=sequence)
        return (self._task(rows[0]), bool(rows[0]["deleted"])) if rows else None

    def tasks(self, account: str, job: str) -> list[Task]:
        """The tasks of a job in the order they were added."""
        return [self._task(row) for row in self.rows("tasks", account=account.casefold(), job=job.casefold())]

    def tasks_to_clean(self, at: datetime) -> list[tuple[int, Task, bool]]:
        """Completed tasks whose files may go, and whether the task goes with them."""
        rows = self.rows("files_to_remove", at=time_text(at))
        return [(row["sequence"], self._task(row), bool(row["deleted"])) for row in rows]

    def _task(self, row: Row) -> Task:
        spec = TaskSpec.from_json(row["id"], self._vault.open_json(row["spec"]))
        return Task(
            account=row["account"],
            job_id=row["job_id"],
            id=row["id"],
            pool_id=row["pool_id"],
            spec=spec,
            command_line=self._vault.mask(spec.command_line),
            created_at=datetime.fromisoformat(row["created_at"]),
            state=TaskState(row["state"]),
            state_since=read_time(row["state_since"]),
            attempt=row["attempt"],
            node_id=row["node"],
            start_time=read_time(row["start_time"]),
            end_time=read_time(row["end_time"]),
            exit_code=row["exit_code"],
            result=row["result"],
            failure_info=FailureInfo.from_json(json.loads(row["failure"])) if row["failure"] else None,
            retry_count=row["retry_count"],
            requeue_count=row["requeue_count"],
            loss_count=row["loss_count"],
            stop_reason=row["stop_reason"],
            files_removed=bool(row["files_removed"]),
        )

    def move_task(self, sequence: int, old: Task, new: Task) -> bool:
        """Store a task's new state; False when it is no longer in the old one."""
        remove_at = retention_end(new)
        failure = self._vault.mask_json(new.failure_info.to_json()) if new.failure_info else None
        return bool(
            self.change(
                "move_task",
                sequence=sequence,
                from_state=old.state.value,
                from_attempt=old.attempt,
                state=new.state.value,
                state_since=time_text(new.state_since or new.created_at),
                attempt=new.attempt,
                node=new.node_id,
                start_time=time_text(new.start_time) if new.start_time else None,
                end_time=time_text(new.end_time) if new.end_time else None,
                exit_code=new.exit_code,
                result=new.result,
                failure=json.dumps(failure) if failure else None,
                retry_count=new.retry_count,
                requeue_count=new.requeue_count,
                loss_count=new.loss_count,
                remove_at=time_text(remove_at) if remove_at else None,
            )
        )

    def open_attempts(self) -> list[Attempt]:
        """Every attempt that has not ended, oldest first."""
        return [read_attempt(row) for row in self.rows("open_attempts")]

    def open_attempt_of(self, sequence: int) -> Attempt | None:
        """The running attempt of a task."""
        rows = self.rows("open_attempt_of_task", sequence=sequence)
        return read_attempt(rows[0]) if rows else None


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
    )


def _start_info_document(info: StartTaskInfo) -> dict[str, Any]:
    return {
        "state": info.state,
        "startTime": time_text(info.start_time) if info.start_time else None,
        "endTime": time_text(info.end_time) if info.end_time else None,
        "exitCode": info.exit_code,
        "retryCount": info.retry_count,
        "result": info.result,
        "failureInfo": info.failure_info.to_json() if info.failure_info else None,
        "stderrTail": info.stderr_tail,
    }


def _read_start_info(text: str | None) -> StartTaskInfo | None:
    if text is None:
        return None
    body = json.loads(text)
    failure = body["failureInfo"]
    return StartTaskInfo(
        body["state"],
        read_time(body["startTime"]),
        read_time(body["endTime"]),
        body["exitCode"],
        body["retryCount"],
        body["result"],
        FailureInfo.from_json(failure) if failure else None,
        body["stderrTail"],
    )
