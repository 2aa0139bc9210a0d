"""The footer of a parquet file: what its column chunks are and where they lie.

Field numbers are those of parquet-format's `parquet.thrift`.
"""

from __future__ import annotations

import os
import re
import struct as packing
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import add
from typing import BinaryIO, NamedTuple

from kyanite import limits
from kyanite.errors import DataError, LimitError, UnsupportedError
from kyanite.parquet.chunk_shapes import read_header
from kyanite.parquet.model import Source
from kyanite.parquet.row_groups import RowGroups, Scanner
from kyanite.parquet.schema import Leaf, leaves_of, ordered_leaves, schema_key_of
from kyanite.parquet.thrift import (
    BINARY,
    I64,
    LIST,
    Struct,
    bytes_of,
    number_of,
    read_value,
    struct_of,
    structs_of,
    texts_of,
    uncollected,
)

MAGIC = b"PAR1"
ENCRYPTED_MAGIC = b"PARE"
TAIL_BYTES = 64 * 1024
FOOTER_LEVELS = 3  # FileMetaData, RowGroup, ColumnChunk, ColumnMetaData: what that holds is only passed on


class Chunk(NamedTuple):
    """One column of one row group: bytes `start` .. `start + size` of the file."""

    struct: Struct
    start: int
    size: int

    @property
    def meta(self) -> Struct:
        """The chunk's ColumnMetaData."""
        return struct_of(self.struct, 3)

    @property
    def codec(self) -> int:
        """The compression codec's number."""
        return number_of(self.meta, 4)

    @property
    def values(self) -> int:
        """Number of values, nulls included."""
        return number_of(self.meta, 5)


class RowGroup(NamedTuple):
    """Some consecutive rows of the file, column by column."""

    struct: Struct
    rows: int
    chunks: tuple[Chunk, ...]

    @property
    def size(self) -> int:
        """Bytes of the column chunks, without indexes and footer."""
        return sum(chunk.size for chunk in self.chunks)

    @property
    def index_size(self) -> int:
        """Bytes of page indexes and bloom filters that the footer tells the length of."""
        return sum(
            number_of(chunk.struct, 5, 0) + number_of(chunk.struct, 7, 0) + number_of(chunk.meta, 15, 0)
            for chunk in self.chunks
        )


class Footer(NamedTuple):
    """A parquet file's FileMetaData, checked against the file's size; `struct` is all of it but the row groups."""

    name: str
    size: int
    length: int
    struct: Struct
    rows: int
    leaves: tuple[Leaf, ...]
    row_groups: Sequence[RowGroup]
    schema_key: bytes

    def group_sizes(self) -> Iterator[tuple[int, int]]:
        """(rows, bytes with page indexes and bloom filters) of each row group."""
        groups = self.row_groups
        if isinstance(groups, RowGroups):
            yield from zip(groups.rows, map(add, groups.sizes, groups.index_sizes), strict=True)
            return
        for group in self.row_groups:
            yield group.rows, group.size + group.index_size

    @property
    def created_by(self) -> str:
        """The program that wrote the file; readers decide on work-arounds by it."""
        return bytes_of(self.struct, 6).decode("utf-8", "replace")

    @property
    def undersized_chunks(self) -> bool:
        """Whether the footer may understate chunk sizes: parquet-cpp before 1.2.9 (PARQUET-816)."""
        found = re.match(r"parquet-cpp(?: version)? (\d+)\.(\d+)\.(\d+)", self.created_by)
        return bool(found) and tuple(int(part) for part in found.groups()) < (1, 2, 9)  # type: ignore[union-attr]


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Data errors raised inside get the file's name as their place."""
    try:
        yield
    except DataError as error:
        if error.where is not None:
            raise
        raise DataError(error.message, where=name, cure=error.cure) from error


def descriptor_of(file: BinaryIO) -> int | None:
    """The descriptor of a file on this machine, for reads at a place and copies in the system; None for others."""
    try:
        return file.fileno()
    except (AttributeError, OSError):
        return None


def read_exactly(file: BinaryIO, start: int, size: int, name: str) -> bytes:
    """The bytes `start` .. `start + size` of the file; `DataError` when it ends before."""
    descriptor = descriptor_of(file)
    if descriptor is None:
        file.seek(start)
    pieces = []
    left = size
    while left:
        # a file's own buffer would be filled from each place anew
        piece = file.read(left) if descriptor is None else os.pread(descriptor, left, start + size - left)
        if not piece:
            raise DataError(f"The file ends {left} bytes before byte {start + size}.", where=name)
        pieces.append(bytes(piece))
        left -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def read_footer(source: Source) -> Footer:
    """The source's footer; `DataError` for a file that is no whole parquet file, `UnsupportedError` when encrypted."""
    with source.open() as file:
        return footer_of(file, source.size, source.name)


def footer_of(file: BinaryIO, size: int, name: str) -> Footer:
    """The footer of an open file of `size` bytes."""
    if size < 12:
        raise DataError("The file is empty." if size == 0 else "The file is too short for a parquet file.", where=name)
    if read_exactly(file, 0, 4, name) not in (MAGIC, ENCRYPTED_MAGIC):
        raise DataError("This is not a parquet file: it does not start with PAR1.", where=name)
    tail = read_exactly(file, size - min(size, TAIL_BYTES), min(size, TAIL_BYTES), name)
    length, magic = packing.unpack("<I4s", tail[-8:])
    if magic == ENCRYPTED_MAGIC:
        raise _encrypted(name)
    if magic != MAGIC:
        raise DataError("The file does not end with a parquet footer: it is cut off or no parquet file.", where=name)
    if length > size - 12:
        raise DataError("The parquet footer is said to be larger than the file, which is damaged.", where=name)
    if length > limits.PARQUET_FOOTER_BYTES:
        raise LimitError(f"The footer has {length} bytes, more than {limits.PARQUET_FOOTER_BYTES}.", where=name)
    data = tail[-8 - length : -8] if length + 8 <= len(tail) else read_exactly(file, size - 8 - length, length, name)
    return parse_footer(data, size, name)


def parse_footer(data: bytes, size: int, name: str, like: Footer | None = None) -> Footer:
    """The footer made of these thrift bytes, the last ones of a file of `size` bytes.

    It takes less time with another footer that it is probably `like`, whose patterns it goes by.
    """
    with naming(name), uncollected():
        data_end = size - 8 - len(data)
        try:
            struct, leaves, groups = _top_level(data, data_end, name, like)
        except (IndexError, RecursionError):
            raise DataError("The footer's thrift data is cut off or nested too deeply.") from None
        rows = number_of(struct, 3)
        if not 0 <= rows <= limits.PARQUET_ROWS:
            raise LimitError(f"The footer claims {rows} rows; up to {limits.PARQUET_ROWS} are read.", where=name)
        if sum(groups.rows) != rows:
            raise DataError(f"The row groups do not hold the {rows} rows that the footer claims.")
        if sum(groups.sizes) > data_end:
            raise DataError("The column chunks overlap: together they are larger than the file.")
        bytes_of(struct, 6)  # of the creator: what is no text is an error of this file, here
        key = like.schema_key if like is not None and leaves is like.leaves else schema_key_of(struct)
        return Footer(name, size, len(data), struct, rows, leaves, groups, key)


def _top_level(
    data: bytes, data_end: int, name: str, like: Footer | None
) -> tuple[Struct, tuple[Leaf, ...], RowGroups]:
    """FileMetaData without its row groups, the columns, and the row groups."""
    struct: Struct = {}
    leaves: tuple[Leaf, ...] = ()

    def make(group: Struct) -> RowGroup:
        with naming(name):
            return _row_group(group, leaves, data_end, name)

    groups = RowGroups(make)
    number = position = 0
    while True:
        number, kind, position = read_header(data, position, number)
        if kind == 0:
            break
        if number == 8:
            raise _encrypted(name)
        if number == 4 and kind == LIST:
            if 2 not in struct:
                raise DataError("The footer has no schema before its row groups.")
            is_same = like is not None and struct[2] == like.struct.get(2)
            leaves = like.leaves if like is not None and is_same else leaves_of(structs_of(struct, 2))
            known = like.row_groups if like is not None else None
            scanner = Scanner(data, leaves, data_end, known.scanner if isinstance(known, RowGroups) else None)
            groups, position = scanner.list_at(position, make)
        else:
            value, position = read_value(data, position, kind, FOOTER_LEVELS)
            struct[number] = (kind, value)
    if like is None or leaves is not like.leaves or struct.get(7) != like.struct.get(7):
        leaves = ordered_leaves(leaves or leaves_of(structs_of(struct, 2)), struct)
    return struct, leaves, groups


def _encrypted(name: str) -> UnsupportedError:
    return UnsupportedError(
        "The parquet file is encrypted; only files that are not encrypted are read.",
        where=name,
        cure="Decrypt it first.",
    )


def _row_group(struct: Struct, leaves: tuple[Leaf, ...], data_end: int, name: str) -> RowGroup:
    rows = number_of(struct, 3)
    if rows < 0:
        raise DataError("A row group has a negative number of rows.")
    if rows == 0:
        return RowGroup(struct, 0, ())  # chunks without pages have no place: pyarrow writes offset 0 or -1
    chunks = tuple(_chunk(chunk, data_end, name) for chunk in structs_of(struct, 1))
    if len(chunks) != len(leaves):
        raise DataError(f"A row group has {len(chunks)} columns, the schema has {len(leaves)}.")
    for chunk, leaf in zip(chunks, leaves, strict=True):
        if leaf.max_repetition == 0 and chunk.values != rows:
            raise DataError(f"Column {'.'.join(leaf.path)} has {chunk.values} values in a row group of {rows} rows.")
    return RowGroup(struct, rows, chunks)


def _chunk(struct: Struct, data_end: int, name: str) -> Chunk:
    if 8 in struct or 9 in struct:
        raise _encrypted(name)
    if bytes_of(struct, 1):
        raise UnsupportedError(
            "The data lies in other files; only parquet files that hold their own data are read.", where=name
        )
    meta = struct_of(struct, 3)
    start = number_of(meta, 9)
    dictionary = number_of(meta, 11, 0)
    if 0 < dictionary < start:
        start = dictionary
    size = number_of(meta, 7)
    if size < 0 or start < 4 or start + size > data_end:
        raise DataError("A column chunk lies outside the file's data: the file is cut off or corrupt.")
    for owner, number in ((struct, 4), (struct, 6), (meta, 14)):
        place, length = number_of(owner, number, 4), number_of(owner, number + 1, 0)
        if place < 4 or length < 0 or place + length > data_end:
            raise DataError("An index of a column chunk lies outside the file.")
    return Chunk(struct, start, size)


def moved_chunk(chunk: Chunk, shift: int) -> Struct:
    """The chunk's ColumnChunk, page offsets moved by `shift` bytes; indexes are left for the writer to place."""
    struct = dict(chunk.struct)
    meta = dict(chunk.meta)
    struct[3] = (struct[3][0], meta)
    if number_of(struct, 2, 0) > 0:
        struct[2] = (I64, struct[2][1] + shift)
    for number in (9, 10, 11):
        if number_of(meta, number, 0) > 0:
            meta[number] = (I64, meta[number][1] + shift)
    return struct


def without_old_statistics(struct: Struct) -> Struct:
    """The ColumnChunk without the deprecated `min` and `max`, which readers trust or not by the file's `created_by`."""
    meta = dict(struct_of(struct, 3))
    if 12 in meta:
        statistics = {number: value for number, value in struct_of(meta, 12).items() if number not in (1, 2)}
        meta[12] = (meta[12][0], statistics)
    return {**struct, 3: (struct[3][0], meta)}


def renamed(struct: Struct, path: tuple[str, ...]) -> Struct:
    """The ColumnChunk with another `path_in_schema`."""
    meta = dict(struct_of(struct, 3))
    meta[3] = (meta[3][0], (BINARY, [name.encode() for name in path]))
    return {**struct, 3: (struct[3][0], meta)}


def stored_path(chunk: Chunk) -> tuple[str, ...]:
    """The chunk's own `path_in_schema`."""
    return texts_of(chunk.meta, 3)
