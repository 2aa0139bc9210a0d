"""Execution activities: what the engine cannot do by itself because it needs data, processes or the network.

One file per type with one function `run(context) -> output`; the table below is the list of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any, cast

from kyanite.activities.context import ActivityContext
from kyanite.errors import UnsupportedError

Json = Any
Run = Callable[[ActivityContext], Json]

ACTIVITIES = {
    "Copy": "kyanite.activities.copy:run",
    "Custom": "kyanite.activities.custom:run",
    "Validation": "kyanite.activities.validation:run",
    "WebHook": "kyanite.activities.web_hook:run",
}


def activity_runner(type_name: str, table: Mapping[str, str | Run] | None = None) -> Run:
    """What carries out an activity type (in any case); UnsupportedError names the nearest types we run."""
    entries = ACTIVITIES if table is None else table
    folded = {name.casefold(): name for name in entries}
    name = folded.get(type_name.casefold())
    if name is None:
        near = get_close_matches(type_name.casefold(), folded, n=1)
        hint = f"Did you mean '{folded[near[0]]}'? " if near else ""
        raise UnsupportedError(
            f"Activities of the type '{type_name}' are not run by kyanite.",
            cure=f"{hint}Execution activities it runs: {', '.join(sorted(entries))}.",
        )
    entry = entries[name]
    if callable(entry):
        return entry
    module, attribute = entry.split(":")
    return cast(Run, getattr(import_module(module), attribute))
