"""The rules both stores share, free of I/O: what events change in a run's row, who may append, who may claim."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from kyanite.errors import ConflictError, InvariantError, KyaniteError, LeaseLost, NotFoundError, VersionConflict
from kyanite.runs.owner import Owner
from kyanite.runs.store import Event, Lease

OUTSIDE_EVENTS = frozenset({"CancelRequested"})
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)


@dataclass(frozen=True)
class RunState:
    """The part of a run's row that events change; `message` is real text here, the stores seal it."""

    status: str = "Queued"
    version: int = 0
    queued_at: str = ""
    started_at: str | None = None
    ended_at: str | None = None
    updated_at: str = ""
    message: str = ""


@dataclass(frozen=True)
class Holder:
    """The lease as the store remembers it: nobody holds the run when `owner` is None."""

    token: int = 0
    owner: Owner | None = None
    until: float = 0.0


def fold(state: RunState, events: Iterable[Event]) -> RunState:
    """The state after some more events. `updated_at` never goes back, even when the clock did."""
    for event in events:
        at = _time_of(event)
        state = replace(state, version=state.version + 1, updated_at=max(state.updated_at, at))
        match event["kind"]:
            case "RunQueued":
                state = replace(state, status="Queued", queued_at=at)
            case "RunStarted":
                state = replace(state, status="InProgress", started_at=state.started_at or at)
            case "CancelRequested" if state.ended_at is None:
                state = replace(state, status="Canceling")
            case "RunEnded":
                state = replace(state, status=event["status"], ended_at=at, message=event.get("message") or "")
    return state


def first_state(run_id: str, events: Sequence[Event]) -> RunState:
    """The state of a new run from its first events, the first of which must be `RunQueued`."""
    if not events or events[0]["kind"] != "RunQueued":
        raise InvariantError("A run begins with the event RunQueued.", where=f"run {run_id}")
    return fold(RunState(), events)


def refusal(
    run_id: str,
    state: RunState | None,
    holder: Holder,
    expected_version: int,
    events: Sequence[Event],
    lease: Lease | None,
) -> KyaniteError | None:
    """Why an append may not happen, or None. A lost lease is told before a moved version: it cannot be mended."""
    where = f"run {run_id}"
    if state is None:
        return NotFoundError("There is no such run.", where=where)
    if lease is None:
        inside = sorted({str(event["kind"]) for event in events} - OUTSIDE_EVENTS)
        if inside:
            return InvariantError(f"Only the owner of a run may append {', '.join(inside)}.", where=where)
    elif not holds(holder, lease) or lease.run_id != run_id:
        return LeaseLost("Another process advances this run now.", where=where)
    if state.version != expected_version:
        message = f"The run moved on: it has {state.version} events, {expected_version} were expected."
        return VersionConflict(message, where=where, cure="Read it again and decide again.")
    if state.ended_at is not None and events:
        return ConflictError(f"The run has ended already ({state.status}).", where=where)
    return None


def holds(holder: Holder, lease: Lease) -> bool:
    """Whether a lease is still the valid one of its run."""
    return holder.owner is not None and holder.token == lease.token


def may_claim(state: RunState, holder: Holder, now: datetime) -> bool:
    """A run may be claimed when nobody holds it, when its owner is known to be dead, or when the lease ran out."""
    if state.ended_at is not None:
        return False
    return holder.owner is None or now.timestamp() >= holder.until or not holder.owner.alive()


def _time_of(event: Event) -> str:
    at = event.get("at")
    if not isinstance(at, str) or not _TIME.fullmatch(at):
        raise InvariantError(f"The time {at!r} of an event {event.get('kind')} is not UTC ISO text with six digits.")
    return at
