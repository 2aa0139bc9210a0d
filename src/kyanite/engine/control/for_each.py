"""ForEach: run the body once per item, one after the other or several at a time.

An iteration that fails does not stop the others. Free places are filled as iterations end: the service fills n fixed
queues instead, and promises no order, so this is the same but for the waiting.
"""

from __future__ import annotations

from typing import Any

from kyanite.engine import events as ev
from kyanite.engine.control.containers import end_by_scopes
from kyanite.engine.parameters import is_true
from kyanite.engine.turn import Turn
from kyanite.errors import ActivityError
from kyanite.expressions import kind_of
from kyanite.limits import FOREACH_BATCH_COUNT, FOREACH_BATCH_COUNT_DEFAULT, FOREACH_ITEMS


def start(turn: Turn, path: str) -> None:
    """Evaluate the items, which must be an array, and open the first iterations."""
    activity = turn.state.activities[path]
    properties = activity.definition.type_properties
    name = activity.definition.name
    items = turn.evaluate(properties.get("items"), activity.scope)
    if not isinstance(items, list):
        raise ActivityError(
            f"The items of ForEach '{name}' must be an Array, not {kind_of(items)}.", code="InvalidTemplate"
        )
    if len(items) > FOREACH_ITEMS:
        raise ActivityError(
            f"ForEach '{name}' got {len(items):,} items; {FOREACH_ITEMS:,} are the limit.", code="LimitExceeded"
        )
    batch = 1 if is_true(properties.get("isSequential")) else _batch_count(name, properties.get("batchCount"))
    turn.started(path, {"itemsCount": len(items), "batchCount": batch}, data={"items": items, "batch": batch})
    step(turn, path)


def _batch_count(name: str, value: Any) -> int:
    if value is None:
        return FOREACH_BATCH_COUNT_DEFAULT
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ActivityError(
            f"The batchCount of ForEach '{name}' must be a whole number from 1 to {FOREACH_BATCH_COUNT}; "
            "it is never an expression.",
            code="InvalidTemplate",
        )
    return min(value, FOREACH_BATCH_COUNT)


def step(turn: Turn, path: str) -> None:
    """Fill the free places with the next items; the end comes when all are done."""
    activity = turn.state.activities[path]
    count, batch = len(activity.data["items"]), activity.data["batch"]
    while activity.scopes_opened < count and activity.scopes_open < batch:
        turn.emit(ev.ScopeOpened(at=turn.at, scope=f"{path}/{activity.scopes_opened}"))
    if activity.scopes_open == 0 and activity.scopes_opened == count:
        end_by_scopes(turn, path)
