"""The operations on jobs."""

from __future__ import annotations

from typing import Any

from kyanite.batch import wire
from kyanite.batch.job_nodes import JobNode
from kyanite.batch.model import Job
from kyanite.server.batch.options import conditions_of, one, page
from kyanite.server.batch.protocol import Call, Reply


def add(call: Call) -> Reply:
    """Job_Add."""
    return _changed(call, call.service.add_job(call.account, call.body))


def list_all(call: Call) -> Reply:
    """Job_List."""
    return page(
        call,
        "jobs",
        lambda after: call.service.list_jobs(call.account, after=after),
        lambda job: wire.job_json(job, call.base),
        lambda job: job.id.casefold(),
        "jobs",
    )


def get(call: Call) -> Reply:
    """Job_Get."""
    job = call.service.get_job(*_names(call))
    return one(call, wire.job_json(job, call.base), "jobs")


def patch(call: Call) -> Reply:
    """Job_Patch: what is not given stays."""
    job = call.service.patch_job(*_names(call), call.body, conditions=conditions_of(call))
    return _changed(call, job)


def replace(call: Call) -> Reply:
    """Job_Update: what is not given gets its default."""
    job = call.service.update_job(*_names(call), call.body, conditions=conditions_of(call))
    return _changed(call, job)


def delete(call: Call) -> Reply:
    """Job_Delete."""
    call.flag("force")
    call.service.delete_job(*_names(call), conditions=conditions_of(call))
    return Reply()


def disable(call: Call) -> Reply:
    """Job_Disable."""
    job = call.service.disable_job(*_names(call), call.body, conditions=conditions_of(call))
    return _changed(call, job)


def enable(call: Call) -> Reply:
    """Job_Enable."""
    return _changed(call, call.service.enable_job(*_names(call), conditions=conditions_of(call)))


def terminate(call: Call) -> Reply:
    """Job_Terminate."""
    call.flag("force")
    job = call.service.terminate_job(*_names(call), call.body, conditions=conditions_of(call))
    return _changed(call, job)


def task_counts(call: Call) -> Reply:
    """Job_GetTaskCounts."""
    counts = call.service.task_counts(*_names(call))
    return Reply(wire.task_counts_json(counts), {}, kind="Microsoft.Azure.Batch.Protocol.Entities.TaskCountsResult")


def preparation_and_release(call: Call) -> Reply:
    """Job_ListPreparationAndReleaseTaskStatus."""
    job = call.parameters["jobId"]
    return page(
        call,
        "jobpreparationandreleasetaskstatuslist",
        lambda after: call.service.prep_release_status(call.account, job, after=after),
        lambda status: _job_node_json(status, call.base),
        lambda status: status.node_id.casefold(),
        "prep",
    )


def _job_node_json(status: JobNode, base: str) -> dict[str, Any]:
    node_url = f"{base}/pools/{status.pool_id}/nodes/{status.node_id}"
    body: dict[str, Any] = {"poolId": status.pool_id, "nodeId": status.node_id, "nodeUrl": node_url}
    runs = {"jobPreparationTaskExecutionInfo": status.preparation, "jobReleaseTaskExecutionInfo": status.release}
    for name, run in runs.items():
        if run is not None:
            body[name] = dict(run)
            if run.get("taskRootDirectory"):
                body[name]["taskRootDirectoryUrl"] = f"{node_url}/files/{run['taskRootDirectory']}"
    return body


def _names(call: Call) -> tuple[str, str]:
    return call.account, call.parameters["jobId"]


def _changed(call: Call, job: Job) -> Reply:
    return Reply(None, wire.job_json(job, call.base))
