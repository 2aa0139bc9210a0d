"""A parquet file written from pieces of others: bytes are copied, offsets moved, the footer made anew."""

from __future__ import annotations

import struct as packing
from collections.abc import Callable, Sequence
from typing import IO, BinaryIO, NamedTuple

from kyanite.errors import DataError
from kyanite.parquet.footer import (
    MAGIC,
    Footer,
    descriptor_of,
    moved_chunk,
    naming,
    read_exactly,
    without_old_statistics,
)
from kyanite.parquet.model import Sink
from kyanite.parquet.row_group_shapes import ORDINAL
from kyanite.parquet.row_groups import Found, RowGroups
from kyanite.parquet.thrift import (
    I16,
    I32,
    I64,
    LIST,
    STRUCT,
    Opaque,
    Struct,
    decode,
    encode,
    list_head,
    number_of,
    struct_of,
    structs_of,
    uncollected,
    write_varint,
)

BUFFER_BYTES = 1024 * 1024  # fits the processor's cache: larger ones are slower
SMALL_BYTES = 64 * 1024  # read at once
SYSTEM_COPY_BYTES = 64 * 1024  # smaller ranges are quicker through the buffer
PIECE_BYTES = 32 * 1024 * 1024  # copied in the system between two looks at who cancelled
INDEX_MEMORY_BYTES = 8 * 1024 * 1024
MOST_INDEXES = 20_000  # held back; then they are written between row groups
MOST_ORDINAL = 32_767  # of a row group: 16 bits
BLOOM_FILTER, COLUMN_INDEX, OFFSET_INDEX = 14, 6, 4
FILE_OFFSET = 5  # of a row group
Range = tuple[int, int]


class Written(NamedTuple):
    """A finished file: what its footer says, and the footer's own bytes."""

    rows: int
    row_groups: int
    size: int
    footer: bytes


class RangeCopier:
    """Copies byte ranges of files through one buffer; `step(bytes)` is called after each bufferful."""

    def __init__(self, step: Callable[[int], None]) -> None:
        self._step = step
        self._buffer = bytearray()  # filled up when it is needed: most bytes are copied in the system

    def copy(self, file: BinaryIO, start: int, size: int, out: Sink, name: str) -> None:
        """Append bytes `start` .. `start + size` of the file to `out`; `DataError` when the file ends before."""
        done = self._copy_in_store(file, start, size, out) or self._copy_in_system(file, start, size, out)
        start, size = start + done, size - done
        if size <= SMALL_BYTES:
            if size:
                out.write(read_exactly(file, start, size, name))
                self._step(size)
            return
        file.seek(start)
        readinto = getattr(file, "readinto", None)
        self._buffer = self._buffer or bytearray(BUFFER_BYTES)
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

    def _copy_in_store(self, file: BinaryIO, start: int, size: int, out: Sink) -> int:
        """Bytes that the store of both files has copied on its own side."""
        copy_range = getattr(out, "copy_range", None)
        done = 0
        while copy_range is not None and done < size:
            count = copy_range(file, start + done, size - done)
            if count <= 0:
                break
            done += count
            self._step(count)
        return done

    def _copy_in_system(self, file: BinaryIO, start: int, size: int, out: Sink) -> int:
        """Bytes copied without passing through this process: all, or those before the system would not."""
        copy_from = getattr(out, "copy_from", None)
        descriptor = descriptor_of(file) if copy_from is not None and size >= SYSTEM_COPY_BYTES else None
        if copy_from is None or descriptor is None:
            return 0
        done = 0
        while done < size:
            count = copy_from(descriptor, start + done, min(size - done, PIECE_BYTES))
            if count <= 0:  # some file systems say 0 for what they do not copy: reading tells whether it is the end
                break
            done += count
            self._step(count)
        return done


class _Index(NamedTuple):
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
        self._groups: list[bytes] = []  # without ordinals: these are all written or none
        self._ordinals = bytearray()  # the head of each row group's ordinal, the field to come
        self._wants_ordinals = False
        self._waiting: list[tuple[int, Struct]] = []  # row groups whose indexes have no place yet
        self._indexes: list[_Index] = []
        self._spool: IO[bytes] | None = None
        self._spooled = 0

    def __enter__(self) -> FileWriter:
        return self

    def __exit__(self, *_: object) -> None:
        if self._spool is not None:
            self._spool.close()

    def put(self, data: bytes) -> None:
        """Append bytes."""
        self._out.write(data)
        self.position += len(data)

    def copy(self, file: BinaryIO, start: int, size: int, name: str) -> None:
        """Append a range of bytes of another file."""
        self._copier.copy(file, start, size, self._out, name)
        self.position += size

    def add_row_group(self, file: BinaryIO, footer: Footer, index: int, filters: bool = True) -> None:
        """Append whole row group number `index` of the file as it is, with page indexes and (if wanted) filters."""
        start = self.position
        foreign = footer.created_by != self._template.created_by
        groups = footer.row_groups
        if isinstance(groups, RowGroups) and not foreign:
            found = groups.find(index)
            if found is not None:
                shifts = self._copy_chunks(file, found[1].chunks, footer.name)
                self._groups.append(_moved_description(*found, shifts, start))
                self._take_ordinal(found[1].last_field, found[1].has_ordinal)
                self.rows += groups.rows[index]
                return
        group = groups[index]
        shifts = self._copy_chunks(file, [(chunk.start, chunk.size) for chunk in group.chunks], footer.name)
        columns = []
        with naming(footer.name), uncollected():
            for chunk, shift in zip(group.chunks, shifts, strict=True):
                column = moved_chunk(chunk, shift)
                if foreign:
                    column = without_old_statistics(column)
                self._take_indexes(file, footer, column, shift, filters)
                columns.append(column)
        self.add_columns(dict(group.struct), columns, group.rows, start)

    def _copy_chunks(self, file: BinaryIO, chunks: Sequence[Range], name: str) -> list[int]:
        """How far each chunk has moved from its place in the source."""
        shifts = [0] * len(chunks)
        for first, size, members in _runs(chunks):
            for index in members:
                shifts[index] = self.position - first
            self.copy(file, first, size, name)
        return shifts

    def add_columns(self, group: Struct, columns: Sequence[Struct], rows: int, start: int) -> None:
        """Register a row group whose column chunks have been written from `start` on."""
        group[1] = (LIST, (STRUCT, list(columns)))
        group[3] = (I64, rows)
        if FILE_OFFSET in group:
            group[FILE_OFFSET] = (I64, start)
        has_ordinal = group.pop(ORDINAL, None) is not None
        self._take_ordinal(max(group), has_ordinal)
        self.rows += rows
        if not self._indexes:
            self._groups.append(encode(group))
            return
        self._waiting.append((len(self._groups), group))
        self._groups.append(b"")
        if len(self._indexes) > MOST_INDEXES:
            self._put_indexes()

    def _take_ordinal(self, last_field: int, had: bool) -> None:
        """How the row group's ordinal will be written behind its field `last_field`."""
        self._ordinals.append((ORDINAL - last_field) << 4 | I16 if last_field < ORDINAL else 0)
        self._wants_ordinals |= had

    def _with_ordinals(self) -> list[bytes]:
        """The row groups' descriptions, numbered where a source's are: all or none, as readers demand."""
        if not self._wants_ordinals or len(self._groups) > MOST_ORDINAL + 1 or 0 in self._ordinals:
            return self._groups
        return [
            group[:-1] + _ordinal(head, number) + b"\0"
            for number, (head, group) in enumerate(zip(self._ordinals, self._groups, strict=True))
        ]

    def take_bloom_filter(self, file: BinaryIO, footer: Footer, meta: Struct) -> None:
        """Keep the bloom filter that `meta`, a ColumnMetaData of this file to be, has the source's place of."""
        place = number_of(meta, BLOOM_FILTER)
        size = number_of(meta, 15, 0) or bloom_filter_size(file, place, footer)
        self.keep_index(BLOOM_FILTER, meta, read_exactly(file, place, size, footer.name))

    def _take_indexes(self, file: BinaryIO, footer: Footer, column: Struct, shift: int, filters: bool) -> None:
        meta = struct_of(column, 3)
        if not filters:
            meta.pop(BLOOM_FILTER, None)
            meta.pop(BLOOM_FILTER + 1, None)
        elif BLOOM_FILTER in meta:
            self.take_bloom_filter(file, footer, meta)
        if COLUMN_INDEX in column:
            data = read_exactly(file, number_of(column, 6), number_of(column, 7), footer.name)
            self.keep_index(COLUMN_INDEX, column, data)
        if OFFSET_INDEX in column:
            data = read_exactly(file, number_of(column, 4), number_of(column, 5), footer.name)
            self.keep_index(OFFSET_INDEX, column, moved_offset_index(data, shift))

    def keep_index(self, kind: int, owner: Struct, data: bytes) -> None:
        """Hold back a bloom filter or page index for the end of the file, when `owner` learns its place and size."""
        if self._spool is None:
            import tempfile

            self._spool = tempfile.SpooledTemporaryFile(max_size=INDEX_MEMORY_BYTES)  # noqa: SIM115 - closed by close()
        self._indexes.append(_Index(kind, owner, self._spooled, len(data)))
        self._spool.write(data)
        self._spooled += len(data)

    def _put_indexes(self) -> None:
        """Kind by kind after the data, where readers fetch each kind in one range."""
        for kind in (BLOOM_FILTER, COLUMN_INDEX, OFFSET_INDEX):
            for index in self._indexes:
                if index.kind == kind and self._spool is not None:
                    index.owner[kind] = (I64, self.position)
                    index.owner[kind + 1] = (I32, index.size)
                    self._spool.seek(index.start)
                    self.put(self._spool.read(index.size))
        for number, group in self._waiting:
            self._groups[number] = encode(group)
        if self._spool is not None:
            self._spool.seek(0)
            self._spool.truncate()
        self._indexes, self._waiting, self._spooled = [], [], 0

    def finish(self) -> Written:
        """Write indexes and footer."""
        self._put_indexes()
        struct = dict(self._template.struct)
        struct[3] = (I64, self.rows)
        struct[4] = (LIST, Opaque(list_head(STRUCT, len(self._groups)) + b"".join(self._with_ordinals())))
        with uncollected():
            footer = encode(struct)
        self.put(footer + packing.pack("<I", len(footer)) + MAGIC)
        return Written(self.rows, len(self._groups), self.position, footer)


def _runs(chunks: Sequence[Range]) -> list[tuple[int, int, list[int]]]:
    """(first byte, bytes, numbers of the chunks) of each run of chunks that follow one another in the file."""
    runs: list[tuple[int, int, list[int]]] = []
    for index, (start, size) in sorted(enumerate(chunks), key=lambda item: item[1][0]):
        first, length, members = runs[-1] if runs else (0, -1, [])
        if first + length == start:
            members.append(index)
            runs[-1] = (first, length + size, members)
        else:
            runs.append((start, size, [index]))
    return runs


def _ordinal(head: int, number: int) -> bytes:
    out = bytearray([head])
    write_varint(out, number << 1)
    return bytes(out)


def _moved_description(data: bytes, found: Found, shifts: Sequence[int], start: int) -> bytes:
    """The row group's description with its offsets moved, without ordinal: other bytes stay as they are."""
    out = bytearray()
    position = found.begin
    for moving, shift in zip(found.moving, shifts, strict=True):
        for value, (begin, end) in moving:
            if value > 0:  # 0 says that there is none
                out += data[position:begin]
                write_varint(out, (value + shift) << 1)
                position = end
    for number, (begin, end) in found.group:
        if number == FILE_OFFSET:
            out += data[position:begin]
            write_varint(out, start << 1)
            position = end
        elif number == ORDINAL:
            return bytes(out + data[position : begin - 1] + b"\0")
    return bytes(out + data[position : found.end])


def moved_offset_index(data: bytes, shift: int) -> bytes:
    """The OffsetIndex with its pages' absolute offsets moved by `shift` bytes."""
    index, _ = decode(data)
    pages = [{**page, 1: (I64, number_of(page, 1) + shift)} for page in structs_of(index, 1)]
    return encode({**index, 1: (LIST, (STRUCT, pages))})


def bloom_filter_size(file: BinaryIO, place: int, footer: Footer) -> int:
    """Bytes of header and bitset: older writers leave the length out of the footer."""
    room = footer.size - 8 - footer.length - place
    header, end = decode(read_exactly(file, place, min(64, room), footer.name))
    return end + number_of(header, 1)
