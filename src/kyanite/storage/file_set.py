"""Several files of one folder that become visible together, in place of the files they replace."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import sys
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import BinaryIO, Protocol

from kyanite.errors import StorageError
from kyanite.storage.failures import storage_error
from kyanite.storage.file_writer import FileWriter
from kyanite.storage.folders import open_file, opened_folder, path_of
from kyanite.storage.staging import new_name, remove

_RENAME_EXCHANGE = 2


class Place(Protocol):
    """Where a file set is staged and where it goes; both on one file system."""

    where: str
    file_mode: int
    folder_mode: int

    def staging(self) -> contextlib.AbstractContextManager[tuple[int, str]]:
        """Open folder that takes the staged folder, and a prefix for its name."""

    def parent(self, *, create: bool) -> contextlib.AbstractContextManager[tuple[int, str]]:
        """Open parent of the target folder, and the target's name in it."""

    def may_swap(self) -> bool:
        """Whether the target folder itself may be exchanged for another."""


class FileSet:
    """Files staged in a folder of their own; `commit` shows all of them, `abort` none.

    `replaces` says by name which files of the target folder are the set's older generation. When the folder holds
    nothing else, it is exchanged as a whole: a reader sees the old set or the new set, also after a kill. A folder
    shared with other files gets the staged files one rename after the other, then loses what is left of the old set.
    With `is_synced` off nothing of it waits for the disk: a kill is survived as before, a power cut may cut files.
    """

    def __init__(self, place: Place, replaces: Callable[[str], bool], *, is_synced: bool = True) -> None:
        self._place = place
        self.is_synced = is_synced
        self._replaces = replaces
        self._open: list[FileWriter] = []
        self.names: list[str] = []
        self.closed = False
        with self._failures(), place.staging() as (fd, prefix):
            self._name = f"{prefix}{new_name()}"
            os.mkdir(self._name, place.folder_mode, dir_fd=fd)

    def open(self, name: str) -> FileWriter:
        """A file of the set; its `commit` only completes it, visible it becomes with the set.

        A completed file of that name is given up for the new one.
        """
        with self._failures(), self._staged() as folder:
            if name in self.names:
                self.names.remove(name)
                remove(name, folder)
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            fd = os.open(name, flags, self._place.file_mode, dir_fd=folder)
        where = f"{self._place.where}/{name}"
        writer = FileWriter(fd, where, lambda: self._complete(name), lambda: self._drop(name), is_synced=self.is_synced)
        self._open.append(writer)
        return writer

    def open_read(self, name: str) -> BinaryIO:
        """A completed file of the set, before anybody else sees it."""
        with self._failures(), self._staged() as folder:
            return open_file(folder, name, f"{self._place.where}/{name}")

    def folder_path(self) -> str | None:
        """Where the set is staged, for other processes that write its files; None where the system does not tell."""
        with self._failures(), self._staged() as folder:
            return path_of(folder)

    @property
    def file_mode(self) -> int:
        """Permissions that its files get, before the umask."""
        return self._place.file_mode

    def adopt(self, name: str) -> None:
        """A complete file that another process has put into the staged folder belongs to the set."""
        with self._failures(), self._staged() as folder:
            os.stat(name, dir_fd=folder, follow_symlinks=False)
        if name not in self.names:
            self._complete(name)

    def commit(self) -> None:
        """Make the completed files visible; StorageError, with the old set untouched, when one is still open."""
        if self.closed or any(not writer.closed for writer in self._open):
            raise StorageError("A file of the set is still open.", where=self._place.where, code="InvalidOperation")
        try:
            with self._failures():
                self._publish()
        finally:
            self.abort()

    def abort(self) -> None:
        """Drop what was staged; harmless after a commit."""
        self.closed = True
        for writer in self._open:
            writer.abort()
        with self._failures(), self._place.staging() as (fd, _):
            remove(self._name, fd)

    def __enter__(self) -> FileSet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.closed:
            self.abort()

    def _complete(self, name: str) -> None:
        self.names.append(name)

    def _drop(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError), self._staged() as folder:
            remove(name, folder)

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except OSError as problem:
            raise storage_error(problem, self._place.where) from problem

    @contextlib.contextmanager
    def _staged(self) -> Iterator[int]:
        with self._place.staging() as (fd, _), opened_folder(fd, (self._name,)) as folder:
            yield folder

    def _publish(self) -> None:
        with (
            self._place.staging() as (staging, _),
            self._staged() as staged,
            self._place.parent(create=True) as (parent, target),
        ):
            self._sync(staged)
            with contextlib.suppress(FileExistsError):
                os.mkdir(target, self._place.folder_mode, dir_fd=parent)
            with opened_folder(parent, (target,)) as folder:
                present, mode = os.listdir(folder), os.fstat(folder).st_mode & 0o7777
            if self._place.may_swap() and all(self._replaces(name) for name in present):
                os.chmod(self._name, mode, dir_fd=staging)
                exchange(staging, self._name, parent, target)
                self._bring_back(staging, parent, target)
            else:
                self._move_one_by_one(staged, parent, target, present)
            self._sync(parent)

    def _bring_back(self, staging: int, parent: int, target: str) -> None:
        """Files of others that came into the old folder just before the exchange go to the new one."""
        with opened_folder(staging, (self._name,)) as old, opened_folder(parent, (target,)) as new:
            for name in os.listdir(old):
                if not self._replaces(name):
                    os.rename(name, name, src_dir_fd=old, dst_dir_fd=new)

    def _move_one_by_one(self, staged: int, parent: int, target: str, present: list[str]) -> None:
        with opened_folder(parent, (target,)) as folder:
            for name in self.names:
                os.rename(name, name, src_dir_fd=staged, dst_dir_fd=folder)
            for name in present:
                if name not in self.names and self._replaces(name):
                    remove(name, folder)
            self._sync(folder)

    def _sync(self, folder: int) -> None:
        if self.is_synced:
            os.fsync(folder)


def exchange(first_fd: int, first: str, second_fd: int, second: str) -> None:
    """Swap two folders, atomically where the system can; where it cannot, with a moment in which `second` is absent."""
    rename = _renameat2()
    if rename is not None:
        if rename(first_fd, os.fsencode(first), second_fd, os.fsencode(second), _RENAME_EXCHANGE) == 0:
            return
        number = ctypes.get_errno()
        if number not in (22, 38, 95):  # EINVAL, ENOSYS, ENOTSUP: the file system cannot exchange
            raise OSError(number, os.strerror(number))
    away = f"{first}.old"
    os.rename(second, away, src_dir_fd=second_fd, dst_dir_fd=first_fd)
    os.rename(first, second, src_dir_fd=first_fd, dst_dir_fd=second_fd)
    os.rename(away, first, src_dir_fd=first_fd, dst_dir_fd=first_fd)


@functools.cache
def _renameat2() -> Callable[..., int] | None:
    if not sys.platform.startswith("linux"):
        return None
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is not None:
        function.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    return function
