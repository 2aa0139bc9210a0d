"""The rules of one list of activities: who waits for whom, who may run, and what the list's status is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kyanite.definitions.model import Activity

SUCCEEDED, FAILED, SKIPPED = "Succeeded", "Failed", "Skipped"


@dataclass(frozen=True, slots=True)
class ScopePlan:
    """What follows from a list of activities alone; shared by all iterations of a loop."""

    activities: Mapping[str, Activity]
    dependents: Mapping[str, tuple[str, ...]]
    waits_for: Mapping[str, int]
    leaves: tuple[str, ...]
    spelling: Mapping[str, str]


def plan_scope(activities: tuple[Activity, ...]) -> ScopePlan:
    """The plan of a list; dependencies name activities of the same list in any case."""
    by_name = {activity.name: activity for activity in activities}
    spelling = {name.casefold(): name for name in by_name}
    dependents: dict[str, list[str]] = {name: [] for name in by_name}
    waits_for: dict[str, int] = {}
    for activity in activities:
        upstream = {upstream_of(spelling, dependency.activity) for dependency in activity.depends_on}
        waits_for[activity.name] = len(upstream)
        for name in upstream:
            dependents.setdefault(name, []).append(activity.name)
    return ScopePlan(
        activities=by_name,
        dependents={name: tuple(names) for name, names in dependents.items()},
        waits_for=waits_for,
        leaves=tuple(name for name in by_name if not dependents[name]),
        spelling=spelling,
    )


def upstream_of(spelling: Mapping[str, str], name: str) -> str:
    """The declared spelling of a dependency's name."""
    return spelling.get(name.casefold(), name)


def branch_status(status: str) -> str:
    """What a dependency condition sees: a timed-out or cancelled activity counts as failed."""
    return FAILED if status in ("TimedOut", "Cancelled") else status


def may_run(activity: Activity, status_of: Callable[[str], str]) -> bool:
    """Whether an activity whose dependencies are all over runs; otherwise it is skipped.

    Conditions of one dependency are ORed, dependencies are ANDed; `Completed` does not cover `Skipped`.
    """
    for dependency in activity.depends_on:
        status = branch_status(status_of(dependency.activity))
        conditions = {condition.casefold() for condition in dependency.conditions} or {"succeeded"}
        if status.casefold() in conditions:
            continue
        if "completed" in conditions and status in (SUCCEEDED, FAILED):
            continue
        return False
    return True


def deciding_failure(plan: ScopePlan, status_of: Callable[[str], str]) -> str | None:
    """The activity that makes the list fail, or None when it succeeds.

    The leaf rule: every leaf must have succeeded, where a skipped leaf is judged by what it depends on instead.
    """
    judged: set[str] = set()
    queue = list(plan.leaves)
    while queue:
        name = queue.pop(0)
        if name in judged:
            continue
        judged.add(name)
        status = branch_status(status_of(name))
        if status == SKIPPED:
            queue.extend(upstream_of(plan.spelling, item.activity) for item in plan.activities[name].depends_on)
        elif status != SUCCEEDED:
            return name
    return None
