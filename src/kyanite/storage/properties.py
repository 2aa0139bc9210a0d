"""What a blob has besides its bytes, kept beside the containers in `<account>/.properties/records.db`.

A record belongs to one version of a file: its name is the file's modification time (set by us, to the nanosecond) and
size. So a file that was edited or replaced by hand has no record and shows derived properties, one that was moved
keeps them, and the record of a new version can be written before that version becomes visible.
A folder's record is named after its inode, since a folder's time changes with each child.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii
from operator import attrgetter
from pathlib import Path
from typing import Any, ClassVar

from kyanite.limits import PROPERTIES_CACHED, RECORDS_SWEPT_AT_ONCE
from kyanite.storage.model import etag_of
from kyanite.storage.record_store import existing_store, record_store

BLOCK_BLOB = "BlockBlob"
APPEND_BLOB = "AppendBlob"
DEFAULT_TYPE = "application/octet-stream"


# these two are never changed once others see them; a frozen one takes five times as long to make, on each request
@dataclass(slots=True, unsafe_hash=True)
class Properties:
    """Texts as the client gave them; empty ones are not set. `created_ns` 0 means: as old as the file.

    `access` has owner, group, permissions and acl; `copy` the id, source, status and time of a copy into the blob;
    `blocks` how many blocks an append blob was written in.
    """

    blob_type: str = BLOCK_BLOB
    created_ns: int = 0
    content_type: str = DEFAULT_TYPE
    content_encoding: str = ""
    content_language: str = ""
    content_disposition: str = ""
    cache_control: str = ""
    content_md5: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    access: Mapping[str, str] = field(default_factory=dict)
    copy: Mapping[str, str] = field(default_factory=dict)
    tier: str = ""
    sealed: bool = False
    blocks: int = 0

    def created(self, moment_ns: int) -> Properties:
        """The same for a blob that was made at that moment, unless it says when."""
        if self.created_ns:
            return self
        found = Properties(*_values(self))
        found.created_ns = moment_ns
        return found


_values = attrgetter(*(each.name for each in fields(Properties)))
PLAIN = Properties()
_TAGS = '"tags":'  # in a record that has some
_FOLDER = "d-"  # begins the key of a folder
_FIELDS = {each.name: getattr(PLAIN, each.name) for each in fields(Properties)}


@dataclass(slots=True, unsafe_hash=True)
class Blob:
    """One version of a blob, or a folder. `size` is bytes, `modified_ns` since 1970; `changed_ns` of the inode."""

    container: str
    path: str
    size: int
    modified_ns: int
    inode: int
    is_folder: bool = False
    properties: Properties = PLAIN

    @property
    def etag(self) -> str:
        """Without quotes; changes with each write, stays over restarts."""
        return etag_of(self.modified_ns, self.inode)

    @property
    def modified(self) -> datetime:
        """UTC, to the second, as the headers have it."""
        return datetime.fromtimestamp(self.modified_ns // 1_000_000_000, UTC)

    @property
    def created(self) -> datetime:
        """UTC, to the second."""
        return datetime.fromtimestamp((self.properties.created_ns or self.modified_ns) // 1_000_000_000, UTC)


class Records:
    """The records of one container."""

    _cache: ClassVar[OrderedDict[tuple[str, str, str], Properties]] = OrderedDict()

    def __init__(self, account: Path | str, container: str) -> None:
        self._account = str(account)
        self._container = container

    @property
    def folder(self) -> str:
        """Where other notes about the container lie: its own properties, leases, appends in progress."""
        return f"{self._account}/.properties/{self._container}"

    def get(self, status: os.stat_result) -> Properties | None:
        """The properties of the version that a file's status tells, or None when it was put there by hand."""
        return self.read(key_of(status))

    def get_folder(self, status: os.stat_result, name: str) -> Properties:
        """The properties of a folder; `name` guards against a record of a folder that is no more."""
        raw = self._load(_folder_key(status))
        if not isinstance(raw, dict) or raw.pop("name", None) != name:
            return PLAIN
        return _properties(raw)

    def read(self, key: str) -> Properties | None:
        """The record of this name."""
        place = (self._account, self._container, key)
        found = self._cache.get(place)
        if found is None:
            raw = self._load(key)
            if not isinstance(raw, dict):
                return None
            found = _properties(raw)
            self._remember(place, found)
        return found

    def read_all(self, keys: Sequence[str]) -> list[Properties | None]:
        """The records of these names, in their order."""
        cache, account, container = self._cache, self._account, self._container
        found = [cache.get((account, container, key)) for key in keys]
        missing = [key for key, record in zip(keys, found, strict=True) if record is None]
        store = existing_store(account) if missing else None
        if store is None:
            return found
        read = {key: _properties(json.loads(body)) for key, body in store.get_all(container, missing).items()}
        for key, record in read.items():  # the cache may forget others of these for them
            self._remember((account, container, key), record)
        return [record or read.get(key) for key, record in zip(keys, found, strict=True)]

    def put(self, key: str, properties: Properties) -> None:
        """Write a record, or replace one at once."""
        record_store(self._account).put(self._container, key, _text(_document(properties)))
        self._remember((self._account, self._container, key), properties)

    def add(self, key: str, properties: Properties) -> None:
        """Write the record of a version that is not visible yet, and never was."""
        record_store(self._account).add(self._container, key, _document_text(properties))
        self._remember((self._account, self._container, key), properties)

    def put_folder(self, status: os.stat_result, name: str, properties: Properties) -> None:
        """Write a folder's record."""
        record_store(self._account).put(
            self._container, _folder_key(status), _text({**_document(properties), "name": name})
        )

    def drop(self, key: str) -> None:
        """Forget a version; one without a record is fine."""
        self._cache.pop((self._account, self._container, key), None)
        store = existing_store(self._account)
        if store is not None:
            store.drop(self._container, key, f"{key}.blocks")

    def drop_folder(self, status: os.stat_result) -> None:
        """Forget a folder."""
        store = existing_store(self._account)
        if store is not None:
            store.drop(self._container, _folder_key(status))

    def put_blocks(self, key: str, blocks: list[tuple[str, int]]) -> None:
        """Note of which blocks a version was committed: (id, size) in order."""
        record_store(self._account).put(self._container, f"{key}.blocks", _text(blocks))

    def get_blocks(self, key: str) -> list[tuple[str, int]]:
        """The blocks of a version; none when it was not written in blocks."""
        raw = self._load(f"{key}.blocks")
        return [(str(name), int(size)) for name, size in raw] if isinstance(raw, list) else []

    def carry(self, key: str, target: Records) -> None:
        """Give another container the record of a version that is about to move there."""
        properties = self.read(key)
        if properties is not None:
            target.put(key, properties)

    def drop_tree(self, folder: Path) -> None:
        """Forget all versions in a folder that is about to be removed."""
        for root, folders, files in os.walk(folder):
            for name in (*folders, *files):
                with contextlib.suppress(FileNotFoundError):
                    status = os.lstat(f"{root}/{name}")
                    if stat.S_ISDIR(status.st_mode):
                        self.drop_folder(status)
                    else:
                        self.drop(key_of(status))
        with contextlib.suppress(FileNotFoundError):
            self.drop_folder(os.lstat(folder))

    def keys(self) -> list[str]:
        """The versions that have a record, sorted."""
        store = existing_store(self._account)
        return store.keys(self._container) if store is not None else []

    def tags(self) -> Iterator[Mapping[str, str]]:
        """The tags of each version that has some, in no order; it may be one that is no more."""
        store = existing_store(self._account)
        bodies = [] if store is None else [body for body in store.unwritten(self._container) if _TAGS in body]
        last = ""
        while True:
            for body in bodies:
                document = json.loads(body)
                if isinstance(document, dict):
                    yield document.get("tags", {})
            rows = [] if store is None else store.bodies(self._container, _TAGS, after=last, most=RECORDS_SWEPT_AT_ONCE)
            if not rows:
                return
            last, bodies = rows[-1][0], [body for _, body in rows]

    def sweep(self, living: Callable[[], Iterable[str]], older_than_ns: int) -> int:
        """Remove records of files that are old enough and belong to none of the living keys; how many.

        `living` is asked once for each few thousand records, so that memory stays small.
        """
        store = existing_store(self._account)
        removed, last = 0, ""
        while store is not None:
            keys = store.keys(self._container, older_than_ns, after=last, most=RECORDS_SWEPT_AT_ONCE)
            old = {key.removesuffix(".blocks") for key in keys if not key.startswith(_FOLDER)}
            if not keys:
                break
            last = keys[-1]
            if old:
                old.difference_update(living())
            for key in old:
                self.drop(key)
            removed += len(old)
        return removed

    def remove_all(self) -> None:
        """Forget the whole container."""
        store = existing_store(self._account)
        if store is not None:
            store.drop_container(self._container)

    def _remember(self, place: tuple[str, str, str], properties: Properties) -> None:
        self._cache[place] = properties
        if len(self._cache) > PROPERTIES_CACHED:
            with contextlib.suppress(KeyError):
                self._cache.popitem(last=False)

    def _load(self, key: str) -> Any:
        store = existing_store(self._account)
        text = store.get(self._container, key) if store is not None else None
        return None if text is None else json.loads(text)


def _folder_key(status: os.stat_result) -> str:
    return f"{_FOLDER}{status.st_ino:x}"


_text: Callable[[Any], str] = json.JSONEncoder(separators=(",", ":")).encode


def key_of(status: os.stat_result) -> str:
    """The name of the record of a file's version."""
    return f"{status.st_mtime_ns:x}-{status.st_size:x}"


def _document(properties: Properties) -> dict[str, Any]:
    pairs = zip(_FIELDS.items(), _values(properties), strict=True)
    return {name: value for (name, usual), value in pairs if value != usual}


def _quoted(value: Any) -> str:
    if isinstance(value, str):
        return encode_basestring_ascii(value)
    return str(value) if type(value) is int else _text(value)


def _document_text(properties: Properties) -> str:
    """The same as text: most have a few short texts, for which the encoder would be made anew each time."""
    pairs = zip(_FIELDS.items(), _values(properties), strict=True)
    texts = [f'"{name}":{_quoted(value)}' for (name, usual), value in pairs if value != usual]
    return f"{{{','.join(texts)}}}"


def _properties(raw: Mapping[str, Any]) -> Properties:
    return Properties(**{name: value for name, value in raw.items() if name in _FIELDS})
