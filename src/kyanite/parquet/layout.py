"""The row groups to split, in order, as the planner sees them; those that cannot be cut are encoded anew when hit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from math import ceil
from typing import NamedTuple

from kyanite.errors import DataError, UnsupportedError
from kyanite.parquet.codecs import NotCuttable
from kyanite.parquet.footer import RowGroup
from kyanite.parquet.inputs import Inputs, Place
from kyanite.parquet.page_header import Page
from kyanite.parquet.pages import row_steps, steps_of_tables
from kyanite.parquet.plan import Group, Part, Piece, Planner, Steps, StepsOf, linear_steps
from kyanite.parquet.split_plan import CUT, ENCODED, RAW, PlannedPiece
from kyanite.parquet.thrift import LIST, STRUCT, encode, number_of

TAIL_BYTES = 16  # magic at both ends, footer length, longer numbers
SNAP_SHARE = 0.02  # of the dictionary limit: 0.1 % of a part, at either end
CUT_ENDS_BYTES = 40  # per column: the second header of a page cut in two
MOST_CARRIED = 10  # dictionary limits, so half a part: larger dictionaries are never repeated
CARRIED_COST = 1.5  # times the parts (or bytes) with no dictionary repeated: encoding flights anew takes as much
FAR_FROM_ALIKE, ALIKE = 1.05, 1.005  # the largest part as a multiple of the smallest
UNEVEN_COST = 1.05  # times the bytes, for parts that are alike
LARGE_PART = 1024 * 1024  # smaller ones are never quite alike
SMALL_SHARE = 0.1  # of the dictionary limit, so half a percent of a part
CHEAP_BYTES = 16 * 1024 * 1024  # of all row groups: encoded anew within half a second
FAR_BYTES = 4 * CHEAP_BYTES  # where parts are far from alike


Make = Callable[[Planner], tuple[Part, ...]]


class Pages(NamedTuple):
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
                    place = Place(number, index)
                    self._places.append(place)
                    self._groups.append(Group(rows, size + self._shares[number] + inputs.unforeseen_filters(place)))
        self._carried = inputs.dictionary_limit * MOST_CARRIED  # bytes of dictionaries that slices repeat
        self._decided = False
        self._kept: set[Place] = set()  # dictionaries are repeated after all
        self._exact: set[Place] = set()
        self._hopeful: dict[Place, Steps] = {}
        self._pages: dict[Place, Pages] = {}

    def plan(self, make: Make) -> tuple[Part, ...]:
        """The plan that `make` gives once every row group under a cut can be cut.

        Slices repeat the dictionaries of their row group. Only where that costs parts are row groups encoded anew with
        small dictionaries, and only when the new row groups, measured, give fewer parts (or smaller ones) of no more
        bytes. What the first call decides holds for the later ones.
        """
        carried = self._settled(make)
        if self._decided:
            return carried
        self._decided = True
        if self._is_costly(carried, make):
            most = self._inputs.dictionary_limit
        elif self._is_cheaply_evened(carried):
            most = self._inputs.dictionary_limit * SMALL_SHARE
        else:
            return carried
        before = self._carried, self._places[:], self._groups[:]
        cost, unevenness = self._cost(carried), self._unevenness(carried)
        self._carried = most
        with suppress(DataError):  # what cannot be decoded can still be copied
            encoded = self._settled(make)
            parts, size = self._cost(encoded)
            if size <= cost[1] and (parts, size) < cost:
                return encoded
            is_alike = unevenness > ALIKE >= self._unevenness(encoded)
            if is_alike and parts <= cost[0] and size <= cost[1] * UNEVEN_COST:
                return encoded
        self._carried, self._places, self._groups = before
        return carried

    def expected_cuts(self, make: Make) -> list[Place]:
        """The row groups that cuts probably fall into: as if all rows of each took the same."""

        def guessed(group: int) -> Steps:
            return linear_steps(self._groups[group].rows, self._groups[group].size)

        cuts = {piece.group for piece in self._cut_pieces(make(self._planner(guessed, guessed)))}
        return [self._places[group] for group in sorted(cuts)]

    def learn(self, place: Place, pages: Pages) -> None:
        """What another has read of a row group's pages."""
        self._pages[place] = pages

    def _is_costly(self, carried: Sequence[Part], make: Make) -> bool:
        """Whether repeating dictionaries takes many more parts or bytes than there would be without.

        Where little has to be encoded, one part more is many, and parts that are far from alike are reason enough.
        """
        limit = self._inputs.dictionary_limit
        total = sum(group.size for group in self._groups) if limit < float("inf") else float("inf")
        is_cheap = total <= CHEAP_BYTES
        if total <= FAR_BYTES and self._unevenness(carried) > FAR_FROM_ALIKE:
            return True
        large = [cut.group for cut in self._cut_pieces(carried) if self._repeats(cut, limit)]
        large = large or self._left_whole(carried, limit)
        if not large:
            return False
        groups = {group: self.pages_of(self._places[group]).steps.hopeful() for group in set(large)}
        ideal = make(
            self._planner(
                lambda group: groups.get(group) or self._steps_of(group),
                lambda group: groups.get(group) or self._guessed_steps(group),
            )
        )
        (parts, size), (least_parts, least) = self._cost(carried), self._cost(ideal, groups)
        if is_cheap:
            return parts > least_parts or size > least * CARRIED_COST
        return parts > max(least_parts + 1, least_parts * CARRIED_COST) or size > least * CARRIED_COST

    def _left_whole(self, planned: Sequence[Part], limit: float) -> list[int]:
        """Row groups that begin parts whole, though the parts are too many: slices of them would repeat too much."""
        if limit == float("inf") or len(planned) <= ceil(self._cost(planned)[1] / (2 * MOST_CARRIED * limit)):
            return []
        begins = [part[0].group for part in planned[1:]]
        return [group for group in begins if self.pages_of(self._places[group]).steps.dictionaries_from(0) > limit]

    def _is_cheaply_evened(self, planned: Sequence[Part]) -> bool:
        """Whether parts differ by the dictionaries of a few row groups, which are soon encoded without them."""
        limit = self._inputs.dictionary_limit
        if limit == float("inf") or 2 * MOST_CARRIED * limit < LARGE_PART or self._unevenness(planned) <= ALIKE:
            return False
        groups = {piece.group for piece in self._cut_pieces(planned)} | {part[0].group for part in planned[1:]}
        if sum(self._groups[group].size for group in groups) > 2 * CHEAP_BYTES:
            return False
        steps = (self.pages_of(self._places[group]).steps for group in groups)
        return any(one.dictionaries_from(0) > limit * SMALL_SHARE for one in steps)

    def _unevenness(self, planned: Sequence[Part]) -> float:
        """The largest part as a multiple of the smallest."""
        sizes = [self.base + sum(map(self._bytes_of, part)) for part in planned]
        return max(sizes, default=1) / min(sizes, default=1)

    def _cost(self, planned: Sequence[Part], groups: Mapping[int, Steps] | None = None) -> tuple[int, float]:
        """The number of parts and their predicted bytes, with other steps for some row groups."""
        size = sum(self._bytes_of(piece, (groups or {}).get(piece.group)) for part in planned for piece in part)
        return len(planned), size + self.base * len(planned)

    def _planner(self, steps_of: StepsOf, estimate: StepsOf) -> Planner:
        return Planner(self._groups, steps_of, self.base, self._snap, estimate)

    def _settled(self, make: Make) -> tuple[Part, ...]:
        """The plan in which no slice repeats dictionaries of more bytes than are carried."""
        while True:
            planned = make(self._planner(self._steps_of, self._guessed_steps))
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
        size = self._bytes_of(piece)
        how = ENCODED if place.fresh is not None else RAW if whole else CUT
        return PlannedPiece(place.source, place.index, 1, piece.first, piece.last, how, int(size), place.fresh)

    def _bytes_of(self, piece: Piece, steps: Steps | None = None) -> float:
        if piece.last - piece.first == self._groups[piece.group].rows:
            return float(self._groups[piece.group].size)
        steps = steps or self._steps_of(piece.group)
        return steps.size_at(piece.last) - steps.size_at(piece.first) + steps.fixed_from(piece.first)

    def _cut_pieces(self, planned: Sequence[Part]) -> list[Piece]:
        """Pieces that are slices of a row group only."""
        return [
            piece for part in planned for piece in part if piece.last - piece.first < self._groups[piece.group].rows
        ]

    def _is_exact(self, place: Place) -> bool:
        """Whether the row group is planned with the dictionaries its slices repeat, not as if encoded anew."""
        small = self.pages_of(place).steps.dictionaries_from(0) <= self._carried
        return small or place.fresh is not None or place in self._exact

    def _steps_of(self, group: int) -> Steps:
        place = self._places[group]
        steps = self.pages_of(place).steps
        if self._is_exact(place):
            return steps
        if place not in self._hopeful:
            self._hopeful[place] = steps.hopeful()
        return self._hopeful[place]

    def _guessed_steps(self, group: int) -> Steps:
        """The row group's steps as far as they are known without reading its page headers."""
        if self._places[group] in self._pages:
            return self._steps_of(group)
        return linear_steps(self._groups[group].rows, self._groups[group].size)

    def _must_replace(self, piece: Piece) -> bool:
        place = self._places[piece.group]
        pages = self.pages_of(place)
        if pages.reason is not None:
            return True
        if place.fresh is not None or place in self._kept:
            return False
        return self._repeats(piece, self._carried)

    def _repeats(self, piece: Piece, most: float) -> bool:
        """Whether the slice repeats dictionaries of more than `most` bytes that an earlier one has too."""
        return piece.first > 0 and self.pages_of(self._places[piece.group]).steps.dictionaries_from(piece.first) > most

    def pages_of(self, place: Place) -> Pages:
        """What its page headers say, read at the first time; `DataError` for headers that are none."""
        if place not in self._pages:
            try:
                self._pages[place] = Pages(self._read_steps(place))
            except NotCuttable as error:
                group = self._inputs.where(place)[2]
                size = group.size + group.index_size + self._shares[place.source]
                size += self._inputs.unforeseen_filters(place)
                self._pages[place] = Pages(linear_steps(group.rows, size), error.message)
        return self._pages[place]

    def _read_steps(self, place: Place) -> Steps:
        tables = self._inputs.tables(place)
        file, footer, group = self._inputs.where(place)
        fixed = self._shares[place.source] + CUT_ENDS_BYTES * len(tables) + self._inputs.filters(group)

        def inside(column: int, page: Page) -> list[tuple[int, float]] | None:
            return row_steps(file, footer, group.chunks[column], footer.leaves[column], page)

        per_page = _index_bytes_per_page(group, [len(table.pages) for table in tables])
        return steps_of_tables(tables, fixed, per_page, self._inputs.dictionary_limit, inside)  # 5 % of a part is large

    def _replace(self, group: int) -> None:
        """The row group encoded anew as one or more; itself when that is impossible and it can be cut anyhow."""
        place = self._places[group]
        pages = self.pages_of(place)
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
