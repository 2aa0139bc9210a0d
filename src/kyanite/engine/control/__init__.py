"""Control activities: those that the engine carries out itself, without input or output.

One file per type with two functions: `start(turn, path)` when its dependencies are met, and `step(turn, path)` when one
of its scopes closed or its time has come. The table below is the list of them.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

if TYPE_CHECKING:
    from kyanite.engine.turn import Turn

CONTROL_ACTIVITIES = {
    "AppendVariable": "kyanite.engine.control.append_variable",
    "ExecutePipeline": "kyanite.engine.control.execute_pipeline",
    "Fail": "kyanite.engine.control.fail",
    "Filter": "kyanite.engine.control.filter",
    "ForEach": "kyanite.engine.control.for_each",
    "IfCondition": "kyanite.engine.control.if_condition",
    "SetVariable": "kyanite.engine.control.set_variable",
    "Switch": "kyanite.engine.control.switch",
    "Until": "kyanite.engine.control.until",
    "Wait": "kyanite.engine.control.wait",
}

_BY_FOLDED_NAME = {name.casefold(): module for name, module in CONTROL_ACTIVITIES.items()}


class ControlActivity(Protocol):
    """What the module of a control activity offers."""

    def start(self, turn: Turn, path: str) -> None:
        """Begin; raises ExpressionError or ActivityError when the input is wrong."""

    def step(self, turn: Turn, path: str) -> None:
        """Go on: a scope closed or the due time has come."""


@runtime_checkable
class ClosingActivity(Protocol):
    """A container that looks into each of its scopes before it closes."""

    def closing(self, turn: Turn, path: str, scope: str) -> Any:
        """What to remember of the scope: the `result` of its ScopeClosed event."""


@cache
def control_activity(type_name: str) -> ControlActivity | None:
    """The control activity of a type (in any case), or None for an execution activity."""
    module = _BY_FOLDED_NAME.get(type_name.casefold())
    return cast(ControlActivity, import_module(module)) if module else None
