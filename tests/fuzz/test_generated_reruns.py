"""Generated pipelines, run again in every way: nothing is lost, nothing runs twice, the same outcomes end the same."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from test_generated_pipelines import Generator

from kyanite.engine import events as ev
from kyanite.engine.explain import explain
from kyanite.engine.record import RunRecord, run_record
from kyanite.engine.rerun import RerunPlanner
from kyanite.engine.rerun_points import failed_loops, start_point
from kyanite.errors import ConflictError
from kyanite.testing.conformance.control_flow import ScriptedRun as Simulation
from kyanite.testing.simulated_run import SimulatedRun

PIPELINES = 120


def record_of(run: SimulatedRun) -> RunRecord:
    return run_record(run.state.run_id, run.state.pipeline, run.log)


@pytest.mark.parametrize("block", range(4))
def test_the_same_outcomes_end_the_same_however_much_is_reused(block: int) -> None:
    for seed in range(block, PIPELINES, 4):
        generator = Generator(seed)
        document = generator.pipeline()
        simulation = Simulation([document], generator.outcomes, check_replay=False)
        before = record_of(simulation.start("main"))
        check_explanation(before)
        for options in reruns(before):
            again = Simulation([document], generator.outcomes, check_replay=seed % 8 == 0)
            plan = RerunPlanner(again.factory, lambda run_id: None).plan(
                before, again.factory.pipelines["main"], **options
            )
            again.create("main", {}, json.loads(json.dumps(plan)))
            again.simulation.finish()
            after = record_of(again.main)
            check_explanation(after)
            assert statuses(after) == statuses(before), (seed, options)
            assert sorted(again.main.state.variables["seen"]) == sorted(simulation.main.state.variables["seen"])
            executed, reused = executions(after), set(plan["reuse"])
            assert executed | reused == executions(before), (seed, options)
            assert not executed & reused, (seed, options)


def reruns(before: RunRecord) -> list[dict]:
    found: list[dict] = [{}]
    for activity in before.pipeline.activities:
        try:
            found.append({"activity": start_point(before, before.pipeline, activity.name)})
        except ConflictError:
            continue
    with suppress(ConflictError):
        found.append({"loops": failed_loops(before, None)})
    return found


def statuses(record: RunRecord) -> dict[str, str]:
    assert record.ended is not None
    return {"": record.ended.status} | {path: past.status for path, past in record.activities.items()}


def executions(record: RunRecord) -> set[str]:
    return {path for path, past in record.activities.items() if past.started and past.started.type == "Custom"}


def check_explanation(record: RunRecord) -> None:
    """Every activity's dependencies say why it ran, and a failed run names an activity that failed."""
    explanation = explain(record)
    assert (explanation.decided_by is not None) == (explanation.status == "Failed")
    if explanation.decided_by is not None:
        assert record.activities[explanation.decided_by].branching in ("Failed", "TimedOut")
    for item in explanation.activities:
        ended = record.activities[item.path].ended
        assert all(dependency["met"] for dependency in item.dependencies) != isinstance(ended, ev.ActivitySkipped)
