"""Generated pipelines: the engine and the plain model must agree on every one of them."""

from __future__ import annotations

import random

import pytest
from plain_model import Expected, run_scope
from simulation import Simulation

from kyanite.engine import events as ev

PIPELINES = 240
CONDITIONS = ["Succeeded", "Failed", "Completed", "Skipped"]


class Generator:
    """A random pipeline: DAGs with every condition, retries, time-outs, inactive activities, nested If and ForEach."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.count = 0
        self.outcomes: dict[str, list[dict]] = {}

    def pipeline(self) -> dict:
        variables = {"seen": {"type": "Array"}}
        return {"name": "main", "properties": {"activities": self.activities(0, False), "variables": variables}}

    def activities(self, depth: int, in_loop: bool) -> list[dict]:
        made: list[dict] = []
        for _ in range(self.random.randint(1, 6 if depth == 0 else 3)):
            activity = self.activity(depth, in_loop)
            if made and self.random.random() < 0.8:
                parents = self.random.sample(made, min(len(made), self.random.choice([1, 1, 1, 2, 3])))
                activity["dependsOn"] = [self.dependency(parent["name"]) for parent in parents]
            made.append(activity)
        self.random.shuffle(made)
        return made

    def dependency(self, name: str) -> dict:
        count = self.random.choice([1, 1, 1, 2])
        return {"activity": name, "dependencyConditions": self.random.sample(CONDITIONS, count)}

    def activity(self, depth: int, in_loop: bool) -> dict:
        self.count += 1
        name = f"a{self.count}"
        kinds = (
            ["Custom"] * 6 + ["Fail", "Wait", "AppendVariable"] + (["IfCondition", "ForEach"] * 2 if depth < 3 else [])
        )
        kind = self.random.choice(kinds)
        activity = {"name": name, "type": kind, "typeProperties": getattr(self, kind)(name, depth, in_loop)}
        if kind == "Custom":
            retry = self.random.choice([0, 0, 1, 2])
            activity["policy"] = {"retry": retry, "retryIntervalInSeconds": 30, "timeout": "0.00:01:00"}
        if self.random.random() < 0.08:
            activity |= {
                "state": "Inactive",
                "onInactiveMarkAs": self.random.choice(["Succeeded", "Failed", "Skipped"]),
            }
        return activity

    def Custom(self, name: str, depth: int, in_loop: bool) -> dict:
        # in a loop the order of attempts over iterations is not fixed, so each attempt does the same there
        attempts = 1 if in_loop else self.random.randint(1, 3)
        self.outcomes[name] = [
            {
                "status": self.random.choice(["Succeeded", "Succeeded", "Failed"]),
                "seconds": self.random.choice([0, 1, 20, 90]),
            }
            for _ in range(attempts)
        ]
        return {"command": "scripted"}

    def Fail(self, name: str, depth: int, in_loop: bool) -> dict:
        return {"message": f"{name} fails", "errorCode": "E"}

    def Wait(self, name: str, depth: int, in_loop: bool) -> dict:
        return {"waitTimeInSeconds": self.random.randint(1, 100)}

    def AppendVariable(self, name: str, depth: int, in_loop: bool) -> dict:
        return {"variableName": "seen", "value": "@item()" if in_loop else name}

    def IfCondition(self, name: str, depth: int, in_loop: bool) -> dict:
        text = self.random.choice(["@equals(1,1)", "@equals(1,2)"])
        properties: dict = {"expression": {"value": text, "type": "Expression"}}
        for branch in ("ifTrueActivities", "ifFalseActivities"):
            if self.random.random() < 0.8:
                properties[branch] = self.activities(depth + 1, in_loop)
        return properties

    def ForEach(self, name: str, depth: int, in_loop: bool) -> dict:
        return {
            "items": [f"{name}-{index}" for index in range(self.random.choice([0, 1, 3, 5]))],
            "isSequential": self.random.random() < 0.5,
            "batchCount": self.random.choice([1, 2, 20]),
            "activities": self.activities(depth + 1, True),
        }


@pytest.mark.parametrize("block", range(8))
def test_engine_and_plain_model_agree(block: int) -> None:
    for seed in range(block, PIPELINES, 8):
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


def endings(log: list[ev.Event]) -> dict[str, list[str]]:
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
