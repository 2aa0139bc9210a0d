"""Objects -> the Batch service's JSON, without `odata.*`. `base` is the account's address without a slash at its end.

What was given is echoed, unknown properties too; passwords never are. Absent values are left out, not null.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from kyanite.batch.files import FileEntry
from kyanite.batch.job_nodes import JobNode
from kyanite.batch.model import FailureInfo, Job, Node, Pool, Schedule, StartTaskInfo, Task, TaskState, etag
from kyanite.batch.reading import duration_seconds, duration_text, moment_text
from kyanite.batch.specs import ResourceFile, StartTask, TaskSpec

Json = dict[str, Any]
_NEVER_ECHOED = {"password", "sshPrivateKey", "accountKey", "sasKey"}


def pool_json(pool: Pool, base: str, autoscale_run: Mapping[str, Any] | None = None) -> Json:
    """A pool. `autoscale_run` is its last evaluation."""
    spec = pool.spec
    document = _clean(spec.document)
    policy = {"nodeFillType": "pack" if spec.pack else "spread"}
    body = {
        **document,
        "id": pool.id,
        "displayName": spec.display_name,
        **_identity(f"{base}/pools/{pool.id}", pool.version, pool.created_at, pool.modified_at),
        **_state("", pool.state, pool.state_since or pool.created_at),
        **_state("allocation", pool.allocation, pool.allocation_since or pool.created_at),
        "vmSize": spec.vm_size,
        "resizeErrors": [error.to_json() for error in pool.resize_errors] or None,
        "currentDedicatedNodes": pool.current_dedicated,
        "currentLowPriorityNodes": pool.current_low_priority,
        "targetDedicatedNodes": spec.dedicated_nodes,
        "targetLowPriorityNodes": spec.low_priority_nodes,
        "enableAutoScale": spec.formula is not None,
        "autoScaleFormula": spec.formula,
        "autoScaleEvaluationInterval": duration_text(spec.interval) if spec.formula is not None else None,
        "autoScaleRun": dict(autoscale_run) if autoscale_run else None,
        "resizeTimeout": duration_text(spec.resize_timeout) if spec.formula is None else None,
        "enableInterNodeCommunication": document.get("enableInterNodeCommunication") or False,
        "startTask": _start_task(spec.start_task, document.get("startTask")),
        "taskSlotsPerNode": spec.slots_per_node,
        "taskSchedulingPolicy": {**(document.get("taskSchedulingPolicy") or {}), **policy},
    }
    return present(body)


def node_json(node: Node, base: str, recent: Iterable[Json] = ()) -> Json:
    """A node; `recent` are its latest tasks (see `recent_task_json`)."""
    body = {
        "id": node.id,
        "url": f"{base}/pools/{node.pool_id}/nodes/{node.id}",
        **_state("", node.state, node.since),
        "schedulingState": "enabled" if node.scheduling else "disabled",
        "lastBootTime": _time(node.booted_at or node.allocated_at),
        "allocationTime": _time(node.allocated_at or node.since),
        "ipAddress": "127.0.0.1",
        "affinityId": f"TVM:{node.id}",
        "vmSize": "local",
        "isDedicated": node.dedicated,
        "totalTasksRun": node.total_run + node.running_tasks,
        "totalTasksSucceeded": node.total_succeeded,
        "runningTasksCount": node.running_tasks,
        "runningTaskSlotsCount": node.used_slots,
        "recentTasks": list(recent) or None,
        "startTaskInfo": _start_info(node.start_task),
        "errors": [_node_error(error.to_json()) for error in node.errors] or None,
    }
    return present(body)


def _node_error(error: Json) -> Json:
    return {"code": error["code"], "message": error["message"], "errorDetails": error["values"]}


def recent_task_json(row: Mapping[str, Any], base: str) -> Json:
    """One of a node's `recentTasks`, from a row with id, job_id and state."""
    url = f"{base}/jobs/{row['job_id']}/tasks/{row['id']}"
    return {"taskUrl": url, "jobId": row["job_id"], "taskId": row["id"], "taskState": row["state"]}


def job_json(job: Job, base: str) -> Json:
    """A job."""
    document = _clean(job.document)
    constraints = document.get("constraints") or {}
    pool_info = document.get("poolInfo") or {"poolId": job.pool_id}
    execution = {
        "startTime": _time(job.created_at),
        "endTime": _time(job.end_time),
        "poolId": job.pool_id or None,
        "schedulingError": _scheduling_error(job),
        "terminateReason": job.terminate_reason,
    }
    body = {
        "usesTaskDependencies": job.uses_dependencies,
        **document,
        "id": job.id,
        **_identity(f"{base}/jobs/{quote(job.id, safe=':')}", job.version, job.created_at, job.modified_at),
        **_state("", job.state, job.state_since or job.created_at),
        **_previous(job.previous_state, job.previous_since),
        "priority": job.priority,
        "maxParallelTasks": job.max_parallel_tasks,
        "allowTaskPreemption": document.get("allowTaskPreemption") or False,
        "constraints": {
            "maxWallClockTime": _duration(constraints.get("maxWallClockTime")),
            "maxTaskRetryCount": _whole(constraints.get("maxTaskRetryCount")),
        },
        "poolInfo": pool_info,
        "onAllTasksComplete": job.on_all_complete,
        "onTaskFailure": job.on_failure,
        "executionInfo": present(execution),
    }
    return present(body)


def _scheduling_error(job: Job) -> Json | None:
    if job.scheduling_error is None:
        return None
    error = job.scheduling_error.to_json()
    details = error.pop("values")
    return {"category": "UserError", **error, "details": details}


def task_json(task: Task, base: str) -> Json:
    """A task."""
    spec = task.spec
    document = _clean(spec.document) if spec.document else _task_document(spec)
    execution = {
        "startTime": _time(task.start_time),
        "endTime": _time(task.end_time),
        "exitCode": task.exit_code,
        "failureInfo": failure_json(task.failure_info),
        "retryCount": task.retry_count,
        "lastRetryTime": _time(task.last_retry),
        "requeueCount": task.requeue_count,
        "lastRequeueTime": _time(task.last_requeue),
        "result": task.result,
    }
    url = f"{base}/jobs/{quote(task.job_id, safe=':')}/tasks/{task.id}"
    body = {
        **document,
        "id": task.id,
        **_identity(url, task.version, task.created_at, task.modified_at),
        **_state("", task.state, task.state_since or task.created_at),
        **_previous(task.previous_state, task.previous_since),
        "commandLine": spec.command_line,
        "userIdentity": document.get("userIdentity") or {"autoUser": {"scope": "pool", "elevationLevel": "nonadmin"}},
        "constraints": {
            "maxWallClockTime": duration_text(spec.max_wall_clock),
            "retentionTime": duration_text(spec.retention),
            "maxTaskRetryCount": spec.max_retry_count,
        },
        "requiredSlots": spec.required_slots,
        "executionInfo": present(execution),
        "nodeInfo": _node_info(task, base),
    }
    return present(body)


def _node_info(task: Task, base: str) -> Json | None:
    if task.node_id is None or task.state is TaskState.ACTIVE:
        return None
    node_url = f"{base}/pools/{task.pool_id}/nodes/{task.node_id}"
    return {
        "affinityId": f"TVM:{task.node_id}",
        "nodeUrl": node_url,
        "poolId": task.pool_id,
        "nodeId": task.node_id,
        "taskRootDirectory": task.root_directory,
        "taskRootDirectoryUrl": f"{node_url}/files/{task.root_directory}",
    }


def schedule_json(schedule: Schedule, base: str) -> Json:
    """A job schedule."""
    url = f"{base}/jobschedules/{schedule.id}"
    recent = schedule.recent_job
    execution = {
        "nextRunTime": _time(schedule.next_run),
        "recentJob": {"id": recent, "url": f"{base}/jobs/{quote(recent, safe=':')}"} if recent else None,
        "endTime": _time(schedule.end_time),
    }
    body = {
        **_clean(schedule.document),
        "id": schedule.id,
        **_identity(url, schedule.version, schedule.created_at, schedule.modified_at),
        **_state("", schedule.state, schedule.state_since or schedule.created_at),
        **_previous(schedule.previous_state, schedule.previous_since),
        "executionInfo": present(execution),
    }
    return present(body)


def file_json(entry: FileEntry, base_of_files: str) -> Json:
    """A file or folder; `base_of_files` is the address of the listing."""
    body: Json = {
        "name": entry.name,
        "url": f"{base_of_files}/{quote(entry.name, safe='')}",
        "isDirectory": entry.is_folder,
    }
    if not entry.is_folder:
        mode = getattr(entry, "mode", None)
        body["properties"] = present(
            {
                "lastModified": _time(entry.modified),
                "creationTime": _time(entry.modified),
                "contentLength": str(entry.size),
                "contentType": "application/octet-stream",
                "fileMode": None if mode is None else f"0o{0o100000 | mode:o}",
            }
        )
    return body


def task_counts_json(rows: Iterable[Mapping[str, Any]]) -> Json:
    """Task counts from rows with state, result, n and slots; preparing counts as running."""
    names = ("active", "running", "completed", "succeeded", "failed")
    counts, slots = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    for row in rows:
        state = "running" if row["state"] == "preparing" else row["state"]
        places = [state]
        if state == "completed":
            places.append("succeeded" if row["result"] == "success" else "failed")
        for place in places:
            counts[place] += row["n"]
            slots[place] += row["slots"]
    return {"taskCounts": counts, "taskSlotCounts": slots}


def prep_release_json(item: JobNode, base: str) -> Json:
    """What ran of a job's preparation and release on one node."""
    node_url = f"{base}/pools/{item.pool_id}/nodes/{item.node_id}"
    body = {
        "poolId": item.pool_id,
        "nodeId": item.node_id,
        "nodeUrl": node_url,
        "jobPreparationTaskExecutionInfo": _with_root(item.preparation, node_url),
        "jobReleaseTaskExecutionInfo": _with_root(item.release, node_url),
    }
    return present(body)


def _with_root(info: Mapping[str, Any] | None, node_url: str) -> Json | None:
    if info is None:
        return None
    return {**info, "taskRootDirectoryUrl": f"{node_url}/files/{info['taskRootDirectory']}"}


def failure_json(failure: FailureInfo | None) -> Json | None:
    """Why something failed."""
    return failure.to_json() if failure else None


def present(body: Json) -> Json:
    """The members that have a value."""
    return {name: value for name, value in body.items() if value is not None}


def _identity(url: str, version: int, created: datetime, modified: datetime | None) -> Json:
    changed = modified or created
    return {
        "url": url,
        "eTag": etag(version, changed),
        "lastModified": _time(changed),
        "creationTime": _time(created),
    }


def _state(kind: str, state: str, since: datetime) -> Json:
    name = f"{kind}State" if kind else "state"
    return {name: str(state), f"{name}TransitionTime": _time(since)}


def _previous(state: str | None, since: datetime | None) -> Json:
    if state is None:
        return {}
    return {"previousState": str(state), "previousStateTransitionTime": _time(since)}


def _time(moment: datetime | None) -> str | None:
    return moment_text(moment) if moment else None


def _duration(value: Any) -> str:
    return duration_text(duration_seconds(str(value)) if value is not None else None)


def _whole(value: Any) -> int:
    return int(value) if value is not None else 0


def _clean(value: Any) -> Any:
    """A document without nulls and without what is never given back."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict | Mapping):
        return {name: _clean(item) for name, item in value.items() if item is not None and name not in _NEVER_ECHOED}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    return value


def _start_task(start: StartTask | None, document: Json | None) -> Json | None:
    if start is None:
        return None
    given = document or present({"commandLine": start.command_line, **_files(start.resource_files)})
    settings = [{"name": name, "value": value} for name, value in start.environment.items()] or None
    fixed = {"maxTaskRetryCount": start.max_retry_count, "waitForSuccess": start.wait_for_success}
    return present({**given, "environmentSettings": given.get("environmentSettings") or settings, **fixed})


def _start_info(info: StartTaskInfo | None) -> Json | None:
    if info is None:
        return None
    body = {
        "state": info.state,
        "startTime": _time(info.start_time),
        "endTime": _time(info.end_time),
        "exitCode": info.exit_code,
        "failureInfo": failure_json(info.failure_info),
        "retryCount": info.retry_count,
        "result": info.result,
    }
    return present(body)


def _task_document(spec: TaskSpec) -> Json:
    """The document of a task that was added in Python; contents given in it are not shown."""
    settings = [{"name": name, "value": value} for name, value in spec.environment.items()]
    return present(
        {"displayName": spec.display_name, "environmentSettings": settings or None, **_files(spec.resource_files)}
    )


def _files(files: Iterable[ResourceFile]) -> Json:
    shown = [{"httpUrl": file.http_url, "filePath": file.file_path} for file in files if file.http_url]
    return {"resourceFiles": shown} if shown else {}
