"""The only scheduler of activities: from a run's state and the runtime's reports to new events and commands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from kyanite.engine import events as ev
from kyanite.engine.commands import Command
from kyanite.engine.execution import drain, handle_report, restart, start_activity, stop, stop_child
from kyanite.engine.reports import Report
from kyanite.engine.reuse import reused_outcome
from kyanite.engine.scopes import deciding_failure, may_run
from kyanite.engine.state import ELAPSED, ROOT, Phase, RunState
from kyanite.engine.turn import Turn
from kyanite.limits import DECISION_EVENTS


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome of one `decide`: append `events` in one transaction, then carry out `commands`.

    `more` says that the event budget was used up: decide again after the append.
    """

    events: tuple[ev.Event, ...]
    commands: tuple[Command, ...]
    more: bool


def decide(
    state: RunState,
    reports: Sequence[Report] = (),
    *,
    now: datetime,
    clock: Callable[[], datetime],
    new_guid: Callable[[], UUID],
    budget: int = DECISION_EVENTS,
) -> Decision:
    """Fold the reports in and decide all that follows from them.

    The events are folded into `state` already; when appending them fails, drop the state and fold the log again.
    `now` stamps the events, `clock` and `new_guid` serve `utcNow()` and `guid()`. O(events), not O(activities).
    """
    turn = Turn(state, now, clock, new_guid)
    if state.status == "Queued":
        turn.emit(ev.RunStarted(at=turn.at))
    for report in reports:
        handle_report(turn, report)
    _timers(turn)
    drain(turn)
    if state.status == "Canceling":
        _cancel(turn)
    while state.agenda and not state.over and state.status != "Canceling" and len(turn.events) < budget:
        kind, key = next(iter(state.agenda))
        if kind == "start":
            _consider(turn, key)
        else:
            _close(turn, key)
    more = bool(state.agenda) and not state.over and state.status != "Canceling"
    if state.status == "InProgress" and not state.active and not more:
        _deadlock(turn)
    return Decision(tuple(turn.events), tuple(turn.commands), more)


def _consider(turn: Turn, path: str) -> None:
    activity = turn.state.activities[path]
    scope = turn.state.scopes[activity.scope]
    definition = activity.definition
    if not may_run(definition, scope.status_of):
        turn.emit(ev.ActivitySkipped(at=turn.at, path=path, type=definition.type))
    elif definition.state.casefold() == "inactive":
        marked = (definition.on_inactive_mark_as or "Succeeded").capitalize()
        turn.emit(ev.ActivityInactive(at=turn.at, path=path, type=definition.type, marked_as=marked))
    elif (past := reused_outcome(turn.state, path)) is not None:
        turn.reused(path, past)
    else:
        start_activity(turn, path)


def _close(turn: Turn, path: str) -> None:
    """All activities of a scope are over: the leaf rule gives its status, then its owner goes on."""
    state = turn.state
    scope = state.scopes[path]
    failed = deciding_failure(scope.plan, scope.status_of)
    message = ""
    if failed is not None:
        error = state.activities[f"{path}/{failed}" if path else failed].error or {}
        message = str(error.get("message") or f"It ended as {scope.status_of(failed)}.")
    if path == ROOT:
        status = "Succeeded" if failed is None else "Failed"
        text = f"Operation on target {failed} failed: {message}" if failed else ""
        turn.emit(ev.RunEnded(at=turn.at, status=status, message=text))
        return
    assert scope.parent is not None  # noqa: S101 - only the root has none, and it returned above
    turn.emit(
        ev.ScopeClosed(
            at=turn.at,
            scope=path,
            status="Succeeded" if failed is None else "Failed",
            result=turn.closing(scope.parent, path),
            failed_activity=failed,
            message=message or None,
        )
    )
    turn.step(scope.parent)


def _timers(turn: Turn) -> None:
    due = sorted(turn.state.due_timers(turn.at), key=lambda timer: -timer[2].count("/"))  # inner before outer
    for _, kind, path in due:
        if kind == ELAPSED:
            turn.emit(ev.ElapsedTimeExceeded(at=turn.at, seconds=turn.state.pipeline.elapsed_time_seconds or 0))
            continue
        activity = turn.state.activities.get(path)
        if activity is None:  # dropped with its container by an earlier timer
            continue
        if kind == "due" and activity.phase is Phase.RETRYING:
            if turn.state.status == "InProgress" and not turn.state.scopes[activity.scope].draining:
                restart(turn, path)
        elif kind == "due":
            turn.step(path)
        elif kind.startswith("timeout"):
            stop(turn, path, "Timeout")
        else:
            _give_up(turn, path)


def _give_up(turn: Turn, path: str) -> None:
    """What was told to stop has not ended in time; a container ends when nothing inside it is left."""
    if turn.state.activities[path].scopes_opened:
        drain(turn)
    else:
        turn.end_stopped(path)


def _cancel(turn: Turn) -> None:
    """Stop what runs; when nothing runs any more, end what waits and then the run."""
    state = turn.state
    for path in list(state.active):
        activity = state.activities[path]
        if activity.phase is Phase.RETRYING:
            turn.ended(path, "Cancelled", error=turn.cancelled_error(path))
        elif activity.phase is Phase.RUNNING and activity.data.get("execution"):
            stop(turn, path, "Cancel")
        elif activity.phase is Phase.RUNNING and state.cancel and state.cancel.recursive:
            stop_child(turn, path)
    if any(state.activities[path].phase is Phase.STOPPING for path in state.active):
        return
    for path in sorted(state.active, key=lambda path: -path.count("/")):
        turn.ended(path, "Cancelled", error=turn.cancelled_error(path))
    by = f" by {state.cancel.by}" if state.cancel and state.cancel.by else ""
    turn.emit(ev.RunEnded(at=turn.at, status="Cancelled", message=f"The run was cancelled{by}."))


def _deadlock(turn: Turn) -> None:
    waiting = [name for scope in turn.state.scopes.values() for name in scope.waiting if name not in scope.statuses]
    names = ", ".join(f"'{name}'" for name in waiting)
    turn.emit(
        ev.RunEnded(
            at=turn.at,
            status="Failed",
            message=f"Activities {names} wait for each other or for an activity that does not exist.",
        )
    )
