"""How the parts of a split appear: by one exchange of the folder, or under a manifest that changes in one step.

A folder that holds nothing but the older set is exchanged as a whole. Elsewhere - object stores, folders shared with
other files - the work is announced in `_kyanite_split/work.json`, and what an interrupted split left there is finished
or removed by the next one:

- No file has a name the parts will get: the parts get their names, then comes the manifest.
- Otherwise the parts are put in `_kyanite_split/ID/`, the manifest points there, they are copied to their names, and
  the manifest points at those. A reader that follows the manifest sees the old set or the new set at any time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from kyanite.connections import Connection, Writer
from kyanite.connections.embedded import EmbeddedConnection
from kyanite.connections.local_folder import LocalFolder
from kyanite.movement.split_leavings import Work, announced, finish
from kyanite.movement.split_manifest import MANIFEST, WORK_FOLDER, Manifest
from kyanite.movement.split_names import Namings
from kyanite.movement.split_writer import UploadSet, check_size, write_file
from kyanite.storage.file_set import FileSet
from kyanite.storage.model import join
from kyanite.storage.staging import new_name


class Present(NamedTuple):
    """What a target folder holds: its file and folder names, the set's manifest, and the names of the older parts.

    Without a manifest the older parts are the files named as the new parts will be.
    """

    names: frozenset[str]
    manifest: Manifest | None
    old: frozenset[str]


def look(target: Connection, folder: str, namings: Namings, manifest: Manifest | None) -> Present:
    """What is in the folder now."""
    names: frozenset[str] = frozenset()
    found = target.stat(folder)
    if found is not None and found.is_folder:
        names = frozenset(entry.name for entry in target.list(folder, recursive=False))
    listed = {part.name for part in manifest.parts} if manifest is not None else set(filter(namings.match, names))
    return Present(names, manifest, frozenset(listed & names))


class _Files(Protocol):
    def open(self, name: str) -> Writer: ...
    def open_read(self, name: str) -> BinaryIO: ...
    def commit(self) -> None: ...
    def abort(self) -> None: ...


class Staged(NamedTuple):
    """Where parts are put before they count: the folder, their permissions, and whether they wait for the disk."""

    folder: str
    mode: int
    is_synced: bool


class PartSet:
    """The new parts: opened one by one, then shown together by `publish`."""

    def __init__(self, files: _Files, publish: Callable[[Manifest], None]) -> None:
        self._files = files
        self.publish = publish
        self.shows_files = not isinstance(files, UploadSet)  # what is written can be read before its commit

    def open(self, name: str) -> Writer:
        """A part; its `commit` completes it."""
        return self._files.open(name)

    def open_read(self, name: str) -> BinaryIO:
        """A complete part, before it counts."""
        return self._files.open_read(name)

    def staged(self) -> Staged | None:
        """The folder of this machine where the parts are staged; None when there is none."""
        if not isinstance(self._files, FileSet) or (folder := self._files.folder_path()) is None:
            return None
        return Staged(folder, self._files.file_mode, self._files.is_synced)

    def adopt(self, name: str) -> None:
        """A part that another process has written belongs to the set."""
        if isinstance(self._files, FileSet):
            self._files.adopt(name)


@contextlib.contextmanager
def part_set(
    target: Connection, folder: str, present: Present, namings: Namings, *, is_synced: bool = True
) -> Iterator[PartSet]:
    """A set of parts for the folder; leaving without `publish` leaves the older set as it was and nothing beside it.

    With `is_synced` off the parts do not wait for the disk - unless they replace an older set, which is given up only
    for one that is there - and in a folder shared with other files the manifest does.
    """
    is_synced = is_synced or bool(present.old)
    if _is_exchanged(target, folder, present, namings):
        files = target.open_set(folder, lambda name: _is_ours(name, present, namings), is_synced=is_synced)
        with files:
            yield PartSet(files, lambda manifest: _exchange(files, manifest))
        return
    collides = any(namings.match(name) for name in present.names)
    stage = f"{WORK_FOLDER}/{new_name()}" if collides else ""
    # parts that are staged have their names only once the manifest counts: no file goes by its name alone then
    made = Namings([], namings.template) if collides else namings
    with announced(target, folder, Work(made.document(), tuple(sorted(present.old)))):
        yield from _shared_set(target, folder, stage, present, is_synced or collides)


def _shared_set(target: Connection, folder: str, stage: str, present: Present, is_synced: bool) -> Iterator[PartSet]:
    place = join(folder, stage)
    files: _Files
    if isinstance(target, LocalFolder | EmbeddedConnection):
        files = target.open_set(place, lambda name: False, is_synced=is_synced)
    else:
        files = UploadSet(target, place)
    published = False

    def publish(manifest: Manifest) -> None:
        nonlocal published
        files.commit()
        published = True
        _show(target, folder, manifest._replace(folder=stage, replaces=tuple(sorted(present.old))))

    try:
        yield PartSet(files, publish)
    finally:
        if not published:
            files.abort()


def _show(target: Connection, folder: str, manifest: Manifest) -> None:
    """Let the manifest count, then bring everything to its place."""
    for part in manifest.parts:
        check_size(target, join(folder, manifest.folder, part.name), part.bytes)
    if manifest.folder:
        write_file(target, join(folder, MANIFEST), manifest.encode())
    else:
        write_file(target, join(folder, MANIFEST), manifest._replace(replaces=()).encode())
    finish(target, folder, manifest)


def _exchange(files: _Files, manifest: Manifest) -> None:
    writer = files.open(MANIFEST)
    writer.write(manifest.encode())
    writer.commit()
    files.commit()


def _is_ours(name: str, present: Present, namings: Namings) -> bool:
    return name in present.old or name == MANIFEST or (present.manifest is None and namings.match(name))


def _is_exchanged(target: Connection, folder: str, present: Present, namings: Namings) -> bool:
    """Whether the folder holds nothing but the older set and may be exchanged for another."""
    if any(not _is_ours(name, present, namings) for name in present.names):
        return False
    if isinstance(target, LocalFolder):
        real = Path(target.url(folder)).resolve()
        return not real.is_mount() and real != Path.cwd().resolve()
    return isinstance(target, EmbeddedConnection)
