"""One planned part written as a whole parquet file: alone, in any process that can open the sources."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple, cast

from kyanite.errors import DataError
from kyanite.parquet.checks import check_part, check_written
from kyanite.parquet.footer import MAGIC, Footer, read_footer
from kyanite.parquet.inputs import Inputs, Place
from kyanite.parquet.merge import can_copy, merge
from kyanite.parquet.model import (
    Cancelled,
    FileOpener,
    Part,
    Progress,
    Sink,
    Source,
    Work,
    Writer,
    check_cancelled,
    never,
    no_progress,
)
from kyanite.parquet.row_group_cut import add_slice
from kyanite.parquet.split_plan import CUT, ENCODED, RAW, PlannedPart, PlannedPiece
from kyanite.parquet.write import FileWriter, RangeCopier, Written


class WrittenPart(NamedTuple):
    """A part as written: what the result says of it and what its footer is made of."""

    part: Part
    written: Written


@contextmanager
def merged_inputs(
    sources: Sequence[Source], cancelled: Cancelled
) -> Iterator[tuple[Sequence[Source], Sequence[Footer], bool]]:
    """The sources and their footers, or one merged temporary file when their row groups cannot stand in one file."""
    footers = tuple(read_footer(source) for source in sources)
    if can_copy(footers):
        yield sources, footers, False
        return
    import tempfile

    with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
        result = merge(sources, cast(BinaryIO, file), cancelled=cancelled)
        file.flush()
        merged = Source("merged sources", FileOpener(file.name), result.bytes_written)
        yield [merged], [read_footer(merged)], True


def write_part(
    sources: Sequence[Source],
    part: PlannedPart,
    out: Sink,
    *,
    progress: Progress = no_progress,
    cancelled: Cancelled = never,
) -> Part:
    """Append the planned part to the empty `out`; always the same bytes for the same sources and plan.

    `sources` are all those that were planned, in their order; only those that the part needs are opened. The caller
    compares `Part.bytes` with the target (a part of several rows above it has to be planned anew) and commits `out`.
    """
    if any(not 0 <= piece.source < len(sources) for piece in part.pieces) and not part.merged:
        raise DataError(f"{part.name} is planned from more files than are given.")
    if not part.merged:
        return _written(sources, part, out, progress, cancelled)
    with merged_inputs(sources, cancelled) as (files, *_):
        return _written(files, part, out, progress, cancelled)


def _written(sources: Sequence[Source], part: PlannedPart, out: Sink, progress: Progress, cancelled: Cancelled) -> Part:
    size = 0

    def step(count: int) -> None:
        nonlocal size
        size += count
        check_cancelled(cancelled)
        progress(0, size, 0)

    limit = float("inf") if part.dictionary_limit is None else part.dictionary_limit
    with Inputs(sources, dictionary_limit=limit) as inputs:
        made = put_part(inputs, part, out, step)
        check_written(made.written, inputs.footer(0), part.rows, part.name)
    progress(part.rows, size, 1)
    return made.part


class BegunPart(NamedTuple):
    """A part that begins with the first `row_groups` of the first source, which are there already."""

    writer: FileWriter
    row_groups: int

    def suits(self, planned: PlannedPart) -> bool:
        """Whether the planned part begins so."""
        first = planned.pieces[0] if planned.pieces else None
        if first is None or (first.source, first.row_group, first.how) != (0, 0, RAW):
            return False
        return first.count >= self.row_groups

    def drop(self) -> None:
        """Forget what it holds besides the bytes in its file, which the caller throws away."""
        with self.writer:
            return


def begin_part(inputs: Inputs, row_groups: int, out: Sink, step: Callable[[int], None]) -> BegunPart:
    """Copy the first row groups of the first source while it is still being planned what follows them."""
    writer = FileWriter(out, inputs.footer(0), RangeCopier(step))
    for index in range(row_groups):
        _put_whole(inputs, Place(0, index), writer)
    return BegunPart(writer, row_groups)


def put_part(
    inputs: Inputs, planned: PlannedPart, out: Sink, step: Callable[[int], None], begun: BegunPart | None = None
) -> WrittenPart:
    """Write the planned part from `inputs`, or what is missing of it when it has `begun`.

    `step(bytes)` is called after each copied bufferful.
    """
    works = {RAW: Work(), CUT: Work(), ENCODED: Work()}
    rewritten = 0
    begun = begun or BegunPart(FileWriter(out, inputs.footer(0), RangeCopier(step)), 0)
    done = begun.row_groups
    with begun.writer as writer:
        begin = len(MAGIC)
        for piece in planned.pieces:
            rewritten += _put_piece(inputs, piece, writer, done)
            works[piece.how] += Work(piece.count, writer.position - begin)
            begin, done = writer.position, 0
        written = writer.finish()
    over = planned.max_bytes is not None and written.size > planned.max_bytes
    part = Part(
        planned.name,
        planned.rows,
        written.size,
        planned.first_row,
        oversize=over and planned.rows <= 1,
        raw=works[RAW],
        cut=works[CUT],
        encoded=works[ENCODED],
        rewritten=rewritten,
    )
    return WrittenPart(part, written)


def complete_part(
    inputs: Inputs, planned: PlannedPart, writer: Writer, step: Callable[[int], None], *, commits: bool
) -> tuple[Part, bool]:
    """The part as written, and whether its writer is still open: not when it is above the target, or committed.

    After an error the writer is aborted.
    """
    try:
        made = put_part(inputs, planned, writer, step)
        if is_over(planned, made.part):
            writer.abort()
            return made.part, False
        check_part(writer, made.written, inputs.footer(0), planned.rows, planned.name)
    except BaseException:
        writer.abort()
        raise
    if not commits:
        return made.part, True
    writer.commit()
    return made.part._replace(checksum=getattr(writer, "checksum", None)), False


def is_over(planned: PlannedPart, made: Part) -> bool:
    """Whether the part has to be planned anew: it is above its target, and not by a single row."""
    return planned.rows > 1 and planned.max_bytes is not None and made.bytes > planned.max_bytes


def _put_whole(inputs: Inputs, place: Place, writer: FileWriter) -> None:
    writer.add_row_group(*inputs.row_group(place), inputs.keeps_filters(place))


def _put_piece(inputs: Inputs, piece: PlannedPiece, writer: FileWriter, done: int) -> int:
    """Bytes of pages that had to be made anew; `done` row groups of the piece are there."""
    if piece.how == RAW:
        for index in range(piece.row_group + done, piece.row_group + piece.count):
            _put_whole(inputs, Place(piece.source, index), writer)
        return 0
    place = Place(piece.source, piece.row_group, piece.fresh)
    file, footer, index = inputs.row_group(place)
    group = footer.row_groups[index]
    if (piece.first, piece.last) == (0, group.rows):
        writer.add_row_group(file, footer, index)
        return 0
    tables = inputs.tables(place)
    rows = (piece.first, piece.last)
    return add_slice(writer, file, footer, group, tables, rows, inputs.filters(group) > 0).rewritten
