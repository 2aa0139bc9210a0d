"""What the server says never makes it wait."""

from __future__ import annotations

import logging
import threading

import pytest

from kyanite.server import logs
from kyanite.server.logs import logging_to

LOG = logging.getLogger("kyanite.test")


def test_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "LOG_LINES_WAITING", 50)
    reads = threading.Event()
    begun = threading.Event()
    lines: list[str] = []

    def write(line: str) -> None:
        begun.set()
        reads.wait()
        lines.append(line)

    with logging_to(write, "json"):
        LOG.info("line")
        begun.wait()
        for _ in range(500):
            LOG.info("line")  # would never return if it waited for the reader
        reads.set()
        while len(lines) < 51:
            reads.wait(0.001)
        LOG.info("last")
    assert len(lines) == 53 and "450 lines left out" in lines[51] and "last" in lines[52]


def test_stuck_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "LOG_LAST_SECONDS", 0.05)
    reads = threading.Event()
    stuck: list[bool] = []

    def read_late(line: str) -> None:
        reads.wait()

    with logging_to(read_late, "text", stuck=lambda: stuck.append(True)):
        LOG.info("line")
    assert stuck
    reads.set()


def test_all_is_said_before_the_end() -> None:
    lines: list[str] = []
    stuck: list[bool] = []
    with logging_to(lines.append, "text", stuck=lambda: stuck.append(True)):
        for number in range(1000):
            LOG.info("line %d", number)
    assert [line.rpartition(" ")[2] for line in lines] == [str(number) for number in range(1000)]
    assert not stuck
