"""From a run's log to its state."""

from __future__ import annotations

from kyanite.definitions.load import from_snapshot
from kyanite.engine import events as ev
from kyanite.engine.state import RunState
from kyanite.errors import NotFoundError
from kyanite.runs.store import RunStore


def fold(store: RunStore, run_id: str) -> tuple[RunState, int]:
    """The state of a run and its version; NotFoundError for an unknown run."""
    stored = store.read(run_id)
    if not stored:
        raise NotFoundError(f"There is no run {run_id}.")
    events = [ev.from_wire(item.kind, item.at, item.body) for item in stored]
    queued = events[0]
    assert isinstance(queued, ev.RunQueued)  # noqa: S101 - `create` writes it first
    factory = from_snapshot(store.snapshot(queued.snapshot))
    state = RunState(run_id, factory, factory.pipelines[queued.pipeline]).replay(events)
    return state, stored[-1].seq
