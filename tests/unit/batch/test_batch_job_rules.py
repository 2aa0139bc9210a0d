from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kyanite.batch import job_rules, schedules
from kyanite.batch.model import Job, JobState, Schedule, ScheduleState
from kyanite.batch.schedules import Times
from kyanite.errors import BatchError, InvariantError

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def job(state=JobState.ACTIVE):
    return Job("a", "j", "p", NOW, state=state)


def outcome(rule, state):
    try:
        return rule(job(state)).state.value
    except BatchError as error:
        return error.error_code


@pytest.mark.parametrize(
    ("state", "disable", "enable", "terminate", "delete"),
    [
        ("active", "disabling", "JobNotDisabled", "terminating", "deleting"),
        ("disabling", "disabling", "JobNotDisabled", "terminating", "deleting"),
        ("disabled", "disabling", "enabling", "terminating", "deleting"),
        ("enabling", "OperationInvalidForCurrentState", "JobNotDisabled", "terminating", "deleting"),
        ("terminating", "JobBeingTerminated", "JobBeingTerminated", "JobBeingTerminated", "deleting"),
        ("completed", "JobCompleted", "JobCompleted", "JobCompleted", "deleting"),
        ("deleting", "JobBeingDeleted", "JobBeingDeleted", "JobBeingDeleted", "JobBeingDeleted"),
    ],
)
def test_every_verb_in_every_state(state, disable, enable, terminate, delete):
    state = JobState(state)
    assert outcome(lambda it: job_rules.disabled(it, "wait", NOW), state) == disable
    assert outcome(lambda it: job_rules.enabled(it, NOW), state) == enable
    assert outcome(lambda it: job_rules.terminated(it, "why", NOW), state) == terminate
    assert outcome(lambda it: job_rules.deleted(it, NOW), state) == delete


def test_a_step_remembers_where_it_came_from():
    moved = job_rules.terminated(job(), "why", NOW)
    assert (moved.previous_state, moved.previous_since, moved.state_since) == (JobState.ACTIVE, NOW, NOW)
    assert (moved.terminate_reason, moved.end_time) == ("why", None)
    assert job_rules.completed(moved, NOW).end_time == NOW


@given(st.lists(st.sampled_from(list(JobState)), max_size=8))
def test_no_step_outside_of_the_table(steps):
    current = job()
    for step in steps:
        if step in job_rules.JOB_TRANSITIONS[current.state]:
            current = job_rules.moved(current, step, NOW)
        else:
            with pytest.raises(InvariantError):
                job_rules.moved(current, step, NOW)
    assert set(job_rules.JOB_TRANSITIONS) == set(JobState)


def test_schedules_end_for_good():
    assert set(job_rules.SCHEDULE_TRANSITIONS) == set(ScheduleState)
    schedule = Schedule("a", "s", {}, NOW, next_run=NOW)
    done = job_rules.schedule_moved(schedule, ScheduleState.COMPLETED, NOW)
    assert (done.next_run, done.end_time) == (None, NOW)
    with pytest.raises(InvariantError):
        job_rules.schedule_moved(done, ScheduleState.ACTIVE, NOW)
    with pytest.raises(BatchError) as caught:
        job_rules.check_schedule_changeable(done)
    assert caught.value.error_code == "JobScheduleCompleted"
    job_rules.check_schedule_changeable(schedule)


# ---- when jobs of schedules are due


def later(seconds):
    return NOW + timedelta(seconds=seconds)


def test_the_first_run_waits_for_its_time():
    assert schedules.first_run(Times(), NOW) == NOW
    assert schedules.first_run(Times(first=later(60)), NOW) == later(60)
    assert schedules.first_run(Times(first=later(-60)), NOW) == NOW
    assert schedules.first_run(Times(last=later(-1)), NOW) is None


def test_later_runs_follow_the_recurrence():
    every_minute = Times(recurrence=60.0)
    assert schedules.next_run(every_minute, NOW, NOW) == later(60)
    assert schedules.next_run(every_minute, NOW, later(59)) == later(60)
    assert schedules.next_run(every_minute, NOW, later(150)) == later(180)
    assert schedules.next_run(Times(), NOW, NOW) is None
    assert schedules.next_run(replace(every_minute, last=later(59)), NOW, NOW) is None


def test_a_run_that_is_too_late_is_lost():
    times = Times(window=90.0, recurrence=60.0)
    assert not schedules.is_lost(times, NOW, later(90))
    assert schedules.is_lost(times, NOW, later(91))
    assert schedules.after_loss(times, NOW, later(130)) == later(120)
    assert schedules.after_loss(Times(window=60.0, recurrence=300.0), NOW, later(100)) == later(300)
    assert schedules.after_loss(Times(window=60.0, recurrence=300.0), NOW, later(400)) == later(600)
    assert schedules.after_loss(Times(window=60.0), NOW, later(61)) is None


@given(st.integers(60, 1000), st.integers(60, 1000), st.integers(0, 5000))
def test_what_follows_is_never_lost_and_on_the_grid(window, recurrence, late):
    times = Times(window=float(window), recurrence=float(recurrence))
    now = later(late)
    following = schedules.next_run(times, NOW, now)
    assert following > now or following == later(recurrence)
    assert (following - NOW).total_seconds() % recurrence == 0
    if schedules.is_lost(times, NOW, now):
        chosen = schedules.after_loss(times, NOW, now)
        assert not schedules.is_lost(times, chosen, now)
        assert (chosen - NOW).total_seconds() % recurrence == 0


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"schedule": None}, "MissingRequiredProperty"),
        ({"jobSpecification": None}, "MissingRequiredProperty"),
        ({"schedule": {"recurrenceInterval": "PT59S"}}, "InvalidPropertyValue"),
        ({"schedule": {"startWindow": "PT1S"}}, "InvalidPropertyValue"),
        ({"jobSpecification": {}}, "MissingRequiredProperty"),
        ({"id": "a:b"}, "InvalidPropertyValue"),
        ({"schedule": {"doNotRunUntil": "2026-03-02", "doNotRunAfter": "2026-03-01"}}, "InvalidPropertyValue"),
    ],
)  # fmt: skip
def test_schedules_that_cannot_be(change, code):
    body = {"id": "s", "schedule": {}, "jobSpecification": {"poolInfo": {"poolId": "p"}}}
    assert schedules.read_schedule("a", body, NOW).next_run == NOW
    with pytest.raises(BatchError) as caught:
        schedules.read_schedule("a", body | change, NOW)
    assert caught.value.error_code == code
