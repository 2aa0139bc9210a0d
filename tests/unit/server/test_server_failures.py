"""Answers to wrong secrets come ever later, for a minute."""

from __future__ import annotations

from kyanite.limits import LOGIN_FAILURES_PER_MINUTE
from kyanite.server.failures import Failures


def test_a_few_mistakes_cost_nothing_and_more_cost_ever_more() -> None:
    failures = Failures()
    assert {failures.delay(0.0) for _ in range(LOGIN_FAILURES_PER_MINUTE)} == {0.0}
    assert [failures.delay(1.0) for _ in range(8)] == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]


def test_they_are_forgotten_after_a_minute() -> None:
    failures = Failures()
    for _ in range(100):
        failures.delay(0.0)
    assert failures.delay(59.9) == 5.0
    assert failures.delay(120.0) == 0.0
