"""Trigger runs as people and clients see them; running a window again, cancelling."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from kyanite.engine.state import FINAL
from kyanite.engine.triggers.values import precise_time, utc_moment, wire_time
from kyanite.errors import ConflictError, NotFoundError, UnsupportedError
from kyanite.runtime.clock import utc_now
from kyanite.runtime.start import cancel_run
from kyanite.runtime.triggers import trigger_store
from kyanite.runtime.triggers_store import CANCELED, OPEN, WAITING, TriggerKey, TriggerRun, TriggerRunQuery
from kyanite.runtime.workspace import Workspace

Json = Any


def trigger_runs(workspace: Workspace, query: TriggerRunQuery | None = None) -> list[dict[str, Json]]:
    """Trigger runs in Data Factory's wire shape, newest first, masked."""
    return [wire_run(run) for run in trigger_store(workspace).runs(query or TriggerRunQuery())]


def wire_run(run: TriggerRun) -> dict[str, Json]:
    """A trigger run as the service writes it; a window also has `windowStart`, `windowEnd` and `reruns`."""
    document: dict[str, Json] = {
        "triggerRunId": run.trigger_run_id,
        "triggerName": run.name,
        "triggerType": run.type,
        "triggerRunTimestamp": precise_time(run.fired_at),
        "status": run.status,
        "message": run.message,
        "properties": dict(run.properties),
        "triggeredPipelines": dict(run.pipelines),
        "runDimension": {},
        "dependencyStatus": dict.fromkeys(run.unmet, "Waiting"),
    }
    if run.window_start is not None and run.window_end is not None:
        document["windowStart"], document["windowEnd"] = wire_time(run.window_start), wire_time(run.window_end)
        document["reruns"] = run.reruns
    return document


def find_trigger_run(workspace: Workspace, factory: str, text: str) -> TriggerRun:
    """The trigger run of an id, the beginning of one, or of a window as `NAME@2024-01-31T06:00:00Z`.

    NotFoundError when there is none or more than one.
    """
    store = trigger_store(workspace)
    name, _, start = text.partition("@")
    if start:
        window = store.window(TriggerKey.of(factory, name), utc_moment(start, f"window {text}"))
        found = [window] if window is not None else []
    else:
        found = store.runs_beginning_with(text)
    if len(found) == 1:
        return found[0]
    what = "There are several trigger runs" if found else "There is no trigger run"
    raise NotFoundError(f"{what} '{text}'.", cure="`kyanite trigger runs` shows them; give more of the id.")


def rerun_trigger_run(workspace: Workspace, run: TriggerRun, *, now: datetime | None = None) -> TriggerRun:
    """Run a window again, with the latest definition and its dependencies checked again; a scheduler takes it up.

    ConflictError for a window that is not over, UnsupportedError for runs that are not windows.
    """
    if run.window_start is None:
        raise UnsupportedError(
            f"Only windows are run again; this is a run of a {run.type}.",
            cure="Start its pipeline: kyanite run PIPELINE -p NAME=VALUE",
        )
    moment = now or utc_now()
    if run.status in OPEN:
        raise ConflictError(f"The window is not over: {run.status}.", cure="Cancel it first, or wait.")
    changed = trigger_store(workspace).change(
        run,
        status=WAITING,
        attempt=0,
        reruns=run.reruns + 1,
        waiting_since=moment,
        not_before=None,
        message="",
        unmet=(),
        updated_at=moment,
    )
    if changed is None:
        raise ConflictError("The window has changed just now.", cure="Look at it and try again.")
    return changed


def cancel_trigger_run(workspace: Workspace, run: TriggerRun, *, now: datetime | None = None) -> TriggerRun:
    """Cancel a trigger run: a waiting window at once, everything else through its pipeline runs.

    ConflictError when there is nothing left to cancel.
    """
    store = trigger_store(workspace)
    moment = now or utc_now()
    if run.status == WAITING:
        changed = store.change(run, status=CANCELED, updated_at=moment, unmet=(), message="Cancelled while it waited.")
        if changed is None:
            raise ConflictError("The window has changed just now.", cure="Look at it and try again.")
        return changed
    summaries = [workspace.store.summary(run_id) for run_id in run.pipelines.values()]
    going = [summary.run_id for summary in summaries if summary is not None and summary.status not in FINAL]
    if not going:
        raise ConflictError(f"Nothing of the trigger run is in progress: {run.status}.")
    for run_id in going:
        cancel_run(workspace, run_id, by=f"trigger run {run.trigger_run_id}")
    return run
