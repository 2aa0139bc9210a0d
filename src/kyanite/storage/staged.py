"""A beside-file that becomes a blob, a block or nothing."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

from kyanite.storage import staging

FILE_MODE = 0o600
_PIECES = 512  # below what every system takes in one call


@dataclass
class Beside:
    """A file beside the containers, `moved` once it stands where it belongs."""

    path: str
    moved: bool = False

    def stamp(self, after_ns: int) -> os.stat_result:
        """Give it a modification time of its own, later than that of the version it replaces."""
        moment = max(time.time_ns(), after_ns + 1)
        os.utime(self.path, ns=(moment, moment), follow_symlinks=False)
        return os.stat(self.path, follow_symlinks=False)


class Staged(Beside):
    """An open file in the account's staging folder; `abort` unless it was moved away. For one thread at a time."""

    def __init__(self, account: Path | str) -> None:
        super().__init__(f"{account}/.staging/{staging.new_name()}")
        self.size = 0
        self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append bytes. OSError as the system gives it, ENOSPC for a full disk."""
        count = os.write(self.fd, data)
        self.size += count
        while count < len(data):
            data = memoryview(data)[count:]
            count = os.write(self.fd, data)
            self.size += count

    def write_all(self, pieces: list[bytes]) -> None:
        """Append several pieces with as few calls as the system allows."""
        if len(pieces) == 1:
            self.write(pieces[0])
            return
        for first in range(0, len(pieces), _PIECES):
            some = pieces[first : first + _PIECES]
            count = os.writev(self.fd, some)
            self.size += count
            if count < sum(map(len, some)):
                self.write(memoryview(b"".join(some))[count:])

    def add(self, source: int, offset: int, length: int) -> None:
        """Append a piece of another open file, in the kernel; shared instead of copied where the disk can."""
        self.size += copy_range(source, self.fd, length, offset, self.size)
        os.lseek(self.fd, self.size, os.SEEK_SET)

    def stamp(self, after_ns: int) -> os.stat_result:
        """Give it a modification time of its own, later than that of the version it replaces."""
        moment = max(time.time_ns(), after_ns + 1)
        os.utime(self.fd, ns=(moment, moment))
        return os.fstat(self.fd)

    def abort(self) -> None:
        """Close it, and remove it when it went nowhere."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        if not self.moved:
            self.moved = True
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)

    def __enter__(self) -> Staged:
        return self

    def __exit__(self, *_details: object) -> None:
        self.abort()


def copy_range(source: int, target: int, length: int, source_offset: int, target_offset: int) -> int:
    """Copy bytes between open files; how many there were. OSError as the system gives it."""
    done = 0
    while done < length:
        count = _copy_some(source, target, min(length - done, 1 << 30), source_offset + done, target_offset + done)
        if not count:
            break
        done += count
    return done


def _copy_some(source: int, target: int, length: int, source_offset: int, target_offset: int) -> int:
    import errno

    if hasattr(os, "copy_file_range"):
        try:
            return os.copy_file_range(source, target, length, source_offset, target_offset)
        except OSError as problem:
            if problem.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
    data = os.pread(source, min(length, 1 << 20), source_offset)
    return os.pwrite(target, data, target_offset) if data else 0
