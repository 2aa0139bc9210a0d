"""One file being written: invisible until `commit`, gone without a trace after `abort`."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO

from kyanite.errors import StorageError
from kyanite.storage.failures import storage_error
from kyanite.storage.later_copies import NO_COPY, LaterCopies
from kyanite.storage.mapped import MAPPED_BYTES, mapped
from kyanite.storage.ranges import range_file
from kyanite.storage.uncommitted import UncommittedFile

if TYPE_CHECKING:
    from concurrent.futures import Executor

BUFFER_BYTES = 1024 * 1024
PIECE_BYTES, PAGE_BYTES = 256 * 1024, 4096  # written and looked at while in the processor's cache
LATER_BYTES = 1024 * 1024  # fewer are copied at once


class FileWriter(UncommittedFile):
    """Binary file object over an open descriptor of a beside-file.

    `publish` makes the file visible under its name and `discard` removes it; exactly one of them is called. Leaving a
    `with` block without `commit()` aborts. After a failed write the beside-file is gone and every call raises. With
    `is_synced` off the bytes reach the disk when the system writes them there, as after any other program.
    """

    def __init__(
        self, fd: int, where: str, publish: Callable[[], None], discard: Callable[[], None], *, is_synced: bool = True
    ) -> None:
        self._fd = fd
        self._where = where
        self._publish = publish
        self._discard = discard
        self.is_synced = is_synced
        self._buffer = bytearray()
        self._written = 0
        self._later = LaterCopies(fd)
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Append bytes; how many these were. StorageError `DiskFull` when the disk takes no more."""
        self._check_open()
        view = memoryview(data).cast("B")
        if len(self._buffer) + len(view) > BUFFER_BYTES:
            self.flush()
        if len(view) >= BUFFER_BYTES:
            self._write_through(view)
        else:
            self._buffer += view
        return len(view)

    def tell(self) -> int:
        """Bytes written so far."""
        return self._written + len(self._buffer)

    def flush(self) -> None:
        """Hand buffered bytes to the operating system; nothing becomes visible by it."""
        self._check_open()
        if self._buffer:
            pending, self._buffer = self._buffer, bytearray()
            self._write_through(memoryview(pending))

    def read_back(self) -> BinaryIO:
        """What has been written so far, to be verified before the commit; close it before `commit`."""
        self.flush()
        return range_file(self._written, self._pread, BUFFER_BYTES)

    def copy_from(self, descriptor: int, start: int, size: int, later: Executor | None = None) -> int:
        """Append up to `size` bytes of another open file from byte `start` on, in the system; how many these were.

        0 when the file ends there, -1 when the system does not copy between these two files. With `later`, many bytes
        may come by a thread of it while this file is written on; reading them, `sync` and `commit` wait for them.
        """
        self.flush()
        if not hasattr(os, "copy_file_range"):
            return -1
        try:
            is_later = later is not None and size >= LATER_BYTES
            if later is not None and is_later and self._later.add(later, descriptor, start, size, self._written):
                self._written += size
                os.lseek(self._fd, self._written, os.SEEK_SET)
                return size
            count = os.copy_file_range(descriptor, self._fd, size, start)
        except OSError as problem:
            if problem.errno in NO_COPY:
                return -1
            self.abort()
            raise storage_error(problem, self._where) from problem
        self._written += count
        return count

    def append_mapped(self, descriptor: int, start: int, size: int, taken: Callable[[memoryview], None]) -> int:
        """Append bytes of another open file from byte `start` on, through memory; how many these were.

        Fewer than `size` where they cannot be mapped, or are cut off meanwhile. `taken` is called with each piece when
        it has been written and is in the processor's cache; it keeps nothing of it.
        """
        self.flush()
        done = 0
        while done < size:
            with mapped(descriptor, start + done, min(size - done, MAPPED_BYTES)) as view:
                count = 0 if view is None else self._append_view(view, taken)
                if view is None or count < len(view):
                    return done + count
            done += count
        return done

    def _append_view(self, view: memoryview, taken: Callable[[memoryview], None]) -> int:
        done = 0
        while done < len(view):
            with view[done : done + PIECE_BYTES - self._written % PAGE_BYTES] as piece:
                try:
                    count = os.write(self._fd, piece)
                except OSError as problem:
                    if problem.errno == errno.EFAULT:
                        return done
                    self.abort()
                    raise storage_error(problem, self._where) from problem
                self._written += count
                done += count
                with piece[:count] as written:
                    taken(written)
        return done

    def pieces(self) -> Iterator[memoryview]:
        """What has been written so far, mapped a few megabytes at a time; each piece is gone when the next is asked."""
        self.flush()
        self._arrived()
        for start in range(0, self._written, MAPPED_BYTES):
            length = min(MAPPED_BYTES, self._written - start)
            with mapped(self._fd, start, length) as view:
                yield memoryview(self._read(start, length)) if view is None else view

    def sync(self) -> None:
        """Put on disk, if synced at all, what has been written so far; from any thread. `commit` does so too."""
        self._arrived()
        try:
            self._sync()
        except OSError as problem:
            raise storage_error(problem, self._where) from problem

    def commit(self) -> None:
        """Flush, put on disk if synced, and make visible at once in place of what was there."""
        self.flush()
        try:
            self._later.wait()
            self._sync()
            os.close(self._fd)
            self._fd = -1
            self._publish()
        except OSError as problem:
            self.abort()
            raise storage_error(problem, self._where) from problem
        except BaseException:
            self.abort()
            raise
        self.closed = True

    def abort(self) -> None:
        """Drop everything written; the target stays as it was. Harmless after a commit or another abort."""
        if self.closed:
            return
        self.closed = True
        self._buffer = bytearray()
        try:
            self._later.cancel()
            if self._fd >= 0:
                os.close(self._fd)
        finally:
            self._discard()

    def _pread(self, start: int, length: int) -> bytes:
        self._later.wait(start, start + length)
        return os.pread(self._fd, length, start)

    def _arrived(self) -> None:
        """All that is to come is there."""
        try:
            self._later.wait()
        except OSError as problem:
            raise storage_error(problem, self._where) from problem

    def _sync(self) -> None:
        if self.is_synced:
            os.fsync(self._fd)

    def _read(self, start: int, length: int) -> bytes:
        try:
            data = self._pread(start, length)
        except OSError as problem:
            raise storage_error(problem, self._where) from problem
        if len(data) < length:
            raise StorageError("The file is shorter than what was written to it.", where=self._where)
        return data

    def _check_open(self) -> None:
        if self.closed:
            raise StorageError("The file is no longer open for writing.", where=self._where, code="InvalidOperation")

    def _write_through(self, view: memoryview) -> None:
        try:
            while view:
                count = os.write(self._fd, view)
                self._written += count
                view = view[count:]
        except OSError as problem:
            self.abort()
            raise storage_error(problem, self._where) from problem
