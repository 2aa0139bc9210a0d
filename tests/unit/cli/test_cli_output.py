"""Tables, sizes, durations."""

from __future__ import annotations

import re
import sys

import pytest

from kyanite.cli.details import copy_rows, error_details, error_text, one_line, plain_message
from kyanite.cli.output import count, duration, print_table, size, status, table
from kyanite.cli.session import Session


@pytest.mark.parametrize(
    ("number", "text"),
    [(None, ""), (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (30_007_220, "30.0 MB"), (123_400_000, "123 MB"),
     (5_500_000_000, "5.5 GB"), (2e12, "2.0 TB")],
)  # fmt: skip
def test_sizes(number: float | None, text: str) -> None:
    assert size(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (0.424, "0.42 s"), (12.34, "12.3 s"), (59.99, "60.0 s"), (166, "2 min 46 s"), (3900, "1 h 05 min")],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_counts() -> None:
    assert [count(value) for value in (None, 1108703, 1.5, "x", True)] == ["", "1,108,703", "1.5", "x", "True"]


def test_a_table_is_aligned_and_colours_take_no_room() -> None:
    text = table(["name", "rows"], [["a", "1,000"], [status("Failed"), "2"], ["x\nyy", "3"]], right=("rows",))
    assert text.replace("\x1b[31m", "").replace("\x1b[0m", "").splitlines() == [
        "name     rows",
        "------  -----",
        "a       1,000",
        "Failed      2",
        "x           3",
        "yy",
    ]


def test_a_cell_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(Session("nowhere"), ["name"], [["a\x1b[2J\x07"]])
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\\x07" in shown


def test_a_terminal_gets_a_folded_table_without_colours_when_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    session = Session("nowhere")
    session.color = False
    print_table(session, ["message"], [["word " * 30]])
    shown = capsys.readouterr().out
    assert "\x1b[3" not in shown
    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()
    assert max(len(line) for line in lines) <= 40
    assert sum(line.count("word") for line in lines) == 30


@pytest.mark.parametrize(
    ("kind", "output", "text"),
    [
        ("Copy", {"rowsCopied": 1000, "filesRead": 4, "filesWritten": 1, "dataRead": 2_000_000, "dataWritten": 10},
         "rows 1,000, files 4 -> 1, 2.0 MB read, 10 B written"),
        ("Copy", {"filesRead": 4}, ""),
        ("Custom", {"exitcode": 3}, "exit code 3"),
        ("Filter", {"ItemsCount": 6, "FilteredItemsCount": 3}, "3 of 6 items"),
        ("Lookup", {"count": 5000}, "rows 5,000"),
        ("Wait", {}, ""),
        ("SetVariable", None, ""),
        ("Custom", "text", ""),
    ],
)  # fmt: skip
def test_an_output_in_a_few_words(kind: str, output: object, text: str) -> None:
    assert one_line(kind, output) == text


def test_copy_details_hold_what_the_output_tells() -> None:
    rows = dict(copy_rows({"rowsRead": 7, "rowsCopied": 7, "dataRead": 1024, "copyDuration": 2, "throughput": 1000.0}))
    assert rows == {
        "rows read": "7",
        "rows written": "7",
        "data read": "1.0 kB",
        "duration": "2 s",
        "throughput": "1.0 MB/s",
    }
    assert copy_rows(None) == []


def test_error_texts() -> None:
    assert error_text({"errorCode": "", "message": "", "target": "A"}) == ""
    assert error_text({"errorCode": "2500", "message": "It failed."}) == "2500: It failed."
    assert error_text({"errorCode": "X", "message": "ErrorCode=X, bad"}) == "ErrorCode=X, bad"
    assert error_text(None) == ""
    assert error_details({"details": [{"message": "line 1"}, "line 2", {"stderr": "a\nb"}]}) == [
        "line 1", "line 2", "a", "b",
    ]  # fmt: skip
    assert error_details({"message": "It said: no.", "details": [{"stderr": "no."}]}) == []
    assert error_details({}) == []


def test_a_copy_error_is_unwrapped_for_people() -> None:
    wire = (
        "Operation on target C failed: Failure happened on 'Source' side. ErrorCode=UserErrorInvalidData,"
        "'Type=Microsoft.DataTransfer.Common.Shared.HybridDeliveryException,Message=a, b: It's bad.,Source=kyanite,'"
    )
    assert plain_message(wire) == "Operation on target C failed: a, b: It's bad. (Source side, UserErrorInvalidData)"
    assert plain_message("plain") == "plain"
