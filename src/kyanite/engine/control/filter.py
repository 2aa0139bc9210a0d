"""Filter: keep the items of an array for which a condition holds."""

from __future__ import annotations

from dataclasses import replace

from kyanite.engine.turn import Turn
from kyanite.errors import ActivityError
from kyanite.expressions import evaluate, kind_of
from kyanite.limits import FOREACH_ITEMS


def start(turn: Turn, path: str) -> None:
    """`item()` in the condition is the filter's own item, also inside a ForEach."""
    activity = turn.state.activities[path]
    properties = activity.definition.type_properties
    name = activity.definition.name
    scope = turn.scope(activity.scope)
    items = evaluate(properties.get("items"), scope)
    if not isinstance(items, list):
        raise ActivityError(
            f"The items of Filter '{name}' must be an Array, not {kind_of(items)}.", code="InvalidTemplate"
        )
    if len(items) > FOREACH_ITEMS:
        raise ActivityError(
            f"Filter '{name}' got {len(items):,} items; {FOREACH_ITEMS:,} are the limit.", code="LimitExceeded"
        )
    kept = []
    for item in items:
        holds = evaluate(properties.get("condition"), replace(scope, item=item))
        if not isinstance(holds, bool):
            raise ActivityError(
                f"The condition of Filter '{name}' must give a Boolean, not {kind_of(holds)}.", code="InvalidTemplate"
            )
        if holds:
            kept.append(item)
    turn.started(path, {"items": items, "condition": properties.get("condition")})
    turn.ended(path, "Succeeded", output={"ItemsCount": len(items), "FilteredItemsCount": len(kept), "Value": kept})


def step(turn: Turn, path: str) -> None:
    """Never waits."""
