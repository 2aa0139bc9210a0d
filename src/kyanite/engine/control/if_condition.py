"""IfCondition: run one of two branches."""

from __future__ import annotations

from kyanite.engine import events as ev
from kyanite.engine.control.containers import end_by_scopes
from kyanite.engine.turn import Turn
from kyanite.errors import ActivityError
from kyanite.expressions import kind_of


def start(turn: Turn, path: str) -> None:
    """The expression must give a boolean; a text 'true' is an error, as in the service."""
    activity = turn.state.activities[path]
    result = turn.evaluate(activity.definition.type_properties.get("expression"), activity.scope)
    if not isinstance(result, bool):
        raise ActivityError(
            f"The expression of IfCondition '{activity.definition.name}' must give a Boolean, not {kind_of(result)}.",
            code="InvalidTemplate",
        )
    branch = "true" if result else "false"
    turn.started(path, {"expression": result})
    if activity.definition.branches.get(branch):
        turn.emit(ev.ScopeOpened(at=turn.at, scope=f"{path}/{branch}"))
    else:
        step(turn, path)


def step(turn: Turn, path: str) -> None:
    """The branch is over: so is the activity, with its status."""
    end_by_scopes(turn, path)
