"""A run on the screen: its activities, their errors, what the copies moved and how it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kyanite.cli.details import copy_rows, error_details, error_text, one_line, plain_message
from kyanite.cli.output import duration, print_table, status
from kyanite.cli.session import Session, visible

Json = dict[str, Any]


def run_document(run: Json, activities: Sequence[Json]) -> Json:
    """A run for a program: both wire shapes in one object."""
    return {"pipelineRun": run, "activityRuns": list(activities)}


def show_run(session: Session, run: Json, activities: Sequence[Json], *, copies: bool = True) -> None:
    """The activity table, copy details, errors, and last the run's id, status and message."""
    if activities:
        show_activities(session, activities)
    if copies:
        show_copies(session, activities)
    for activity in activities:
        show_error_of(session, activity)
    show_end(session, run, activities)


def show_activities(session: Session, activities: Sequence[Json]) -> None:
    """One line per activity run, in the order they started."""
    rows = [
        [
            activity_title(activity),
            str(activity.get("activityType") or ""),
            status(activity.get("status")),
            clock(activity.get("activityRunStart")),
            duration(_seconds(activity)),
            _details(activity),
        ]
        for activity in activities
    ]
    print_table(session, ["activity", "type", "status", "start (UTC)", "time", "details"], rows, right=("time",))


def _details(activity: Mapping[str, Any]) -> str:
    """What the activity did; of one that was not executed, where its outcome is from."""
    text = one_line(str(activity.get("activityType")), activity.get("output"))
    reused = activity.get("reusedFrom")
    return ", ".join(filter(None, (text, f"reused from run {reused['pipelineRunId'][:8]}"))) if reused else text


def activity_title(activity: Mapping[str, Any]) -> str:
    """The activity's name, its loop index and its retry when there are any."""
    title = str(activity.get("activityName"))
    if activity.get("iterationIndex") is not None:
        title += f" [{activity['iterationIndex']}]"
    return f"{title} (retry {activity['retryAttempt']})" if activity.get("retryAttempt") else title


def show_copies(session: Session, activities: Sequence[Json]) -> None:
    """What each copy moved."""
    for activity in activities:
        rows = copy_rows(activity.get("output")) if activity.get("activityType") == "Copy" else []
        if rows:
            session.echo(f"\nCopy details of {visible(activity_title(activity))}")
            width = max(len(name) for name, _ in rows)
            for name, value in rows:
                session.echo(f"  {name:<{width}}  {visible(value)}")


def show_error_of(session: Session, activity: Json) -> None:
    """Why an activity failed, with what the service knows beyond the message."""
    text = error_text(activity.get("error"))
    if not text:
        return
    session.echo(f"\n{visible(activity_title(activity))} {status(activity.get('status'))}")
    for line in (*text.splitlines(), *error_details(activity.get("error"))):
        session.echo(f"  {visible(line)}")


def show_end(session: Session, run: Json, activities: Sequence[Json] = ()) -> None:
    """The run's pipeline, id, status and message, and where the logs of its failed tasks are."""
    time = duration(_milliseconds(run.get("durationInMs")))
    session.echo()
    session.echo(f"pipeline  {visible(str(run.get('pipelineName')))}")
    session.echo(f"run       {run.get('runId')}")
    session.echo(f"status    {status(run.get('status'))}" + (f" in {time}" if time else ""))
    if run.get("message"):
        session.echo(f"message   {visible(_not_repeated(str(run['message']), activities))}")
    if any(row.get("activityType") == "Custom" and row["error"].get("errorCode") == "2500" for row in activities):
        session.echo(f"logs      kyanite runs logs {run.get('runId')}")


def _not_repeated(message: str, activities: Sequence[Json]) -> str:
    """The run's message without the activity's error that stands above it already."""
    for activity in activities:
        shown = str((activity.get("error") or {}).get("message") or "")
        if shown and message.endswith(f": {shown}"):
            return message.removesuffix(f": {shown}")
    return plain_message(message)


def clock(text: Any) -> str:
    """The time of day of an ISO time."""
    return str(text)[11:19] if text else ""


def moment(text: Any) -> str:
    """Date and time of an ISO time, to the second."""
    return str(text)[:19].replace("T", " ") if text else ""


def _seconds(activity: Json) -> float | None:
    return _milliseconds(activity.get("durationInMs"))


def _milliseconds(value: Any) -> float | None:
    return value / 1000 if isinstance(value, int | float) else None
