"""kyanite: Data Factory, Batch and Blob storage on the machine in front of you.

The whole public face is `open_workspace`, `split`, `KyaniteError` and `__version__`, with the modules `kyanite.sdk`
(Azure's clients for a workspace) and `kyanite.testing` (pipelines in pytest); everything else may change.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kyanite._version import __version__

if TYPE_CHECKING:
    from kyanite.errors import KyaniteError
    from kyanite.movement.split import split
    from kyanite.runtime.workspace import open_workspace

_HOME = {
    "KyaniteError": "kyanite.errors",
    "open_workspace": "kyanite.runtime.workspace",
    "split": "kyanite.movement.split",
}

__all__ = ["KyaniteError", "__version__", "open_workspace", "split"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `import kyanite` alone costs nothing."""
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'kyanite' has no attribute {name!r}")
