"""Folders opened part by part from an open folder, so that no link can lead a path elsewhere."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from kyanite.errors import StorageError
from kyanite.storage.model import Entry, etag_of, listing_key

FOLDER_MODE = 0o700
FILE_MODE = 0o600
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextlib.contextmanager
def opened_folder(
    root_fd: int, parts: Sequence[str], *, create: bool = False, mode: int = FOLDER_MODE
) -> Iterator[int]:
    """A descriptor of the folder at `parts` below an open one; with `create`, missing ones are made.

    OSError as the system gives it: ENOENT for a missing folder, ELOOP or ENOTDIR for a link or a file on the way.
    """
    fd = os.dup(root_fd)
    try:
        for part in parts:
            fd = _step(fd, part, mode if create else None)
        yield fd
    finally:
        os.close(fd)


def _step(fd: int, part: str, create_mode: int | None) -> int:
    """Open a child folder; the parent's descriptor is closed only when that worked."""
    try:
        child = os.open(part, _FOLDER_FLAGS, dir_fd=fd)
    except FileNotFoundError:
        if create_mode is None:
            raise
        with contextlib.suppress(FileExistsError):
            os.mkdir(part, create_mode, dir_fd=fd)
        child = os.open(part, _FOLDER_FLAGS, dir_fd=fd)
    except NotADirectoryError as problem:
        # Linux answers ENOTDIR for a link opened with O_DIRECTORY | O_NOFOLLOW
        if stat.S_ISLNK(os.stat(part, dir_fd=fd, follow_symlinks=False).st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from problem
        raise
    os.close(fd)
    return child


def open_below(top: str, parts: Sequence[str], *, create: bool = False) -> int:
    """A descriptor of the folder at `parts` below the folder `top`, which may be no link itself."""
    try:
        fd = os.open(top, _FOLDER_FLAGS)
    except NotADirectoryError as problem:
        if stat.S_ISLNK(os.stat(top, follow_symlinks=False).st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from problem
        raise
    try:
        for part in parts:
            fd = _step(fd, part, FOLDER_MODE if create else None)
    except BaseException:
        os.close(fd)
        raise
    return fd


def open_path(path: Path) -> int:
    """A descriptor of a folder by its path in the file system; links in it are followed."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def open_file(folder_fd: int, name: str, where: str) -> BinaryIO:
    """A regular file for reading. Links, hard links out of the folder, pipes and devices are refused."""
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder_fd)
    try:
        status = os.fstat(fd)
        if stat.S_ISDIR(status.st_mode):
            raise StorageError("It is a folder, not a file.", where=where, code="PathConflict")
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            raise StorageError(
                "It is not a plain file of its own (a device, a pipe, or a hard link to another file).",
                where=where,
                cure="Copy the file there instead of linking it.",
                code="LinkRefused",
            )
        return os.fdopen(fd, "rb", buffering=256 * 1024)
    except BaseException:
        os.close(fd)
        raise


def entry_of(path: str, status: os.stat_result) -> Entry | None:
    """The listing entry for a plain file or folder; None for everything else (links, pipes, devices)."""
    modified = datetime.fromtimestamp(status.st_mtime_ns / 1e9, UTC)
    if stat.S_ISDIR(status.st_mode):
        return Entry(path, 0, modified, is_folder=True)
    if not stat.S_ISREG(status.st_mode):
        return None
    return Entry(path, status.st_size, modified, etag=etag_of(status.st_mtime_ns, status.st_ino))


def walk(root_fd: int, parts: Sequence[str], base: str, *, recursive: bool, hidden: str = "\0") -> Iterator[Entry]:
    """Entries below the folder at `parts`, in the order of their full paths, which begin with `base`.

    Recursive: files only, at every depth. Otherwise: the folder's own files and folders. Names that begin with
    `hidden` are left out, and so is what is neither file nor folder.
    """
    pending = list(reversed(_children(root_fd, parts, base, hidden)))
    while pending:
        entry = pending.pop()
        if not entry.is_folder or not recursive:
            yield entry
            continue
        below = entry.path[len(base) :].strip("/").split("/")
        with contextlib.suppress(FileNotFoundError):  # removed while we walk
            pending.extend(reversed(_children(root_fd, (*parts, *below), entry.path, hidden)))


def _children(root_fd: int, folder: Sequence[str], base: str, hidden: str) -> list[Entry]:
    found: list[Entry] = []
    with opened_folder(root_fd, folder) as fd, os.scandir(fd) as listing:
        for item in listing:
            if item.name.startswith(hidden):
                continue
            with contextlib.suppress(FileNotFoundError):
                entry = entry_of(f"{base}/{item.name}".lstrip("/"), item.stat(follow_symlinks=False))
                if entry is not None:
                    found.append(entry)
    return sorted(found, key=lambda entry: listing_key(entry.path, entry.is_folder))


def path_of(descriptor: int) -> str | None:
    """The real path of an open file or folder; None where the system does not tell, or it has none any more."""
    try:
        if sys.platform == "darwin":
            path = fcntl.fcntl(descriptor, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0").decode()
        else:
            path = os.readlink(f"/proc/self/fd/{descriptor}")
        return path if os.path.samestat(os.stat(path), os.fstat(descriptor)) else None
    except OSError:
        return None
