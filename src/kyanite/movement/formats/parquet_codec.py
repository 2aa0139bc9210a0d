"""Parquet files written with another codec than they are stored with: decoded and encoded in bounded batches."""

from __future__ import annotations

from collections.abc import Sequence

from kyanite.connections import Writer
from kyanite.errors import ActivityError, UnsupportedError
from kyanite.movement.formats.format import Cancelled, Progress
from kyanite.parquet import Source
from kyanite.parquet.footer import Footer
from kyanite.parquet.reencode import TableWriter, decoding, read_batches, writer_options


def write_with_codec(
    sources: Sequence[Source],
    footers: Sequence[Footer],
    out: Writer,
    codec: str,
    progress: Progress,
    cancelled: Cancelled,
) -> int:
    """All rows of the sources, in order, as one file of this codec; how many rows.

    UnsupportedError when the schemas differ as well: only one of the two is done in a copy.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    for footer in footers:
        if footer.schema_key != footers[0].schema_key:
            raise UnsupportedError(
                f"The schemas of `{footers[0].name}` and `{footer.name}` differ, and the codec must become `{codec}`.",
                cure="Leave compressionCodec out of the sink dataset, or copy the files apart first.",
            )
    with decoding(sources[0].name), sources[0].open() as file:
        schema = pq.ParquetFile(file).schema_arrow
    options = {**writer_options(footers[0]), "compression": "NONE" if codec == "uncompressed" else codec.upper()}
    rows = size = 0
    with pq.ParquetWriter(pa.PythonFile(out, mode="w"), schema, **options) as writer:
        table = TableWriter(writer)
        for number, (source, footer) in enumerate(zip(sources, footers, strict=True)):
            with source.open() as file:
                for index, group in enumerate(footer.row_groups):
                    for batch in read_batches(file, footer, index):
                        if cancelled():
                            raise ActivityError("The copy was cancelled; nothing was committed.", code="Cancelled")
                        table.write(batch.cast(schema))
                        rows += batch.num_rows
                        progress(rows, size, number)
                    size += group.size
            progress(rows, size, number + 1)
        table.flush()
    return rows
