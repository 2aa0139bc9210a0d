"""Parquet files into equal parts: planned from footers and pages, copied as bytes, verified, committed together."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import IO, BinaryIO, cast

from kyanite import limits
from kyanite.errors import DataError, InvariantError, LimitError, ParameterError
from kyanite.parquet.footer import Footer, read_footer
from kyanite.parquet.layout import Layout
from kyanite.parquet.merge import can_copy, merge
from kyanite.parquet.model import (
    Cancelled,
    Part,
    Progress,
    Source,
    SplitResult,
    Writer,
    check_cancelled,
    never,
    no_progress,
)
from kyanite.parquet.plan import Part as PlannedPart
from kyanite.parquet.plan import Planner
from kyanite.parquet.row_group_cut import add_slice
from kyanite.parquet.verify import check_part
from kyanite.parquet.write import FileWriter, RangeCopier, Written

SLACK = 0.0015  # of the target, for what is estimated: rewritten pages and the footer
REDO_SHARE = 0.98
ESTIMATE_ERROR = 1.1  # a part larger than that is a local surprise, not an estimate to correct for all parts


@dataclass(frozen=True)
class Target:
    """How to split: exactly one of parts of at most `max_bytes`, `parts` parts, or parts of `rows` rows."""

    max_bytes: int | None
    parts: int | None
    rows: int | None

    def __post_init__(self) -> None:
        given = [value for value in (self.max_bytes, self.parts, self.rows) if value is not None]
        if len(given) != 1:
            raise ParameterError("Give exactly one of max_bytes, parts and rows.")
        if given[0] < 1:
            raise ParameterError(f"The size of the parts must be positive, not {given[0]}.")


def part_name(index: int) -> str:
    """The default name of part `index`: `part-00000.parquet`."""
    return f"part-{index:05d}.parquet"


def split(
    sources: Sequence[Source],
    open_part: Callable[[str], Writer],
    *,
    max_bytes: int | None = None,
    parts: int | None = None,
    rows: int | None = None,
    name: Callable[[int], str] = part_name,
    staged: bool = False,
    progress: Progress = no_progress,
    cancelled: Cancelled = never,
) -> SplitResult:
    """The sources' rows, in order, as parts of nearly equal size; every part is a whole parquet file.

    Nothing is committed before all parts are written and verified (rows, sizes, footers); an error aborts all. Sources
    with different schemas are first merged by column name. No rows give one empty part; one row larger than `max_bytes`
    is a part alone, marked `oversize`. `staged` says that committing a part shows it to nobody yet (the caller shows
    all or none): then a part is committed as soon as it is verified, and only one is open at a time.
    """
    target = Target(max_bytes, parts, rows)
    if not sources:
        raise DataError("There is no file to split.")
    with ExitStack() as stack:
        inputs, footers = _inputs(sources, stack, cancelled)
        layout = stack.enter_context(Layout(inputs, footers, _dictionary_limit(target, footers)))
        done = _PartSet(layout, footers[0], open_part, name, staged, progress, cancelled)
        try:
            done.write(target)
            return done.commit(sum(source.size for source in sources))
        except BaseException:
            done.abort()
            raise


def _inputs(
    sources: Sequence[Source], stack: ExitStack, cancelled: Cancelled
) -> tuple[Sequence[Source], tuple[Footer, ...]]:
    """The sources and their footers; one merged temporary file instead when their schemas differ."""
    footers = tuple(read_footer(source) for source in sources)
    if can_copy(footers):
        return sources, footers
    file = stack.enter_context(tempfile.NamedTemporaryFile(suffix=".parquet"))  # noqa: SIM115
    result = merge(sources, cast(BinaryIO, file), cancelled=cancelled)
    file.flush()
    merged = Source("merged sources", _reopener(file), result.bytes_written)
    return [merged], (read_footer(merged),)


def _reopener(file: IO[bytes]) -> Callable[[], BinaryIO]:
    return lambda: open(file.name, "rb")  # noqa: PTH123 - a BinaryIO, closed by who opens


def _dictionary_limit(target: Target, footers: Sequence[Footer]) -> float:
    """Bytes of dictionaries that each slice of a row group may repeat: 5 % of a part."""
    if target.rows is not None:
        return float("inf")
    size = sum(footer.size for footer in footers) / target.parts if target.parts else target.max_bytes
    return 0.05 * cast(float, size)


class _PartSet:
    """The parts being written: none is committed before all are."""

    def __init__(
        self,
        layout: Layout,
        template: Footer,
        open_part: Callable[[str], Writer],
        name: Callable[[int], str],
        staged: bool,
        progress: Progress,
        cancelled: Cancelled,
    ) -> None:
        self._layout = layout
        self._template = template
        self._open_part = open_part
        self._name = name
        self._staged = staged
        self._progress = progress
        self._cancelled = cancelled
        self._copier = RangeCopier(self._step)
        self._writers: list[Writer] = []
        self._parts: list[Part] = []
        self._bytes = 0
        self._rows = 0
        self._slack = SLACK
        self._most_rows: int | None = None  # of the next part, which has been measured to be too large

    def _step(self, count: int) -> None:
        self._bytes += count
        check_cancelled(self._cancelled)
        self._progress(self._rows, self._bytes, len(self._parts))

    def write(self, target: Target) -> None:
        """Plan and write all parts; a part measured larger than the target is written again with fewer rows."""
        done = False
        while not done:
            planned = self._layout.plan(partial(self._plan, target))
            if len(self._parts) + len(planned) > limits.PARQUET_PARTS:
                raise LimitError(f"The split would give more than {limits.PARQUET_PARTS} parts.")
            if not planned and not self._parts:
                planned = ((),)
            done = self._write_parts(planned, target.max_bytes or float("inf"))

    def _plan(self, target: Target, planner: Planner) -> tuple[PlannedPart, ...]:
        if target.rows is not None:
            return planner.by_rows(target.rows, self._rows)
        if target.parts is not None:
            return planner.by_parts(target.parts)
        return planner.by_bytes(cast(int, target.max_bytes) * (1 - self._slack), self._rows, self._most_rows)

    def _write_parts(self, planned: Sequence[PlannedPart], max_bytes: float) -> bool:
        """Whether all are written; not when one was too large: plan the rest again."""
        for part in planned:
            rows = sum(piece.last - piece.first for piece in part)
            name = self._name(len(self._parts))
            writer = self._open_part(name)
            self._writers.append(writer)
            written = self._write_part(writer, part)
            over = written.size > max_bytes
            if over and rows > 1:
                self._writers.pop().abort()
                self._correct(rows, written.size / max_bytes)
                return False
            self._most_rows = None
            check_part(writer, written, self._template, rows, name)
            if self._staged:
                self._writers.pop().commit()
            self._parts.append(Part(name, rows, written.size, self._rows, oversize=over))
            self._rows += rows
            self._progress(self._rows, self._bytes, len(self._parts))
        return True

    def _correct(self, rows: int, excess: float) -> None:
        """A part of `rows` rows came out `excess` times the target: plan the rest smaller, the part itself surely."""
        if self._most_rows is None and excess < ESTIMATE_ERROR:
            self._slack = min(0.5, max(self._slack * 1.5, self._slack + (excess - 1) * 1.2))
            self._most_rows = rows - 1
        else:
            self._most_rows = max(1, min(rows - 1, int(rows / excess * REDO_SHARE)))

    def _write_part(self, writer: Writer, part: PlannedPart) -> Written:
        with FileWriter(writer, self._template, self._copier) as out:
            for piece in part:
                place = self._layout.place(piece.group)
                if piece.first == 0 and piece.last == place.group.rows:
                    out.add_row_group(self._layout.file(place), place.footer, place.group)
                else:
                    tables = self._layout.tables(piece.group)
                    file = self._layout.file(place)
                    add_slice(out, file, place.footer, place.group, tables, (piece.first, piece.last))
            return out.finish()

    def commit(self, bytes_in: int) -> SplitResult:
        """Check the sum of all rows, then commit part by part."""
        rows_in, rows_out = self._layout.rows, sum(part.rows for part in self._parts)
        if rows_in != rows_out:
            raise InvariantError(f"{rows_out} rows were written of {rows_in}; nothing is committed.")
        check_cancelled(self._cancelled)
        while self._writers:
            self._writers[0].commit()
            self._writers.pop(0)
        bytes_out = sum(part.bytes for part in self._parts)
        return SplitResult(tuple(self._parts), rows_in, rows_out, bytes_in, bytes_out)

    def abort(self) -> None:
        """Throw away every part that is not committed."""
        with ExitStack() as stack:
            for writer in self._writers:
                stack.callback(writer.abort)
            self._writers = []
