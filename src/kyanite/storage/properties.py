"""What a blob has besides its bytes, kept beside the containers in `<account>/.properties/<container>/`.

A record belongs to one version of a file: its name is the file's modification time (set by us, to the nanosecond) and
size. So a file that was edited or replaced by hand has no record and shows derived properties, one that was moved
keeps them, and the record of a new version can be written before that version becomes visible.
A folder's record is named after its inode, since a folder's time changes with each child.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from kyanite.limits import PROPERTIES_CACHED

BLOCK_BLOB = "BlockBlob"
APPEND_BLOB = "AppendBlob"


@dataclass(frozen=True, slots=True)
class Properties:
    """Texts as the client gave them; empty ones are not set. `created_ns` 0 means: as old as the file.

    `access` has owner, group, permissions and acl; `copy` the id, source, status and time of a copy into the blob;
    `blocks` how many blocks an append blob was written in.
    """

    blob_type: str = BLOCK_BLOB
    created_ns: int = 0
    content_type: str = ""
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


PLAIN = Properties()
_FIELDS = {each.name: getattr(PLAIN, each.name) for each in fields(Properties)}


@dataclass(frozen=True, slots=True)
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


def etag_of(modified_ns: int, inode: int) -> str:
    """The ETag of a file by its modification time and inode."""
    return f"0x{modified_ns:X}{inode & 0xFFFF:04X}"


class Records:
    """The records of one container."""

    _cache: ClassVar[OrderedDict[str, Properties]] = OrderedDict()

    def __init__(self, account: Path, container: str) -> None:
        self.folder = account / ".properties" / container
        self._base = f"{self.folder}/"

    def get(self, status: os.stat_result) -> Properties | None:
        """The properties of the version that a file's status tells, or None when it was put there by hand."""
        return self.read(key_of(status))

    def get_folder(self, status: os.stat_result, name: str) -> Properties:
        """The properties of a folder; `name` guards against a record of a folder that is no more."""
        raw = self._load(f"d-{status.st_ino:x}")
        if raw is None or raw.pop("name", None) != name:
            return PLAIN
        return _properties(raw)

    def read(self, key: str) -> Properties | None:
        """The record of this name."""
        path = self._base + key
        found = self._cache.get(path)
        if found is None:
            raw = self._load(key)
            if raw is None:
                return None
            found = _properties(raw)
            self._remember(path, found)
        return found

    def put(self, key: str, properties: Properties) -> None:
        """Write the record of a version that is not visible yet, or replace one at once."""
        self._write(key, _document(properties))
        self._remember(self._base + key, properties)

    def put_folder(self, status: os.stat_result, name: str, properties: Properties) -> None:
        """Write a folder's record."""
        self._write(f"d-{status.st_ino:x}", {**_document(properties), "name": name})

    def drop(self, key: str) -> None:
        """Forget a version; one without a record is fine."""
        self._cache.pop(self._base + key, None)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._base + key)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self._base}{key}.blocks")

    def drop_folder(self, status: os.stat_result) -> None:
        """Forget a folder."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self._base}d-{status.st_ino:x}")

    def put_blocks(self, key: str, blocks: list[tuple[str, int]]) -> None:
        """Note of which blocks a version was committed: (id, size) in order."""
        self._write(f"{key}.blocks", blocks)

    def get_blocks(self, key: str) -> list[tuple[str, int]]:
        """The blocks of a version; none when it was not written in blocks."""
        raw = self._load_any(f"{key}.blocks")
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

    def sweep(self, living: set[str], older_than_ns: int) -> int:
        """Remove records that belong to none of the living keys and are old enough; how many."""
        removed = 0
        with contextlib.suppress(FileNotFoundError), os.scandir(self.folder) as entries:
            for entry in entries:
                bare = entry.name.removesuffix(".blocks")
                if bare in living or not entry.is_file(follow_symlinks=False) or "-" not in bare:
                    continue
                with contextlib.suppress(FileNotFoundError):
                    if entry.stat().st_mtime_ns < older_than_ns:
                        os.unlink(entry.path)
                        removed += 1
        return removed

    def remove_all(self) -> None:
        """Forget the whole container."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _remember(self, path: str, properties: Properties) -> None:
        self._cache[path] = properties
        if len(self._cache) > PROPERTIES_CACHED:
            with contextlib.suppress(KeyError):
                self._cache.popitem(last=False)

    def _load(self, name: str) -> dict[str, Any] | None:
        raw = self._load_any(name)
        return raw if isinstance(raw, dict) else None

    def _load_any(self, name: str) -> Any:
        try:
            fd = os.open(self._base + name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        try:
            with os.fdopen(fd, "rb") as file:
                return json.loads(file.read())
        except ValueError:  # half of it was written when the power failed: as if it were not there
            return None

    def _write(self, name: str, document: Any) -> None:
        data = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        beside = f"{self._base}{name}.{os.getpid():x}"
        target = self._base + name
        try:
            fd = os.open(target, flags, 0o600)  # a version's key is new: nobody reads it yet
            beside = target
        except FileNotFoundError:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(beside, flags, 0o600)
        except FileExistsError:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(beside)
            fd = os.open(beside, flags, 0o600)
        try:
            with os.fdopen(fd, "wb", buffering=0) as file:
                _write_all(file.fileno(), data)
            if beside != target:
                os.replace(beside, target)
        except OSError:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(beside)
            raise


def key_of(status: os.stat_result) -> str:
    """The name of the record of a file's version."""
    return f"{status.st_mtime_ns:x}-{status.st_size:x}"


def _document(properties: Properties) -> dict[str, Any]:
    return {name: value for name, value in asdict(properties).items() if value != _FIELDS[name]}


def _properties(raw: Mapping[str, Any]) -> Properties:
    return Properties(**{name: value for name, value in raw.items() if name in _FIELDS})


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
