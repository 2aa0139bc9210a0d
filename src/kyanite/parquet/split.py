"""Parquet files into equal parts: planned from footers and pages, copied as bytes, verified, committed together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

from kyanite.errors import DataError, InvariantError
from kyanite.parquet.checks import check_part
from kyanite.parquet.columns import columns_of
from kyanite.parquet.inputs import Inputs
from kyanite.parquet.model import (
    ByCopies,
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
from kyanite.parquet.part import BegunPart, begin_part, is_over, merged_inputs, put_part
from kyanite.parquet.parts_plan import PartsPlan, Target
from kyanite.parquet.split_plan import PlannedPart, SplitPlan

AGAIN_BYTES = 64 * 1000 * 1000  # written so far, that are written again so that all parts are alike
ALIKE_SHARE = 0.996  # of the largest part: what all should have


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
        planner = PartsPlan(inputs, target, name, merged)
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
    by_copies: ByCopies | None = None,
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
    (`open_part` is called from them). With `by_copies`, copies of this process write, and the result is just the same;
    this demands `staged`, and that the files which `open_part` opens there are seen here. A part measured above the
    target is written again under its name, and so may be all before it, whose progress is taken back: what `open_part`
    gives later for a name counts, committed or not.
    """
    target = Target(max_bytes, parts, rows)
    with _opened(sources, target, cancelled) as (inputs, merged):
        run = _Run(PartsPlan(inputs, target, name, merged), open_part, staged, progress, cancelled, by_copies)
        try:
            if workers > 1 and by_copies is None:
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


class _Run:
    """The parts being written: none is committed before all are."""

    def __init__(
        self,
        plan: PartsPlan,
        open_part: Callable[[str], Writer],
        staged: bool,
        progress: Progress,
        cancelled: Cancelled,
        by_copies: ByCopies | None,
    ) -> None:
        self._by_copies = by_copies
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
        if self._by_copies is not None:
            self._write_in_copies(self._by_copies)
            return
        begun = self._begin()
        planned = self._plan.rest()
        while not self._write_parts(planned, begun):
            begun, planned = None, self._rest()

    def _write_in_copies(self, wanted: ByCopies) -> None:
        """The same by copies of this process; by itself what one part is, or when it cannot be copied any more."""
        from kyanite.parquet.by_copies import PartWriters
        from kyanite.parquet.copies import may_fork

        planned: Sequence[PlannedPart] = ()
        while may_fork():
            with PartWriters(wanted, self._plan, self._open_part) as writers:
                if not planned:
                    writers.read_ahead(partial(check_cancelled, self._cancelled))
                    planned = self._plan.rest()
                if len(planned) == 1:
                    break
                if not writers.know_all():
                    continue
                if writers.write(planned, self._take, partial(self._look, self._bytes)):
                    return
            planned = self._rest()
        planned = planned or self._plan.rest()
        while not self._write_parts(planned, None):
            planned = self._rest()

    def _take(self, planned: PlannedPart, made: Part) -> bool:
        """Whether the part counts; not when it was too large."""
        if is_over(planned, made):
            self._correct(planned, made)
            return False
        self._add(made)
        return True

    def _look(self, before: int, steps: int) -> None:
        check_cancelled(self._cancelled)
        self._bytes = before + steps
        self._progress(self._rows, self._bytes, len(self._parts))

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
