"""`kyanite runs`: what has run, what runs, and what to do about it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import click

from kyanite.cli.command import group, json_option
from kyanite.cli.details import plain_message
from kyanite.cli.output import duration, print_table, status
from kyanite.cli.report import moment, run_document, show_run
from kyanite.cli.run import carry_out
from kyanite.cli.run_names import all_runs, full_run_id
from kyanite.cli.session import Session, pass_session, visible
from kyanite.errors import ConflictError, NotFoundError

FINAL = ("Succeeded", "Failed", "Cancelled")
STATUSES = ("Queued", "InProgress", "Canceling", *FINAL)


COMMANDS = {
    "explain": ("kyanite.cli.explain:explain_command", "Say why each activity ran or not, and why the run ended so."),
    "rerun": ("kyanite.cli.rerun:rerun_command", "Run a run again: whole, from what failed, or failed iterations."),
}


@group(
    "runs",
    short_help="List, show, explain, cancel, resume and rerun pipeline runs; read their logs.",
    table=COMMANDS,
    examples=[
        ("the last runs", "kyanite runs list"),
        ("the newest one in detail", "kyanite runs show latest"),
        ("what its tasks printed", "kyanite runs logs latest"),
        ("why it ended as it did", "kyanite runs explain latest"),
        ("what failed, once more", "kyanite runs rerun latest --from-failure"),
    ],
)
def runs() -> None:
    """List, show, explain, cancel, resume and rerun pipeline runs; read their logs.

    RUN is a run id, the beginning of one, or `latest`.
    """


@runs.command(
    "list",
    short_help="List runs, newest first.",
    examples=[
        ("the last 20", "kyanite runs list"),
        ("what failed", "kyanite runs list --status Failed --pipeline Load --limit 5"),
    ],
)
@click.option("--status", "wanted", type=click.Choice(STATUSES, case_sensitive=False), help="Only runs in this status.")
@click.option("--pipeline", metavar="NAME", help="Only runs of this pipeline.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="At most so many.")
@json_option
@pass_session
def list_command(session: Session, wanted: str | None, pipeline: str | None, limit: int) -> None:
    """List runs, newest first."""
    from kyanite.runs.store import RunQuery
    from kyanite.runtime.monitor import list_runs

    found = list_runs(session.workspace(), RunQuery(status=wanted, pipeline=pipeline, limit=limit))
    if session.as_json:
        session.print_json(found)
        return
    if not found:
        session.echo("no runs")
        return
    rows = [
        [
            str(run["runId"]),
            visible(str(run["pipelineName"])),
            status(run["status"]),
            moment(run.get("runStart")),
            duration(run["durationInMs"] / 1000) if run.get("durationInMs") is not None else "",
            _first_line(str(run.get("message") or "")),
        ]
        for run in found
    ]
    print_table(session, ["run", "pipeline", "status", "start (UTC)", "time", "message"], rows, right=("time",))


@runs.command(
    "show",
    short_help="Show a run with its activities.",
    examples=[
        ("the newest run", "kyanite runs show latest"),
        ("a run by the beginning of its id, for a script", "kyanite runs show 3f2a --json"),
    ],
)
@click.argument("run")
@click.option("--all", "everything", is_flag=True, help="Also the activities that were skipped.")
@json_option
@pass_session
def show(session: Session, run: str, everything: bool) -> None:
    """Show a run: its activities with times and outcome, copy details, errors, status and message."""
    from kyanite.runtime.monitor import activity_runs, pipeline_run

    workspace = session.workspace()
    run_id = full_run_id(workspace, run)
    document = pipeline_run(workspace, run_id)
    activities = activity_runs(workspace, run_id, include_skipped=everything)
    if session.as_json:
        session.print_json(run_document(document, activities))
    else:
        show_run(session, document, activities)


@runs.command(
    "cancel",
    short_help="Cancel a run.",
    examples=[
        ("the newest run and the runs it started", "kyanite runs cancel latest"),
        ("this run only", "kyanite runs cancel 3f2a --not-children"),
    ],
)
@click.argument("run")
@click.option("--not-children", is_flag=True, help="Leave the runs that it started alone.")
@json_option
@pass_session
def cancel(session: Session, run: str, not_children: bool) -> None:
    """Cancel a run: the process that works on it stops its activities; when there is none, this one does."""
    from kyanite.runtime.monitor import pipeline_run
    from kyanite.runtime.start import cancel_run
    from kyanite.runtime.worker import Worker

    workspace = session.workspace()
    run_id = full_run_id(workspace, run)
    cancel_run(workspace, run_id, recursive=not not_children)
    with suppress(ConflictError):  # another living process works on it and hears of the request
        Worker(workspace).run(run_id)
    document = pipeline_run(workspace, run_id)
    if session.as_json:
        session.print_json(document)
    else:
        session.echo(f"run {run_id} {status(document['status'])}")


@runs.command(
    "resume",
    short_help="Go on with runs whose process has gone.",
    examples=[
        ("one run", "kyanite runs resume latest"),
        ("all that are not finished", "kyanite runs resume --all"),
    ],
)
@click.argument("run", required=False)
@click.option("--all", "everything", is_flag=True, help="All unfinished runs, one after the other.")
@click.option("--quiet", "-q", is_flag=True, help="No progress, only the result.")
@json_option
@pass_session
def resume(session: Session, run: str | None, everything: bool, quiet: bool) -> int:
    """Go on with an unfinished run where its log ends; what is done already is not done again."""
    if (run is None) == (not everything):
        raise click.UsageError("Give a RUN or --all.")
    if run is not None:
        return _resume_one(session, full_run_id(session.workspace(), run), quiet)
    codes = []
    for run_id in unfinished(session):
        try:
            codes.append(_resume_one(session, run_id, quiet))
        except ConflictError as error:
            session.echo(f"left alone: {visible(str(error))}", err=True)
    if not codes and not session.as_json:
        session.echo("nothing to resume")
    return max(codes, default=0)


def unfinished(session: Session) -> list[str]:
    """The runs that are not over, oldest first; child runs come with their parents."""
    found = [run for run in all_runs(session.workspace()) if run.status not in FINAL]
    ids = {run.run_id for run in found}
    return [run.run_id for run in reversed(found) if run.parent_run_id not in ids]


def _resume_one(session: Session, run_id: str, quiet: bool) -> int:
    if not session.as_json:
        session.echo(f"run {run_id}")
    return carry_out(session, run_id, quiet=quiet)


@runs.command(
    "logs",
    short_help="Print what the tasks of a run wrote.",
    examples=[
        ("all tasks of the newest run", "kyanite runs logs latest"),
        ("one activity, while it runs", "kyanite runs logs latest --activity SplitParquet --follow"),
    ],
)
@click.argument("run")
@click.option("--activity", metavar="NAME", help="Only this activity.")
@click.option("--follow", "-f", is_flag=True, help="Go on printing until the run ends.")
@json_option
@pass_session
def logs(session: Session, run: str, activity: str | None, follow: bool) -> None:
    """Print stdout and stderr of the run's Custom activities, secrets masked."""
    from kyanite.runtime.logs import task_logs
    from kyanite.runtime.monitor import pipeline_run

    workspace = session.workspace()
    run_id = full_run_id(workspace, run)
    if session.as_json:
        found = task_logs(workspace, run_id, activity)
        session.print_json([{"activity": log.activity, "name": log.name, "text": log.text} for log in found])
        return
    printer = LogPrinter(session)
    while True:
        ended = pipeline_run(workspace, run_id)["status"] in FINAL
        for log in task_logs(workspace, run_id, activity):
            printer(log.activity_run_id, f"{log.activity} {log.name}", log.text)
        if ended or not follow:
            break
        time.sleep(0.5)
    if not printer.seen:
        name = f"the activity {activity}" if activity else "this run"
        raise NotFoundError(f"There are no task logs of {name}.", where=f"run {run_id}")


class LogPrinter:
    """Prints log files as they grow, each piece under a heading that names its activity and file."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.seen: dict[tuple[str, str], int] = {}
        self.last: tuple[str, str] | None = None

    def __call__(self, activity_run: str, title: str, text: str) -> None:
        """Print what is new in a file of an activity run."""
        key = (activity_run, title)
        known = self.seen.setdefault(key, 0)
        fresh, self.seen[key] = text[known:], len(text)
        if not fresh:
            return
        if key != self.last:
            self.session.echo(click.style(f"==> {visible(title)}", bold=True))
            self.last = key
        show: Callable[[str], Any] = visible if self.session.is_terminal() else str
        self.session.echo(show(fresh), end="" if fresh.endswith("\n") else "\n")


def _first_line(text: str) -> str:
    line = plain_message(text).partition("\n")[0]
    return visible(line if len(line) <= 90 else line[:89] + "…")
