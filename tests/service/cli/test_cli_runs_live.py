"""run, show, cancel, resume, logs with real runs, in one process and across processes that die."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from git_factory import ACCOUNT, GitFactory, Run, set_variable, spawn, wait

PATIENCE = 20.0


def until(condition: Callable[[], bool]) -> None:
    """Wait for something another process does."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def statuses(kyanite: Run) -> list[str]:
    result = kyanite("runs", "list", "--json")
    return [run["status"] for run in json.loads(result.out)] if result.code == 0 else []


def activity_statuses(kyanite: Run) -> dict[str, str]:
    document = json.loads(kyanite("runs", "show", "latest", "--json").out)
    return {activity["activityName"]: activity["status"] for activity in document["activityRuns"]}


def test_a_run_shows_lines_table_and_end(kyanite: Run, factory: GitFactory) -> None:
    factory.pipeline(
        "Set",
        set_variable("First", "v", {"value": "@pipeline().parameters.p", "type": "Expression"}),
        set_variable("Second", "w", "x", "First"),
        parameters={"p": {"type": "String", "defaultValue": "d"}},
        variables={"v": {"type": "String"}, "w": {"type": "String"}},
    )
    kyanite("init")
    result = kyanite("run", "Set", "--factory", factory.folder, "-p", "p=hello")
    assert result.code == 0, result.err
    assert "] First (SetVariable) Succeeded in " in result.out
    assert result.out.splitlines()[-1].startswith("status    Succeeded in ")
    assert result.err == ""


def test_run_json_is_one_document_and_progress_is_apart(kyanite: Run, factory: GitFactory) -> None:
    factory.pipeline("W", wait("A", 1))
    kyanite("init")
    result = kyanite("run", "w", "--factory", factory.folder, "--json")
    document = json.loads(result.out)
    assert document["pipelineRun"]["status"] == "Succeeded"
    assert [activity["activityName"] for activity in document["activityRuns"]] == ["A"]
    assert "A (Wait) started" in result.err
    assert kyanite("run", "w", "--factory", factory.folder, "--json", "--quiet").err == ""


def test_parameters_are_typed_as_declared(kyanite: Run, factory: GitFactory) -> None:
    texts = ("s", "i", "b", "a", "o")
    factory.pipeline(
        "Types",
        *(
            set_variable(f"Set_{name}", name, {"value": f"@string(pipeline().parameters.{name})", "type": "Expression"})
            for name in texts
        ),
        parameters={
            "s": {"type": "String"}, "i": {"type": "Int"}, "b": {"type": "Bool"},
            "a": {"type": "Array"}, "o": {"type": "Object"},
        },
        variables={name: {"type": "String"} for name in texts},
    )  # fmt: skip
    kyanite("init")
    good = ["-p", "s=1", "-p", "i=2", "-p", "b=true", "-p", 'a=["x"]', "-p", 'o={"k": 1}']
    result = kyanite("run", "Types", "--factory", factory.folder, "--json", *good)
    assert result.code == 0, result.err
    values = {row["activityName"]: row["output"]["value"] for row in json.loads(result.out)["activityRuns"]}
    assert values == {"Set_s": "1", "Set_i": "2", "Set_b": "True", "Set_a": '["x"]', "Set_o": '{"k":1}'}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], "p"),
        (["-p", "p=x"], "p"),
        (["-p", "p=1", "-p", "q=2"], "q"),
        (["--parameters", "none.json"], "none.json"),
    ],
    ids=["missing", "wrong-type", "unknown", "no-file"],
)
def test_wrong_parameters_start_nothing(kyanite: Run, factory: GitFactory, options: list[str], expected: str) -> None:
    factory.pipeline("P", wait("A", 1), parameters={"p": {"type": "Int"}})
    kyanite("init")
    result = kyanite("run", "P", "--factory", factory.folder, *options)
    assert result.code == 1
    assert expected in result.err
    assert statuses(kyanite) == []


def test_p_without_equals_is_wrong_usage(kyanite: Run, factory: GitFactory) -> None:
    factory.pipeline("P", wait("A", 1))
    assert kyanite("run", "P", "--factory", factory.folder, "-p", "novalue").code == 2


def test_the_factory_is_found(
    kyanite: Run, factory: GitFactory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    factory.pipeline("Quick")
    kyanite("init")
    none = kyanite("run", "Quick")
    assert none.code == 1
    assert "No factory is deployed" in none.err
    assert kyanite("deploy", factory.folder, "--factory-name", "one").code == 0
    assert kyanite("run", "Quick").code == 0
    assert kyanite("deploy", factory.folder, "--factory-name", "two").code == 0
    several = kyanite("run", "Quick")
    assert several.code == 1
    assert "one, two" in several.err
    assert kyanite("run", "Quick", "--factory", "TWO").code == 0
    monkeypatch.chdir(factory.folder)
    assert kyanite("run", "Quick").code == 0
    assert kyanite("run", "Quik").err.count("'Quick'") == 1


def test_a_copy_run_tells_what_moved(kyanite: Run, filled: GitFactory) -> None:
    result = kyanite("run", "Copy", "--factory", filled.folder)
    assert result.code == 0, result.err + result.out
    assert "rows written     2,000" in result.out
    shown = kyanite("runs", "show", "latest")
    assert "files read       2" in shown.out
    assert kyanite("storage", "ls", f"{ACCOUNT}/data/out/all.parquet").code == 0


def test_a_killed_run_is_resumed(kyanite: Run, factory: GitFactory, home: Path) -> None:
    factory.pipeline("W", wait("A", 1), wait("B", 2, "A"))
    kyanite("init")
    process = spawn(home, "run", "W", "--factory", str(factory.folder))
    until(lambda: statuses(kyanite) == ["InProgress"] and "B" in activity_statuses(kyanite))
    process.kill()
    process.communicate()
    assert statuses(kyanite) == ["InProgress"]
    result = kyanite("runs", "resume", "latest")
    assert result.code == 0, result.err
    assert activity_statuses(kyanite) == {"A": "Succeeded", "B": "Succeeded"}
    assert kyanite("runs", "resume", "--all").out == "nothing to resume\n"


def test_resume_all_goes_on_with_every_unfinished_run(kyanite: Run, factory: GitFactory, home: Path) -> None:
    factory.pipeline("W", wait("A", 2))
    kyanite("init")
    for count in (1, 2):
        process = spawn(home, "run", "W", "--factory", str(factory.folder))
        until(lambda count=count: statuses(kyanite) == ["InProgress"] * count)
        process.kill()
        process.communicate()
    assert kyanite("runs", "resume", "--all").code == 0
    assert statuses(kyanite) == ["Succeeded", "Succeeded"]


def test_ctrl_c_leaves_a_run_that_can_be_resumed(kyanite: Run, factory: GitFactory, home: Path) -> None:
    factory.pipeline("W", wait("A", 2))
    kyanite("init")
    process = spawn(home, "run", "W", "--factory", str(factory.folder))
    until(lambda: statuses(kyanite) == ["InProgress"])
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "Traceback" not in err
    run_id = json.loads(kyanite("runs", "list", "--json").out)[0]["runId"]
    assert f"kyanite runs resume {run_id}" in err
    assert kyanite("runs", "resume", run_id[:8]).code == 0


def test_cancel_reaches_the_process_that_works_on_the_run(kyanite: Run, factory: GitFactory, home: Path) -> None:
    factory.pipeline("W", wait("A", 60))
    kyanite("init")
    process = spawn(home, "run", "W", "--factory", str(factory.folder))
    until(lambda: statuses(kyanite) == ["InProgress"])
    result = kyanite("runs", "cancel", "latest")
    assert result.code == 0
    assert "Cancel" in result.out
    out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "Cancelled" in out
    assert statuses(kyanite) == ["Cancelled"]


def test_cancel_of_an_orphan_settles_it(kyanite: Run, factory: GitFactory, home: Path) -> None:
    factory.pipeline("W", wait("A", 60))
    kyanite("init")
    process = spawn(home, "run", "W", "--factory", str(factory.folder))
    until(lambda: statuses(kyanite) == ["InProgress"])
    process.kill()
    process.communicate()
    assert kyanite("runs", "cancel", "latest").code == 0
    assert statuses(kyanite) == ["Cancelled"]
    again = kyanite("runs", "cancel", "latest")
    assert again.code == 1
    assert "Cancelled" in again.err


@pytest.mark.parametrize("line", [["show"], ["cancel"], ["resume"], ["logs"]])
def test_unknown_runs_are_named(kyanite: Run, line: list[str]) -> None:
    kyanite("init")
    for run in ("latest", "1234", "00000000-0000-0000-0000-000000000000"):
        result = kyanite("runs", *line, run)
        assert result.code == 1
        assert result.err.startswith("error: ")


def test_a_run_without_tasks_has_no_logs(kyanite: Run, factory: GitFactory) -> None:
    factory.pipeline("Quick", wait("A", 1))
    kyanite("init")
    kyanite("run", "Quick", "--factory", factory.folder)
    result = kyanite("runs", "logs", "latest")
    assert result.code == 1
    assert "no task logs" in result.err
