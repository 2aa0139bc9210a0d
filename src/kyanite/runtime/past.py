"""Runs that have been: their logs as records, with real values for work or masked for people."""

from __future__ import annotations

from kyanite.definitions.load import from_snapshot
from kyanite.definitions.model import Factory
from kyanite.engine import events as ev
from kyanite.engine.record import RunRecord, run_record
from kyanite.errors import NotFoundError
from kyanite.runs.store import RunStore


def run_log(store: RunStore, run_id: str, *, masked: bool) -> tuple[Factory, list[ev.Event]]:
    """The definitions and events of a run; NotFoundError for an unknown one."""
    stored = store.history(run_id) if masked else store.read(run_id)
    if not stored:
        raise NotFoundError(f"There is no run {run_id}.", cure="`kyanite runs list` shows the runs.")
    factory = from_snapshot(store.snapshot(stored[0].body["snapshot"]))
    return factory, [ev.from_wire(item.kind, item.at, item.body) for item in stored]


def past_run(store: RunStore, run_id: str, *, masked: bool) -> tuple[Factory, RunRecord]:
    """The definitions and the record of a run; NotFoundError for an unknown one."""
    factory, events = run_log(store, run_id, masked=masked)
    assert isinstance(events[0], ev.RunQueued)  # noqa: S101 - `create` writes it first
    return factory, run_record(run_id, factory.pipelines[events[0].pipeline], events)
