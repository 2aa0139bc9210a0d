"""The fallback: rows decoded and encoded anew by pyarrow, in bounded batches."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from kyanite.errors import DataError, UnsupportedError
from kyanite.parquet.footer import Footer, RowGroup, footer_of, renamed, stored_path
from kyanite.parquet.model import Cancelled, MergeResult, Progress, Sink, Source, check_cancelled
from kyanite.parquet.row_groups import RowGroups
from kyanite.parquet.schema import column_name
from kyanite.parquet.thrift import number_of, structs_of
from kyanite.parquet.write import FileWriter, RangeCopier

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

BATCH_BYTES = 16 * 1024 * 1024
BATCH_ROWS = 65_536
ROW_GROUP_BYTES = 64 * 1024 * 1024
ROW_GROUP_ROWS = 1024 * 1024
GROUPS_PER_PART = 4  # about: each slice repeats the dictionaries of its row group, so these are to be small
REWRITTEN_BYTES = 16 * 1024 * 1024  # decoded, of a row group that is encoded anew to be cut
PIECE_CHUNKS = 4096  # column chunks that pyarrow's writer describes before it is closed: it keeps a kilobyte for each
PIECE_BYTES = 1024 * 1024
READ_BYTES = 256 * 1024  # at once, of each column: without it pyarrow reads whole column chunks
INT32, INT64, INT96 = 1, 2, 3
CODECS = {0: "NONE", 1: "SNAPPY", 2: "GZIP", 4: "BROTLI", 5: "LZ4", 6: "ZSTD", 7: "LZ4"}


@contextmanager
def decoding(name: str) -> Iterator[None]:
    """Errors of pyarrow about the data become `DataError`s naming the file; real input/output errors pass."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise DataError(f"The data cannot be read: {error}", where=name) from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise DataError(f"The data cannot be read: {error}", where=name) from error


class _CountedSink:
    """What pyarrow's writer needs of a file, over any sink."""

    closed = False

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.size = 0

    def write(self, data: Any) -> int:
        view = memoryview(data)
        self._sink.write(view)
        self.size += view.nbytes
        return view.nbytes

    def tell(self) -> int:
        return self.size

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """The sink's owner closes it."""

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False


def writer_options(footer: Footer) -> dict[str, Any]:
    """Options of pyarrow's writer that keep codecs, dictionaries and physical types of the file's first row group."""
    options: dict[str, Any] = {"store_decimal_as_integer": _has_integer_decimals(footer)}
    if any(leaf.type == INT96 for leaf in footer.leaves):
        options["use_deprecated_int96_timestamps"] = True
    if footer.row_groups:
        chunks = list(zip(footer.leaves, footer.row_groups[0].chunks, strict=True))
        options["compression"] = {".".join(leaf.path): CODECS.get(chunk.codec, "SNAPPY") for leaf, chunk in chunks}
        options["use_dictionary"] = [".".join(leaf.path) for leaf, chunk in chunks if number_of(chunk.meta, 11, 0)]
    return options


def _has_integer_decimals(footer: Footer) -> bool:
    decimal = 5  # ConvertedType DECIMAL
    return any(
        number_of(element, 6, -1) == decimal and number_of(element, 1, -1) in (INT32, INT64)
        for element in structs_of(footer.struct, 2)
    )


def batch_rows(group: RowGroup, footer: Footer) -> int:
    """Rows of one batch so that it stays bounded: the footer's sizes do not count repeated values, so widths do too."""
    if not group.rows:
        return BATCH_ROWS
    stored = sum(number_of(chunk.meta, 6, 0) for chunk in group.chunks) / group.rows
    width = stored + 8 * len(footer.leaves)
    return max(1, min(BATCH_ROWS, int(BATCH_BYTES / width)))


def read_batches(file: BinaryIO, footer: Footer, group: int) -> Iterator[pa.RecordBatch]:
    """The rows of a row group in bounded batches; `DataError` for int96 times outside what Arrow holds exactly."""
    rows = batch_rows(footer.row_groups[group], footer)
    batches = _batches(file, footer, group, rows, None)
    if all(leaf.type != INT96 for leaf in footer.leaves):
        yield from batches
        return
    for exact, wide in zip(batches, _batches(file, footer, group, rows, "us"), strict=True):
        # Nanoseconds in 64 bits wrap around silently outside 1677..2262; microseconds do not.
        if not exact.cast(wide.schema, safe=False).equals(wide):
            raise DataError("An int96 time lies outside 1677..2262 and cannot be encoded anew.", where=footer.name)
        yield exact


def _batches(file: BinaryIO, footer: Footer, group: int, rows: int, unit: str | None) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    with decoding(footer.name):
        reader = pq.ParquetFile(file, pre_buffer=False, buffer_size=READ_BYTES, coerce_int96_timestamp_unit=unit)
        yield from reader.iter_batches(batch_size=rows, row_groups=[group], use_threads=False)


class TableWriter:
    """Gathers batches into row groups of a bounded size."""

    def __init__(
        self,
        writer: pq.ParquetWriter | _PieceWriter,
        group_rows: int = ROW_GROUP_ROWS,
        group_bytes: int = ROW_GROUP_BYTES,
    ) -> None:
        self._writer = writer
        self._group_rows = group_rows
        self._group_bytes = group_bytes
        self._batches: list[pa.RecordBatch] = []
        self._rows = 0
        self._bytes = 0
        self.groups = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """Add the batch's rows."""
        while batch.num_rows:
            piece = batch.slice(0, self._group_rows - self._rows)
            batch = batch.slice(piece.num_rows)
            self._batches.append(piece)
            self._rows += piece.num_rows
            self._bytes += piece.nbytes
            if self._rows >= self._group_rows or self._bytes >= self._group_bytes:
                self.flush()

    def flush(self) -> None:
        """Write what has been gathered as one row group."""
        import pyarrow as pa

        if self._rows:
            self._writer.write_table(pa.Table.from_batches(self._batches), row_group_size=self._rows)
            self.groups += 1
        self._batches, self._rows, self._bytes = [], 0, 0


def merge_by_name(
    sources: Sequence[Source], footers: Sequence[Footer], out: Sink, progress: Progress, cancelled: Cancelled
) -> MergeResult:
    """All rows of the sources encoded anew under the first one's schema, columns mapped by name."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schemas = [_arrow_schema(source) for source in sources]
    target = schemas[0]
    for source, schema in zip(sources, schemas, strict=True):
        _check_columns(schema, target, source.name)
    sink = _CountedSink(out)
    rows = size = 0
    with pq.ParquetWriter(pa.PythonFile(sink, mode="w"), target, **writer_options(footers[0])) as writer:
        table = TableWriter(writer)
        for number, (source, footer) in enumerate(zip(sources, footers, strict=True)):
            with source.open() as file:
                for index in range(len(footer.row_groups)):
                    for batch in read_batches(file, footer, index):
                        check_cancelled(cancelled)
                        table.write(mapped(batch, target, source.name))
                        rows += batch.num_rows
                        progress(rows, size, number)
                    size += footer.row_groups[index].size
            progress(rows, size, number + 1)
        table.flush()
    expected = sum(footer.rows for footer in footers)
    if rows != expected:
        raise DataError(f"{rows} rows were read where the footers claim {expected}.", where=sources[0].name)
    return MergeResult(rows, table.groups, sum(source.size for source in sources), sink.size, raw=False)


def _arrow_schema(source: Source) -> pa.Schema:
    import pyarrow.parquet as pq

    with decoding(source.name), source.open() as file:
        return pq.ParquetFile(file).schema_arrow


def _check_columns(schema: pa.Schema, target: pa.Schema, name: str) -> None:
    for column in schema.names:
        if column not in target.names:
            raise DataError(
                f"Column {column} does not exist in the first file.",
                where=name,
                cure="Give the files one schema, or put the file with all columns first.",
            )
    for field in target:
        if field.name not in schema.names and not field.nullable:
            raise DataError(f"Column {field.name} is missing, and the first file allows no nulls in it.", where=name)
    for names in (schema.names, target.names):
        twice = sorted({column for column in names if names.count(column) > 1})
        if twice:
            raise DataError(f"Column {twice[0]} exists twice: columns cannot be mapped by name.", where=name)


def mapped(batch: pa.RecordBatch, target: pa.Schema, name: str) -> pa.RecordBatch:
    """The batch with the target's columns, by name: missing ones are null, others cast; `DataError` if impossible."""
    import pyarrow as pa

    columns = []
    for field in target:
        index = batch.schema.get_field_index(field.name)
        if index < 0:
            columns.append(pa.nulls(batch.num_rows, field.type))
            continue
        try:
            columns.append(batch.column(index).cast(field.type))
        except pa.ArrowException as error:
            raise DataError(f"Column {field.name} does not fit the first file's schema: {error}", where=name) from error
    return pa.RecordBatch.from_arrays(columns, schema=target)


class _PieceWriter:
    """Writes a parquet file as pieces of some row groups each, so that pyarrow never describes very many of them."""

    def __init__(self, out: BinaryIO, schema: pa.Schema, options: dict[str, Any], stack: ExitStack) -> None:
        self._out = out
        self._schema = schema
        self._options = options
        self._stack = stack
        self._file: FileWriter | None = None
        self._data = io.BytesIO()
        self._piece: pq.ParquetWriter | None = None
        self._chunks = 0

    def write_table(self, table: pa.Table, row_group_size: int) -> None:
        """Append the table as one row group."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        if self._piece is None:
            self._data = io.BytesIO()
            sink = pa.PythonFile(_CountedSink(self._data), mode="w")
            self._piece = pq.ParquetWriter(sink, self._schema, **self._options)
            self._chunks = 0
        self._piece.write_table(table, row_group_size=row_group_size)
        self._chunks += table.num_columns
        if self._chunks >= PIECE_CHUNKS or self._data.tell() >= PIECE_BYTES:
            self._append()

    def _append(self) -> None:
        """The piece's row groups become some of the file."""
        if self._piece is None:
            return
        self._piece.close()
        self._piece = None
        footer = footer_of(self._data, len(self._data.getbuffer()), "row groups encoded anew")
        if self._file is None:
            self._file = self._stack.enter_context(FileWriter(self._out, footer, RangeCopier(lambda size: None)))
        for index in range(len(footer.row_groups)):
            self._file.add_row_group(self._data, footer, index)

    def finish(self) -> None:
        """Append the last piece, and the footer."""
        self._append()
        if self._file is not None:
            self._file.finish()


def rewrite_row_group(file: BinaryIO, footer: Footer, index: int, out: BinaryIO, dictionary_limit: float) -> Footer:
    """Row group `index` as a file of its own, its pages cuttable, its dictionaries small against `dictionary_limit`.

    The columns are stored as in the source (`UnsupportedError` when pyarrow would store one otherwise), so that the new
    row groups can stand under the source's schema.
    """
    import pyarrow.parquet as pq

    group = footer.row_groups[index]
    options = writer_options(footer)
    group_rows = ROW_GROUP_ROWS
    if dictionary_limit != float("inf"):
        options["dictionary_pagesize_limit"] = max(64, int(dictionary_limit / len(footer.leaves)))
        options["write_batch_size"] = 256
        part = 20 * dictionary_limit
        group_rows = max(1, min(ROW_GROUP_ROWS, int(group.rows * part / GROUPS_PER_PART / max(1, group.size))))
    if any(leaf.max_repetition for leaf in footer.leaves):
        options["data_page_version"] = "2.0"
    with decoding(footer.name):
        schema = pq.ParquetFile(file).schema_arrow
    with ExitStack() as stack:
        writer = _PieceWriter(out, schema, options, stack)
        table = TableWriter(writer, group_rows, REWRITTEN_BYTES)
        for batch in read_batches(file, footer, index):
            table.write(batch)
        table.flush()
        writer.finish()
    out.flush()
    return rewritten_footer(Path(out.name), footer, index)


def rewritten_footer(path: Path, wanted: Footer, index: int) -> Footer:
    """The footer of row group `index` encoded anew, with the source's column paths.

    `UnsupportedError` when a column is stored otherwise than in the source.
    """
    rows = wanted.row_groups[index].rows
    with path.open("rb") as file:
        footer = footer_of(file, path.stat().st_size, wanted.name)
    if len(footer.leaves) != len(wanted.leaves):
        raise UnsupportedError("Encoding the rows anew would change the schema.", where=wanted.name)
    for new, old in zip(footer.leaves, wanted.leaves, strict=True):
        if (new.type, new.length, new.max_definition, new.max_repetition) != (
            old.type,
            old.length,
            old.max_definition,
            old.max_repetition,
        ):
            raise UnsupportedError(
                f"Column {column_name(old)} cannot be encoded anew in the way it is stored.", where=wanted.name
            )
    if footer.rows != rows:
        raise DataError(f"{footer.rows} rows were read where the footer claims {rows}.", where=wanted.name)
    paths = [stored_path(chunk) for chunk in wanted.row_groups[index].chunks]
    groups = footer.row_groups
    if paths == [stored_path(chunk) for chunk in groups[0].chunks]:
        return footer
    return footer._replace(row_groups=cast(RowGroups, groups).changed(lambda group: _with_paths(group, paths)))


def _with_paths(group: RowGroup, paths: Sequence[tuple[str, ...]]) -> RowGroup:
    chunks = (
        chunk._replace(struct=renamed(chunk.struct, path)) for chunk, path in zip(group.chunks, paths, strict=True)
    )
    return group._replace(chunks=tuple(chunks))
