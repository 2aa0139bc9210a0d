"""SetVariable: give a variable of the run a new value."""

from __future__ import annotations

from typing import Any

from kyanite.engine import events as ev
from kyanite.engine.parameters import check_variable_value, is_true, variable_name
from kyanite.engine.turn import Turn
from kyanite.errors import ActivityError

RETURN_VALUE = "pipelineReturnValue"


def start(turn: Turn, path: str) -> None:
    """Evaluate, check against the declared type, set; all in one decision."""
    activity = turn.state.activities[path]
    properties = activity.definition.type_properties
    if is_true(properties.get("setSystemVariable")):
        _set_return_value(turn, path)
        return
    name = variable_name(turn.state.pipeline, properties.get("variableName"))
    value = turn.evaluate(properties.get("value"), activity.scope)
    check_variable_value(turn.state.pipeline, name, value)
    turn.started(path, {"variableName": name, "value": value})
    turn.emit(ev.VariableSet(at=turn.at, name=name, value=value))
    turn.ended(path, "Succeeded", output={"name": name, "value": value})


def _set_return_value(turn: Turn, path: str) -> None:
    activity = turn.state.activities[path]
    properties = activity.definition.type_properties
    name = properties.get("variableName")
    if str(name).casefold() != RETURN_VALUE.casefold():
        raise ActivityError(f"There is no system variable '{name}'; there is {RETURN_VALUE}.", code="VariableNotFound")
    value = _members(turn, properties.get("value"), activity.scope)
    turn.started(path, {"variableName": RETURN_VALUE, "value": value})
    turn.emit(ev.ReturnValueSet(at=turn.at, value=value))
    turn.ended(path, "Succeeded", output={"name": RETURN_VALUE, "value": value})


def _members(turn: Turn, entries: Any, scope: str) -> dict[str, Any]:
    """`[{"key", "value": {"type", "content"}}]` as the object it stands for."""
    if not isinstance(entries, list):
        raise ActivityError(f"The value of {RETURN_VALUE} must be a list of keys and values.", code="InvalidTemplate")
    return {str(entry.get("key")): _content(turn, entry.get("value"), scope) for entry in entries}


def _content(turn: Turn, typed: Any, scope: str) -> Any:
    if not isinstance(typed, dict) or "type" not in typed:
        return turn.evaluate(typed, scope)
    content = typed.get("content")
    match str(typed["type"]).casefold():
        case "null":
            return None
        case "object":
            return _members(turn, content, scope)
        case "array":
            return [_content(turn, item, scope) for item in content or ()]
        case _:
            return turn.evaluate(content, scope)


def step(turn: Turn, path: str) -> None:
    """Never waits."""
