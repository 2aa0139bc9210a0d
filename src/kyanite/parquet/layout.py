"""The row groups to split, in order, and their pages; those that cannot be cut are encoded anew when hit."""

from __future__ import annotations

import tempfile
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from kyanite.errors import UnsupportedError
from kyanite.parquet.footer import Footer, RowGroup
from kyanite.parquet.model import Source
from kyanite.parquet.page_cut import CODECS, NotCuttable
from kyanite.parquet.pages import Page, PageTable, page_tables, row_steps, steps_of_tables
from kyanite.parquet.plan import Group, Part, Piece, Planner, Steps, linear_steps
from kyanite.parquet.reencode import rewrite_row_group
from kyanite.parquet.thrift import LIST, STRUCT, encode

OPEN_FILES = 16
TAIL_BYTES = 16  # magic at both ends, footer length, longer numbers
CUT_ENDS_BYTES = 40  # per column: the second header of a page cut in two


@dataclass(frozen=True)
class Place:
    """A row group of the input: `number` of its source, index in the source; `replaced` = encoded anew already."""

    number: int
    footer: Footer
    group: RowGroup
    index: int
    replaced: bool = False

    @property
    def key(self) -> tuple[int, int]:
        """What identifies the row group."""
        return self.number, self.index


@dataclass(frozen=True)
class _Pages:
    """What is known of a row group's pages; `tables` None = cannot be cut, for the reason given."""

    tables: tuple[PageTable, ...] | None
    steps: Steps
    reason: str | None


class Layout:
    """All row groups with rows, over every source; a context that closes the files it opened."""

    def __init__(self, sources: Sequence[Source], footers: Sequence[Footer], dictionary_limit: float) -> None:
        self._dictionary_limit = dictionary_limit
        self._stack = ExitStack()
        self._folder: Path | None = None
        self._sources = list(sources)
        self._files: OrderedDict[int, BinaryIO] = OrderedDict()
        self._places = [
            Place(number, footer, group, index)
            for number, footer in enumerate(footers)
            for index, group in enumerate(footer.row_groups)
            if group.rows
        ]
        self._kept: set[tuple[int, int]] = set()  # dictionaries are repeated after all
        self._exact: set[tuple[int, int]] = set()
        self._hopeful: dict[tuple[int, int], Steps] = {}
        self._pages: dict[tuple[int, int], _Pages] = {}
        bare = [len(encode({**footer.struct, 4: (LIST, (STRUCT, []))})) for footer in footers]
        self._base = bare[0] + TAIL_BYTES
        self._shares = [
            (footer.length - own) // max(1, len(footer.row_groups)) + 1
            for footer, own in zip(footers, bare, strict=True)
        ]
        self.rows = sum(footer.rows for footer in footers)

    def __enter__(self) -> Layout:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files.values():
            self._stack.callback(file.close)
        self._stack.close()

    def place(self, group: int) -> Place:
        """Where row group `group` of the plan lies."""
        return self._places[group]

    def file(self, place: Place) -> BinaryIO:
        """The place's source, open; the files used last stay open."""
        file = self._files.pop(place.number, None) or self._sources[place.number].open()
        self._files[place.number] = file
        if len(self._files) > OPEN_FILES:
            self._files.popitem(last=False)[1].close()
        return file

    def tables(self, group: int) -> tuple[PageTable, ...]:
        """The page tables of a row group that the plan cuts."""
        place = self._places[group]
        pages = self._pages_of(place)
        if pages.tables is None:
            raise UnsupportedError(f"Row group {place.index} cannot be cut: {pages.reason}", where=place.footer.name)
        return pages.tables

    def plan(self, make: Callable[[Planner], tuple[Part, ...]]) -> tuple[Part, ...]:
        """The plan that `make` gives once every row group under a cut can be cut and repeats no large dictionaries."""
        while True:
            groups = [Group(place.group.rows, self._whole_size(place)) for place in self._places]
            planned = make(Planner(groups, lambda group: self._steps_of(self._places[group]), self._base))
            cuts = _cut_pieces(planned, groups)
            guessed = {cut.group for cut in cuts if not self._is_exact(self._places[cut.group])}
            stubborn = {cut.group for cut in cuts if self._must_replace(cut)}
            if not guessed and not stubborn:
                return planned
            for group in sorted(guessed | stubborn, reverse=True):
                if group in stubborn:
                    self._places[group : group + 1] = self._replace(self._places[group])
                else:
                    self._exact.add(self._places[group].key)

    def _is_exact(self, place: Place) -> bool:
        """Whether the row group is planned with the dictionaries its slices repeat, not as if encoded anew."""
        pages = self._pages_of(place)
        small = pages.steps.dictionaries_from(0) <= self._dictionary_limit
        return small or place.replaced or place.key in self._exact

    def _steps_of(self, place: Place) -> Steps:
        steps = self._pages_of(place).steps
        if self._is_exact(place):
            return steps
        if place.key not in self._hopeful:
            self._hopeful[place.key] = steps.hopeful()
        return self._hopeful[place.key]

    def _must_replace(self, piece: Piece) -> bool:
        place = self._places[piece.group]
        pages = self._pages_of(place)
        if pages.tables is None:
            return True
        if place.replaced or place.key in self._kept:
            return False
        return piece.first > 0 and pages.steps.dictionaries_from(piece.first) > self._dictionary_limit

    def _whole_size(self, place: Place) -> int:
        return place.group.size + place.group.index_size + self._shares[place.number]

    def _pages_of(self, place: Place) -> _Pages:
        if place.key not in self._pages:
            self._pages[place.key] = self._read_pages(place)
        return self._pages[place.key]

    def _read_pages(self, place: Place) -> _Pages:
        linear = linear_steps(place.group.rows, self._whole_size(place))
        try:
            for chunk in place.group.chunks:
                if chunk.codec not in CODECS:
                    raise NotCuttable(f"Pages compressed with codec {chunk.codec} are not cut.")
            tables = page_tables(self.file(place), place.footer, place.group)
            steps = self._steps(place, tables)
        except NotCuttable as error:
            return _Pages(None, linear, error.message)
        return _Pages(tables, steps, None)

    def _steps(self, place: Place, tables: tuple[PageTable, ...]) -> Steps:
        share = self._shares[place.number] + CUT_ENDS_BYTES * len(tables)

        def inside(column: int, page: Page) -> list[tuple[int, float]] | None:
            if page.total < self._dictionary_limit:  # less than 5 % of a part
                return None
            chunk, leaf = place.group.chunks[column], place.footer.leaves[column]
            return row_steps(self.file(place), place.footer, chunk, leaf, page)

        return steps_of_tables(tables, share, inside)

    def _replace(self, place: Place) -> list[Place]:
        """The row group encoded anew as one or more; itself when that is impossible and it can be cut anyhow."""
        pages = self._pages_of(place)
        if place.replaced:
            raise UnsupportedError(f"Row group {place.index} cannot be cut: {pages.reason}", where=place.footer.name)
        number = len(self._sources)
        path = self._temporary_folder() / f"{number}.parquet"
        try:
            with path.open("wb") as out:
                footer = rewrite_row_group(self.file(place), place.footer, place.index, out, self._dictionary_limit)
        except UnsupportedError:
            if pages.tables is None:
                raise
            self._kept.add(place.key)
            self._exact.add(place.key)
            return [place]
        self._sources.append(Source(place.footer.name, lambda: path.open("rb"), footer.size))
        self._shares.append(self._shares[place.number])
        return [Place(number, footer, group, index, replaced=True) for index, group in enumerate(footer.row_groups)]

    def _temporary_folder(self) -> Path:
        if self._folder is None:
            self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        return self._folder


def _cut_pieces(planned: Sequence[Part], groups: Sequence[Group]) -> list[Piece]:
    """Pieces that are slices of a row group only."""
    return [piece for part in planned for piece in part if piece.last - piece.first < groups[piece.group].rows]
