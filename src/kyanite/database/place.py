"""Where a database file may lie: a private file on a disk of this machine."""

from __future__ import annotations

import os
import re
from pathlib import Path

from kyanite.errors import StateError

_NETWORK = frozenset(
    {
        *("afs", "cifs", "ncpfs", "nfs", "nfs4", "smb2", "smb3", "smbfs"),
        *("fuse.blobfuse", "fuse.blobfuse2", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs"),
    }
)


def prepare(path: Path) -> None:
    """Make the file (0600) and its folder (0700) when they are missing; refuse a network file system.

    SQLite's write-ahead log lives in shared memory, which a network file system does not share
    (sqlite.org/wal.html, "all processes must be on the same host").
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        kind = file_system(path)
        if kind in _NETWORK:
            raise StateError(
                f"The state database cannot lie on a network file system ({kind}).",
                where=str(path),
                cure="Give --home (or KYANITE_HOME) a folder on a local disk; data may stay where it is.",
            )
        _make_private(path)
    except OSError as error:
        raise StateError(
            f"The state database cannot be opened: {error.strerror or error}.",
            where=str(path),
            cure="Give --home (or KYANITE_HOME) a folder that you may write to.",
        ) from error


def _make_private(path: Path) -> None:
    # An existing file is never opened here: closing it would drop the locks that another connection of this process
    # holds on it (sqlite.org/howtocorrupt.html, 2.2).
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)


def file_system(path: Path, mounts: Path = Path("/proc/mounts")) -> str | None:
    """The type of the file system that holds a path, as the kernel names it; None where that cannot be told."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    real = path.resolve()
    best: tuple[int, str] | None = None
    for line in lines:
        _, place, kind = line.split(" ")[:3]
        folder = Path(re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), place))
        if real.is_relative_to(folder) and (best is None or len(folder.parts) >= best[0]):
            best = (len(folder.parts), kind)
    return best[1] if best else None
