"""Where each activity of a pipeline stands: its siblings, the containers around it, what has ended before it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from kyanite.definitions.model import Activity, Pipeline


@dataclass(frozen=True, eq=False)
class Placed:
    """An activity with the list it stands in and the container that holds this list."""

    activity: Activity
    siblings: tuple[Activity, ...]
    container: Placed | None

    @property
    def around(self) -> Iterator[Placed]:
        """The containers around it, the nearest first."""
        outer = self.container
        while outer is not None:
            yield outer
            outer = outer.container

    @cached_property
    def upstream(self) -> frozenset[str]:
        """The names (lower case) that must have ended before this one starts: by dependsOn, here and further out."""
        by_name = {sibling.name.lower(): sibling for sibling in reversed(self.siblings)}
        found: set[str] = set()
        waiting = [dependency.activity.lower() for dependency in self.activity.depends_on]
        while waiting:
            name = waiting.pop()
            if name in by_name and name not in found:
                found.add(name)
                waiting += [dependency.activity.lower() for dependency in by_name[name].depends_on]
        outer = self.container.upstream if self.container else frozenset()
        return frozenset(found - {self.activity.name.lower()}) | outer

    def inside(self, kind: str) -> bool:
        """Whether a container of a type stands around it."""
        return any(outer.activity.type.lower() == kind for outer in self.around)


def placed_activities(pipeline: Pipeline) -> list[Placed]:
    """Every activity of a pipeline with its place, outer before inner."""
    found: list[Placed] = []
    _place(pipeline.activities, None, found)
    return found


def _place(activities: tuple[Activity, ...], container: Placed | None, found: list[Placed]) -> None:
    for activity in activities:
        placed = Placed(activity, activities, container)
        found.append(placed)
        for branch in activity.branches.values():
            _place(branch, placed, found)
