"""`kyanite runs` on runs made of events."""

from __future__ import annotations

import json

import pytest
from made_up_workspace import SECRET, FakeSession, FakeWorkspace, Run, copy_run, event

from kyanite.cli.run_names import full_run_id
from kyanite.cli.runs import LogPrinter, unfinished
from kyanite.errors import ConflictError, NotFoundError

RUN_ID = "11111111-2222-4333-8444-555555555555"


@pytest.fixture
def history(fake: FakeWorkspace) -> FakeWorkspace:
    fake.add_run("aaa1-old", *copy_run())
    fake.add_run("aaa2-failed", *copy_run(status="Failed"))
    fake.add_run("bbb1-parent", event("RunStarted", 1), pipeline="Night")
    fake.add_run("ccc1-child", event("RunStarted", 2), parent="bbb1-parent")
    return fake


def test_list_shows_the_newest_first(history: FakeWorkspace, kyanite: Run) -> None:
    lines = kyanite("runs", "list").out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["ccc1-child", "bbb1-parent", "aaa2-failed", "aaa1-old"]
    assert lines[-1].split()[1:] == ["Load", "Succeeded", "2026-01-31", "06:00:01", "2.60", "s"]


def test_list_filters(history: FakeWorkspace, kyanite: Run) -> None:
    def ids(*options: str) -> list[str]:
        return [run["runId"] for run in json.loads(kyanite("runs", "list", "--json", *options).out)]

    assert ids("--status", "failed") == ["aaa2-failed"]
    assert ids("--pipeline", "Night") == ["bbb1-parent"]
    assert ids("--limit", "1") == ["ccc1-child"]
    assert ids("--status", "Cancelled") == []
    assert kyanite("runs", "list", "--status", "Cancelled").out == "no runs\n"
    assert kyanite("runs", "list", "--status", "Odd").code == 2
    assert kyanite("runs", "list", "--limit", "0").code == 2


def test_show_prints_activities_copy_details_and_the_end(history: FakeWorkspace, kyanite: Run) -> None:
    result = kyanite("runs", "show", "aaa1")
    assert result.code == 0
    assert "rows 1,108,710, files 4 -> 1, 24.1 MB read, 24.1 MB written" in result.out
    assert "  rows written   1,108,710\n" in result.out
    assert "  throughput     12.0 MB/s\n" in result.out
    assert result.out.endswith("pipeline  Load\nrun       aaa1-old\nstatus    Succeeded in 2.60 s\n")


def test_show_of_a_failed_run_tells_why(history: FakeWorkspace, kyanite: Run) -> None:
    result = kyanite("runs", "show", "aaa2-failed")
    assert result.code == 0
    assert "CopyFile Failed\n  2200: The file is corrupt.\n" in result.out
    assert "message   Operation on target CopyFile failed" in result.out


def test_show_json_has_both_wire_shapes(history: FakeWorkspace, kyanite: Run) -> None:
    document = json.loads(kyanite("runs", "show", "aaa1-old", "--json").out)
    assert set(document) == {"pipelineRun", "activityRuns"}
    assert document["pipelineRun"]["runId"] == "aaa1-old"
    assert document["activityRuns"][0]["activityName"] == "CopyFile"
    assert document["activityRuns"][0]["output"]["rowsCopied"] == 1_108_710


def test_skipped_activities_are_shown_when_asked_for(fake: FakeWorkspace, kyanite: Run) -> None:
    fake.add_run(RUN_ID, event("RunStarted", 1), event("ActivitySkipped", 1, path="Later", type="Wait"))
    assert "Later" not in kyanite("runs", "show", "latest").out
    assert "Later" in kyanite("runs", "show", "latest", "--all").out


def test_a_secret_in_an_output_is_masked(fake: FakeWorkspace, kyanite: Run) -> None:
    ended = event("ActivityEnded", 2, path="A", type="Web", status="Failed", error={"message": f"no {SECRET}"})
    fake.add_run(RUN_ID, event("RunStarted", 1), ended, event("RunEnded", 3, status="Failed", message=SECRET))
    for line in (["show", "latest"], ["show", RUN_ID, "--json"], ["list"]):
        result = kyanite("runs", *line)
        assert SECRET not in result.out
        assert "***" in result.out


def test_runs_are_found_by_the_beginning_of_their_id(history: FakeWorkspace) -> None:
    assert full_run_id(history, "aaa1-old") == "aaa1-old"  # type: ignore[arg-type]
    assert full_run_id(history, "BBB") == "bbb1-parent"  # type: ignore[arg-type]
    with pytest.raises(ConflictError, match="aaa2-failed, aaa1-old"):
        full_run_id(history, "aaa")  # type: ignore[arg-type]
    for text in ("zzz", ""):
        with pytest.raises(NotFoundError):
            full_run_id(history, text)  # type: ignore[arg-type]


def test_an_id_that_begins_another_one_is_that_run(fake: FakeWorkspace) -> None:
    fake.add_run("ab")
    fake.add_run("abc")
    assert full_run_id(fake, "ab") == "ab"  # type: ignore[arg-type]


def test_latest_is_the_newest_run_that_no_run_started(history: FakeWorkspace) -> None:
    assert full_run_id(history, "latest") == "bbb1-parent"  # type: ignore[arg-type]


def test_latest_of_nothing_is_told(fake: FakeWorkspace, kyanite: Run) -> None:
    result = kyanite("runs", "show", "latest")
    assert result.code == 1
    assert "Nothing has run" in result.err


def test_unfinished_runs_are_the_parents_oldest_first(history: FakeWorkspace) -> None:
    history.add_run("ddd1", event("RunStarted", 1))
    assert unfinished(FakeSession(history)) == ["bbb1-parent", "ddd1"]


def test_resume_wants_one_run_or_all(kyanite: Run) -> None:
    assert kyanite("runs", "resume").code == 2
    assert kyanite("runs", "resume", "x", "--all").code == 2


def test_logs_are_printed_as_they_grow(fake: FakeWorkspace, capsys: pytest.CaptureFixture[str]) -> None:
    printer = LogPrinter(FakeSession(fake))
    printer("1", "Split stdout.txt", "one\n")
    printer("1", "Split stdout.txt", "one\n")
    printer("1", "Split stdout.txt", "one\ntwo")
    printer("1", "Split stderr.txt", f"bad {SECRET}")
    printer("2", "Split stdout.txt", "again\n")
    assert capsys.readouterr().out == (
        "==> Split stdout.txt\none\ntwo\n==> Split stderr.txt\nbad ***\n==> Split stdout.txt\nagain\n"
    )
