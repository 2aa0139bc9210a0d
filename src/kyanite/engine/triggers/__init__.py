"""Triggers: when they fire, and what the pipelines they start are given. Pure: a moment comes in, fire times go out.

One file per type with a function `read(type_properties, where)` that checks a definition and gives the rule in it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from kyanite.definitions.model import Resource
from kyanite.errors import UnsupportedError

TRIGGERS = {
    "BlobEventsTrigger": "kyanite.engine.triggers.storage_events:read",
    "ScheduleTrigger": "kyanite.engine.triggers.recurrence:read",
    "TumblingWindowTrigger": "kyanite.engine.triggers.tumbling:read",
}
_BY_FOLDED_NAME = {name.casefold(): name for name in TRIGGERS}


def type_of(trigger: Resource) -> str:
    """The one spelling of a trigger's type; UnsupportedError for a type that is not run here."""
    known = _BY_FOLDED_NAME.get(trigger.type.casefold())
    if known is None:
        raise UnsupportedError(
            f"Triggers of the type '{trigger.type}' are not run.",
            where=trigger.place,
            cure=f"Supported: {', '.join(TRIGGERS)}.",
        )
    return known


def read_trigger(trigger: Resource) -> Any:
    """The rule of a trigger: a Recurrence, Tumbling or StorageEvents.

    Raises DefinitionError naming the first property that is wrong, UnsupportedError for another type.
    """
    module, _, function = TRIGGERS[type_of(trigger)].partition(":")
    return getattr(import_module(module), function)(trigger.type_properties, f"{trigger.place}: typeProperties")
