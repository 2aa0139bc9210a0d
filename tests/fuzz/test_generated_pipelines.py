"""Generated pipelines: the engine and the plain model must agree on every one of them.

100,000 of them (some minutes): `python3 dev.py test -m slow tests/fuzz/test_generated_pipelines.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest
from pipeline_generator import Generator, WideGenerator
from plain_model import Expected, run_pipeline, run_scope

from kyanite.engine import events as ev
from kyanite.testing.conformance.control_flow import ScriptedRun as Simulation

PIPELINES = 240
WIDE_PIPELINES = 2_000
MANY_PIPELINES = 100_000
BLOCKS = 8


@pytest.mark.parametrize("block", range(BLOCKS))
def test_engine_and_plain_model_agree(block: int) -> None:
    for seed in range(block, PIPELINES, BLOCKS):
        generator = Generator(seed)
        pipeline = generator.pipeline()
        expected = Expected()
        status = run_scope(pipeline["properties"]["activities"], generator.outcomes, expected)
        budget = generator.random.choice([1, 3, 256])
        simulation = Simulation([pipeline], generator.outcomes, check_replay=seed % 4 == 0, budget=budget)
        main = simulation.start("main")
        assert main.state.status == status, seed
        assert endings(main.log) == {name: sorted(ends) for name, ends in expected.endings.items()}, seed
        assert simulation.attempts == expected.attempts, seed
        assert sorted(main.state.variables["seen"]) == sorted(expected.appended), seed


@pytest.mark.parametrize("block", range(BLOCKS))
def test_engine_and_plain_model_agree_on_all_control_activities(block: int) -> None:
    for seed in range(block, WIDE_PIPELINES, BLOCKS):
        compare(seed)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(100))
def test_many_more(block: int) -> None:
    for seed in range(WIDE_PIPELINES + block, WIDE_PIPELINES + MANY_PIPELINES, 100):
        compare(seed)


def compare(seed: int) -> None:
    """One set of pipelines through both; the seed is in every message."""
    generator = WideGenerator(seed)
    pipelines = generator.pipelines()
    expected = Expected(pipelines={document["name"]: document for document in pipelines})
    status = run_pipeline("main", generator.outcomes, expected)
    options = {"budget": generator.random.choice([1, 3, 256]), "reports_together": generator.random.random() < 0.5}
    simulation = Simulation(pipelines, generator.outcomes, check_replay=seed % 8 == 0, **options)
    main = simulation.start("main")
    assert main.state.status == status, seed
    events = [event for run in simulation.runs.values() for event in run.log]
    assert endings(events) == {name: sorted(ends) for name, ends in expected.endings.items()}, seed
    assert simulation.attempts == expected.attempts, seed
    runs = Counter((run.state.pipeline.name, run.state.status) for run in simulation.runs.values())
    assert runs == Counter(expected.runs), seed
    variables = dict(main.state.variables)
    assert sorted(variables.pop("seen")) == sorted(expected.appended), seed
    counters = {name: len(value) for name, value in variables.items() if name.startswith("count-") and value}
    assert counters == expected.passes, seed
    assert {name: value for name, value in variables.items() if name.startswith("set-")} == expected.assigned, seed
    for event in events:
        if isinstance(event, ev.ActivityEnded) and event.type == "Filter" and event.status == "Succeeded":
            assert event.output["Value"] == expected.kept[event.path.rsplit("/", 1)[-1]], seed


def endings(log: Iterable[ev.Event]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for event in log:
        match event:
            case ev.ActivityEnded():
                status = event.status
            case ev.ActivitySkipped():
                status = "Skipped"
            case ev.ActivityInactive():
                status = "Inactive"
            case _:
                continue
        found.setdefault(event.path.rsplit("/", 1)[-1], []).append(status)
    return {name: sorted(statuses) for name, statuses in found.items()}


def test_the_generated_pipelines_hold_every_kind_and_every_ending() -> None:
    kinds: Counter[str] = Counter()
    ends: Counter[str] = Counter()
    for seed in range(200):
        generator = WideGenerator(seed)
        pipelines = generator.pipelines()
        simulation = Simulation(pipelines, generator.outcomes, check_replay=False)
        simulation.start("main")
        for run in simulation.runs.values():
            kinds.update(event.type for event in run.log if isinstance(event, ev.ActivityStarted))
            ends.update(status for statuses in endings(run.log).values() for status in statuses)
    leaves = {"Custom", "Fail", "Wait", "AppendVariable", "SetVariable", "Filter"}
    assert set(kinds) == leaves | {"IfCondition", "ForEach", "Switch", "Until", "ExecutePipeline"}
    assert min(kinds.values()) > 20
    assert set(ends) == {"Succeeded", "Failed", "TimedOut", "Skipped", "Inactive"}


def test_a_failing_model_would_be_noticed() -> None:
    """The comparison bites: a pipeline whose model is told another outcome does not agree."""
    generator = Generator(3)
    pipeline = generator.pipeline()
    simulation = Simulation([pipeline], {name: ["Failed"] for name in generator.outcomes})
    simulation.start("main")
    expected = Expected()
    run_scope(
        pipeline["properties"]["activities"],
        {n: [{"status": "Succeeded", "seconds": 0}] for n in generator.outcomes},
        expected,
    )
    assert endings(simulation.main.log) != {name: sorted(ends) for name, ends in expected.endings.items()}
