"""Runs of live factories: all that can fail and all that is slow first, then one short write."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import uuid4

from kyanite.definitions.load import to_snapshot
from kyanite.definitions.model import Pipeline
from kyanite.engine.parameters import resolve_parameters
from kyanite.runtime.check import refuse_broken
from kyanite.runtime.factory_shelf import LiveFactory
from kyanite.runtime.secret_values import factory_secrets, parameter_secrets
from kyanite.runtime.start import create_run
from kyanite.runtime.workspace import Workspace

Json = Any
_SNAPSHOT_SECONDS = 1800.0  # the store keeps one that no run uses for an hour


@dataclass(frozen=True)
class PreparedRun:
    """A run that nothing stands in the way of."""

    run_id: str
    factory: str
    pipeline: Pipeline
    parameters: Mapping[str, Json] = field(repr=False)
    snapshot: str
    invoked_by: Mapping[str, Json]


def prepare_run(
    workspace: Workspace,
    live: LiveFactory,
    pipeline: str,
    parameters: Mapping[str, Json],
    *,
    invoked_by: Mapping[str, Json] | None = None,
) -> PreparedRun:
    """Check definitions and parameters, and keep the definitions; what was checked once is not checked again.

    Raises NotFoundError, ParameterError, and DefinitionError when what the pipeline uses is broken.
    """
    definition = live.factory.pipelines[pipeline]
    if f"checked/{definition.name}" not in live.remembered:
        refuse_broken(live.factory, definition)
        live.remembered[f"checked/{definition.name}"] = True
    resolved = resolve_parameters(definition, parameters)
    workspace.vault.register(parameter_secrets(definition, resolved))
    run_id = str(uuid4())
    by = {"id": run_id, "name": "Manual", "invokedByType": "Manual", **(invoked_by or {})}
    return PreparedRun(run_id, live.factory.name, definition, resolved, _snapshot(workspace, live), by)


def create_prepared(workspace: Workspace, prepared: PreparedRun, now: datetime) -> str:
    """Write a prepared run; its id."""
    create_run(
        workspace.store,
        prepared.run_id,
        prepared.factory,
        prepared.pipeline,
        prepared.parameters,
        prepared.snapshot,
        prepared.invoked_by,
        now,
    )
    return prepared.run_id


def _snapshot(workspace: Workspace, live: LiveFactory) -> str:
    """The hash of these definitions in the store, asked for again before the store could forget them."""
    known: tuple[str, float] | None = live.remembered.get("snapshot")
    if known is not None and time.monotonic() - known[1] < _SNAPSHOT_SECONDS:
        return known[0]
    workspace.vault.register(factory_secrets(live.factory))
    digest = workspace.store.put_snapshot(to_snapshot(live.factory))
    live.remembered["snapshot"] = (digest, time.monotonic())
    return digest
