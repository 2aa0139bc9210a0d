"""The system's variables: their spellings, and which of them a formula may assign."""

from __future__ import annotations

from kyanite.batch.autoscale.metrics import METRICS

DEDICATED = "$TargetDedicatedNodes"
LOW_PRIORITY = "$TargetLowPriorityNodes"
OPTION = "$NodeDeallocationOption"
SLOTS = "$TaskSlotsPerNode"

# older names, still accepted; an alias gives way to the full name when a formula sets both
WRITE_ALIASES = {"$TargetDedicated": DEDICATED, "$TargetLowPriority": LOW_PRIORITY, "$TVMDeallocationOption": OPTION}
READ_ALIASES = WRITE_ALIASES | {
    "$CurrentDedicated": "$CurrentDedicatedNodes",
    "$CurrentLowPriority": "$CurrentLowPriorityNodes",
}
WRITABLE = (DEDICATED, LOW_PRIORITY, OPTION)
SYSTEM = (*WRITABLE, SLOTS, *METRICS)
_SPELLINGS = {name.casefold(): name for name in (*SYSTEM, *READ_ALIASES)}


def spelled(name: str) -> str:
    """A system variable in its own spelling; any other name as it is (user variables are case sensitive)."""
    return _SPELLINGS.get(name.casefold(), name) if name.startswith("$") else name


def is_system(name: str) -> bool:
    """Whether the service defines the variable; the name is in its own spelling."""
    return name.casefold() in _SPELLINGS and name.startswith("$")
