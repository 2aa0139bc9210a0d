"""What an account need not keep: leavings of killed processes, old blocks, records of versions that are no more."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from kyanite.limits import RECORDS_KEPT_SECONDS
from kyanite.storage import blocks, containers
from kyanite.storage.account import StorageAccount
from kyanite.storage.blobs import BlobStore
from kyanite.storage.properties import key_of

_CLOCK_STEP_NS = 20_000_000  # two changes of a folder within it may have one time


class _Changed(Exception):
    """A folder changed while it was walked, so a file may have been passed over."""


def sweep(account: StorageAccount) -> int:
    """Remove all of it; how many things. It takes as long as a walk through all containers."""
    before = time.time_ns() - RECORDS_KEPT_SECONDS * 1_000_000_000
    removed = account.sweep() + blocks.sweep(account.blobs)
    return removed + sum(sweep_records(account.blobs, name, before) for name in containers.names(account.blobs))


def sweep_records(store: BlobStore, container: str, older_than_ns: int) -> int:
    """Remove a container's records that were written before a time and belong to no file; how many.

    None are removed while somebody makes, moves or removes files: the next sweep does it.
    """
    with contextlib.suppress(_Changed):
        return store.records(container).sweep(lambda: _living(store, container), older_than_ns)
    return 0


def _living(store: BlobStore, container: str) -> Iterator[str]:
    """The keys of all versions there are, those before an append that a kill cut short too."""
    for note in Path(store.records(container).folder).glob("append-*"):
        with contextlib.suppress(FileNotFoundError, ValueError, KeyError):
            document = json.loads(note.read_text(encoding="utf-8"))
            yield f"{document['at']:x}-{document['from']:x}"
    top, begun = f"{store.root}/{container}", time.time_ns() - _CLOCK_STEP_NS
    times = {top: os.stat(top).st_mtime_ns}
    pending = [top]
    try:
        while pending:
            folder = pending.pop()
            with os.scandir(folder) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        times[entry.path] = status.st_mtime_ns
                        pending.append(entry.path)
                    else:
                        yield key_of(status)
        if any(at > begun or os.stat(folder).st_mtime_ns != at for folder, at in times.items()):
            raise _Changed
    except FileNotFoundError as problem:
        raise _Changed from problem
