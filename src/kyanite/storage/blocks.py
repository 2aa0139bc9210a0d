"""Uncommitted blocks: files in `<account>/.blocks/<container>/<blob>/` until a commit makes a blob of them."""

from __future__ import annotations

import base64
import binascii
import contextlib
import fcntl
import hashlib
import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kyanite.errors import StorageError
from kyanite.limits import BLOCKS, BLOCKS_KEPT_DAYS
from kyanite.storage import staging
from kyanite.storage.blobs import BlobStore
from kyanite.storage.conditions import NO_CONDITIONS, Conditions
from kyanite.storage.events import CREATED, announced
from kyanite.storage.failures import disk_errors
from kyanite.storage.folders import FOLDER_MODE, open_path
from kyanite.storage.properties import Blob, Properties
from kyanite.storage.staged import Beside, Staged

_NAME = "name"
_ID_BYTES = 64
_FEW, _FEW_BYTES = 100, 1024**3


@dataclass(frozen=True, slots=True)
class Piece:
    """One block of a commit: where its bytes are now."""

    id: str
    file: str | None  # None: in the blob as it stands
    offset: int
    size: int


class _Changed(Exception):
    """A blob is not of the blocks that were looked for."""


def stage_block(store: BlobStore, container: str, path: str, block_id: str, staged: Staged) -> None:
    """Keep a written file as an uncommitted block. StorageError `InvalidBlockId`, `InvalidBlobOrBlock`."""
    folder = _folder(store, container, path)
    name = _stored(block_id)
    with disk_errors(store.where(container, path)):
        for _ in range(3):
            _made(folder, container, store.spell(path), len(name))
            with contextlib.suppress(FileNotFoundError):  # a commit took the folder away just now
                os.rename(staged.path, f"{folder}/{name}")
                staged.moved = True
                return


def uncommitted(store: BlobStore, container: str, path: str) -> list[tuple[str, int]]:
    """(id, size) of the uncommitted blocks, in the order they came."""
    found: list[tuple[int, str, int]] = []
    with contextlib.suppress(FileNotFoundError), os.scandir(_folder(store, container, path)) as entries:
        for entry in entries:
            if entry.name != _NAME:
                with contextlib.suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    found.append((status.st_mtime_ns, _id(entry.name), status.st_size))
    return [(name, size) for _, name, size in sorted(found)]


def committed(store: BlobStore, blob: Blob) -> list[tuple[str, int]]:
    """(id, size) of the blocks that a blob was committed from, in order; none when it was written at once."""
    return store.records(blob.container).get_blocks(f"{blob.modified_ns:x}-{blob.size:x}")


def commit(
    store: BlobStore,
    container: str,
    path: str,
    entries: Sequence[tuple[str, str]],
    properties: Properties,
    conditions: Conditions = NO_CONDITIONS,
) -> Blob:
    """Make the blob of a list of ("Committed" | "Uncommitted" | "Latest", id). StorageError `InvalidBlockList`.

    The uncommitted blocks are gone afterwards, those that the list does not name too.
    """
    if len(entries) > BLOCKS:
        raise StorageError(f"A blob has at most {BLOCKS} blocks.", code="BlockListTooLong")
    path = store.spell(path)
    folder = _folder(store, container, path)
    with disk_errors(store.where(container, path)), _held(folder):
        pieces, source = _pieces(store, container, path, folder, entries)
        blocks = [(piece.id, piece.size) for piece in pieces]
        try:
            inside = pieces and all(piece.file is None for piece in pieces)
            again = _again(store, container, path, blocks, properties, conditions) if inside else None
            if again is not None:
                blob = again
            elif len(pieces) == 1 and pieces[0].file is not None:
                made = Beside(pieces[0].file)
                blob = store.publish(made, container, path, properties, conditions, blocks=blocks)
            else:
                with store.stage() as staged:
                    _join(staged, pieces, source)
                    blob = store.publish(staged, container, path, properties, conditions, blocks=blocks)
        finally:
            if source is not None:
                os.close(source)
        drop(store, container, path, is_large=len(blocks) > _FEW or blob.size > _FEW_BYTES)
    return blob


def drop(store: BlobStore, container: str, path: str, *, is_large: bool = False) -> None:
    """Forget the uncommitted blocks of a blob, as a Put Blob does; of large ones the files go when it is answered."""
    if not os.access(f"{store.root}/.blocks/{container}", os.F_OK):  # it never had any
        return
    folder = _folder(store, container, path)
    if os.path.isdir(folder):
        _remove(store, folder, is_large=is_large)


def names_uncommitted(store: BlobStore, container: str) -> list[tuple[str, int]]:
    """Paths with uncommitted blocks, sorted, each with the time of its first one in nanoseconds."""
    found = []
    for file in (store.folder / ".blocks" / container).glob(f"*/{_NAME}"):
        with contextlib.suppress(FileNotFoundError, ValueError, KeyError):
            document = json.loads(file.read_text(encoding="utf-8"))
            if document["container"] == container and any(each.name != _NAME for each in file.parent.iterdir()):
                found.append((document["path"], file.stat().st_mtime_ns))
    return sorted(found)


def sweep(store: BlobStore) -> int:
    """Remove blocks that nobody committed for a week; of how many blobs."""
    old = time.time() - BLOCKS_KEPT_DAYS * 24 * 3600
    removed = 0
    for folder in (store.folder / ".blocks").glob("*/*"):
        with contextlib.suppress(FileNotFoundError):
            if max(each.stat().st_mtime for each in (folder, *folder.iterdir())) < old:
                _remove(store, str(folder))
                removed += 1
    return removed


def _pieces(
    store: BlobStore, container: str, path: str, folder: str, entries: Sequence[tuple[str, str]]
) -> tuple[list[Piece], int | None]:
    """Where the blocks are, and a descriptor of the blob as it stands when some are in it."""
    inside: dict[str, Piece] = {}
    source = None
    if any(kind != "Uncommitted" for kind, _ in entries):
        with contextlib.suppress(StorageError):
            source, blob = store.open(container, path)
            offset = 0
            for name, size in committed(store, blob):
                inside[name] = Piece(name, None, offset, size)
                offset += size
    try:
        return [_piece(kind, name, folder, inside) for kind, name in entries], source
    except BaseException:
        if source is not None:
            os.close(source)
        raise


def _again(
    store: BlobStore,
    container: str,
    path: str,
    blocks: list[tuple[str, int]],
    properties: Properties,
    conditions: Conditions,
) -> Blob | None:
    """The blob, when the list is the one it was committed from: a client that did not wait for its answer asks again.

    Its bytes are not copied once more, which takes minutes for a large one.
    """

    def check(blob: Blob) -> None:
        if blob.is_folder or committed(store, blob) != blocks:
            raise _Changed

    with contextlib.suppress(_Changed), announced(store.folder, CREATED, container, [path]):
        return store.change(container, path, lambda _: properties, conditions, check=check)
    return None


def _piece(kind: str, name: str, folder: str, inside: dict[str, Piece]) -> Piece:
    if kind in ("Uncommitted", "Latest"):
        file = f"{folder}/{_stored(name)}"
        with contextlib.suppress(FileNotFoundError):
            return Piece(name, file, 0, os.stat(file, follow_symlinks=False).st_size)
    if kind in ("Committed", "Latest") and name in inside:
        return inside[name]
    raise StorageError("The specified block list is invalid.", code="InvalidBlockList")


def _join(staged: Staged, pieces: Sequence[Piece], source: int | None) -> None:
    for piece in pieces:
        if piece.file is None:
            assert source is not None  # noqa: S101 - for the type checker
            staged.add(source, piece.offset, piece.size)
            continue
        fd = os.open(piece.file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            staged.add(fd, 0, piece.size)
        finally:
            os.close(fd)


@contextlib.contextmanager
def _held(folder: str) -> Iterator[None]:
    """One commit of a blob at a time."""
    try:
        fd = open_path(Path(folder))
    except FileNotFoundError:
        yield
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _folder(store: BlobStore, container: str, path: str) -> str:
    name = hashlib.sha256(store.spell(path).encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return f"{store.folder}/.blocks/{container}/{name}"


def _made(folder: str, container: str, path: str, id_length: int) -> None:
    """The folder of a blob's blocks, with a note whose they are; ids of one blob have one length."""
    file = f"{folder}/{_NAME}"
    try:
        with open(file, encoding="utf-8") as known:
            other = json.load(known)["length"]
    except (FileNotFoundError, ValueError, KeyError):
        os.makedirs(folder, FOLDER_MODE, exist_ok=True)
        beside = f"{os.path.dirname(folder)}/{staging.new_name()}"
        with open(beside, "w", encoding="utf-8") as new:
            json.dump({"container": container, "path": path, "length": id_length}, new)
        with contextlib.suppress(FileNotFoundError):
            os.rename(beside, file)
        return
    if other != id_length and any(each != _NAME for each in os.listdir(folder)):
        raise StorageError("The IDs of a blob's blocks must all be of one length.", code="InvalidBlobOrBlock")


def _remove(store: BlobStore, folder: str, *, is_large: bool = False) -> None:
    away = staging.new_name()
    try:
        os.rename(folder, f"{store.folder}/.staging/{away}")
    except FileNotFoundError:
        return
    if is_large:  # disks that are told of each freed block take a millisecond for a file; a kill leaves it to sweeping
        threading.Thread(target=_remove_away, args=(store, away), name="kyanite-blocks", daemon=True).start()
    else:
        _remove_away(store, away)


def _remove_away(store: BlobStore, away: str) -> None:
    with contextlib.suppress(FileNotFoundError):  # the account itself is gone
        beside = open_path(store.folder / ".staging")
        try:
            staging.remove(away, beside)
        finally:
            os.close(beside)


def _stored(block_id: str) -> str:
    try:
        raw = base64.b64decode(block_id, validate=True)
    except (binascii.Error, ValueError) as problem:
        raise StorageError("A block ID is base64 text.", code="InvalidQueryParameterValue") from problem
    if not 1 <= len(raw) <= _ID_BYTES:
        raise StorageError(f"A block ID stands for 1 to {_ID_BYTES} bytes.", code="InvalidQueryParameterValue")
    return raw.hex()


def _id(stored: str) -> str:
    return base64.b64encode(bytes.fromhex(stored)).decode()
