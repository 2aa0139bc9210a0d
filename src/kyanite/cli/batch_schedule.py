"""`kyanite batch schedule`: jobs that come by the clock."""

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
    show_list,
    show_one,
    time_cell,
    told,
)
from kyanite.cli.command import group

schedule_argument = click.argument("schedule_id", metavar="SCHEDULE")


@group(
    "schedule",
    short_help="List, show, create and delete job schedules.",
    examples=[
        ("all", "kyanite batch schedule list"),
        ("a job every hour", "kyanite batch schedule create hourly --every PT1H --file schedule.json"),
        ("the jobs it made", "kyanite batch schedule jobs hourly"),
    ],
)
def schedule() -> None:
    """List, show, create and delete job schedules.

    Their jobs are made while a server runs, or while another command waits for something.
    """


def schedule_document(target: Target, schedule_id: str) -> Json:
    """A schedule as the service shows it."""
    from kyanite.batch import wire

    return wire.schedule_json(target.service.get_schedule(target.account, schedule_id), target.base)


@schedule.command("list", short_help="List job schedules.", examples=[("", "kyanite batch schedule list")])
@on_account
def list_command(target: Target) -> None:
    """List the job schedules of the account."""
    from kyanite.batch import wire

    documents = [wire.schedule_json(found, target.base) for found in target.service.list_schedules(target.account)]
    columns = [
        ("schedule", cell("id")),
        ("state", cell("state")),
        ("every", cell("schedule", "recurrenceInterval")),
        ("next (UTC)", time_cell("executionInfo", "nextRunTime")),
        ("last job", cell("executionInfo", "recentJob", "id")),
    ]
    show_list(target.session, documents, columns, none="no job schedules")


@schedule.command("show", short_help="Show a job schedule.", examples=[("", "kyanite batch schedule show hourly")])
@schedule_argument
@on_account
def show(target: Target, schedule_id: str) -> None:
    """Show a job schedule: when it makes the next job, and the last one it made."""
    document = schedule_document(target, schedule_id)
    info = document.get("executionInfo") or {}
    rows = [
        ("schedule", document["id"]),
        ("state", f"{document['state']} since {time_cell('stateTransitionTime')(document)}"),
        ("every", cell("schedule", "recurrenceInterval")(document)),
        ("pool", cell("jobSpecification", "poolInfo", "poolId")(document)),
        ("next", time_cell("nextRunTime")(info)),
        ("last job", cell("recentJob", "id")(info)),
        ("ended", time_cell("endTime")(info)),
    ]
    show_one(target.session, document, rows)


@schedule.command(
    "create",
    short_help="Make a job schedule.",
    examples=[
        ("the body of the REST call", "kyanite batch schedule create --file schedule.json"),
        ("with another interval", "kyanite batch schedule create hourly --every PT1H --file schedule.json"),
    ],
)
@click.argument("schedule_id", metavar="[SCHEDULE]", required=False)
@click.option("--every", metavar="DURATION", help="The recurrenceInterval, such as PT1H.")
@click.option("--pool", "pool_id", metavar="POOL", help="Where its jobs run, when no FILE says more about them.")
@file_option
@on_account
def create(target: Target, schedule_id: str | None, every: str | None, pool_id: str | None, file: Path | None) -> None:
    """Make a job schedule. What its jobs do (jobSpecification) stands in FILE."""
    document = body(file, id=schedule_id)
    if every is not None:
        document["schedule"] = {**(document.get("schedule") or {}), "recurrenceInterval": every}
    if pool_id is not None:
        document["jobSpecification"] = {**(document.get("jobSpecification") or {}), "poolInfo": {"poolId": pool_id}}
    made = target.service.add_schedule(target.account, document)
    told(target.session, schedule_document(target, made.id), f"job schedule {made.id}")


def _change(target: Target, schedule_id: str, verb: str) -> None:
    getattr(target.service, f"{verb}_schedule")(target.account, schedule_id)
    target.service.pump()
    document = schedule_document(target, schedule_id)
    told(target.session, document, f"job schedule {document['id']}: {document['state']}")


@schedule.command(
    "disable", short_help="Make no jobs for now.", examples=[("", "kyanite batch schedule disable hourly")]
)
@schedule_argument
@on_account
def disable(target: Target, schedule_id: str) -> None:
    """Make no jobs until the schedule is enabled again."""
    _change(target, schedule_id, "disable")


@schedule.command("enable", short_help="Make jobs again.", examples=[("", "kyanite batch schedule enable hourly")])
@schedule_argument
@on_account
def enable(target: Target, schedule_id: str) -> None:
    """Make jobs again."""
    _change(target, schedule_id, "enable")


@schedule.command(
    "terminate", short_help="End a job schedule.", examples=[("", "kyanite batch schedule terminate hourly")]
)
@schedule_argument
@on_account
def terminate(target: Target, schedule_id: str) -> None:
    """End a job schedule and its active job."""
    _change(target, schedule_id, "terminate")


@schedule.command(
    "delete", short_help="Delete a job schedule.", examples=[("", "kyanite batch schedule delete hourly")]
)
@schedule_argument
@on_account
def delete(target: Target, schedule_id: str) -> None:
    """Delete a job schedule with its jobs."""
    target.service.delete_schedule(target.account, schedule_id)
    target.service.pump()
    told(target.session, None, f"deleting {schedule_id}")


@schedule.command(
    "jobs", short_help="List the jobs a schedule made.", examples=[("", "kyanite batch schedule jobs hourly")]
)
@schedule_argument
@on_account
def jobs(target: Target, schedule_id: str) -> None:
    """List the jobs a schedule made."""
    from kyanite.batch import wire

    found = target.service.jobs_of_schedule(target.account, schedule_id)
    documents = [wire.job_json(item, target.base) for item in found]
    columns = [("job", cell("id")), ("state", cell("state")), ("made (UTC)", time_cell("creationTime"))]
    show_list(target.session, documents, columns, none="no jobs yet")
