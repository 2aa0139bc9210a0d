"""The embedded storage account: containers and folders as plain folders on disk, with the service's names and keys."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kyanite.storage.account import StorageAccount, StorageAccounts
    from kyanite.storage.file_writer import FileWriter
    from kyanite.storage.model import Entry

_HOME = {
    "Entry": "model",
    "FileWriter": "file_writer",
    "StorageAccount": "account",
    "StorageAccounts": "account",
}

__all__ = ["Entry", "FileWriter", "StorageAccount", "StorageAccounts"]


def __getattr__(name: str) -> Any:
    """Import a name when it is first used: who only writes a file beside its target needs no accounts."""
    if name in _HOME:
        return getattr(import_module(f"kyanite.storage.{_HOME[name]}"), name)
    raise AttributeError(f"module 'kyanite.storage' has no attribute {name!r}")
