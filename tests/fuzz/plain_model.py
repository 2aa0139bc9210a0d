"""The rules of dependencies, retries, time-outs and statuses, written down a second time as plainly as possible.

No events, no clock, no state: a recursion over a pipeline's activities that says how each of them ends. It shares no
code with the engine, so that the two can be held against each other.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

GOOD, BAD, SKIP = "Succeeded", "Failed", "Skipped"


@dataclass
class Expected:
    """What must come out: endings by activity name (one per iteration), attempts by name, final variable values.

    `kept` is what filters let through, `passes` how often the bodies of Until ran in this run, `runs` how each
    run ended.
    """

    endings: dict[str, list[str]] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    appended: list[Any] = field(default_factory=list)
    pipelines: dict[str, dict] = field(default_factory=dict)
    runs: list[tuple[str, str]] = field(default_factory=list)
    kept: dict[str, list[Any]] = field(default_factory=dict)
    assigned: dict[str, Any] = field(default_factory=dict)
    passes: dict[str, int] = field(default_factory=dict)


def run_pipeline(name: str, outcomes: dict[str, list[dict]], expected: Expected) -> str:
    """How a run of a pipeline and all that it starts end; a run has variables of its own."""
    properties = expected.pipelines[name]["properties"]
    expected.assigned.update({n: v["defaultValue"] for n, v in properties["variables"].items() if "defaultValue" in v})
    status = run_scope(properties["activities"], outcomes, expected)
    expected.runs.append((name, status))
    return status


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
        case "AppendVariable" if properties["variableName"] != "seen":
            expected.passes[properties["variableName"]] = expected.passes.get(properties["variableName"], 0) + 1
            return GOOD
        case "AppendVariable":
            expected.appended.append(item if properties["value"] == "@item()" else properties["value"])
            return GOOD
        case "IfCondition":
            branch = "ifTrueActivities" if properties["expression"]["value"] == "@equals(1,1)" else "ifFalseActivities"
            return run_scope(properties.get(branch, []), outcomes, expected, item)
        case "SetVariable":
            variable = properties["variableName"]
            if isinstance(expected.assigned[variable], int):
                return BAD
            expected.assigned[variable] = properties["value"]
            return GOOD
        case "Filter":
            return _filter(activity["name"], properties, expected)
        case "Switch":
            return _switch(properties, outcomes, expected, item)
        case "Until":
            return _until(properties, outcomes, expected, item)
        case "ExecutePipeline":
            return _call(properties, outcomes, expected)
        case "ForEach":
            results = [run_scope(properties["activities"], outcomes, expected, each) for each in properties["items"]]
            return BAD if BAD in results else GOOD
    raise AssertionError(activity["type"])


def _filter(name: str, properties: dict, expected: Expected) -> str:
    text, items = properties["condition"]["value"], properties["items"]
    if text == "@item()":
        if items:
            return BAD
        least = 0
    else:
        least = 2 if "2" in text else 9
    expected.kept[name] = [item for item in items if item > least]
    return GOOD


def _switch(properties: dict, outcomes: dict, expected: Expected, item: Any) -> str:
    values = {"@concat('x')": "x", "@add(1, 1)": "2", "@true": None}
    value = values.get(properties["on"], str(properties["on"]))
    if value is None:
        return BAD
    for case in properties["cases"]:
        if case["value"] == value:
            return run_scope(case["activities"], outcomes, expected, item)
    return run_scope(properties.get("defaultActivities", []), outcomes, expected, item)


def _until(properties: dict, outcomes: dict, expected: Expected, item: Any) -> str:
    counter, wanted = properties["expression"].split("'")[1], int(properties["expression"].split(" ")[-1][:-1])
    while True:
        status = run_scope(properties["activities"], outcomes, expected, item)
        if expected.passes[counter] >= wanted:
            return status


def _call(properties: dict, outcomes: dict, expected: Expected) -> str:
    if "parameters" not in properties:
        return BAD
    own = replace(expected, appended=[], assigned={}, passes={})
    status = run_pipeline(properties["pipeline"]["referenceName"], outcomes, own)
    return status if properties["waitOnCompletion"] else GOOD


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
