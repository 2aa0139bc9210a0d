"""Making and cancelling runs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import uuid4

from kyanite.definitions.load import to_snapshot
from kyanite.definitions.model import Factory, Pipeline
from kyanite.engine import events as ev
from kyanite.engine.commands import StartChildRun
from kyanite.engine.parameters import resolve_parameters
from kyanite.engine.state import FINAL, RunState
from kyanite.errors import ConflictError, NotFoundError, VersionConflict
from kyanite.runs.store import RunHeader, RunStore
from kyanite.runtime.check import refuse_broken
from kyanite.runtime.clock import utc_now
from kyanite.runtime.secret_values import factory_secrets, parameter_secrets
from kyanite.runtime.workspace import Workspace
from kyanite.secrets import MASK

Json = Any
_CANCEL_TRIES = 20


def start_run(
    workspace: Workspace,
    factory: Factory,
    pipeline: str,
    parameters: Mapping[str, Json] | None = None,
    *,
    invoked_by: Mapping[str, Json] | None = None,
) -> str:
    """Make a run of a pipeline and give its id; a `Worker` advances it.

    The definitions are kept with the run, so later edits do not touch it. Raises NotFoundError, ParameterError, and
    DefinitionError when what the pipeline uses is broken.
    """
    definition = factory.pipelines[pipeline]
    refuse_broken(factory, definition)
    resolved = resolve_parameters(definition, parameters or {})
    run_id = str(uuid4())
    secrets = {**factory_secrets(factory), **parameter_secrets(definition, resolved)}
    workspace.vault.register(secrets)
    by = {"id": run_id, "name": "Manual", "invokedByType": "Manual", **(invoked_by or {})}
    snapshot = workspace.store.put_snapshot(to_snapshot(factory))
    create_run(workspace.store, run_id, factory.name, definition, resolved, snapshot, by, utc_now())
    return run_id


def create_child(store: RunStore, parent: RunState, command: StartChildRun, now: datetime) -> None:
    """Make the run that an ExecutePipeline asked for, with its parent's definitions; nothing when it exists."""
    queued = parent.queued
    assert queued is not None  # noqa: S101 - a run that starts children was queued
    by = {
        "id": parent.run_id,
        "name": parent.pipeline.name,
        "invokedByType": "PipelineActivity",
        "pipelineName": parent.pipeline.name,
        "pipelineRunId": parent.run_id,
    }
    link = {
        "runId": parent.run_id,
        "pipeline": parent.pipeline.name,
        "path": command.path,
        "depth": command.depth,
        "wait": command.wait,
    }
    definition = parent.factory.pipelines[command.pipeline]
    create_run(
        store,
        command.run_id,
        queued.factory,
        definition,
        command.parameters,
        queued.snapshot,
        by,
        now,
        parent=link,
        rerun=command.rerun,
    )


def create_run(
    store: RunStore,
    run_id: str,
    factory: str,
    pipeline: Pipeline,
    parameters: Mapping[str, Json],
    snapshot: str,
    invoked_by: Mapping[str, Json],
    now: datetime,
    *,
    parent: Mapping[str, Json] | None = None,
    group_id: str | None = None,
    rerun: Mapping[str, Json] | None = None,
) -> None:
    """Write the first event of a run; nothing when the run exists. A run without a group founds its own."""
    queued = ev.RunQueued(
        at=ev.utc_text(now),
        factory=factory,
        pipeline=pipeline.name,
        parameters=parameters,
        snapshot=snapshot,
        invoked_by=invoked_by,
        group_id=group_id or run_id,
        parent=parent,
        rerun=rerun,
    )
    header = RunHeader(
        factory=factory,
        pipeline=pipeline.name,
        parameters=_shown(pipeline, parameters),
        snapshot=snapshot,
        invoked_by=invoked_by,
        group_id=group_id or run_id,
        parent_run_id=str(parent["runId"]) if parent else None,
        annotations=pipeline.properties.get("annotations") or (),
        run_dimensions=pipeline.properties.get("runDimensions") or {},
    )
    store.create(run_id, header, [ev.to_wire(queued)])


def _shown(pipeline: Pipeline, parameters: Mapping[str, Json]) -> dict[str, Json]:
    """Parameters for lists: a SecureString is hidden even when it is too short for the vault to know it."""
    declared = pipeline.parameters
    return {name: MASK if name in declared and declared[name].secure else value for name, value in parameters.items()}


def cancel_run(workspace: Workspace, run_id: str, *, recursive: bool = True, by: str = "") -> None:
    """Ask for a run to be cancelled; whoever advances it does so within a second.

    A run that nobody advances stays `Canceling` until a worker takes it up. Raises NotFoundError, ConflictError when
    the run is over.
    """
    for _ in range(_CANCEL_TRIES):
        summary = workspace.store.summary(run_id)
        if summary is None:
            raise NotFoundError(f"There is no run {run_id}.", cure="`kyanite runs list` shows the runs.")
        if summary.status in FINAL:
            raise ConflictError(f"Run {run_id} is over already: {summary.status}.")
        event = ev.CancelRequested(at=ev.utc_text(utc_now()), recursive=recursive, by=by)
        try:
            workspace.store.append(run_id, summary.version, [ev.to_wire(event)])
        except VersionConflict:
            continue
        return
    raise ConflictError(f"Run {run_id} moves too fast to be cancelled.", cure="Try again.")
