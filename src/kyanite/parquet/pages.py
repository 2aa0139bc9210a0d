"""Page tables: where the pages of a column chunk lie and which rows they hold, read from page headers only."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate
from typing import BinaryIO, NamedTuple

from kyanite.errors import DataError
from kyanite.parquet.codecs import NotCuttable
from kyanite.parquet.footer import Chunk, Footer, RowGroup, descriptor_of, naming, read_exactly
from kyanite.parquet.hybrid import MAX_LEVEL_WIDTH
from kyanite.parquet.page_cut import (
    BYTE_ARRAY,
    DATA_PAGE,
    DATA_PAGE_V2,
    DICTIONARY,
    PLAIN,
    check_cuttable,
    data_header,
    encoding_of,
    open_body,
    repetition_levels,
    text_ends,
)
from kyanite.parquet.page_header import Page, quick_pages
from kyanite.parquet.plan import Steps, steps_of_columns
from kyanite.parquet.schema import Leaf
from kyanite.parquet.thrift import Struct, Truncated, decode, number_of, structs_of, uncollected

DICTIONARY_PAGE = 2
STEPS_IN_PAGE = 64
WINDOW_BYTES = 16 * 1024
HEADER_BYTES = 16 * 1024 * 1024


class PageTable(NamedTuple):
    """The pages of one column chunk; `first_rows` has one more entry than `pages`: the row group's rows."""

    dictionary: Page | None
    pages: tuple[Page, ...]
    first_rows: tuple[int, ...]


def page_tables(file: BinaryIO, footer: Footer, group: RowGroup) -> tuple[PageTable, ...]:
    """The page tables of all columns of a row group; `NotCuttable` when rows and pages cannot be matched."""
    with naming(footer.name), uncollected():
        return tuple(
            _page_table(file, footer, group.rows, chunk, leaf)
            for chunk, leaf in zip(group.chunks, footer.leaves, strict=True)
        )


def steps_of_tables(
    tables: Sequence[PageTable],
    fixed: int,
    per_page: Sequence[float],
    large: float,
    steps_in: Callable[[int, Page], list[tuple[int, float]] | None],
) -> Steps:
    """The planner's view of a row group's pages; every slice pays `fixed` and the dictionaries it refers to.

    `per_page` bytes of each column's page go into indexes; `steps_in(column, page)` gives (rows, bytes) inside a page
    of at least `large` bytes, None where that is not known.
    """
    columns: list[tuple[tuple[int, ...], list[float]]] = []
    for index, (table, more) in enumerate(zip(tables, per_page, strict=True)):
        totals = [page.total for page in table.pages]
        starts, sizes = table.first_rows, [total + more for total in totals]
        if max(totals, default=0) >= large:
            inside = [steps_in(index, page) if page.total >= large else None for page in table.pages]
            whole = zip((page.rows for page in table.pages), sizes, strict=True)
            steps = [step for one, many in zip(whole, inside, strict=True) for step in many or [one]]
            starts, sizes = tuple(accumulate((rows for rows, _ in steps), initial=0)), [size for _, size in steps]
        columns.append((starts, sizes))
    dictionaries = tuple(filter(None, map(_dictionary_reach, tables)))
    return steps_of_columns(columns, fixed, dictionaries, _boundaries(tables))


def _boundaries(tables: Sequence[PageTable]) -> list[int]:
    """Rows where pages of three in four columns begin; columns of one page do not count."""
    alike = Counter(table.first_rows[1:-1] for table in tables if len(table.pages) > 1)
    counts: Counter[int] = Counter()
    for rows, columns in alike.items():
        for row in rows:
            counts[row] += columns
    return sorted(row for row, count in counts.items() if count >= 0.75 * alike.total())


def _dictionary_reach(table: PageTable) -> tuple[int, int] | None:
    """The row behind the last page that refers to the dictionary, and the dictionary's bytes."""
    if table.dictionary is None:
        return None
    for page, end in zip(reversed(table.pages), reversed(table.first_rows), strict=False):
        if page.encoding in DICTIONARY:
            return end, table.dictionary.total
    return None


def row_steps(file: BinaryIO, footer: Footer, chunk: Chunk, leaf: Leaf, page: Page) -> list[tuple[int, float]] | None:
    """(rows, bytes) inside one page: exact for plain texts, whose rows may differ by megabytes; else None."""
    if leaf.type != BYTE_ARRAY or leaf.max_repetition or page.encoding != PLAIN:
        return None
    data = read_exactly(file, page.start + page.header_size, page.size, footer.name)
    with naming(footer.name):
        ends = text_ends(decode(page.header)[0], data, leaf, chunk.codec)
    scale = page.total / max(1, ends[-1])
    step = ends[-1] / STEPS_IN_PAGE
    steps: list[tuple[int, float]] = []
    row = taken = 0
    for index, end in enumerate(ends, 1):
        if end - taken >= step or index == len(ends):
            if index - 1 > row:  # the rows before apart from the one that crosses, which may be huge
                steps.append((index - 1 - row, (ends[index - 2] - taken) * scale))
                taken = ends[index - 2]
            steps.append((1, (end - taken) * scale))
            row, taken = index, end
    return steps


class HeaderReader:
    """Reads page headers of one column chunk through a window: small where reading is cheap, else one per page."""

    def __init__(self, file: BinaryIO, start: int, end: int, name: str) -> None:
        self._file = file
        self._end = end
        self._name = name
        self._start = start
        self._window = b""
        self._descriptor = descriptor_of(file)

    def quick(self, position: int, values: int, leaf: Leaf, is_indexed: bool) -> list[Page]:
        """The data pages from byte `position` of the file on, up to `values` values, as far as they are plain to see.

        None where the file is not one of this machine: the full reading gets a window.
        """
        if self._descriptor is None:
            return []
        return quick_pages(partial(os.pread, self._descriptor), position, self._end, values, leaf, is_indexed)

    def full(self, position: int) -> tuple[Page, Struct]:
        """The page whose header is at byte `position` of the file, and the header."""
        header, size = self.read(position)
        offset = position - self._start
        return page_of(header, self._window[offset : offset + size], position), header

    def read(self, position: int) -> tuple[Struct, int]:
        """The page header at byte `position` of the file and its size."""
        size = WINDOW_BYTES
        while True:
            offset = position - self._start
            if 0 <= offset < len(self._window):
                try:
                    header, end = decode(self._window, offset)
                    return header, end - offset
                except Truncated:
                    if self._start + len(self._window) >= self._end or size > HEADER_BYTES:
                        raise
            self._start = position
            size *= 2
            self._window = read_exactly(self._file, position, min(size, self._end - position), self._name)


def _page_table(file: BinaryIO, footer: Footer, rows: int, chunk: Chunk, leaf: Leaf) -> PageTable:
    end = chunk.start + chunk.size
    reader = HeaderReader(file, chunk.start, end, footer.name)
    first_rows = _indexed_rows(file, footer, chunk) if leaf.max_repetition else {}
    is_plain = max(leaf.max_definition, leaf.max_repetition).bit_length() <= MAX_LEVEL_WIDTH
    dictionary: Page | None = None
    pages: list[Page] = []
    position, values, total = chunk.start, 0, chunk.values
    while position < end and values < total:
        if is_plain and (quick := reader.quick(position, total - values, leaf, bool(first_rows))):
            pages += quick
            values += sum(page.values for page in quick)
            position = quick[-1].start + quick[-1].total
            if position > end:
                raise DataError("A page reaches beyond its column chunk.")
            continue
        page, header = reader.full(position)
        if page.size < 0 or position + page.total > end:
            raise DataError("A page reaches beyond its column chunk.")
        if page.kind == DICTIONARY_PAGE:
            dictionary = page
        elif page.kind in (DATA_PAGE, DATA_PAGE_V2):
            check_cuttable(header, leaf)
            if page.rows < 0 and not first_rows:
                page = _with_rows(page, _count_rows(file, footer, chunk, leaf, header, page))
            pages.append(page)
            values += page.values
        position += page.total
    if first_rows:
        pages = _with_indexed_rows(pages, first_rows, rows)
    counts = [page.rows for page in pages]
    starts = tuple(accumulate(counts, initial=0))
    if starts[-1] != rows or values != total or min(counts, default=0) < 0:
        raise NotCuttable("The pages' rows do not add up to the row group's.", where=footer.name)
    return PageTable(dictionary, tuple(pages), starts)


def page_of(header: Struct, data: bytes, start: int) -> Page:
    """The page as its header (in bytes: `data`) tells; rows -1 when only its levels know (a nested column's v1 page).

    Of its statistics no more is known than where they end.
    """
    kind = number_of(header, 1)
    size, uncompressed = number_of(header, 3), number_of(header, 2)
    if kind not in (DATA_PAGE, DATA_PAGE_V2):
        return Page(start, data, len(data) + size, uncompressed, kind, 0, 0, 0)
    head = data_header(header)
    values = number_of(head, 1)
    if values < 0:
        raise DataError("A page has a negative number of values.")
    rows = number_of(head, 3) if kind == DATA_PAGE_V2 else -1
    return Page(start, data, len(data) + size, uncompressed, kind, encoding_of(header), values, rows)


def _with_rows(page: Page, rows: int) -> Page:
    return page._replace(rows=rows)


def _count_rows(file: BinaryIO, footer: Footer, chunk: Chunk, leaf: Leaf, header: Struct, page: Page) -> int:
    if leaf.max_repetition == 0:
        return page.values
    data = read_exactly(file, page.start + page.header_size, page.size, footer.name)
    starts = repetition_levels(open_body(header, data, leaf, chunk.codec), leaf, page.values)
    if starts[:1] != b"\0":
        raise NotCuttable("Pages that begin inside a row are not cut.", where=footer.name)
    return starts.count(0)


def _indexed_rows(file: BinaryIO, footer: Footer, chunk: Chunk) -> dict[int, int]:
    """Page start -> first row, from the chunk's OffsetIndex (its pages begin with rows); empty without one."""
    size = number_of(chunk.struct, 5, 0)
    if size <= 0:
        return {}
    index, _ = decode(read_exactly(file, number_of(chunk.struct, 4), size, footer.name))
    return {number_of(page, 1): number_of(page, 3) for page in structs_of(index, 1)}


def _with_indexed_rows(pages: Sequence[Page], first_rows: dict[int, int], rows: int) -> list[Page]:
    if any(page.start not in first_rows for page in pages):
        raise NotCuttable("The offset index does not list all pages.")
    starts = [*(first_rows[page.start] for page in pages), rows]
    return [_with_rows(page, starts[index + 1] - starts[index]) for index, page in enumerate(pages)]
