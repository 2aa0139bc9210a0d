"""Reruns in the pure core: what is executed again, what is reused, and that the plan is durable."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kyanite.engine import events as ev
from kyanite.engine.record import RunRecord, run_record
from kyanite.engine.rerun import RerunPlanner
from kyanite.engine.rerun_points import anything_failed, failed_loops, start_point
from kyanite.errors import ConflictError, NotFoundError
from kyanite.testing.conformance.control_flow import ScriptedRun as Simulation
from kyanite.testing.simulated_run import SimulatedRun

Json = Any


def after(*names: str, on: str = "Succeeded") -> list[Json]:
    return [{"activity": name, "dependencyConditions": on.split("|")} for name in names]


def custom(name: str, *names: str, on: str = "Succeeded", **more: Json) -> Json:
    return {"name": name, "type": "Custom", "dependsOn": after(*names, on=on), "typeProperties": {}, **more}


def activity(name: str, kind: str, *names: str, **properties: Json) -> Json:
    return {"name": name, "type": kind, "dependsOn": after(*names), "typeProperties": properties}


def each(name: str, items: Json, *inner: Json, then: tuple[str, ...] = ()) -> Json:
    return activity(name, "ForEach", *then, items=items, activities=list(inner))


def pipeline(name: str, *activities: Json, **members: Json) -> Json:
    return {"name": name, "properties": {"activities": list(activities), **members}}


def expression(text: str) -> Json:
    return {"value": text, "type": "Expression"}


def record_of(run: SimulatedRun) -> RunRecord:
    return run_record(run.state.run_id, run.state.pipeline, run.log)


def again(simulation: Simulation, activity: str | None = None, loops: str | bool = False) -> tuple[list[str], Json]:
    """Rerun what `simulation` ran; the paths that were executed as (StartActivity) and those that were reused."""
    before = record_of(simulation.main)

    def child(run_id: str) -> RunRecord | None:
        return record_of(simulation.runs[run_id]) if run_id in simulation.runs else None

    points = failed_loops(before, loops if isinstance(loops, str) else None) if loops else frozenset()
    plan = RerunPlanner(simulation.factory, child).plan(
        before, simulation.main.state.pipeline, activity=activity, loops=points
    )
    plan = json.loads(json.dumps(plan))  # it is stored
    simulation.attempts.clear()
    known = set(simulation.runs)
    simulation.rerun(plan)
    runs = [run for run_id, run in simulation.runs.items() if run_id not in known]
    log = [event for run in runs for event in run.log]
    started = [
        event.path for event in log if isinstance(event, ev.ActivityStarted) and event.type in ("Custom", "Wait", "Set")
    ]
    return sorted(started), {event.path: event for event in log if isinstance(event, ev.ActivityReused)}


def test_from_failure_reuses_what_succeeded_and_executes_what_failed_and_all_after() -> None:
    simulation = Simulation(
        [
            pipeline(
                "main",
                custom("A"),
                custom("B", "A"),
                custom("C", "B"),
                custom("Cleanup", "B", on="Completed"),
                custom("Other", "A"),
            )
        ],
        {"A": [{"status": "Succeeded", "output": {"n": 1}}], "B": ["Failed"]},
    )
    assert simulation.start("main").state.status == "Failed"
    simulation.outcomes = {}
    started, reused = again(simulation)
    assert started == ["B", "C", "Cleanup"]  # the clean-up succeeded before, but it follows from B
    assert sorted(reused) == ["A", "Other"]
    assert reused["A"].output == {"n": 1}
    assert (
        reused["A"].activity_run_id
        == record_of(next(iter(simulation.runs.values()))).activities["A"].started.activity_run_id
    )
    assert simulation.main.state.status == "Succeeded"


def test_a_rerun_of_a_rerun_points_to_the_run_that_executed() -> None:
    simulation = Simulation([pipeline("main", custom("A"), custom("B", "A"))], {"B": ["Failed"]})
    first = simulation.start("main").state.run_id
    again(simulation)
    started, reused = again(simulation)
    assert started == ["B"]
    assert reused["A"].from_run == first


def test_variables_waits_and_filters_execute_in_the_reused_part() -> None:
    simulation = Simulation(
        [
            pipeline(
                "main",
                activity("Set", "SetVariable", variableName="v", value=expression("@pipeline().RunId")),
                activity("Pause", "Wait", "Set", waitTimeInSeconds=5),
                activity(
                    "Some",
                    "Filter",
                    "Pause",
                    items=expression("@createArray(1, 2)"),
                    condition=expression("@equals(item(), 2)"),
                ),
                custom("A", "Some"),
                custom("B", "A"),
                variables={"v": {"type": "String"}},
            )
        ],
        {"B": ["Failed"]},
    )
    simulation.start("main")
    started, reused = again(simulation)
    assert started == ["B", "Pause"] and sorted(reused) == ["A"]
    assert simulation.main.state.variables["v"] == simulation.main.state.run_id


def test_outputs_of_reused_activities_can_be_read() -> None:
    simulation = Simulation(
        [
            pipeline(
                "main",
                custom("A"),
                activity("Read", "SetVariable", "A", variableName="v", value=expression("@activity('A').output.word")),
                custom("B", "Read"),
                variables={"v": {"type": "String"}},
            )
        ],
        {"A": [{"status": "Succeeded", "output": {"word": "old"}}], "B": ["Failed", "Succeeded"]},
    )
    simulation.start("main")
    simulation.outcomes = {"A": [{"status": "Succeeded", "output": {"word": "new"}}]}
    again(simulation)
    assert simulation.main.state.variables["v"] == "old"
    assert simulation.main.state.status == "Succeeded"


LOOP = pipeline(
    "main",
    custom("Before"),
    each("Loop", expression("@createArray('a', 'b', 'c')"), custom("X"), custom("Y", "X"), then=("Before",)),
    custom("Last", "Loop"),
)


@pytest.mark.parametrize("loops", [True, "loop"])
def test_failed_iterations_run_again_whole(loops: str | bool) -> None:
    simulation = Simulation([LOOP], {"Y": ["Succeeded", "Failed", "Succeeded"]})
    assert simulation.start("main").state.status == "Failed"
    started, reused = again(simulation, loops=loops)
    assert started == ["Last", "Loop/1/X", "Loop/1/Y"]
    assert sorted(reused) == ["Before", "Loop/0/X", "Loop/0/Y", "Loop/2/X", "Loop/2/Y"]
    assert simulation.main.state.status == "Succeeded"


def test_from_failure_inside_a_failed_iteration_reuses_too() -> None:
    simulation = Simulation([LOOP], {"Y": ["Succeeded", "Failed", "Succeeded"]})
    simulation.start("main")
    started, _ = again(simulation)
    assert started == ["Last", "Loop/1/Y"]


def test_an_iteration_over_another_item_has_no_past() -> None:
    loop = each("Loop", expression("@createArray('same', pipeline().RunId)"), custom("X"))
    simulation = Simulation([pipeline("main", loop, custom("Last", "Loop"))], {"Last": ["Failed"]})
    simulation.start("main")
    started, reused = again(simulation)
    assert started == ["Last", "Loop/1/X"] and sorted(reused) == ["Loop/0/X"]


def test_handled_failures_inside_what_succeeded_stay_as_they_were() -> None:
    simulation = Simulation(
        [
            pipeline(
                "main",
                each("Loop", expression("@createArray(1)"), custom("X"), custom("H", "X", on="Failed")),
                custom("Last", "Loop"),
            )
        ],
        {"X": ["Failed"], "Last": ["Failed"]},
    )
    simulation.start("main")
    started, reused = again(simulation)
    assert started == ["Last"]
    assert reused["Loop/0/X"].status == "Failed" and reused["Loop/0/X"].error["message"] == "X failed as told"
    assert reused["Loop/0/H"].status == "Succeeded"


def test_from_an_activity_what_lies_before_stands_even_when_it_failed() -> None:
    simulation = Simulation(
        [
            pipeline(
                "main",
                custom("A"),
                custom("Handler", "A", on="Failed"),
                custom("Next", "Handler"),
                custom("Beside"),
            )
        ],
        {"A": ["Failed"]},
    )
    simulation.start("main")
    started, reused = again(simulation, activity="Handler")
    assert started == ["Handler", "Next"]
    assert {path: event.status for path, event in reused.items()} == {"A": "Failed", "Beside": "Succeeded"}


def test_a_container_before_the_point_is_evaluated_again_and_its_inside_reused() -> None:
    simulation = Simulation(
        [
            pipeline(
                "main",
                {
                    "name": "If",
                    "type": "IfCondition",
                    "typeProperties": {
                        "expression": expression("@equals(1, 1)"),
                        "ifTrueActivities": [custom("T"), custom("U", "T")],
                    },
                },
                activity("On", "Switch", "If", on="k", cases=[{"value": "k", "activities": [custom("K")]}]),
                custom("Last", "On"),
            )
        ],
        {"Last": ["Failed"]},
    )
    simulation.start("main")
    started, reused = again(simulation)
    assert started == ["Last"]
    assert sorted(reused) == ["If/true/T", "If/true/U", "On/case-0/K"]


def test_until_reuses_passes_up_to_the_one_that_failed() -> None:
    simulation = Simulation(
        [
            pipeline(
                "main",
                activity(
                    "Loop",
                    "Until",
                    expression=expression("@equals(activity('P').output.n, 3)"),
                    activities=[custom("P"), custom("Q", "P")],
                ),
            )
        ],
        {
            "P": [{"status": "Succeeded", "output": {"n": n}} for n in (1, 2, 3)],
            "Q": ["Succeeded", "Failed", "Failed"],
        },
    )
    assert simulation.start("main").state.status == "Failed"
    simulation.outcomes = {"P": [{"status": "Succeeded", "output": {"n": 3}}]}
    started, reused = again(simulation)
    # pass 1 failed: what succeeded in it stands, its rest and all later passes run
    assert started == ["Loop/1/Q", "Loop/2/P", "Loop/2/Q"]
    assert sorted(reused) == ["Loop/0/P", "Loop/0/Q", "Loop/1/P"]
    assert simulation.main.state.status == "Succeeded"


def call(name: str, *names: str, wait: bool = True) -> Json:
    reference = {"referenceName": "child", "type": "PipelineReference"}
    return activity(name, "ExecutePipeline", *names, pipeline=reference, waitOnCompletion=wait)


def test_child_runs_start_again_and_reuse_by_the_same_rules() -> None:
    child = pipeline("child", custom("C1"), custom("C2", "C1"))
    simulation = Simulation([pipeline("main", call("Call"), custom("Last", "Call")), child], {"C2": ["Failed"]})
    assert simulation.start("main").state.status == "Failed"
    simulation.outcomes = {"Last": ["Failed"]}
    started, reused = again(simulation)
    assert started == ["C2", "Last"] and sorted(reused) == ["C1"]
    started, reused = again(simulation)
    assert started == ["Last"] and sorted(reused) == ["C1", "C2"]
    assert len(simulation.runs) == 6


def test_a_cancelled_run_goes_on_from_what_was_cancelled() -> None:
    simulation = Simulation(
        [pipeline("main", custom("A"), custom("B", "A"), custom("C", "B"))], cancel={"when_running": "B"}
    )
    assert simulation.start("main").state.status == "Cancelled"
    simulation.cancel = None
    started, reused = again(simulation)
    assert started == ["B", "C"] and sorted(reused) == ["A"]


def test_changed_definitions_run_again_with_all_that_depends_on_them() -> None:
    simulation = Simulation([pipeline("main", custom("A"), custom("B", "A"), custom("C"))], {"C": ["Failed"]})
    run = simulation.start("main")
    newer = Simulation(
        [pipeline("main", custom("A", userProperties=[{"name": "n", "value": "v"}]), custom("B", "A"), custom("C"))]
    )
    planner = RerunPlanner(newer.factory, lambda run_id: None)
    assert planner.plan(record_of(run), newer.factory.pipelines["main"])["reuse"] == {}


def test_points_are_named_or_refused() -> None:
    simulation = Simulation([LOOP], {"Y": ["Succeeded", "Failed", "Succeeded"]})
    run = simulation.start("main")
    record = record_of(run)
    assert start_point(record, run.state.pipeline, "loop") == "Loop"
    with pytest.raises(NotFoundError, match="inside 'Loop'") as refused:
        start_point(record, run.state.pipeline, "y")
    assert "--failed-iterations Loop" in str(refused.value.cure)
    with pytest.raises(ConflictError, match="'Last' would be skipped again"):
        start_point(record, run.state.pipeline, "Last")
    with pytest.raises(NotFoundError, match="no activity 'Nothing'"):
        start_point(record, run.state.pipeline, "Nothing")
    assert failed_loops(record, None) == {"Loop"}
    with pytest.raises(NotFoundError, match="'Loop'"):
        failed_loops(record, "Other")
    assert anything_failed(record)


def test_a_point_that_was_never_reached_is_refused() -> None:
    simulation = Simulation(
        [pipeline("main", custom("A"), custom("B", "A"), custom("C", "B"))], cancel={"when_running": "A"}
    )
    run = simulation.start("main")
    with pytest.raises(ConflictError, match="'B' before it never ended"):
        start_point(record_of(run), run.state.pipeline, "C")


def test_a_good_run_has_no_failures() -> None:
    simulation = Simulation([LOOP])
    record = record_of(simulation.start("main"))
    assert not anything_failed(record)
    with pytest.raises(ConflictError, match="No iteration"):
        failed_loops(record, "Loop")
