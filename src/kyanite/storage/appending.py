"""Append blobs: files that grow in place, block by block; each block is there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass, replace

from kyanite.errors import StorageError
from kyanite.limits import APPEND_BLOCKS
from kyanite.storage.blobs import BlobStore
from kyanite.storage.conditions import NO_CONDITIONS, Conditions
from kyanite.storage.locks import locked
from kyanite.storage.properties import APPEND_BLOB, Blob, key_of
from kyanite.storage.staged import Staged, copy_range
from kyanite.storage.torn import intend, repair


@dataclass(frozen=True, slots=True)
class AppendLimits:
    """Conditions on the size: the blob must end at `at`, and must not grow beyond `most`."""

    at: int | None = None
    most: int | None = None


def append(
    store: BlobStore,
    container: str,
    path: str,
    staged: Staged,
    conditions: Conditions = NO_CONDITIONS,
    limits: AppendLimits = AppendLimits(),
) -> tuple[Blob, int]:
    """Add a written file's bytes to the end of an append blob; the blob then, and where the block begins."""
    path = store.spell(path)
    records = store.records(container)
    with store.errors(container, path), store.parent(container, path) as (folder, stored):
        with locked(store.folder, container, path):
            name, blob = store.writable(folder, stored, container, path, conditions)
            _check(blob, staged.size, limits)
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            moment = max(time.time_ns(), blob.modified_ns + 1)
            size = blob.size + staged.size
            properties = replace(blob.properties, blocks=blob.properties.blocks + 1, content_md5="")
            note = intend(records, status, path, size)
            key = f"{moment:x}-{size:x}"
            try:
                fd = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
                try:
                    copy_range(staged.fd, fd, staged.size, 0, blob.size)
                    records.put(key, properties)
                    os.utime(fd, ns=(moment, moment))
                finally:
                    os.close(fd)
            except OSError:
                records.drop(key)
                repair(records, folder, name, path)
                raise
            with contextlib.suppress(FileNotFoundError):
                os.unlink(note)
            records.drop(key_of(status))
        return replace(blob, size=size, modified_ns=moment, properties=properties), blob.size


def _check(blob: Blob, size: int, limits: AppendLimits) -> None:
    if blob.is_folder or blob.properties.blob_type != APPEND_BLOB:
        raise StorageError("The blob type is invalid for this operation.", code="InvalidBlobType")
    if blob.properties.sealed:
        raise StorageError(
            "The specified blob is sealed, and its contents can't be modified unless the blob is re-created"
            " after a delete.",
            code="BlobIsSealed",
        )
    if limits.at is not None and limits.at != blob.size:
        raise StorageError("The append position condition is not met.", code="AppendPositionConditionNotMet")
    if limits.most is not None and blob.size + size > limits.most:
        raise StorageError("The maximum size condition is not met.", code="MaxBlobSizeConditionNotMet")
    if blob.properties.blocks >= APPEND_BLOCKS:
        raise StorageError(f"A blob has at most {APPEND_BLOCKS} blocks.", code="BlockCountExceedsLimit")
