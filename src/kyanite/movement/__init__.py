"""Moving data between connections: the Copy activity, and the splitter."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kyanite.movement.transfer import CopyRequest, Dataset, copy

__all__ = ["CopyRequest", "Dataset", "copy"]


def __getattr__(name: str) -> Any:
    """Import the transfer when it is first used: the table of formats alone is needed at every start."""
    if name in __all__:
        return getattr(import_module("kyanite.movement.transfer"), name)
    raise AttributeError(f"module 'kyanite.movement' has no attribute {name!r}")
