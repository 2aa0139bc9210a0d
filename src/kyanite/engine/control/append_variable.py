"""AppendVariable: add one item to an array variable of the run."""

from __future__ import annotations

from kyanite.engine import events as ev
from kyanite.engine.parameters import type_name, variable_name
from kyanite.engine.turn import Turn
from kyanite.errors import ActivityError


def start(turn: Turn, path: str) -> None:
    """Evaluate and append; all in one decision, so that parallel iterations never lose an item."""
    activity = turn.state.activities[path]
    properties = activity.definition.type_properties
    name = variable_name(turn.state.pipeline, properties.get("variableName"))
    declared = type_name(turn.state.pipeline.variables[name].type)
    if declared != "Array":
        raise ActivityError(
            f"The variable '{name}' is of type '{declared}'; AppendVariable needs an Array.",
            code="InvalidVariableValue",
        )
    value = turn.evaluate(properties.get("value"), activity.scope)
    turn.started(path, {"variableName": name, "value": value})
    turn.emit(ev.VariableAppended(at=turn.at, name=name, value=value))
    turn.ended(path, "Succeeded", output={"name": name, "value": value})


def step(turn: Turn, path: str) -> None:
    """Never waits."""
