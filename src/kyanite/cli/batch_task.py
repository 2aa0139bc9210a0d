"""`kyanite batch task`: the tasks of a job."""

from __future__ import annotations

import shlex
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kyanite.cli.batch_files import Tail, give, output_option, range_option, recursive_option, show_files
from kyanite.cli.batch_target import (
    Json,
    Target,
    body,
    cell,
    duration,
    file_option,
    on_account,
    pairs,
    show_list,
    show_one,
    time_cell,
    told,
)
from kyanite.cli.batch_task_name import TaskCommand
from kyanite.cli.batch_wait import until
from kyanite.cli.command import group
from kyanite.cli.session import visible

if TYPE_CHECKING:
    from kyanite.batch.model import Task

job_argument = click.argument("job_id", metavar="JOB")
task_argument = click.argument("task_id", metavar="TASK")
STATES = ("active", "preparing", "running", "completed")


@group(
    "task",
    short_help="List, show, create, stop and delete tasks; read their files and logs.",
    examples=[
        ("run a command and see what it printed", "kyanite batch task create myjob hello --wait -- echo hello"),
        ("what a running task prints", "kyanite batch task logs myjob/hello -f"),
        ("what failed", "kyanite batch task list myjob --failed"),
    ],
)
def task() -> None:
    """List, show, create, stop and delete tasks; read their files and logs."""


def task_document(target: Target, found: Task) -> Json:
    """A task as the service shows it."""
    from kyanite.batch import wire

    return wire.task_json(found, target.base)


@task.command(
    "list",
    short_help="List the tasks of a job.",
    examples=[
        ("all", "kyanite batch task list myjob"),
        ("what runs now", "kyanite batch task list myjob --state running"),
        ("what failed", "kyanite batch task list myjob --failed --json"),
    ],
)
@job_argument
@click.option("--state", type=click.Choice(STATES), help="Only tasks in this state.")
@click.option("--failed", is_flag=True, help="Only tasks that failed.")
@click.option("--limit", type=click.IntRange(1), default=1000, show_default=True, help="At most so many.")
@on_account
def list_command(target: Target, job_id: str, state: str | None, failed: bool, limit: int) -> None:
    """List the tasks of a job in the order they were added."""
    documents: list[Json] = []
    for found in target.service.list_tasks(target.account, job_id, state="completed" if failed else state):
        if (state is None or found.state == state) and (not failed or found.result == "failure"):
            documents.append(task_document(target, found))
            if len(documents) == limit:
                break
    columns = [
        ("task", cell("id")),
        ("state", cell("state")),
        ("result", cell("executionInfo", "result")),
        ("exit code", cell("executionInfo", "exitCode")),
        ("node", cell("nodeInfo", "nodeId")),
        ("start (UTC)", time_cell("executionInfo", "startTime")),
        ("failure", lambda item: visible(cell("executionInfo", "failureInfo", "code")(item))),
    ]
    show_list(target.session, documents, columns, right=("exit code",), none=f"job {job_id} has no such tasks")


@task.command(
    "show", cls=TaskCommand, short_help="Show a task.", examples=[("", "kyanite batch task show myjob/hello")]
)
@job_argument
@task_argument
@on_account
def show(target: Target, job_id: str, task_id: str) -> None:
    """Show a task: its command, where it ran, how it ended."""
    show_task(target, task_document(target, target.service.get_task(target.account, job_id, task_id)))


def show_task(target: Target, document: Json) -> None:
    """One task on the screen."""
    info = document["executionInfo"]
    failure = info.get("failureInfo") or {}
    counters = ("retryCount", "requeueCount")
    rows = [
        ("task", document["id"]),
        ("state", " ".join(filter(None, (document["state"], str(info.get("result", "")))))),
        ("command", visible(document["commandLine"])),
        ("node", cell("nodeInfo", "nodeId")(document)),
        ("start", time_cell("startTime")(info)),
        ("end", time_cell("endTime")(info)),
        ("exit code", str(info.get("exitCode", ""))),
        ("tries", ", ".join(f"{info[name]} {name[:-5]}" for name in counters if info.get(name))),
        ("failure", visible(f"{failure['code']}: {failure['message']}") if failure else ""),
        ("", "\n".join(visible(f"{item['name']}: {item['value']}") for item in failure.get("details") or ())),
    ]
    show_one(target.session, document, rows)


@task.command(
    "create",
    short_help="Add a task to a job.",
    examples=[
        ("a command; what follows -- is not read by us", "kyanite batch task create myjob hello -- echo hello"),
        (
            "a shell line, with its output, until it ends",
            "kyanite batch task create myjob count --wait -- /bin/sh -c 'ls | wc -l'",
        ),
        ("after two others", "kyanite batch task create myjob sum --after part1 --after part2 -- python sum.py"),
        ("the body of the REST call", "kyanite batch task create myjob --file task.json"),
    ],
)
@job_argument
@click.argument("task_id", metavar="[TASK]", required=False)
@click.argument("command_line", metavar="[-- COMMAND...]", nargs=-1)
@click.option("--env", multiple=True, metavar="NAME=VALUE", help="May be given several times.")
@click.option(
    "--after", multiple=True, metavar="TASK", help="A task that must succeed first; may be given several times."
)
@click.option("--retries", type=click.IntRange(-1), help="Run again so often after a failure; -1: without end.")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="How long a run may take.")
@click.option("--slots", type=click.IntRange(1), help="How many of a node's slots it takes.")
@click.option("--wait", is_flag=True, help="Print its output and return when it is done; exit code 1 when it failed.")
@file_option
@on_account
def create(
    target: Target,
    job_id: str,
    task_id: str | None,
    command_line: tuple[str, ...],
    env: tuple[str, ...],
    after: tuple[str, ...],
    retries: int | None,
    timeout: float | None,
    slots: int | None,
    wait: bool,
    file: Path | None,
) -> int:
    """Add a task to a job. The command is run as it is, not by a shell."""
    constraints = body(None, maxTaskRetryCount=retries, maxWallClockTime=duration(timeout))
    document = body(
        file,
        id=task_id,
        commandLine=shlex.join(command_line) if command_line else None,
        environmentSettings=pairs(env, "--env"),
        dependsOn={"taskIds": list(after)} if after else None,
        constraints=constraints or None,
        requiredSlots=slots,
    )
    added = target.service.add_task(target.account, job_id, document)
    if not wait:
        told(target.session, task_document(target, added), f"task {added.job_id}/{added.id}")
        return 0
    return wait_for_task(target, added, None)


def wait_for_task(target: Target, added: Task, seconds: float | None) -> int:
    """Schedule until a task is completed, printing its output; 1 when it failed. One that cannot start says why."""
    out = _tail(target, added.job_id, added.id, "stdout.txt")
    err = _tail(target, added.job_id, added.id, "stderr.txt")
    quiet = target.session.as_json
    told_why: list[str] = []

    def done() -> bool:
        found = target.service.get_task(target.account, added.job_id, added.id)
        if not quiet and found.state != "active":
            out()
        if found.state == "active" and not quiet:
            _say_once(target, added, told_why)
        return bool(found.state == "completed")

    until(target.service, done, seconds, f"Task '{added.id}'")
    found = target.service.get_task(target.account, added.job_id, added.id)
    if not quiet:
        out(last=True)
        err(last=True)
    if quiet or found.result != "success":
        show_task(target, task_document(target, found))
    return 0 if found.result == "success" else 1


def _say_once(target: Target, added: Task, told_why: list[str]) -> None:
    """Why the task waits, when that will not pass by itself; each reason once."""
    reason = target.service.why_waiting(target.account, added.job_id, added.id)
    if reason is not None and reason.hopeless and reason.message not in told_why:
        told_why.append(reason.message)
        cure = f" {reason.cure}" if reason.cure else ""
        target.session.echo(visible(f"waiting: {reason.message}{cure}"), err=True)


@task.command(
    "wait",
    cls=TaskCommand,
    short_help="Wait until a task is done.",
    examples=[("with its output", "kyanite batch task wait myjob/hello --timeout 60")],
)
@job_argument
@task_argument
@click.option("--timeout", type=click.FloatRange(0), metavar="SECONDS", help="Give up waiting after so long.")
@on_account
def wait_command(target: Target, job_id: str, task_id: str, timeout: float | None) -> int:
    """Wait until a task is done, printing its output. Exit code 1: it failed."""
    return wait_for_task(target, target.service.get_task(target.account, job_id, task_id), timeout)


@task.command(
    "terminate", cls=TaskCommand, short_help="Stop a task.", examples=[("", "kyanite batch task terminate myjob/hello")]
)
@job_argument
@task_argument
@on_account
def terminate(target: Target, job_id: str, task_id: str) -> None:
    """Stop a task: it completes as a failure."""
    target.service.terminate_task(target.account, job_id, task_id)
    target.service.pump()
    document = task_document(target, target.service.get_task(target.account, job_id, task_id))
    told(target.session, document, f"task {document['id']}: {document['state']}")


@task.command(
    "reactivate",
    cls=TaskCommand,
    short_help="Run a failed task again.",
    examples=[("", "kyanite batch task reactivate myjob/hello")],
)
@job_argument
@task_argument
@on_account
def reactivate(target: Target, job_id: str, task_id: str) -> None:
    """Put a task that failed back among the waiting ones."""
    target.service.reactivate_task(target.account, job_id, task_id)
    document = task_document(target, target.service.get_task(target.account, job_id, task_id))
    told(target.session, document, f"task {document['id']}: {document['state']}")


@task.command(
    "delete", cls=TaskCommand, short_help="Delete a task.", examples=[("", "kyanite batch task delete myjob/hello")]
)
@job_argument
@task_argument
@on_account
def delete(target: Target, job_id: str, task_id: str) -> None:
    """Delete a task and its files; a running one is stopped."""
    target.service.delete_task(target.account, job_id, task_id)
    target.service.pump()
    told(target.session, None, f"deleted {job_id}/{task_id}")


# ---- files


def _tail(target: Target, job_id: str, task_id: str, name: str) -> Tail:
    return Tail(target.session, lambda: target.service.task_file(target.account, job_id, task_id, name))


@task.command(
    "logs",
    cls=TaskCommand,
    short_help="Print what a task wrote.",
    examples=[
        ("its output", "kyanite batch task logs myjob/hello"),
        ("while it runs", "kyanite batch task logs myjob/hello -f"),
        ("what it complained about", "kyanite batch task logs myjob/hello --stderr"),
    ],
)
@job_argument
@task_argument
@click.option("--stderr", is_flag=True, help="stderr.txt in the place of stdout.txt.")
@click.option("--follow", "-f", is_flag=True, help="Go on printing until the task ends.")
@on_account
def logs(target: Target, job_id: str, task_id: str, stderr: bool, follow: bool) -> None:
    """Print stdout.txt (or stderr.txt) of a task, secrets masked."""
    name = "stderr.txt" if stderr else "stdout.txt"
    found = target.service.get_task(target.account, job_id, task_id)
    if target.session.as_json:
        with closing(target.service.task_file(target.account, job_id, task_id, name)) as file:
            target.session.print_json({"name": name, "text": file.read(0, file.size).decode(errors="replace")})
        return
    tail = _tail(target, job_id, task_id, name)

    def done() -> bool:
        nonlocal found
        found = target.service.get_task(target.account, job_id, task_id)
        tail()
        return bool(found.state == "completed")

    if follow and found.state != "completed":
        until(target.service, done, None, f"Task '{found.id}'")
    elif found.state == "active":
        target.session.echo(
            f"task {found.id} has not run yet; kyanite batch explain {job_id}/{found.id} says why", err=True
        )
    tail(last=True)


@task.command(
    "files",
    cls=TaskCommand,
    short_help="List the files of a task.",
    examples=[("all, with those in folders", "kyanite batch task files myjob/hello -r")],
)
@job_argument
@task_argument
@recursive_option
@on_account
def files(target: Target, job_id: str, task_id: str, recursive: bool) -> None:
    """List the files of a task, relative to its directory."""
    entries = target.service.list_task_files(target.account, job_id, task_id, recursive)
    show_files(target.session, entries, f"{target.base}/jobs/{job_id}/tasks/{task_id}/files")


@task.command(
    "get",
    cls=TaskCommand,
    short_help="Print or save a file of a task.",
    examples=[
        ("save a result", "kyanite batch task get myjob/hello wd/result.parquet -o result.parquet"),
        ("its first 100 bytes", "kyanite batch task get myjob/hello stdout.txt --range 0-99"),
    ],
)
@job_argument
@task_argument
@click.argument("path")
@range_option
@output_option
@on_account
def get(
    target: Target,
    job_id: str,
    task_id: str,
    path: str,
    span: tuple[int | None, int | None] | None,
    output: Path | None,
) -> None:
    """Print the file at PATH of a task (relative to its directory), or save it. The bytes are given as they are."""
    with closing(target.service.task_file(target.account, job_id, task_id, path)) as file:
        give(target.session, file, span, output)
