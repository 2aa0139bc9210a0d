"""What a rerun takes from the run before it, looked up in the plan that its `RunQueued` carries."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kyanite.engine.state import ROOT, RunState

Json = Any


def reused_outcome(state: RunState, path: str) -> Mapping[str, Json] | None:
    """How an activity ended in the earlier run when that stands for it (`status`, `activityRunId`, ...), else None."""
    return _entry(state, path, "reuse")


def reused_child(state: RunState, path: str) -> Mapping[str, Json] | None:
    """The plan by which the child run of an ExecutePipeline reuses the earlier child, or None."""
    return _entry(state, path, "children")


def _entry(state: RunState, path: str, member: str) -> Mapping[str, Json] | None:
    rerun = state.queued.rerun if state.queued else None
    entry: Mapping[str, Json] | None = (rerun.get(member) or {}).get(path) if rerun else None
    if rerun is None or entry is None:
        return None
    return entry if _same_items(state, path, rerun.get("items") or {}) else None


def _same_items(state: RunState, path: str, items: Mapping[str, Json]) -> bool:
    """Whether every loop around a place goes over the same item there as it did: another item has no past."""
    scope = state.activities[path].scope
    while scope != ROOT:
        container, branch = scope.rsplit("/", 1)
        now = state.activities[container].data.get("items")
        if now is not None:
            index, then = int(branch), items.get(container) or []
            if index >= len(then) or _text(now[index]) != _text(then[index]):
                return False
        scope = state.activities[container].scope
    return True


def _text(item: Json) -> str:
    return json.dumps(item, sort_keys=True)  # unlike ==, this tells 1, 1.0 and true apart
