"""A slice of a row group: whole pages are copied, only the pages under its two ends are made anew."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import BinaryIO

from kyanite.parquet.footer import Chunk, Footer, Leaf, RowGroup, naming, read_exactly
from kyanite.parquet.page_cut import DICTIONARY, cut_page
from kyanite.parquet.pages import DICTIONARY_PAGE, Page, PageTable
from kyanite.parquet.thrift import I32, I64, LIST, STRUCT, Struct, decode, number_of
from kyanite.parquet.write import FileWriter

# ColumnMetaData members that tell of the whole row group: index page, statistics, page encodings, bloom filter, sizes.
# A whole group's minimum would be a wrong one for a slice: engines answer MIN and MAX from it.
OF_THE_WHOLE = (10, 12, 13, 14, 15, 16, 17)


def add_slice(
    writer: FileWriter,
    file: BinaryIO,
    footer: Footer,
    group: RowGroup,
    tables: Sequence[PageTable],
    rows: tuple[int, int],
) -> None:
    """Append rows `rows[0]` .. `rows[1]` of the row group as one of their own, without statistics and indexes."""
    start = writer.position
    columns = []
    with naming(footer.name):
        for chunk, leaf, table in zip(group.chunks, footer.leaves, tables, strict=True):
            slice_writer = _ChunkSlice(writer, file, footer.name, chunk, leaf)
            columns.append(slice_writer.write(table, *rows))
    struct = dict(group.struct)
    metas = [column[3][1] for column in columns]
    struct[2] = (I64, sum(number_of(meta, 6) for meta in metas))
    if 6 in struct:
        struct[6] = (I64, sum(number_of(meta, 7) for meta in metas))
    writer.add_columns(struct, columns, rows[1] - rows[0], start)


class _ChunkSlice:
    """Writes the slice of one column chunk and counts what its metadata has to say."""

    def __init__(self, writer: FileWriter, file: BinaryIO, name: str, chunk: Chunk, leaf: Leaf) -> None:
        self._writer = writer
        self._file = file
        self._name = name
        self._chunk = chunk
        self._leaf = leaf
        self._values = 0
        self._uncompressed = 0
        self._encodings: dict[tuple[int, int], int] = {}

    def write(self, table: PageTable, first: int, last: int) -> Struct:
        """Rows `first` .. `last` of the chunk; its new ColumnChunk."""
        start = self._writer.position
        low = bisect_right(table.first_rows, first) - 1
        high = bisect_left(table.first_rows, last)
        pages = table.pages[low:high]
        dictionary = table.dictionary
        referenced = any(page.encoding in DICTIONARY for page in pages)
        if dictionary and referenced:
            header = self._header(dictionary)
            self._count(
                DICTIONARY_PAGE, number_of(header[7][1], 2), 0, dictionary.header_size + dictionary.uncompressed
            )
            self._writer.copy(self._file, dictionary.start, dictionary.total, self._name)
        data = self._writer.position
        self._write_pages(table, low, high, first, last)
        return self._column(start if dictionary and referenced else None, data, start)

    def _write_pages(self, table: PageTable, low: int, high: int, first: int, last: int) -> None:
        run: list[Page] = []
        for index in range(low, high):
            page = table.pages[index]
            begin, end = table.first_rows[index], table.first_rows[index + 1]
            if first <= begin and end <= last:
                if run and run[-1].start + run[-1].total != page.start:
                    self._copy_run(run)
                run.append(page)
            else:
                self._copy_run(run)
                self._cut(page, max(first, begin) - begin, min(last, end) - begin)
        self._copy_run(run)

    def _copy_run(self, run: list[Page]) -> None:
        if run:
            size = run[-1].start + run[-1].total - run[0].start
            self._writer.copy(self._file, run[0].start, size, self._name)
            for page in run:
                self._count(page.kind, page.encoding, page.values, page.header_size + page.uncompressed)
            run.clear()

    def _cut(self, page: Page, first: int, last: int) -> None:
        body = read_exactly(self._file, page.start + page.header_size, page.size, self._name)
        cut = cut_page(self._header(page), body, self._leaf, self._chunk.codec, first, last)
        self._writer.put(cut.data)
        self._count(page.kind, page.encoding, cut.values, cut.uncompressed)

    def _header(self, page: Page) -> Struct:
        return decode(read_exactly(self._file, page.start, page.header_size, self._name))[0]

    def _count(self, kind: int, encoding: int, values: int, uncompressed: int) -> None:
        self._encodings[kind, encoding] = self._encodings.get((kind, encoding), 0) + 1
        self._values += values
        self._uncompressed += uncompressed

    def _column(self, dictionary: int | None, data: int, start: int) -> Struct:
        meta = {number: value for number, value in self._chunk.meta.items() if number not in OF_THE_WHOLE}
        meta[5] = (I64, self._values)
        meta[6] = (I64, self._uncompressed)
        meta[7] = (I64, self._writer.position - start)
        meta[9] = (I64, data)
        meta.pop(11, None)
        if dictionary is not None:
            meta[11] = (I64, dictionary)
        stats = [{1: (I32, kind), 2: (I32, code), 3: (I32, n)} for (kind, code), n in self._encodings.items()]
        meta[13] = (LIST, (STRUCT, stats))
        return {2: (I64, 0), 3: (STRUCT, meta)}
