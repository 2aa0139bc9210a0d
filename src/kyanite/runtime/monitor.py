"""What monitoring shows: pipeline runs and activity runs in Data Factory's wire shape, secrets masked.

Everything is derived from the masked log; nothing else stores it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from kyanite.engine.events import utc_time
from kyanite.engine.turn import activity_run_id
from kyanite.errors import NotFoundError
from kyanite.runs.store import RunQuery, RunStore, RunSummary, StoredEvent
from kyanite.runtime.workspace import Workspace

Json = Any
ENDINGS = frozenset({"ActivityEnded", "ActivityInactive", "ActivityReused", "ActivitySkipped", "AttemptFailed"})


def list_runs(workspace: Workspace, query: RunQuery | None = None) -> list[dict[str, Json]]:
    """Pipeline runs, newest first."""
    return [run_json(summary) for summary in workspace.store.runs(query or RunQuery())]


def pipeline_run(workspace: Workspace, run_id: str) -> dict[str, Json]:
    """One pipeline run; NotFoundError for an unknown id."""
    summary = workspace.store.summary(run_id)
    if summary is None:
        raise NotFoundError(f"There is no run {run_id}.", cure="`kyanite runs list` shows the runs.")
    run = run_json(summary)
    exceeded = [event for event in workspace.store.history(run_id) if event.kind == "ElapsedTimeExceeded"]
    if exceeded:
        run["elapsedTimeExceeded"] = {"at": _wire_time(exceeded[0].at), "seconds": exceeded[0].body["seconds"]}
    return run


def activity_runs(workspace: Workspace, run_id: str, *, include_skipped: bool = False) -> list[dict[str, Json]]:
    """The activity runs of a pipeline run in order of start, every attempt its own.

    Skipped activities are left out unless asked for, as the service does. One that a rerun did not execute has the
    member `reusedFrom`: `{"pipelineRunId", "activityRunId"}` of the execution that stands for it.
    """
    run = pipeline_run(workspace, run_id)
    rows = _rows(run, workspace.store.history(run_id))
    return [row for row in rows if include_skipped or row["status"] != "Skipped"]


def activity_runs_of(store: RunStore, summary: RunSummary) -> list[dict[str, Json]]:
    """As `activity_runs`, of a run that was looked up already; skipped ones included."""
    return _rows(run_json(summary), store.history(summary.run_id))


def run_json(summary: RunSummary) -> dict[str, Json]:
    """A pipeline run from its row alone."""
    return {
        "id": summary.run_id,
        "runId": summary.run_id,
        "runGroupId": summary.group_id,
        "isLatest": summary.is_latest,
        "pipelineName": summary.pipeline,
        "parameters": {name: _as_text(value) for name, value in summary.parameters.items()},
        "invokedBy": summary.invoked_by,
        "lastUpdated": _wire_time(summary.updated_at),
        "runStart": _wire_time(summary.started_at or summary.queued_at),
        "runEnd": _wire_time(summary.ended_at),
        "durationInMs": _milliseconds(summary.started_at or summary.queued_at, summary.ended_at),
        "status": summary.status,
        "message": summary.message,
        "annotations": summary.annotations,
        "runDimension": summary.run_dimensions,
        "runDimensions": summary.run_dimensions,
    }


def _as_text(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _rows(run: Mapping[str, Json], history: Iterable[StoredEvent]) -> list[dict[str, Json]]:
    rows: list[dict[str, Json]] = []
    current: dict[str, dict[str, Json]] = {}
    secure: dict[str, bool] = {}
    for event in history:
        body = event.body
        path = body.get("path")
        if path is None:
            continue
        if event.kind == "ActivityStarted":
            current[path] = _started(run, event)
            rows.append(current[path])
            secure[path] = bool(body.get("secureOutput"))
        elif event.kind in ENDINGS:
            row = current.pop(path, None)
            if row is None:
                row = _never_started(run, event)
                rows.append(row)
            _close(row, event, hide_output=secure.get(path, bool(body.get("secureOutput"))))
        elif event.kind == "ActivityProgress" and path in current and not secure[path]:
            current[path]["output"] = body.get("output")
    return rows


def _row(run: Mapping[str, Json], event: StoredEvent, attempt: int, run_id: str) -> dict[str, Json]:
    path = event.body["path"]
    name = path.rsplit("/", 1)[-1]
    iterations = [part for part in path.split("/")[:-1] if part.isdigit()]
    row: dict[str, Json] = {
        "pipelineName": run["pipelineName"],
        "pipelineRunId": run["runId"],
        "activityName": name,
        "activityType": event.body.get("type", ""),
        "activityRunId": run_id,
        "linkedServiceName": event.body.get("linkedService") or "",
        "status": "InProgress",
        "activityRunStart": _wire_time(event.at),
        "activityRunEnd": None,
        "durationInMs": None,
        "input": None,
        "output": None,
        "error": {"errorCode": "", "message": "", "failureType": "", "target": name},
        "retryAttempt": attempt or None,
        "userProperties": event.body.get("userProperties") or {},
        "iterationHash": hashlib.sha256(path.encode()).hexdigest()[:32] if iterations else "",
        "path": path,
    }
    if iterations:
        row["iterationIndex"] = int(iterations[-1])
    return row


def _started(run: Mapping[str, Json], event: StoredEvent) -> dict[str, Json]:
    body = event.body
    row = _row(run, event, body.get("attempt", 0), body.get("activityRunId", ""))
    row["input"] = None if body.get("secureInput") else body.get("input")
    return row


def _never_started(run: Mapping[str, Json], event: StoredEvent) -> dict[str, Json]:
    row = _row(run, event, 0, activity_run_id(run["runId"], event.body["path"], 0))
    if event.kind == "ActivityReused":
        row["reusedFrom"] = {"pipelineRunId": event.body["fromRun"], "activityRunId": event.body["activityRunId"]}
    return row


def _close(row: dict[str, Json], event: StoredEvent, *, hide_output: bool) -> None:
    body = event.body
    row["status"] = {"ActivitySkipped": "Skipped", "ActivityInactive": "Inactive"}.get(event.kind) or body["status"]
    row["output"] = None if hide_output else body.get("output")
    if body.get("error"):
        row["error"] = body["error"]
    row["activityRunEnd"] = _wire_time(event.at)
    row["durationInMs"] = _milliseconds(row["activityRunStart"], row["activityRunEnd"])


def _wire_time(text: str | None) -> str | None:
    """Seven fraction digits, as the service writes them."""
    return f"{text[:-1]}0Z" if text and text.endswith("Z") and len(text) == 27 else text


def _milliseconds(start: str | None, end: str | None) -> int | None:
    if not start or not end:
        return None
    return round((utc_time(end) - utc_time(start)).total_seconds() * 1000)
