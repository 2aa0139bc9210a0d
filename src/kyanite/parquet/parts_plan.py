"""Parts planned for a target, again and again with what has been measured of those that are written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import cast

from kyanite import limits
from kyanite.errors import DataError, LimitError, ParameterError
from kyanite.parquet.inputs import Inputs, Place
from kyanite.parquet.layout import Layout, Pages
from kyanite.parquet.plan import Part as RowRanges
from kyanite.parquet.plan import Planner
from kyanite.parquet.split_plan import PlannedPart

SLACK = 0.0015  # of the target, for what is estimated: rewritten pages and the footer
REDO_SHARE = 0.98
ESTIMATE_ERROR = 1.1  # a part larger than that is a local surprise, not an estimate to correct for all parts
DICTIONARY_SHARE = 0.05  # of a part, that slices of a row group should repeat at most
SURE_BYTES = 8 * 1024 * 1024  # that the first part begins with: for fewer it is not worth it
SURE_SHARE = 0.9  # of what a part would have if there was one more
WHOLE_SHARE = 0.99  # of the target: sources below it are one part, with all that they have


@dataclass(frozen=True)
class Target:
    """How to split: exactly one of parts of at most `max_bytes`, `parts` parts, or parts of `rows` rows."""

    max_bytes: int | None
    parts: int | None
    rows: int | None

    def __post_init__(self) -> None:
        given = [value for value in (self.max_bytes, self.parts, self.rows) if value is not None]
        if len(given) != 1:
            raise ParameterError("Give exactly one of max_bytes, parts and rows.")
        if given[0] < 1:
            raise ParameterError(f"The size of the parts must be positive, not {given[0]}.")

    def dictionary_limit(self, total: int) -> float:
        """Bytes of dictionaries that slices of a row group should repeat at most, for sources of `total` bytes."""
        if self.rows is not None or total <= WHOLE_SHARE * (self.max_bytes or 0):
            return float("inf")
        return DICTIONARY_SHARE * (total / self.parts if self.parts else cast(int, self.max_bytes))


class PartsPlan:
    """Plans parts from the row reached on, with what has been measured so far."""

    def __init__(self, inputs: Inputs, target: Target, name: Callable[[int], str], merged: bool) -> None:
        self.inputs = inputs
        self.target = target
        self._name = name
        self._merged = merged
        self._layout = Layout(inputs)
        self._slack = SLACK
        self._most_rows: int | None = None  # of the next part, which has been measured to be too large
        self.rows = self._layout.rows

    @property
    def max_bytes(self) -> float:
        """The target in bytes."""
        return self.target.max_bytes or float("inf")

    def rest(self, count: int = 0, first_row: int = 0) -> list[PlannedPart]:
        """The parts still to be written after `count` parts that end before `first_row`; an empty one for no rows."""
        ranges = self._layout.plan(partial(self._ranges, first_row))
        if count + len(ranges) > limits.PARQUET_PARTS:
            raise LimitError(f"The split would give more than {limits.PARQUET_PARTS} parts.")
        planned: list[PlannedPart] = []
        for part in ranges or (() if count else ((),)):
            made = self._part(part, count + len(planned), first_row)
            planned.append(made)
            first_row += made.rows
        return planned

    def expected_cuts(self) -> list[Place]:
        """The row groups whose pages will probably have to be known."""
        return self._layout.expected_cuts(partial(self._ranges, 0))

    def read_pages(self, place: Place) -> Pages | None:
        """What planning needs to know of a row group's pages; None when that is an error, should it be needed."""
        try:
            return self._layout.pages_of(place)
        except DataError:
            return None

    def learn(self, place: Place, pages: Pages | None) -> None:
        """Take what another has read."""
        if pages is not None:
            self._layout.learn(place, pages)

    def name(self, number: int) -> str:
        """The name of a part."""
        return self._name(number)

    def sure_row_groups(self) -> int:
        """How many row groups of the first source the first part surely begins with; 0 when these are few bytes."""
        total = sum(source.size for source in self.inputs.sources)
        parts = self.target.parts or (ceil(total / self.max_bytes) + 1 if self.target.max_bytes else 1)
        room, rows = total / parts * SURE_SHARE, self.target.rows or self.rows
        count = size = 0
        for group_rows, group_size in self.inputs.footer(0).group_sizes():
            rows -= group_rows
            if not group_rows or rows < 0 or size + group_size > room:
                break
            count, size = count + 1, size + group_size
        return count if size >= SURE_BYTES else 0

    def _ranges(self, first_row: int, planner: Planner) -> tuple[RowRanges, ...]:
        if self.target.rows is not None:
            return planner.by_rows(self.target.rows, first_row)
        if self.target.parts is not None:
            return planner.by_parts(self.target.parts)
        return planner.by_bytes(cast(int, self.target.max_bytes) * (1 - self._slack), first_row, self._most_rows)

    def _part(self, part: RowRanges, number: int, first_row: int) -> PlannedPart:
        pieces = self._layout.pieces(part)
        rows = sum(piece.last - piece.first for piece in pieces)
        size = int(self._layout.base) + sum(piece.bytes for piece in pieces)
        limit = self.inputs.dictionary_limit
        return PlannedPart(
            self._name(number),
            first_row,
            rows,
            size,
            pieces,
            self.target.max_bytes,
            None if limit == float("inf") else limit,
            self._merged,
        )

    def fits(self) -> None:
        """The part planned first is as large as it may be."""
        self._most_rows = None

    def correct(self, rows: int, excess: float, planned: float = 1) -> bool:
        """A part of `rows` rows came out `excess` times the target: plan the rest smaller, the part itself surely.

        It was `planned` to be that many times the target: the less, the farther the estimate was from the truth.
        Whether that counts for all parts, not for this one alone.
        """
        if self._most_rows is None and excess < ESTIMATE_ERROR:
            self._slack = min(0.5, max(self._slack * 1.5, self._slack + (excess - 1) * 1.2, 1 - planned / excess))
            self._most_rows = rows - 1
            return True
        self._most_rows = max(1, min(rows - 1, int(rows / excess * REDO_SHARE)))
        return False
