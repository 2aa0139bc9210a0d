"""Beside-files: where a write lives until its commit, named after the process that owns it.

A name tells machine, process id and start of the process, so what a killed process left behind is known and removed.
"""

from __future__ import annotations

import functools
import itertools
import os
import stat
import time
import zlib
from pathlib import Path

from kyanite.limits import STAGING_DAYS


@functools.cache
def _machine() -> str:
    """Eight characters for this machine and process-id namespace: an id of another one says nothing here."""
    try:
        namespace = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        namespace = 0
    return f"{zlib.crc32(f'{os.uname().nodename}:{namespace}'.encode()):08x}"


def process_start(pid: int) -> int | None:
    """When a process started, in the machine's own counting; None when there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        if Path("/proc/self/stat").exists():
            return None
        return _process_start_without_proc(pid)
    state_and_on = text.rpartition(")")[2].split()
    return None if state_and_on[0] == "Z" else int(state_and_on[19])


def _process_start_without_proc(pid: int) -> int | None:
    import psutil

    try:
        return int(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


_NUMBERS = itertools.count()


def new_name() -> str:
    """A fresh name owned by this process."""
    return f"{_owner(os.getpid())}-{next(_NUMBERS):x}"


@functools.lru_cache(maxsize=1)
def _owner(pid: int) -> str:
    return f"{_machine()}-{pid}-{process_start(pid)}"


def is_stale(name: str, modified: float) -> bool:
    """Whether the process that owns a name is no more; one of another machine counts as such after some days."""
    machine, *rest = name.split("-")
    if machine != _machine() or len(rest) != 3 or not rest[0].isdigit():
        return time.time() - modified > STAGING_DAYS * 24 * 3600
    return str(process_start(int(rest[0]))) != rest[1]


def sweep(folder_fd: int, prefix: str = "", suffix: str = "") -> int:
    """Remove what dead processes left in an open folder; how many files and folders that were.

    Only names of the form prefix + staging name + suffix are looked at.
    """
    removed = 0
    with os.scandir(folder_fd) as entries:
        names = [e.name for e in entries if e.name.startswith(prefix) and e.name.endswith(suffix)]
    for name in names:
        bare = name[len(prefix) : len(name) - len(suffix)]
        try:
            status = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
            if is_stale(bare, status.st_mtime):
                remove(name, folder_fd)
                removed += 1
        except FileNotFoundError:
            continue  # its owner or another sweep was quicker
    return removed


def remove(name: str, folder_fd: int) -> None:
    """Remove a file or a whole folder by its name in an open folder; gone already is fine, links are not followed."""
    try:
        status = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
    except FileNotFoundError:
        return
    if stat.S_ISDIR(status.st_mode):
        import shutil  # loads all that packs and unpacks

        shutil.rmtree(name, dir_fd=folder_fd)
    else:
        os.unlink(name, dir_fd=folder_fd)
