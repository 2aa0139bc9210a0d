"""Bytes between this machine and a storage account: streamed, shown while they move, committed whole."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from kyanite.cli.output import size
from kyanite.cli.session import Session, visible
from kyanite.cli.storage_path import StoragePath
from kyanite.errors import NotFoundError

if TYPE_CHECKING:
    from kyanite.storage import StorageAccount

BLOCK_BYTES = 4 * 1024 * 1024
SHOWN_FROM_BYTES = 64 * 1024 * 1024
SHOWN_EVERY_SECONDS = 0.2


@dataclass(frozen=True)
class Transfer:
    """One file that has moved."""

    source: str
    target: str
    size: int


def files_below(path: Path) -> Iterator[tuple[Path, str]]:
    """The file itself with an empty relative path, or all files below a folder, sorted."""
    if not path.is_dir():
        yield path, ""
        return
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            file = Path(folder, name)
            yield file, file.relative_to(path).as_posix()


def upload(session: Session, account: StorageAccount, source: Path, target: StoragePath) -> Transfer:
    """Put a file's bytes at a place; nothing is seen there before all of them are."""
    with source.open("rb") as reader, account.open_write(target.container, target.path) as writer:
        total = _pump(session, reader, writer, source.name, source.stat().st_size)
        writer.commit()
    return Transfer(str(source), str(target), total)


def download(session: Session, account: StorageAccount, source: StoragePath, target: Path) -> Transfer:
    """Put a blob's bytes into a file; it appears by a rename when all of them are there."""
    entry = account.stat(source.container, source.path)
    if entry is None:
        raise NotFoundError("There is no such file.", where=str(source), code="BlobNotFound")
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with account.open_read(source.container, source.path) as reader, beside.open("wb") as writer:
            total = _pump(session, reader, writer, target.name, entry.size)
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)
    return Transfer(str(source), str(target), total)


def _pump(session: Session, reader: BinaryIO, writer: Any, name: str, expected: int) -> int:
    done = 0
    with overwritten_line(session) as show:
        while block := reader.read(BLOCK_BYTES):
            writer.write(block)
            done += len(block)
            if expected >= SHOWN_FROM_BYTES:
                show(f"{visible(name)}  {size(done)} of {size(expected)}  {done * 100 // expected} %")
    return done


@contextmanager
def overwritten_line(session: Session) -> Iterator[Callable[[str], None]]:
    """One line on a terminal's stderr, written over at most five times a second and wiped at the end."""
    last = 0.0
    terminal = session.is_terminal(err=True)

    def show(text: str) -> None:
        nonlocal last
        if terminal and time.monotonic() - last > SHOWN_EVERY_SECONDS:
            last = time.monotonic()
            session.write(f"\r\x1b[K{session.mask(text)}", sys.stderr)

    try:
        yield show
    finally:
        if last:
            session.write("\r\x1b[K", sys.stderr)
