"""What a pool at another Batch endpoint is made from, and what its tasks' and nodes' documents mean here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from kyanite.batch.pools import Seen
from kyanite.batch.specs import FailureInfo, PoolSpec, StartTask
from kyanite.errors import BatchError

FENCE = "kyanite fence"
_OURS = re.compile(r"(?i)kyanite\..*")
# what of a pool's document is not sent: ours to decide, or made anew
_NOT_SENT = (
    "id",
    "applicationPackageReferences",
    "autoScaleEvaluationInterval",
    "autoScaleFormula",
    "enableAutoScale",
    "metadata",
    "startTask",
    "targetDedicatedNodes",
    "targetLowPriorityNodes",
)
_NO_PROGRAM = FailureInfo("UserError", "CommandProgramNotFound", "The program of the command line does not exist.")
_PREPARED = ("idle", "running", "offline", "starttaskfailed")


def metadata(document: Mapping[str, Any]) -> dict[str, str]:
    """The metadata of a pool by name (in lower case)."""
    return {str(item.get("name", "")).lower(): str(item.get("value", "")) for item in document.get("metadata") or ()}


def connection_of(spec: PoolSpec) -> dict[str, str]:
    """Endpoint and account of a pool, from its metadata; BatchError names what is missing."""
    named = metadata(spec.document)
    found = {"endpoint": named.get("kyanite.endpoint", ""), "account": named.get("kyanite.account", "")}
    for name, value in found.items():
        if not value:
            raise BatchError(
                f"A pool of the backend azure_batch needs the metadata item kyanite.{name}.",
                where=f"pool {spec.id}",
                cure="Give kyanite.endpoint (its address) and kyanite.account (its name).",
                code="InvalidPropertyValue",
            )
    return found


def pool_document(spec: PoolSpec, workspace: str) -> dict[str, Any]:
    """The body that makes the pool there; its metadata name the workspace that made it."""
    given = dict(spec.document)
    document = {name: value for name, value in given.items() if name not in _NOT_SENT and value is not None}
    own = [item for item in given.get("metadata") or () if not _OURS.fullmatch(str(item.get("name")))]
    document |= {
        "id": spec.id,
        "vmSize": given.get("vmSize", spec.vm_size),
        "targetDedicatedNodes": spec.dedicated_nodes,
        "targetLowPriorityNodes": spec.low_priority_nodes,
        "taskSlotsPerNode": spec.slots_per_node,
        "metadata": [*own, {"name": "kyanite.workspace", "value": workspace}],
    }
    if given.get("startTask"):
        document["startTask"] = given["startTask"]
    elif spec.start_task is not None:
        document["startTask"] = _start_document(spec.start_task)
    return document


def _start_document(start: StartTask) -> dict[str, Any]:
    """The start task of a pool that was made in Python."""
    files = [{"httpUrl": file.http_url, "filePath": file.file_path} for file in start.resource_files]
    if any(file["httpUrl"] is None for file in files):
        raise BatchError("Start tasks elsewhere can only fetch files by httpUrl.", code="UnsupportedProperty")
    return {
        "commandLine": start.command_line,
        "resourceFiles": files,
        "environmentSettings": [{"name": name, "value": value} for name, value in start.environment.items()],
        "maxTaskRetryCount": start.max_retry_count,
        "waitForSuccess": start.wait_for_success,
    }


def ending_of(task: Mapping[str, Any], *, no_program: bool) -> dict[str, Any]:
    """The record of a completed remote task, as a local node writes it."""
    info = task.get("executionInfo") or {}
    code, failure = info.get("exitCode"), info.get("failureInfo")
    if no_program:
        code, failure = None, _NO_PROGRAM.to_json()
    if failure is not None and failure.get("code") == "FailureExitCode":
        failure = None  # the scheduler says so itself, and decides about a retry
    stopped = failure is not None and failure.get("code") == "TaskEnded" and "wall" not in str(failure).lower()
    now = datetime.now(UTC).isoformat()
    return {
        "exitCode": code,
        "startTime": info.get("startTime") or info.get("endTime") or now,
        "endTime": info.get("endTime") or now,
        "reason": "stopped" if stopped else "exited",
        "failure": failure,
    }


def start_task_seen(node: Mapping[str, Any] | None) -> Seen:
    """How the start task went on a far node; `running` while there is no node yet."""
    info = (node or {}).get("startTaskInfo") or {}
    if (node or {}).get("state") not in _PREPARED or info.get("state") == "running":
        return Seen("running")
    code, now = info.get("exitCode", 0), datetime.now(UTC).isoformat()
    ending = {
        "exitCode": code,
        "startTime": info.get("startTime", now),
        "endTime": info.get("endTime", now),
        "reason": "exited",
        "failure": info.get("failureInfo") if code is None else None,
    }
    return Seen("ended", ending)
