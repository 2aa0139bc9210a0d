from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kyanite import limits
from kyanite.batch.model import (
    TASK_ENDED,
    TASK_TRANSITIONS,
    Exited,
    FailureInfo,
    Fenced,
    Lost,
    ResourceFile,
    StartTask,
    Task,
    TaskEvent,
    TaskSpec,
    TaskState,
    after_attempt,
    assigned,
    check_identifier,
    prepared,
    reactivated,
    retention_end,
    task_problems,
    terminated,
)
from kyanite.errors import BatchError, InvariantError

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def task(**changes):
    spec = TaskSpec("t", "true", **changes)
    return Task("acct", "job", "t", "pool", spec, NOW)


def running(**changes):
    return assigned(task(**changes), "tvm-0001", NOW)


def exited(code, failure=None):
    return Exited(code, NOW, NOW + timedelta(seconds=1), failure)


def test_transition_table_is_closed():
    left = {event for state, event in TASK_TRANSITIONS if state is TaskState.COMPLETED}
    assert left == {TaskEvent.REACTIVATED}
    assert {event for _, event in TASK_TRANSITIONS} == set(TaskEvent)
    assert {state for state, _ in TASK_TRANSITIONS} == set(TaskState)


def test_assigning_takes_a_new_attempt_and_a_node():
    moved = running()
    assert (moved.state, moved.attempt, moved.node_id) == (TaskState.RUNNING, 1, "tvm-0001")
    with pytest.raises(InvariantError, match="running cannot be assigned"):
        assigned(moved, "tvm-0002", NOW)


def test_exit_code_0_succeeds():
    done = after_attempt(running(), exited(0), NOW)
    assert (done.state, done.result, done.exit_code, done.failure_info) == (TaskState.COMPLETED, "success", 0, None)


def test_exit_code_not_0_fails_with_the_service_code():
    done = after_attempt(running(), exited(3), NOW)
    assert (done.result, done.exit_code, done.failure_info.code) == ("failure", 3, "FailureExitCode")
    assert done.failure_info.category == "UserError"


@pytest.mark.parametrize(("allowed", "runs"), [(0, 1), (2, 3)])
def test_retries_are_counted_and_bounded(allowed, runs):
    current = task(max_retry_count=allowed)
    count = 0
    while current.state is TaskState.ACTIVE:
        count += 1
        current = after_attempt(assigned(current, "n", NOW), exited(1), NOW)
    assert (count, current.retry_count, current.loss_count, current.requeue_count) == (runs, allowed, 0, 0)


def test_a_retry_count_of_minus_1_never_gives_up():
    current = task(max_retry_count=-1)
    for _ in range(50):
        current = after_attempt(assigned(current, "n", NOW), exited(1), NOW)
    assert (current.state, current.retry_count) == (TaskState.ACTIVE, 50)


@pytest.mark.parametrize("code", ["BlobNotFound", "CommandProgramNotFound", "TaskEnded"])
def test_only_a_failing_exit_code_is_retried(code):
    end = Exited(None, None, None, FailureInfo("UserError", code, "no"))
    done = after_attempt(running(max_retry_count=5), end, NOW)
    assert (done.state, done.retry_count, done.failure_info.code) == (TaskState.COMPLETED, 0, code)


def test_the_third_loss_blames_the_task_and_leaves_the_other_counters_alone():
    current = task(max_retry_count=1)
    for loss in range(1, limits.LOSSES_PER_TASK):
        current = after_attempt(assigned(current, "n", NOW), Lost(), NOW)
        assert (current.state, current.loss_count) == (TaskState.ACTIVE, loss)
    done = after_attempt(assigned(current, "n", NOW), Lost(), NOW)
    assert (done.state, done.failure_info.code, done.failure_info.category) == (
        TaskState.COMPLETED,
        "TaskLostTooOften",
        "ServerError",
    )
    assert (done.loss_count, done.retry_count, done.requeue_count) == (limits.LOSSES_PER_TASK, 0, 0)


def test_a_fenced_attempt_counts_nowhere():
    again = after_attempt(running(), Fenced(), NOW)
    assert (again.state, again.attempt, again.loss_count, again.retry_count) == (TaskState.ACTIVE, 1, 0, 0)


@pytest.mark.parametrize("end", [exited(1), Lost(), Fenced()])
def test_a_task_told_to_stop_never_waits_again(end):
    from dataclasses import replace

    done = after_attempt(replace(running(max_retry_count=9), stop_reason="TaskEnded"), end, NOW)
    assert (done.state, done.result) == (TaskState.COMPLETED, "failure")


def test_terminating_a_waiting_task_ends_it():
    done = terminated(task(), NOW)
    assert (done.state, done.failure_info, done.exit_code) == (TaskState.COMPLETED, TASK_ENDED, None)
    with pytest.raises(InvariantError):
        terminated(done, NOW)


def test_work_put_back_by_a_user_counts_as_requeued_and_runs_again():
    from dataclasses import replace

    stopped = exited(143, TASK_ENDED)
    for end in (stopped, Lost(), Fenced()):
        again = after_attempt(replace(running(), stop_reason="Requeued"), end, NOW)
        assert (again.state, again.requeue_count, again.last_requeue) == (TaskState.ACTIVE, 1, NOW)
        assert (again.retry_count, again.loss_count, again.stop_reason, again.node_id) == (0, 0, None, None)
    done = after_attempt(replace(running(), stop_reason="Requeued"), exited(0), NOW)
    assert (done.state, done.result, done.requeue_count) == (TaskState.COMPLETED, "success", 0)
    retried = after_attempt(replace(running(max_retry_count=1), stop_reason="Requeued"), exited(1), NOW)
    assert (retried.state, retried.retry_count, retried.requeue_count) == (TaskState.ACTIVE, 1, 0)


def test_a_task_held_for_its_jobs_preparation():
    held = assigned(task(), "n", NOW, hold=True)
    assert (held.state, held.node_id, task_problems(held)) == (TaskState.PREPARING, "n", [])
    assert prepared(held, NOW).state is TaskState.RUNNING
    back = after_attempt(held, Fenced(), NOW)
    assert (back.state, back.previous_state, task_problems(back)) == (TaskState.ACTIVE, TaskState.PREPARING, [])


def test_a_failed_task_can_be_run_again_as_if_it_never_had():
    done = after_attempt(assigned(task(max_retry_count=0), "n", NOW), exited(1), NOW)
    again = reactivated(done, NOW)
    assert (again.state, again.retry_count, again.exit_code, again.failure_info) == (TaskState.ACTIVE, 0, None, None)
    assert task_problems(again) == []
    assert again.version == done.version + 1
    with pytest.raises(InvariantError):
        reactivated(running(), NOW)


ENDS = st.one_of(
    st.integers(0, 3).map(exited),
    st.just(Lost()),
    st.just(Fenced()),
    st.just(Exited(None, None, None, FailureInfo("UserError", "BlobNotFound", "no"))),
)


@given(st.integers(-1, 3), st.lists(st.tuples(ENDS, st.booleans(), st.sampled_from([None, "Requeued"])), max_size=12))
def test_no_sequence_of_ends_breaks_an_invariant(allowed, ends):
    from dataclasses import replace

    current = task(max_retry_count=allowed)
    for end, hold, stop in ends:
        if current.state is TaskState.COMPLETED:
            if current.result == "success":
                break
            current = reactivated(current, NOW)
            assert task_problems(current) == []
            continue
        current = assigned(current, "n", NOW, hold=hold)
        assert task_problems(current) == []
        if hold:
            current = prepared(current, NOW)
        current = replace(current, stop_reason=stop)
        current = after_attempt(current, end, NOW)
        assert task_problems(current) == []


def test_an_impossible_task_is_noticed():
    from dataclasses import replace

    assert task_problems(replace(task(), result="success")) != []
    assert task_problems(replace(running(), node_id=None)) != []


def test_stored_form_gives_the_same_task_back():
    files = (
        ResourceFile("a.json", content=b'{"k": "\xc3\xa9"}', keep=False),
        ResourceFile("raw.bin", content=b"\xff\x00"),
        ResourceFile("d/main.py", http_url="https://a.blob.core.windows.net/c/main.py", mode=0o755),
        ResourceFile("x", source_path="/tmp/x"),
    )
    spec = TaskSpec("t", "true", files, {"A": "1"}, 10.0, 5.0, 2, 3, "Name")
    assert TaskSpec.from_json("t", spec.to_json()) == spec
    start = StartTask("true", files, {"B": "2"}, 1, False)
    assert StartTask.from_json(start.to_json()) == start


def test_secrets_of_a_task_are_not_in_its_repr():
    spec = TaskSpec("t", "run --key hunter2", (ResourceFile("f", content=b"hunter2"),), {"K": "hunter2"})
    assert "hunter2" not in repr(spec)
    assert "hunter2" not in repr(StartTask("run hunter2", (), {"K": "hunter2"}))


def test_retention_is_counted_from_the_end():
    done = after_attempt(running(retention=60), exited(0), NOW)
    assert retention_end(done) == NOW + timedelta(seconds=61)
    assert retention_end(task()) is None


@pytest.mark.parametrize("bad", ["", "a b", "a/b", "..", "é", "x" * 65, "a\n"])
def test_identifiers(bad):
    assert check_identifier("job", "adfv2-Pool_1") == "adfv2-Pool_1"
    with pytest.raises(BatchError, match="not a valid job id"):
        check_identifier("job", bad)
