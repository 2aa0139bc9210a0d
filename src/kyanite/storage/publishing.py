"""The step that makes a written file a blob: under the name's lock, and after its record is there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from kyanite.errors import StorageError
from kyanite.storage import names
from kyanite.storage.conditions import Conditions
from kyanite.storage.events import CREATED, announced, is_listening
from kyanite.storage.locks import lock
from kyanite.storage.properties import Blob, Properties, key_of
from kyanite.storage.staged import Beside

if TYPE_CHECKING:
    from kyanite.storage.blobs import BlobStore

_ATTEMPTS = 4


def publish(
    store: BlobStore,
    staged: Beside,
    container: str,
    path: str,
    properties: Properties | None,
    conditions: Conditions,
    blocks: list[tuple[str, int]] | None,
    quietly: bool,
) -> Blob:
    """What `BlobStore.publish` does; written without context managers, since every small write comes by here."""
    if not path:
        raise StorageError("A blob needs a name.", where=store.where(container), code="InvalidUri")
    attempt = 1
    while True:
        try:
            return _publish(store, staged, container, path, properties, conditions, blocks, quietly)
        except OSError as problem:
            # somebody removed the last other blob of the folder, and the folder
            again = isinstance(problem, FileNotFoundError) and not store.hierarchical and attempt < _ATTEMPTS
            if not again:
                raise store.told(problem, container, path) from problem
            attempt += 1


def _publish(
    store: BlobStore,
    staged: Beside,
    container: str,
    path: str,
    properties: Properties | None,
    conditions: Conditions,
    blocks: list[tuple[str, int]] | None,
    quietly: bool,
) -> Blob:
    records = store.records(container)
    parts = names.stored_parts(path)
    folder = store.made(container, parts[:-1])
    held = -1
    try:
        held = lock(store.root, container, path)
        found = store.replaceable(folder, parts[-1], container, path)
        current = found[1] if found else None
        store.check_write(current, conditions, container, path)
        if current is not None and current.is_folder:
            raise StorageError("A folder stands there.", where=store.where(container, path), code="PathConflict")
        status = staged.stamp(current.modified_ns if current else 0)
        key = key_of(status)
        if properties is not None:
            properties = properties.created(status.st_mtime_ns)
            records.add(key, properties)
        if blocks:
            records.put_blocks(key, blocks)
        stored = found[0] if found else store.free(folder, parts[-1])
        try:
            if quietly or not is_listening(store.root):
                os.rename(staged.path, stored, dst_dir_fd=folder)
            else:
                with announced(store.folder, CREATED, container, [path]):
                    os.rename(staged.path, stored, dst_dir_fd=folder)
        except BaseException:
            records.drop(key)
            raise
        staged.moved = True
        store.forget(records, current)
    finally:
        if held >= 0:
            os.close(held)
        os.close(folder)
    if properties is None:
        return store.blob_of(status, container, path)
    return Blob(container, path, status.st_size, status.st_mtime_ns, status.st_ino, False, properties)
