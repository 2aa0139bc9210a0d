"""File server linked services: a folder of this machine or a mounted share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kyanite.connections.connection import Connection
from kyanite.connections.linked_service import name_of, text_of
from kyanite.connections.local_folder import LocalFolder
from kyanite.errors import UnsupportedError
from kyanite.storage import StorageAccounts


def open_linked_service(linked_service: Mapping[str, Any], accounts: StorageAccounts | None) -> Connection:
    """The folder a `FileServer` linked service names as `host`, which must be an absolute path here."""
    host = text_of(linked_service, "host") or ""
    if not host.startswith("/"):
        raise UnsupportedError(
            f"The file server `{host}` of linked service `{name_of(linked_service)}` is not a folder of this machine.",
            cure="Mount the share and give its absolute path as `host`.",
        )
    return LocalFolder(Path(host))
