"""What a run shows while it happens."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import pytest
from made_up_workspace import SECRET, FakeSession, FakeWorkspace, copy_run, event, moment

from kyanite.cli import progress
from kyanite.cli.progress import RunProgress, plain_lines, shown
from kyanite.runs.store import StoredEvent


def stored(wire: dict[str, Any]) -> StoredEvent:
    body = {name: value for name, value in wire.items() if name not in ("kind", "at")}
    return StoredEvent(1, wire["kind"], wire["at"], body)


def lines_of(fake: FakeWorkspace, capsys: pytest.CaptureFixture[str], *events: dict[str, Any]) -> list[str]:
    on_event = plain_lines(FakeSession(fake), "r1")
    for wire in events:
        on_event("r1", stored(wire))
    return [line.partition("] ")[2] for line in capsys.readouterr().out.splitlines()]


def test_a_line_for_the_start_and_the_end_of_an_activity(
    fake: FakeWorkspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lines_of(fake, capsys, *copy_run()) == [
        "CopyFile (Copy) started",
        "CopyFile (Copy) Succeeded in 2.50 s: rows 1,108,710, files 4 -> 1, 24.1 MB read, 24.1 MB written",
    ]


def test_failures_and_retries_are_told(fake: FakeWorkspace, capsys: pytest.CaptureFixture[str]) -> None:
    error = {"errorCode": "2500", "message": f"Exit code 1 {SECRET}\x1b[2J"}
    lines = lines_of(
        fake,
        capsys,
        event("ActivityStarted", 1, path="A", type="Custom"),
        event("AttemptFailed", 2, path="A", status="Failed", error=error, retryAt=moment(32)),
        event("ActivityStarted", 32, path="A", type="Custom", attempt=1),
        event("ActivityEnded", 33, path="A", type="Custom", status="Succeeded", output={"exitcode": 0}),
        event("ActivitySkipped", 33, path="B", type="Wait"),
        event("VariableSet", 33, name="x", value=1),
    )
    assert lines == [
        "A (Custom) started",
        "A (Custom) Failed in 1.00 s: 2500: Exit code 1 ***\\x1b[2J (another attempt follows)",
        "A (Custom) started (retry 1)",
        "A (Custom) Succeeded in 1.00 s: exit code 0",
        "B (Wait) Skipped",
    ]


def test_progress_lines_come_at_most_every_two_seconds(
    fake: FakeWorkspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    on_event = plain_lines(FakeSession(fake), "r1")
    on_event("r1", stored(event("ActivityStarted", 0, path="A", type="Copy")))
    for tenth in range(45):
        clock[0] = tenth / 10
        on_event("r1", stored(event("ActivityProgress", 1, path="A", output={"rowsCopied": tenth})))
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:] == ["[   2.0 s] A (Copy) running: rows 20", "[   4.0 s] A (Copy) running: rows 40"]


def test_a_secure_output_is_not_shown(fake: FakeWorkspace, capsys: pytest.CaptureFixture[str]) -> None:
    lines = lines_of(
        fake,
        capsys,
        event("ActivityStarted", 1, path="A", type="Copy", secureOutput=True),
        event("ActivityProgress", 3, path="A", output={"rowsCopied": 12345}),
        event("ActivityEnded", 4, path="A", type="Copy", status="Succeeded", output={"rowsCopied": 12345}),
    )
    assert lines == ["A (Copy) started", "A (Copy) Succeeded in 3.00 s"]


def test_activities_of_child_runs_are_named_after_their_pipeline() -> None:
    rows = RunProgress("r1")
    at = progress._moment(moment(1))
    rows.fold("r2", "RunQueued", at, {"pipeline": "Inner"})
    row = rows.fold("r2", "ActivityStarted", at, {"path": "A", "type": "Wait"})
    assert row is not None
    assert row.path == "Inner: A"


def test_what_happened_before_a_resume_is_known() -> None:
    def numbered(seq: int, wire: dict[str, Any]) -> StoredEvent:
        return replace(stored(wire), seq=seq)

    log = [
        numbered(1, event("RunQueued", 0, pipeline="Inner")),
        numbered(2, event("ActivityStarted", 1, path="A", type="Copy", secureOutput=True)),
        numbered(3, event("ActivityStarted", 1, path="B", type="Copy")),
        numbered(
            4, event("ActivityEnded", 41, path="A", type="Copy", status="Succeeded", output={"rowsCopied": 12345})
        ),
    ]
    rows = RunProgress("r1", {"r2": log}.__getitem__)
    row = rows.take("r2", log[-1])
    assert row is not None
    assert (row.path, row.seconds(row.started), row.detail) == ("Inner: A", 40.0, "")
    assert [row.path for row in rows.rows.values()] == ["Inner: A", "Inner: B"]


def test_an_output_whose_start_was_not_seen_stays_hidden() -> None:
    ended = event("ActivityEnded", 41, path="A", type="Copy", status="Succeeded", output={"rowsCopied": 12345})
    row = RunProgress("r1").take("r1", stored(ended))
    assert row is not None
    assert row.detail == ""


def test_quiet_shows_nothing_and_json_goes_to_stderr(fake: FakeWorkspace, capsys: pytest.CaptureFixture[str]) -> None:
    session = FakeSession(fake)
    with shown(session, "r1", quiet=True) as on_event:
        assert on_event is None
    session.as_json = True
    with shown(session, "r1") as on_event:
        assert on_event is not None
        for wire in copy_run():
            on_event("r1", stored(wire))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "CopyFile (Copy) Succeeded" in captured.err


def test_a_terminal_gets_a_live_table(
    fake: FakeWorkspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    with shown(FakeSession(fake), "r1") as on_event:
        assert on_event is not None
        for index in range(50):
            on_event("r1", stored(event("ActivityStarted", 1, path=f"A{index}", type="Copy")))
    text = capsys.readouterr().out
    assert "A0" in text
    assert "20 more" in text
