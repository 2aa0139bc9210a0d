from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kyanite.batch import reading
from kyanite.batch.codes import CODES, refusal, status_of
from kyanite.errors import BatchError


def code_of(call, *arguments, **named):
    with pytest.raises(BatchError) as caught:
        call(*arguments, **named)
    return caught.value.error_code


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("PT15M00S", 900),
        ("PT01H00M00S", 3600),
        ("PT05M00.25S", 300.25),
        ("P1D", 86_400),
        ("PT15M", 900),
        ("P7D", 604_800),
        ("P1DT2H", 93_600),
        ("P2W", 1_209_600),
        ("PT0S", 0),
        ("pt5m", 300),
        ("-PT5M", -300),
    ],
)
def test_durations_as_clients_send_them(text, seconds):
    assert reading.duration_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "P", "PT", "15M", "PT15", "P1Y", "PT1H1H", "00:15:00", "PTxS"])
def test_what_is_no_duration(text):
    assert reading.duration_seconds(text) is None
    assert code_of(reading.seconds, {"d": text}, "d") == "InvalidPropertyValue"


def test_no_limit_is_none_both_ways():
    assert reading.duration_text(None) == "P10675199DT2H48M5.4775807S"
    assert reading.seconds({"d": "P10675199DT2H48M5.4775807S"}, "d") is None
    assert reading.seconds({"d": None}, "d") is None


@given(st.integers(0, 10**13))
def test_a_duration_written_is_read_again(ticks):
    seconds = ticks / 1_000_000
    assert reading.duration_seconds(reading.duration_text(seconds)) == pytest.approx(seconds, abs=1e-6)


def test_durations_have_bounds():
    assert reading.seconds({"d": "PT5M"}, "d", 300, 600) == 300
    assert code_of(reading.seconds, {"d": "PT4M59S"}, "d", 300) == "InvalidPropertyValue"
    assert code_of(reading.seconds, {"d": "-PT1S"}, "d") == "InvalidPropertyValue"


def test_a_default_is_for_what_is_absent_not_for_no_limit():
    assert reading.seconds_or({}, "d", 900.0) == 900.0
    assert reading.seconds_or({"d": "PT5M"}, "d", 900.0) == 300
    assert reading.seconds_or({"d": "P365000D"}, "d", 900.0) == reading.FOREVER_SECONDS
    assert code_of(reading.seconds, {"d": "PT11M"}, "d", 300, 600) == "InvalidPropertyValue"


@pytest.mark.parametrize("value", [2, "2", " 2", 2.0])
def test_numbers_may_be_text(value):
    assert reading.whole({"n": value}, "n", 0) == 2


@pytest.mark.parametrize("value", ["2.5", 2.5, True, "two", [], {}, "", float("nan"), float("inf"), "9" * 16])
def test_what_is_no_whole_number(value):
    assert code_of(reading.whole, {"n": value}, "n", 0) == "InvalidPropertyValue"


def test_whole_numbers_have_defaults_and_bounds():
    assert reading.whole({}, "n", 7) == reading.whole({"n": None}, "n", 7) == 7
    assert code_of(reading.whole, {"n": 0}, "n", 1, least=1) == "InvalidPropertyValue"
    assert code_of(reading.whole, {"n": 9}, "n", 1, least=1, most=8) == "InvalidPropertyValue"


def test_words_truth_and_shapes():
    assert reading.choice({"w": "PACK"}, "w", ("spread", "pack"), "spread") == "pack"
    assert code_of(reading.choice, {"w": "x"}, "w", ("spread",), "spread") == "InvalidPropertyValue"
    assert reading.truth({"t": "False"}, "t", True) is False
    assert code_of(reading.truth, {"t": 1}, "t", True) == "InvalidPropertyValue"
    assert code_of(reading.part, {"p": []}, "p") == "InvalidPropertyValue"
    assert code_of(reading.items, {"l": {}}, "l") == "InvalidPropertyValue"
    assert code_of(reading.items, {"l": [1, 2]}, "l", 1) == "InvalidPropertyValue"
    assert code_of(reading.objects, {"l": ["x"]}, "l") == "InvalidPropertyValue"
    assert code_of(reading.text, {"t": {}}, "t") == "InvalidPropertyValue"
    assert code_of(reading.required, {"t": ""}, "t") == "MissingRequiredProperty"


@pytest.mark.parametrize(
    "text", ["2026-03-01T12:00:00Z", "2026-03-01T12:00:00.0000000Z", "2026-03-01T13:00:00+01:00", "2026-03-01T12:00:00"]
)
def test_times(text):
    assert reading.moment({"t": text}, "t") == datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("text", ["tomorrow", "0001-01-01T00:00:00+05:00", 5])
def test_what_is_no_time(text):
    assert code_of(reading.moment, {"t": text}, "t") == "InvalidPropertyValue"


def test_every_code_has_a_status_and_a_sentence():
    assert list(CODES) == sorted(CODES)
    for code, (status, sentence) in CODES.items():
        assert 400 <= status <= 599, code
        assert sentence.endswith("."), code
    assert (status_of("PoolExists"), status_of("TaskLostTooOften")) == (409, 400)


def test_a_refusal_carries_the_details():
    error = refusal("PropertyNotUpdatable", "'id' cannot be patched.", PropertyName="id")
    assert error.values == (("PropertyName", "id"), ("Reason", "'id' cannot be patched."))
    assert "cannot be patched" in error.message
