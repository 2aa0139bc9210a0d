"""The life of a node: creating > starting > [waitingforstarttask >] idle, or starttaskfailed."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from kyanite import limits
from kyanite.batch.model import (
    AttemptEnd,
    Exited,
    Failing,
    FailureInfo,
    Fenced,
    Lost,
    NodeState,
    StartTask,
    StartTaskInfo,
    exit_failure,
)
from kyanite.batch.store import NodeRow


def wanted_version(start_version: str, stamp: str | None) -> str:
    """What a node must have been prepared with to take tasks."""
    return f"{start_version}/{stamp}"


_READY = (NodeState.IDLE, NodeState.RUNNING)
_NOT_NOW = (NodeState.REBOOTING, NodeState.REIMAGING, NodeState.UNKNOWN, NodeState.UNUSABLE, NodeState.PREEMPTED)


def takes_tasks(row: NodeRow, version: str) -> bool:
    """Whether tasks may be given to a node now."""
    free = row.node.scheduling and not row.leaving and row.wanted is None
    return free and row.node.state in _READY and row.version == version


def needs_preparing(row: NodeRow, version: str) -> bool:
    """Whether a node must (again) get its environment and run its start task before the next task."""
    if row.leaving or row.wanted is not None or row.starting is not None or row.node.used_slots:
        return False
    if row.node.state in _NOT_NOW:
        return False
    return row.node.state is NodeState.CREATING or row.version != version


def is_empty(row: NodeRow, kept_until: datetime | None, at: datetime) -> bool:
    """Whether what was asked of a node (to leave, to reboot) may be done: nothing runs, no files must be kept."""
    if row.node.used_slots or row.starting is not None:
        return False
    return row.option != "retaineddata" or kept_until is None or kept_until <= at


def restarting(row: NodeRow, at: datetime) -> NodeRow:
    """The node that is being rebooted or reimaged."""
    state = NodeState.REIMAGING if row.wanted == "reimage" else NodeState.REBOOTING
    return _with_state(row, state, at)


def restarted(row: NodeRow, at: datetime) -> NodeRow:
    """The node after that: its start task runs again."""
    fresh = replace(row, version=None, retries=0, losses=0, wanted=None)
    return _with_state(fresh, NodeState.CREATING, at)


def troubled(row: NodeRow, state: NodeState, error: Failing, at: datetime) -> NodeRow:
    """The node with something wrong: unknown (not heard of) or unusable (its disk is full)."""
    moved = _with_state(row, state, at)
    return replace(moved, node=replace(moved.node, errors=(error,)))


def healed(row: NodeRow, at: datetime) -> NodeRow:
    """The node when all is well again."""
    moved = _with_state(row, NodeState.IDLE if row.version is not None else NodeState.CREATING, at)
    return replace(moved, node=replace(moved.node, errors=()))


def starting(row: NodeRow, at: datetime) -> NodeRow:
    """The node once its preparation was begun."""
    return _with_state(row, NodeState.STARTING, at)


def environment_ready(row: NodeRow, start: StartTask | None, version: str, at: datetime) -> NodeRow:
    """The node with its environment in place: it waits for the start task unless there is none to wait for."""
    ready = replace(row, version=version)
    if start is None:
        return _with_state(replace(ready, retries=0, losses=0), NodeState.IDLE, at)
    info = StartTaskInfo("running", start_time=at, retry_count=row.retries)
    state = NodeState.WAITING_FOR_START_TASK if start.wait_for_success else NodeState.IDLE
    moved = _with_state(ready, state, at)
    return replace(moved, node=replace(moved.node, start_task=info))


def after_start_task(row: NodeRow, start: StartTask | None, end: AttemptEnd, at: datetime, stderr: str) -> NodeRow:
    """The node after an attempt at its preparation ended: ready, failed, or to be prepared again."""
    match end:
        case Fenced():
            return _with_state(row, NodeState.CREATING, at)
        case Lost():
            counted = replace(row, losses=row.losses + 1)
            if counted.losses < limits.LOSSES_PER_TASK:
                return _with_state(counted, NodeState.CREATING, at)
            message = f"The start task's runner was lost {counted.losses} times."
            failure = FailureInfo("ServerError", "TaskLostTooOften", message)
            return _finished(counted, start, Exited(None, None, at, failure), at, stderr)
        case Exited():
            allowed = start.max_retry_count if start else 0
            if end.failure is None and end.exit_code and (allowed < 0 or row.retries < allowed):
                return _with_state(replace(row, retries=row.retries + 1), NodeState.CREATING, at)
            return _finished(row, start, end, at, stderr)


def _finished(row: NodeRow, start: StartTask | None, end: Exited, at: datetime, stderr: str) -> NodeRow:
    failure = end.failure or (exit_failure(end.exit_code) if end.exit_code else None)
    info = StartTaskInfo(
        state="completed",
        start_time=end.start_time,
        end_time=end.end_time or at,
        exit_code=end.exit_code,
        retry_count=row.retries,
        result="failure" if failure else "success",
        failure_info=failure,
        stderr_tail=stderr if failure else "",
    )
    blocked = failure is not None and (start is None or start.wait_for_success)
    moved = _with_state(row, NodeState.START_TASK_FAILED if blocked else NodeState.IDLE, at)
    return replace(moved, node=replace(moved.node, start_task=info), retries=0, losses=0)


def _with_state(row: NodeRow, state: NodeState, at: datetime) -> NodeRow:
    return replace(row, node=replace(row.node, state=state, since=at))


def describe_failure(info: StartTaskInfo) -> str:
    """Why a start task failed, with the end of its stderr."""
    failure = info.failure_info
    reason = f"exit code {info.exit_code}" if info.exit_code is not None else failure.message if failure else "unknown"
    tail = info.stderr_tail.strip()
    return f"the start task failed ({reason})" + (f"; stderr ends: {tail}" if tail else "")
