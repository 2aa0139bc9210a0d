"""The row groups to split, in order, as the planner sees them; those that cannot be cut are encoded anew when hit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kyanite.errors import UnsupportedError
from kyanite.parquet.codecs import NotCuttable
from kyanite.parquet.footer import RowGroup
from kyanite.parquet.inputs import Inputs, Place
from kyanite.parquet.pages import Page, row_steps, steps_of_tables
from kyanite.parquet.plan import Group, Part, Piece, Planner, Steps, linear_steps
from kyanite.parquet.split_plan import CUT, ENCODED, RAW, PlannedPiece
from kyanite.parquet.thrift import LIST, STRUCT, encode, number_of

TAIL_BYTES = 16  # magic at both ends, footer length, longer numbers
SNAP_SHARE = 0.02  # of the dictionary limit: 0.1 % of a part, at either end
CUT_ENDS_BYTES = 40  # per column: the second header of a page cut in two


@dataclass(frozen=True)
class _Pages:
    """What is known of a row group's pages; `reason` = why it cannot be cut, None when it can."""

    steps: Steps
    reason: str | None = None


class Layout:
    """All row groups with rows, over every source."""

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        limit = inputs.dictionary_limit
        self._snap = 0.0 if limit == float("inf") else limit * SNAP_SHARE
        footers = [inputs.footer(number) for number in range(len(inputs.sources))]
        bare = [len(encode({**footer.struct, 4: (LIST, (STRUCT, []))})) for footer in footers]
        self.base = bare[0] + TAIL_BYTES
        self._shares = [
            (footer.length - own) // max(1, len(footer.row_groups)) + 1
            for footer, own in zip(footers, bare, strict=True)
        ]
        self.rows = sum(footer.rows for footer in footers)
        self._places: list[Place] = []
        self._groups: list[Group] = []
        for number, footer in enumerate(footers):
            for index, (rows, size) in enumerate(footer.group_sizes()):
                if rows:
                    self._places.append(Place(number, index))
                    self._groups.append(Group(rows, size + self._shares[number]))
        self._kept: set[Place] = set()  # dictionaries are repeated after all
        self._exact: set[Place] = set()
        self._hopeful: dict[Place, Steps] = {}
        self._pages: dict[Place, _Pages] = {}

    def plan(self, make: Callable[[Planner], tuple[Part, ...]]) -> tuple[Part, ...]:
        """The plan that `make` gives once every row group under a cut can be cut and repeats no large dictionaries."""
        while True:
            planned = make(Planner(self._groups, self._steps_of, self.base, self._snap))
            cuts = self._cut_pieces(planned)
            guessed = {cut.group for cut in cuts if not self._is_exact(self._places[cut.group])}
            stubborn = {cut.group for cut in cuts if self._must_replace(cut)}
            if not guessed and not stubborn:
                return planned
            for group in sorted(guessed | stubborn, reverse=True):
                if group in stubborn:
                    self._replace(group)
                else:
                    self._exact.add(self._places[group])

    def pieces(self, part: Part) -> tuple[PlannedPiece, ...]:
        """The planned part's pieces as places in the sources, neighbouring whole row groups as one."""
        pieces: list[PlannedPiece] = []
        for piece in part:
            place = self._places[piece.group]
            made = self._piece(piece, place)
            last = pieces[-1] if pieces else made
            if made.how == RAW == last.how and (last.source, last.row_group + last.count) == (
                place.source,
                place.index,
            ):
                pieces[-1] = PlannedPiece(
                    last.source, last.row_group, last.count + 1, 0, last.last + made.last, RAW, last.bytes + made.bytes
                )
            else:
                pieces.append(made)
        return tuple(pieces)

    def _piece(self, piece: Piece, place: Place) -> PlannedPiece:
        group = self._groups[piece.group]
        whole = piece.last - piece.first == group.rows
        if whole:
            size = float(group.size)
        else:
            steps = self._steps_of(piece.group)
            size = steps.size_at(piece.last) - steps.size_at(piece.first) + steps.fixed_from(piece.first)
        how = ENCODED if place.fresh is not None else RAW if whole else CUT
        return PlannedPiece(place.source, place.index, 1, piece.first, piece.last, how, int(size), place.fresh)

    def _cut_pieces(self, planned: Sequence[Part]) -> list[Piece]:
        """Pieces that are slices of a row group only."""
        return [
            piece for part in planned for piece in part if piece.last - piece.first < self._groups[piece.group].rows
        ]

    def _is_exact(self, place: Place) -> bool:
        """Whether the row group is planned with the dictionaries its slices repeat, not as if encoded anew."""
        small = self._pages_of(place).steps.dictionaries_from(0) <= self._inputs.dictionary_limit
        return small or place.fresh is not None or place in self._exact

    def _steps_of(self, group: int) -> Steps:
        place = self._places[group]
        steps = self._pages_of(place).steps
        if self._is_exact(place):
            return steps
        if place not in self._hopeful:
            self._hopeful[place] = steps.hopeful()
        return self._hopeful[place]

    def _must_replace(self, piece: Piece) -> bool:
        place = self._places[piece.group]
        pages = self._pages_of(place)
        if pages.reason is not None:
            return True
        if place.fresh is not None or place in self._kept:
            return False
        return piece.first > 0 and pages.steps.dictionaries_from(piece.first) > self._inputs.dictionary_limit

    def _pages_of(self, place: Place) -> _Pages:
        if place not in self._pages:
            try:
                self._pages[place] = _Pages(self._read_steps(place))
            except NotCuttable as error:
                group = self._inputs.where(place)[2]
                size = group.size + group.index_size + self._shares[place.source]
                self._pages[place] = _Pages(linear_steps(group.rows, size), error.message)
        return self._pages[place]

    def _read_steps(self, place: Place) -> Steps:
        tables = self._inputs.tables(place)
        file, footer, group = self._inputs.where(place)
        limit = self._inputs.dictionary_limit
        fixed = self._shares[place.source] + CUT_ENDS_BYTES * len(tables) + self._inputs.filters(group)

        def inside(column: int, page: Page) -> list[tuple[int, float]] | None:
            if page.total < limit:  # less than 5 % of a part
                return None
            return row_steps(file, footer, group.chunks[column], footer.leaves[column], page)

        return steps_of_tables(tables, fixed, inside, _index_bytes_per_page(group, [len(t.pages) for t in tables]))

    def _replace(self, group: int) -> None:
        """The row group encoded anew as one or more; itself when that is impossible and it can be cut anyhow."""
        place = self._places[group]
        pages = self._pages_of(place)
        if place.fresh is not None:
            name = self._inputs.footer(place.source).name
            raise UnsupportedError(f"Row group {place.index} cannot be cut: {pages.reason}", where=name)
        try:
            footer, _ = self._inputs.encoded(place)
        except UnsupportedError:
            if pages.reason is not None:
                raise
            self._kept.add(place)
            self._exact.add(place)
            return
        share = self._shares[place.source]
        sizes = list(footer.group_sizes())
        self._places[group : group + 1] = [Place(place.source, place.index, fresh) for fresh in range(len(sizes))]
        self._groups[group : group + 1] = [Group(rows, size + share) for rows, size in sizes]


def _index_bytes_per_page(group: RowGroup, pages: Sequence[int]) -> list[float]:
    """Bytes of each column's page indexes per page of it."""
    return [
        (number_of(chunk.struct, 5, 0) + number_of(chunk.struct, 7, 0)) / max(1, count)
        for chunk, count in zip(group.chunks, pages, strict=True)
    ]
