"""Whole row groups of a footer found without decoding them: one pattern for all that they say of all columns.

It is learned from one row group, with what most have in common (names, types, encodings) as it is there. Files of many
row groups mostly describe each alike; where one is not, its column chunks have patterns of their own (`chunk_shapes`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from kyanite.parquet.chunk_shapes import (
    BYTE_ARRAY,
    CAPTURED,
    DATA,
    DICTIONARY,
    INDEXES,
    MOVING,
    SIZE,
    STATISTICS,
    VALUES,
    VARINT,
    Learner,
    NoShape,
    Path,
    Span,
)
from kyanite.parquet.schema import Leaf
from kyanite.parquet.thrift import I16, all_signed, decode

COLUMNS, ROWS, ORDINAL = (1,), (3,), 7  # of a row group
IN_COMMON = ((3, 1), (3, 2, 0), (3, 4), (3, 13, 0, 1), (3, 13, 0, 2))  # types, encodings, codec of a column chunk
MOST_TEXT = 127  # bytes of a text that the patterns step over: its length is one byte


class _Numbers(NamedTuple):
    """Which of the patterns' groups tell of one column chunk; `dictionary` is -1 when there is none."""

    size: int
    data: int
    dictionary: int
    moving: tuple[int, ...]


class RowGroupShape(NamedTuple):
    """Patterns with a text of any length between each two; `values` are the groups that repeat the number of rows.

    `fields` are all of the row group, in their order, and `group` the numbers among them: (field, group).
    """

    patterns: tuple[re.Pattern[bytes], ...]
    columns: tuple[_Numbers, ...]
    values: tuple[int, ...]
    rows: int
    fields: tuple[int, ...]
    group: tuple[tuple[int, int], ...]

    @property
    def has_ordinal(self) -> bool:
        """Whether the row groups are numbered."""
        return ORDINAL in self.fields

    @property
    def last_field(self) -> int:
        """The last one but for the ordinal."""
        return max(number for number in self.fields if number != ORDINAL)

    def match(self, data: bytes, position: int) -> tuple[list[re.Match[bytes]], int] | None:
        """What matched, and the row group's end; None when it does not look like this."""
        matches: list[re.Match[bytes]] = []
        for pattern in self.patterns:
            if matches:
                length = data[position] if position < len(data) else MOST_TEXT + 1
                if length > MOST_TEXT:
                    return None
                position += 1 + length
            found = pattern.match(data, position)
            if found is None:
                return None
            matches.append(found)
            position = found.end()
        return matches, position

    def chunks(self, numbers: Sequence[int], data_end: int) -> list[Span] | None:
        """The (start, size) of each column chunk; None unless all is within the file and of as many rows.

        `numbers` are those of all groups.
        """
        rows = numbers[self.rows]
        if rows <= 0 or any(numbers[place] != rows for place in self.values):
            return None
        chunks = []
        for place, data, dictionary, _ in self.columns:
            size, start = numbers[place], numbers[data]
            if dictionary >= 0 and 0 < numbers[dictionary] < start:
                start = numbers[dictionary]
            if size < 0 or start < 4 or start + size > data_end:
                return None
            chunks.append((start, size))
        return chunks


def numbers_of(matches: Sequence[re.Match[bytes]]) -> Sequence[int]:
    """The numbers of all groups of what matched."""
    return all_signed([text for match in matches for text in match.groups()])


def learn_row_group(data: bytes, begin: int, leaves: Sequence[Leaf]) -> RowGroupShape:
    """The shape of the well-formed row group at `begin`; `NoShape` when it is odd, or tells of indexes or filters."""
    fields, end = decode(data, begin, 0)
    learner = _RowGroupLearner(data, leaves)
    learner.struct(begin, ())
    *columns, group = learner.groups
    if ROWS not in group or any(not {VALUES, SIZE, DATA} <= set(numbers) for numbers in columns):
        raise NoShape
    if any(path in numbers for numbers in columns for path in INDEXES):
        raise NoShape
    shape = RowGroupShape(
        tuple(re.compile(b"".join(parts), re.DOTALL) for parts in learner.patterns),
        tuple(_numbers_of(numbers) for numbers in columns),
        tuple(numbers[VALUES] for numbers, leaf in zip(columns, leaves, strict=True) if not leaf.max_repetition),
        group[ROWS],
        tuple(fields),
        tuple((path[0], number) for path, number in group.items()),
    )
    found = shape.match(data, begin)
    if found is None or found[1] != end or shape.last_field > ORDINAL:
        raise NoShape
    if shape.has_ordinal:  # the last field, behind a head of one byte
        place = found[0][-1].regs[-1][0]
        if shape.group[-1][0] != ORDINAL or data[place - 1] != (ORDINAL - shape.last_field) << 4 | I16:
            raise NoShape
    return shape


def _numbers_of(numbers: Mapping[Path, int]) -> _Numbers:
    moving = tuple(number for path, number in numbers.items() if path in MOVING)
    return _Numbers(numbers[SIZE], numbers[DATA], numbers.get(DICTIONARY, -1), moving)


class _RowGroupLearner(Learner):
    """Reads one row group; `groups` are the numbers that the patterns tell: of each column, then of the row group."""

    def __init__(self, data: bytes, leaves: Sequence[Leaf]) -> None:
        super().__init__(data, has_texts=False)
        self.groups: list[dict[Path, int]] = [{} for _ in range(len(leaves) + 1)]
        self._leaves = leaves
        self._column: int | None = None

    def item(self, position: int, kind: int, path: Path, number: int) -> int:
        """Item `number` of a list, which may be a column chunk."""
        if self._column is not None or path != COLUMNS:
            return super().item(position, kind, path, number)
        if number >= len(self._leaves):
            raise NoShape
        self._column = number
        self.has_texts = self._leaves[number].type == BYTE_ARRAY
        end = self.value(position, kind, ())
        self._column = None
        return end

    def number(self, path: Path, data: bytes) -> bytes:
        """A group of the pattern where it counts, and as it is here where most have it in common."""
        is_of_group = self._column is None
        if not is_of_group and path in IN_COMMON:
            return re.escape(data)
        if not (len(path) == 1 if is_of_group else path in CAPTURED):
            return VARINT
        numbers = self.groups[-1 if self._column is None else self._column]
        if path in numbers:
            raise NoShape
        numbers[path] = sum(map(len, self.groups))
        return b"(" + VARINT + b")"

    def text(self, path: Path, length: bytes, data: bytes) -> bytes | None:
        """A name as it is here; a bound as in the shape of a column."""
        return super().text(path, length, data) if path[:2] == STATISTICS else re.escape(length + data)
