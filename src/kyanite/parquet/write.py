"""A parquet file written from pieces of others: bytes are copied, offsets moved, the footer made anew."""

from __future__ import annotations

import struct as packing
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from kyanite.errors import DataError
from kyanite.parquet.footer import (
    MAGIC,
    Chunk,
    Footer,
    RowGroup,
    moved_chunk,
    naming,
    read_exactly,
    without_old_statistics,
)
from kyanite.parquet.model import Sink
from kyanite.parquet.thrift import (
    I16,
    I32,
    I64,
    LIST,
    STRUCT,
    Struct,
    decode,
    encode,
    number_of,
    struct_of,
    structs_of,
    uncollected,
)

BUFFER_BYTES = 1024 * 1024  # fits the processor's cache: larger ones are slower
INDEX_MEMORY_BYTES = 8 * 1024 * 1024
BLOOM_FILTER, COLUMN_INDEX, OFFSET_INDEX = 14, 6, 4


@dataclass(frozen=True)
class Written:
    """A finished file: what its footer says, and the footer's own bytes."""

    rows: int
    row_groups: int
    size: int
    footer: bytes


class RangeCopier:
    """Copies byte ranges of files through one buffer; `step(bytes)` is called after each bufferful."""

    def __init__(self, step: Callable[[int], None]) -> None:
        self._step = step
        self._buffer = bytearray(BUFFER_BYTES)

    def copy(self, file: BinaryIO, start: int, size: int, out: Sink, name: str) -> None:
        """Append bytes `start` .. `start + size` of the file to `out`; `DataError` when the file ends before."""
        file.seek(start)
        readinto = getattr(file, "readinto", None)
        view = memoryview(self._buffer)
        left = size
        while left:
            wanted = min(left, BUFFER_BYTES)
            if readinto is not None:
                count = readinto(view[:wanted]) or 0
                piece = view[:count]
            else:
                piece = memoryview(file.read(wanted))
                count = len(piece)
            if count == 0:
                raise DataError(f"The file ends {left} bytes before byte {start + size}.", where=name)
            out.write(piece)
            left -= count
            self._step(count)


@dataclass(frozen=True)
class _Index:
    """A bloom filter or page index waiting for the end of the file: bytes `start` .. of the spool."""

    kind: int
    owner: Struct
    start: int
    size: int


class FileWriter:
    """Writes one parquet file to `out`, row group by row group, under `template`'s schema, metadata and creator."""

    def __init__(self, out: Sink, template: Footer, copier: RangeCopier) -> None:
        self._out = out
        self._template = template
        self._copier = copier
        self.rows = 0
        self.position = 0
        self.put(MAGIC)
        self._groups: list[Struct] = []
        self._indexes: list[_Index] = []
        self._spool = tempfile.SpooledTemporaryFile(max_size=INDEX_MEMORY_BYTES)  # noqa: SIM115 - closed by close()
        self._spooled = 0

    def __enter__(self) -> FileWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._spool.close()

    def put(self, data: bytes) -> None:
        """Append bytes."""
        self._out.write(data)
        self.position += len(data)

    def copy(self, file: BinaryIO, start: int, size: int, name: str) -> None:
        """Append a range of bytes of another file."""
        self._copier.copy(file, start, size, self._out, name)
        self.position += size

    def add_row_group(self, file: BinaryIO, footer: Footer, group: RowGroup) -> None:
        """Append a whole row group as it is, with its page indexes and bloom filters."""
        start = self.position
        placed: dict[int, int] = {}
        for first, size, chunks in _runs(group.chunks):
            for index, chunk in chunks:
                placed[index] = self.position + chunk.start - first
            self.copy(file, first, size, footer.name)
        columns = []
        foreign = footer.created_by != self._template.created_by
        with naming(footer.name), uncollected():
            for index, chunk in enumerate(group.chunks):
                shift = placed[index] - chunk.start
                column = moved_chunk(chunk, shift)
                if foreign:
                    column = without_old_statistics(column)
                self._take_indexes(file, footer, column, shift)
                columns.append(column)
        self.add_columns(dict(group.struct), columns, group.rows, start)

    def add_columns(self, group: Struct, columns: Sequence[Struct], rows: int, start: int) -> None:
        """Register a row group whose column chunks have been written from `start` on."""
        group[1] = (LIST, (STRUCT, list(columns)))
        group[3] = (I64, rows)
        if 5 in group:
            group[5] = (I64, start)
        if 7 in group:
            group[7] = (I16, len(self._groups))
            if len(self._groups) > 32767:
                del group[7]
        self.rows += rows
        self._groups.append(group)

    def take_bloom_filter(self, file: BinaryIO, footer: Footer, meta: Struct) -> None:
        """Keep the bloom filter that `meta`, a ColumnMetaData of this file to be, has the source's place of."""
        place = number_of(meta, BLOOM_FILTER)
        size = number_of(meta, 15, 0) or _bloom_filter_size(file, place, footer)
        self.keep_index(BLOOM_FILTER, meta, read_exactly(file, place, size, footer.name))

    def _take_indexes(self, file: BinaryIO, footer: Footer, column: Struct, shift: int) -> None:
        meta = struct_of(column, 3)
        if BLOOM_FILTER in meta:
            self.take_bloom_filter(file, footer, meta)
        if COLUMN_INDEX in column:
            data = read_exactly(file, number_of(column, 6), number_of(column, 7), footer.name)
            self.keep_index(COLUMN_INDEX, column, data)
        if OFFSET_INDEX in column:
            data = read_exactly(file, number_of(column, 4), number_of(column, 5), footer.name)
            self.keep_index(OFFSET_INDEX, column, moved_offset_index(data, shift))

    def keep_index(self, kind: int, owner: Struct, data: bytes) -> None:
        """Hold back a bloom filter or page index for the end of the file, when `owner` learns its place and size."""
        self._indexes.append(_Index(kind, owner, self._spooled, len(data)))
        self._spool.write(data)
        self._spooled += len(data)

    def _put_indexes(self) -> None:
        """Kind by kind after the data, where readers fetch each kind in one range."""
        for kind in (BLOOM_FILTER, COLUMN_INDEX, OFFSET_INDEX):
            for index in self._indexes:
                if index.kind == kind:
                    index.owner[kind] = (I64, self.position)
                    index.owner[kind + 1] = (I32, index.size)
                    self._spool.seek(index.start)
                    self.put(self._spool.read(index.size))

    def finish(self) -> Written:
        """Write indexes and footer."""
        self._put_indexes()
        struct = dict(self._template.struct)
        struct[3] = (I64, self.rows)
        struct[4] = (LIST, (STRUCT, self._groups))
        with uncollected():
            footer = encode(struct)
        self.put(footer + packing.pack("<I", len(footer)) + MAGIC)
        return Written(self.rows, len(self._groups), self.position, footer)


def _runs(chunks: Sequence[Chunk]) -> list[tuple[int, int, list[tuple[int, Chunk]]]]:
    """(first byte, bytes, chunks with their column index) of each run of chunks that follow one another in the file."""
    runs: list[tuple[int, int, list[tuple[int, Chunk]]]] = []
    for index, chunk in sorted(enumerate(chunks), key=lambda item: item[1].start):
        first, size, members = runs[-1] if runs else (0, -1, [])
        if first + size == chunk.start:
            members.append((index, chunk))
            runs[-1] = (first, size + chunk.size, members)
        else:
            runs.append((chunk.start, chunk.size, [(index, chunk)]))
    return runs


def moved_offset_index(data: bytes, shift: int) -> bytes:
    """The OffsetIndex with its pages' absolute offsets moved by `shift` bytes."""
    index, _ = decode(data)
    pages = [{**page, 1: (I64, number_of(page, 1) + shift)} for page in structs_of(index, 1)]
    return encode({**index, 1: (LIST, (STRUCT, pages))})


def _bloom_filter_size(file: BinaryIO, place: int, footer: Footer) -> int:
    """Header and bitset: older writers leave the length out of the footer."""
    room = footer.size - 8 - footer.length - place
    header, end = decode(read_exactly(file, place, min(64, room), footer.name))
    return end + number_of(header, 1)
