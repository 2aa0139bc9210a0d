"""Runs as they are typed: a whole id, the beginning of one, or `latest`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kyanite.errors import ConflictError, NotFoundError

if TYPE_CHECKING:
    from kyanite.runtime.workspace import Workspace

LATEST = "latest"
SEARCHED = 10_000


def full_run_id(workspace: Workspace, text: str) -> str:
    """The id of the run a person means; `latest` is the newest that no other run started.

    NotFoundError when there is none, ConflictError when there are several.
    """
    from kyanite.runtime.monitor import list_runs

    if text.casefold() == LATEST:
        newest = list_runs(workspace, limit=SEARCHED)
        if not newest:
            raise NotFoundError("Nothing has run in this workspace yet.", cure="Start a run: kyanite run PIPELINE")
        return str(next((run for run in newest if not started_by_run(run)), newest[0])["runId"])
    known = [str(run["runId"]) for run in list_runs(workspace, limit=SEARCHED)]
    return matching(text, known)


def matching(text: str, known: list[str]) -> str:
    """The one id that is, or begins with, a text."""
    found = [run_id for run_id in known if run_id.casefold().startswith(text.casefold())]
    exact = [run_id for run_id in found if run_id.casefold() == text.casefold()]
    if exact or len(found) == 1:
        return (exact or found)[0]
    if not found:
        raise NotFoundError("There is no such run.", where=text, cure="kyanite runs list shows the runs there are.")
    shown = ", ".join(found[:5]) + (", ..." if len(found) > 5 else "")
    raise ConflictError(f"{len(found)} runs begin like this: {shown}.", where=text, cure="Type more of the id.")


def started_by_run(run: Mapping[str, Any]) -> bool:
    """Whether another run's activity started this run."""
    return bool((run.get("invokedBy") or {}).get("pipelineRunId"))
