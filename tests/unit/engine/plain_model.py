"""The rules of dependencies, retries, time-outs and statuses, written down a second time as plainly as possible.

No events, no clock, no state: a recursion over a pipeline's activities that says how each of them ends. It shares no
code with the engine, so that the two can be held against each other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

GOOD, BAD, SKIP = "Succeeded", "Failed", "Skipped"


@dataclass
class Expected:
    """What must come out: endings by activity name (one per iteration), attempts by name, final variable values."""

    endings: dict[str, list[str]] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    appended: list[Any] = field(default_factory=list)


def run_scope(activities: list[dict], outcomes: dict[str, list[dict]], expected: Expected, item: Any = None) -> str:
    """How a list of activities ends; records every ending in `expected`."""
    statuses: dict[str, str] = {}
    remaining = list(activities)
    while remaining:
        ready = [a for a in remaining if all(d["activity"] in statuses for d in a.get("dependsOn", []))]
        assert ready, "the generator made a cycle"
        for activity in ready:
            remaining.remove(activity)
            name = activity["name"]
            ending = _ending(activity, statuses, outcomes, expected, item)
            expected.endings.setdefault(name, []).append(ending)
            statuses[name] = _seen_as(activity, ending)
    return GOOD if all(_fine(a["name"], activities, statuses) for a in _leaves(activities)) else BAD


def _seen_as(activity: dict, ending: str) -> str:
    if ending == "Inactive":
        return activity["onInactiveMarkAs"]
    return BAD if ending == "TimedOut" else ending


def _runs(activity: dict, statuses: dict[str, str]) -> bool:
    for dependency in activity.get("dependsOn", []):
        status = statuses[dependency["activity"]]
        allowed = set(dependency["dependencyConditions"])
        if "Completed" in allowed:
            allowed |= {GOOD, BAD}
        if status not in allowed:
            return False
    return True


def _ending(activity: dict, statuses: dict, outcomes: dict, expected: Expected, item: Any) -> str:
    if not _runs(activity, statuses):
        return SKIP
    if activity.get("state") == "Inactive":
        return "Inactive"
    properties = activity["typeProperties"]
    match activity["type"]:
        case "Custom":
            return _attempts(activity, outcomes, expected)
        case "Fail":
            return BAD
        case "Wait":
            return GOOD
        case "AppendVariable":
            expected.appended.append(item if properties["value"] == "@item()" else properties["value"])
            return GOOD
        case "IfCondition":
            branch = "ifTrueActivities" if properties["expression"]["value"] == "@equals(1,1)" else "ifFalseActivities"
            return run_scope(properties.get(branch, []), outcomes, expected, item)
        case "ForEach":
            results = [run_scope(properties["activities"], outcomes, expected, each) for each in properties["items"]]
            return BAD if BAD in results else GOOD
    raise AssertionError(activity["type"])


def _attempts(activity: dict, outcomes: dict[str, list[dict]], expected: Expected) -> str:
    name, policy = activity["name"], activity["policy"]
    for _ in range(policy["retry"] + 1):
        number = expected.attempts.get(name, 0)
        expected.attempts[name] = number + 1
        script = outcomes[name]
        outcome = script[min(number, len(script) - 1)]
        ending = "TimedOut" if outcome["seconds"] > 60 else outcome["status"]
        if ending == GOOD:
            return GOOD
    return ending


def _leaves(activities: list[dict]) -> list[dict]:
    depended_on = {d["activity"] for a in activities for d in a.get("dependsOn", [])}
    return [a for a in activities if a["name"] not in depended_on]


def _fine(name: str, activities: list[dict], statuses: dict[str, str]) -> bool:
    if statuses[name] == SKIP:
        parents = next(a for a in activities if a["name"] == name).get("dependsOn", [])
        return all(_fine(parent["activity"], activities, statuses) for parent in parents)
    return statuses[name] == GOOD
