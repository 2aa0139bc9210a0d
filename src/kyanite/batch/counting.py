"""Node counts by state, under the service's names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kyanite.batch.model import Pool

# state -> its name in a count
NAMES = {
    "creating": "creating",
    "deallocated": "deallocated",
    "deallocating": "deallocating",
    "idle": "idle",
    "leavingpool": "leavingPool",
    "offline": "offline",
    "preempted": "preempted",
    "rebooting": "rebooting",
    "reimaging": "reimaging",
    "running": "running",
    "starting": "starting",
    "starttaskfailed": "startTaskFailed",
    "unknown": "unknown",
    "unusable": "unusable",
    "upgradingos": "upgradingOS",
    "waitingforstarttask": "waitingForStartTask",
}


def count_nodes(pools: Sequence[Pool], rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The counts of each pool; rows have pool (its key), dedicated, state, leaving, busy and n."""
    kinds = {1: "dedicated", 0: "lowPriority"}
    found = {
        pool.id.casefold(): {kind: dict.fromkeys([*sorted(NAMES.values()), "total"], 0) for kind in kinds.values()}
        for pool in pools
    }
    for row in rows:
        if row["pool"] not in found:
            continue
        counts = found[row["pool"]][kinds[row["dedicated"]]]
        counts[NAMES[_state(row)]] += row["n"]
        counts["total"] += row["n"]
    return [{"poolId": pool.id, **found[pool.id.casefold()]} for pool in pools]


def _state(row: Mapping[str, Any]) -> str:
    if row["leaving"]:
        return "leavingpool"
    if row["state"] != "idle":
        return str(row["state"])
    if row["busy"]:
        return "running"
    return "idle" if row["scheduling"] == "enabled" else "offline"
