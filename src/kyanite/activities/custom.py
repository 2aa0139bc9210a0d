"""Custom: run a command on a Batch pool.

One task per attempt, its id the activity run's id, in the job `adfv2-<pool>`; logs are kept in `adfjobs/<id>/output/`
of the storage account that the AzureBatch linked service names, as in the service. Data Factory's failure codes are
those of its troubleshooting guide.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from kyanite.activities.context import ActivityContext
from kyanite.activities.custom_files import JobFolder, reference_files, resource_files
from kyanite.activities.references import resolve_linked_service
from kyanite.batch.client import BatchClient, open_client
from kyanite.batch.model import Task, TaskSpec
from kyanite.definitions.model import Factory
from kyanite.errors import ActivityError, BatchError
from kyanite.limits import OUTPUTS_JSON_BYTES

Json = Any
DAY_SECONDS = 24 * 3600
RETENTION_DAYS = 30
STDERR_BYTES = 64 * 1024
STDERR_LINES = 20


def run(context: ActivityContext) -> Json:
    """Add the task, or take up the one an earlier process added, wait for its end and give the service's output."""
    pool = _batch_linked_service(context)
    pool_name = _text(pool, "poolName")
    client = _client(context, pool)
    folder = JobFolder.open(context, pool)
    job, task_id = job_of(pool_name), context.activity_run_id
    _add_task(context, client, folder, job, pool_name)
    try:
        task = client.wait_task(job, task_id, cancelled=context.cancelled.is_set)
    except BatchError as error:
        raise ActivityError(_one_line(error), code="2501") from error
    logs = _keep_logs(context, client, folder, task)
    if task.exit_code != 0 or task.failure_info is not None:
        raise _failure(context, client, task)
    output: dict[str, Json] = {"exitcode": task.exit_code, "outputs": logs}
    custom = _custom_output(client, task)
    if custom is not None:
        output["customOutput"] = custom
    information = {
        "account": client.account.name,
        "poolName": pool_name,
        "vmSize": client.pool(pool_name).spec.vm_size.lower(),
    }
    return {**output, "computeInformation": json.dumps(information, separators=(",", ":")), **_tail(task)}


def job_of(pool: str) -> str:
    """The job that the Custom activities of a pool share."""
    return f"adfv2-{pool}"


def task_place(factory: Factory, linked_service: Mapping[str, Json]) -> tuple[str, str]:
    """Batch account and job of a Custom activity, from its evaluated linked service reference."""
    properties = resolve_linked_service(factory, linked_service)["typeProperties"]
    return str(properties.get("accountName")), job_of(str(properties.get("poolName")))


def _batch_linked_service(context: ActivityContext) -> dict[str, Json]:
    if not context.linked_service:
        raise ActivityError(f"Custom '{context.name}' names no AzureBatch linked service.", code="2103")
    pool = resolve_linked_service(context.factory, context.linked_service)
    if pool["type"] != "AzureBatch":
        raise ActivityError(
            f"Custom '{context.name}' needs an AzureBatch linked service; {pool['name']} is {pool['type']}.",
            code="2104",
        )
    return pool


def _text(linked_service: Mapping[str, Json], member: str) -> str:
    value = linked_service["typeProperties"].get(member)
    if isinstance(value, Mapping) and value.get("type") == "SecureString":
        value = value.get("value")
    if not isinstance(value, str) or not value:
        raise ActivityError(f"Linked service '{linked_service['name']}' has no {member}.", code="2103")
    return value


def _client(context: ActivityContext, pool: Mapping[str, Json]) -> BatchClient:
    key = _text(pool, "accessKey") if pool["typeProperties"].get("accessKey") else None
    try:
        client = open_client(context.services.batch, _text(pool, "accountName"), key)
        client.pool(_text(pool, "poolName"))
    except BatchError as error:
        raise ActivityError(_one_line(error), code="2501") from error
    return client


def _add_task(context: ActivityContext, client: BatchClient, folder: JobFolder, job: str, pool: str) -> None:
    """Add the task unless it is there already: a process that died may have added it."""
    if context.recovering and _there(client, job, context.activity_run_id):
        return
    command = context.type_properties.get("command")
    if not isinstance(command, str) or not command.strip():
        raise ActivityError(f"The command of Custom '{context.name}' is empty or no text.", code="2103")
    files = (*resource_files(context), *reference_files(context, folder))
    days = context.type_properties.get("retentionTimeInDays") or RETENTION_DAYS
    spec = TaskSpec(
        id=context.activity_run_id,
        command_line=command.strip(),
        resource_files=files,
        retention=float(days) * DAY_SECONDS,
        display_name=context.name,
    )
    try:
        client.ensure_job(job, pool)
        client.add_task(job, spec)
    except BatchError as error:
        raise ActivityError(_one_line(error), code="2500") from error


def _there(client: BatchClient, job: str, task: str) -> bool:
    try:
        client.get_task(job, task)
    except BatchError:
        return False
    return True


def _keep_logs(context: ActivityContext, client: BatchClient, folder: JobFolder, task: Task) -> list[str]:
    """Copy stdout and stderr to `adfjobs/<id>/output/`, secrets masked; their addresses."""
    mask = context.services.vault.mask
    return [
        folder.write(
            f"output/{name}", (mask(text).encode("utf-8", "surrogateescape") for text in _lines(client, task, name))
        )
        for name in ("stdout.txt", "stderr.txt")
        if _read(client, task, name, length=0) is not None
    ]


def _lines(client: BatchClient, task: Task, path: str) -> Iterator[str]:
    """A task's file in pieces that end with a line, so that no secret is cut in two."""
    offset, rest = 0, b""
    while content := _read(client, task, path, offset):
        offset += len(content)
        lines, newline, tail = (rest + content).rpartition(b"\n")
        whole, rest = (lines + newline, tail) if newline else (tail, b"")
        yield whole.decode("utf-8", errors="surrogateescape")
    yield rest.decode("utf-8", errors="surrogateescape")


def _read(client: BatchClient, task: Task, path: str, offset: int = 0, length: int | None = None) -> bytes | None:
    try:
        return client.read_file(task.job_id, task.id, path, offset, length)
    except BatchError:
        return None


def _last_lines(client: BatchClient, task: Task, path: str) -> list[str]:
    try:
        size = next((entry.size for entry in client.list_files(task.job_id, task.id) if entry.name == path), 0)
    except BatchError:
        return []
    content = _read(client, task, path, max(0, size - STDERR_BYTES), STDERR_BYTES) or b""
    return content.decode("utf-8", errors="replace").splitlines()[-STDERR_LINES:]


def _failure(context: ActivityContext, client: BatchClient, task: Task) -> ActivityError:
    """Code 2500 with the reason and the last lines of stderr, which the service leaves the user to look for."""
    info = task.failure_info
    reason = f"The command exited with code {task.exit_code}."
    if info is not None and info.code != "FailureExitCode":
        reason = f"The task could not be run: {info.message}"
    details: list[object] = [info.to_json()] if info else []
    lines = _last_lines(client, task, "stderr.txt")
    if lines:
        details.append({"stderr": context.services.vault.mask("\n".join(lines))})
        if info is None or info.code == "FailureExitCode":
            reason += f" Its last words: {lines[-1].strip()}"
    return ActivityError(reason, code=_code(info.code if info else ""), details=details)


def _code(batch_code: str) -> str:
    return "2502" if batch_code.startswith("Blob") else "2500"


def _custom_output(client: BatchClient, task: Task) -> Json:
    """What the program wrote to `outputs.json`; anything but valid JSON of at most 2 MB counts as nothing."""
    content = _read(client, task, "wd/outputs.json", length=OUTPUTS_JSON_BYTES + 1)
    if content is None or len(content) > OUTPUTS_JSON_BYTES:
        return None
    try:
        return json.loads(content)
    except ValueError:
        return None


def _tail(task: Task) -> dict[str, Json]:
    """What every execution activity reports; seconds are whole, billing is rounded up to a minute."""
    start, end = task.start_time, task.end_time
    seconds = max(0.0, (end - start).total_seconds()) if start and end else 0.0
    queued = max(0.0, (start - task.created_at).total_seconds()) if start else 0.0
    hours = max(1, math.ceil(seconds / 60)) / 60
    return {
        "effectiveIntegrationRuntime": "DefaultIntegrationRuntime (local)",
        "executionDuration": math.ceil(seconds),
        "durationInQueue": {"integrationRuntimeQueue": round(queued)},
        "billingReference": {
            "activityType": "ExternalActivity",
            "billableDuration": [{"meterType": "AzureIR", "duration": hours, "unit": "Hours"}],
        },
    }


def _one_line(error: BatchError) -> str:
    return " ".join(str(error).split())
