"""Runs as they are typed: a whole id, the beginning of one, or `latest`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from kyanite.errors import ConflictError, NotFoundError

if TYPE_CHECKING:
    from kyanite.runs.store import RunSummary
    from kyanite.runtime.workspace import Workspace

LATEST = "latest"
PAGE = 500


def full_run_id(workspace: Workspace, text: str) -> str:
    """The id of the run a person means; `latest` is the newest that no other run started.

    NotFoundError when there is none, ConflictError when there are several.
    """
    if text.casefold() == LATEST:
        newest = next((run for run in all_runs(workspace) if run.parent_run_id is None), None)
        if newest is None:
            raise NotFoundError("Nothing has run in this workspace yet.", cure="Start a run: kyanite run PIPELINE")
        return newest.run_id
    exact = workspace.store.summary(text)
    if exact is not None:
        return exact.run_id
    wanted = text.casefold()
    found = (run.run_id for run in all_runs(workspace) if wanted and run.run_id.casefold().startswith(wanted))
    return the_only_one(text, list(islice(found, 6)))


def all_runs(workspace: Workspace) -> Iterator[RunSummary]:
    """All runs, newest first, read page by page."""
    from kyanite.runs.store import RunQuery

    after: int | None = None
    while page := workspace.store.runs(RunQuery(limit=PAGE, after=after)):
        yield from page
        after = page[-1].number


def the_only_one(text: str, found: list[str]) -> str:
    """The one id that begins with a text."""
    if len(found) == 1:
        return found[0]
    if not found:
        raise NotFoundError("There is no such run.", where=text, cure="kyanite runs list shows the runs there are.")
    shown = ", ".join(found[:5]) + (", ..." if len(found) > 5 else "")
    raise ConflictError(f"Several runs begin like this: {shown}.", where=text, cure="Type more of the id.")
