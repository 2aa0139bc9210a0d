"""Explanations in the pure core: dependencies, branches, iterations, and the leaf that decided."""

from __future__ import annotations

from typing import Any

import pytest
from test_engine_rerun import activity, call, custom, each, expression, pipeline, record_of

from kyanite.engine.explain import Explained, Explanation, explain, explanation_document
from kyanite.engine.rerun import RerunPlanner
from kyanite.testing.conformance.control_flow import ScriptedRun as Simulation

Json = Any


def explained(simulation: Simulation) -> Explanation:
    return explain(record_of(simulation.main))


def told(simulation: Simulation) -> dict[str, Explained]:
    return {item.path: item for item in explained(simulation).activities}


def run(*activities: Json, outcomes: Json = None, cancel: Json = None, **members: Json) -> Simulation:
    simulation = Simulation([pipeline("main", *activities, **members)], outcomes, cancel)
    simulation.start("main")
    return simulation


PATTERNS = {
    "nothing after M": ([], "Failed", ["M"]),
    "try-catch": ([custom("H", "M", on="Failed")], "Succeeded", None),
    "do-if-else": ([custom("S", "M"), custom("H", "M", on="Failed")], "Failed", ["M"]),
    "do-if-skip-else": (
        [custom("S", "M"), custom("H", "M", on="Failed"), custom("D", "S", on="Skipped")],
        "Succeeded",
        None,
    ),
    "only completed": ([custom("N", "M", on="Completed")], "Succeeded", None),
    "completed and succeeded": ([custom("N", "M", on="Completed"), custom("S", "M")], "Failed", ["M"]),
    "one edge": ([custom("N", "M", on="Succeeded|Failed")], "Succeeded", None),
}


@pytest.mark.parametrize("name", PATTERNS)
def test_the_seven_patterns_are_explained(name: str) -> None:
    others, status, decided = PATTERNS[name]
    explanation = explained(run(custom("M"), *others, outcomes={"M": ["Failed"]}))
    assert explanation.status == status
    assert explanation.decided_by == (decided[0] if decided else None)


def test_the_chain_through_skipped_leaves_is_told() -> None:
    simulation = run(custom("M"), custom("S", "M"), custom("T", "S"), outcomes={"M": ["Failed"]})
    explanation = explained(simulation)
    assert explanation.decided_by == "M"
    assert [(item.path, item.status, item.instead_of) for item in explanation.judged] == [
        ("T", "Skipped", None),
        ("S", "Skipped", "T"),
        ("M", "Failed", "S"),
    ]
    assert explanation.ending == (
        "'M' decided: 'T' is a leaf; 'T' was Skipped, so what it depends on is asked; 'S' was Skipped, so what it "
        "depends on is asked; 'M' ended as Failed.",
    )


def test_a_handled_failure_is_told_not_to_decide() -> None:
    explanation = explained(run(custom("M"), custom("H", "M", on="Failed"), outcomes={"M": ["Failed"]}))
    assert explanation.ending[0] == "Every leaf that ran Succeeded: 'H'."
    assert "'M' ended as Failed, which does not decide" in explanation.ending[1]


def test_dependencies_are_told_with_condition_and_status() -> None:
    simulation = run(
        custom("A"),
        custom("B", "A"),
        custom("C", "A", on="Failed|Skipped"),
        custom("D", "B", on="Completed"),
        outcomes={"A": ["Failed"]},
    )
    items = told(simulation)
    assert items["A"].why == "ran: it depends on nothing"
    assert items["B"].why == "skipped: it wants 'A' to be Succeeded, but that Failed"
    assert items["C"].why == "ran: 'A' Failed (wanted: Failed or Skipped)"
    assert items["D"].why == (
        "skipped: it wants 'B' to be Completed, but that was Skipped; Completed does not cover Skipped"
    )
    assert items["D"].dependencies == (
        {"activity": "B", "conditions": ["Completed"], "status": "Skipped", "met": False},
    )


def test_retries_time_outs_and_bad_inputs_are_told() -> None:
    policy = {"retry": 1, "retryIntervalInSeconds": 30, "timeout": "0.00:00:10"}
    simulation = run(
        custom("A", policy=policy),
        custom("B", policy=policy),
        {**custom("C"), "typeProperties": {"command": "@variables('none')"}},
        outcomes={"A": ["Failed", "Succeeded"], "B": [{"status": "Succeeded", "seconds": 60}]},
    )
    items = told(simulation)
    assert items["A"].how == ("attempt 1 ended as Failed (Failed: A failed as told); retries allowed: 1",)
    assert items["B"].how[-1] == "stopped: its timeout passed (policy: 10 s)"
    assert items["B"].how[0].startswith("attempt 1 ended as TimedOut")
    assert items["C"].how[0].startswith("failed before it began, its input could not be evaluated")
    assert items["C"].why == "was to run: it depends on nothing"


def test_branches_and_iterations_are_told() -> None:
    simulation = run(
        activity("If", "IfCondition", expression=expression("@equals(1, 2)"), ifTrueActivities=[custom("T")]),
        activity("On", "Switch", on="k", cases=[{"value": "k", "activities": [custom("K")]}]),
        activity("Off", "Switch", on="x", cases=[{"value": "k", "activities": [custom("L")]}]),
        each("Loop", ["a", "b"], custom("X")),
        each("None", []),
        activity("Rep", "Until", expression=expression("@equals(1, 1)"), activities=[custom("P")]),
        outcomes={"X": ["Succeeded", "Failed"], "K": ["Failed"]},
    )
    items = told(simulation)
    assert items["If"].how == ("its expression gave false: the branch 'false' was taken, where nothing is",)
    assert items["On"].how == (
        "its value was 'k': that case was taken",
        "the branch failed at 'K': K failed as told",
    )
    assert items["Off"].how == ("its value was 'x', which no case has (k): the default was taken, where nothing is",)
    assert items["Loop"].how == (
        "2 items: 1 Succeeded, 1 Failed",
        "iteration 1 (item b) failed at 'X': X failed as told",
    )
    assert items["None"].how == ("there were no items, so nothing ran",)
    assert items["Rep"].how == ("1 pass; its expression was true after the last",)


def test_the_cause_is_followed_into_containers_and_to_child_runs() -> None:
    child = pipeline("child", custom("C"))
    simulation = Simulation(
        [pipeline("main", each("Loop", [1, 2], call("Call"))), child], {"C": ["Succeeded", "Failed"]}
    )
    simulation.start("main")
    explanation = explained(simulation)
    assert explanation.decided_by == "Loop/1/Call"
    child_run = list(simulation.runs)[2]
    assert explanation.ending[-1] == f"'Loop/1/Call' took over the status of run {child_run}."
    assert f"started run {child_run} and waited for its end" in told(simulation)["Loop/1/Call"].how


def test_cancelled_inactive_and_reused_are_told() -> None:
    simulation = run(
        custom("A", state="Inactive", onInactiveMarkAs="Failed"),
        custom("H", "A", on="Failed"),
        custom("B", "H"),
        cancel={"when_running": "B"},
    )
    items = told(simulation)
    assert items["A"].why == "not executed: it is deactivated, and counts as Failed"
    assert items["H"].why == "ran: 'A' is deactivated and counts as Failed (wanted: Failed)"
    assert items["B"].how == ("cancelled with the run",)
    assert explained(simulation).ending[0].startswith("It was cancelled: somebody asked for that at 2026-")
    before = record_of(simulation.main)
    simulation.cancel = None
    plan = RerunPlanner(simulation.factory, lambda run_id: None).plan(before, simulation.main.state.pipeline)
    simulation.rerun({"mode": "fromFailure", **plan})
    again = explained(simulation)
    assert again.rerun == {"mode": "fromFailure", "fromRun": before.run_id}
    assert told(simulation)["H"].why.startswith(f"not executed: it ended as Succeeded in run {before.run_id}")


def test_secure_input_is_not_shown() -> None:
    secure = {"policy": {"secureInput": True}}
    simulation = run(
        {**each("Loop", ["hush-hush"], custom("X")), **secure},
        {**activity("On", "Switch", on="hush-hush", cases=[]), **secure},
        outcomes={"X": ["Failed"]},
    )
    assert "hush-hush" not in str(explanation_document(explained(simulation)))
