"""The order in which a template's resources are deployed."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

from kyanite.errors import TemplateError

# types in the order they are needed when dependsOn says nothing; other types come after the accounts
_KIND_ORDER = (
    "microsoft.storage/storageaccounts",
    "microsoft.storage/storageaccounts/blobservices",
    "microsoft.storage/storageaccounts/blobservices/containers",
    "microsoft.batch/batchaccounts",
    "microsoft.batch/batchaccounts/pools",
    "",
    "microsoft.datafactory/factories",
    "microsoft.datafactory/factories/globalparameters",
    "microsoft.datafactory/factories/managedvirtualnetworks",
    "microsoft.datafactory/factories/managedvirtualnetworks/managedprivateendpoints",
    "microsoft.datafactory/factories/credentials",
    "microsoft.datafactory/factories/integrationruntimes",
    "microsoft.datafactory/factories/linkedservices",
    "microsoft.datafactory/factories/datasets",
    "microsoft.datafactory/factories/dataflows",
    "microsoft.datafactory/factories/pipelines",
    "microsoft.datafactory/factories/triggers",
)
_CHILD = "microsoft.datafactory/factories/"
_RANK = {kind: rank for rank, kind in enumerate(_KIND_ORDER)}


def deployment_order(kinds: Sequence[str], needs: Mapping[int, set[int]], labels: Sequence[str]) -> list[int]:
    """The indices so that each comes after all it needs; where that leaves a choice, by kind, then as written.

    A circle is a TemplateError that names it by `labels`.
    """
    open_needs = {index: set(needs.get(index, ())) for index in range(len(kinds))}
    dependants: dict[int, list[int]] = {}
    for index, needed in open_needs.items():
        for other in needed:
            dependants.setdefault(other, []).append(index)
    ready = [(_rank(kinds[index]), index) for index, needed in open_needs.items() if not needed]
    heapq.heapify(ready)
    order: list[int] = []
    while ready:
        _, index = heapq.heappop(ready)
        order.append(index)
        for other in dependants.get(index, ()):
            open_needs[other].discard(index)
            if not open_needs[other]:
                heapq.heappush(ready, (_rank(kinds[other]), other))
    if len(order) < len(kinds):
        stuck = {index: needed for index, needed in open_needs.items() if needed}
        circle = " -> ".join(labels[index] for index in find_cycle(stuck))
        raise TemplateError(f"Resources depend on each other: {circle}.", cure="Remove one of these dependsOn entries.")
    return order


def find_cycle(needs: Mapping[int, set[int]]) -> list[int]:
    """One circle of a graph in which every node has a need inside the graph; its first node stands again at the end."""
    trail: list[int] = [min(needs)]
    while True:
        following = min(other for other in needs[trail[-1]] if other in needs)
        if following in trail:
            return [*trail[trail.index(following) :], following]
        trail.append(following)


def _rank(kind: str) -> int:
    unknown = "microsoft.datafactory/factories/dataflows" if kind.lower().startswith(_CHILD) else ""
    return _RANK.get(kind.lower(), _RANK[unknown])
