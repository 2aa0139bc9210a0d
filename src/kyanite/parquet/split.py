"""Parquet files into equal parts: planned from footers and pages, copied as bytes, verified, committed together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import cast

from kyanite import limits
from kyanite.errors import DataError, InvariantError, LimitError, ParameterError
from kyanite.parquet.checks import check_part
from kyanite.parquet.columns import columns_of
from kyanite.parquet.inputs import Inputs
from kyanite.parquet.layout import Layout
from kyanite.parquet.model import (
    Cancelled,
    Copies,
    Part,
    Progress,
    Source,
    SplitResult,
    Writer,
    check_cancelled,
    never,
    no_progress,
)
from kyanite.parquet.part import BegunPart, begin_part, complete_part, is_over, merged_inputs, put_part
from kyanite.parquet.plan import Part as RowRanges
from kyanite.parquet.plan import Planner
from kyanite.parquet.split_plan import PlannedPart, SplitPlan
from kyanite.parquet.write import ALIGNED_BYTES

SLACK = 0.0015  # of the target, for what is estimated: rewritten pages and the footer
REDO_SHARE = 0.98
ESTIMATE_ERROR = 1.1  # a part larger than that is a local surprise, not an estimate to correct for all parts
DICTIONARY_SHARE = 0.05  # of a part, that slices of a row group should repeat at most
SURE_SHARE = 0.9  # of what a part would have if there was one more
AGAIN_BYTES = 64 * 1000 * 1000  # written so far, that are written again so that all parts are alike
ALIKE_SHARE = 0.996  # of the largest part: what all should have
WHOLE_SHARE = 0.99  # of the target: sources below it are one part, with all that they have


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

    def dictionary_limit(self, total: int) -> float:
        """Bytes of dictionaries that slices of a row group should repeat at most, for sources of `total` bytes."""
        if self.rows is not None or total <= WHOLE_SHARE * (self.max_bytes or 0):
            return float("inf")
        return DICTIONARY_SHARE * (total / self.parts if self.parts else cast(int, self.max_bytes))


def part_name(index: int) -> str:
    """The default name of part `index`: `part-00000.parquet`."""
    return f"part-{index:05d}.parquet"


def plan(
    sources: Sequence[Source],
    *,
    max_bytes: int | None = None,
    parts: int | None = None,
    rows: int | None = None,
    name: Callable[[int], str] = part_name,
    cancelled: Cancelled = never,
) -> SplitPlan:
    """What `split` with the same arguments would write, with nothing written.

    Sizes are predicted, on the high side; only footers, and the pages of row groups under a cut, are read. Row groups
    that cannot be cut are encoded anew (in a temporary file) to know their sizes.
    """
    target = Target(max_bytes, parts, rows)
    with _opened(sources, target, cancelled) as (inputs, merged):
        planner = _Plan(inputs, target, name, merged)
        planned = tuple(planner.rest())
        return SplitPlan(planned, tuple((source.name, source.size) for source in sources), planner.rows)


def split(
    sources: Sequence[Source],
    open_part: Callable[[str], Writer],
    *,
    max_bytes: int | None = None,
    parts: int | None = None,
    rows: int | None = None,
    name: Callable[[int], str] = part_name,
    staged: bool = False,
    workers: int = 1,
    copies: Copies | None = None,
    progress: Progress = no_progress,
    cancelled: Cancelled = never,
) -> SplitResult:
    """The sources' rows, in order, as parts of nearly equal size; every part is a whole parquet file.

    Nothing is committed before all parts are written and verified (rows, sizes, footers); an error aborts all. Sources
    with different schemas are first merged by column name. No rows give one empty part; one row larger than `max_bytes`
    is a part alone, marked `oversize`. `staged` says that committing a part shows it to nobody yet (the caller shows
    all or none): then a part is committed as soon as it is verified, and only one per worker is open at a time.

    `workers` > 1: parts are written at the same time, with the same result unless one has to be written again; in
    processes (spawned) when `staged` holds and `open_part` and all `Source.open` can be pickled, else in threads
    (`open_part` is called from them). With `copies` these write, with just the same result; this demands `staged`,
    and that files which `open_part` opens there are seen here. A part measured above the target is written again under
    its name, and so may be all before it, whose progress is taken back: what `open_part` gives later for a name counts,
    committed or not.
    """
    target = Target(max_bytes, parts, rows)
    with _opened(sources, target, cancelled) as (inputs, merged):
        run = _Run(_Plan(inputs, target, name, merged), open_part, staged, progress, cancelled, copies)
        try:
            if workers > 1 and copies is None:
                run.write_at_once(workers)
            else:
                run.write()
            return run.commit(sum(source.size for source in sources))
        except BaseException:
            run.abort()
            raise


@contextmanager
def _opened(sources: Sequence[Source], target: Target, cancelled: Cancelled) -> Iterator[tuple[Inputs, bool]]:
    if not sources:
        raise DataError("There is no file to split.")
    with merged_inputs(sources, cancelled) as (files, footers, merged):
        limit = target.dictionary_limit(sum(source.size for source in files))
        with Inputs(files, footers, dictionary_limit=limit) as inputs:
            yield inputs, merged


class _Plan:
    """Plans parts from the row reached on, with what has been measured so far."""

    def __init__(self, inputs: Inputs, target: Target, name: Callable[[int], str], merged: bool) -> None:
        self.inputs = inputs
        self.target = target
        self._name = name
        self._merged = merged
        self._layout = Layout(inputs)
        self._slack = SLACK
        self._most_rows: int | None = None  # of the next part, which has been measured to be too large
        self.rows = self._layout.rows

    @property
    def max_bytes(self) -> float:
        """The target in bytes."""
        return self.target.max_bytes or float("inf")

    def rest(self, count: int = 0, first_row: int = 0) -> list[PlannedPart]:
        """The parts still to be written after `count` parts that end before `first_row`; an empty one for no rows."""
        ranges = self._layout.plan(partial(self._ranges, first_row))
        if count + len(ranges) > limits.PARQUET_PARTS:
            raise LimitError(f"The split would give more than {limits.PARQUET_PARTS} parts.")
        planned: list[PlannedPart] = []
        for part in ranges or (() if count else ((),)):
            made = self._part(part, count + len(planned), first_row)
            planned.append(made)
            first_row += made.rows
        return planned

    def name(self, number: int) -> str:
        """The name of a part."""
        return self._name(number)

    def sure_row_groups(self) -> int:
        """How many row groups of the first source the first part surely begins with; 0 when these are few bytes."""
        total = sum(source.size for source in self.inputs.sources)
        parts = self.target.parts or (ceil(total / self.max_bytes) + 1 if self.target.max_bytes else 1)
        room, rows = total / parts * SURE_SHARE, self.target.rows or self.rows
        count = size = 0
        for group_rows, group_size in self.inputs.footer(0).group_sizes():
            rows -= group_rows
            if not group_rows or rows < 0 or size + group_size > room:
                break
            count, size = count + 1, size + group_size
        return count if size >= ALIGNED_BYTES else 0

    def _ranges(self, first_row: int, planner: Planner) -> tuple[RowRanges, ...]:
        if self.target.rows is not None:
            return planner.by_rows(self.target.rows, first_row)
        if self.target.parts is not None:
            return planner.by_parts(self.target.parts)
        return planner.by_bytes(cast(int, self.target.max_bytes) * (1 - self._slack), first_row, self._most_rows)

    def _part(self, part: RowRanges, number: int, first_row: int) -> PlannedPart:
        pieces = self._layout.pieces(part)
        rows = sum(piece.last - piece.first for piece in pieces)
        size = int(self._layout.base) + sum(piece.bytes for piece in pieces)
        limit = self.inputs.dictionary_limit
        return PlannedPart(
            self._name(number),
            first_row,
            rows,
            size,
            pieces,
            self.target.max_bytes,
            None if limit == float("inf") else limit,
            self._merged,
        )

    def fits(self) -> None:
        """The part planned first is as large as it may be."""
        self._most_rows = None

    def correct(self, rows: int, excess: float, planned: float = 1) -> bool:
        """A part of `rows` rows came out `excess` times the target: plan the rest smaller, the part itself surely.

        It was `planned` to be that many times the target: the less, the farther the estimate was from the truth.
        Whether that counts for all parts, not for this one alone.
        """
        if self._most_rows is None and excess < ESTIMATE_ERROR:
            self._slack = min(0.5, max(self._slack * 1.5, self._slack + (excess - 1) * 1.2, 1 - planned / excess))
            self._most_rows = rows - 1
            return True
        self._most_rows = max(1, min(rows - 1, int(rows / excess * REDO_SHARE)))
        return False


class _Run:
    """The parts being written: none is committed before all are."""

    def __init__(
        self,
        plan: _Plan,
        open_part: Callable[[str], Writer],
        staged: bool,
        progress: Progress,
        cancelled: Cancelled,
        copies: Copies | None,
    ) -> None:
        self._copies = copies
        self._plan = plan
        self._open_part = open_part
        self._staged = staged
        self._progress = progress
        self._cancelled = cancelled
        self._columns = columns_of(plan.inputs.footer(0))  # what cannot be told is an error before anything is written
        self._writers: list[Writer] = []
        self._parts: list[Part] = []
        self._bytes = 0
        self._rows = 0
        self._may_start_over = True  # once, and not for a part that is a surprise
        self._most_parts = 0  # that have been written, before parts were given up

    def _step(self, count: int) -> None:
        self._bytes += count
        check_cancelled(self._cancelled)
        self._progress(self._rows, self._bytes, len(self._parts))

    def write(self) -> None:
        """Plan and write all parts; a part measured larger than the target is written again with fewer rows."""
        begun = self._begin() if self._copies is None else None
        planned = self._plan.rest()
        while not self._write_parts(planned, begun):
            begun, planned = None, self._rest()

    def _rest(self) -> list[PlannedPart]:
        """After a part that was too large: those that are missing, or all anew when these differ from the few there."""
        planned = self._plan.rest(len(self._parts), self._rows)
        largest = max((part.bytes for part in self._parts), default=0)
        is_alike = min(part.bytes for part in planned) >= largest * ALIKE_SHARE
        written = sum(part.bytes for part in self._parts)
        if is_alike or not self._may_start_over or written > AGAIN_BYTES:
            self._bytes = written
            return planned
        self._may_start_over = False
        self._start_over()
        return self._plan.rest()

    def _start_over(self) -> None:
        """Nothing counts that was written; all parts get their names again."""
        self.abort()
        self._most_parts = max(self._most_parts, len(self._parts))
        self._parts, self._rows, self._bytes = [], 0, 0
        self._plan.fits()

    def _begin(self) -> BegunPart | None:
        """The first part, begun with what it surely begins with; None when that is not worth it."""
        count = self._plan.sure_row_groups()
        if not count:
            return None
        self._writers.append(self._open_part(self._plan.name(0)))
        return begin_part(self._plan.inputs, count, self._writers[-1], self._step)

    def _write_parts(self, planned: Sequence[PlannedPart], begun: BegunPart | None) -> bool:
        """Whether all are written; not when one was too large: plan the rest again."""
        if self._copies is not None and len(planned) > 1:
            return self._write_in_copies(self._copies, planned)
        inputs = self._plan.inputs
        if begun is not None and not begun.suits(planned[0]):
            begun.drop()
            self._writers.pop().abort()
            self._bytes, begun = 0, None
        for part in planned:
            if begun is None:
                self._writers.append(self._open_part(part.name))
            writer = self._writers[-1]
            made = put_part(inputs, part, writer, self._step, begun)
            begun = None
            if is_over(part, made.part):
                self._writers.pop().abort()
                self._correct(part, made.part)
                return False
            check_part(writer, made.written, inputs.footer(0), part.rows, part.name)
            if self._staged:
                self._writers.pop().commit()
            self._add(made.part._replace(checksum=getattr(writer, "checksum", None)))
        return True

    def _write_in_copies(self, copies: Copies, planned: Sequence[PlannedPart]) -> bool:
        """The same by copies of this process, in which all is known that has been planned."""
        from kyanite.parquet.copies import in_copies

        inputs, before, is_whole = self._plan.inputs, self._bytes, True

        def do(number: int, step: Callable[[int], None]) -> Part:
            part = planned[number]
            return complete_part(inputs, part, self._open_part(part.name), step, commits=True)[0]

        def take(number: int, made: Part) -> bool:
            nonlocal is_whole
            is_whole = not is_over(planned[number], made)
            if is_whole:
                self._add(made)
            else:
                self._correct(planned[number], made)
            return is_whole

        def look(steps: int) -> None:
            check_cancelled(self._cancelled)
            self._bytes = before + steps
            self._progress(self._rows, self._bytes, len(self._parts))

        for told in in_copies(len(planned), copies.number, inputs.reopen, do, copies.finish, take, look):
            copies.taken(told)
        return is_whole

    def _correct(self, planned: PlannedPart, made: Part) -> None:
        most = self._plan.max_bytes
        self._may_start_over &= self._plan.correct(planned.rows, made.bytes / most, planned.bytes / most)

    def _add(self, part: Part) -> None:
        self._plan.fits()
        self._parts.append(part)
        self._rows += part.rows
        self._progress(self._rows, self._bytes, len(self._parts))

    def write_at_once(self, workers: int) -> None:
        """Write the parts in processes or threads; one after the other when one turns out larger than the target."""
        from kyanite.parquet.parallel import Job, write_parts

        planned = self._plan.rest()
        inputs = self._plan.inputs
        job = Job(tuple(inputs.sources), inputs.dictionary_limit, self._open_part, self._staged, inputs.folder)
        self._writers = write_parts(job, inputs.footers(), planned, workers, self._add_written, self._cancelled)
        over = [made for part, made in zip(planned, self._parts, strict=True) if is_over(part, made)]
        if not over:
            return
        self._plan.correct(over[0].rows, over[0].bytes / self._plan.max_bytes)
        self._may_start_over = False
        self._start_over()
        self.write()

    def _add_written(self, part: Part) -> None:
        self._bytes += part.bytes
        self._add(part)

    def commit(self, bytes_in: int) -> SplitResult:
        """Check the sum of all rows, then commit part by part."""
        rows_in, rows_out = self._plan.rows, sum(part.rows for part in self._parts)
        if rows_in != rows_out:
            raise InvariantError(f"{rows_out} rows were written of {rows_in}; nothing is committed.")
        if len(self._parts) < self._most_parts:
            raise InvariantError("Parts of a first attempt would be left; nothing is committed.")
        check_cancelled(self._cancelled)
        while self._writers:
            self._writers[0].commit()
            self._writers.pop(0)
        bytes_out = sum(part.bytes for part in self._parts)
        return SplitResult(tuple(self._parts), rows_in, rows_out, bytes_in, bytes_out, self._columns)

    def abort(self) -> None:
        """Throw away every part that is not committed."""
        with ExitStack() as stack:
            for writer in self._writers:
                stack.callback(writer.abort)
            self._writers = []
