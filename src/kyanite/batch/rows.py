"""Rows of the batch tables -> the model. Documents are sealed in the database and opened here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from kyanite.batch.documents import stored_task
from kyanite.batch.model import (
    AllocationState,
    Failing,
    FailureInfo,
    Job,
    JobState,
    Node,
    NodeState,
    Pool,
    PoolSpec,
    PoolState,
    Schedule,
    ScheduleState,
    StartTask,
    StartTaskInfo,
    Task,
    TaskSpec,
    TaskState,
)
from kyanite.batch.pool_spec import rest_from_arm
from kyanite.batch.reading import moment_text
from kyanite.database import Row
from kyanite.secrets import Vault

time_text = moment_text  # times are stored as the service writes them: comparing texts compares times


def optional_time_text(moment: datetime | None) -> str | None:
    """The same, or None."""
    return time_text(moment) if moment else None


def read_time(text: str | None) -> datetime | None:
    """Read what `time_text` or the task runner wrote."""
    return datetime.fromisoformat(text) if text else None


def spec_body(spec: PoolSpec) -> dict[str, Any]:
    """A pool's wishes as stored."""
    return {
        "id": spec.id,
        "targetNodes": spec.target_nodes,
        "lowPriorityNodes": spec.low_priority_nodes,
        "slotsPerNode": spec.slots_per_node,
        "pack": spec.pack,
        "vmSize": spec.vm_size,
        "displayName": spec.display_name,
        "startTask": spec.start_task.to_json() if spec.start_task else None,
        "windows": spec.windows,
        "document": dict(spec.document),
        "backend": spec.backend,
        "formula": spec.formula,
        "interval": spec.interval,
        "resizeTimeout": spec.resize_timeout,
    }


def pool_of(row: Row, vault: Vault) -> Pool:
    """A pool; the row has the counts `dedicated` and `low_priority` of its nodes."""
    body = vault.open_json(row["spec"])
    document = body["document"]
    if "scaleSettings" in document or "deploymentConfiguration" in document:
        document = rest_from_arm(body["id"], document)  # as older versions kept it
    spec = PoolSpec(
        body["id"],
        body["targetNodes"],
        body["slotsPerNode"],
        body["pack"],
        body["vmSize"],
        body["displayName"],
        StartTask.from_json(body["startTask"]) if body["startTask"] else None,
        body["windows"],
        document,
        body["backend"],
        body.get("lowPriorityNodes", 0),
        body.get("formula"),
        body.get("interval", 900.0),
        body.get("resizeTimeout", 900.0),
    )
    return Pool(
        row["account"],
        spec,
        datetime.fromisoformat(row["created_at"]),
        PoolState(row["state"]),
        read_time(row["state_since"]),
        AllocationState(row["allocation"]),
        read_time(row["allocation_since"]),
        read_time(row["resize_by"]),
        tuple(Failing.from_json(item) for item in json.loads(row["resize_errors"])),
        row["deallocation"],
        row["version"],
        read_time(row["modified_at"]),
        row["dedicated"],
        row["low_priority"],
        row["auto_for"],
    )


def node_of(row: Row, pool: Pool) -> Node:
    """A node with the slots its open attempts hold."""
    state = NodeState(row["state"])
    if state is NodeState.IDLE and row["used"]:
        state = NodeState.RUNNING
    return Node(
        account=pool.account,
        pool_id=pool.id,
        id=row["id"],
        state=NodeState.LEAVING_POOL if row["leaving"] else state,
        since=datetime.fromisoformat(row["since"]),
        total_slots=pool.spec.slots_per_node,
        used_slots=row["used"],
        start_task=_start_info(pool, row["start_info"]),
        dedicated=bool(row["dedicated"]),
        scheduling=row["scheduling"] == "enabled",
        running_tasks=row["running"],
        allocated_at=read_time(row["allocated_at"]),
        booted_at=read_time(row["booted_at"]),
        total_run=row["tasks_run"],
        total_succeeded=row["tasks_succeeded"],
        errors=tuple(Failing.from_json(item) for item in json.loads(row["errors"] or "[]")),
    )


def _start_info(pool: Pool, text: str | None) -> StartTaskInfo | None:
    """Also without a start task: why the node could not be prepared."""
    info = read_start_info(text)
    return info if info is not None and (pool.spec.start_task is not None or info.failure_info is not None) else None


def start_info_body(info: StartTaskInfo) -> dict[str, Any]:
    """A start task's latest run as stored."""
    return {
        "state": info.state,
        "startTime": optional_time_text(info.start_time),
        "endTime": optional_time_text(info.end_time),
        "exitCode": info.exit_code,
        "retryCount": info.retry_count,
        "result": info.result,
        "failureInfo": info.failure_info.to_json() if info.failure_info else None,
        "stderrTail": info.stderr_tail,
    }


def read_start_info(text: str | None) -> StartTaskInfo | None:
    """Read what `start_info_body` gave."""
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


def job_of(row: Row, vault: Vault) -> Job:
    """A job; one made in Python has a document of the few properties it was given."""
    environment = vault.open_json(row["environment"])
    return Job(
        account=row["account"],
        id=row["id"],
        pool_id=row["pool_id"],
        created_at=datetime.fromisoformat(row["created_at"]),
        priority=row["priority"],
        max_parallel_tasks=row["max_parallel"],
        state=JobState(row["state"]),
        environment=environment,
        document=vault.open_json(row["document"]) if row["document"] else _job_document(row, environment),
        state_since=read_time(row["state_since"]),
        previous_state=JobState(row["previous_state"]) if row["previous_state"] else None,
        previous_since=read_time(row["previous_since"]),
        version=row["version"],
        modified_at=read_time(row["modified_at"]),
        end_time=read_time(row["end_time"]),
        terminate_reason=row["terminate_reason"],
        scheduling_error=Failing.from_json(json.loads(row["scheduling_error"])) if row["scheduling_error"] else None,
        disable_option=row["disable_option"],
        uses_dependencies=bool(row["uses_dependencies"]),
        on_all_complete=row["on_all_complete"],
        on_failure=row["on_failure"],
        deadline=read_time(row["deadline"]),
        schedule=row["schedule"],
        auto_pool=bool(row["auto_pool"]),
    )


def _job_document(row: Row, environment: dict[str, str]) -> dict[str, Any]:
    settings = [{"name": name, "value": value} for name, value in environment.items()]
    return {
        "id": row["id"],
        "priority": row["priority"],
        "maxParallelTasks": row["max_parallel"],
        "poolInfo": {"poolId": row["pool_id"]},
        **({"commonEnvironmentSettings": settings} if settings else {}),
    }


def schedule_of(row: Row, vault: Vault) -> Schedule:
    """A job schedule."""
    return Schedule(
        account=row["account"],
        id=row["id"],
        document=vault.open_json(row["document"]),
        created_at=datetime.fromisoformat(row["created_at"]),
        state=ScheduleState(row["state"]),
        state_since=read_time(row["state_since"]),
        previous_state=ScheduleState(row["previous_state"]) if row["previous_state"] else None,
        previous_since=read_time(row["previous_since"]),
        version=row["version"],
        modified_at=read_time(row["modified_at"]),
        next_run=read_time(row["next_run"]),
        recent_job=row["recent_job"],
        jobs=row["jobs"],
        end_time=read_time(row["end_time"]),
    )


def task_body(spec: TaskSpec) -> dict[str, Any]:
    """A task's wishes as stored: its document where it came in one, else its parts."""
    if not spec.document:
        return spec.to_json()
    slots = spec.required_slots
    return {"document": dict(spec.document), "maxTaskRetryCount": spec.max_retry_count, "requiredSlots": slots}


def task_spec(task_id: str, body: dict[str, Any]) -> TaskSpec:
    """Read what `task_body` gave."""
    if "document" not in body:
        return TaskSpec.from_json(task_id, body)
    return stored_task(body["document"], body["maxTaskRetryCount"], body["requiredSlots"])


# what a list can be filtered by without reading the tasks' documents
FACTS = frozenset(
    {
        "id",
        "state",
        "stateTransitionTime",
        "previousState",
        "previousStateTransitionTime",
        "creationTime",
        "lastModified",
        "executionInfo",
        "nodeInfo",
    }
)


def task_facts(found: Row) -> dict[str, Any]:
    """The `FACTS` of a task's wire document, from its row alone; absent ones are None."""
    row = _by_name(found)
    placed = row["node"] is not None and row["state"] != "active"
    return {
        "id": row["id"],
        "state": row["state"],
        "stateTransitionTime": row["state_since"],
        "previousState": row["previous_state"],
        "previousStateTransitionTime": row["previous_since"],
        "creationTime": row["created_at"],
        "lastModified": row["modified_at"] or row["created_at"],
        "executionInfo": {
            "startTime": row["start_time"],
            "endTime": row["end_time"],
            "exitCode": row["exit_code"],
            "failureInfo": json.loads(row["failure"]) if row["failure"] else None,
            "retryCount": row["retry_count"],
            "requeueCount": row["requeue_count"],
            "result": row["result"],
        },
        "nodeInfo": {"poolId": row["pool_id"], "nodeId": row["node"]} if placed else None,
    }


def _by_name(row: Row) -> Mapping[str, Any]:
    """The same values; a row looks through all its names for each one that is asked for."""
    return dict(zip(row.keys(), row, strict=True))


def task_of(found: Row, vault: Vault) -> Task:
    """A task; the row has `job_id` and `pool_id` in their own spelling."""
    row = _by_name(found)
    spec = task_spec(row["id"], vault.open_json(row["spec"]))
    return Task(
        account=row["account"],
        job_id=row["job_id"],
        id=row["id"],
        pool_id=row["pool_id"],
        spec=spec,
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
        previous_state=TaskState(row["previous_state"]) if row["previous_state"] else None,
        previous_since=read_time(row["previous_since"]),
        last_retry=read_time(row["last_retry"]),
        last_requeue=read_time(row["last_requeue"]),
        version=row["version"],
        modified_at=read_time(row["modified_at"]),
        unmet=row["unmet"],
    )
