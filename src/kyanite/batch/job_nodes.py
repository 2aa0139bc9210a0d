"""Job preparation and release, node by node. Batch reference section 8.

`prep_state` is running, completed, failed, or again (it must run before the next task: its node was rebooted, or its
attempt never began). `release_state` is absent, wanted, running or completed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kyanite import limits
from kyanite.batch.documents import read_preparation, read_release
from kyanite.batch.launching import LaunchSpec
from kyanite.batch.model import TASK_ENDED, AttemptEnd, Exited, FailureInfo, Fenced, Job, Lost, exit_failure
from kyanite.batch.reading import part, truth
from kyanite.batch.rows import optional_time_text, time_text
from kyanite.batch.specs import TaskSpec
from kyanite.batch.store import Attempt, Store
from kyanite.database import Row

Info = Mapping[str, Any]


@dataclass(frozen=True)
class JobNode:
    """What ran of a job's preparation and release on one node, in the wire shapes."""

    pool_id: str
    node_id: str
    preparation: Info | None
    release: Info | None


def of_job(store: Store, job: Job) -> list[JobNode]:
    """Every node on which a job's preparation ran, removed ones too."""
    rows = store.rows("job_nodes", **_place(job))
    return [
        JobNode(
            job.pool_id if row["pool"] == job.pool_id.casefold() else row["pool"],
            row["node"],
            json.loads(row["prep"]) if row["prep"] else None,
            json.loads(row["release"]) if row["release"] else None,
        )
        for row in rows
    ]


def _place(job: Job) -> dict[str, str]:
    return {"account": job.account.casefold(), "job": job.id.casefold()}


def ready_on(store: Store, account: str, job: str, node: str, now: datetime) -> str:
    """Whether tasks of a job may start on a node: ready, preparing (begun now if need be) or blocked."""
    found = store.job(account, job)
    if found is None or not found.document.get("jobPreparationTask"):
        return "ready"
    waits = truth(part(found.document, "jobPreparationTask"), "waitForSuccess", True)
    key = {**_place(found), "pool": found.pool_id.casefold(), "node": node}
    row = _row(store, key)
    state = row["prep_state"] if row is not None else "again"
    if state == "completed" and _rebooted_since(store, found, row, key):
        state = "again"
    if state == "again":
        retries, losses = (row["prep_retries"], row["prep_losses"]) if row is not None else (0, 0)
        _begin(store, found, key, "prep", retries, losses, now)
        state = "running"
    if not waits:
        return "ready"
    return {"completed": "ready", "failed": "blocked"}.get(state, "preparing")


def _rebooted_since(store: Store, job: Job, row: Row | None, key: Mapping[str, str]) -> bool:
    if row is None or not truth(part(job.document, "jobPreparationTask"), "rerunOnNodeRebootAfterSuccess", True):
        return False
    booted = store.rows("node_booted", account=key["account"], pool=key["pool"], node=key["node"])
    ended = json.loads(row["prep"] or "{}").get("endTime")
    return bool(booted and booted[0]["booted_at"] and ended and booted[0]["booted_at"] > ended)


def _row(store: Store, key: Mapping[str, str]) -> Row | None:
    rows = store.rows("job_node", **key)
    return rows[0] if rows else None


def _begin(store: Store, job: Job, key: Mapping[str, str], kind: str, retries: int, losses: int, now: datetime) -> None:
    """Open an attempt; the scheduler launches those that have no launcher."""
    spec = read_preparation(job.document) if kind == "prep" else read_release(job.document)
    info = {
        "state": "running",
        "startTime": time_text(now),
        "retryCount": retries,
        "taskRootDirectory": "/".join(_folder(job, spec)),
    }
    if kind == "prep":
        fields = {"prep_state": "running", "prep": json.dumps(info), "prep_retries": retries, "prep_losses": losses}
        store.change("put_job_node", **key, **fields, release_state=None, release=None)
    else:
        del info["retryCount"]
        store.change("set_release", **key, state="running", release=json.dumps(info))
    row = {"account": key["account"], "pool": key["pool"], "node": key["node"], "job": key["job"]}
    number = retries + losses + 1
    store.change("open_attempt", kind=kind, task=None, number=number, slots=0, launcher="{}", at=time_text(now), **row)


def begin_releases(store: Store, job: Job, now: datetime) -> int:
    """Begin the job's release wherever its preparation ran; how many are not done yet."""
    if not job.document.get("jobReleaseTask"):
        return 0
    store.change("want_releases", **_place(job))
    store.change("releases_without_node", **_place(job))
    for row in store.rows("releases_wanted", **_place(job)):
        key = {**_place(job), "pool": row["pool"], "node": row["node"]}
        _begin(store, job, key, "release", 0, 0, now)
    return int(store.rows("releases_left", **_place(job))[0]["n"])


def launch_of(store: Store, attempt: Attempt) -> LaunchSpec | None:
    """What a preparation or release attempt runs; None when its job is gone."""
    job = store.job(attempt.account, attempt.job or "")
    if job is None or not job.document.get("jobPreparationTask"):
        return None
    preparation = read_preparation(job.document)
    spec = preparation if attempt.kind == "prep" else read_release(job.document)
    return LaunchSpec(
        folder=_folder(job, spec),
        job_id=job.id,
        task_id=spec.id,
        command_line=spec.command_line,
        resource_files=spec.resource_files,
        environment={**job.environment, **spec.environment},
        wall_clock=spec.max_wall_clock,
        preparation=_folder(job, preparation) if attempt.kind == "release" else None,
    )


def _folder(job: Job, spec: TaskSpec) -> tuple[str, ...]:
    return ("workitems", job.id, "job-1", spec.id)


def attempt_ended(store: Store, attempt: Attempt, end: AttemptEnd, now: datetime) -> None:
    """Record the end of a preparation or release; a failed preparation runs again as often as it may."""
    job = store.job(attempt.account, attempt.job or "")
    key = {name: str(getattr(attempt, name)) for name in ("account", "pool", "node", "job")}
    row = _row(store, key)
    if job is None or row is None:
        return
    store.change("watch_job", account=key["account"], job=key["job"], action=None)
    failure = _failure(end)
    code = end.exit_code if isinstance(end, Exited) else None
    if attempt.kind == "release" and isinstance(end, Fenced):
        store.change("set_release", **key, state="wanted", release=None)
        return
    if attempt.kind == "release":
        info = _ended_info(json.loads(row["release"]), end, code, failure, now)
        store.change("set_release", **key, state="completed", release=json.dumps(info))
        return
    retries, losses = row["prep_retries"], row["prep_losses"] + isinstance(end, Lost)
    allowed = read_preparation(job.document).max_retry_count
    failed = failure is not None and failure.code == "FailureExitCode"
    if failed and (allowed < 0 or retries < allowed):
        _begin(store, job, key, "prep", retries + 1, losses, now)
        return
    lost = isinstance(end, Lost) and losses < limits.LOSSES_PER_TASK
    unbegun = lost or isinstance(end, Fenced) or failure == TASK_ENDED  # stopped with the job, not by its own limit
    state = "again" if unbegun else "completed" if failure is None else "failed"
    info = _ended_info(json.loads(row["prep"]), end, code, failure, now)
    fields = {"prep_state": state, "prep": json.dumps(store.vault.mask_json(info)), "prep_retries": retries}
    kept = {"release_state": row["release_state"], "release": row["release"]}
    store.change("put_job_node", **key, **fields, **kept, prep_losses=losses)


def _failure(end: AttemptEnd) -> FailureInfo | None:
    match end:
        case Exited():
            return end.failure or (exit_failure(end.exit_code) if end.exit_code else None)
        case Lost():
            return FailureInfo("ServerError", "TaskLostTooOften", "What ran it was lost.")
        case Fenced():
            return FailureInfo("ServerError", "TaskEnded", "It was ended before it began.")


def _ended_info(
    info: dict[str, Any], end: AttemptEnd, code: int | None, failure: FailureInfo | None, now: datetime
) -> dict[str, Any]:
    started = optional_time_text(end.start_time) if isinstance(end, Exited) else None
    ended = optional_time_text(end.end_time) if isinstance(end, Exited) else None
    info |= {
        "state": "completed",
        "startTime": started or info["startTime"],
        "endTime": ended or time_text(now),
        "result": "failure" if failure else "success",
    }
    if code is not None:
        info["exitCode"] = code
    if failure is not None:
        info["failureInfo"] = failure.to_json()
    return info
