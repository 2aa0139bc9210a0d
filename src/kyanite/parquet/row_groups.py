"""The row groups of a footer, found fast and decoded one by one when asked for: a footer may hold a million chunks."""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Sequence
from contextlib import suppress
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
from kyanite.parquet.row_group_shapes import ORDINAL, RowGroupShape, learn_row_group, numbers_of
from kyanite.parquet.thrift import I16, LIST, STRUCT, Struct, decode, number_of, read_varint

if TYPE_CHECKING:
    from kyanite.parquet.footer import RowGroup
from kyanite.parquet.schema import Leaf

GROUP_LEVELS = 2  # RowGroup and ColumnChunk; see FOOTER_LEVELS
LEARN_FROM, FEW = 4, 16  # row groups: where there are few, they are decoded sooner than patterns are made
MANY = 128  # row groups to come, that are worth one pattern for all columns
MOST_SHAPES, MISSES = 4, 32  # such patterns, and row groups that none was right for before another is made
SHAPES_PER_COLUMN = 8
KEPT = 4


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
        self._whole: list[RowGroupShape] = []
        self._tries, self._misses = 0, MISSES
        if other is not None and len(other._shapes) == len(leaves):
            self._shapes, self._whole = other._shapes, other._whole

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
        is_learned = bool(self._whole) or any(self._shapes)
        learn_from = 0 if is_learned else LEARN_FROM if length >= FEW else length + 1
        for index in range(length):
            begin = position
            summary = self._summary(begin) if index >= learn_from else None
            if summary is None:
                struct, position = decode(data, begin, GROUP_LEVELS)
                group = make(struct)
                groups.add(begin, group.rows, group.size, group.index_size)
                groups.keep(index, group)
                if index >= learn_from - 1 and not self._learn_whole(begin, length - index):
                    self._learn(begin)
            else:
                position, *numbers = summary
                groups.add(begin, *numbers)
                self._learn_whole(begin, length - index)
        return groups, position

    def find(self, begin: int) -> Found | None:
        """The place of the row group that begins there; None when it has indexes or filters or has to be decoded."""
        data = self._data
        for whole in self._whole:
            found = whole.match(data, begin)
            if found is not None:
                return self._found_whole(begin, whole, *found)
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

    def _found_whole(
        self, begin: int, shape: RowGroupShape, matches: Sequence[re.Match[bytes]], end: int
    ) -> Found | None:
        numbers = numbers_of(matches)
        chunks = shape.chunks(numbers, self._data_end)
        if chunks is None:
            return None
        spans = [span for match in matches for span in match.regs[1:]]
        moving = [[(numbers[place], spans[place]) for place in column.moving] for column in shape.columns]
        group = [(number, spans[place]) for number, place in shape.group]
        return Found(begin, end, chunks, moving, group, shape.last_field, shape.has_ordinal)

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
        for whole in self._whole:
            found = whole.match(data, begin)
            if found is not None:
                numbers = numbers_of(found[0])
                chunks = whole.chunks(numbers, data_end)
                if chunks is not None:
                    return found[1], numbers[whole.rows], sum([size for _, size in chunks]), 0
        self._misses += 1
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
                more = self._index_size(dict(zip(shape.paths, spans, strict=True)))
                if more is None:
                    return None
                index_size += more
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

    def _learn_whole(self, begin: int, left: int) -> bool:
        """Learn from the row group as a whole, where that is worth it for those that are left."""
        if self._misses < MISSES or left < MANY or self._tries == MOST_SHAPES:
            return False
        self._tries, self._misses = self._tries + 1, 0
        with suppress(NoShape):
            self._whole.append(learn_row_group(self._data, begin, self._leaves))
            return True
        return False

    def _learn(self, begin: int) -> None:
        position = self._columns_at(begin)
        if position is None:
            return
        for column, leaf in enumerate(self._leaves):
            matched = self._match(column, position)
            if matched is None:
                if len(self._shapes[column]) == SHAPES_PER_COLUMN:
                    return
                try:
                    shape = learn(self._data, position, leaf.type)
                except NoShape:
                    return
                self._shapes[column].append(shape)
                matched = self._match(column, position)
                if matched is None:
                    return
            position = matched[2]
