"""Wait: let time pass."""

from __future__ import annotations

from kyanite.engine.turn import Turn
from kyanite.errors import ActivityError
from kyanite.expressions import kind_of


def start(turn: Turn, path: str) -> None:
    """`waitTimeInSeconds` must be an integer of at least 1."""
    activity = turn.state.activities[path]
    seconds = turn.evaluate(activity.definition.type_properties.get("waitTimeInSeconds"), activity.scope)
    if isinstance(seconds, str) and seconds.strip().isdigit():
        seconds = int(seconds)
    if isinstance(seconds, bool) or not isinstance(seconds, int) or seconds < 1:
        shown = seconds if isinstance(seconds, int | float) else kind_of(seconds)
        raise ActivityError(
            f"waitTimeInSeconds of Wait '{activity.definition.name}' must be an integer of at least 1, not {shown}.",
            code="InvalidTemplate",
        )
    turn.started(path, {"waitTimeInSeconds": seconds}, due=turn.later(seconds))


def step(turn: Turn, path: str) -> None:
    """The time has passed."""
    turn.ended(path, "Succeeded", output={})
