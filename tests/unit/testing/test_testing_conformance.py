"""The runner of conformance files: every comparison bites, nothing raises, the last line can be relied on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kyanite.engine import events as ev
from kyanite.errors import InvariantError
from kyanite.testing.__main__ import main
from kyanite.testing.conformance import run_cases
from kyanite.testing.conformance.control_flow import ScriptedRun

Json = Any
FILES = Path(__file__).parents[2] / "fixtures" / "conformance"


def custom(name: str, *after: str, **more: Json) -> Json:
    depends = [{"activity": one, "dependencyConditions": ["Succeeded"]} for one in after]
    return {"name": name, "type": "Custom", "dependsOn": depends, "typeProperties": {"command": "x"}, **more}


def append(name: str, value: Json, *after: str) -> Json:
    return {**custom(name, *after), "type": "AppendVariable", "typeProperties": {"variableName": "out", "value": value}}


LOOP = {"items": {"value": "@range(0,3)", "type": "Expression"}, "activities": [append("Add", "@item()"), custom("In")]}
MAIN = {
    "name": "main",
    "properties": {
        "variables": {"out": {"type": "Array"}},
        "parameters": {"need": {"type": "Int"}},
        "activities": [
            custom("A", policy={"retry": 2, "retryIntervalInSeconds": 30}),
            {**custom("Loop", "A"), "type": "ForEach", "typeProperties": LOOP},
            custom("Slow", "Loop", policy={"timeout": "0.00:00:05"}),
            custom("Never", "Slow"),
            {
                **custom("Call"),
                "type": "ExecutePipeline",
                "typeProperties": {"pipeline": {"referenceName": "child"}, "waitOnCompletion": True},
            },
        ],
    },
}
CHILD = {"name": "child", "properties": {"activities": [custom("C")]}}
OUTCOMES = {
    "A": ["Failed", {"status": "Succeeded", "output": {"Rows": 3, "Inner": {"Key": [1]}}}],
    "In": ["Succeeded", {"status": "Failed", "error": {"errorCode": "E1", "message": "m"}}, "Succeeded"],
    "Slow": [{"status": "Succeeded", "seconds": 60}],
}
TRUE = {
    "status": "Failed",
    "activities": {
        "A": {"status": "Succeeded", "attempts": 2, "output": {"ROWS": 3, "inner": {"KEY": [1]}}},
        "Slow": {"status": "Skipped"},
        "In": {"attempts": 3},
        "Call": {"status": "Succeeded"},
    },
    "keys_any_case": ["A"],
    "counts": {"In": {"Succeeded": 2, "Failed": 1}, "Never": {"Skipped": 1}},
    "min_counts": {"Add": 3},
    "attempts_at_most": {"A": 2},
    "variables": {"out": [2, 0, 1]},
    "unordered": ["out"],
    "order": [["A", "Loop"], ["A", "In"]],
    "absent": ["Nothing"],
    "not_run": ["Slow", "Never", "Nothing"],
    "child": {"child": ["Succeeded"]},
}


def case(expect: Json, **members: Json) -> Json:
    run = {"pipeline": "main", "parameters": {"need": 1}}
    return {
        "id": "c",
        "title": "t",
        "pipelines": [MAIN, CHILD],
        "run": run,
        "outcomes": OUTCOMES,
        "expect": expect,
    } | members


def told(kind: str, *cases: Json) -> list[str | None]:
    verdicts = run_cases(kind, [json.dumps(each) for each in cases])
    return [verdict.failure and f"wanted {verdict.failure.wanted} got {verdict.failure.got}" for verdict in verdicts]


@pytest.mark.parametrize("kind", ["control_flow", "expressions"])
def test_the_files_of_the_repository_pass(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([kind, str(FILES / f"{kind}.jsonl")]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith(" passed, 0 failed")


def test_what_is_true_passes() -> None:
    assert told("control_flow", case(TRUE)) == [None]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"status": "Succeeded"}, "wanted status Succeeded got Failed (Operation on target Loop failed"),
        ({"activities": {"A": {"status": "Failed"}}}, "wanted A Failed got A Succeeded"),
        ({"activities": {"A": {"status": "Succeeded", "attempts": 1}}}, "wanted A 1 attempts got A 2 attempts"),
        ({"activities": {"In": {"status": "Succeeded", "error": {"errorCode": "E"}}}}, "In error.errorCode"),
        ({"activities": {"A": {"output": {"rows": 4}}}}, "wanted A output.rows 4 got 3"),
        ({"activities": {"A": {"output": {"Rows": True}}}}, "wanted A output.Rows true got 3"),
        ({"activities": {"A": {"output": {"rows": 3}}}, "keys_any_case": []}, "got no such member"),
        ({"activities": {"B": {"status": "Succeeded"}}}, "wanted B Succeeded got no record of B"),
        ({"counts": {"In": {"Succeeded": 3}}}, 'wanted In {"Succeeded": 3} got In {"Succeeded": 2, "Failed": 1}'),
        ({"min_counts": {"Add": 4}}, "wanted Add at least 4 got Add 3"),
        ({"attempts_at_most": {"A": 1}}, "wanted A at most 1 attempts got A 2 attempts"),
        ({"variables": {"out": [0, 1]}}, "wanted variable out [0, 1] got variable out [0, 1, 2]"),
        ({"variables": {"out": [2, 0, 1]}, "unordered": []}, "wanted variable out [2, 0, 1]"),
        ({"variables": {"off": 1}}, "no variable off"),
        ({"order": [["Loop", "A"]]}, "wanted Loop ended before A started got A started first"),
        ({"order": [["Loop", "In"]]}, "In started first"),
        ({"order": [["A", "Nothing"]]}, "got no record of Nothing"),
        ({"absent": ["Never"]}, "wanted no record of Never got Never Skipped"),
        ({"not_run": ["A"]}, "wanted A not run got A Succeeded"),
        ({"child": {"child": ["Failed"]}}, 'wanted child runs of child ["Failed"] got ["Succeeded"]'),
        ({"status": "Rejected"}, "wanted status Rejected got Failed"),
    ],
)
def test_every_wrong_expectation_is_told(change: Json, message: str) -> None:
    (failure,) = told("control_flow", case({**TRUE, **change}))
    assert failure is not None and message in failure


def test_timed_out_may_be_called_failed() -> None:
    fine = {**OUTCOMES, "In": ["Succeeded"]}
    wanted = {"status": "Failed", "activities": {"Slow": {"status": "Failed"}}}
    as_told, named = told(
        "control_flow", case(wanted, outcomes=fine), case({**wanted, "timed_out": ["Slow"]}, outcomes=fine)
    )
    assert as_told is not None and "Slow TimedOut" in as_told
    assert named is None


@pytest.mark.parametrize(
    ("cancel", "expect"),
    [
        ({"when_running": "Loop"}, {"activities": {"Loop": {"status": "Cancelled"}}, "not_run": ["Slow"]}),
        ({"when_running": "C", "recursive": True}, {"child": {"child": ["Cancelled"]}}),
        ({"when_running": "Call", "recursive": False}, {"child": {"child": ["Succeeded"]}}),
        ({"when_attempts": {"A": 1}}, {"attempts_at_most": {"A": 1}, "activities": {"A": {"status": "Cancelled"}}}),
        ({"when_attempts": {"In": 2}}, {"not_run": ["Slow", "Never"], "min_counts": {"In": 2}}),
    ],
)
def test_cancel_at_a_moment(cancel: Json, expect: Json) -> None:
    run = {"pipeline": "main", "parameters": {"need": 1}, "cancel": cancel}
    assert told("control_flow", case({"status": "Cancelled", **expect}, run=run)) == [None]


def test_a_run_that_must_not_be_made_is_rejected() -> None:
    without = {"pipeline": "main"}
    rejected, accepted = case({"status": "Rejected"}, run=without), case({"status": "Failed"}, run=without)
    first, second = told("control_flow", rejected, accepted)
    assert first is None
    assert second is not None and "got Rejected: Pipeline 'main' cannot run" in second


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"expression": "@add(1,2)", "result": 3, "type": "Int"}, None),
        ({"expression": "@add(1,2)", "result": 3.0, "type": "Float"}, "wanted Float 3.0 got Int 3"),
        ({"expression": "@equals(1,1)", "result": 1, "type": "Int"}, "wanted Int 1 got Bool true"),
        ({"expression": "@json('[1,2]')", "result": [1.0, 2], "type": "Array"}, None),
        ({"expression": "@json('[true]')", "result": [1], "type": "Array"}, "got Array [true]"),
        ({"expression": '@json(\'{"a":1,"b":2}\')', "result": {"b": 2, "a": 1}, "type": "Object"}, None),
        ({"expression": "@add(1", "error": True}, None),
        ({"expression": "@add(1,2)", "error": True}, "wanted an error got Int 3"),
        ({"expression": "@add(1", "result": 1, "type": "Int"}, "wanted Int 1 got error: "),
        ({"expression": "@guid()", "matches": "^[0-9a-f-]{36}$"}, None),
        ({"expression": "@guid()", "matches": "^x"}, "wanted a String that matches ^x got String"),
        ({"expression": "@rand(1,3)", "one_of": [1, 2]}, None),
        ({"expression": "@add(1,2)", "one_of": [1, 2]}, "wanted one of [1, 2] got Int 3"),
        ({"expression": "@item()", "context": {"item": None}, "result": None, "type": "Null"}, None),
        ({"expression": "@utcNow()", "context": {"now": "2024-01-01T00:00:00Z"}, "matches": "^2024-01-01T"}, None),
        (
            {
                "expression": "@activity('A').Status",
                "context": {"activities": {"A": {"output": 1}}},
                "result": "Succeeded",
            },
            None,
        ),
    ],
)
def test_values_are_compared_with_their_types(members: Json, message: str | None) -> None:
    (failure,) = told("expressions", members)
    assert failure is None if message is None else failure is not None and message in failure


def test_what_is_no_case_is_a_failure_and_the_others_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["", '{"broken', "[1]", "{}", '{"id": "x", "expression": "@add(1,1)", "result": 2, "type": "Int"}', "   "]
    file = tmp_path / "cases.jsonl"
    file.write_text("\n".join(lines), encoding="utf-8")
    assert main(["expressions", str(file)]) == 1
    out = capsys.readouterr().out
    assert "failed line 2\n" in out and "got:    no JSON" in out and "got:    no object: [1]" in out
    assert "got:    unexpected KeyError: 'expression'" in out
    assert "Traceback" not in out
    assert out.splitlines()[-1] == "1 passed, 3 failed"
    odd = [
        {"pipelines": 3, "expect": [], "run": "main"},
        case({"status": "Failed"}, outcomes=7),
        case({}, pipelines=[{}]),
    ]
    assert all(failure is not None for failure in told("control_flow", *odd))


def test_json_is_one_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases = [
        {"id": "a", "expression": "@1", "result": 1, "contested": "why"},
        {"id": "b", "expression": "é\ud800", "result": 2},
    ]
    file = tmp_path / "cases.jsonl"
    file.write_text("\n".join(json.dumps(each) for each in cases), encoding="utf-8")
    assert main(["expressions", str(file), "--json"]) == 1
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert (document["passed"], document["failed"], document["contested"]) == (0, 1, 1)
    assert [entry["id"] for entry in document["cases"]] == ["a", "b"]
    assert document["cases"][1]["wanted"] == "Int 2"
    assert printed.err == "0 passed, 1 failed\n"


def test_a_log_that_does_not_give_the_state_again_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check of replay bites: an event that loses a member on the wire stops the run."""
    whole = ev.to_wire
    lossy = {"VariableAppended": "value", "ActivityStarted": "input"}

    def to_wire(event: ev.Event) -> Json:
        wire = whole(event)
        if wire["kind"] in lossy and lossy[wire["kind"]] in wire:
            wire[lossy[wire["kind"]]] = "lost"
        return wire

    monkeypatch.setattr(ev, "to_wire", to_wire)
    scripted = ScriptedRun([MAIN, CHILD], OUTCOMES)
    with pytest.raises(InvariantError, match="folds to another state"):
        scripted.start("main", {"need": 1})
