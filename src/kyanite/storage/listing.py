"""Pages of a container's names, in the order of their full paths, from wherever the last page ended."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from kyanite.errors import StorageError
from kyanite.storage import names
from kyanite.storage.blobs import BlobStore
from kyanite.storage.model import listing_key
from kyanite.storage.properties import Blob, key_of

_FIRST_FILES, _MOST_FILES = 16, 256  # a page may end soon
_LAST = "\U0010ffff"


class Child(NamedTuple):
    """One name in a folder, before anything else of it was looked at; `stored` leads to it from that folder.

    Children are sorted by `key`, so that a walk gives full paths in order.
    """

    key: str
    name: str
    is_folder: bool
    stored: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Prefix:
    """Names that begin alike up to the delimiter, as one item of a listing; `folder` is the real one, if it is one."""

    path: str
    folder: Blob | None = None


def walk(
    store: BlobStore, container: str, *, prefix: str = "", after: str = "", start: str = "", folders: bool | None = None
) -> Iterator[Blob]:
    """Blobs, and the folders of a hierarchical account before what is in them, whose path begins with `prefix`.

    Only those beyond `after`, and from `start` on. Paths of folders have no slash at their end.
    """
    store.require_container(container)
    with_folders = store.hierarchical if folders is None else folders
    top = prefix.rpartition("/")[0] if "/" in prefix else ""
    stored = names.stored_parts(top) if top or "/" in prefix else ()
    base = f"{top}/" if "/" in prefix else ""
    yield from _below(store, container, stored, base, (prefix, after, start, with_folders))


def _below(
    store: BlobStore, container: str, stored: tuple[str, ...], base: str, bounds: tuple[str, str, str, bool]
) -> Iterator[Blob]:
    prefix, after, start, with_folders = bounds
    files = _Files(store, container, stored)
    for child in children(store, container, stored):
        path = base + child.name
        if not child.is_folder:
            if path > after and path >= start and path.startswith(prefix) and files.add(child, path):
                yield from files.take()
            continue
        inside = f"{path}/"
        if not (inside.startswith(prefix) or prefix.startswith(inside)):
            continue
        yield from files.take()
        if with_folders and path > after and path >= start and path.startswith(prefix):
            found = look(store, container, (*stored, *child.stored), path)
            if found is not None:
                yield found
        if inside + _LAST > after and inside + _LAST >= start:
            yield from _below(store, container, (*stored, *child.stored), inside, bounds)
    yield from files.take()


class _Files:
    """Files of one folder, looked at some at a time: their records are read together."""

    def __init__(self, store: BlobStore, container: str, stored: tuple[str, ...]) -> None:
        self._store, self._container, self._stored = store, container, stored
        self._waiting: list[tuple[Child, str]] = []
        self._most = _FIRST_FILES

    def add(self, child: Child, path: str) -> bool:
        """Keep one; whether it is time to take them."""
        self._waiting.append((child, path))
        return len(self._waiting) >= self._most

    def take(self) -> Iterator[Blob]:
        """The blobs of those that were kept; what is gone by now, or no plain file, is none."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        self._most = min(4 * self._most, _MOST_FILES)
        store, container = self._store, self._container
        with (
            contextlib.suppress(FileNotFoundError, NotADirectoryError),
            store.opened(container, self._stored) as folder,
        ):
            found: list[tuple[str, tuple[str, ...], os.stat_result]] = []
            for child, path in waiting:
                place = child.stored
                try:
                    name = place[0] if len(place) == 1 else "/".join(place)
                    found.append((path, place, os.stat(name, dir_fd=folder, follow_symlinks=False)))
                except (FileNotFoundError, NotADirectoryError):
                    continue
        records = store.records(container).read_all([key_of(status) for _, _, status in found])
        for (path, place, status), record in zip(found, records, strict=True):
            if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
                yield store.version(status, container, path, record)
            else:
                blob = look(store, container, (*self._stored, *place), path)
                if blob is not None and not blob.is_folder:
                    yield blob


def level(
    store: BlobStore, container: str, *, prefix: str = "", after: str = "", start: str = ""
) -> Iterator[Blob | Prefix]:
    """Blobs of one folder (the part of `prefix` up to its last slash), its folders as Prefix that ends in a slash."""
    store.require_container(container)
    top = prefix.rpartition("/")[0]
    base = f"{top}/" if "/" in prefix else ""
    stored = names.stored_parts(top) if base else ()
    if base and not top:
        stored = names.stored_part("")
    for child in children(store, container, stored):
        path = base + child.key
        if not path.startswith(prefix) or path <= after or path + _LAST < start:
            continue
        place = (*stored, *child.stored)
        if not child.is_folder:
            found = look(store, container, place, path)
            if found is not None and not found.is_folder and path >= start:
                yield found
        elif store.hierarchical:
            yield Prefix(path, look(store, container, place, path[:-1]))
        elif next(_below(store, container, place, path, (path, "", "", False)), None) is not None:
            yield Prefix(path)


def children(store: BlobStore, container: str, stored: tuple[str, ...]) -> list[Child]:
    """The names in a folder, sorted; none when it is not there."""
    found: list[Child] = []
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), store.opened(container, stored) as folder:
        _collect(folder, "", (), found)
    found.sort()
    return found


def _collect(folder: int, begun: str, above: tuple[str, ...], found: list[Child]) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if name[0] != "." or not name.startswith((names.ESCAPED, names.CONTINUED, names.BESIDE_FOLDER)):
                if not begun and not entry.is_symlink():
                    found.append(_child(name, entry.is_dir(follow_symlinks=False), (name,)))
            elif names.is_continued(name):
                fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
                try:
                    _collect(fd, begun + names.read_name(name), (*above, name), found)
                finally:
                    os.close(fd)
            else:
                is_folder = entry.is_dir(follow_symlinks=False)
                found.append(_child(begun + names.read_name(name), is_folder, (*above, name)))


def _child(name: str, is_folder: bool, stored: tuple[str, ...]) -> Child:
    return Child(listing_key(name, is_folder), name, is_folder, stored)


def look(store: BlobStore, container: str, stored: tuple[str, ...], path: str) -> Blob | None:
    """What stands at a stored place; None when it is gone by now, or is nothing that a container holds."""
    try:
        status = os.stat("/".join((str(store.folder), container, *stored)), follow_symlinks=False)
        return store.blob_of(status, container, path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except StorageError as problem:
        if problem.error_code != "LinkRefused":
            raise
        return None
