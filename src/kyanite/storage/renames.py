"""Moving blobs and folders: one step for everybody else, with all that is known of them."""

from __future__ import annotations

import os

from kyanite.errors import StorageError
from kyanite.storage import leases
from kyanite.storage.blobs import BlobStore
from kyanite.storage.conditions import NO_CONDITIONS, Conditions
from kyanite.storage.lease_files import LeaseFiles
from kyanite.storage.locks import locked
from kyanite.storage.properties import Blob, key_of


def rename(
    store: BlobStore,
    source: tuple[str, str],
    target: tuple[str, str],
    conditions: Conditions = NO_CONDITIONS,
    target_conditions: Conditions = NO_CONDITIONS,
) -> Blob:
    """Move (container, path) to another (container, path) of the account; a file or an empty folder there is replaced.

    Properties and ETag go along, leases of the source end. `SourcePathNotFound`, `InvalidRenameSourcePath`, ...
    """
    old_container, new_container = source[0], target[0]
    old, new = store.spell(source[1]), store.spell(target[1])
    where = store.where(old_container, old)
    if not old or not new:
        raise StorageError("A container cannot be renamed.", where=where, code="InvalidUri")
    if old_container == new_container and new.startswith(f"{old}/"):
        raise StorageError("A folder cannot move into itself.", where=where, code="InvalidRenameSourcePath")
    with (
        store.errors(old_container, old, missing="SourcePathNotFound"),
        store.parent(old_container, old) as (before, old_name),
    ):
        found = store.find(before, old_name, old_container, old)
        if found is None:
            raise FileNotFoundError(2, "No such file or directory")
        old_name, moved = found
        conditions.check(moved.etag, moved.modified, tags=moved.properties.tags)
        _check_leases(store, moved, conditions.lease_id)
        if (old_container, old) == (new_container, new):
            return moved
        with store.parent_made(new_container, new) as (after, new_name), locked(store.folder, new_container, new):
            replaced = store.find(after, new_name, new_container, new)
            store.check_write(replaced and replaced[1], target_conditions, new_container, new)
            if replaced and replaced[1].is_folder and not moved.is_folder:
                raise StorageError("A folder stands there.", where=store.where(new_container, new), code="PathConflict")
            status = os.stat(old_name, dir_fd=before, follow_symlinks=False)
            if old_container != new_container:
                _carry(store, moved, new_container)
            elif moved.is_folder:
                records = store.records(old_container)
                records.put_folder(status, new.rpartition("/")[2], moved.properties)
            os.rename(old_name, replaced[0] if replaced else new_name, src_dir_fd=before, dst_dir_fd=after)
            if replaced and not replaced[1].is_folder:
                store.records(new_container).drop(f"{replaced[1].modified_ns:x}-{replaced[1].size:x}")
    files = LeaseFiles(store.folder, old_container)
    for each in (old, *files.below(old)):
        files.write(each, None)
    return store.require(new_container, new)


def _check_leases(store: BlobStore, moved: Blob, given: str | None) -> None:
    files = LeaseFiles(store.folder, moved.container)
    now = store.clock()
    leases.check_write(files.read(moved.path), given, now)
    for each in files.below(moved.path) if moved.is_folder else ():
        leases.check_write(files.read(each), given, now)


def _carry(store: BlobStore, moved: Blob, container: str) -> None:
    """The properties of what moves to another container, written there before it arrives."""
    records, target = store.records(moved.container), store.records(container)
    key = f"{moved.modified_ns:x}-{moved.size:x}"
    if not moved.is_folder:
        records.carry(key, target)
        return
    root = store.folder / moved.container / moved.path
    for folder, folders, files in os.walk(root):
        for name in files:
            records.carry(key_of(os.lstat(f"{folder}/{name}")), target)
        for name in folders:
            status = os.lstat(f"{folder}/{name}")
            target.put_folder(status, name, records.get_folder(status, name))
