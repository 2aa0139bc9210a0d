"""Objects being read and written: ranges of one version, multipart uploads, sets spooled on this machine's disk."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Protocol

import obstore

from kyanite.errors import StorageError
from kyanite.storage import Entry, FileWriter
from kyanite.storage.failures import disk_errors
from kyanite.storage.file_writer import BUFFER_BYTES
from kyanite.storage.ranges import RangeReader
from kyanite.storage.uncommitted import UncommittedFile

PART_BYTES = 8 * 1024 * 1024
Errors = Callable[[], contextlib.AbstractContextManager[None]]


class RangesFile(io.BufferedReader):
    """An object as a seekable file; `signed_url()` and `etag` let other stores read the same version."""

    def __init__(self, raw: io.RawIOBase, etag: str | None, sign: Callable[[], str]) -> None:
        super().__init__(raw, BUFFER_BYTES)
        self.etag = etag
        self._sign = sign
        self._signed: str | None = None

    def signed_url(self) -> str:
        """An address that lets its holder read the object for a few days."""
        if self._signed is None:
            self._signed = self._sign()
        return self._signed


def open_ranges(store: Any, path: str, errors: Errors, sign: Callable[[], str]) -> BinaryIO:
    """An object as a seekable file; should it change in between, reading fails instead of giving a mixture."""
    with errors():
        meta = obstore.head(store, path)

    def read_at(position: int, length: int) -> bytes:
        options: Any = {"range": (position, position + length)}
        if meta["e_tag"]:
            options["if_match"] = meta["e_tag"]
        with errors():
            return bytes(obstore.get(store, path, options=options).bytes())

    return RangesFile(RangeReader(meta["size"], read_at), meta["e_tag"], sign)


class ObjectWriter(UncommittedFile):
    """A multipart upload: completed by `commit`; an upload that is dropped never becomes visible."""

    def __init__(self, writer: Any, errors: Errors) -> None:
        self._writer: Any = writer
        self._errors = errors
        self._written = 0
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Append bytes; how many these were."""
        if self.closed:
            raise StorageError("The file is no longer open for writing.", code="InvalidOperation")
        piece = bytes(data)
        try:
            with self._errors():
                self._writer.write(piece)
        except StorageError:
            self.abort()
            raise
        self._written += len(piece)
        return len(piece)

    def tell(self) -> int:
        """Bytes written so far."""
        return self._written

    def flush(self) -> None:
        """Nothing to do: parts are sent when they are full."""

    def read_back(self) -> BinaryIO | None:
        """None: an object shows nothing before its upload is completed."""
        return None

    def commit(self) -> None:
        """Complete the upload; the object is visible from now on."""
        if self.closed:
            raise StorageError("The file is no longer open for writing.", code="InvalidOperation")
        self.closed = True
        with self._errors():
            self._writer.close()
        self._writer = None

    def abort(self) -> None:
        """Drop the upload; harmless after a commit."""
        self.closed = True
        self._writer = None


class _Place(Protocol):
    def list(self, folder: str, *, recursive: bool = True) -> Any: ...
    def open_write(self, path: str) -> ObjectWriter: ...
    def delete(self, path: str) -> None: ...
    def url(self, path: str) -> str: ...


class ObjectSet:
    """Files kept on this machine's disk until `commit` uploads them one by one, then removes the rest of the old set.

    Not atomic: object stores know no such thing. A failure in between leaves new and old files side by side.
    """

    def __init__(self, connection: _Place, folder: str, replaces: Callable[[str], bool]) -> None:
        self._connection = connection
        self._folder = folder
        self._replaces = replaces
        self._spool = tempfile.TemporaryDirectory(prefix="kyanite-")
        self._open: list[FileWriter] = []
        self._names: list[str] = []

    def open(self, name: str) -> FileWriter:
        """A file of the set; a completed one of that name is given up for it."""
        path = Path(self._spool.name) / name
        if name in self._names:
            self._names.remove(name)
            path.unlink()
        where = self._connection.url(f"{self._folder}/{name}")
        with disk_errors(where):
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        writer = FileWriter(fd, where, lambda: self._names.append(name), lambda: path.unlink(missing_ok=True))
        self._open.append(writer)
        return writer

    def open_read(self, name: str) -> BinaryIO:
        """A completed file of the set, as it will be uploaded."""
        with disk_errors(self._connection.url(f"{self._folder}/{name}")):
            return (Path(self._spool.name) / name).open("rb")

    def commit(self) -> None:
        """Upload the completed files, then delete what is left of the older set."""
        if any(not writer.closed for writer in self._open):
            raise StorageError("A file of the set is still open.", code="InvalidOperation")
        try:
            old = [entry.path for entry in self._present() if self._replaces(entry.name)]
            for name in self._names:
                self._upload(name)
            for path in old:
                if path.rpartition("/")[2] not in self._names:
                    self._connection.delete(path)
        finally:
            self.abort()

    def abort(self) -> None:
        """Drop what was spooled."""
        for writer in self._open:
            writer.abort()
        self._spool.cleanup()

    def __enter__(self) -> ObjectSet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    def _present(self) -> list[Entry]:
        try:
            return [entry for entry in self._connection.list(self._folder, recursive=False) if not entry.is_folder]
        except StorageError as problem:
            if problem.error_code != "PathNotFound":
                raise
            return []

    def _upload(self, name: str) -> None:
        source = Path(self._spool.name) / name
        with source.open("rb") as reader, self._connection.open_write(f"{self._folder}/{name}") as writer:
            while chunk := reader.read(PART_BYTES):
                writer.write(chunk)
            writer.commit()
