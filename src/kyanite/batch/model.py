"""Accounts, pools, nodes, jobs and tasks as frozen values, and the only rules by which a task changes state.

Semantics: batch reference sections 2, 3, 10 and 15. Three counters are never mixed: `retry_count` (the work failed),
`requeue_count` (a user put running work back), `loss_count` (its runner was lost; ours, not on the wire).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from kyanite import limits
from kyanite.batch.specs import FailureInfo as FailureInfo
from kyanite.batch.specs import PoolSpec as PoolSpec
from kyanite.batch.specs import ResourceFile as ResourceFile
from kyanite.batch.specs import StartTask as StartTask
from kyanite.batch.specs import TaskSpec as TaskSpec
from kyanite.batch.specs import check_identifier as check_identifier
from kyanite.errors import InvariantError


class TaskState(StrEnum):
    """There is no failed state: a completed task's `result` tells."""

    ACTIVE = "active"
    PREPARING = "preparing"
    RUNNING = "running"
    COMPLETED = "completed"


class NodeState(StrEnum):
    """The node states of the wire that a local node can have."""

    CREATING = "creating"
    STARTING = "starting"
    WAITING_FOR_START_TASK = "waitingforstarttask"
    START_TASK_FAILED = "starttaskfailed"
    IDLE = "idle"
    RUNNING = "running"
    LEAVING_POOL = "leavingpool"
    UNUSABLE = "unusable"
    OFFLINE = "offline"
    REBOOTING = "rebooting"
    REIMAGING = "reimaging"
    PREEMPTED = "preempted"
    UNKNOWN = "unknown"


class PoolState(StrEnum):
    """A pool exists at once; there is no failed state."""

    ACTIVE = "active"
    DELETING = "deleting"


class AllocationState(StrEnum):
    """Whether a pool's number of nodes is being changed."""

    STEADY = "steady"
    RESIZING = "resizing"
    STOPPING = "stopping"


class JobState(StrEnum):
    """Only tasks of active jobs start."""

    ACTIVE = "active"
    DISABLING = "disabling"
    DISABLED = "disabled"
    ENABLING = "enabling"
    TERMINATING = "terminating"
    COMPLETED = "completed"
    DELETING = "deleting"


class ScheduleState(StrEnum):
    """Only an active schedule makes jobs."""

    ACTIVE = "active"
    DISABLED = "disabled"
    TERMINATING = "terminating"
    COMPLETED = "completed"
    DELETING = "deleting"


class TaskEvent(StrEnum):
    """What moves a task from one state to the next."""

    ASSIGNED = "assigned"
    HELD = "held back for the job's preparation"
    PREPARED = "prepared"
    FINISHED = "finished"
    RETRIED = "retried"
    RECOVERED = "recovered"
    REQUEUED = "requeued"
    TERMINATED = "terminated"
    REACTIVATED = "reactivated"


TASK_TRANSITIONS: Mapping[tuple[TaskState, TaskEvent], TaskState] = MappingProxyType(
    {
        (TaskState.ACTIVE, TaskEvent.ASSIGNED): TaskState.RUNNING,
        (TaskState.ACTIVE, TaskEvent.HELD): TaskState.PREPARING,
        (TaskState.ACTIVE, TaskEvent.TERMINATED): TaskState.COMPLETED,
        (TaskState.PREPARING, TaskEvent.PREPARED): TaskState.RUNNING,
        (TaskState.PREPARING, TaskEvent.FINISHED): TaskState.COMPLETED,
        (TaskState.PREPARING, TaskEvent.RECOVERED): TaskState.ACTIVE,
        (TaskState.PREPARING, TaskEvent.REQUEUED): TaskState.ACTIVE,
        (TaskState.PREPARING, TaskEvent.TERMINATED): TaskState.COMPLETED,
        (TaskState.RUNNING, TaskEvent.FINISHED): TaskState.COMPLETED,
        (TaskState.RUNNING, TaskEvent.RETRIED): TaskState.ACTIVE,
        (TaskState.RUNNING, TaskEvent.RECOVERED): TaskState.ACTIVE,
        (TaskState.RUNNING, TaskEvent.REQUEUED): TaskState.ACTIVE,
        (TaskState.RUNNING, TaskEvent.TERMINATED): TaskState.COMPLETED,
        (TaskState.COMPLETED, TaskEvent.REACTIVATED): TaskState.ACTIVE,
    }
)


@dataclass(frozen=True)
class Account:
    """A Batch account of this workspace; its two keys are in the vault."""

    name: str
    location: str = "local"

    @property
    def url(self) -> str:
        """The endpoint's address, as in AZ_BATCH_ACCOUNT_URL."""
        return f"https://{self.name}.{self.location}.batch.azure.com"


@dataclass(frozen=True)
class Failing:
    """Why a resize, a node or a job's scheduling failed; `values` are the service's details."""

    code: str
    message: str
    values: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The wire shape."""
        values = [{"name": name, "value": value} for name, value in self.values]
        return {"code": self.code, "message": self.message, "values": values}

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> Failing:
        """Read the wire shape."""
        values = tuple((item["name"], item["value"]) for item in document.get("values", ()))
        return Failing(document["code"], document["message"], values)


@dataclass(frozen=True)
class Pool:
    """A pool that exists; `version` grows and `modified_at` moves when its own data is changed."""

    account: str
    spec: PoolSpec
    created_at: datetime
    state: PoolState = PoolState.ACTIVE
    state_since: datetime | None = None
    allocation: AllocationState = AllocationState.STEADY
    allocation_since: datetime | None = None
    resize_by: datetime | None = None
    resize_errors: tuple[Failing, ...] = ()
    deallocation: str = "requeue"
    version: int = 1
    modified_at: datetime | None = None
    current_dedicated: int = 0
    current_low_priority: int = 0
    auto_for: str | None = None

    @property
    def id(self) -> str:
        """The pool's id in its original spelling."""
        return self.spec.id


@dataclass(frozen=True)
class StartTaskInfo:
    """The latest run of a node's start task; `state` is running or completed."""

    state: str
    start_time: datetime | None = None
    end_time: datetime | None = None
    exit_code: int | None = None
    retry_count: int = 0
    result: str | None = None
    failure_info: FailureInfo | None = None
    stderr_tail: str = ""


@dataclass(frozen=True)
class Node:
    """One node of a pool; `used_slots` are held by its unfinished tasks, `running_tasks` of them.

    With `scheduling` false it gets no further tasks.
    """

    account: str
    pool_id: str
    id: str
    state: NodeState
    since: datetime
    total_slots: int
    used_slots: int = 0
    start_task: StartTaskInfo | None = None
    folder: str = ""
    dedicated: bool = True
    scheduling: bool = True
    running_tasks: int = 0
    allocated_at: datetime | None = None
    booted_at: datetime | None = None
    total_run: int = 0
    total_succeeded: int = 0
    errors: tuple[Failing, ...] = ()


@dataclass(frozen=True)
class Job:
    """A job; tasks of jobs with a higher `priority` (-1000 to 1000) go first. `document` is its wire document.

    `schedule` is the id of the schedule that made it, `auto_pool` says that its pool lives no longer than it (or its
    schedule) does.
    """

    account: str
    id: str
    pool_id: str
    created_at: datetime
    priority: int = 0
    max_parallel_tasks: int = -1
    state: JobState = JobState.ACTIVE
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)
    state_since: datetime | None = None
    previous_state: JobState | None = None
    previous_since: datetime | None = None
    version: int = 1
    modified_at: datetime | None = None
    end_time: datetime | None = None
    terminate_reason: str | None = None
    scheduling_error: Failing | None = None
    disable_option: str = "requeue"
    uses_dependencies: bool = False
    on_all_complete: str = "noaction"
    on_failure: str = "noaction"
    deadline: datetime | None = None
    schedule: str | None = None
    auto_pool: bool = False


@dataclass(frozen=True)
class Schedule:
    """A job schedule; `next_run` is when its next job is due, `jobs` how many it has made."""

    account: str
    id: str
    document: Mapping[str, Any] = field(repr=False)
    created_at: datetime
    state: ScheduleState = ScheduleState.ACTIVE
    state_since: datetime | None = None
    previous_state: ScheduleState | None = None
    previous_since: datetime | None = None
    version: int = 1
    modified_at: datetime | None = None
    next_run: datetime | None = None
    recent_job: str | None = None
    jobs: int = 0
    end_time: datetime | None = None


@dataclass(frozen=True)
class Task:
    """A task that exists. `attempt` counts launches from 1; its `spec` holds real values, also secret ones.

    `unmet` counts what it still depends on. `stop_reason` is TaskEnded (it is to end) or Requeued (it is to run again).
    """

    account: str
    job_id: str
    id: str
    pool_id: str
    spec: TaskSpec = field(repr=False)
    created_at: datetime
    state: TaskState = TaskState.ACTIVE
    state_since: datetime | None = None
    attempt: int = 0
    node_id: str | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    exit_code: int | None = None
    result: str | None = None
    failure_info: FailureInfo | None = None
    retry_count: int = 0
    requeue_count: int = 0
    loss_count: int = 0
    stop_reason: str | None = None
    files_removed: bool = False
    previous_state: TaskState | None = None
    previous_since: datetime | None = None
    last_retry: datetime | None = None
    last_requeue: datetime | None = None
    version: int = 1
    modified_at: datetime | None = None
    unmet: int = 0

    @property
    def root_directory(self) -> str:
        """The task's directory below its node's root, always with `/`."""
        return f"workitems/{self.job_id}/job-1/{self.id}"


@dataclass(frozen=True)
class Exited:
    """An attempt ended and said how; `exit_code` is None when no process ran."""

    exit_code: int | None
    start_time: datetime | None
    end_time: datetime | None
    failure: FailureInfo | None = None


@dataclass(frozen=True)
class Lost:
    """An attempt had a runner, which is gone without a result."""


@dataclass(frozen=True)
class Fenced:
    """An attempt never ran and never will."""


AttemptEnd = Exited | Lost | Fenced

REQUEUED = "Requeued"
TASK_ENDED = FailureInfo("UserError", "TaskEnded", "Task Was Ended by User Request")


def exit_failure(exit_code: int) -> FailureInfo:
    """The failure of a command that ran and ended with a code other than 0."""
    message = "The task exited with an exit code representing a failure"
    return FailureInfo(
        "UserError", "FailureExitCode", message, (("Message", f"The task exited with code {exit_code}"),)
    )


def etag(version: int, modified: datetime) -> str:
    """The eTag of an object's data, without quotes; it differs for each change and each re-made object."""
    return f"0x8D{int(modified.timestamp() * 1_000_000):013X}{version % 4096:03X}"


def assigned(task: Task, node_id: str, at: datetime, *, hold: bool = False) -> Task:
    """The task with its next attempt given to a node; with `hold` it waits there for the job's preparation."""
    moved = _move(task, TaskEvent.HELD if hold else TaskEvent.ASSIGNED, at)
    return replace(
        moved, attempt=task.attempt + 1, node_id=node_id, start_time=at, end_time=None, exit_code=None, result=None
    )


def prepared(task: Task, at: datetime) -> Task:
    """A task that was held back may start: its job is prepared on the node."""
    return replace(_move(task, TaskEvent.PREPARED, at), start_time=at)


def reactivated(task: Task, at: datetime) -> Task:
    """A failed task to be run again, as if its work had never failed."""
    moved = _move(task, TaskEvent.REACTIVATED, at)
    return replace(
        moved,
        node_id=None,
        start_time=None,
        end_time=None,
        exit_code=None,
        result=None,
        failure_info=None,
        retry_count=0,
        last_retry=None,
        stop_reason=None,
        files_removed=False,
        version=task.version + 1,
        modified_at=at,
    )


def terminated(task: Task, at: datetime, failure: FailureInfo = TASK_ENDED) -> Task:
    """The task ended before its work did."""
    moved = _move(task, TaskEvent.TERMINATED, at)
    return replace(moved, end_time=at, result="failure", failure_info=failure)


def after_attempt(task: Task, end: AttemptEnd, at: datetime, losses_allowed: int = limits.LOSSES_PER_TASK) -> Task:
    """The task after its attempt ended: completed, or waiting again for a retry, after a loss or on request."""
    if task.stop_reason == REQUEUED:
        task = replace(task, stop_reason=None)
        if not (isinstance(end, Exited) and _ended_itself(end)):
            again = replace(task, requeue_count=task.requeue_count + 1, last_requeue=at)
            return replace(_move(again, TaskEvent.REQUEUED, at), node_id=None)
    match end:
        case Exited():
            return _after_exit(task, end, at)
        case Lost():
            counted = replace(task, loss_count=task.loss_count + 1)
            if task.stop_reason is None and counted.loss_count >= losses_allowed:
                message = f"The task's runner was lost {counted.loss_count} times; the task is held to be the cause."
                failure = FailureInfo("ServerError", "TaskLostTooOften", message)
                finished = _move(counted, TaskEvent.FINISHED, at)
                return replace(finished, end_time=at, result="failure", failure_info=failure)
            return _wait_again(counted, TaskEvent.RECOVERED, at)
        case Fenced():
            return _wait_again(task, TaskEvent.RECOVERED, at)


def _ended_itself(end: Exited) -> bool:
    """Whether the work came to its own end before it could be stopped."""
    return end.failure is None or end.failure.code != TASK_ENDED.code


def _after_exit(task: Task, end: Exited, at: datetime) -> Task:
    failure = end.failure
    if failure is None and end.exit_code != 0:
        failure = exit_failure(-1 if end.exit_code is None else end.exit_code)
    retriable = failure is not None and failure.code == "FailureExitCode" and task.stop_reason is None
    if retriable and (task.spec.max_retry_count < 0 or task.retry_count < task.spec.max_retry_count):
        return _wait_again(replace(task, retry_count=task.retry_count + 1, last_retry=at), TaskEvent.RETRIED, at)
    finished = _move(task, TaskEvent.FINISHED, at)
    return replace(
        finished,
        exit_code=end.exit_code,
        start_time=end.start_time or task.start_time,
        end_time=end.end_time or at,
        result="success" if failure is None else "failure",
        failure_info=failure,
    )


def _wait_again(task: Task, event: TaskEvent, at: datetime) -> Task:
    if task.stop_reason is not None:
        return terminated(task, at)
    return replace(_move(task, event, at), node_id=None)


def _move(task: Task, event: TaskEvent, at: datetime) -> Task:
    state = TASK_TRANSITIONS.get((task.state, event))
    if state is None:
        raise InvariantError(f"A task that is {task.state} cannot be {event}.", where=f"task {task.job_id}/{task.id}")
    return replace(
        task, state=state, state_since=at, previous_state=task.state, previous_since=task.state_since or task.created_at
    )


def task_problems(task: Task) -> list[str]:
    """What is impossible about a task; empty when its state is sound."""
    done = task.state is TaskState.COMPLETED
    on_node = task.state in (TaskState.RUNNING, TaskState.PREPARING)
    checks = {
        "a running task has a node": not on_node or task.node_id is not None,
        "a waiting task has no node": task.state is not TaskState.ACTIVE or task.node_id is None,
        "a running task has an attempt": not on_node or task.attempt > 0,
        "a result belongs to a completed task": (task.result is not None) == done,
        "an end time belongs to a completed task": (task.end_time is not None) == done,
        "success means exit code 0": task.result != "success" or task.exit_code == 0,
        "a failure says why": (task.result == "failure") == (task.failure_info is not None),
        "attempts cover retries and losses": task.attempt >= task.retry_count + task.loss_count,
        "a task with unmet dependencies waits": not on_node or task.unmet == 0,
        "losses stay within their limit": task.loss_count <= limits.LOSSES_PER_TASK,
    }
    return [rule for rule, holds in checks.items() if not holds]


def retention_end(task: Task) -> datetime | None:
    """When the files of a completed task may be removed."""
    return task.end_time + timedelta(seconds=task.spec.retention) if task.end_time else None
