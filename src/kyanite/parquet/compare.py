"""Parts compared with what they were made of: footers, and on demand every value in row order, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import accumulate
from typing import TYPE_CHECKING, Literal, NamedTuple

from kyanite.errors import DataError, InvariantError, ParameterError
from kyanite.parquet.footer import Footer, read_footer
from kyanite.parquet.model import Cancelled, Progress, Source, check_cancelled, never, no_progress
from kyanite.parquet.reencode import INT96, READ_BYTES, batch_rows, decoding, mapped

if TYPE_CHECKING:
    import pyarrow as pa

Mode = Literal["fast", "deep", "none"]


class Verified(NamedTuple):
    """What has been compared: `values` are those of all columns, 0 unless deep."""

    mode: Mode
    parts: int
    rows: int
    values: int


def verify(
    parts: Sequence[Source],
    sources: Sequence[Source],
    mode: Mode = "fast",
    *,
    progress: Progress = no_progress,
    cancelled: Cancelled = never,
) -> Verified:
    """Compare a split's parts, in order, with its sources; `InvariantError` names the part, row and column that differ.

    "fast": footers, by this package and by pyarrow: rows, schema, created_by, metadata, chunks inside the file. "deep":
    also every value in row order, decoded by pyarrow in batches; floats by their bits (a NaN equals itself), int96 to
    the nanosecond; page checksums where pages have them. "none": nothing.
    """
    if mode not in ("fast", "deep", "none"):
        raise ParameterError(f"There is no verification {mode!r}: it is fast, deep or none.")
    if mode == "none":
        return Verified(mode, 0, 0, 0)
    footers = [read_footer(source) for source in sources]
    found = [_checked(part, footers) for part in parts]
    rows = sum(footer.rows for footer in footers)
    if sum(footer.rows for footer in found) != rows:
        raise InvariantError(f"The parts hold {sum(footer.rows for footer in found)} rows instead of {rows}.")
    values = 0
    if mode == "deep" and rows:
        units: list[str | None] = [None]
        if any(leaf.type == INT96 for leaf in footers[0].leaves):
            units.append("us")  # nanoseconds in 64 bits wrap around outside 1677..2262, microseconds do not
        for unit in units:
            values = _compare(parts, found, sources, footers, unit, progress, cancelled)
    return Verified(mode, len(parts), rows, values)


def _checked(part: Source, sources: Sequence[Footer]) -> Footer:
    """The part's footer, right under the first source's schema and metadata."""
    import pyarrow.parquet as pq

    footer = read_footer(part)
    first = sources[0]
    if footer.schema_key != first.schema_key and all(source.schema_key == first.schema_key for source in sources):
        raise InvariantError("The schema differs from the source's.", where=part.name)
    raw = footer.struct.get(6) == first.struct.get(6)
    if raw and footer.struct.get(5) != first.struct.get(5):
        raise InvariantError("The key/value metadata differ from the source's.", where=part.name)
    with decoding(part.name), closing(part.open()) as file:
        metadata = pq.read_metadata(file)
    if (metadata.num_rows, metadata.num_row_groups) != (footer.rows, len(footer.row_groups)):
        raise InvariantError(f"pyarrow finds {metadata.num_rows} rows instead of {footer.rows}.", where=part.name)
    return footer


def _compare(
    parts: Sequence[Source],
    found: Sequence[Footer],
    sources: Sequence[Source],
    footers: Sequence[Footer],
    unit: str | None,
    progress: Progress,
    cancelled: Cancelled,
) -> int:
    """Values compared."""
    ends = list(accumulate(footer.rows for footer in found))
    wanted = _batches(sources, footers, unit)
    want: pa.RecordBatch | None = None
    row = values = size = 0
    for number, (part, footer) in enumerate(zip(parts, found, strict=True)):
        for batch in _batches([part], [footer], unit):
            while batch.num_rows:
                check_cancelled(cancelled)
                if want is None or not want.num_rows:
                    want = next(wanted, None)
                    if want is None:
                        raise InvariantError("The sources have fewer rows than their footers claim.", where=part.name)
                count = min(batch.num_rows, want.num_rows)
                _compare_batch(batch.slice(0, count), want.slice(0, count), part.name, row)
                batch, want = batch.slice(count), want.slice(count)
                row += count
                values += count * batch.num_columns
        size += part.size
        if row != ends[number]:
            raise InvariantError(f"{row} rows were read instead of {ends[number]}.", where=part.name)
        progress(row, size, number + 1)
    return values


def _batches(sources: Sequence[Source], footers: Sequence[Footer], unit: str | None) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    for source, footer in zip(sources, footers, strict=True):
        with decoding(source.name), closing(source.open()) as file:
            reader = pq.ParquetFile(
                file,
                pre_buffer=False,
                buffer_size=READ_BYTES,
                coerce_int96_timestamp_unit=unit,
                page_checksum_verification=True,
            )
            for index, group in enumerate(footer.row_groups):
                if group.rows:
                    yield from reader.iter_batches(
                        batch_size=batch_rows(group, footer), row_groups=[index], use_threads=False
                    )


def _compare_batch(found: pa.RecordBatch, wanted: pa.RecordBatch, name: str, row: int) -> None:
    if wanted.schema.names != found.schema.names:
        wanted = mapped(wanted, found.schema, name)
    for column in range(found.num_columns):
        have, want, title = found.column(column), wanted.column(column), found.schema.names[column]
        if want.type != have.type:
            try:
                want = want.cast(have.type)
            except (ValueError, NotImplementedError) as error:  # pyarrow's errors are these
                raise DataError(f"Column {title} cannot be compared: {error}", where=name) from error
        if not same(have, want):
            first = next(n for n in range(len(have)) if not same(have.slice(n, 1), want.slice(n, 1)))
            raise InvariantError(f"Column {title} differs in row {row + first} of the input.", where=name)


def same(one: pa.Array, other: pa.Array) -> bool:
    """Whether both arrays, of one type, hold the same values: floats by their bits, nested ones through and through."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = one.type
    if isinstance(kind, pa.BaseExtensionType):
        return same(one.storage, other.storage)
    if pa.types.is_floating(kind):
        bits = {16: pa.uint16(), 32: pa.uint32(), 64: pa.uint64()}[kind.bit_width]
        return bool(one.view(bits).equals(other.view(bits)))
    if pa.types.is_dictionary(kind):
        return same(one.dictionary_decode(), other.dictionary_decode())
    if not pa.types.is_nested(kind):
        return bool(one.equals(other))
    if len(one) != len(other) or not one.is_valid().equals(other.is_valid()):
        return False
    if pa.types.is_struct(kind):
        return all(same(have, want) for have, want in zip(one.flatten(), other.flatten(), strict=True))
    if pa.types.is_map(kind):
        plain = pa.list_(pa.struct([pa.field("key", kind.key_type, nullable=False), pa.field("value", kind.item_type)]))
        return same(one.cast(plain), other.cast(plain))
    lengths = pc.list_value_length(one).equals(pc.list_value_length(other))
    return bool(lengths) and same(one.flatten(), other.flatten())
