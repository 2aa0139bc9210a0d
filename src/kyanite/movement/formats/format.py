"""What a format does in a copy: check its settings, move files into one, and verify the result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from kyanite.connections import Writer
    from kyanite.parquet import Source

Progress = Callable[[int, int, int], None]
Cancelled = Callable[[], bool]


@dataclass(frozen=True)
class Moved:
    """What was moved into one file; rows are None where the format has none, `checksum` is the MD5 of the bytes."""

    bytes_read: int
    rows_read: int | None = None
    rows_written: int | None = None
    checksum: str | None = None


@dataclass(frozen=True)
class Format:
    """One dataset type. `extension` ends generated file names; None keeps the source file's own.

    `check(source, sink)` gets both datasets' typeProperties and raises UnsupportedError; `move(sources, out, sink,
    progress, cancelled)` appends all sources to `out`, which the caller commits; `verify(file, size, moved, name)`
    raises DataError when what was written is not what was read.
    """

    name: str
    extension: str | None
    has_rows: bool
    check: Callable[[Mapping[str, Any], Mapping[str, Any]], None]
    move: Callable[[Sequence[Source], Writer, Mapping[str, Any], Progress, Cancelled], Moved]
    verify: Callable[[BinaryIO, int, Moved, str], None]
