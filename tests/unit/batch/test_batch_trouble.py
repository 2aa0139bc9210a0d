"""Errors in the background: the next caller is told, or the log; never more than a few are kept."""

from __future__ import annotations

import logging

import pytest

from kyanite.batch.trouble import Trouble
from kyanite.errors import BatchError


def test_the_next_callers_are_told_one_error_each_and_old_ones_are_forgotten() -> None:
    trouble = Trouble()
    trouble.raise_one()
    for number in range(100):
        trouble.add(BatchError(f"error {number}"))
    told = []
    for _ in range(16):
        with pytest.raises(BatchError) as caught:
            trouble.raise_one()
        told.append(caught.value.message)
    trouble.raise_one()
    assert told == [f"error {number}" for number in range(84, 100)]


def test_a_server_logs_each_error_once_and_no_caller_is_told(caplog: pytest.LogCaptureFixture) -> None:
    trouble = Trouble()
    trouble.to_log = True
    with caplog.at_level(logging.WARNING, logger="kyanite.batch"):
        for error in (OSError("no disk"), OSError("no disk"), KeyError("odd"), OSError("no disk")):
            trouble.add(error)
    trouble.raise_one()
    assert [record.getMessage().rpartition(": ")[2] for record in caplog.records] == ["no disk", "'odd'", "no disk"]
    assert [bool(record.exc_info) for record in caplog.records] == [False, True, False]
