"""Ranges of other files that a thread copies into a file in the system, while its writer goes on with what follows."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

WAITING_BYTES = 128 * 1024 * 1024  # promised and not copied yet; more is waited for
_BUFFER_BYTES = 1024 * 1024
NO_COPY = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF, errno.EPERM})


class _Copy(NamedTuple):
    at: int
    size: int
    done: Future[None]


class LaterCopies:
    """What is still to come into the file `fd`, which stays open until `wait` or `cancel` has returned.

    Errors of the disk are OSError, raised by the next call that meets them.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._copies: list[_Copy] = []

    def add(self, executor: Executor, source: int, start: int, size: int, at: int) -> bool:
        """Let `size` bytes of the open file `source` come to byte `at`; False when that file does not have them."""
        if os.fstat(source).st_size < start + size:
            return False
        self._forget()
        while self._copies and sum(copy.size for copy in self._copies) + size > WAITING_BYTES:
            self._copies.pop(0).done.result()
        own = os.dup(source)  # the caller may close its own before
        try:
            done = executor.submit(_copy, own, start, size, self._fd, at)
        except BaseException:
            os.close(own)
            raise
        done.add_done_callback(lambda _: os.close(own))
        self._copies.append(_Copy(at, size, done))
        return True

    def wait(self, first: int = 0, end: int | None = None) -> None:
        """Until the bytes from `first` to `end` (all) are there; from any thread."""
        for copy in tuple(self._copies):
            if copy.at + copy.size > first and (end is None or copy.at < end):
                copy.done.result()

    def cancel(self) -> None:
        """Until nothing is copied any more; what has not begun does not begin."""
        from concurrent.futures import CancelledError

        copies, self._copies = self._copies, []
        for copy in copies:
            copy.done.cancel()
        for copy in copies:
            try:
                copy.done.exception()
            except CancelledError:
                continue

    def _forget(self) -> None:
        while self._copies and self._copies[0].done.done():
            self._copies.pop(0).done.result()


def _copy(source: int, start: int, size: int, target: int, at: int) -> None:
    copy: Callable[[int, int, int, int, int], int] = _in_system if hasattr(os, "copy_file_range") else _by_hand
    while size:
        count = copy(source, start, size, target, at)
        if count == 0 and copy is _in_system:  # some file systems say 0 for what they do not copy
            copy = _by_hand
            continue
        if count == 0:
            raise OSError(errno.EIO, "The file became shorter while it was copied")
        start, size, at = start + count, size - count, at + count


def _in_system(source: int, start: int, size: int, target: int, at: int) -> int:
    try:
        return os.copy_file_range(source, target, size, start, at)
    except OSError as problem:
        if problem.errno in NO_COPY:
            return 0
        raise


def _by_hand(source: int, start: int, size: int, target: int, at: int) -> int:
    piece = os.pread(source, min(size, _BUFFER_BYTES), start)
    return os.pwrite(target, piece, at) if piece else 0
