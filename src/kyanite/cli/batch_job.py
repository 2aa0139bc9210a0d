"""`kyanite batch job`: the jobs of a Batch account."""

from __future__ import annotations

from pathlib import Path

import click

from kyanite.cli.batch_target import (
    Json,
    Target,
    body,
    cell,
    file_option,
    on_account,
    pairs,
    show_list,
    show_one,
    time_cell,
    told,
)
from kyanite.cli.batch_wait import until
from kyanite.cli.command import group
from kyanite.cli.session import visible

job_argument = click.argument("job_id", metavar="JOB")


@group(
    "job",
    short_help="List, show, create, wait for, stop and delete jobs.",
    examples=[
        ("a job on a pool", "kyanite batch job create myjob --pool mypool"),
        ("until all its tasks are done", "kyanite batch job wait myjob"),
        ("how far it is", "kyanite batch job show myjob"),
    ],
)
def job() -> None:
    """List, show, create, wait for, stop and delete jobs."""


def job_document(target: Target, job_id: str) -> Json:
    """A job as the service shows it."""
    from kyanite.batch import wire

    return wire.job_json(target.service.get_job(target.account, job_id), target.base)


def task_counts(target: Target, job_id: str) -> Json:
    """The service's task counts of a job."""
    from kyanite.batch import wire

    return wire.task_counts_json(target.service.task_counts(target.account, job_id))


def counted(counts: Json) -> str:
    """Task counts in words."""
    names = ("active", "running", "succeeded", "failed")
    return ", ".join(f"{counts['taskCounts'][name]:,} {name}" for name in names)


@job.command("list", short_help="List jobs.", examples=[("", "kyanite batch job list")])
@on_account
def list_command(target: Target) -> None:
    """List the jobs of the account."""
    from kyanite.batch import wire

    documents = [wire.job_json(found, target.base) for found in target.service.list_jobs(target.account)]
    columns = [
        ("job", cell("id")),
        ("state", cell("state")),
        ("pool", cell("executionInfo", "poolId")),
        ("priority", cell("priority")),
        ("tasks", lambda item: counted(task_counts(target, item["id"]))),
        ("made (UTC)", time_cell("creationTime")),
    ]
    show_list(target.session, documents, columns, right=("priority",), none="no jobs")


@job.command("show", short_help="Show a job.", examples=[("", "kyanite batch job show myjob")])
@job_argument
@on_account
def show(target: Target, job_id: str) -> None:
    """Show a job and how many of its tasks wait, run, succeeded and failed."""
    document = job_document(target, job_id)
    counts = task_counts(target, job_id)
    info = document["executionInfo"]
    error = info.get("schedulingError") or {}
    rows = [
        ("job", document["id"]),
        ("state", f"{document['state']} since {time_cell('stateTransitionTime')(document)}"),
        ("pool", str(info.get("poolId", ""))),
        ("priority", str(document["priority"])),
        ("tasks", counted(counts)),
        ("ended", " ".join(filter(None, (time_cell("endTime")(info), str(info.get("terminateReason", "")))))),
        ("error", visible(f"{error['code']}: {error['message']}") if error else ""),
    ]
    show_one(target.session, document | counts, rows)


@job.command(
    "create",
    short_help="Make a job.",
    examples=[
        ("", "kyanite batch job create myjob --pool mypool"),
        (
            "urgent, with dependencies between its tasks",
            "kyanite batch job create myjob --pool mypool --priority 500 --dependencies",
        ),
        ("the body of the REST call", "kyanite batch job create --file job.json"),
    ],
)
@click.argument("job_id", metavar="[JOB]", required=False)
@click.option("--pool", "pool_id", metavar="POOL", help="Where its tasks run.")
@click.option("--priority", type=click.IntRange(-1000, 1000), help="Higher goes first.")
@click.option("--dependencies", is_flag=True, help="Its tasks may depend on each other.")
@click.option("--max-parallel", type=click.IntRange(1), help="At most so many of its tasks at once.")
@click.option("--env", multiple=True, metavar="NAME=VALUE", help="For all its tasks; may be given several times.")
@file_option
@on_account
def create(
    target: Target,
    job_id: str | None,
    pool_id: str | None,
    priority: int | None,
    dependencies: bool,
    max_parallel: int | None,
    env: tuple[str, ...],
    file: Path | None,
) -> None:
    """Make a job. Its pool need not exist yet; its tasks wait for it."""
    document = body(
        file,
        id=job_id,
        poolInfo={"poolId": pool_id} if pool_id else None,
        priority=priority,
        usesTaskDependencies=True if dependencies else None,
        maxParallelTasks=max_parallel,
        commonEnvironmentSettings=pairs(env, "--env"),
    )
    made = target.service.add_job(target.account, document)
    told(target.session, job_document(target, made.id), f"job {made.id}")


@job.command(
    "update", short_help="Change a job's priority.", examples=[("", "kyanite batch job update myjob --priority 900")]
)
@job_argument
@click.option("--priority", type=click.IntRange(-1000, 1000), help="Higher goes first.")
@click.option("--max-parallel", type=click.IntRange(-1), help="At most so many of its tasks at once; -1: no limit.")
@click.option("--end-when-done", is_flag=True, help="The job ends when all its tasks have.")
@on_account
def update(target: Target, job_id: str, priority: int | None, max_parallel: int | None, end_when_done: bool) -> None:
    """Change what of a job can be changed while it runs."""
    ending = "terminatejob" if end_when_done else None
    document = body(None, priority=priority, maxParallelTasks=max_parallel, onAllTasksComplete=ending)
    if not document:
        raise click.UsageError("Give --priority, --max-parallel or --end-when-done.")
    target.service.patch_job(target.account, job_id, document)
    told(target.session, job_document(target, job_id), f"changed {job_id}")


@job.command(
    "wait",
    short_help="Wait until all tasks of a job are done.",
    examples=[
        ("and say how far it is", "kyanite batch job wait myjob"),
        ("at most ten minutes", "kyanite batch job wait myjob --timeout 600"),
    ],
)
@job_argument
@click.option("--timeout", type=click.FloatRange(0), metavar="SECONDS", help="Give up waiting after so long.")
@on_account
def wait(target: Target, job_id: str, timeout: float | None) -> int:
    """Wait until no task of the job waits or runs. Exit code 1: a task failed."""
    job_document(target, job_id)
    shown = ""

    def done() -> bool:
        nonlocal shown
        counts = task_counts(target, job_id)
        text = counted(counts)
        if text != shown and not target.session.as_json and target.session.is_terminal(err=True):
            target.session.echo(text, err=True)
        shown = text
        return not (counts["taskCounts"]["active"] + counts["taskCounts"]["running"])

    until(target.service, done, timeout, f"Job '{job_id}'")
    counts = task_counts(target, job_id)
    told(target.session, counts, f"job {job_id}: {counted(counts)}")
    return 1 if counts["taskCounts"]["failed"] else 0


@job.command(
    "terminate",
    short_help="End a job.",
    examples=[("with a reason", "kyanite batch job terminate myjob --reason 'wrong input'")],
)
@job_argument
@click.option("--reason", metavar="TEXT", help="Kept as the job's terminateReason.")
@on_account
def terminate(target: Target, job_id: str, reason: str | None) -> None:
    """End a job: running tasks are stopped, waiting ones never run."""
    target.service.terminate_job(target.account, job_id, body(None, terminateReason=reason))
    target.service.pump()
    document = job_document(target, job_id)
    told(target.session, document, f"job {document['id']}: {document['state']}")


@job.command(
    "disable",
    short_help="Start no tasks of a job for now.",
    examples=[("let the running ones end", "kyanite batch job disable myjob --tasks wait")],
)
@job_argument
@click.option(
    "--tasks",
    type=click.Choice(["requeue", "terminate", "wait"]),
    default="requeue",
    show_default=True,
    help="What happens to running tasks.",
)
@on_account
def disable(target: Target, job_id: str, tasks: str) -> None:
    """Start no tasks of a job until it is enabled again."""
    target.service.disable_job(target.account, job_id, {"disableTasks": tasks})
    target.service.pump()
    document = job_document(target, job_id)
    told(target.session, document, f"job {document['id']}: {document['state']}")


@job.command("enable", short_help="Go on with a job.", examples=[("", "kyanite batch job enable myjob")])
@job_argument
@on_account
def enable(target: Target, job_id: str) -> None:
    """Go on with a job that was disabled."""
    target.service.enable_job(target.account, job_id)
    target.service.pump()
    document = job_document(target, job_id)
    told(target.session, document, f"job {document['id']}: {document['state']}")


@job.command("delete", short_help="Delete a job.", examples=[("", "kyanite batch job delete myjob")])
@job_argument
@click.option("--wait", is_flag=True, help="Return when it is gone.")
@on_account
def delete(target: Target, job_id: str, wait: bool) -> None:
    """Delete a job with its tasks and their files."""
    found = job_document(target, job_id)["id"]
    target.service.delete_job(target.account, found)
    target.service.pump()
    if wait:

        def gone() -> bool:
            return found not in {item.id for item in target.service.list_jobs(target.account)}

        until(target.service, gone, None, f"Job '{found}'")
    told(target.session, None, f"{'deleted' if wait else 'deleting'} {found}")
