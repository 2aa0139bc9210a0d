"""Making the pipeline runs of a trigger: prepared first, then claimed and created in one transaction.

Ids follow from the trigger and the fire time, window or event, so whoever is killed in between and begins again, and
whoever else works on the same workspace, makes nothing twice.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from kyanite.definitions.load import to_snapshot
from kyanite.definitions.model import Factory, Pipeline, Resource
from kyanite.engine.parameters import resolve_parameters
from kyanite.engine.triggers import type_of
from kyanite.engine.triggers.starts import PipelineStart, evaluate_parameters, starts_of
from kyanite.engine.triggers.values import precise_time
from kyanite.errors import KyaniteError
from kyanite.expressions import Scope
from kyanite.runtime.check import refuse_broken
from kyanite.runtime.secret_values import parameter_secrets
from kyanite.runtime.start import create_run
from kyanite.runtime.triggers_store import FAILED, SUCCEEDED, TriggerKey, TriggerRun, TriggerStore
from kyanite.runtime.workspace import Workspace

Json = Any
Log = Callable[[str], None]

_NAMESPACE = UUID("5b0f6c0e-2f53-4a0e-9d0f-6b1d5d3a7c11")
_NOT_BEHAVIOUR = ("annotations", "description", "runtimeState")


@dataclass
class Site:
    """A factory as it is deployed, with the workspace it runs in; `checked` are pipelines found to be sound."""

    workspace: Workspace
    store: TriggerStore
    factory: Factory
    log: Log = lambda text: None
    checked: set[str] = field(default_factory=set)

    def key(self, trigger: Resource) -> TriggerKey:
        """The trigger's key."""
        return TriggerKey.of(self.factory.name, trigger.name)


@dataclass(frozen=True)
class PreparedRun:
    """A pipeline run that can be created without anything going wrong; `key` is its name among the trigger's runs."""

    key: str
    run_id: str
    pipeline: Pipeline
    parameters: Mapping[str, Json] = field(repr=False)
    snapshot: str


def definition_hash(workspace: Workspace, trigger: Resource) -> str:
    """A keyed hash of what a trigger does: it changes with the definition and tells nothing of secrets in it."""
    kept = {name: value for name, value in trigger.properties.items() if name not in _NOT_BEHAVIOUR}
    key = workspace.vault.get_or_create("triggers/definition-hash")
    return hmac.new(key.encode(), json.dumps(kept, sort_keys=True).encode(), hashlib.sha256).hexdigest()


def trigger_run_id(key: TriggerKey, what: str) -> str:
    """The id of the trigger run for a fire time, a window or an event."""
    return str(uuid5(_NAMESPACE, f"{key.factory}/{key.name}/{what}"))


def prepare(site: Site, start: PipelineStart, given: Scope | Mapping[str, Json], run_id: str) -> PreparedRun:
    """Everything about a run that can fail; `given` is the scope of the trigger, or parameters that are evaluated.

    Raises NotFoundError, ExpressionError, ParameterError, DefinitionError.
    """
    pipeline = site.factory.pipelines[start.pipeline]
    if pipeline.name not in site.checked:
        refuse_broken(site.factory, pipeline)
        site.checked.add(pipeline.name)
    values = evaluate_parameters(start, given) if isinstance(given, Scope) else given
    resolved = resolve_parameters(pipeline, values)
    secrets = parameter_secrets(pipeline, resolved)
    if secrets:
        site.workspace.vault.register(secrets)
    snapshot = site.workspace.store.put_snapshot(to_snapshot(site.factory))
    return PreparedRun(start.key, run_id, pipeline, resolved, snapshot)


def create(site: Site, trigger: Resource, prepared: PreparedRun, by: str, now: datetime) -> None:
    """Create a prepared run for the trigger run `by`; nothing when it exists. Inside the transaction that claims."""
    invoked_by = {"id": by, "name": trigger.name, "invokedByType": type_of(trigger), "time": precise_time(now)}
    create_run(
        site.workspace.store,
        prepared.run_id,
        site.factory.name,
        prepared.pipeline,
        prepared.parameters,
        prepared.snapshot,
        invoked_by,
        now,
    )


def fire(
    site: Site,
    trigger: Resource,
    what: str,
    scope: Scope,
    properties: Mapping[str, Json],
    now: datetime,
    *,
    claim: Callable[[], bool] = lambda: True,
) -> list[str]:
    """Fire a trigger once for `what` (a fire time, a blob and its event): trigger run and pipeline runs in one commit.

    Gives the ids of the pipeline runs; none when `claim`, asked inside the transaction, says no or it was done before.
    A pipeline that cannot run makes the trigger run Failed and does not disturb the others.
    """
    key = site.key(trigger)
    by = trigger_run_id(key, what)
    if site.store.run(by) is not None:
        claim()
        return []
    prepared, problems = _prepare_all(site, trigger, scope, by)
    run = TriggerRun(
        trigger_run_id=by,
        key=key,
        name=trigger.name,
        type=type_of(trigger),
        fired_at=now,
        updated_at=now,
        status=FAILED if problems else SUCCEEDED,
        message="\n".join(problems),
        properties=properties,
        pipelines={item.key: item.run_id for item in prepared},
    )
    with site.workspace.database.transaction():
        if not claim() or not site.store.insert(run):
            return []
        for item in prepared:
            create(site, trigger, item, by, now)
    site.log(f"trigger {trigger.name} fired for {what}: {', '.join(item.run_id for item in prepared) or 'no run'}")
    for problem in problems:
        site.log(f"trigger {trigger.name}: {problem}")
    return [item.run_id for item in prepared]


def _prepare_all(site: Site, trigger: Resource, scope: Scope, by: str) -> tuple[Sequence[PreparedRun], list[str]]:
    prepared: list[PreparedRun] = []
    problems: list[str] = []
    try:
        starts = starts_of(trigger)
    except KyaniteError as error:
        return [], [str(error)]
    for start in starts:
        try:
            prepared.append(prepare(site, start, scope, str(uuid5(UUID(by), start.key))))
        except KyaniteError as error:
            problems.append(f"Pipeline '{start.pipeline}' was not started: {error}")
    return prepared, problems
