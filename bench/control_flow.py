"""What control flow costs without any work in it: activities a second through the pure engine on the virtual clock.

    python3 bench/control_flow.py [--activities 500] [--json]

Every run is checked: as many activities ended as were asked for. `checked` is with the replay of every decision, as the
test kit does it; `bare` is the engine alone.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from kyanite.engine import events as ev
from kyanite.testing.conformance.control_flow import ScriptedRun

Json = Any


def custom(name: str, *after: str) -> Json:
    depends = [{"activity": one, "dependencyConditions": ["Succeeded"]} for one in after]
    return {
        "name": name,
        "type": "Custom",
        "dependsOn": depends,
        "typeProperties": {"command": "@concat('n', string(1))"},
    }


def chain(count: int) -> list[Json]:
    return [custom(f"a{number}", *([f"a{number - 1}"] if number else [])) for number in range(count)]


def side_by_side(count: int) -> list[Json]:
    return [custom(f"a{number}") for number in range(count)]


def loop(count: int, **options: Json) -> list[Json]:
    properties = {"items": f"@range(0, {count})", "activities": [custom("a")], **options}
    return [{"name": "Loop", "type": "ForEach", "typeProperties": properties}]


def nested(count: int) -> list[Json]:
    """An If in each iteration, as metadata-driven loads have it: one activity in each branch."""
    condition = {
        "expression": "@equals(mod(item(), 2), 0)",
        "ifTrueActivities": [custom("a")],
        "ifFalseActivities": [custom("b")],
    }
    inner = {"name": "If", "type": "IfCondition", "typeProperties": condition}
    return [
        {"name": "Loop", "type": "ForEach", "typeProperties": {"items": f"@range(0, {count})", "activities": [inner]}}
    ]


SHAPES: dict[str, Callable[[int], list[Json]]] = {
    "chain": chain,
    "side by side": side_by_side,
    "loop, one at a time": lambda count: loop(count, isSequential=True),
    "loop, 20 at a time": loop,
    "loop with an If": nested,
}


def measure(activities: list[Json], count: int, check_replay: bool) -> float:
    """Seconds of one run; SystemExit when it did not do what it should."""
    document = {"name": "main", "properties": {"activities": activities}}
    scripted = ScriptedRun([document], check_replay=check_replay)
    began = time.perf_counter()
    main = scripted.start("main")
    seconds = time.perf_counter() - began
    ended = sum(isinstance(event, ev.ActivityEnded) and event.type == "Custom" for event in main.log)
    if (main.state.status, ended) != ("Succeeded", count):
        raise SystemExit(f"{main.state.status}, {ended} of {count} activities ended")
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--activities", type=int, default=500)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    count = options.activities
    results = {
        name: {
            how: round(count / min(measure(shape(count), count, checked) for _ in range(2)))
            for how, checked in (("bare", False), ("checked", True))
        }
        for name, shape in SHAPES.items()
    }
    if options.json:
        json.dump({"activities": count, "per second": results}, sys.stdout, indent=2)
        return
    print(f"{count:,} activities; activities a second")
    for name, rates in results.items():
        print(f"{name:22} bare {rates['bare']:>8,}   checked {rates['checked']:>8,}")


if __name__ == "__main__":
    main()
