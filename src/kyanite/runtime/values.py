"""What an expression saw at a moment of a real run, secrets masked: to evaluate others against it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from kyanite.engine import events as ev
from kyanite.engine.state import ROOT, RunState
from kyanite.engine.turn import Turn
from kyanite.errors import ConflictError, NotFoundError
from kyanite.expressions import MISSING, Scope
from kyanite.runtime.past import run_log
from kyanite.runtime.workspace import Workspace
from kyanite.secrets import Vault

Json = Any
HIDDEN = "***"
NAMES_SHOWN = 12


@dataclass(frozen=True)
class Moment:
    """A moment of a run: what could be seen, when, and which activity (a path) was about to be decided, if any."""

    scope: Scope
    at: str
    path: str | None


def moment_of(workspace: Workspace, run_id: str, activity: str | None = None, iteration: int | None = None) -> Moment:
    """What `activity` (a name, or a path such as `Loop/3/Inner`) saw when it started, or the run sees now.

    `iteration` tells which one of a loop; the first attempt counts. `utcNow()` gives that time. Known secrets and what
    secure inputs and outputs hold read `***`. Raises NotFoundError, ConflictError when the name stands for several or
    the run has not begun.
    """
    factory, log = run_log(workspace.store, run_id, masked=False)
    queued = log[0]
    assert isinstance(queued, ev.RunQueued)  # noqa: S101 - `create` writes it first
    path = _path(log, run_id, activity, iteration) if activity is not None else None
    end = next((number for number, event in enumerate(log) if path is not None and _path_of(event) == path), len(log))
    before = log[:end]
    state = RunState(run_id, factory, factory.pipelines[queued.pipeline]).replay(before)
    if ROOT not in state.scopes:
        raise ConflictError(f"Run {run_id} has not begun: it is {state.status}.")
    at = log[end].at if path is not None else log[-1].at
    scope = Turn(state, ev.utc_time(at), lambda: ev.utc_time(at), uuid4).scope(
        path.rpartition("/")[0] if path else ROOT
    )
    return Moment(_masked(workspace.vault, scope, state, before), at, path)


def _path_of(event: ev.Event) -> str | None:
    match event:
        case ev.ActivityStarted() | ev.ActivityEnded() | ev.ActivityReused():
            return event.path
        case ev.ActivitySkipped() | ev.ActivityInactive():
            return event.path
        case _:
            return None


def _path(log: Iterable[ev.Event], run_id: str, activity: str, iteration: int | None) -> str:
    known = dict.fromkeys(path for event in log if (path := _path_of(event)) is not None)
    wanted = activity.strip("/").casefold()
    found = [path for path in known if wanted in (path.casefold(), path.rpartition("/")[2].casefold())]
    if iteration is not None:
        found = [path for path in found if _iteration(path) == iteration]
    if len(found) == 1:
        return found[0]
    which = f"'{activity}'" + (f" in iteration {iteration}" if iteration is not None else "")
    if not found:
        raise NotFoundError(f"Nothing is known of {which} in run {run_id}.", cure=f"Known are: {_listed(list(known))}.")
    raise ConflictError(
        f"{which} stands for {len(found)} activities of run {run_id}: {_listed(found)}.",
        cure="Give the whole path, or --iteration.",
    )


def _iteration(path: str) -> int | None:
    numbers = [int(part) for part in path.split("/")[:-1] if part.isdecimal()]
    return numbers[-1] if numbers else None


def _listed(paths: Sequence[str]) -> str:
    return ", ".join(paths[:NAMES_SHOWN]) + (", ..." if len(paths) > NAMES_SHOWN else "")


def _masked(vault: Vault, scope: Scope, state: RunState, log: Iterable[ev.Event]) -> Scope:
    secure, variables = _secure(log)
    declared = state.pipeline.parameters
    results = {
        name: _without_output(result) if result["ActivityRunId"] in secure else result
        for name, result in scope.activities.items()
    }
    return replace(
        scope,
        parameters={
            name: HIDDEN if name in declared and declared[name].secure else vault.mask_json(value)
            for name, value in scope.parameters.items()
        },
        global_parameters=vault.mask_json(dict(scope.global_parameters)),
        variables={
            name: HIDDEN if name in variables else vault.mask_json(value) for name, value in scope.variables.items()
        },
        activities=vault.mask_json(results),
        item=vault.mask_json(scope.item) if scope.item is not MISSING else MISSING,
    )


def _without_output(result: Mapping[str, Json]) -> dict[str, Json]:
    return {**result, "output": HIDDEN}


def _secure(log: Iterable[ev.Event]) -> tuple[set[str], set[str]]:
    """The runs of activities whose output is secure, and the variables that a secure SetVariable gave their value."""
    outputs: set[str] = set()
    variables: set[str] = set()
    secret = False
    for event in log:
        match event:
            case ev.ActivityStarted():
                secret = event.secure_input or event.secure_output
                if event.secure_output:
                    outputs.add(event.activity_run_id)
            case ev.ActivityReused() if event.secure_output:
                outputs.add(event.activity_run_id)
            case ev.VariableSet():
                (variables.add if secret else variables.discard)(event.name)
            case ev.VariableAppended() if secret:
                variables.add(event.name)
    return outputs, variables
