"""Waiting tasks + free slots -> assignments. Batch reference section 5; what Azure leaves open is promised here.

Order: job priority (high first), then first come first served. A task that needs more slots than any node has free
reserves the emptiest node: later tasks may pass it only on other nodes, so it is never starved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Waiting:
    """A task that could start; `sequence` grows with the time it was added.

    `rank` 0 goes first within its job (its job manager); it never goes to nodes in `excluded`, and to the
    node that it `prefers` when it fits there now.
    """

    key: int
    job: str
    priority: int
    sequence: int
    slots: int = 1
    rank: int = 1
    excluded: frozenset[str] = frozenset()
    prefers: str | None = None


@dataclass(frozen=True)
class FreeNode:
    """A node that takes tasks now."""

    id: str
    free: int
    total: int


@dataclass(frozen=True)
class Assignment:
    """The task `key` goes to the node."""

    key: int
    node_id: str


def assign(
    waiting: Sequence[Waiting],
    nodes: Sequence[FreeNode],
    *,
    pack: bool = False,
    running: Mapping[str, int] | None = None,
    allowed: Mapping[str, int] | None = None,
) -> tuple[Assignment, ...]:
    """Place tasks on nodes; `running` counts each job's tasks, `allowed` caps them (a job not in it has no cap).

    `pack` fills the fullest node that still fits, otherwise the emptiest is taken; the node order breaks ties.
    """
    free = {node.id: node.free for node in nodes}
    total = {node.id: node.total for node in nodes}
    rank = {node.id: place for place, node in enumerate(nodes)}
    counts = dict(running or {})
    caps = allowed or {}
    placed: list[Assignment] = []
    for task in sorted(waiting, key=_order):
        if not free:
            break
        if task.job in caps and counts.get(task.job, 0) >= caps[task.job]:
            continue
        usable = [node for node in free if node not in task.excluded]
        fitting = [node for node in usable if free[node] >= task.slots]
        if fitting:
            order = [(node != task.prefers, free[node] if pack else -free[node], rank[node], node) for node in fitting]
            chosen = min(order)[-1]
            free[chosen] -= task.slots
            counts[task.job] = counts.get(task.job, 0) + 1
            placed.append(Assignment(task.key, chosen))
        else:
            large_enough = [node for node in usable if total[node] >= task.slots]
            if large_enough:
                del free[min(large_enough, key=lambda node: (-free[node], rank[node]))]
    return tuple(placed)


def preferred_node(affinity: str | None) -> str | None:
    """The node that an `affinityId` names: its own id, or as nodes and tasks show theirs, with `TVM:` before it."""
    return affinity.removeprefix("TVM:") if affinity else None


def _order(task: Waiting) -> tuple[int, int, int]:
    """A job manager goes before all others of its priority: it has the sequence number of the first task or less."""
    return (-task.priority, task.rank, task.sequence)
