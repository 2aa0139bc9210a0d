"""The row groups of a footer, found fast and decoded one by one when asked for: a footer may hold a million chunks."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, overload

from kyanite.errors import DataError
from kyanite.parquet.chunk_shapes import (
    INDEXES,
    LENGTHS,
    NoShape,
    Path,
    Shape,
    Span,
    decode_rest,
    learn,
    number_at,
)
from kyanite.parquet.thrift import I16, LIST, STRUCT, Struct, decode, number_of, read_varint

if TYPE_CHECKING:
    from kyanite.parquet.footer import RowGroup
from kyanite.parquet.schema import Leaf

GROUP_LEVELS = 2  # RowGroup and ColumnChunk; see FOOTER_LEVELS
LEARN_FROM, FEW = 4, 16  # row groups: where there are few, they are decoded sooner than patterns are made
EXACT_FROM = 256
SHAPES_PER_COLUMN = 8
KEPT = 4
ORDINAL = 7  # the field of a row group


class Found(NamedTuple):
    """A row group's place in the footer: bytes `begin` .. `end` of it.

    `chunks` are the (start, size) of the column chunks, `moving` each one's offsets that move with the data, as (value,
    where), `group` the numbers of the row group itself, (field, where). `last_field` is its last one but for the
    ordinal, which is the last of all if it `has_ordinal`.
    """

    begin: int
    end: int
    chunks: list[tuple[int, int]]
    moving: list[list[tuple[int, Span]]]
    group: list[tuple[int, Span]]
    last_field: int
    has_ordinal: bool


class RowGroups(Sequence["RowGroup"]):
    """All row groups: (rows, bytes) of each at once, the rest on demand."""

    def __init__(self, make: Callable[[Struct], RowGroup], data: bytes = b"") -> None:
        self._make = make
        self._data = data
        self._begins = array("q")
        self.rows = array("q")
        self.sizes = array("q")  # of the column chunks
        self.index_sizes = array("q")  # of page indexes and bloom filters
        self._kept: dict[int, RowGroup] = {}
        self.scanner: Scanner | None = None

    def add(self, begin: int, rows: int, size: int, index_size: int) -> None:
        """Register the row group that begins at byte `begin` of the footer."""
        self._begins.append(begin)
        self.rows.append(rows)
        self.sizes.append(size)
        self.index_sizes.append(index_size)

    def keep(self, index: int, group: RowGroup) -> None:
        """Remember a decoded row group for a while."""
        self._kept[index] = group
        if len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]

    def changed(self, change: Callable[[RowGroup], RowGroup]) -> RowGroups:
        """The same row groups, each one changed when it is asked for, with the same numbers of rows and bytes."""
        groups = RowGroups(lambda struct: change(self._make(struct)), self._data)
        groups._begins, groups.rows = self._begins, self.rows
        groups.sizes, groups.index_sizes = self.sizes, self.index_sizes
        return groups

    def find(self, index: int) -> tuple[bytes, Found] | None:
        """The footer and where the row group's description lies in it; None when it has to be decoded to be copied."""
        found = self.scanner.find(self._begins[index]) if self.scanner else None
        return None if found is None else (self._data, found)

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> RowGroup: ...
    @overload
    def __getitem__(self, index: slice) -> list[RowGroup]: ...
    def __getitem__(self, index: int | slice) -> RowGroup | list[RowGroup]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        if index < 0:
            index += len(self)
        if index not in self._kept:
            self.keep(index, self._make(decode(self._data, self._begins[index], GROUP_LEVELS)[0]))
        return self._kept[index]


class Scanner:
    """Walks the row groups of one footer, learning its columns' shapes; those that another has learned are shared."""

    def __init__(self, data: bytes, leaves: Sequence[Leaf], data_end: int, other: Scanner | None = None) -> None:
        self._data = data
        self._leaves = leaves
        self._data_end = data_end
        self._shapes: list[list[Shape]] = [[] for _ in leaves]
        if other is not None and len(other._shapes) == len(leaves):
            self._shapes = other._shapes

    def list_at(self, position: int, make: Callable[[Struct], RowGroup]) -> tuple[RowGroups, int]:
        """The row groups of the list at `position`, all checked, and the position behind it."""
        data = self._data
        head = data[position]
        position += 1
        length, kind = head >> 4, head & 15
        if length == 15:
            length, position = read_varint(data, position)
        if length > len(data) - position:
            raise IndexError
        if kind != STRUCT and length:
            raise DataError("The footer's row groups are not a list of structs.")
        groups = RowGroups(make, data)
        groups.scanner = self
        learn_from = 0 if any(self._shapes) else LEARN_FROM if length >= FEW else length + 1
        for index in range(length):
            begin = position
            if index == EXACT_FROM:
                self._shapes = [[] for _ in self._leaves]
            summary = self._summary(begin) if index >= learn_from else None
            if summary is None:
                struct, position = decode(data, begin, GROUP_LEVELS)
                group = make(struct)
                groups.add(begin, group.rows, group.size, group.index_size)
                groups.keep(index, group)
                if index >= learn_from - 1:
                    self._learn(begin, index >= EXACT_FROM)
            else:
                position, *numbers = summary
                groups.add(begin, *numbers)
        return groups, position

    def find(self, begin: int) -> Found | None:
        """The place of the row group that begins there; None when it has indexes or filters or has to be decoded."""
        data = self._data
        chunks: list[tuple[int, int]] = []
        moving: list[list[tuple[int, Span]]] = []
        position = self._columns_at(begin)
        if position is None:
            return None
        for column in range(len(self._leaves)):
            matched = self._match(column, position)
            if matched is None:
                return None
            shape, spans, position = matched
            if shape.is_indexed:
                return None
            offsets = {number: number_at(data, spans[number]) for number in shape.moving}
            start = offsets[shape.data]
            if 0 < offsets.get(shape.dictionary, 0) < start:
                start = offsets[shape.dictionary]
            chunks.append((start, number_at(data, spans[shape.size])))
            moving.append([(value, spans[number]) for number, value in offsets.items()])
        fields, end, tail = decode_rest(self._data, position, 1)
        last = max((number for number in fields if number != ORDINAL), default=1)
        if last > ORDINAL:
            return None
        if ORDINAL in fields and self._data[tail[-1][1][0] - 1] != (ORDINAL - last) << 4 | I16:
            return None  # its head is longer than a byte, or it is not the last field
        return Found(begin, end, chunks, moving, tail, last, ORDINAL in fields)

    def _columns_at(self, begin: int) -> int | None:
        """Where the first column chunk of the row group begins; None when it does not begin with all of them."""
        data = self._data
        if data[begin] != 1 << 4 | LIST:
            return None
        head = data[begin + 1]
        length, position = head >> 4, begin + 2
        if length == 15:
            length, position = read_varint(data, position)
        return position if head & 15 == STRUCT and length == len(self._leaves) else None

    def _match(self, column: int, position: int) -> tuple[Shape, list[Span], int] | None:
        for shape in self._shapes[column]:
            found = shape.match(self._data, position)
            if found is not None:
                return shape, *found
        return None

    def _summary(self, begin: int) -> tuple[int, int, int, int] | None:
        """(end, rows, bytes, bytes of indexes); None when it has to be decoded: to learn or to refuse."""
        data, data_end = self._data, self._data_end
        position = self._columns_at(begin)
        if position is None:
            return None
        size = index_size = 0
        values = set()
        for column, leaf in enumerate(self._leaves):
            matched = self._match(column, position)
            if matched is None:
                return None
            shape, spans, position = matched
            start, length = number_at(data, spans[shape.data]), number_at(data, spans[shape.size])
            if shape.dictionary >= 0:
                dictionary = number_at(data, spans[shape.dictionary])
                if 0 < dictionary < start:
                    start = dictionary
            if length < 0 or start < 4 or start + length > data_end:
                return None
            size += length
            if not leaf.max_repetition:
                begins, ends = spans[shape.values]
                values.add(data[begins:ends])
            if shape.is_indexed:
                found = self._index_size(dict(zip(shape.paths, spans, strict=True)))
                if found is None:
                    return None
                index_size += found
        struct, end, _ = decode_rest(data, position, 1)
        rows = number_of(struct, 3)
        if rows <= 0 or any(number_at(count, (0, len(count))) != rows for count in values):
            return None
        return end, rows, size, index_size

    def _index_size(self, places: dict[Path, Span]) -> int | None:
        """Bytes of indexes and filters; None when one lies outside the file."""
        total = 0
        for owner, length in zip(INDEXES, LENGTHS, strict=True):
            place = number_at(self._data, places[owner]) if owner in places else 4
            size = number_at(self._data, places[length]) if length in places else 0
            if place < 4 or size < 0 or place + size > self._data_end:
                return None
            total += size
        return total

    def _learn(self, begin: int, exact: bool) -> None:
        position = self._columns_at(begin)
        if position is None:
            return
        for column, leaf in enumerate(self._leaves):
            matched = self._match(column, position)
            if matched is None:
                if len(self._shapes[column]) == SHAPES_PER_COLUMN:
                    return
                try:
                    shape = learn(self._data, position, leaf.type, exact)
                except NoShape:
                    return
                self._shapes[column].append(shape)
                matched = self._match(column, position)
                if matched is None:
                    return
            position = matched[2]
