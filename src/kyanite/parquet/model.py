"""What goes into a merge or a split and what comes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple, Protocol

from kyanite.errors import ActivityError
from kyanite.parquet.schema import Column

Progress = Callable[[int, int, int], None]
Cancelled = Callable[[], bool]


class Source(NamedTuple):
    """A parquet file to read: the name used in messages, how to open it (seekable, binary), its size in bytes.

    When `open` can be pickled (`FileOpener`, a `partial` of a module's function), other processes can read it too.
    """

    name: str
    open: Callable[[], BinaryIO]
    size: int


@dataclass(frozen=True)
class FileOpener:
    """Opens a local file: a `Source.open` that other processes can use too."""

    path: str

    def __call__(self) -> BinaryIO:
        """The file, open; who asked for it closes it."""
        return open(self.path, "rb")  # noqa: PTH123 - no Path needed


@dataclass(frozen=True)
class Work:
    """Some row groups (or slices of them) of a part and their bytes in it."""

    row_groups: int = 0
    bytes: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(self.row_groups + other.row_groups, self.bytes + other.bytes)


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


class MergeResult(NamedTuple):
    """What a merge did; `raw` = row groups were copied as bytes, not decoded."""

    rows: int
    row_groups: int
    bytes_read: int
    bytes_written: int
    raw: bool


class Part(NamedTuple):
    """One file of a split, rows `first_row` .. `first_row + rows` of the input; `oversize` = above the target.

    Only one single row, or the schema of no rows, can be larger than the target.
    `raw` row groups were copied whole, `cut` ones at their pages, of which `rewritten` bytes are pages made anew;
    `encoded` ones could not be cut as they were.
    """

    name: str
    rows: int
    bytes: int
    first_row: int
    oversize: bool = False
    raw: Work = Work()
    cut: Work = Work()
    encoded: Work = Work()
    rewritten: int = 0
    checksum: str | None = None  # the writer's own, known once the part is committed


class SplitResult(NamedTuple):
    """What a split did; the rows of the written footers always equal the rows of the input.

    `columns` are those of the first source.
    """

    parts: tuple[Part, ...]
    rows_in: int
    rows_out: int
    bytes_in: int
    bytes_out: int
    columns: tuple[Column, ...]

    @property
    def raw(self) -> Work:
        """What was copied as whole row groups."""
        return sum((part.raw for part in self.parts), Work())

    @property
    def cut(self) -> Work:
        """Slices of row groups: pages copied, those under the cuts made anew."""
        return sum((part.cut for part in self.parts), Work())

    @property
    def encoded(self) -> Work:
        """What had to be decoded and encoded anew."""
        return sum((part.encoded for part in self.parts), Work())

    @property
    def oversize(self) -> tuple[Part, ...]:
        """Parts larger than the target: each holds one single row that is larger, or none and a schema that is."""
        return tuple(part for part in self.parts if part.oversize)


class ByCopies(NamedTuple):
    """Parts are written by copies of this process: `finish()` runs at the end of each, `taken` gets what it gave."""

    number: int
    finish: Callable[[], Any]
    taken: Callable[[Any], None]


def no_progress(rows: int, size: int, files: int) -> None:
    """The progress callback of a caller that does not want one."""


def never() -> bool:
    """The cancellation test of a caller that does not cancel."""
    return False


def check_cancelled(cancelled: Cancelled) -> None:
    """Raise `ActivityError` with the code `Cancelled` when the caller wants to stop."""
    if cancelled():
        raise ActivityError("The operation was cancelled; nothing was committed.", code="Cancelled")
