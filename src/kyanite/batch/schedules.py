"""Job schedules: when the next job is due, and making it. Batch reference section 9; the times are pure functions."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from kyanite import limits
from kyanite.batch import job_rules, making
from kyanite.batch.codes import missing, wrong_value
from kyanite.batch.documents import check_metadata, read_job
from kyanite.batch.model import JobState, Schedule, ScheduleState, check_identifier
from kyanite.batch.reading import Document, moment, part, required, seconds, truth
from kyanite.batch.rows import job_of
from kyanite.batch.store import Store
from kyanite.errors import BatchError


@dataclass(frozen=True)
class Times:
    """When jobs are made: from `first` on, not after `last`, every `recurrence` seconds, `window` seconds late."""

    first: datetime | None = None
    last: datetime | None = None
    window: float | None = None
    recurrence: float | None = None


def read_times(document: Document) -> Times:
    """The `schedule` of a job schedule's document."""
    body = part(document, "schedule")
    least = limits.SCHEDULE_LEAST_SECONDS
    times = Times(
        moment(body, "doNotRunUntil"),
        moment(body, "doNotRunAfter"),
        seconds(body, "startWindow", least),
        seconds(body, "recurrenceInterval", least),
    )
    if times.first and times.last and times.last <= times.first:
        raise wrong_value("doNotRunAfter", body["doNotRunAfter"], "It must be later than doNotRunUntil.")
    return times


def read_schedule(account: str, document: Document, now: datetime) -> Schedule:
    """The body of `POST /jobschedules`; its job specification must be one from which a job can be made."""
    schedule_id = check_identifier("job schedule", required(document, "id"))
    if document.get("jobSpecification") is None:
        raise missing("jobSpecification")
    if document.get("schedule") is None:
        raise missing("schedule")
    check_metadata(document)
    times = read_times(document)
    schedule = Schedule(account, schedule_id, dict(document), now, modified_at=now, state_since=now)
    read_job(account, job_document(schedule, 1), now, scheduled=True)
    return replace(schedule, next_run=first_run(times, now))


def job_document(schedule: Schedule, number: int) -> dict[str, object]:
    """The document of the schedule's job of that number."""
    return {**part(schedule.document, "jobSpecification"), "id": f"{schedule.id}:job-{number}"}


def first_run(times: Times, now: datetime) -> datetime | None:
    """When the first job is due."""
    due = max(times.first, now) if times.first else now
    return due if times.last is None or due <= times.last else None


def next_run(times: Times, due: datetime, now: datetime) -> datetime | None:
    """The first occurrence after the one that was due and after now."""
    if times.recurrence is None:
        return None
    steps = max(1, math.floor((now - due).total_seconds() / times.recurrence) + 1)
    following = due + timedelta(seconds=times.recurrence * steps)
    return following if times.last is None or following <= times.last else None


def after_loss(times: Times, due: datetime, now: datetime) -> datetime | None:
    """The occurrence that counts when that of `due` is lost: a later one whose window is still open, or the next."""
    if times.recurrence is not None and (now - due).total_seconds() >= times.recurrence:
        steps = math.floor((now - due).total_seconds() / times.recurrence)
        latest = due + timedelta(seconds=times.recurrence * steps)
        if not is_lost(times, latest, now) and (times.last is None or latest <= times.last):
            return latest
    return next_run(times, due, now)


def is_lost(times: Times, due: datetime, now: datetime) -> bool:
    """Whether the start window of an occurrence is over."""
    return times.window is not None and (now - due).total_seconds() > times.window


def advance(store: Store, account: str, key: str, now: datetime) -> bool:
    """Take the steps that a schedule can take now; whether there was one."""
    schedule = store.schedule(account, key)
    if schedule is None:
        return False
    live = [job_of(row, store.vault) for row in store.rows("live_jobs_of_schedule", account=account, schedule=key)]
    store.change("schedule_seen", account=account, key=key)
    match schedule.state:
        case ScheduleState.ACTIVE:
            return _advance_active(store, schedule, bool(live), now)
        case ScheduleState.TERMINATING:
            from kyanite.batch import lifecycle

            for job in live:
                if job.state not in (JobState.TERMINATING, JobState.DELETING):
                    lifecycle.end_job(store, job, "TerminateJobSchedule", now)
            return _end(store, schedule, now)
        case ScheduleState.DELETING:
            return _delete(store, schedule, now)
        case _:
            return False


def _end(store: Store, schedule: Schedule, now: datetime) -> bool:
    """Complete a schedule whose jobs have ended; the end of its last job brings it back here."""
    key = {"account": schedule.account.casefold(), "schedule": schedule.id.casefold()}
    if store.rows("live_jobs_of_schedule", **key):
        return False
    _drop_pool(store, schedule, now)
    store.put_schedule(job_rules.schedule_moved(schedule, ScheduleState.COMPLETED, now), attention=False)
    return True


def _delete(store: Store, schedule: Schedule, now: datetime) -> bool:
    """Delete the schedule's jobs, and it once they are gone."""
    key = {"account": schedule.account.casefold(), "schedule": schedule.id.casefold()}
    rows = store.rows("jobs_of_schedule", after="", limit=-1, **key)
    for job in [job_of(row, store.vault) for row in rows]:
        if job.state is not JobState.DELETING:
            store.move_job(job_rules.deleted(job, now), attention=True)
    if rows:
        return False
    _drop_pool(store, schedule, now)
    store.change("drop_schedule", account=key["account"], key=key["schedule"])
    return True


def _drop_pool(store: Store, schedule: Schedule, now: datetime) -> None:
    auto = part(part(part(schedule.document, "jobSpecification"), "poolInfo"), "autoPoolSpecification")
    keep = truth(auto, "keepAlive", False)
    making.drop_auto_pool(store, schedule.account, f"schedule/{schedule.id.casefold()}", keep, now)


def _advance_active(store: Store, schedule: Schedule, busy: bool, now: datetime) -> bool:
    times = read_times(schedule.document)
    due = schedule.next_run
    if due is not None and is_lost(times, due, now):
        due = after_loss(times, due, now)
    if times.last is not None and now > times.last:
        due = None
    if due != schedule.next_run:
        schedule = replace(schedule, next_run=due)
        store.put_schedule(schedule, attention=False)
    if due is None:
        return False if busy else _end(store, schedule, now)
    if busy or now < due:
        return False
    number = schedule.jobs + 1
    try:
        with store.database.transaction():
            job = read_job(schedule.account, job_document(schedule, number), now, scheduled=True)
            made = making.make_job(store, replace(job, schedule=schedule.id.casefold()), now)
    except BatchError:  # a quota, a package that is gone: it stays due, everything else goes on
        return False
    following = next_run(times, due, now)
    store.put_schedule(replace(schedule, jobs=number, recent_job=made.id, next_run=following), attention=False)
    return True
