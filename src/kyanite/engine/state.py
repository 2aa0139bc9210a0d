"""The state of one run: the fold of its events.

Only `RunState.apply` changes a state, and only along the rows of the two transition tables. What is still to be decided
(`agenda`) and when to look again (`timers`) follow from the events too, so a state folded after a crash goes on where
the log ends.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from kyanite.definitions.model import Activity, Factory, Pipeline
from kyanite.engine import events as ev
from kyanite.engine.parameters import initial_variables
from kyanite.engine.scopes import ScopePlan, plan_scope
from kyanite.errors import InvariantError

Json = Any
ROOT = ""
ELAPSED = "elapsed"


class Phase(StrEnum):
    """Where an activity stands; its status for people is `ActivityState.status`."""

    PENDING = "Pending"
    RUNNING = "Running"
    STOPPING = "Stopping"
    RETRYING = "Retrying"
    ENDED = "Ended"


ACTIVITY_TRANSITIONS: Mapping[tuple[Phase, str], Phase] = {
    (Phase.PENDING, "ActivityEnded"): Phase.ENDED,  # its input could not be evaluated: it never started
    (Phase.PENDING, "ActivityInactive"): Phase.ENDED,
    (Phase.PENDING, "ActivityReused"): Phase.ENDED,
    (Phase.PENDING, "ActivitySkipped"): Phase.ENDED,
    (Phase.PENDING, "ActivityStarted"): Phase.RUNNING,
    (Phase.RETRYING, "ActivityEnded"): Phase.ENDED,
    (Phase.RETRYING, "ActivityStarted"): Phase.RUNNING,
    (Phase.RUNNING, "ActivityEnded"): Phase.ENDED,
    (Phase.RUNNING, "ActivityProgress"): Phase.RUNNING,
    (Phase.RUNNING, "ActivityRecovered"): Phase.RUNNING,
    (Phase.RUNNING, "AttemptFailed"): Phase.RETRYING,
    (Phase.RUNNING, "StopRequested"): Phase.STOPPING,
    (Phase.STOPPING, "ActivityEnded"): Phase.ENDED,
    (Phase.STOPPING, "ActivityProgress"): Phase.STOPPING,
    (Phase.STOPPING, "ActivityRecovered"): Phase.STOPPING,
    (Phase.STOPPING, "AttemptFailed"): Phase.RETRYING,
}

RUN_TRANSITIONS: Mapping[tuple[str, str], str] = {
    ("", "RunQueued"): "Queued",
    ("Queued", "CancelRequested"): "Canceling",
    ("Queued", "RunStarted"): "InProgress",
    ("InProgress", "CancelRequested"): "Canceling",
    ("InProgress", "RunEnded"): "",  # the event says which
    ("Canceling", "CancelRequested"): "Canceling",
    ("Canceling", "RunEnded"): "",
}

FINAL = frozenset({"Succeeded", "Failed", "Cancelled"})


@dataclass(slots=True)
class ActivityState:
    """One activity of one scope; for a container also what its scopes did so far."""

    path: str
    scope: str
    definition: Activity
    phase: Phase = Phase.PENDING
    status: str = "Pending"
    attempt: int = -1
    activity_run_id: str = ""
    input: Json = None
    output: Json = None
    error: Mapping[str, Json] | None = None
    data: Mapping[str, Json] = field(default_factory=dict)
    started_at: str | None = None
    ended_at: str | None = None
    due: str | None = None
    stop_reason: str | None = None
    marked_as: str | None = None
    recoveries: int = 0
    scopes_opened: int = 0
    scopes_open: int = 0
    last_scope: ev.ScopeClosed | None = None
    first_failure: ev.ScopeClosed | None = None


@dataclass(slots=True)
class ScopeState:
    """One list of activities in execution: the pipeline itself, a branch, one iteration."""

    path: str
    plan: ScopePlan
    parent: str | None
    waiting: dict[str, int]
    statuses: dict[str, str] = field(default_factory=dict)
    draining: bool = False
    finished_inside: dict[str, ActivityState] = field(default_factory=dict)

    @property
    def open(self) -> int:
        """How many activities are not over yet."""
        return len(self.plan.activities) - len(self.statuses)

    def status_of(self, name: str) -> str:
        """The status of an activity that is over, for branching (an inactive one by its mark)."""
        return self.statuses[self.plan.spelling[name.casefold()]]


class RunState:
    """The state of one run; `factory` and `pipeline` come from the run's own snapshot."""

    def __init__(self, run_id: str, factory: Factory, pipeline: Pipeline) -> None:
        self.run_id = run_id
        self.factory = factory
        self.pipeline = pipeline
        self.status = ""
        self.message = ""
        self.queued: ev.RunQueued | None = None
        self.started_at: str | None = None
        self.variables: dict[str, Json] = {}
        self.return_value: Mapping[str, Json] | None = None
        self.activities: dict[str, ActivityState] = {}
        self.scopes: dict[str, ScopeState] = {}
        self.active: dict[str, None] = {}
        self.agenda: dict[tuple[str, str], None] = {}
        self.timers: list[tuple[str, str, str]] = []
        self.cancel: ev.CancelRequested | None = None
        self.elapsed_time_exceeded = False
        self._plans: dict[int, ScopePlan] = {}
        self._own_lists: set[str] = set()

    # ---- folding

    def apply(self, event: ev.Event) -> None:
        """Fold one event in; InvariantError when no transition allows it."""
        _FOLD[type(event)](self, event)

    def replay(self, events: Iterable[ev.Event]) -> RunState:
        """Fold many events in; returns the state itself."""
        for event in events:
            self.apply(event)
        return self

    def _move_run(self, event: ev.Event, status: str | None = None) -> None:
        target = RUN_TRANSITIONS.get((self.status, type(event).__name__))
        if target is None:
            raise InvariantError(f"Run {self.run_id} is '{self.status}': {type(event).__name__} cannot happen.")
        self.status = status or target

    def _move(self, path: str, event: ev.Event) -> ActivityState:
        activity = self.activities.get(path)
        if activity is None:
            raise InvariantError(f"Run {self.run_id}: {type(event).__name__} for '{path}', which is in no open scope.")
        phase = ACTIVITY_TRANSITIONS.get((activity.phase, type(event).__name__))
        if phase is None:
            raise InvariantError(
                f"Run {self.run_id}: '{path}' is {activity.phase}: {type(event).__name__} cannot happen."
            )
        activity.phase = phase
        return activity

    def _run_queued(self, event: ev.RunQueued) -> None:
        self._move_run(event)
        self.queued = event
        self.variables = initial_variables(self.pipeline)

    def _run_started(self, event: ev.RunStarted) -> None:
        self._move_run(event)
        self.started_at = event.at
        seconds = self.pipeline.elapsed_time_seconds
        if seconds is not None:
            self._remember(ev.utc_later(event.at, seconds), ELAPSED, ROOT)
        self._open(ROOT, self.pipeline.activities, None)

    def _elapsed_time_exceeded(self, event: ev.ElapsedTimeExceeded) -> None:
        self.elapsed_time_exceeded = True

    def _run_ended(self, event: ev.RunEnded) -> None:
        self._move_run(event, event.status)
        self.message = event.message
        self.agenda.clear()

    def _cancel_requested(self, event: ev.CancelRequested) -> None:
        self._move_run(event)
        self.cancel = event

    def _activity_started(self, event: ev.ActivityStarted) -> None:
        activity = self._move(event.path, event)
        activity.status = "InProgress"
        activity.attempt = event.attempt
        activity.activity_run_id = event.activity_run_id
        activity.input = event.input
        activity.data = event.data
        activity.started_at = event.at
        activity.output = activity.error = activity.stop_reason = None
        activity.due = event.due
        self.active[event.path] = None
        self.agenda.pop(("start", event.path), None)
        if event.due:
            self._remember(event.due, "due", event.path)
        if event.timeout_at:
            self._remember(event.timeout_at, f"timeout:{event.attempt}", event.path)

    def _activity_progress(self, event: ev.ActivityProgress) -> None:
        self._move(event.path, event).output = event.output

    def _activity_recovered(self, event: ev.ActivityRecovered) -> None:
        self._move(event.path, event).recoveries += 1

    def _stop_requested(self, event: ev.StopRequested) -> None:
        activity = self._move(event.path, event)
        activity.stop_reason = event.reason
        self._remember(event.deadline, f"stop:{activity.attempt}", event.path)
        for scope in self._inner_scopes(event.path):
            scope.draining = True
            for name in scope.plan.activities:
                self.agenda.pop(("start", join(scope.path, name)), None)
            self.agenda.pop(("close", scope.path), None)

    def _attempt_failed(self, event: ev.AttemptFailed) -> None:
        activity = self._move(event.path, event)
        activity.status, activity.error, activity.output = event.status, event.error, event.output
        activity.due = event.retry_at
        self._remember(event.retry_at, "due", event.path)

    def _activity_ended(self, event: ev.ActivityEnded) -> None:
        activity = self._move(event.path, event)
        activity.started_at = activity.started_at or event.at
        activity.output, activity.error = event.output, event.error
        self._over(activity, event.status, event.status, event.at)

    def _activity_skipped(self, event: ev.ActivitySkipped) -> None:
        self._over(self._move(event.path, event), "Skipped", "Skipped", event.at)

    def _activity_inactive(self, event: ev.ActivityInactive) -> None:
        activity = self._move(event.path, event)
        activity.marked_as = event.marked_as
        self._over(activity, "Inactive", event.marked_as, event.at)

    def _activity_reused(self, event: ev.ActivityReused) -> None:
        activity = self._move(event.path, event)
        activity.started_at, activity.activity_run_id = event.at, event.activity_run_id
        activity.output, activity.error = event.output, event.error
        self._over(activity, event.status, event.status, event.at)

    def _over(self, activity: ActivityState, status: str, branching: str, at: str) -> None:
        activity.status = status
        activity.ended_at = at
        activity.due = None
        self.active.pop(activity.path, None)
        self.agenda.pop(("start", activity.path), None)
        scope = self.scopes[activity.scope]
        name = activity.definition.name
        scope.statuses[name] = branching
        for inner in list(self._inner_scopes(activity.path)):
            self._drop(inner)
        for dependent in scope.plan.dependents[name]:
            scope.waiting[dependent] -= 1
            if scope.waiting[dependent] == 0 and not scope.draining:
                self.agenda[("start", join(scope.path, dependent))] = None
        if scope.open == 0 and not scope.draining:
            self.agenda[("close", scope.path)] = None

    def _variable_set(self, event: ev.VariableSet) -> None:
        self.variables[event.name] = event.value
        self._own_lists.discard(event.name)

    def _return_value_set(self, event: ev.ReturnValueSet) -> None:
        self.return_value = event.value

    def _variable_appended(self, event: ev.VariableAppended) -> None:
        if event.name not in self._own_lists:
            self.variables[event.name] = list(self.variables[event.name])
            self._own_lists.add(event.name)
        self.variables[event.name].append(event.value)

    def read_variable(self, name: str) -> Json:
        """The value of a variable for somebody who keeps it: a list that was given away is not appended to again."""
        self._own_lists.discard(name)
        return self.variables[name]

    def _scope_opened(self, event: ev.ScopeOpened) -> None:
        parent_path, branch = event.scope.rsplit("/", 1)
        parent = self.activities[parent_path]
        parent.scopes_opened += 1
        parent.scopes_open += 1
        self._open(event.scope, branch_activities(parent.definition, branch), parent_path)

    def _scope_closed(self, event: ev.ScopeClosed) -> None:
        scope = self.scopes[event.scope]
        if scope.parent is not None:
            parent = self.activities[scope.parent]
            parent.scopes_open -= 1
            parent.last_scope = event
            if "items" not in parent.data:
                self._keep_results(scope, self.scopes[parent.scope])
            if event.status != "Succeeded" and parent.first_failure is None:
                parent.first_failure = event
        # nobody outside can address what ran inside: a loop of 100,000 items keeps only its open iterations
        self._drop(scope)

    def _keep_results(self, scope: ScopeState, outer: ScopeState) -> None:
        """What ran inside an If, Switch or Until (its last pass) can be read afterwards; iterations cannot."""
        outer.finished_inside.update(scope.finished_inside)
        for folded, name in scope.plan.spelling.items():
            outer.finished_inside[folded] = self.activities[join(scope.path, name)]

    def _inner_scopes(self, path: str) -> Iterator[ScopeState]:
        """The open scopes inside an activity, at any depth."""
        if path in self.activities and not self.activities[path].scopes_opened:
            return
        for scope in list(self.scopes.values()):
            if scope.path.startswith(f"{path}/"):
                yield scope

    def _drop(self, scope: ScopeState) -> None:
        del self.scopes[scope.path]
        self.agenda.pop(("close", scope.path), None)
        for name in scope.plan.activities:
            path = join(scope.path, name)
            del self.activities[path]
            self.active.pop(path, None)
            self.agenda.pop(("start", path), None)

    def _open(self, path: str, activities: tuple[Activity, ...], parent: str | None) -> None:
        plan = self._plans.get(id(activities))
        if plan is None:
            plan = self._plans[id(activities)] = plan_scope(activities)
        scope = ScopeState(path, plan, parent, dict(plan.waits_for))
        self.scopes[path] = scope
        for name, definition in plan.activities.items():
            instance = join(path, name)
            self.activities[instance] = ActivityState(instance, path, definition)
            if scope.waiting[name] == 0:
                self.agenda[("start", instance)] = None
        if scope.open == 0:
            self.agenda[("close", path)] = None

    def _remember(self, at: str, kind: str, path: str) -> None:
        heapq.heappush(self.timers, (at, kind, path))

    # ---- reading

    @property
    def over(self) -> bool:
        """Whether the run has its final status."""
        return self.status in FINAL

    def next_timer(self) -> str | None:
        """When to decide again though nothing was reported: UTC text, or None."""
        while self.timers and not self.timer_holds(self.timers[0]):
            heapq.heappop(self.timers)
        return self.timers[0][0] if self.timers else None

    def due_timers(self, now: str) -> Iterator[tuple[str, str, str]]:
        """Take out the timers that have come: (when, kind, path)."""
        while self.timers and self.timers[0][0] <= now:
            timer = heapq.heappop(self.timers)
            if self.timer_holds(timer):
                yield timer

    def timer_holds(self, timer: tuple[str, str, str]) -> bool:
        """Whether what a timer was set for still stands."""
        at, kind, path = timer
        if kind == ELAPSED:
            return not self.over and not self.elapsed_time_exceeded
        activity = self.activities.get(path)
        if activity is None or activity.phase in (Phase.PENDING, Phase.ENDED):
            return False
        name, _, attempt = kind.partition(":")
        match name:
            case "due":
                return activity.due == at and activity.phase is not Phase.STOPPING
            case "timeout":
                return activity.phase is Phase.RUNNING and activity.attempt == int(attempt)
            case _:
                return activity.phase is Phase.STOPPING and activity.attempt == int(attempt)

    def item(self, scope: str) -> tuple[bool, Json]:
        """The ForEach item that a scope sees: (there is one, its value)."""
        while scope != ROOT:
            parent, branch = scope.rsplit("/", 1)
            container = self.activities[parent]
            if "items" in container.data:
                return True, container.data["items"][int(branch)]
            scope = container.scope
        return False, None


def join(scope: str, name: str) -> str:
    """The path of an activity in a scope."""
    return f"{scope}/{name}" if scope else name


def branch_activities(container: Activity, branch: str) -> tuple[Activity, ...]:
    """The activities of a container's branch; the iterations of a loop share one list."""
    if branch in container.branches:
        return container.branches[branch]
    if branch.startswith("case-"):  # by number: a case's value may hold any character
        return container.branches[list(container.branches)[int(branch.removeprefix("case-"))]]
    return container.branches.get("activities", ())


_FOLD: Mapping[type[ev.Event], Callable[[RunState, Any], None]] = {
    ev.ActivityEnded: RunState._activity_ended,
    ev.ActivityInactive: RunState._activity_inactive,
    ev.ActivityProgress: RunState._activity_progress,
    ev.ActivityRecovered: RunState._activity_recovered,
    ev.ActivityReused: RunState._activity_reused,
    ev.ActivitySkipped: RunState._activity_skipped,
    ev.ActivityStarted: RunState._activity_started,
    ev.AttemptFailed: RunState._attempt_failed,
    ev.CancelRequested: RunState._cancel_requested,
    ev.ElapsedTimeExceeded: RunState._elapsed_time_exceeded,
    ev.ReturnValueSet: RunState._return_value_set,
    ev.RunEnded: RunState._run_ended,
    ev.RunQueued: RunState._run_queued,
    ev.RunStarted: RunState._run_started,
    ev.ScopeClosed: RunState._scope_closed,
    ev.ScopeOpened: RunState._scope_opened,
    ev.StopRequested: RunState._stop_requested,
    ev.VariableAppended: RunState._variable_appended,
    ev.VariableSet: RunState._variable_set,
}
