"""ExecutePipeline: start a run of another pipeline of the same definitions, and wait for it when asked to."""

from __future__ import annotations

from uuid import UUID, uuid5

from kyanite.engine import events as ev
from kyanite.engine.commands import StartChildRun
from kyanite.engine.parameters import is_true, resolve_parameters
from kyanite.engine.reuse import reused_child
from kyanite.engine.turn import Turn
from kyanite.errors import ActivityError
from kyanite.expressions import kind_of
from kyanite.limits import NESTED_RUNS


def start(turn: Turn, path: str) -> None:
    """The child's id follows from this attempt's, so that a replay asks for the same child."""
    state = turn.state
    activity = state.activities[path]
    properties = activity.definition.type_properties
    reference = properties.get("pipeline") or {}
    pipeline = state.factory.pipelines.get(str(reference.get("referenceName", "")))
    given = turn.evaluate(properties.get("parameters") or {}, activity.scope)
    if not isinstance(given, dict):
        raise ActivityError(f"The parameters must be an Object, not {kind_of(given)}.", code="InvalidTemplate")
    parameters = resolve_parameters(pipeline, given)
    depth = int((state.queued.parent or {}).get("depth", 0) if state.queued else 0) + 1
    if depth > NESTED_RUNS:
        raise ActivityError(f"Pipelines call each other more than {NESTED_RUNS} deep.", code="LimitExceeded")
    wait = is_true(properties.get("waitOnCompletion"))
    run_id = str(uuid5(UUID(state.run_id), f"{path}#child"))
    shown = {"pipeline": reference, "parameters": given, "waitOnCompletion": wait}
    turn.started(path, shown, data={"childRunId": run_id, "wait": wait})
    output = {"pipelineName": pipeline.name, "pipelineRunId": run_id}
    turn.commands.append(StartChildRun(path, run_id, pipeline.name, parameters, depth, wait, reused_child(state, path)))
    if wait:
        turn.emit(ev.ActivityProgress(at=turn.at, path=path, output=output))
    else:
        turn.ended(path, "Succeeded", output=output)


def step(turn: Turn, path: str) -> None:
    """The end comes as a report about the child run."""
