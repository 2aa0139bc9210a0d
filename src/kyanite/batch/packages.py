"""Application packages: zip files of the account, unpacked once per node into `applications`, named in the environment.

Only plain files and folders are taken out, each below the package's own folder: no links, no absolute names, no `..`,
no two names that differ in case only, and no more than limits.ARCHIVE_* allow (reliability reference section 7).
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import uuid
import zipfile
from collections.abc import Iterable
from pathlib import Path

from kyanite import limits
from kyanite.batch.files import split_path
from kyanite.batch.specs import FailureInfo
from kyanite.batch.staging import StagingError
from kyanite.errors import BatchError

_CHUNK = 1 << 20


def variable_of(application: str, version: str | None) -> str:
    """The variable that names a package's folder on Linux; without a version it is that of the default one."""
    parts = [application.lower()] + ([version] if version else [])
    return "AZ_BATCH_APP_PACKAGE_" + "_".join(re.sub(r"[^A-Za-z0-9_]", "_", part) for part in parts)


def unpack(applications: Path, packages: Iterable[tuple[str, Path]]) -> dict[str, str]:
    """Unpack each (variable, zip file) unless it is there; variable -> folder. StagingError ApplicationPackageError."""
    folders: dict[str, str] = {}
    for variable, archive in packages:
        name = variable.removeprefix("AZ_BATCH_APP_PACKAGE_")
        try:
            status = archive.stat()
            folder = applications / f"{name}-{status.st_mtime_ns:x}-{status.st_size:x}"
            if not folder.is_dir():
                _unpack_beside(archive, folder)
        except (OSError, ValueError, NotImplementedError, RuntimeError, zipfile.BadZipFile, BatchError) as error:
            reason = error.message if isinstance(error, BatchError) else str(error)
            message = f"The application package '{name}' could not be unpacked: {reason}"
            raise StagingError(FailureInfo("UserError", "ApplicationPackageError", message)) from error
        folders[variable] = str(folder)
    return folders


def _unpack_beside(archive: Path, folder: Path) -> None:
    beside = folder.with_name(f".{uuid.uuid4().hex}")
    try:
        with zipfile.ZipFile(archive) as package:
            members = package.infolist()
            _check(members)
            beside.mkdir(mode=0o700)
            total = 0
            for member in members:
                total += _extract(package, member, beside, limits.ARCHIVE_BYTES - total)
        try:
            beside.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another task of the node was first
                raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _check(members: list[zipfile.ZipInfo]) -> None:
    if len(members) > limits.ARCHIVE_MEMBERS:
        raise BatchError(f"it has {len(members):,} members, at most {limits.ARCHIVE_MEMBERS:,} are taken.")
    seen: set[str] = set()
    for member in members:
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise BatchError(f"'{member.filename}' is a link or a special file.")
        split_path(member.filename.rstrip("/"))
        folded = member.filename.rstrip("/").casefold()
        if folded in seen:
            raise BatchError(f"'{member.filename}' is in it twice.")
        seen.add(folded)
        if member.file_size > max(_CHUNK, member.compress_size * limits.ARCHIVE_RATIO):
            raise BatchError(f"'{member.filename}' is compressed more than {limits.ARCHIVE_RATIO} to 1.")
    if sum(member.file_size for member in members) > limits.ARCHIVE_BYTES:
        raise BatchError(f"it holds more than {limits.ARCHIVE_BYTES:,} bytes.")


def _extract(package: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path, room: int) -> int:
    """Write one member; the bytes really written, which its header may belie."""
    target = folder.joinpath(*split_path(member.filename.rstrip("/")))
    if member.is_dir():
        target.mkdir(parents=True, exist_ok=True, mode=0o700)
        return 0
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    mode = (member.external_attr >> 16) & 0o777 or 0o644
    written = 0
    handle = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as out, package.open(member) as source:
        while piece := source.read(_CHUNK):
            written += len(piece)
            if written > min(room, member.file_size):
                raise BatchError(f"'{member.filename}' is larger than it says.")
            out.write(piece)
        os.fchmod(out.fileno(), (mode | 0o400) & 0o755)
    return written
