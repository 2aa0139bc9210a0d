"""What goes into a merge or a split and what comes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from kyanite.errors import ActivityError

Progress = Callable[[int, int, int], None]
Cancelled = Callable[[], bool]


@dataclass(frozen=True)
class Source:
    """A parquet file to read: the name used in messages, how to open it (seekable, binary), its size in bytes."""

    name: str
    open: Callable[[], BinaryIO]
    size: int


class Sink(Protocol):
    """Something bytes are appended to."""

    def write(self, data: bytes | bytearray | memoryview, /) -> object:
        """Append the bytes."""


class Writer(Sink, Protocol):
    """A new file that nobody sees before `commit`; `abort` leaves nothing behind."""

    def tell(self) -> int:
        """Bytes written so far."""

    def commit(self) -> object:
        """Make the file visible, whole."""

    def abort(self) -> object:
        """Throw the file away."""


@dataclass(frozen=True)
class MergeResult:
    """What a merge did; `raw` = row groups were copied as bytes, not decoded."""

    rows: int
    row_groups: int
    bytes_read: int
    bytes_written: int
    raw: bool


@dataclass(frozen=True)
class Part:
    """One file of a split, rows `first_row` .. `first_row + rows` of the input; `oversize` = one row above target."""

    name: str
    rows: int
    bytes: int
    first_row: int
    oversize: bool = False


@dataclass(frozen=True)
class SplitResult:
    """What a split did; the rows of the written footers always equal the rows of the input."""

    parts: tuple[Part, ...]
    rows_in: int
    rows_out: int
    bytes_in: int
    bytes_out: int

    @property
    def oversize(self) -> tuple[Part, ...]:
        """Parts larger than the target: each holds one single row that is larger than the target."""
        return tuple(part for part in self.parts if part.oversize)


def no_progress(rows: int, size: int, files: int) -> None:
    """The progress callback of a caller that does not want one."""


def never() -> bool:
    """The cancellation test of a caller that does not cancel."""
    return False


def check_cancelled(cancelled: Cancelled) -> None:
    """Raise `ActivityError` with the code `Cancelled` when the caller wants to stop."""
    if cancelled():
        raise ActivityError("The operation was cancelled; nothing was committed.", code="Cancelled")
