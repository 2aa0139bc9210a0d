"""Running a pipeline again: whole, from what failed, from an activity, or only the failed iterations of a loop."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any
from uuid import uuid4

from kyanite.definitions.load import to_snapshot
from kyanite.definitions.model import Factory, Pipeline
from kyanite.engine.parameters import resolve_parameters
from kyanite.engine.record import RunRecord
from kyanite.engine.rerun import RerunPlanner
from kyanite.engine.rerun_points import anything_failed, failed_loops, start_point
from kyanite.engine.state import FINAL
from kyanite.errors import ConflictError, NotFoundError, ParameterError
from kyanite.runs.store import RunSummary
from kyanite.runtime.check import refuse_broken
from kyanite.runtime.clock import utc_now
from kyanite.runtime.past import past_run
from kyanite.runtime.secret_values import factory_secrets, parameter_secrets
from kyanite.runtime.start import create_run
from kyanite.runtime.workspace import Workspace

Json = Any


class RerunMode(StrEnum):
    """How much of a run is executed again."""

    WHOLE = "whole"
    FROM_FAILURE = "fromFailure"
    FROM_ACTIVITY = "fromActivity"
    FAILED_ITERATIONS = "failedIterations"


def rerun(
    workspace: Workspace,
    run_id: str,
    *,
    mode: RerunMode = RerunMode.WHOLE,
    parameters: Mapping[str, Json] | None = None,
    from_activity: str | None = None,
    iterations: str | None = None,
    latest_definitions: bool = False,
    invoked_by: Mapping[str, Json] | None = None,
) -> str:
    """Make a run that runs an earlier one again and give its id; a `Worker` advances it.

    With the definitions of the earlier run unless `latest_definitions`. `parameters` (over the earlier ones) make it
    an unrelated run, otherwise it joins the earlier one's group. `from_activity` belongs to FROM_ACTIVITY,
    `iterations` (a ForEach, None for all) to FAILED_ITERATIONS. What is reused is fixed here, in the new run's first
    event. Raises NotFoundError, ConflictError when the earlier run is not over or has nothing of the kind,
    ParameterError, DefinitionError.
    """
    factory, record = past_run(workspace.store, run_id, masked=False)
    summary = workspace.store.summary(run_id)
    if summary is None:
        raise NotFoundError(f"There is no run {run_id}.", cure="`kyanite runs list` shows the runs.")
    _refuse(summary, mode, new_parameters=bool(parameters))
    queued = record.queued
    snapshot = queued.snapshot
    if latest_definitions:
        factory = workspace.factory(queued.factory)
    pipeline = factory.pipelines[queued.pipeline]
    values = queued.parameters
    if parameters or latest_definitions:
        values = resolve_parameters(pipeline, _over(queued.parameters, parameters or {}))
    plan = _plan(workspace, factory, pipeline, record, mode, from_activity, iterations)
    new_id = str(uuid4())
    workspace.vault.register(parameter_secrets(pipeline, values))
    if latest_definitions:
        refuse_broken(factory, pipeline)
        workspace.vault.register(factory_secrets(factory))
        snapshot = workspace.store.put_snapshot(to_snapshot(factory))
    create_run(
        workspace.store,
        new_id,
        factory.name,
        pipeline,
        values,
        snapshot,
        {"id": new_id, "name": "Manual", "invokedByType": "Manual", **(invoked_by or {})},
        utc_now(),
        group_id=None if parameters else summary.group_id,
        rerun=None if parameters else {"mode": mode.value, **plan},
    )
    return new_id


def _refuse(summary: RunSummary, mode: RerunMode, *, new_parameters: bool) -> None:
    if new_parameters and mode is not RerunMode.WHOLE:
        raise ParameterError(
            "A run with new parameters runs whole: what was done with the old ones does not stand for it.",
            cure="Leave out the parameters, or the point to begin from.",
        )
    if summary.status not in FINAL and not new_parameters:
        raise ConflictError(
            f"Run {summary.run_id} is not over: it is {summary.status}.", cure="Wait for its end, or cancel it."
        )


def _plan(
    workspace: Workspace,
    factory: Factory,
    pipeline: Pipeline,
    record: RunRecord,
    mode: RerunMode,
    from_activity: str | None,
    iterations: str | None,
) -> dict[str, Json]:
    def child_of(run_id: str) -> RunRecord | None:
        summary = workspace.store.summary(run_id)
        over = summary is not None and summary.status in FINAL
        return past_run(workspace.store, run_id, masked=False)[1] if over else None

    planner = RerunPlanner(factory, child_of)
    match mode:
        case RerunMode.WHOLE:
            return {"fromRun": record.run_id}
        case RerunMode.FROM_ACTIVITY:
            activity = start_point(record, pipeline, from_activity or "")
            return {"activity": activity, **planner.plan(record, pipeline, activity=activity)}
        case RerunMode.FAILED_ITERATIONS:
            return planner.plan(record, pipeline, loops=failed_loops(record, iterations))
        case RerunMode.FROM_FAILURE:
            if not anything_failed(record):
                raise ConflictError(
                    f"Nothing failed in run {record.run_id}.", cure="Run it whole, or begin from an activity: --from."
                )
            return planner.plan(record, pipeline)


def _over(old: Mapping[str, Json], new: Mapping[str, Json]) -> dict[str, Json]:
    """The earlier parameters with new values; names match in any case."""
    changed = {name.casefold() for name in new}
    return {**{name: value for name, value in old.items() if name.casefold() not in changed}, **new}
