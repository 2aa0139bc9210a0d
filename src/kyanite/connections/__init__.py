"""Linked services and addresses opened as places of data."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from kyanite.connections.addresses import is_local, open_url
from kyanite.connections.connection import Connection, Writer, WriterSet
from kyanite.errors import UnsupportedError
from kyanite.storage import Entry

if TYPE_CHECKING:
    from kyanite.storage import StorageAccounts

CONNECTIONS = {
    "AzureBlobFS": "azure_storage:open_linked_service",
    "AzureBlobStorage": "azure_storage:open_linked_service",
    "AzureStorage": "azure_storage:open_linked_service",
    "FileServer": "file_server:open_linked_service",
}


def open_connection(linked_service: Mapping[str, Any], accounts: StorageAccounts | None) -> Connection:
    """The place a resolved linked service points at: `{"name", "type", "typeProperties"}`, expressions evaluated.

    UnsupportedError for a type that is not a place of files, StorageError `AuthenticationFailed` for a wrong key.
    """
    kind = str(linked_service.get("type"))
    place = CONNECTIONS.get(kind)
    if place is None:
        raise UnsupportedError(
            f"Linked service `{linked_service.get('name')}` is of type `{kind}`, which holds no files here.",
            cure=f"Supported are {', '.join(CONNECTIONS)}.",
        )
    module, _, function = place.partition(":")
    opener = getattr(import_module(f"kyanite.connections.{module}"), function)
    return cast(Connection, opener(linked_service, accounts))


__all__ = [
    "CONNECTIONS",
    "Connection",
    "Entry",
    "Writer",
    "WriterSet",
    "is_local",
    "open_connection",
    "open_url",
]
