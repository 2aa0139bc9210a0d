"""Several parquet files into one: row groups are copied as bytes when the schemas are equal."""

from __future__ import annotations

from collections.abc import Sequence

from kyanite.errors import DataError
from kyanite.parquet.checks import check_written
from kyanite.parquet.footer import Footer, read_footer
from kyanite.parquet.model import Cancelled, MergeResult, Progress, Sink, Source, check_cancelled, never, no_progress
from kyanite.parquet.write import FileWriter, RangeCopier


def merge(
    sources: Sequence[Source], out: Sink, *, progress: Progress = no_progress, cancelled: Cancelled = never
) -> MergeResult:
    """All rows of the sources, in the order given, as one parquet file appended to the empty `out`.

    Equal schemas: row groups are copied, not decoded. Otherwise columns are mapped by name to the first file's schema
    (missing ones become null, `DataError` for one that the first file lacks) and encoded anew. `progress(rows, bytes,
    files)` and `cancelled()` are called between buffers. The caller commits `out`; nothing in it counts after an error.
    """
    if not sources:
        raise DataError("There is no file to merge.")
    footers = [read_footer(source) for source in sources]
    if can_copy(footers):
        return _copy(sources, footers, out, progress, cancelled)
    from kyanite.parquet.reencode import merge_by_name

    return merge_by_name(sources, footers, out, progress, cancelled)


def can_copy(footers: Sequence[Footer]) -> bool:
    """Whether the row groups of all these files can stand in one file as they are."""
    key = footers[0].schema_key
    return all(footer.schema_key == key and not footer.undersized_chunks for footer in footers)


def _copy(
    sources: Sequence[Source], footers: Sequence[Footer], out: Sink, progress: Progress, cancelled: Cancelled
) -> MergeResult:
    rows = size = files = 0

    def step(count: int) -> None:
        nonlocal size
        size += count
        check_cancelled(cancelled)
        progress(rows, size, files)

    with FileWriter(out, footers[0], RangeCopier(step)) as writer:
        for source, footer in zip(sources, footers, strict=True):
            check_cancelled(cancelled)
            with source.open() as file:
                for index, (count, _) in enumerate(footer.group_sizes()):
                    if count:
                        writer.add_row_group(file, footer, index)
                        rows += count
            files += 1
            progress(rows, size, files)
        written = writer.finish()
    check_written(written, footers[0], sum(footer.rows for footer in footers), "merged file")
    return MergeResult(rows, written.row_groups, sum(source.size for source in sources), written.size, raw=True)
