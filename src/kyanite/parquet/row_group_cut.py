"""A slice of a row group: whole pages are copied, only the pages under its two ends are made anew."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from typing import BinaryIO, NamedTuple

from kyanite.parquet.codecs import decompress
from kyanite.parquet.footer import Chunk, Footer, RowGroup, naming, read_exactly
from kyanite.parquet.page_cut import BYTE_ARRAY, DELTA_BYTE_ARRAY, DICTIONARY, CutPage, cut_page
from kyanite.parquet.page_header import Page, folded_summary, summary_of_page
from kyanite.parquet.pages import DICTIONARY_PAGE, PageTable
from kyanite.parquet.schema import Leaf
from kyanite.parquet.size_statistics import (
    UNKNOWN_SIZES,
    Sizes,
    fold_sizes,
    indexed_sizes,
    put_histograms,
    put_texts,
    size_statistics_of,
    wants_texts,
    with_plain_levels,
)
from kyanite.parquet.statistics import (
    UNKNOWN,
    Summary,
    column_index_of,
    fold,
    indexed_summaries,
    is_within,
    of_one_value,
    statistics_of,
)
from kyanite.parquet.thrift import I32, I64, LIST, STRUCT, Struct, decode, encode, number_of, numbers_of, struct_of
from kyanite.parquet.write import BLOOM_FILTER, COLUMN_INDEX, OFFSET_INDEX, FileWriter

# ColumnMetaData members that tell of the whole row group: index page, statistics, page encodings, bloom filter, sizes.
# A whole group's minimum would be a wrong one for a slice: engines answer MIN and MAX from it.
OF_THE_WHOLE = (10, 12, 13, 14, 15, 16, 17)
LEVELS = (3, 4)  # encodings of levels: RLE, BIT_PACKED


class SliceSizes(NamedTuple):
    """Bytes of a written slice: copied as they are, and in pages made anew."""

    copied: int
    rewritten: int


def add_slice(
    writer: FileWriter,
    file: BinaryIO,
    footer: Footer,
    group: RowGroup,
    tables: Sequence[PageTable],
    rows: tuple[int, int],
    filters: bool = False,
) -> SliceSizes:
    """Append rows `rows[0]` .. `rows[1]` of the row group as one of their own.

    Statistics and page indexes are folded from the pages'; bloom filters are those of the whole, a superset, when
    `filters` says that they are small enough to repeat.
    """
    start = writer.position
    columns = []
    rewritten = 0
    with naming(footer.name):
        for chunk, leaf, table in zip(group.chunks, footer.leaves, tables, strict=True):
            slice_writer = _ChunkSlice(writer, file, footer, chunk, leaf)
            columns.append(slice_writer.write(table, *rows, filters))
            rewritten += slice_writer.rewritten
    struct = dict(group.struct)
    metas = [column[3][1] for column in columns]
    struct[2] = (I64, sum(number_of(meta, 6) for meta in metas))
    if 6 in struct:
        struct[6] = (I64, sum(number_of(meta, 7) for meta in metas))
    writer.add_columns(struct, columns, rows[1] - rows[0], start)
    return SliceSizes(writer.position - start - rewritten, rewritten)


class _Known(NamedTuple):
    """A page of the source and what is told of it."""

    page: Page
    summary: Summary
    sizes: Sizes


class _NewPage(NamedTuple):
    """A page of the slice, where it lies now; of one that was cut bounds and bytes of texts are not known at first.

    Where no index tells of single pages, many that were copied together are as one.
    """

    start: int
    size: int
    rows: int
    summary: Summary
    sizes: Sizes
    cut: _Cut | None = None


class _Cut(NamedTuple):
    """What more is found by of a page that was cut: its values, and what was told of the whole page."""

    made: CutPage
    told: _Known


class _ChunkSlice:
    """Writes the slice of one column chunk and gathers what its metadata has to say."""

    def __init__(self, writer: FileWriter, file: BinaryIO, footer: Footer, chunk: Chunk, leaf: Leaf) -> None:
        self._writer = writer
        self._file = file
        self._footer = footer
        self._chunk = chunk
        self._leaf = leaf
        self._values = 0
        self._uncompressed = 0
        self._encodings: Counter[tuple[int, int]] = Counter()
        self._pages: list[_NewPage] = []
        self._dictionary: tuple[bytes, int] | None = None
        self._old_statistics = struct_of(chunk.meta, 12) if 12 in chunk.meta else {}
        self._old_sizes = struct_of(chunk.meta, 16) if 16 in chunk.meta else {}
        self._has_index = COLUMN_INDEX in chunk.struct and OFFSET_INDEX in chunk.struct
        self._column_index = self._read_index(COLUMN_INDEX) if self._has_index else {}
        self._offset_index = self._read_index(OFFSET_INDEX) if OFFSET_INDEX in chunk.struct else {}
        self._is_indexed = COLUMN_INDEX in chunk.struct or OFFSET_INDEX in chunk.struct
        self._tells = bool(self._old_statistics or self._old_sizes or self._has_index)
        self.rewritten = 0

    def _read_index(self, kind: int) -> Struct:
        """A page index of the chunk; empty when it has none."""
        place, size = number_of(self._chunk.struct, kind), number_of(self._chunk.struct, kind + 1, 0)
        return decode(read_exactly(self._file, place, size, self._footer.name))[0] if size > 0 else {}

    def write(self, table: PageTable, first: int, last: int, filters: bool) -> Struct:
        """Rows `first` .. `last` of the chunk; its new ColumnChunk."""
        start = self._writer.position
        low = bisect_right(table.first_rows, first) - 1
        high = bisect_left(table.first_rows, last)
        dictionary = table.dictionary
        referenced = any(page.encoding in DICTIONARY for page in table.pages[low:high])
        if dictionary and referenced:
            encoding = number_of(struct_of(decode(dictionary.header)[0], 7), 2)
            self._count(DICTIONARY_PAGE, encoding, 0, dictionary.header_size + dictionary.uncompressed)
            self._writer.copy(self._file, dictionary.start, dictionary.total, self._footer.name)
        data = self._writer.position
        self._write_pages(table, low, high, first, last)
        return self._column(start if dictionary and referenced else None, data, start, filters)

    def _known(self, table: PageTable, low: int, high: int) -> list[_Known]:
        """What is known of pages `low` .. `high`: from their headers, else from the page indexes."""
        pages = table.pages[low:high]
        if not self._tells:
            return [_Known(page, UNKNOWN, UNKNOWN_SIZES) for page in pages]
        summaries = [summary_of_page(page, self._leaf) for page in pages]
        if not self._is_indexed:
            return [_Known(page, summary, UNKNOWN_SIZES) for page, summary in zip(pages, summaries, strict=True)]
        if not all(one.empty or one.low is not None for one in summaries):
            found = indexed_summaries(self._column_index, self._leaf, [page.values for page in table.pages])
            if found is not None:
                summaries = [
                    one if one.empty or one.low is not None else indexed
                    for one, indexed in zip(summaries, found[low:high], strict=True)
                ]
        sizes = indexed_sizes(self._column_index, self._offset_index, self._leaf, len(table.pages))[low:high]
        if any(page.encoding == DELTA_BYTE_ARRAY for page in pages):
            sizes = [size._replace(texts=None) for size in sizes]  # pyarrow (26) counts too few bytes in such pages
        return list(map(_Known, pages, summaries, sizes))

    def _write_pages(self, table: PageTable, low: int, high: int, first: int, last: int) -> None:
        """Pages `low` .. `high`: of the first and the last only the rows from `first` and up to `last`."""
        rows = table.first_rows
        whole = low + (rows[low] < first), high - (rows[high] > last)
        if whole[0] > low:
            self._cut(self._known(table, low, low + 1)[0], first - rows[low], min(last, rows[low + 1]) - rows[low])
        self._copy(table, *whole)
        if whole[1] < high and high - 1 >= whole[0]:
            self._cut(self._known(table, high - 1, high)[0], 0, last - rows[high - 1])
        self._bound(table.dictionary)
        self._measure(table.dictionary)

    def _copy(self, table: PageTable, low: int, high: int) -> None:
        """Whole pages, as many at once as follow one another in the file."""
        while low < high:
            pages = table.pages[low:high]
            begin, end = pages[0].start, pages[-1].start + pages[-1].total
            if sum(page.total for page in pages) != end - begin:  # there is something between them
                ends = (page.start + page.total for page in pages)
                pages = pages[: next(n for n, stop in enumerate(ends, 1) if stop != pages[n].start)]
            self._copy_run(pages, self._known(table, low, low + len(pages)) if self._is_indexed else None)
            low += len(pages)

    def _copy_run(self, pages: Sequence[Page], known: Sequence[_Known] | None) -> None:
        """Pages that follow one another; what is `known` of each is kept where there is an index of the pages."""
        start, size = pages[0].start, pages[-1].start + pages[-1].total - pages[0].start
        place = self._writer.position
        self._writer.copy(self._file, start, size, self._footer.name)
        _, headers, _, uncompressed, kinds, encodings, values, rows, _ = zip(*pages, strict=True)
        self._encodings.update(zip(kinds, encodings, strict=True))
        self._values += sum(values)
        self._uncompressed += sum(map(len, headers)) + sum(uncompressed)
        if known is None:
            summary = folded_summary(pages, self._leaf) if self._tells else UNKNOWN
            self._pages.append(_NewPage(place, size, sum(rows), summary, UNKNOWN_SIZES))
            return
        for page, summary, sizes in known:
            self._pages.append(_NewPage(page.start - start + place, page.total, page.rows, summary, sizes))

    def _cut(self, told: _Known, first: int, last: int) -> None:
        page = told.page
        made = cut_page(decode(page.header)[0], self._body(page), self._leaf, self._chunk.codec, first, last)
        # nulls are known only where the writer counts them as we do
        is_counted = told.summary.nulls in (None, made.old_nulls)
        summary = Summary(nulls=made.values - made.defined if is_counted else None, empty=made.defined == 0)
        sizes = Sizes(None, made.repetitions, made.definitions if is_counted or self._column_index else None)
        cut = _Cut(made, told)
        self._pages.append(_NewPage(self._writer.position, len(made.data), last - first, summary, sizes, cut))
        self._writer.put(made.data)
        self.rewritten += len(made.data)
        self._count(page.kind, page.encoding, made.values, made.uncompressed)

    def _bound(self, dictionary: Page | None) -> None:
        """Give the pages that were cut their bounds, where the bounds of others do not say enough."""
        if not self._leaf.order or not (self._old_statistics or self._has_index):
            return
        others = fold([page.summary for page in self._pages if page.cut is None], self._leaf)
        if not others.empty and others.low is None:
            return
        for number, page in enumerate(self._pages):
            if page.cut is not None and not page.summary.empty:
                found = self._bounds_of(page.cut, others, dictionary)
                if found is not None:
                    self._pages[number] = page._replace(summary=found._replace(nulls=page.summary.nulls))

    def _bounds_of(self, cut: _Cut, others: Summary, dictionary: Page | None) -> Summary | None:
        """Bounds for a page that was cut: exact ones, or any that leave the slice's right; None when there are none.

        A page index tells the bounds of every page, statistics those of all together.
        """
        from kyanite.parquet.page_values import bounds_of

        told = cut.told.summary
        if of_one_value(told, self._leaf):
            return told
        if not self._has_index and is_within(told, others, self._leaf):
            return others
        found = bounds_of(*self._values_of(cut, dictionary))
        return None if found is None else Summary(*found, None, False, True, True)

    def _measure(self, dictionary: Page | None) -> None:
        """Give the pages that were cut their bytes of texts, where all others have them."""
        from kyanite.parquet.page_values import text_bytes

        if self._leaf.type != BYTE_ARRAY or not wants_texts(self._old_sizes, self._offset_index):
            return
        whole = [page.sizes for page in self._pages if page.cut is None]
        if whole and fold_sizes(whole).texts is None:
            return
        for number, page in enumerate(self._pages):
            if page.cut is not None:
                texts = text_bytes(*self._values_of(page.cut, dictionary))
                self._pages[number] = page._replace(sizes=page.sizes._replace(texts=texts))

    def _values_of(
        self, cut: _Cut, dictionary: Page | None
    ) -> tuple[bytes, int, int, Leaf, tuple[bytes, int] | None, str]:
        """The values of a page that was cut, as `page_values` takes them."""
        encoding = cut.told.page.encoding
        entries = self._entries(dictionary) if dictionary and encoding in DICTIONARY else None
        return cut.made.encoded, encoding, cut.made.defined, self._leaf, entries, self._footer.name

    def _entries(self, dictionary: Page) -> tuple[bytes, int]:
        """The dictionary page's values, encoded plainly, and their number; read once per slice."""
        if self._dictionary is None:
            entries = number_of(struct_of(decode(dictionary.header)[0], 7), 1)
            values = decompress(self._body(dictionary), dictionary.uncompressed, self._chunk.codec)
            self._dictionary = values, entries
        return self._dictionary

    def _body(self, page: Page) -> bytes:
        return read_exactly(self._file, page.start + page.header_size, page.size, self._footer.name)

    def _count(self, kind: int, encoding: int, values: int, uncompressed: int) -> None:
        self._encodings[kind, encoding] += 1
        self._values += values if kind != DICTIONARY_PAGE else 0
        self._uncompressed += uncompressed

    def _column(self, dictionary: int | None, data: int, start: int, filters: bool) -> Struct:
        meta = {number: value for number, value in self._chunk.meta.items() if number not in OF_THE_WHOLE}
        meta[2] = (LIST, (I32, self._encodings_listed()))
        meta[5] = (I64, self._values)
        meta[6] = (I64, self._uncompressed)
        meta[7] = (I64, self._writer.position - start)
        meta[9] = (I64, data)
        meta.pop(11, None)
        if dictionary is not None:
            meta[11] = (I64, dictionary)
        whole = fold([page.summary for page in self._pages], self._leaf)
        statistics = statistics_of(whole, self._leaf, self._old_statistics)
        if statistics:
            meta[12] = (STRUCT, statistics)
        sizes = self._size_statistics(whole.nulls) if self._old_sizes else {}
        if sizes:
            meta[16] = (STRUCT, sizes)
        stats = [{1: (I32, kind), 2: (I32, code), 3: (I32, n)} for (kind, code), n in self._encodings.items()]
        meta[13] = (LIST, (STRUCT, stats))
        column: Struct = {2: (I64, 0), 3: (STRUCT, meta)}
        if filters and BLOOM_FILTER in self._chunk.meta:
            meta[14] = self._chunk.meta[14]
            meta[15] = self._chunk.meta.get(15, (I32, 0))
            self._writer.take_bloom_filter(self._file, self._footer, meta)
        self._index(column)
        return column

    def _size_statistics(self, nulls: int | None) -> Struct:
        sizes = fold_sizes([page.sizes for page in self._pages])
        return size_statistics_of(with_plain_levels(sizes, self._leaf, self._values, nulls), self._old_sizes)

    def _encodings_listed(self) -> list[int]:
        """The chunk's encodings without those that no page of the slice has; levels keep theirs."""
        used = {encoding for _, encoding in self._encodings}
        kept = [number for number in numbers_of(self._chunk.meta, 2) if number in used or number in LEVELS]
        return kept + sorted(used - set(kept))

    def _index(self, column: Struct) -> None:
        """Page indexes as the source has them, of the new pages."""
        if self._has_index:
            index = column_index_of([page.summary for page in self._pages], self._leaf)
            if index is not None:
                put_histograms(index, [page.sizes for page in self._pages], self._column_index)
                self._writer.keep_index(COLUMN_INDEX, column, encode(index))
        if OFFSET_INDEX in self._chunk.struct:
            locations, row = [], 0
            for page in self._pages:
                locations.append({1: (I64, page.start), 2: (I32, page.size), 3: (I64, row)})
                row += page.rows
            offsets: Struct = {1: (LIST, (STRUCT, locations))}
            put_texts(offsets, [page.sizes for page in self._pages], self._offset_index)
            self._writer.keep_index(OFFSET_INDEX, column, encode(offsets))
