"""Parquet datasets: row groups copied as bytes, decoded only when schemas or the sink's codec ask for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

from kyanite.connections import Writer
from kyanite.errors import DataError, UnsupportedError
from kyanite.movement.formats.format import Cancelled, Format, Moved, Progress
from kyanite.parquet import Source, merge
from kyanite.parquet.footer import Footer, read_footer

# dataset's compressionCodec -> codec numbers of the parquet format that satisfy it
_CODECS = {
    "brotli": {4},
    "gzip": {2},
    "lz4": {5, 7},
    "none": {0},
    "snappy": {1},
    "uncompressed": {0},
    "zstd": {6},
}


def check(source: Mapping[str, Any], sink: Mapping[str, Any]) -> None:
    """UnsupportedError for a codec that cannot be written; the source's codec is found in its files."""
    _codec(sink)


def move(
    sources: Sequence[Source], out: Writer, sink: Mapping[str, Any], progress: Progress, cancelled: Cancelled
) -> Moved:
    """Append all rows of the sources in order; DataError naming the file for one that cannot be read."""
    footers = [read_footer(source) for source in sources]
    expected = sum(footer.rows for footer in footers)
    codec = _codec(sink)
    if codec is None or all(_has_codec(footer, codec) for footer in footers):
        result = merge(sources, out, progress=progress, cancelled=cancelled)
        return Moved(result.bytes_read, expected, result.rows)
    from kyanite.movement.formats.parquet_codec import write_with_codec

    rows = write_with_codec(sources, footers, out, codec, progress, cancelled)
    return Moved(sum(source.size for source in sources), expected, rows)


def verify(file: BinaryIO, size: int, moved: Moved, name: str) -> None:
    """DataError unless the rows in the written footer, the rows read and the rows written are one number."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        stored = pq.read_metadata(file).num_rows
    except pa.ArrowException as problem:
        raise DataError(f"The written file cannot be read back: {problem}", where=name) from problem
    if not stored == moved.rows_read == moved.rows_written:
        raise DataError(
            f"{moved.rows_read} rows were read, {moved.rows_written} written, {stored} stand in the sink.",
            where=name,
            code="UserErrorDataInconsistency",
        )


def _codec(sink: Mapping[str, Any]) -> str | None:
    codec = sink.get("compressionCodec")
    if codec is None or codec == "":
        return None
    if not isinstance(codec, str) or codec.lower() not in _CODECS:
        raise UnsupportedError(
            f"`compressionCodec` of the sink dataset is `{codec}`.", cure=f"Supported are {', '.join(_CODECS)}."
        )
    return codec.lower()


def _has_codec(footer: Footer, codec: str) -> bool:
    """Whether the file's pages are stored so; writers leave single columns uncompressed where it does not pay."""
    accepted = _CODECS[codec]
    used = {chunk.codec for group in footer.row_groups for chunk in group.chunks}
    return used <= accepted or (used <= accepted | {0} and bool(used & accepted))


PARQUET = Format("Parquet", extension="parquet", has_rows=True, check=check, move=move, verify=verify)
