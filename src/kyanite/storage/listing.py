"""Pages of a container's names, in the order of their full paths, from wherever the last page ended."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

from kyanite.errors import StorageError
from kyanite.storage import names
from kyanite.storage.blobs import BlobStore
from kyanite.storage.model import listing_key
from kyanite.storage.properties import Blob

_LAST = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class Child:
    """One name in a folder, before anything else of it was looked at; `stored` leads to it from that folder."""

    name: str
    is_folder: bool
    stored: tuple[str, ...]

    @property
    def key(self) -> str:
        """By which the children of a folder are sorted, so that a walk gives full paths in order."""
        return listing_key(self.name, self.is_folder)


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
    for child in children(store, container, stored):
        path = base + child.name
        if not child.is_folder:
            if path > after and path >= start and path.startswith(prefix):
                found = look(store, container, (*stored, *child.stored), path)
                if found is not None and not found.is_folder:
                    yield found
            continue
        inside = f"{path}/"
        if not (inside.startswith(prefix) or prefix.startswith(inside)):
            continue
        if with_folders and path > after and path >= start and path.startswith(prefix):
            found = look(store, container, (*stored, *child.stored), path)
            if found is not None:
                yield found
        if inside + _LAST > after and inside + _LAST >= start:
            yield from _below(store, container, (*stored, *child.stored), inside, bounds)


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
    found.sort(key=lambda child: child.key)
    return found


def _collect(folder: int, begun: str, above: tuple[str, ...], found: list[Child]) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if name[0] != "." or not name.startswith((names.ESCAPED, names.CONTINUED, names.BESIDE_FOLDER)):
                if not begun and not entry.is_symlink():
                    found.append(Child(name, entry.is_dir(follow_symlinks=False), (name,)))
            elif names.is_continued(name):
                fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
                try:
                    _collect(fd, begun + names.read_name(name), (*above, name), found)
                finally:
                    os.close(fd)
            else:
                is_folder = entry.is_dir(follow_symlinks=False)
                found.append(Child(begun + names.read_name(name), is_folder, (*above, name)))


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
