"""The files that parts are cut from: footers and page tables when asked for, row groups encoded anew if needed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from kyanite.parquet.codecs import check_codec
from kyanite.parquet.footer import Footer, RowGroup, naming, read_footer
from kyanite.parquet.model import Source
from kyanite.parquet.pages import PageTable, page_tables
from kyanite.parquet.reencode import rewrite_row_group, rewritten_footer
from kyanite.parquet.row_groups import RowGroups
from kyanite.parquet.thrift import number_of
from kyanite.parquet.write import bloom_filter_size

OPEN_FILES = 16
KEPT_TABLES = 64
FILTER_SHARE = 0.2  # of the dictionary limit, itself 5 % of a part: what bloom filters of a cut row group may take,
# while those of a whole one may take all of it


@dataclass(frozen=True, slots=True)
class Place:
    """A row group: index in source number `source`; `fresh` = number among those it became when encoded anew."""

    source: int
    index: int
    fresh: int | None = None


class Inputs:
    """Footers, open files and page tables of the sources; a context that closes what it opened.

    `folder` holds row groups that others have encoded anew already.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        footers: Sequence[Footer] = (),
        dictionary_limit: float = 0,
        folder: Path | None = None,
    ) -> None:
        self.sources = sources
        self.dictionary_limit = dictionary_limit
        self._footers = dict(enumerate(footers))
        self._files: OrderedDict[int, BinaryIO] = OrderedDict()
        self._tables: OrderedDict[Place, tuple[PageTable, ...]] = OrderedDict()
        self._fresh: dict[tuple[int, int], tuple[Footer, BinaryIO]] = {}
        self._untold: dict[int, bool] = {}  # sources whose footers do not tell the lengths of bloom filters
        self._filter_sizes: dict[Place, tuple[int, int]] = {}
        self._stack = ExitStack()
        self.folder = folder

    def __enter__(self) -> Inputs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files.values():
            self._stack.callback(file.close)
        self._stack.close()

    def reopen(self) -> None:
        """In a copy of the process that opened them: files of its own, since those it inherits share their place."""
        self._files.clear()
        self._fresh = {
            key: (footer, self._stack.enter_context(Path(file.name).open("rb")))  # noqa: SIM115
            for key, (footer, file) in self._fresh.items()
        }

    def footer(self, source: int) -> Footer:
        """The footer of source number `source`."""
        if source not in self._footers:
            self._footers[source] = read_footer(self.sources[source])
        return self._footers[source]

    def footers(self) -> list[Footer]:
        """The footers of all sources."""
        return [self.footer(number) for number in range(len(self.sources))]

    def row_group(self, place: Place) -> tuple[BinaryIO, Footer, int]:
        """The open file that holds the row group, its footer and the number in it; files used last stay open."""
        if place.fresh is not None:
            footer, file = self.encoded(place)
            return file, footer, place.fresh
        return self._file(place.source), self.footer(place.source), place.index

    def where(self, place: Place) -> tuple[BinaryIO, Footer, RowGroup]:
        """The same with the row group decoded."""
        file, footer, index = self.row_group(place)
        return file, footer, footer.row_groups[index]

    def _file(self, source: int) -> BinaryIO:
        file = self._files.pop(source, None) or self.sources[source].open()
        self._files[source] = file
        if len(self._files) > OPEN_FILES:
            self._files.popitem(last=False)[1].close()
        return file

    def tables(self, place: Place) -> tuple[PageTable, ...]:
        """The row group's page tables; `NotCuttable` when it has to be encoded anew before it can be cut."""
        tables = self._tables.pop(place, None)
        if tables is None:
            file, footer, group = self.where(place)
            with naming(footer.name):
                for chunk in group.chunks:
                    check_codec(chunk.codec)
            tables = page_tables(file, footer, group)
        self._tables[place] = tables
        if len(self._tables) > KEPT_TABLES:
            self._tables.popitem(last=False)
        return tables

    def filters(self, group: RowGroup) -> int:
        """Bytes of the bloom filters that each slice of the row group repeats: 0 when too many or of unknown size."""
        sizes = [number_of(chunk.meta, 15, 0) for chunk in group.chunks if 14 in chunk.meta]
        size = sum(sizes) if all(sizes) else 0
        return size if size <= self.dictionary_limit * FILTER_SHARE else 0

    def keeps_filters(self, place: Place) -> bool:
        """Whether the row group, when copied whole, keeps its bloom filters: they are small against a part."""
        return not self._may_have_large_filters(place) or sum(self._filters_of(place)) <= self.dictionary_limit

    def unforeseen_filters(self, place: Place) -> int:
        """Bytes of bloom filters that the whole row group is copied with, beyond those that its footer tells of."""
        if not self._may_have_large_filters(place):
            return 0
        told, untold = self._filters_of(place)
        return untold if told + untold <= self.dictionary_limit else -told

    def _may_have_large_filters(self, place: Place) -> bool:
        if place.fresh is not None or self.dictionary_limit == float("inf"):
            return False
        groups = self.footer(place.source).row_groups
        if place.source not in self._untold:
            first = next(group for group in groups if group.rows)
            self._untold[place.source] = any(14 in c.meta and not number_of(c.meta, 15, 0) for c in first.chunks)
        if self._untold[place.source] or not isinstance(groups, RowGroups):
            return True
        return groups.index_sizes[place.index] > self.dictionary_limit

    def _filters_of(self, place: Place) -> tuple[int, int]:
        """Bytes of the row group's bloom filters: those whose length the footer tells, and the others."""
        if place not in self._filter_sizes:
            file, footer, group = self.where(place)
            metas = [chunk.meta for chunk in group.chunks if 14 in chunk.meta]
            told = sum(number_of(meta, 15, 0) for meta in metas)
            places = [number_of(meta, 14) for meta in metas if not number_of(meta, 15, 0)]
            with naming(footer.name):
                self._filter_sizes[place] = told, sum(bloom_filter_size(file, start, footer) for start in places)
        return self._filter_sizes[place]

    def encoded(self, place: Place) -> tuple[Footer, BinaryIO]:
        """Footer and file of the row group encoded anew, always in the same way; `UnsupportedError` if impossible."""
        key = place.source, place.index
        if key not in self._fresh:
            file, footer, _ = self.row_group(Place(*key))
            if self.folder is None:
                import tempfile

                self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
            path = self.folder / f"{place.source}-{place.index}.parquet"
            if path.exists():
                fresh = rewritten_footer(path, footer, place.index)
            else:
                with path.open("wb") as out:
                    fresh = rewrite_row_group(file, footer, place.index, out, self.dictionary_limit)
            self._fresh[key] = fresh, self._stack.enter_context(path.open("rb"))
        return self._fresh[key]
