"""The conformance cases of control flow, run through the pure engine on a virtual clock."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from simulation import Simulation

from kyanite.engine import events as ev
from kyanite.errors import ParameterError

FIXTURES = Path(__file__).parents[2] / "fixtures" / "conformance"
CASES = [json.loads(line) for line in (FIXTURES / "control_flow.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_case(case: dict) -> None:
    check(case)


def check(case: dict) -> None:
    expect = case["expect"]
    simulation = Simulation(case["pipelines"], case.get("outcomes"), case["run"].get("cancel"))
    if expect["status"] == "Rejected":
        with pytest.raises(ParameterError):
            simulation.start(case["run"]["pipeline"], case["run"]["parameters"])
        return
    main = simulation.start(case["run"]["pipeline"], case["run"]["parameters"])
    ended, started = outcomes(simulation)
    assert main.state.status == expect["status"], main.state.message
    for name, wanted in expect.get("activities", {}).items():
        last = ended[name][-1]
        status = "Failed" if name in expect.get("timed_out", ()) and last.status == "TimedOut" else last.status
        assert status == wanted["status"], name
        if "attempts" in wanted:
            attempts = simulation.attempts.get(name, 0) or len(ended[name])  # a bad input counts as one attempt
            assert attempts == wanted["attempts"], name
        assert_members(wanted.get("error"), last.error)
        assert_members(wanted.get("output"), last.output, any_case=name in expect.get("keys_any_case", ()))
    for name, counts in expect.get("counts", {}).items():
        assert Counter(end.status for end in ended.get(name, ())) == counts, name
    for name, minimum in expect.get("min_counts", {}).items():
        assert len(ended.get(name, ())) >= minimum, name
    for name, value in expect.get("variables", {}).items():
        got = main.state.variables[name]
        if name in expect.get("unordered", ()):
            got, value = sorted(got), sorted(value)
        assert got == value, name
    for name in expect.get("absent", ()):
        assert name not in ended, name
    for name in expect.get("not_run", ()):
        assert name not in started, name
    for name, most in expect.get("attempts_at_most", {}).items():
        assert simulation.attempts.get(name, 0) <= most, name
    for first, second in expect.get("order", ()):
        began = started[second][0] if second in started else ended[second][0].order
        assert ended[first][-1].order < began, (first, second)
    for name, statuses in expect.get("child", {}).items():
        runs = [run.state.status for run in simulation.runs.values() if run.state.pipeline.name == name]
        assert runs == statuses, name


class End:
    def __init__(self, order: int, status: str, output: object = None, error: object = None) -> None:
        self.order, self.status, self.output, self.error = order, status, output, error


def outcomes(simulation: Simulation) -> tuple[dict[str, list[End]], dict[str, list[int]]]:
    ended: dict[str, list[End]] = {}
    started: dict[str, list[int]] = {}
    merged = sorted(
        (
            (event.at, number, index, event)
            for number, run in enumerate(simulation.runs.values())
            for index, event in enumerate(run.log)
        ),
        key=lambda item: item[:3],
    )
    for order, (_, _, _, event) in enumerate(merged):
        name = getattr(event, "path", "").rsplit("/", 1)[-1]
        match event:
            case ev.ActivityStarted():
                started.setdefault(name, []).append(order)
            case ev.ActivityEnded():
                ended.setdefault(name, []).append(End(order, event.status, event.output, event.error))
            case ev.ActivitySkipped():
                ended.setdefault(name, []).append(End(order, "Skipped"))
            case ev.ActivityInactive():
                ended.setdefault(name, []).append(End(order, "Inactive"))
    return ended, started


def assert_members(wanted: dict | None, got: object, any_case: bool = False) -> None:
    for key, value in (wanted or {}).items():
        assert isinstance(got, dict)
        found = {k.casefold(): v for k, v in got.items()} if any_case else got
        assert found[key.casefold() if any_case else key] == value, key
