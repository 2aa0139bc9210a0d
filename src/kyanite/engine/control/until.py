"""Until: repeat the body until an expression is true.

The body runs before the first test. A failing activity inside does not end the loop; the last pass decides the status.
"""

from __future__ import annotations

from typing import Any

from kyanite.definitions.timespan import parse_timespan
from kyanite.engine import events as ev
from kyanite.engine.control.containers import end_by_last_scope
from kyanite.engine.execution import drain
from kyanite.engine.turn import Turn
from kyanite.errors import ActivityError, ExpressionError
from kyanite.expressions import kind_of
from kyanite.limits import UNTIL_TURNS

DEFAULT_TIMEOUT = "7.00:00:00"


def start(turn: Turn, path: str) -> None:
    """Open the first pass; the timeout counts from here."""
    activity = turn.state.activities[path]
    timeout = turn.evaluate(activity.definition.type_properties.get("timeout") or DEFAULT_TIMEOUT, activity.scope)
    if not isinstance(timeout, str):
        raise ActivityError(
            f"The timeout of Until '{activity.definition.name}' must be a String, not {kind_of(timeout)}.",
            code="InvalidTemplate",
        )
    turn.started(path, {"timeout": timeout}, due=turn.later(parse_timespan(timeout)))
    turn.emit(ev.ScopeOpened(at=turn.at, scope=f"{path}/0"))


def closing(turn: Turn, path: str, scope: str) -> dict[str, Any]:
    """Test the expression while the pass's activities can still be seen."""
    definition = turn.state.activities[path].definition
    try:
        value = turn.evaluate(definition.type_properties.get("expression"), scope)
    except ExpressionError as error:
        return {"error": str(error)}
    if not isinstance(value, bool):
        return {"error": f"The expression of Until '{definition.name}' must give a Boolean, not {kind_of(value)}."}
    return {"value": value}


def step(turn: Turn, path: str) -> None:
    """After a pass: end, or begin the next; when the time is over: stop what runs inside."""
    activity = turn.state.activities[path]
    if activity.due is not None and turn.at >= activity.due:
        turn.emit(ev.StopRequested(at=turn.at, path=path, reason="Timeout", deadline=turn.stop_deadline()))
        drain(turn)
        return
    last = activity.last_scope
    if last is None or activity.scopes_open:
        return
    if "error" in last.result:
        turn.ended(path, "Failed", output={}, error=turn.error(path, "InvalidTemplate", last.result["error"]))
    elif last.result["value"]:
        end_by_last_scope(turn, path)
    elif activity.scopes_opened >= UNTIL_TURNS:
        message = f"The loop did not end after {UNTIL_TURNS:,} passes."
        turn.ended(path, "Failed", output={}, error=turn.error(path, "LimitExceeded", message))
    else:
        turn.emit(ev.ScopeOpened(at=turn.at, scope=f"{path}/{activity.scopes_opened}"))
