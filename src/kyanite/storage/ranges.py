"""A seekable file object over anything that can be read by position."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import BinaryIO, cast


def range_file(size: int, read_at: Callable[[int, int], bytes], buffer_bytes: int) -> BinaryIO:
    """A read-only binary file of `size` bytes whose ranges come from `read_at(position, length)`."""
    return cast(BinaryIO, io.BufferedReader(RangeReader(size, read_at), buffer_bytes))


class RangeReader(io.RawIOBase):
    """The unbuffered file below: every read asks `read_at`."""

    def __init__(self, size: int, read_at: Callable[[int, int], bytes]) -> None:
        self._size = size
        self._read_at = read_at
        self._position = 0

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """The position of the next read."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to another position, also behind the end."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, target: memoryview) -> int:  # type: ignore[override]
        """Fill the target with what `read_at` gives; fewer bytes at the end."""
        view = memoryview(target).cast("B")
        length = min(len(view), max(0, self._size - self._position))
        data = self._read_at(self._position, length) if length else b""
        view[: len(data)] = data
        self._position += len(data)
        return len(data)
