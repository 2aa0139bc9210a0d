"""SetVariable: give a variable of the run a new value."""

from __future__ import annotations

from kyanite.engine import events as ev
from kyanite.engine.parameters import check_variable_value, variable_name
from kyanite.engine.turn import Turn
from kyanite.errors import UnsupportedError


def start(turn: Turn, path: str) -> None:
    """Evaluate, check against the declared type, set; all in one decision."""
    activity = turn.state.activities[path]
    properties = activity.definition.type_properties
    if properties.get("setSystemVariable"):
        raise UnsupportedError(
            f"SetVariable '{activity.definition.name}' sets a pipeline return value, which kyanite does not run yet.",
            cure="Set an ordinary variable instead.",
        )
    name = variable_name(turn.state.pipeline, properties.get("variableName"))
    value = turn.evaluate(properties.get("value"), activity.scope)
    check_variable_value(turn.state.pipeline, name, value)
    turn.started(path, {"variableName": name, "value": value})
    turn.emit(ev.VariableSet(at=turn.at, name=name, value=value))
    turn.ended(path, "Succeeded", output={"name": name, "value": value})


def step(turn: Turn, path: str) -> None:
    """Never waits."""
