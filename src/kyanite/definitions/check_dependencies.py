"""`dependsOn`: unknown siblings, unknown conditions, circles; and names, which must be unique in a pipeline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kyanite.definitions.activity import Activity, as_list, as_object
from kyanite.definitions.arm_order import find_cycle
from kyanite.definitions.model import Factory, Pipeline
from kyanite.definitions.names import suggestion
from kyanite.definitions.paths import descend, join
from kyanite.definitions.placement import placed_activities
from kyanite.definitions.problem import Problem, error

_CONDITIONS = ("Succeeded", "Failed", "Skipped", "Completed")


def check_dependencies(factory: Factory) -> Iterator[Problem]:
    """Duplicate activity names and everything that is wrong with dependencies."""
    for pipeline in factory.pipelines.values():
        yield from _duplicates(pipeline)
        lists: dict[int, tuple[Activity, ...]] = {}
        names: dict[int, frozenset[str]] = {}
        for placed in placed_activities(pipeline):
            if id(placed.siblings) not in lists:
                lists[id(placed.siblings)] = placed.siblings
                names[id(placed.siblings)] = frozenset(sibling.name.lower() for sibling in placed.siblings)
            yield from _entries(pipeline, placed.activity, placed.siblings, names[id(placed.siblings)])
        for siblings in lists.values():
            yield from _circle(pipeline, siblings)


def _duplicates(pipeline: Pipeline) -> Iterator[Problem]:
    first: dict[str, Activity] = {}
    for activity in pipeline.walk():
        earlier = first.setdefault(activity.name.lower(), activity)
        if earlier is not activity and activity.name:
            yield error(
                "DuplicateActivity",
                pipeline.place,
                join(activity.path, "name"),
                f"There is a second activity named {activity.name!r}, the first is {earlier.path}.",
                "Give it a name of its own: names are unique in the whole pipeline, inner activities included.",
            )


def _entries(
    pipeline: Pipeline, activity: Activity, siblings: Sequence[Activity], names: frozenset[str]
) -> Iterator[Problem]:
    for index, raw in enumerate(as_list(activity.document.get("dependsOn"))):
        place = descend(activity.path, "dependsOn", index)
        name = as_object(raw).get("activity")
        if not isinstance(name, str) or not name:
            message = "The dependency names no activity."
            yield error("BadDependency", pipeline.place, place, message, 'Write "activity" as a text.')
            continue
        place_of_name = join(place, "activity")
        if name.lower() == activity.name.lower():
            message = f"{activity.name!r} depends on itself."
            yield error("SelfDependency", pipeline.place, place_of_name, message, "Remove this dependency.")
        elif name.lower() not in names:
            known = [sibling.name for sibling in siblings if sibling is not activity]
            yield _unknown(pipeline, activity, name, known, place_of_name)
        yield from _conditions(pipeline, as_object(raw).get("dependencyConditions"), place)


def _unknown(pipeline: Pipeline, activity: Activity, name: str, known: list[str], place: str) -> Problem:
    elsewhere = pipeline.activities_by_name.get(name, None)
    message = f"{activity.name!r} depends on {name!r}, which is not in the same list of activities."
    cure = suggestion(name, known, "activities of this list")
    if elsewhere is not None:
        cure = f"{name!r} stands at {elsewhere.path}: depend on the container around it, or move one of them."
    return error("UnknownDependency", pipeline.place, place, message, cure)


def _conditions(pipeline: Pipeline, raw: object, place: str) -> Iterator[Problem]:
    place = join(place, "dependencyConditions")
    if raw is not None and not isinstance(raw, list):
        yield error("NotAList", pipeline.place, place, "The conditions are no list.", 'Write ["Succeeded"].')
    for index, condition in enumerate(as_list(raw)):
        if not isinstance(condition, str) or condition.lower() not in {one.lower() for one in _CONDITIONS}:
            message = f"There is no dependency condition {str(condition)[:40]!r}."
            cure = suggestion(str(condition), _CONDITIONS, "conditions")
            yield error("UnknownCondition", pipeline.place, join(place, index), message, cure)


def _circle(pipeline: Pipeline, siblings: Sequence[Activity]) -> Iterator[Problem]:
    position = {activity.name.lower(): index for index, activity in reversed(list(enumerate(siblings)))}
    needs = {
        index: {position[d.activity.lower()] for d in activity.depends_on if d.activity.lower() in position} - {index}
        for index, activity in enumerate(siblings)
    }
    waiting: dict[int, list[int]] = {}
    for index, needed in needs.items():
        for other in needed:
            waiting.setdefault(other, []).append(index)
    free = [index for index, needed in needs.items() if not needed]
    while free:
        index = free.pop()
        del needs[index]
        for dependent in waiting.get(index, ()):
            needs[dependent].discard(index)
            if not needs[dependent]:
                free.append(dependent)
    if needs:
        circle = find_cycle(needs)
        names = " -> ".join(repr(siblings[index].name) for index in circle)
        place = join(siblings[circle[0]].path, "dependsOn")
        message = f"These activities wait for each other: {names}."
        yield error("DependencyCycle", pipeline.place, place, message, "Remove one of these dependencies.")
