"""Storage event triggers: which blobs created or deleted make them fire, and what their parameters see of a blob."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kyanite.engine.triggers.values import choice
from kyanite.errors import DefinitionError

Json = Any

CREATED = "Microsoft.Storage.BlobCreated"
DELETED = "Microsoft.Storage.BlobDeleted"


@dataclass(frozen=True, slots=True)
class BlobEvent:
    """A blob came or went. `path` is `container/folder/file`, `size` in bytes, None when it is not known."""

    id: str
    account: str
    kind: str
    path: str
    size: int | None
    at: datetime


@dataclass(frozen=True, slots=True)
class StorageEvents:
    """A checked rule: both tests must hold, compared with `/container/blobs/folder/file`, case and all."""

    account: str
    kinds: frozenset[str]
    begins_with: str
    ends_with: str
    ignore_empty: bool

    def matches(self, event: BlobEvent) -> bool:
        """Whether the event makes the trigger fire."""
        container, _, rest = event.path.partition("/")
        subject = f"/{container}/blobs/{rest}"
        if event.account != self.account or event.kind not in self.kinds:
            return False
        if self.ignore_empty and event.kind == CREATED and event.size == 0:
            return False
        return subject.startswith(self.begins_with) and subject.endswith(self.ends_with)


def trigger_body(event: BlobEvent) -> dict[str, Json]:
    """What `triggerBody()` gives: the folder with its container and without a slash at its end, and the name."""
    folder, _, name = event.path.rpartition("/")
    return {"fileName": name, "folderPath": folder}


def read(type_properties: Mapping[str, Json], where: str) -> StorageEvents:
    """A BlobEventsTrigger's typeProperties; DefinitionError says what is wrong and what to write."""
    raw = type_properties
    begins, ends = (_pattern(raw.get(name), f"{where}.{name}") for name in ("blobPathBeginsWith", "blobPathEndsWith"))
    if not begins and not ends:
        cure = "Give blobPathBeginsWith (/container/blobs/folder/) or blobPathEndsWith (.csv)."
        raise DefinitionError("The trigger has no test for the path.", where=where, cure=cure)
    _check_beginning(begins, f"{where}.blobPathBeginsWith")
    ignore = raw.get("ignoreEmptyBlobs", True)
    if not isinstance(ignore, bool):
        raise DefinitionError(
            "It is not true or false.", where=f"{where}.ignoreEmptyBlobs", cure="Write true or false."
        )
    return StorageEvents(
        account=_account(raw.get("scope"), f"{where}.scope"),
        kinds=_kinds(raw.get("events"), f"{where}.events"),
        begins_with=begins,
        ends_with=ends,
        ignore_empty=ignore,
    )


def _pattern(value: Json, where: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise DefinitionError("It is not a text.", where=where, cure="Write a part of a path; there are no wildcards.")
    return value


def _check_beginning(text: str, where: str) -> None:
    """`/container/blobs/...`: the middle segment is part of the test, so a path without it never fits."""
    parts = text.split("/")
    if text and (parts[0] or (len(parts) > 3 and parts[2] != "blobs")):
        container, rest = (parts[1], parts[2:]) if not parts[0] else (parts[0], parts[1:])
        inside = "/".join(rest[1:] if rest[:1] == ["blobs"] else rest)
        raise DefinitionError(
            f"No path begins with '{text:.100}'.", where=where, cure=f"Write /{container}/blobs/{inside}."
        )


def _account(value: Json, where: str) -> str:
    name = value.rstrip("/").rpartition("/")[2] if isinstance(value, str) else ""
    if not name or "/storageaccounts/" not in f"/{value}".lower():
        cure = "Write the account's resource id: /subscriptions/.../Microsoft.Storage/storageAccounts/NAME."
        raise DefinitionError("It names no storage account.", where=where, cure=cure)
    return name


def _kinds(value: Json, where: str) -> frozenset[str]:
    if not isinstance(value, list) or not value:
        raise DefinitionError("It names no event.", where=where, cure=f"Write {CREATED}, {DELETED} or both in a list.")
    return frozenset(choice(item, f"{where}[{index}]", (CREATED, DELETED)) for index, item in enumerate(value))
