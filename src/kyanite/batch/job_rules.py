"""The states of jobs and schedules and what may be done in each. Batch reference sections 7 and 9."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType

from kyanite.batch.codes import refusal
from kyanite.batch.model import Job, JobState, Schedule, ScheduleState
from kyanite.errors import InvariantError

# every way a job can go; deleting ends with the job being gone
JOB_TRANSITIONS: Mapping[JobState, frozenset[JobState]] = MappingProxyType(
    {
        JobState.ACTIVE: frozenset({JobState.DISABLING, JobState.TERMINATING, JobState.DELETING}),
        JobState.DISABLING: frozenset({JobState.DISABLED, JobState.TERMINATING, JobState.DELETING}),
        JobState.DISABLED: frozenset({JobState.DISABLING, JobState.ENABLING, JobState.TERMINATING, JobState.DELETING}),
        JobState.ENABLING: frozenset({JobState.ACTIVE, JobState.TERMINATING, JobState.DELETING}),
        JobState.TERMINATING: frozenset({JobState.COMPLETED, JobState.DELETING}),
        JobState.COMPLETED: frozenset({JobState.DELETING}),
        JobState.DELETING: frozenset(),
    }
)
_DISABLE_FROM = (JobState.ACTIVE, JobState.DISABLING, JobState.DISABLED)
_ENDED = (JobState.TERMINATING, JobState.COMPLETED, JobState.DELETING)
_REFUSALS = {
    JobState.TERMINATING: "JobBeingTerminated",
    JobState.COMPLETED: "JobCompleted",
    JobState.DELETING: "JobBeingDeleted",
}

SCHEDULE_TRANSITIONS: Mapping[ScheduleState, frozenset[ScheduleState]] = MappingProxyType(
    {
        ScheduleState.ACTIVE: frozenset(
            {ScheduleState.DISABLED, ScheduleState.TERMINATING, ScheduleState.COMPLETED, ScheduleState.DELETING}
        ),
        ScheduleState.DISABLED: frozenset(
            {ScheduleState.ACTIVE, ScheduleState.TERMINATING, ScheduleState.COMPLETED, ScheduleState.DELETING}
        ),
        ScheduleState.TERMINATING: frozenset({ScheduleState.COMPLETED, ScheduleState.DELETING}),
        ScheduleState.COMPLETED: frozenset({ScheduleState.DELETING}),
        ScheduleState.DELETING: frozenset(),
    }
)
_SCHEDULE_REFUSALS = {
    ScheduleState.TERMINATING: "JobScheduleBeingTerminated",
    ScheduleState.COMPLETED: "JobScheduleCompleted",
    ScheduleState.DELETING: "JobScheduleBeingDeleted",
}


def moved(job: Job, state: JobState, at: datetime) -> Job:
    """The job in its next state; InvariantError for a step that is not in the table."""
    if state not in JOB_TRANSITIONS[job.state]:
        raise InvariantError(f"A job that is {job.state} cannot become {state}.", where=f"job {job.id}")
    since = job.state_since or job.created_at
    return replace(job, state=state, state_since=at, previous_state=job.state, previous_since=since)


def check_takes_tasks(job: Job) -> None:
    """Refuse to add a task to, or run one again in, a job that is ending."""
    _refuse(job, _ENDED)


def check_changeable(job: Job) -> None:
    """Refuse to change a job that is ending."""
    _refuse(job, _ENDED)


def _refuse(job: Job, states: tuple[JobState, ...]) -> None:
    if job.state in states:
        raise refusal(_REFUSALS[job.state], where=f"job {job.id}")


def disabled(job: Job, option: str, at: datetime) -> Job:
    """The job once its disabling was begun; `option` is what becomes of running tasks: requeue, terminate or wait."""
    _refuse(job, _ENDED)
    if job.state not in _DISABLE_FROM:
        raise refusal("OperationInvalidForCurrentState", f"The job is {job.state}.", where=f"job {job.id}")
    disabling = job if job.state is JobState.DISABLING else moved(job, JobState.DISABLING, at)
    return replace(disabling, disable_option=option)


def enabled(job: Job, at: datetime) -> Job:
    """The job once its enabling was begun; JobNotDisabled unless it is disabled."""
    _refuse(job, _ENDED)
    if job.state is not JobState.DISABLED:
        raise refusal("JobNotDisabled", where=f"job {job.id}")
    return moved(job, JobState.ENABLING, at)


def terminated(job: Job, reason: str, at: datetime) -> Job:
    """The job once its termination was begun."""
    _refuse(job, _ENDED)
    return replace(moved(job, JobState.TERMINATING, at), terminate_reason=reason)


def completed(job: Job, at: datetime) -> Job:
    """The terminating job once nothing of it runs any more."""
    return replace(moved(job, JobState.COMPLETED, at), end_time=at)


def deleted(job: Job, at: datetime) -> Job:
    """The job once its deletion was begun."""
    _refuse(job, (JobState.DELETING,))
    return moved(job, JobState.DELETING, at)


def schedule_moved(schedule: Schedule, state: ScheduleState, at: datetime) -> Schedule:
    """The schedule in its next state; InvariantError for a step that is not in the table."""
    if state not in SCHEDULE_TRANSITIONS[schedule.state]:
        raise InvariantError(f"A schedule that is {schedule.state} cannot become {state}.", where=schedule.id)
    since = schedule.state_since or schedule.created_at
    after = replace(schedule, state=state, state_since=at, previous_state=schedule.state, previous_since=since)
    return replace(after, end_time=at, next_run=None) if state is ScheduleState.COMPLETED else after


def check_schedule_changeable(schedule: Schedule) -> None:
    """Refuse to change a schedule that is ending."""
    if schedule.state in _SCHEDULE_REFUSALS:
        raise refusal(_SCHEDULE_REFUSALS[schedule.state], where=f"job schedule {schedule.id}")
