"""One turn of the engine: the events and commands it makes, and what it can see while making them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID, uuid5

from kyanite.definitions.model import Activity
from kyanite.engine import events as ev
from kyanite.engine.commands import Command
from kyanite.engine.control import ClosingActivity, control_activity
from kyanite.engine.state import ActivityState, Phase, RunState, join
from kyanite.errors import ActivityError
from kyanite.expressions import MISSING, Scope, evaluate
from kyanite.limits import STOPPING_SECONDS

Json = Any
_NO_RESULT = ("Skipped", "Inactive")


class Turn:
    """Collects what one decision makes; every event is folded into the state at once."""

    def __init__(
        self, state: RunState, now: datetime, clock: Callable[[], datetime], new_guid: Callable[[], UUID]
    ) -> None:
        self.state = state
        self.now = now
        self.at = ev.utc_text(now)
        self.events: list[ev.Event] = []
        self.commands: list[Command] = []
        self._clock = clock
        self._new_guid = new_guid
        self._pipeline = _system_variables(state)

    # ---- what comes out

    def emit(self, event: ev.Event) -> None:
        """Add an event and fold it in."""
        self.state.apply(event)
        self.events.append(event)

    def started(
        self,
        path: str,
        input: Json,
        *,
        data: Mapping[str, Json] | None = None,
        due: datetime | None = None,
        timeout_at: datetime | None = None,
        linked_service: str | None = None,
    ) -> ActivityState:
        """The next attempt of an activity begins with this input."""
        activity = self.state.activities[path]
        definition = activity.definition
        attempt = activity.attempt + 1
        self.emit(
            ev.ActivityStarted(
                at=self.at,
                path=path,
                type=definition.type,
                attempt=attempt,
                activity_run_id=activity_run_id(self.state.run_id, path, attempt),
                input=input,
                data=data or {},
                due=ev.utc_text(due) if due else None,
                timeout_at=ev.utc_text(timeout_at) if timeout_at else None,
                linked_service=linked_service,
                user_properties=self._user_properties(definition, activity.scope),
                secure_input=definition.policy.secure_input,
                secure_output=definition.policy.secure_output,
            )
        )
        return activity

    def ended(self, path: str, status: str, *, output: Json = None, error: Mapping[str, Json] | None = None) -> None:
        """An activity is over."""
        activity = self.state.activities[path]
        self.emit(
            ev.ActivityEnded(
                at=self.at, path=path, type=activity.definition.type, status=status, output=output, error=error
            )
        )

    def reused(self, path: str, past: Mapping[str, Json]) -> None:
        """An activity is over without being executed: how it ended in an earlier run stands for it."""
        definition = self.state.activities[path].definition
        self.emit(
            ev.ActivityReused(
                at=self.at,
                path=path,
                type=definition.type,
                status=past["status"],
                activity_run_id=past["activityRunId"],
                from_run=past["fromRun"],
                output=past.get("output"),
                error=past.get("error"),
                secure_output=definition.policy.secure_output,
            )
        )

    def step(self, path: str) -> None:
        """Let a control activity go on: one of its scopes closed or its time has come."""
        control = control_activity(self.state.activities[path].definition.type)
        if control is not None and self.state.activities[path].phase is Phase.RUNNING:
            control.step(self, path)

    def closing(self, path: str, scope: str) -> Json:
        """What a container makes of a body that is about to close, while the body's activities can be seen."""
        control = control_activity(self.state.activities[path].definition.type)
        return control.closing(self, path, scope) if isinstance(control, ClosingActivity) else None

    def end_stopped(self, path: str) -> None:
        """End an attempt that did not obey a stop in time."""
        timed_out = self.state.activities[path].stop_reason == "Timeout"
        error = self.timeout_error(path) if timed_out else self.cancelled_error(path)
        self.ended(path, "TimedOut" if timed_out else "Cancelled", error=error)

    def later(self, seconds: float) -> datetime:
        """A time from now; ActivityError when that is beyond the calendar."""
        try:
            return self.now + timedelta(seconds=seconds)
        except OverflowError as error:
            raise ActivityError(f"{seconds:g} seconds are longer than the calendar.", code="InvalidTemplate") from error

    # ---- errors as the service shapes them

    def error(self, path: str, code: str, message: str, failure_type: str = "UserError") -> dict[str, Json]:
        """The `error` member of an activity run."""
        target = self.state.activities[path].definition.name
        return {"errorCode": code, "message": message, "failureType": failure_type, "target": target}

    def timeout_error(self, path: str) -> dict[str, Json]:
        """The error of an attempt that took longer than its policy allows."""
        return self.error(path, "ActivityTimeout", "The activity was stopped: its timeout has passed.")

    def cancelled_error(self, path: str) -> dict[str, Json]:
        """The error of an activity that was cancelled with its run."""
        return self.error(path, "ActivityCancelled", "The activity was cancelled with its run.")

    def stop_deadline(self) -> str:
        """When an attempt that was told to stop is given up."""
        return ev.utc_text(self.now + timedelta(seconds=STOPPING_SECONDS))

    # ---- what can be seen

    def scope(self, path: str) -> Scope:
        """What expressions of an activity in the scope `path` see."""
        state = self.state
        there, item = state.item(path)
        assert state.queued is not None  # noqa: S101 - a turn begins after RunQueued
        return Scope(
            parameters=state.queued.parameters,
            global_parameters=state.factory.global_parameters,
            variables=Variables(state),
            activities=FinishedActivities(state, path),
            pipeline=self._pipeline,
            item=item if there else MISSING,
            now=self._clock,
            new_guid=self._new_guid,
        )

    def evaluate(self, value: Json, scope: str) -> Json:
        """A JSON value with every expression in it evaluated."""
        return evaluate(value, self.scope(scope))

    def _user_properties(self, definition: Activity, scope: str) -> dict[str, Json]:
        if not definition.user_properties:
            return {}
        seen = self.scope(scope)
        return {str(item.get("name")): evaluate(item.get("value"), seen) for item in definition.user_properties}


class Variables(Mapping[str, Json]):
    """The variables as expressions read them."""

    def __init__(self, state: RunState) -> None:
        self._state = state

    def __getitem__(self, name: str) -> Json:
        return self._state.read_variable(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._state.variables)

    def __len__(self) -> int:
        return len(self._state.variables)


class FinishedActivities(Mapping[str, Json]):
    """The activities that `activity('X')` can see from a scope: finished ones, inner scopes first.

    Skipped and inactive activities have no result, as in the service.
    """

    def __init__(self, state: RunState, scope: str) -> None:
        self._state = state
        self._scope = scope

    def __getitem__(self, name: str) -> dict[str, Json]:
        for path in self._scopes():
            scope = self._state.scopes[path]
            spelled = scope.plan.spelling.get(name.casefold())
            activity = self._state.activities[join(path, spelled)] if spelled is not None else None
            activity = activity or scope.finished_inside.get(name.casefold())
            if activity is not None and activity.phase is Phase.ENDED and activity.status not in _NO_RESULT:
                return _result(activity)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        for path in self._scopes():
            scope = self._state.scopes[path]
            own = [self._state.activities[join(path, name)] for name in scope.statuses]
            for activity in (*own, *scope.finished_inside.values()):
                if activity.status not in _NO_RESULT:
                    yield activity.definition.name

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _scopes(self) -> Iterator[str]:
        path: str | None = self._scope
        while path is not None:
            yield path
            parent = self._state.scopes[path].parent
            path = self._state.activities[parent].scope if parent is not None else None


def _result(activity: ActivityState) -> dict[str, Json]:
    result: dict[str, Json] = {
        "ActivityName": activity.definition.name,
        "ActivityType": activity.definition.type,
        "ActivityRunId": activity.activity_run_id,
        "Status": activity.status,
        "ExecutionStartTime": activity.started_at,
        "ExecutionEndTime": activity.ended_at,
        "error": activity.error,
    }
    if activity.output is not None:
        result["output"] = activity.output
    return result


def activity_run_id(run_id: str, path: str, attempt: int) -> str:
    """The id of one attempt: follows from the run and the place, so a replay gives the same."""
    return str(uuid5(_namespace(run_id), f"{path}#{attempt}"))


@lru_cache(maxsize=1024)
def _namespace(run_id: str) -> UUID:
    return UUID(run_id)


def _system_variables(state: RunState) -> dict[str, Json]:
    queued = state.queued
    if queued is None:
        return {}
    invoked, parent = queued.invoked_by, queued.parent or {}
    return {
        "DataFactory": queued.factory,
        "Pipeline": state.pipeline.name,
        "PipelineName": state.pipeline.name,
        "RunId": state.run_id,
        "GroupId": queued.group_id or state.run_id,
        "TriggerType": invoked.get("invokedByType", "Manual"),
        "TriggerId": invoked.get("id", ""),
        "TriggerName": invoked.get("name", "Manual"),
        "TriggerTime": invoked.get("time", queued.at),
        **(
            {"TriggeredByPipelineName": parent["pipeline"], "TriggeredByPipelineRunId": parent["runId"]}
            if parent
            else {}
        ),
    }
