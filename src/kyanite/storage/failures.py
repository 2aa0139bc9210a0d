"""Errors of the operating system, told in the words of the storage service."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from kyanite.errors import StorageError

_KNOWN = {
    errno.ENOSPC: ("DiskFull", "The disk is full.", "Free some space or move the workspace, then run again."),
    errno.EDQUOT: ("DiskFull", "The disk quota is used up.", "Free some space or raise the quota, then run again."),
    errno.EFBIG: ("DiskFull", "The file is larger than this disk or the process limit allows.", None),
    errno.EROFS: ("ReadOnly", "The disk is mounted read-only.", "Mount it for writing."),
    errno.EACCES: ("AuthorizationPermissionMismatch", "This user may not open it.", "Check owner and mode."),
    errno.EPERM: ("AuthorizationPermissionMismatch", "This user may not change it.", "Check owner and mode."),
    errno.ENOENT: ("PathNotFound", "It does not exist.", None),
    errno.ENOTDIR: ("PathConflict", "A file stands where a folder is needed.", None),
    errno.EISDIR: ("PathConflict", "A folder stands where a file is needed.", None),
    errno.ENOTEMPTY: ("DirectoryNotEmpty", "The folder is not empty.", "Delete it with everything in it."),
    errno.EEXIST: ("PathAlreadyExists", "It exists already.", None),
    errno.ELOOP: ("LinkRefused", "It is a symbolic link.", "Put the file itself there; links are not followed."),
    errno.EXDEV: ("DeviceCrossed", "The container lies on another disk than its account.", "Keep both on one disk."),
}


def storage_error(problem: OSError, where: str) -> StorageError:
    """The StorageError for a failed system call on the thing named `where`; `DiskFull`, `ReadOnly`, ..."""
    code, message, cure = _KNOWN.get(problem.errno or 0, ("StorageError", f"{problem.strerror or problem}.", None))
    return StorageError(message, where=where, cure=cure, code=code)


@contextmanager
def disk_errors(where: str) -> Iterator[None]:
    """Turn any OSError inside into the StorageError that names `where`."""
    try:
        yield
    except OSError as problem:
        raise storage_error(problem, where) from problem
