"""One simulated run, which is a test of replay as well.

Every decision is also folded in a second time from its wire form; then the two states are compared and the invariants
checked: after every decision at first, after the first thousand events at growing distances and at the end.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kyanite.engine import events as ev
from kyanite.engine.invariants import check_invariants
from kyanite.engine.reports import Report
from kyanite.engine.state import RunState
from kyanite.errors import InvariantError

Json = Any
CLOSELY_CHECKED = 1_000  # events; comparing whole states after each decision of a long run would be quadratic


@dataclass
class SimulatedRun:
    """A run: its live state, the same folded from the wire, its log, and what waits to be reported.

    `parent` is who waits for its end: (run id, path); `link` says who started it; `started` holds last attempts.
    """

    state: RunState
    replayed: RunState | None
    log: list[ev.Event] = field(default_factory=list)
    parent: tuple[str, str] | None = None
    link: Mapping[str, Json] = field(default_factory=dict)
    reports: list[Report] = field(default_factory=list)
    started: dict[str, ev.ActivityStarted] = field(default_factory=dict)
    next_check: int = 0

    def record(self, events: Sequence[ev.Event]) -> None:
        """Keep what happened; InvariantError when the log folds to another state than the live one."""
        self.log.extend(events)
        self.started.update((event.path, event) for event in events if isinstance(event, ev.ActivityStarted))
        if self.replayed is None or not events:
            return
        for event in events:
            wire = json.loads(json.dumps(ev.to_wire(event)))
            self.replayed.apply(ev.from_wire(wire.pop("kind"), wire.pop("at"), wire))
        if len(self.log) < self.next_check and not self.state.over:
            return
        self.next_check = len(self.log) + (len(self.log) // 20 if len(self.log) > CLOSELY_CHECKED else 0)
        if not isinstance(events[-1], ev.CancelRequested):  # what follows from it is decided in the next turn
            check_invariants(self.state)
        if snapshot(self.replayed) != snapshot(self.state):
            raise InvariantError(f"Run {self.state.run_id}: its log folds to another state than the live one.")


def snapshot(state: RunState) -> Json:
    """Everything of a state that must come out of a replay the same."""
    return {
        "status": state.status,
        "message": state.message,
        "variables": state.variables,
        "return_value": state.return_value,
        "agenda": list(state.agenda),
        "active": list(state.active),
        "timer": state.next_timer(),
        "recoveries": {path: activity.recoveries for path, activity in state.activities.items()},
        "scopes": {path: (scope.waiting, scope.statuses) for path, scope in state.scopes.items()},
        "activities": {
            path: (a.phase, a.status, a.attempt, a.input, a.output, a.error, a.data, a.scopes_open, a.scopes_opened)
            for path, a in state.activities.items()
        },
    }
