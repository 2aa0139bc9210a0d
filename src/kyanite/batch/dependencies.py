"""Task dependencies: what a task waits for, and whom a completed task lets go. Batch reference section 16.

A range is cut into blocks of 1, 2, 4, 8 ... integers, so that a dependent has few rows however long its range is, and a
completed task names the 32 blocks that it lies in. A row waits until as many tasks of its block as it misses are done.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kyanite import limits
from kyanite.batch.codes import refusal, wrong_value
from kyanite.batch.reading import items, objects, part, whole

_INTEGER = re.compile(r"[0-9]+")
_LEVELS = 32
_LARGEST = 2**_LEVELS - 1


@dataclass(frozen=True)
class Dependencies:
    """The ids (case-folded, each once) and the ranges of integers that a task waits for."""

    tasks: tuple[str, ...] = ()
    ranges: tuple[tuple[int, int], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.tasks or self.ranges)


def read_dependencies(document: Mapping[str, Any]) -> Dependencies:
    """The `dependsOn` of a task's document."""
    body = part(document, "dependsOn")
    names = [str(item) for item in items(body, "taskIds")]
    if sum(map(len, names)) > limits.DEPENDENCY_CHARACTERS:
        raise refusal("TaskDependencyListTooLong")
    ranges = []
    for item in objects(body, "taskIdRanges"):
        first, last = whole(item, "start", 0, least=0), whole(item, "end", 0, least=0)
        if last < first or last > _LARGEST:
            raise wrong_value("taskIdRanges", f"{first}-{last}", "The end must not be below the start.")
        ranges.append((first, last))
    return Dependencies(tuple(dict.fromkeys(name.casefold() for name in names)), tuple(dict.fromkeys(ranges)))


def integer_of(task_id: str) -> int | None:
    """The integer that a task id is for ranges: 3 for "3", "03" and "003"; None for "5abc"."""
    if not _INTEGER.fullmatch(task_id) or len(task_id) > 64:
        return None
    number = int(task_id)
    return number if number <= _LARGEST else None


def blocks(first: int, last: int) -> Iterator[tuple[str, int, int]]:
    """A range cut into aligned blocks: name, first and last integer of each."""
    while first <= last:
        level = (first & -first).bit_length() - 1 if first else _LEVELS
        while first + (1 << level) - 1 > last:
            level -= 1
        yield f"#{level}:{first >> level}", first, first + (1 << level) - 1
        first += 1 << level


def block_names(number: int) -> list[str]:
    """Every block that an integer lies in."""
    return [f"#{level}:{number >> level}" for level in range(_LEVELS + 1)]


def block_bounds(name: str) -> tuple[int, int]:
    """First and last integer of a block that `blocks` named."""
    level, _, place = name.removeprefix("#").partition(":")
    return int(place) << int(level), ((int(place) + 1) << int(level)) - 1


def task_name(task_id: str) -> str:
    """What a dependency on a task id is called in the table."""
    return f"={task_id.casefold()}"
