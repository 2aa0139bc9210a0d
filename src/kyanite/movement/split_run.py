"""One sequence of parts: planned, or written, checksummed and verified by the parquet layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from functools import partial
from math import ceil
from typing import NamedTuple

from kyanite.errors import InvariantError
from kyanite.movement.part_names import PartNaming
from kyanite.movement.split_inputs import InputFile
from kyanite.movement.split_model import Options
from kyanite.movement.split_publish import PartSet
from kyanite.movement.split_writer import Checksum, Finisher, PartWriter
from kyanite.parquet import ByCopies, Part, PlannedPart, Source, SplitResult, Writer
from kyanite.parquet import plan as plan_parquet
from kyanite.parquet import split as split_parquet
from kyanite.parquet import verify as verify_parquet
from kyanite.parquet.schema import Column

LARGE_BYTES = 32 * 1024 * 1024  # copies are made within the time it takes to copy some megabytes


@dataclass(frozen=True)
class Counts:
    """Sums over parts: rows of the input, bytes written, and of these what was copied, cut, rewritten, encoded."""

    rows: int = 0
    bytes: int = 0
    parts: int = 0
    raw: int = 0
    cut: int = 0
    rewritten: int = 0
    encoded: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))


class RanPart(NamedTuple):
    """A part as written or planned; `whole`, `cut` and `encoded` count its row groups by how they are made."""

    name: str
    rows: int
    bytes: int
    first_row: int
    oversize: bool
    whole: int
    cut: int
    encoded: int
    checksum: str | None = None


class Ran(NamedTuple):
    """The parts of one sequence and their sums; `columns` of the rows, where parts were written."""

    parts: tuple[RanPart, ...]
    counts: Counts
    columns: tuple[Column, ...] = ()


def run_group(
    files: Sequence[InputFile],
    naming: PartNaming,
    options: Options,
    files_out: PartSet,
    progress: Callable[[int, int, int], None],
) -> Ran:
    """Write the files' rows as parts; nothing of it counts before the caller publishes the set."""
    copies = _copies(files, options, files_out)
    result, checksums = (copies == 1 and _in_processes(files, naming, options, files_out, progress)) or _here(
        files, naming, options, files_out, progress, copies
    )
    if result.rows_in != result.rows_out or set(checksums) != {part.name for part in result.parts}:
        raise InvariantError(f"{result.rows_out} rows were written of {result.rows_in}; nothing is shown.")
    if options.verify == "deep":
        # footers, rows and sizes of each part are compared while it is written
        written = [Source(part.name, partial(files_out.open_read, part.name), part.bytes) for part in result.parts]
        verify_parquet(written, [file.source for file in files], "deep")
    parts = tuple(_ran(part, part.oversize, checksums[part.name]) for part in result.parts)
    rewritten = sum(part.rewritten for part in result.parts)
    works = (result.raw.bytes, result.cut.bytes, rewritten, result.encoded.bytes)
    return Ran(parts, Counts(result.rows_in, result.bytes_out, len(parts), *works), result.columns)


_Told = Callable[[int, int, int], None]
_Written = tuple[SplitResult, dict[str, str | None]]  # checksums by the names of the parts


def _copies(files: Sequence[InputFile], options: Options, files_out: PartSet) -> int:
    """How many copies of this process write the parts, about as many as there are at most; 1: it does so itself."""
    total = sum(file.entry.size for file in files)
    if options.workers == 1 or total < LARGE_BYTES or files_out.staged() is None:
        return 1
    from kyanite.parquet.copies import may_fork, spare_copies

    if not may_fork():
        return 1
    wanted = options.workers or spare_copies()
    parts = options.parts or (ceil(total / options.max_bytes) if options.max_bytes else wanted)
    return min(wanted, parts)


def _here(
    files: Sequence[InputFile],
    naming: PartNaming,
    options: Options,
    files_out: PartSet,
    progress: _Told,
    count: int,
) -> _Written:
    """Parts written by this process and its copies, or in threads when several workers are wanted."""
    checksums: dict[str, str | None] = {}
    opened: set[str] = set()

    def open_writer(name: str) -> PartWriter:
        def committed(text: str | None) -> None:
            checksums[name] = text

        if name in opened:  # planned anew: the older one of this name must be complete to be replaced
            finisher.wait()
        opened.add(name)
        checksum = Checksum(options.checksum, is_large=count > 1)
        opened_file, is_shown = files_out.open(name), files_out.shows_files
        return PartWriter(opened_file, checksum, committed, finisher, readable=is_shown, at_once=count > 1)

    def finish() -> dict[str, str | None]:
        finisher.wait()
        return checksums

    def taken(told: dict[str, str | None]) -> None:
        for name in told:
            files_out.adopt(name)
        checksums.update(told)

    by_copies = ByCopies(count, finish, taken) if count > 1 else None
    with Finisher() as finisher:
        result = _split([file.source for file in files], open_writer, naming, options, progress, by_copies)
        finisher.wait()
    for name in set(checksums) - {part.name for part in result.parts}:  # of a plan that was given up
        files_out.open(name).abort()
        del checksums[name]
    return result, checksums


def _in_processes(
    files: Sequence[InputFile], naming: PartNaming, options: Options, files_out: PartSet, progress: _Told
) -> _Written | None:
    """Parts written by processes; None when one worker is enough, or a file is not on this machine."""
    if (options.workers or 1) == 1:
        return None
    from kyanite.movement.split_processes import local_sources, staged_parts

    parts, sources = staged_parts(files_out, options.checksum), local_sources(files)
    if parts is None or sources is None:
        return None
    result = _split(sources, parts, naming, options, progress)
    for part in result.parts:
        files_out.adopt(part.name)
    return result, {part.name: part.checksum for part in result.parts}


def _split(
    sources: Sequence[Source],
    open_part: Callable[[str], Writer],
    naming: PartNaming,
    options: Options,
    progress: _Told,
    by_copies: ByCopies | None = None,
) -> SplitResult:
    return split_parquet(
        sources,
        open_part,
        max_bytes=options.max_bytes,
        parts=options.parts,
        rows=options.rows,
        name=naming.name,
        staged=True,
        workers=options.workers or 1,
        by_copies=by_copies,
        progress=progress,
    )


def plan_group(files: Sequence[InputFile], naming: PartNaming, options: Options) -> Ran:
    """The parts as they would be, their sizes predicted on the high side."""
    planned = plan_parquet(
        [file.source for file in files],
        max_bytes=options.max_bytes,
        parts=options.parts,
        rows=options.rows,
        name=naming.name,
    )
    most = options.max_bytes or float("inf")
    parts = tuple(_ran(part, part.rows == 1 and part.bytes > most) for part in planned.parts)
    works = (planned.work("raw").bytes, planned.work("cut").bytes, 0, planned.work("encoded").bytes)
    return Ran(parts, Counts(planned.rows, planned.bytes_out, len(parts), *works))


def _ran(part: Part | PlannedPart, oversize: bool, checksum: str | None = None) -> RanPart:
    if isinstance(part, Part):
        numbers = (part.raw.row_groups, part.cut.row_groups, part.encoded.row_groups)
    else:
        numbers = (part.work("raw").row_groups, part.work("cut").row_groups, part.work("encoded").row_groups)
    return RanPart(part.name, part.rows, part.bytes, part.first_row, oversize, *numbers, checksum)
