"""A run's log told per activity and per scope: what planning a rerun and explaining a run read.

Unlike `RunState` it keeps what the run is done with (iterations that closed), and it never decides anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kyanite.definitions.model import Activity, Pipeline
from kyanite.engine import events as ev
from kyanite.engine.scopes import ScopePlan, plan_scope
from kyanite.engine.state import ROOT, branch_activities, join

Json = Any
Ended = ev.ActivityEnded | ev.ActivityReused | ev.ActivitySkipped | ev.ActivityInactive


@dataclass(slots=True)
class ScopeRecord:
    """One list of activities that was opened: the pipeline itself, a branch, an iteration; `closed` when it ended."""

    path: str
    plan: ScopePlan
    closed: ev.ScopeClosed | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the list ended well."""
        return self.closed is not None and self.closed.status == "Succeeded"


@dataclass(slots=True)
class ActivityRecord:
    """All that the log says about one activity in one scope; `started` is its last attempt."""

    path: str
    scope: str
    definition: Activity
    started: ev.ActivityStarted | None = None
    retries: list[ev.AttemptFailed] = field(default_factory=list)
    recoveries: int = 0
    stop: ev.StopRequested | None = None
    ended: Ended | None = None
    scopes: list[ScopeRecord] = field(default_factory=list)
    first_failure: ScopeRecord | None = None

    @property
    def status(self) -> str:
        """The status for people."""
        match self.ended:
            case None:
                return "InProgress"
            case ev.ActivitySkipped():
                return "Skipped"
            case ev.ActivityInactive():
                return "Inactive"
            case ended:
                return ended.status

    @property
    def branching(self) -> str:
        """The status that dependents see: an inactive activity counts as what it is marked as."""
        return self.ended.marked_as if isinstance(self.ended, ev.ActivityInactive) else self.status

    @property
    def data(self) -> Mapping[str, Json]:
        """What the engine remembered of the last attempt."""
        return self.started.data if self.started is not None else {}


@dataclass(slots=True)
class RunRecord:
    """A run's log in order of first mention; `activities` by path, `scopes` by path (the pipeline's own is '')."""

    run_id: str
    pipeline: Pipeline
    queued: ev.RunQueued
    activities: dict[str, ActivityRecord] = field(default_factory=dict)
    scopes: dict[str, ScopeRecord] = field(default_factory=dict)
    cancel: ev.CancelRequested | None = None
    ended: ev.RunEnded | None = None


def run_record(run_id: str, pipeline: Pipeline, events: Iterable[ev.Event]) -> RunRecord:
    """The record of a log that begins with `RunQueued`."""
    log = iter(events)
    queued = next(log)
    assert isinstance(queued, ev.RunQueued)  # noqa: S101 - the store lets no run begin with anything else
    record = RunRecord(run_id, pipeline, queued)
    record.scopes[ROOT] = ScopeRecord(ROOT, plan_scope(pipeline.activities))
    for event in log:
        _take(record, event)
    return record


def _take(record: RunRecord, event: ev.Event) -> None:
    match event:
        case ev.ActivityStarted():
            _activity(record, event.path).started = event
        case ev.AttemptFailed():
            _activity(record, event.path).retries.append(event)
        case ev.ActivityRecovered():
            _activity(record, event.path).recoveries += 1
        case ev.StopRequested():
            _activity(record, event.path).stop = event
        case ev.ActivityEnded() | ev.ActivityReused() | ev.ActivitySkipped() | ev.ActivityInactive():
            _activity(record, event.path).ended = event
        case ev.ScopeOpened():
            _open(record, event.scope)
        case ev.ScopeClosed():
            _close(record, event)
        case ev.CancelRequested():
            record.cancel = event
        case ev.RunEnded():
            record.ended = event


def _activity(record: RunRecord, path: str) -> ActivityRecord:
    found = record.activities.get(path)
    if found is None:
        scope, _, name = path.rpartition("/")
        found = ActivityRecord(path, scope, record.scopes[scope].plan.activities[name])
        record.activities[path] = found
    return found


def _open(record: RunRecord, path: str) -> None:
    container_path, branch = path.rsplit("/", 1)
    container = record.activities[container_path]
    inside = branch_activities(container.definition, branch)
    # the iterations of a loop share their list, and so its plan
    known = next((scope.plan for scope in container.scopes), None) if branch.isdigit() else None
    scope = ScopeRecord(path, known or plan_scope(inside))
    record.scopes[path] = scope
    container.scopes.append(scope)


def _close(record: RunRecord, event: ev.ScopeClosed) -> None:
    scope = record.scopes[event.scope]
    scope.closed = event
    container = record.activities[event.scope.rpartition("/")[0]]
    if event.status != "Succeeded" and container.first_failure is None:
        container.first_failure = scope


def sibling(record: RunRecord, activity: ActivityRecord, name: str) -> ActivityRecord | None:
    """What is known of another activity of the same scope, named in any case."""
    spelled = record.scopes[activity.scope].plan.spelling.get(name.casefold(), name)
    return record.activities.get(join(activity.scope, spelled))
