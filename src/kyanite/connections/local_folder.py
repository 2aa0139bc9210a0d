"""A plain folder of this machine or a mounted share, with the same commit rules as a storage account."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from kyanite.errors import StorageError
from kyanite.limits import COPY_CHUNK_BYTES
from kyanite.storage import Entry, FileWriter, staging
from kyanite.storage.failures import disk_errors, storage_error
from kyanite.storage.file_set import FileSet
from kyanite.storage.folders import entry_of, open_path, opened_folder, walk
from kyanite.storage.model import normalise

_HIDDEN = ".kyanite-"


class LocalFolder:
    """Connection over a folder; paths are relative to it and their real location must lie inside it.

    Links are followed as long as they stay inside. Staged files are hidden names beside their target.
    """

    def __init__(self, root: Path, kind: str = "FileServer") -> None:
        self.root = Path(os.path.realpath(root))
        self._kind = kind
        self._swept: set[Path] = set()

    @property
    def kind(self) -> str:
        """The linked service type, `FileServer`."""
        return self._kind

    def list(self, folder: str, *, recursive: bool = True) -> Iterator[Entry]:
        """Entries in path order; links inside the folder are not listed."""
        base = normalise(folder)
        real = self._real(base)
        with self._errors(base):
            fd = open_path(real)
        try:
            with self._errors(base):
                yield from walk(fd, (), base, recursive=recursive, hidden=_HIDDEN)
        finally:
            os.close(fd)

    def stat(self, path: str) -> Entry | None:
        """The file or folder at a path, or None."""
        base = normalise(path)
        try:
            return entry_of(base, self._real(base).stat())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as problem:
            raise storage_error(problem, self.url(base)) from problem

    def open_read(self, path: str) -> BinaryIO:
        """A seekable binary file."""
        base = normalise(path)
        real = self._real(base)
        with self._errors(base, missing="BlobNotFound"):
            if not real.is_file() and real.exists():
                raise StorageError("It is not a plain file.", where=self.url(base), code="PathConflict")
            return real.open("rb", buffering=256 * 1024)

    def open_write(self, path: str) -> FileWriter:
        """A writer staged in the nearest existing folder and renamed into place."""
        base = normalise(path)
        real = self._real(base)
        with disk_errors(self.url(base)):
            beside = self._staging_folder(real.parent) / f"{_HIDDEN}{staging.new_name()}"
            # the user's own folder: mode by the user's umask, as any program would write there
            fd = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        return FileWriter(
            fd, self.url(base), publish=lambda: _publish(beside, real), discard=lambda: beside.unlink(missing_ok=True)
        )

    def open_set(self, folder: str, replaces: Callable[[str], bool], *, is_synced: bool = True) -> FileSet:
        """Files that appear together; atomic when the folder holds nothing but the older set."""
        base = normalise(folder)
        real = self._real(base)
        with disk_errors(self.url(base)):
            place = _LocalPlace(self._staging_folder(real.parent), real, self.url(base))
            return FileSet(place, replaces, is_synced=is_synced)

    def delete(self, path: str) -> None:
        """Remove a file, or a folder with all in it."""
        base = normalise(path)
        real = self._real(base)
        with self._errors(base, missing="BlobNotFound"):
            if real == self.root:
                raise StorageError("The folder of the connection itself is not deleted.", where=self.url(base))
            if real.is_dir():
                import shutil

                shutil.rmtree(real)
            else:
                real.unlink()

    def copy(self, source: str, target: str) -> None:
        """Copy one file; the target appears at once."""
        import shutil

        with self.open_read(source) as reader, self.open_write(target) as writer:
            shutil.copyfileobj(reader, writer, COPY_CHUNK_BYTES)
            writer.commit()

    def url(self, path: str) -> str:
        """The path in the file system."""
        return str(self.root / normalise(path))

    def check(self) -> None:
        """StorageError when the folder cannot be listed."""
        with disk_errors(str(self.root)):
            os.close(open_path(self.root))

    def _real(self, base: str) -> Path:
        """Where a path really lies, links followed; StorageError `LinkRefused` when that is outside the folder."""
        real = Path(os.path.realpath(self.root / base))
        if not real.is_relative_to(self.root):
            raise StorageError(
                f"It leads out of {self.root} by a link.", where=str(self.root / base), code="LinkRefused"
            )
        return real

    def _staging_folder(self, folder: Path) -> Path:
        """The nearest folder that exists, cleaned once of what killed processes left there."""
        while not folder.is_dir() and folder.parent != folder:
            folder = folder.parent
        if folder not in self._swept:
            self._swept.add(folder)
            fd = open_path(folder)
            try:
                staging.sweep(fd, _HIDDEN)
            finally:
                os.close(fd)
        return folder

    @contextlib.contextmanager
    def _errors(self, base: str, missing: str = "PathNotFound") -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as problem:
            where = self.url(base)
            raise StorageError("There is no such file or folder.", where=where, code=missing) from problem
        except OSError as problem:
            raise storage_error(problem, self.url(base)) from problem


def _publish(beside: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    beside.replace(target)
    fd = open_path(target.parent)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class _LocalPlace:
    """A folder as the target of a file set; modes by the user's umask."""

    file_mode = 0o666
    folder_mode = 0o777

    def __init__(self, beside: Path, target: Path, where: str) -> None:
        self._beside = beside
        self._target = target
        self.where = where

    @contextlib.contextmanager
    def staging(self) -> Iterator[tuple[int, str]]:
        fd = open_path(self._beside)
        try:
            yield fd, _HIDDEN
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def parent(self, *, create: bool) -> Iterator[tuple[int, str]]:
        fd = open_path(self._beside)
        try:
            parts = self._target.parent.relative_to(self._beside).parts
            with opened_folder(fd, parts, create=create, mode=self.folder_mode) as parent:
                yield parent, self._target.name
        finally:
            os.close(fd)

    def may_swap(self) -> bool:
        """Not for a mount point or the folder a shell or this process stands in: it would be left in the old one."""
        return not self._target.is_mount() and self._target != Path(os.path.realpath(Path.cwd()))
