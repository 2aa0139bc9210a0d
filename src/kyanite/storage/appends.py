"""Bytes appended to a file of a hierarchical namespace and not flushed yet.

They stand in `<account>/.appends/<key>/`: `data` holds each byte at its final place, `ranges` has a line for every
piece that arrived whole. A killed process leaves at most bytes without a line, which nobody ever reads.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from kyanite.errors import StorageError
from kyanite.limits import APPENDS_BUSY_SECONDS, APPENDS_DAYS
from kyanite.storage.failures import disk_errors

_FOLDER = ".appends"
_COPY_BYTES = 8 * 1024 * 1024


class Moved(Exception):
    """Somebody flushed the file meanwhile: look at it again, then append."""


class Appends:
    """What was appended to one version of a file; `key` tells it from all others."""

    def __init__(self, account: Path, key: str, where: str) -> None:
        self._account = account
        self._folder = account / _FOLDER / key
        self._where = where

    def begin(self, position: int) -> Piece:
        """A piece that is to stand at a position. Moved when the file has been flushed meanwhile."""
        with disk_errors(self._where):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = self._lock(fcntl.LOCK_SH)
            try:
                self._recover()
                data = os.open(self._folder / "data", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except FileNotFoundError:
                os.close(lock)
                raise Moved from None
            except BaseException:
                os.close(lock)
                raise
        return Piece(data, lock, position, self._where)

    @contextlib.contextmanager
    def flushing(self, committed: int, end: int, *, keep_rest: bool) -> Iterator[Path | None]:
        """The file that holds the bytes from `committed` to `end`, and before them a hole; None when `end` is there.

        The caller fills the hole and moves the file away; then what was appended is forgotten, but for the bytes from
        `end` on with `keep_rest`. StorageError `InvalidFlushPosition` unless all of the bytes are there.
        """
        with disk_errors(self._where):
            try:
                lock = self._lock(fcntl.LOCK_EX)
            except FileNotFoundError:
                if end != committed:
                    raise _invalid_flush_position(self._where) from None
                yield None
                return
            try:
                ranges = self._ranges()
                covered = _covered(ranges, committed)
                if not committed <= end <= covered:
                    raise _invalid_flush_position(self._where)
                rest = max((position + length for position, length in ranges), default=0) > end and keep_rest
                if rest:
                    self._set_aside(end)
                yield self._cut(end) if end > committed else None
                self._forget(end, rest)
            finally:
                os.close(lock)

    def move(self, key: str) -> None:
        """Hand what is left to the file's next version."""
        with contextlib.suppress(FileNotFoundError, OSError):
            self._folder.rename(self._account / _FOLDER / key)

    def drop(self) -> None:
        """Forget all that was appended."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _lock(self, kind: int) -> int:
        flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | (os.O_CREAT if kind == fcntl.LOCK_SH else 0)
        fd = os.open(self._folder / "ranges", flags, 0o600)
        try:
            last = time.monotonic() + APPENDS_BUSY_SECONDS
            while True:
                try:
                    fcntl.flock(fd, kind | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > last:
                        raise StorageError(
                            "Other requests append to this file or flush it.", where=self._where, code="ServerBusy"
                        ) from None
                    time.sleep(0.01)
            if os.fstat(fd).st_nlink == 0:
                raise Moved
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _ranges(self) -> list[tuple[int, int]]:
        found = []
        for line in (self._folder / "ranges").read_text(encoding="ascii").splitlines(keepends=True):
            position, _, length = line.partition(" ")
            if line.endswith("\n") and length:
                found.append((int(position), int(length)))
        return found

    def _cut(self, end: int) -> Path:
        data = self._folder / "data"
        os.truncate(data, end)
        return data

    def _set_aside(self, end: int) -> None:
        """Copy the bytes from `end` on to `rest`, which becomes `data` once that has moved away."""
        with (self._folder / "data").open("rb") as source, (self._folder / "rest.new").open("wb") as target:
            source.seek(end)
            target.seek(end)
            shutil.copyfileobj(source, target, _COPY_BYTES)
        (self._folder / "rest.new").rename(self._folder / "rest")

    def _forget(self, end: int, rest: bool) -> None:
        if not rest:
            self.drop()
            return
        lines = [
            f"{max(start, end)} {start + length - max(start, end)}\n"
            for start, length in self._ranges()
            if start + length > end
        ]
        self._recover()
        with (self._folder / "ranges").open("r+", encoding="ascii") as file:
            file.write("".join(lines))
            file.truncate()

    def _recover(self) -> None:
        """Put bytes that were set aside back in place, if the flush that did so has moved the others away."""
        if (self._folder / "rest").exists() and not (self._folder / "data").exists():
            with contextlib.suppress(FileNotFoundError):
                (self._folder / "rest").rename(self._folder / "data")


class Piece:
    """Bytes on their way to a place in the file; they count once `finish` has noted them."""

    def __init__(self, data: int, lock: int, position: int, where: str) -> None:
        self._data, self._lock, self._position, self._where = data, lock, position, where
        self.length = 0

    def write(self, data: bytes | memoryview) -> None:
        """The next bytes. StorageError `DiskFull` when the disk takes no more."""
        view = memoryview(data)
        with disk_errors(self._where):
            while view:
                count = os.pwrite(self._data, view, self._position + self.length)
                self.length += count
                view = view[count:]

    def finish(self) -> None:
        """Note that all of it arrived."""
        try:
            if self.length:
                with disk_errors(self._where):
                    os.write(self._lock, f"{self._position} {self.length}\n".encode())
        finally:
            self.close()

    def close(self) -> None:
        """Forget it unless it was finished."""
        for fd in (self._data, self._lock):
            if fd >= 0:
                os.close(fd)
        self._data = self._lock = -1


def sweep_appends(account: Path) -> int:
    """Forget what nobody flushed for a week, as the service does; of how many files."""
    oldest = time.time() - APPENDS_DAYS * 24 * 3600
    removed = 0
    with contextlib.suppress(FileNotFoundError), os.scandir(account / _FOLDER) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                if max(entry.stat().st_mtime, os.stat(f"{entry.path}/ranges").st_mtime) < oldest:
                    shutil.rmtree(entry.path, ignore_errors=True)
                    removed += 1
    return removed


def _covered(ranges: list[tuple[int, int]], committed: int) -> int:
    """How far the bytes reach from `committed` without a gap."""
    end = committed
    for start, length in sorted(ranges):
        if start > end:
            break
        end = max(end, start + length)
    return end


def _invalid_flush_position(where: str) -> StorageError:
    return StorageError(
        "The uploaded data is not contiguous or the position query parameter value is not equal to the length of the"
        " file after appending the uploaded data.",
        where=where,
        code="InvalidFlushPosition",
    )
