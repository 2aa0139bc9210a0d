"""Carrying a copy out: list, plan, move into beside-files, verify, commit."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from kyanite.connections import Connection, Writer
from kyanite.errors import ActivityError, DataError, KyaniteError, StorageError, UnsupportedError
from kyanite.movement.copy_plan import MERGE, Action, plan_copy
from kyanite.movement.formats import Format, Moved, open_format
from kyanite.movement.location import Location, read_location
from kyanite.movement.options import read_options
from kyanite.movement.report import SINK, SOURCE, Tally, copy_failure, output_of
from kyanite.movement.select import Selection, SourceFile, in_period, read_selection, select
from kyanite.parquet import Source
from kyanite.storage.failures import storage_error

Progress = Callable[[dict[str, Any]], None]


_FILES_COUNTED = 1000


@dataclass(frozen=True)
class Dataset:
    """A resolved dataset: its typeProperties evaluated, and the type of its linked service."""

    name: str
    type: str
    type_properties: Mapping[str, Any] = field(repr=False)
    linked_service_type: str


@dataclass(frozen=True)
class CopyRequest:
    """One Copy: its two datasets and their connections, and the activity's evaluated typeProperties."""

    source: Dataset
    sink: Dataset
    properties: Mapping[str, Any] = field(repr=False)
    source_connection: Connection
    sink_connection: Connection
    activity_run_id: str


def _now() -> datetime:
    return datetime.now(UTC)


def copy(
    request: CopyRequest,
    *,
    progress: Progress = lambda output: None,
    cancelled: Callable[[], bool] = lambda: False,
    clock: Callable[[], datetime] = _now,
) -> dict[str, Any]:
    """Carry a Copy out; its output in Data Factory's shape.

    `progress` gets the output so far after every piece of data and is to be throttled by the caller. Each target file
    appears whole, verified, or not at all. Failures are ActivityError with code 2200, or `Cancelled`.
    """
    return _Transfer(request, progress, cancelled, clock).run()


class _Transfer:
    def __init__(
        self,
        request: CopyRequest,
        progress: Progress,
        cancelled: Callable[[], bool],
        clock: Callable[[], datetime],
    ) -> None:
        self._request = request
        self._progress = progress
        self._cancelled = cancelled
        self._began = time.monotonic()
        with _failing(None):
            self._options = read_options(request.properties)
            self._format = open_format(request.source.name, request.source.type)
            self._sink_location = _sink_location(request, self._format)
        self._tally = Tally(
            request.source.linked_service_type,
            request.sink.linked_service_type,
            clock().astimezone(UTC),
            self._format.has_rows,
            self._options.units,
        )

    def run(self) -> dict[str, Any]:
        with _failing(SOURCE):
            files = self._find()
        with _failing(SINK):
            actions = plan_copy(
                files,
                self._options.behaviour,
                self._sink_location,
                activity_run_id=self._request.activity_run_id,
                extension=self._format.extension,
            )
        if self._options.behaviour == MERGE:
            self._tally.merged = [file.path for action in actions for file in action.sources]
        for action in actions:
            self._carry_out(action)
        if self._format.has_rows or self._options.check_consistency:
            self._tally.consistency = "Verified"
        return self._output("Succeeded")

    def _find(self) -> list[SourceFile]:
        request = self._request
        location = read_location(request.source.name, request.source.type_properties)
        selection = read_selection(location, self._options.read_settings)
        files = list(_files_of(request.source_connection, selection, self._check_cancelled))
        if not files and selection.must_match:
            raise _nothing_matches(request.source_connection, selection)
        self._tally.listed = time.monotonic() - self._began
        return files

    def _carry_out(self, action: Action) -> None:
        self._check_cancelled()
        connection = self._request.sink_connection
        with _failing(SINK):
            out = connection.open_write(action.target)
        with out:
            watched = _Watched(out)
            try:
                moved = self._format.move(
                    [self._open_later(file) for file in action.sources],
                    watched,
                    self._request.sink.type_properties,
                    self._count,
                    self._cancelled,
                )
            except KyaniteError as problem:
                raise copy_failure(problem, SINK if watched.failed else SOURCE) from problem
            except OSError as problem:
                read = storage_error(problem, ", ".join(file.path for file in action.sources[:3]))
                raise copy_failure(read, SOURCE) from problem
            self._check_cancelled()
            with _failing(SINK):
                self._commit(action, out, moved)
        self._add(action, moved, out.tell())

    def _commit(self, action: Action, out: Writer, moved: Moved) -> None:
        """Verify what was written, before the commit where the store shows it, and commit."""
        wanted = self._format.has_rows or self._options.check_consistency
        size, name = out.tell(), self._request.sink_connection.url(action.target)
        back = out.read_back() if wanted else None
        if back is not None:
            with back:
                self._format.verify(back, size, moved, name)
        out.commit()
        entry = self._request.sink_connection.stat(action.target)
        if entry is None or entry.size != size:
            raise DataError("The sink does not show the file with its size after the commit.", where=name)
        if wanted and back is None:
            with self._request.sink_connection.open_read(action.target) as file:
                self._format.verify(file, size, moved, name)

    def _open_later(self, file: SourceFile) -> Source:
        connection = self._request.source_connection
        return Source(connection.url(file.path), lambda: connection.open_read(file.path), file.size)

    def _count(self, rows: int, size: int, files: int) -> None:
        """Progress inside one action, on top of what earlier actions did."""
        self._tally.elapsed = time.monotonic() - self._began
        tally = self._tally
        now = replace(
            tally,
            rows_read=tally.rows_read + rows,
            rows_copied=tally.rows_copied + rows,
            bytes_read=tally.bytes_read + size,
            bytes_written=tally.bytes_written + size,
            files_read=tally.files_read + files,
        )
        self._progress(output_of(now, "InProgress"))

    def _add(self, action: Action, moved: Moved, written: int) -> None:
        tally = self._tally
        tally.rows_read += moved.rows_read or 0
        tally.rows_copied += moved.rows_written or 0
        tally.bytes_read += moved.bytes_read
        tally.bytes_written += written
        tally.files_read += len(action.sources)
        tally.files_written += 1
        self._progress(self._output("InProgress"))

    def _output(self, status: str) -> dict[str, Any]:
        self._tally.elapsed = time.monotonic() - self._began
        return output_of(self._tally, status)

    def _check_cancelled(self) -> None:
        if self._cancelled():
            raise ActivityError("The copy was cancelled; what was not complete is not visible.", code="Cancelled")


def _sink_location(request: CopyRequest, format: Format) -> Location:
    """Where the sink writes, once both datasets are known to fit each other."""
    sink = open_format(request.sink.name, request.sink.type)
    if sink.name != format.name:
        raise UnsupportedError(
            f"Copy from {format.name} (`{request.source.name}`) to {sink.name} (`{request.sink.name}`).",
            cure="Source and sink datasets must be of one type; Binary copies any file as it is.",
        )
    format.check(request.source.type_properties, request.sink.type_properties)
    return read_location(request.sink.name, request.sink.type_properties)


def _files_of(
    connection: Connection, selection: Selection, check_cancelled: Callable[[], None]
) -> Iterator[SourceFile]:
    """The selected files. StorageError for a static path, or the folder of a wildcard, that does not exist."""
    if selection.file:
        entry = connection.stat(selection.file)
        if entry is None or entry.is_folder:
            raise StorageError(
                "The required file is missing.",
                where=connection.url(selection.file),
                cure="Check container, folder and file name; upper and lower case differ.",
                code="BlobNotFound",
            )
        if in_period(entry.modified, selection):
            yield SourceFile(entry.path, entry.size, entry.name)
        return
    for file in select(connection.list(selection.folder, recursive=selection.lists_recursively), selection):
        check_cancelled()
        yield file


def _nothing_matches(connection: Connection, selection: Selection) -> StorageError:
    entries = connection.list(selection.folder, recursive=selection.lists_recursively)
    there = [entry.path for entry in itertools.islice(entries, _FILES_COUNTED) if not entry.is_folder]
    some = f"{len(there)}{' or more' if len(there) == _FILES_COUNTED else ''}"
    return StorageError(
        "No file matches the wildcard.",
        where=connection.url(selection.folder),
        cure=f"{some} other files are there, for example {there[0]}; upper and lower case differ."
        if there
        else "The folder is empty.",
        code="BlobNotFound",
    )


@contextlib.contextmanager
def _failing(side: str | None) -> Iterator[None]:
    """Errors raised inside become the activity's error, told for this side; None where the definition is wrong."""
    try:
        yield
    except KyaniteError as problem:
        raise copy_failure(problem, side) from problem


class _Watched:
    """A writer that remembers whether it was the one that failed; commit stays with its owner."""

    def __init__(self, out: Writer) -> None:
        self._out = out
        self.failed = False

    def write(self, data: bytes | bytearray | memoryview) -> int:
        try:
            return self._out.write(data)
        except KyaniteError:
            self.failed = True
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._out, name)
