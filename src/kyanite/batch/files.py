"""The folders of tasks: paths that cannot leave them, reading by range, listing, writing, removing.

Every step of a path is opened relative to the folder before it and links are refused while opening, not before, so a
task that swaps a folder for a link gains nothing.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from kyanite import limits
from kyanite.errors import BatchError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NOTHING_THERE = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.EISDIR, errno.ENAMETOOLONG, errno.ENODEV}
)


@dataclass(frozen=True)
class FileEntry:
    """A file or folder of a task; `name` is relative to the task's directory, `size` is bytes (0 for folders)."""

    name: str
    is_folder: bool
    size: int
    modified: datetime


def split_path(path: str) -> tuple[str, ...]:
    """The steps of a relative path; BatchError for absolute ones, `..`, empty steps, backslashes and NUL."""
    parts = tuple(path.split("/"))
    if any(part in ("", ".", "..") or "\0" in part or "\\" in part or len(part.encode()) > 255 for part in parts):
        raise BatchError(
            f"'{path[:200]}' is not a path below the task's directory.",
            cure="Give a relative path such as wd/result.json.",
            code="InvalidUri",
        )
    return parts


@contextmanager
def opened_folder(root: Path, parts: Sequence[str], create: bool = False) -> Iterator[int]:
    """A handle of the folder `parts` below `root`, links refused; with `create` missing folders are made (0700)."""
    handle = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts:
            if create:
                with suppress(FileExistsError):
                    os.mkdir(part, 0o700, dir_fd=handle)
            below = os.open(part, _FOLDER, dir_fd=handle)
            os.close(handle)
            handle = below
        yield handle
    finally:
        os.close(handle)


class OpenFile:
    """A file or folder that is held open: what is read of it is the file that was found, whatever its name does since.

    `size` is bytes (0 for folders), `mode` the permission bits. Close it, or use it as a context manager.
    """

    def __init__(self, handle: int, parts: Sequence[str]) -> None:
        status = os.fstat(handle)
        self._handle = handle
        self.name = "/".join(parts)
        self.is_folder = stat.S_ISDIR(status.st_mode)
        self.size = 0 if self.is_folder else status.st_size
        self.modified = datetime.fromtimestamp(status.st_mtime, UTC)
        self.mode = stat.S_IMODE(status.st_mode)

    def __enter__(self) -> OpenFile:
        return self

    def __exit__(self, *_details: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()  # an answer whose client hung up before its first byte is never iterated

    def read(self, offset: int, length: int) -> bytes:
        """At most `length` bytes from `offset` on; fewer, or none, at the end of the file."""
        return os.pread(self._handle, length, offset)

    def close(self) -> None:
        """Let go of the file; closing twice is allowed."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def open_file(root: Path, parts: Sequence[str]) -> OpenFile:
    """A regular file or a folder; FileNotFound for anything else, links among them."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        with opened_folder(root, parts[:-1]) as folder:
            handle = os.open(parts[-1], flags, dir_fd=folder)
    except OSError as error:
        if error.errno in _NOTHING_THERE:
            raise _not_found(parts) from error
        raise BatchError(f"The file cannot be read: {error.strerror}.", where="/".join(parts)) from error
    kind = stat.S_IFMT(os.fstat(handle).st_mode)
    if kind not in (stat.S_IFREG, stat.S_IFDIR):
        os.close(handle)
        raise _not_found(parts)
    return OpenFile(handle, parts)


def read_range(root: Path, parts: Sequence[str], offset: int, length: int | None) -> bytes:
    """Bytes of a regular file, at most limits.TASK_OUTPUT_READ_BYTES per call; FileNotFound for anything else."""
    size = limits.TASK_OUTPUT_READ_BYTES if length is None else min(length, limits.TASK_OUTPUT_READ_BYTES)
    if offset < 0 or size < 0:
        raise BatchError("Offset and length cannot be negative.", code="InvalidQueryParameterValue")
    with open_file(root, parts) as file:
        if file.is_folder:
            raise _not_found(parts)
        return file.read(offset, size)


def delete_path(root: Path, parts: Sequence[str], recursive: bool) -> None:
    """Delete one file, or a folder: an empty one, or with `recursive` all that is in it. Links are never followed.

    FileNotFound when there is nothing, OperationInvalidForCurrentState for a folder that is not empty.
    """
    try:
        with opened_folder(root, parts[:-1]) as folder:
            if not stat.S_ISDIR(os.stat(parts[-1], dir_fd=folder, follow_symlinks=False).st_mode):
                os.unlink(parts[-1], dir_fd=folder)
            elif recursive:
                shutil.rmtree(parts[-1], dir_fd=folder)
            else:
                os.rmdir(parts[-1], dir_fd=folder)
    except OSError as error:
        if error.errno in _NOTHING_THERE:
            raise _not_found(parts) from error
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise BatchError(
                "The directory is not empty.",
                where="/".join(parts),
                cure="Delete it with recursive=true.",
                code="OperationInvalidForCurrentState",
            ) from error
        raise BatchError(f"The file cannot be deleted: {error.strerror}.", where="/".join(parts)) from error


def list_folder(root: Path, parts: Sequence[str], recursive: bool) -> list[FileEntry]:
    """What is in the folder, sorted by name; links and special files are left out."""
    found: list[FileEntry] = []
    waiting: list[tuple[str, ...]] = [()]
    while waiting:
        below = waiting.pop()
        try:
            with opened_folder(root, (*parts, *below)) as folder:
                for item in os.listdir(folder):  # noqa: PTH208 - a handle, not a path
                    status = os.stat(item, dir_fd=folder, follow_symlinks=False)
                    is_folder = stat.S_ISDIR(status.st_mode)
                    if not is_folder and not stat.S_ISREG(status.st_mode):
                        continue
                    modified = datetime.fromtimestamp(status.st_mtime, UTC)
                    name = "/".join((*below, item))
                    found.append(FileEntry(name, is_folder, 0 if is_folder else status.st_size, modified))
                    if is_folder and recursive:
                        waiting.append((*below, item))
        except (FileNotFoundError, NotADirectoryError):
            continue  # a running task removes files while they are listed
    return sorted(found, key=lambda entry: entry.name)


@contextmanager
def written_file(root: Path, parts: Sequence[str], mode: int) -> Iterator[BinaryIO]:
    """A new file at the path, visible under its name when the block ends well; folders on the way are made."""
    with opened_folder(root, parts[:-1], create=True) as folder:
        beside = f".kyanite-{uuid.uuid4().hex}"
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with os.fdopen(os.open(beside, flags, 0o600, dir_fd=folder), "wb") as out:
                yield out
                out.flush()
                os.fchmod(out.fileno(), mode)
            os.rename(beside, parts[-1], src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(beside, dir_fd=folder)
            raise


def remove_file(root: Path, parts: Sequence[str]) -> None:
    """Remove one file or link if it is there."""
    try:
        with opened_folder(root, parts[:-1]) as folder:
            os.unlink(parts[-1], dir_fd=folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise


def remove_folder(root: Path, parts: Sequence[str]) -> None:
    """Remove a folder and all below it; a link in its place is removed itself, never followed."""
    try:
        with opened_folder(root, parts[:-1]) as folder:
            if stat.S_ISDIR(os.stat(parts[-1], dir_fd=folder, follow_symlinks=False).st_mode):
                shutil.rmtree(parts[-1], dir_fd=folder)
            else:
                os.unlink(parts[-1], dir_fd=folder)
    except (FileNotFoundError, NotADirectoryError):
        return


def _not_found(parts: Sequence[str]) -> BatchError:
    return BatchError("The specified file does not exist.", where="/".join(parts), code="FileNotFound")
