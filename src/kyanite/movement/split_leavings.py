"""Splits that were interrupted: a set that was complete is brought to its place, everything else is removed."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from kyanite.connections import Connection
from kyanite.errors import ConflictError, DataError, KyaniteError
from kyanite.limits import SPLIT_MANIFEST_BYTES
from kyanite.movement.split_manifest import MANIFEST, WORK_FOLDER, Manifest, ManifestPart, read_manifest
from kyanite.movement.split_names import Namings
from kyanite.movement.split_writer import check_size, write_file
from kyanite.storage.model import join
from kyanite.storage.staging import new_name, process_start

_WORK = f"{WORK_FOLDER}/work.json"
_AT_WORK: set[str] = set()  # splits of this process; one that ended with an error may have left its record


class Work(NamedTuple):
    """A split that goes on in a folder: how its parts are named and which files it replaces."""

    namings: Mapping[str, Any]
    replaces: tuple[str, ...]


@contextlib.contextmanager
def announced(target: Connection, folder: str, work: Work) -> Iterator[None]:
    """Say that a split is at work, before its first file can be seen; after an error remove what it has left."""
    owner = new_name()
    document = {"owner": owner, "namings": work.namings, "replaces": work.replaces}
    _AT_WORK.add(owner)
    try:
        write_file(target, join(folder, _WORK), json.dumps(document).encode())
        yield
    except BaseException:
        with contextlib.suppress(KyaniteError):  # the error that brought us here is told; the next split cleans up
            _remove_own(target, folder)
        raise
    finally:
        _AT_WORK.discard(owner)


def tidy(target: Connection, folder: str) -> Manifest | None:
    """Finish or remove what an interrupted split left in the folder; the manifest that counts afterwards.

    ConflictError when a split of this machine that still runs is at work there.
    """
    manifest = read_manifest(target, folder)
    if target.stat(join(folder, WORK_FOLDER)) is None and (manifest is None or not manifest.folder):
        return manifest
    work, owner = _read_work(target, folder)
    if owner is not None and _is_alive(owner):
        raise ConflictError(
            "Another split writes into this folder.", where=target.url(folder), cure="Wait until it has ended."
        )
    if manifest is not None and manifest.folder:
        return finish(target, folder, manifest)
    _remove(target, folder, work, manifest)
    return manifest


def _remove_own(target: Connection, folder: str) -> None:
    manifest = read_manifest(target, folder)
    if manifest is not None and manifest.folder:
        return  # the set is complete and counts: the next split brings it to its place
    _remove(target, folder, _read_work(target, folder)[0], manifest)


def finish(target: Connection, folder: str, manifest: Manifest) -> Manifest:
    """Bring the parts of a manifest to their place, remove the files they replace and the work folder."""
    if manifest.folder:
        for part in manifest.parts:
            _place(target, folder, manifest, part)
        placed = manifest._replace(folder="", replaces=())
        write_file(target, join(folder, MANIFEST), placed.encode())
    kept = {part.name for part in manifest.parts}
    for name in manifest.replaces:
        _delete(target, join(folder, name), unless=name in kept)
    _delete(target, join(folder, WORK_FOLDER))
    return manifest._replace(folder="", replaces=())


def _place(target: Connection, folder: str, manifest: Manifest, part: ManifestPart) -> None:
    staged, path = join(folder, manifest.folder, part.name), join(folder, part.name)
    if target.stat(staged) is None:
        raise DataError(
            "The manifest names a part that is not there.", where=target.url(staged), cure="Split again elsewhere."
        )
    target.copy(staged, path)
    check_size(target, path, part.bytes)


def _remove(target: Connection, folder: str, work: Work | None, manifest: Manifest | None) -> None:
    """Parts that no manifest names, then the work folder with what is staged there."""
    kept = {part.name for part in manifest.parts} if manifest is not None else set()
    if work is not None:
        for name in _made_by(work, target, folder, counts=manifest is not None):
            _delete(target, join(folder, name), unless=name in kept)
    _delete(target, join(folder, WORK_FOLDER))


def _made_by(work: Work, target: Connection, folder: str, *, counts: bool) -> list[str]:
    """Files that an interrupted split made or was to remove; the latter stay while no manifest says what counts."""
    match: Callable[[str], bool] = Namings.of(work.namings).match
    names = [entry.name for entry in target.list(folder, recursive=False) if not entry.is_folder]
    return [name for name in names if (name in work.replaces and counts) or (name not in work.replaces and match(name))]


def _read_work(target: Connection, folder: str) -> tuple[Work | None, str | None]:
    path = join(folder, _WORK)
    entry = target.stat(path)
    if entry is None or entry.is_folder or entry.size > SPLIT_MANIFEST_BYTES:
        return None, None
    with target.open_read(path) as file:
        data = file.read()
    try:
        document = json.loads(data)
        return Work(document["namings"], tuple(map(str, document["replaces"]))), str(document["owner"])
    except (ValueError, KeyError, TypeError, AttributeError, KyaniteError) as problem:
        raise DataError("This is no record of a split's work.", where=target.url(path), cure="Remove it.") from problem


def _is_alive(owner: str) -> bool:
    """Whether the split of a staging name still runs, as far as this machine can know."""
    machine, pid, start, _ = (*owner.split("-"), "", "", "", "")[:4]
    if machine != new_name().split("-")[0] or not pid.isdigit():
        return False
    return owner in _AT_WORK if int(pid) == os.getpid() else str(process_start(int(pid))) == start


def _delete(target: Connection, path: str, *, unless: bool = False) -> None:
    if not unless and target.stat(path) is not None:
        target.delete(path)
