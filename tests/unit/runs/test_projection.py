"""The row of a run is folded from its events, whatever their order of arrival in appends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kyanite.errors import InvariantError
from kyanite.runs.projection import RunState, fold


def at(second):
    return f"2026-03-01T12:00:{second:02}.000000Z"


def event(kind, second=0, **body):
    return {"kind": kind, "at": at(second), **body}


KINDS = ["RunQueued", "RunStarted", "ActivityStarted", "ActivityEnded", "CancelRequested", "RunEnded"]
events_lists = st.lists(
    st.builds(lambda kind, second: event(kind, second, status="Failed"), st.sampled_from(KINDS), st.integers(0, 59)),
    max_size=12,
)


@given(events_lists, st.integers(0, 12))
def test_folding_in_two_appends_is_folding_in_one(events, cut):
    assert fold(fold(RunState(), events[:cut]), events[cut:]) == fold(RunState(), events)


@given(events_lists)
def test_version_counts_and_time_never_goes_back(events):
    state = fold(RunState(), events)
    assert state.version == len(events)
    assert state.updated_at == max((each["at"] for each in events), default="")


@pytest.mark.parametrize(
    ("kinds", "status"),
    [
        (["RunQueued"], "Queued"),
        (["RunQueued", "ActivityStarted"], "Queued"),
        (["RunQueued", "RunStarted"], "InProgress"),
        (["RunQueued", "CancelRequested"], "Canceling"),
        (["RunQueued", "RunStarted", "CancelRequested"], "Canceling"),
        (["RunQueued", "RunStarted", "RunEnded"], "Failed"),
        (["RunQueued", "RunStarted", "RunEnded", "CancelRequested"], "Failed"),
    ],
)
def test_status(kinds, status):
    assert fold(RunState(), [event(kind, status="Failed") for kind in kinds]).status == status


def test_the_first_start_counts():
    state = fold(RunState(), [event("RunQueued", 1), event("RunStarted", 2), event("RunStarted", 3)])
    assert (state.queued_at, state.started_at, state.ended_at) == (at(1), at(2), None)


@pytest.mark.parametrize("wrong", ["2026-03-01", "2026-03-01T12:00:00.000Z", "٢٠٢٦-03-01T12:00:00.000000Z", 5, None])
def test_a_time_that_would_sort_wrongly_is_refused(wrong):
    with pytest.raises(InvariantError, match="RunStarted"):
        fold(RunState(), [{"kind": "RunStarted", "at": wrong}])
