"""Records that are not in the account's database yet: one file per process, appended to with one call each.

A row in SQLite costs as much as all the rest of a small write; many rows together cost little. So new records go into
the journal first, and together into the database. A process that was killed leaves its journal, which the next one to
look takes over; the journals of living ones are read where the database has no answer.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterator

from kyanite.storage import staging

Row = tuple[str, str, str, int]  # container, key, body, time in nanoseconds
_SUFFIX = ".journal"  # no container can be called so: their notes lie in the same folder
_SETTLED_NS = 1_000_000_000  # a file that changed later than that may have changed again unseen


class Journal:
    """The journal of this process in a folder of properties, for one thread at a time. Errors are OSError."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._name = f"{staging.new_name()}{_SUFFIX}"
        self._fd = -1
        self._size = 0
        self._others: dict[str, tuple[tuple[int, int], dict[tuple[str, str], Row]]] = {}

    def append(self, row: Row) -> None:
        """Note a row, whose texts are one line each without tabs in front; it is there after a kill."""
        if self._fd < 0:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._fd = os.open(f"{self._folder}/{self._name}", flags, 0o600)
        line = _line(row)
        count = os.write(self._fd, line)
        if count < len(line):  # the disk is full
            os.ftruncate(self._fd, self._size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size += count

    def clear(self) -> None:
        """All rows are in the database."""
        if self._size:
            os.ftruncate(self._fd, 0)
            self._size = 0

    def close(self) -> None:
        """Remove it; nothing of it is needed any more."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self._folder}/{self._name}")

    def others(self) -> Iterator[dict[tuple[str, str], Row]]:
        """The rows of each other process, as far as it has not moved them into the database."""
        known, self._others = self._others, {}
        for name in self._names():
            with contextlib.suppress(FileNotFoundError):
                status = os.stat(f"{self._folder}/{name}")
                stamp = (status.st_mtime_ns, status.st_size)
                seen = known.get(name)
                if seen is None or seen[0] != stamp or time.time_ns() - status.st_mtime_ns < _SETTLED_NS:
                    seen = stamp, {(row[0], row[1]): row for row in _rows(f"{self._folder}/{name}")}
                self._others[name] = seen
                yield seen[1]

    def left(self) -> Iterator[tuple[str, list[Row]]]:
        """The files that killed processes left, each with its rows; to be removed once these are in the database."""
        for name in self._names():
            file = f"{self._folder}/{name}"
            with contextlib.suppress(FileNotFoundError):
                if staging.is_stale(name.removesuffix(_SUFFIX), os.stat(file).st_mtime):
                    yield file, list(_rows(file))

    def _names(self) -> list[str]:
        try:
            names = os.listdir(self._folder)
        except FileNotFoundError:
            return []
        return [name for name in names if name.endswith(_SUFFIX) and name != self._name]


def _line(row: Row) -> bytes:
    container, key, body, at = row
    return f"{container}\t{key}\t{at}\t{body}\n".encode()


def _rows(file: str) -> Iterator[Row]:
    """The rows of a file; what a kill or a power cut made of its end is none."""
    with open(file, "rb") as lines:
        for line in lines:
            parts = line.decode(errors="replace").split("\t", 3)
            if len(parts) == 4 and parts[2].isdigit() and parts[3].endswith("\n"):
                container, key, at, body = parts
                yield container, key, body[:-1], int(at)
