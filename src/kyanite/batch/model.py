"""Accounts, pools, nodes, jobs and tasks as frozen values, and the only rules by which a task changes state.

Semantics: batch reference sections 2, 3, 10 and 15. Three counters are never mixed: `retry_count` (the work failed),
`requeue_count` (a user put running work back), `loss_count` (its runner was lost; ours, not on the wire).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from kyanite import limits
from kyanite.errors import BatchError, InvariantError

_IDENTIFIER = re.compile(r"[A-Za-z0-9_-]{1,64}")


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


class TaskEvent(StrEnum):
    """What moves a task from one state to the next."""

    ASSIGNED = "assigned"
    FINISHED = "finished"
    RETRIED = "retried"
    RECOVERED = "recovered"
    REQUEUED = "requeued"
    TERMINATED = "terminated"


TASK_TRANSITIONS: Mapping[tuple[TaskState, TaskEvent], TaskState] = MappingProxyType(
    {
        (TaskState.ACTIVE, TaskEvent.ASSIGNED): TaskState.RUNNING,
        (TaskState.ACTIVE, TaskEvent.TERMINATED): TaskState.COMPLETED,
        (TaskState.RUNNING, TaskEvent.FINISHED): TaskState.COMPLETED,
        (TaskState.RUNNING, TaskEvent.RETRIED): TaskState.ACTIVE,
        (TaskState.RUNNING, TaskEvent.RECOVERED): TaskState.ACTIVE,
        (TaskState.RUNNING, TaskEvent.REQUEUED): TaskState.ACTIVE,
        (TaskState.RUNNING, TaskEvent.TERMINATED): TaskState.COMPLETED,
    }
)


@dataclass(frozen=True)
class FailureInfo:
    """Why a task or start task failed; `category` is UserError or ServerError, `code` one of the service's codes."""

    category: str
    code: str
    message: str
    details: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The wire shape."""
        details = [{"name": name, "value": value} for name, value in self.details]
        return {"category": self.category, "code": self.code, "message": self.message, "details": details}

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> FailureInfo:
        """Read the wire shape."""
        details = tuple((item["name"], item["value"]) for item in document.get("details", ()))
        return FailureInfo(document["category"], document["code"], document["message"], details)


@dataclass(frozen=True)
class ResourceFile:
    """A file put into the working directory before the command starts; exactly one of the three sources is given.

    `file_path` is relative to `wd`. With `keep` false the file is removed when the task ends (files with secrets).
    """

    file_path: str
    http_url: str | None = field(default=None, repr=False)
    source_path: str | None = None
    content: bytes | None = field(default=None, repr=False)
    mode: int = 0o770
    keep: bool = True

    def to_json(self) -> dict[str, Any]:
        """As stored; readable content stays text so that secrets in it can be sealed."""
        document: dict[str, Any] = {"filePath": self.file_path, "mode": self.mode, "keep": self.keep}
        if self.http_url is not None:
            document["httpUrl"] = self.http_url
        if self.source_path is not None:
            document["sourcePath"] = self.source_path
        if self.content is not None:
            try:
                document["text"] = self.content.decode("utf-8")
            except UnicodeDecodeError:
                document["bytes"] = base64.b64encode(self.content).decode()
        return document

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> ResourceFile:
        """Read what `to_json` wrote."""
        content = document["text"].encode() if "text" in document else None
        if "bytes" in document:
            content = base64.b64decode(document["bytes"])
        return ResourceFile(
            document["filePath"],
            document.get("httpUrl"),
            document.get("sourcePath"),
            content,
            document.get("mode", 0o770),
            document.get("keep", True),
        )


@dataclass(frozen=True)
class StartTask:
    """What runs once on each node before tasks do; a failing one keeps tasks off the node if `wait_for_success`."""

    command_line: str = field(repr=False)
    resource_files: tuple[ResourceFile, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    max_retry_count: int = 0
    wait_for_success: bool = True

    def to_json(self) -> dict[str, Any]:
        """As stored and as hashed for the start task's version."""
        return {
            "commandLine": self.command_line,
            "resourceFiles": [file.to_json() for file in self.resource_files],
            "environment": dict(self.environment),
            "maxTaskRetryCount": self.max_retry_count,
            "waitForSuccess": self.wait_for_success,
        }

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> StartTask:
        """Read what `to_json` wrote."""
        return StartTask(
            document["commandLine"],
            tuple(ResourceFile.from_json(item) for item in document["resourceFiles"]),
            document["environment"],
            document["maxTaskRetryCount"],
            document["waitForSuccess"],
        )


@dataclass(frozen=True)
class PoolSpec:
    """A pool as asked for; `document` is the body it was read from, unknown properties included."""

    id: str
    target_nodes: int = 1
    slots_per_node: int = 1
    pack: bool = False
    vm_size: str = "local"
    display_name: str | None = None
    start_task: StartTask | None = None
    windows: bool = False
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)
    backend: str = "local"


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
class Pool:
    """A pool that exists."""

    account: str
    spec: PoolSpec
    created_at: datetime

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
    """One node of a pool; `used_slots` are held by its unfinished tasks."""

    account: str
    pool_id: str
    id: str
    state: NodeState
    since: datetime
    total_slots: int
    used_slots: int = 0
    start_task: StartTaskInfo | None = None
    folder: str = ""


@dataclass(frozen=True)
class Job:
    """A job; tasks of jobs with a higher `priority` (-1000 to 1000) go first."""

    account: str
    id: str
    pool_id: str
    created_at: datetime
    priority: int = 0
    max_parallel_tasks: int = -1
    state: str = "active"
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class TaskSpec:
    """A task as asked for. Times are seconds; `max_wall_clock` None means no limit, `max_retry_count` -1 for ever."""

    id: str
    command_line: str = field(repr=False)
    resource_files: tuple[ResourceFile, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    max_wall_clock: float | None = None
    retention: float = limits.TASK_RETENTION_SECONDS
    required_slots: int = 1
    max_retry_count: int = 0
    display_name: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As stored (sealed by the store)."""
        return {
            "commandLine": self.command_line,
            "resourceFiles": [file.to_json() for file in self.resource_files],
            "environment": dict(self.environment),
            "maxWallClock": self.max_wall_clock,
            "retention": self.retention,
            "requiredSlots": self.required_slots,
            "maxTaskRetryCount": self.max_retry_count,
            "displayName": self.display_name,
        }

    @staticmethod
    def from_json(task_id: str, document: Mapping[str, Any]) -> TaskSpec:
        """Read what `to_json` wrote."""
        return TaskSpec(
            task_id,
            document["commandLine"],
            tuple(ResourceFile.from_json(item) for item in document["resourceFiles"]),
            document["environment"],
            document["maxWallClock"],
            document["retention"],
            document["requiredSlots"],
            document["maxTaskRetryCount"],
            document["displayName"],
        )


@dataclass(frozen=True)
class Task:
    """A task that exists. `attempt` counts launches from 1; `command_line` is masked, the real one is in `spec`."""

    account: str
    job_id: str
    id: str
    pool_id: str
    spec: TaskSpec = field(repr=False)
    command_line: str
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

TASK_ENDED = FailureInfo("UserError", "TaskEnded", "Task Was Ended by User Request")


def exit_failure(exit_code: int) -> FailureInfo:
    """The failure of a command that ran and ended with a code other than 0."""
    message = "The task exited with an exit code representing a failure"
    return FailureInfo(
        "UserError", "FailureExitCode", message, (("Message", f"The task exited with code {exit_code}"),)
    )


def check_identifier(kind: str, identifier: str) -> str:
    """The identifier, or BatchError: letters, digits, `-` and `_`, at most 64."""
    if not _IDENTIFIER.fullmatch(identifier):
        raise BatchError(
            f"'{identifier[:80]}' is not a valid {kind} id.",
            cure="Use 1 to 64 letters, digits, hyphens and underscores.",
            code="InvalidPropertyValue",
        )
    return identifier


def assigned(task: Task, node_id: str, at: datetime) -> Task:
    """The task with its next attempt given to a node."""
    moved = _move(task, TaskEvent.ASSIGNED, at)
    return replace(
        moved, attempt=task.attempt + 1, node_id=node_id, start_time=at, end_time=None, exit_code=None, result=None
    )


def terminated(task: Task, at: datetime, failure: FailureInfo = TASK_ENDED) -> Task:
    """The task ended before its work did."""
    moved = _move(task, TaskEvent.TERMINATED, at)
    return replace(moved, end_time=at, result="failure", failure_info=failure)


def after_attempt(task: Task, end: AttemptEnd, at: datetime, losses_allowed: int = limits.LOSSES_PER_TASK) -> Task:
    """The task after its running attempt ended: completed, or waiting again for a retry or after a loss."""
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


def _after_exit(task: Task, end: Exited, at: datetime) -> Task:
    failure = end.failure
    if failure is None and end.exit_code != 0:
        failure = exit_failure(-1 if end.exit_code is None else end.exit_code)
    retriable = failure is not None and failure.code == "FailureExitCode" and task.stop_reason is None
    if retriable and (task.spec.max_retry_count < 0 or task.retry_count < task.spec.max_retry_count):
        return _wait_again(replace(task, retry_count=task.retry_count + 1), TaskEvent.RETRIED, at)
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
    return replace(task, state=state, state_since=at)


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
        "losses stay within their limit": task.loss_count <= limits.LOSSES_PER_TASK,
    }
    return [rule for rule, holds in checks.items() if not holds]


def retention_end(task: Task) -> datetime | None:
    """When the files of a completed task may be removed."""
    return task.end_time + timedelta(seconds=task.spec.retention) if task.end_time else None
