"""What containers share: how the statuses of their scopes become their own."""

from __future__ import annotations

from kyanite.engine.events import ScopeClosed
from kyanite.engine.turn import Turn


def end_by_scopes(turn: Turn, path: str) -> None:
    """End a container whose scopes are all closed: failed when one of them failed, naming the activity that did."""
    _end(turn, path, turn.state.activities[path].first_failure)


def end_by_last_scope(turn: Turn, path: str) -> None:
    """End a container with the status of the scope that closed last."""
    last = turn.state.activities[path].last_scope
    _end(turn, path, last if last is not None and last.status != "Succeeded" else None)


def _end(turn: Turn, path: str, failure: ScopeClosed | None) -> None:
    if failure is None:
        turn.ended(path, "Succeeded", output={})
        return
    message = (
        "Activity failed because an inner activity failed; "
        f"Inner activity name: {failure.failed_activity}, Error: {failure.message}"
    )
    turn.ended(path, "Failed", output={}, error=turn.error(path, "ActionFailed", message))
