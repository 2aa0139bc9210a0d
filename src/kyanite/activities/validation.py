"""Validation: wait until a file or folder is there.

It never says no: it looks again until its timeout, then fails (as in the service).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from kyanite.activities.context import ActivityContext
from kyanite.activities.references import resolve_dataset
from kyanite.connections import Connection, Entry, open_connection
from kyanite.definitions.timespan import parse_timespan
from kyanite.errors import ActivityError, StorageError
from kyanite.movement.location import read_location

Json = Any
DEFAULT_TIMEOUT = "0.12:00:00"
DEFAULT_SLEEP_SECONDS = 10
LEAST_SLEEP_SECONDS = 0.1
_MISSING = ("BlobNotFound", "ContainerNotFound", "PathNotFound")


def run(context: ActivityContext) -> Json:
    """Poll every `sleep` seconds; the output describes what was found."""
    properties = context.type_properties
    dataset, linked_service = resolve_dataset(context.factory, properties.get("dataset") or {})
    location = read_location(dataset["name"], dataset["typeProperties"])
    connection = open_connection(linked_service, context.services.accounts)
    seconds = parse_timespan(str(properties.get("timeout") or DEFAULT_TIMEOUT))
    sleep = max(LEAST_SLEEP_SECONDS, _number(context, "sleep", DEFAULT_SLEEP_SECONDS))
    path = f"{location.folder_path}/{location.file}".strip("/")
    deadline = time.monotonic() + seconds
    while True:
        found = _look(context, connection, path, is_file=bool(location.file))
        if found is not None:
            return found
        left = deadline - time.monotonic()
        if left <= 0:
            raise ActivityError(f"'{path}' was not there as asked within {seconds:,.0f} s.", code="ActivityTimeout")
        if context.cancelled.wait(timeout=min(sleep, left)):
            raise ActivityError("The validation was stopped.", code="ActivityCancelled")


def _number(context: ActivityContext, member: str, default: int) -> float:
    value = context.type_properties.get(member)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise ActivityError(f"'{member}' of Validation '{context.name}' must be a number of at least 0.", code="2104")
    return value


def _look(context: ActivityContext, connection: Connection, path: str, *, is_file: bool) -> Mapping[str, Json] | None:
    entry = connection.stat(path)
    if entry is None or entry.is_folder == is_file:
        return None
    if is_file:
        if entry.size < _number(context, "minimumSize", 0):
            return None
        return {**_described(entry, "File"), "size": entry.size}
    children = _children(connection, path)
    wanted = context.type_properties.get("childItems")
    if wanted is not None and bool(children) != bool(wanted):
        return None
    return {**_described(entry, "Folder"), "childItems": children}


def _described(entry: Entry, kind: str) -> dict[str, Json]:
    modified = entry.modified.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"exists": True, "itemName": entry.path.rsplit("/", 1)[-1], "itemType": kind, "lastModified": modified}


def _children(connection: Connection, path: str) -> list[dict[str, str]]:
    try:
        entries = list(connection.list(path, recursive=False))
    except StorageError as error:
        if error.error_code in _MISSING:
            return []
        raise
    return [
        {"name": item.path.rstrip("/").rsplit("/", 1)[-1], "type": "Folder" if item.is_folder else "File"}
        for item in entries
    ]
