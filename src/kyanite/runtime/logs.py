"""What the tasks of a run wrote: stdout and stderr, secrets masked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kyanite.activities.custom import task_place
from kyanite.definitions.load import from_snapshot
from kyanite.errors import BatchError, NotFoundError
from kyanite.limits import TASK_OUTPUT_READ_BYTES
from kyanite.runtime.workspace import Workspace

Json = Any
LOGS = ("stdout.txt", "stderr.txt")


@dataclass(frozen=True, slots=True)
class Log:
    """One file of one attempt of a Custom activity; `text` is masked, bytes that are no UTF-8 are replaced."""

    activity: str
    activity_run_id: str
    name: str
    text: str


def task_logs(workspace: Workspace, run_id: str, activity: str | None = None) -> Iterator[Log]:
    """The logs of a run's Custom activities in order of start, or of one activity.

    Raises NotFoundError for an unknown run or activity name. Running tasks give what they wrote so far; tasks whose
    files are gone (retention) give nothing.
    """
    events = workspace.store.read(run_id)
    if not events:
        raise NotFoundError(f"There is no run {run_id}.", cure="`kyanite runs list` shows the runs.")
    started = [event.body for event in events if event.kind == "ActivityStarted"]
    names = {body["path"].rsplit("/", 1)[-1] for body in started}
    if activity is not None and activity not in names:
        raise NotFoundError(
            f"No activity '{activity}' ran in run {run_id}.", cure=f"Activities that ran: {', '.join(sorted(names))}."
        )
    factory = from_snapshot(workspace.store.snapshot(events[0].body["snapshot"]))
    for body in started:
        name = body["path"].rsplit("/", 1)[-1]
        if body["type"].casefold() != "custom" or activity not in (None, name):
            continue
        account, job = task_place(factory, body.get("data", {}).get("linkedService") or {})
        task = body["activityRunId"]
        for file in LOGS:
            content = _whole_file(workspace, account, job, task, file)
            if content is not None:
                yield Log(name, task, file, workspace.vault.mask(content.decode("utf-8", errors="replace")))


def _whole_file(workspace: Workspace, account: str, job: str, task: str, file: str) -> bytes | None:
    """A file of a task, read piece by piece; None when it is not there."""
    content = bytearray()
    while True:
        try:
            piece = workspace.batch.read_file(account, job, task, file, len(content))
        except (BatchError, NotFoundError):
            return bytes(content) if content else None
        content += piece
        if len(piece) < TASK_OUTPUT_READ_BYTES:
            return bytes(content)
