"""What is true of every run state, whatever happened; tests check it after every decision."""

from __future__ import annotations

from collections.abc import Iterator

from kyanite.engine.state import ROOT, Phase, RunState, join
from kyanite.errors import InvariantError


def check_invariants(state: RunState) -> None:
    """Raise InvariantError naming every rule that a state breaks."""
    broken = list(violations(state))
    if broken:
        raise InvariantError(f"Run {state.run_id}: {'; '.join(broken)}.")


def violations(state: RunState) -> Iterator[str]:
    """The broken rules, in words."""
    yield from _activities(state)
    yield from _scopes(state)
    if state.over and (state.active or state.agenda):
        yield "the run is over but something is active or to be decided"
    if state.status == "InProgress" and not state.active and not state.agenda:
        yield "the run is in progress but nothing can happen any more"
    if not state.over and state.status != "Queued" and ROOT not in state.scopes:
        yield "the run is in progress without its outermost scope"


def _activities(state: RunState) -> Iterator[str]:
    for path, activity in state.activities.items():
        running = activity.phase in (Phase.RUNNING, Phase.STOPPING, Phase.RETRYING)
        if running != (path in state.active):
            yield f"'{path}' is {activity.phase} but its place among the active ones says otherwise"
        if activity.scope not in state.scopes:
            yield f"'{path}' is in the closed scope '{activity.scope}'"
        if activity.phase is Phase.ENDED and activity.ended_at is None:
            yield f"'{path}' ended at no time"
        if activity.scopes_open < 0 or activity.scopes_open > activity.scopes_opened:
            yield f"'{path}' counts {activity.scopes_open} of {activity.scopes_opened} scopes as open"
        if ("start", path) in state.agenda and activity.phase is not Phase.PENDING:
            yield f"'{path}' is to be started but is {activity.phase}"


def _scopes(state: RunState) -> Iterator[str]:
    for path, scope in state.scopes.items():
        ended = {name for name in scope.plan.activities if state.activities[join(path, name)].phase is Phase.ENDED}
        if ended != set(scope.statuses):
            yield f"scope '{path}' counts other activities as over than are"
        parent = state.activities.get(scope.parent) if scope.parent is not None else None
        # a cancelled container ends while its scope is still open; nothing else may
        if parent is not None and parent.phase is Phase.ENDED and parent.status != "Cancelled":
            yield f"scope '{path}' is open though '{scope.parent}' is over"
