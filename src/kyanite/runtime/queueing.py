"""A pipeline's `concurrency`: how many of its runs may be in progress at once; the others stay `Queued`, oldest first.

As in the service a run that hangs `InProgress` holds its place until somebody cancels or resumes it. A queued run whose
process has gone does not stand in the way of the others.
"""

from __future__ import annotations

from kyanite.engine.state import RunState
from kyanite.runs.store import RunQuery, RunStore, RunSummary

_QUEUE_LOOK = 1000


def limited(state: RunState) -> bool:
    """Whether a run waits in a queue that has a limit."""
    return state.status == "Queued" and state.pipeline.concurrency is not None


def may_start(store: RunStore, state: RunState) -> bool:
    """Whether there is a place for a queued run now. Ask again inside the transaction that starts it."""
    limit = state.pipeline.concurrency
    if limit is None or state.queued is None:
        return True
    factory, pipeline = state.queued.factory, state.pipeline.name
    active = RunQuery(status=("InProgress", "Canceling"), factory=factory, pipeline=pipeline, limit=limit)
    free = limit - len(store.runs(active))
    if free <= 0:
        return False
    queued = store.runs(RunQuery(status="Queued", factory=factory, pipeline=pipeline, limit=_QUEUE_LOOK))
    waiting = [run for run in queued if run.run_id == state.run_id or _attended(run)]
    oldest_first = sorted(waiting, key=lambda run: run.number)[:free]
    return any(run.run_id == state.run_id for run in oldest_first)


def _attended(run: RunSummary) -> bool:
    return run.owner is not None and run.owner.alive()
