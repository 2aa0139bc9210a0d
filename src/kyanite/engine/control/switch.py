"""Switch: run the case whose value is the expression's, or the default."""

from __future__ import annotations

from kyanite.engine import events as ev
from kyanite.engine.control.containers import end_by_scopes
from kyanite.engine.turn import Turn
from kyanite.errors import ActivityError
from kyanite.expressions import kind_of


def start(turn: Turn, path: str) -> None:
    """The value must be a text or an integer; it is compared as text, with regard to case."""
    activity = turn.state.activities[path]
    value = turn.evaluate(activity.definition.type_properties.get("on"), activity.scope)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ActivityError(
            f"The value of Switch '{activity.definition.name}' must be a String or an Integer, not {kind_of(value)}.",
            code="InvalidTemplate",
        )
    branches = activity.definition.branches
    wanted = f"case:{value}"
    branch = f"case-{list(branches).index(wanted)}" if wanted in branches else "default"
    turn.started(path, {"on": value})
    if branches.get(wanted if wanted in branches else "default"):
        turn.emit(ev.ScopeOpened(at=turn.at, scope=f"{path}/{branch}"))
    else:
        step(turn, path)


def step(turn: Turn, path: str) -> None:
    """The branch is over: so is the activity, with its status."""
    end_by_scopes(turn, path)
