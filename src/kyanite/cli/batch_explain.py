"""`kyanite batch explain`: why a task waits, or how it ended."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from kyanite.cli.batch_target import Json, Target, on_account
from kyanite.cli.command import command
from kyanite.cli.session import visible
from kyanite.errors import BatchError, ConflictError, NotFoundError

if TYPE_CHECKING:
    from kyanite.batch.model import Task

_LOOK_SECONDS = 3.0


@command(
    "explain",
    short_help="Say why a task waits, or how it ended.",
    examples=[
        ("a task of a job", "kyanite batch explain myjob/hello"),
        ("the only task of that id", "kyanite batch explain hello"),
        ("for a program", "kyanite batch explain myjob/hello --json"),
    ],
)
@click.argument("task", metavar="[JOB/]TASK")
@on_account
def explain_command(target: Target, task: str) -> None:
    """Say why a task does not run yet (no pool, no free slot, a dependency, a failed start task), or how it ended."""
    job_id, task_id = _named(target, task)
    target.service.pump()
    document = explanation(target, job_id, task_id)
    if target.session.as_json:
        target.session.print_json(document)
        return
    target.session.echo(f"task {visible(document['job'])}/{visible(document['task'])}: {document['state']}")
    for reason in document["reasons"]:
        for sentence in filter(None, (reason["message"], reason.get("cure"))):
            target.session.echo(f"  {visible(sentence)}")


def explanation(target: Target, job_id: str, task_id: str) -> Json:
    """Why a task waits (every reason, the first one first), what it does, or how it ended."""
    reasons = target.service.explain(target.account, job_id, task_id)
    found = target.service.get_task(target.account, job_id, task_id)
    told = [
        {"code": reason.code, "message": reason.message, "hopeless": reason.hopeless, "cure": reason.cure}
        for reason in reasons
    ]
    if not told:
        told = [{"code": code, "message": message} for code, message in _what_it_does(found)]
        trouble = _unheard(target, found)
        if trouble:
            told.append({"code": "EndpointUnreachable", "message": trouble})
    return {"job": found.job_id, "task": found.id, "state": str(found.state), "reasons": told}


def _unheard(target: Target, found: Task) -> str:
    """Why nothing is heard of a task that runs elsewhere; we look for a moment, since nobody may have looked before."""
    if found.state not in ("running", "preparing") or found.node_id is None:
        return ""
    if target.service.get_pool(target.account, found.pool_id).spec.backend == "local":
        return ""
    end = time.monotonic() + _LOOK_SECONDS
    while not (trouble := target.service.unheard(target.account, found.pool_id, found.node_id)):
        target.service.pump()
        state = target.service.get_task(target.account, found.job_id, found.id).state
        if time.monotonic() > end or state == "completed":
            break
        time.sleep(0.1)
    return trouble


def _what_it_does(found: Task) -> Iterator[tuple[str, str]]:
    if found.state in ("running", "preparing"):
        since = f" since {found.start_time:%Y-%m-%d %H:%M:%S} UTC" if found.start_time else ""
        yield str(found.state), f"It is {found.state} on node {found.node_id}{since} (attempt {found.attempt})."
    elif found.failure_info is not None:
        code = "" if found.exit_code is None else f" with exit code {found.exit_code}"
        yield found.failure_info.code, f"It failed{code}: {found.failure_info.message}"
        for name, value in found.failure_info.details:
            yield found.failure_info.code, f"{name}: {value}"
    elif found.state == "completed":
        yield "success", f"It succeeded on node {found.node_id} with exit code {found.exit_code}."
    tries = (
        ("retried", found.retry_count),
        ("put back", found.requeue_count),
        ("lost with its node", found.loss_count),
    )
    for what, times in tries:
        if times:
            yield what, f"It was {what} {times} times."


def _named(target: Target, text: str) -> tuple[str, str]:
    """Job and task of `JOB/TASK`, or of a task id that only one job has."""
    job, slash, name = text.rpartition("/")
    if slash:
        return job, name
    found = [item.id for item in target.service.list_jobs(target.account) if _has(target, item.id, name)]
    if not found:
        cure = "kyanite batch task list JOB shows the tasks of a job."
        raise NotFoundError(f"No job of account '{target.account}' has a task '{name}'.", cure=cure)
    if len(found) > 1:
        shown = ", ".join(f"{job}/{name}" for job in found[:5])
        raise ConflictError(f"Several jobs have a task '{name}'.", cure=f"Say which: {shown}.")
    return found[0], name


def _has(target: Target, job_id: str, task_id: str) -> bool:
    try:
        target.service.get_task(target.account, job_id, task_id)
    except BatchError as error:
        if error.error_code == "TaskNotFound":
            return False
        raise
    return True
