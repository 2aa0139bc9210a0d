"""Bytes between two places: streamed, shown while they move, committed whole; large ones go on where they stopped.

What has arrived of a file of 64 MB or more stays beside its target when the program ends early. The next transfer of
the same source compares the end of that with the source and goes on there.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from kyanite.cli.output import duration, size
from kyanite.cli.session import Session, visible
from kyanite.errors import ConflictError

if TYPE_CHECKING:
    from kyanite.storage import StorageAccount

BLOCK_BYTES = 4 * 1024 * 1024
KEPT_FROM_BYTES = 64 * 1024 * 1024
SHOWN_FROM_BYTES = 64 * 1024 * 1024
SHOWN_EVERY_SECONDS = 0.2
LEAVINGS_SECONDS = 7 * 24 * 3600
_UPLOADS = ".uploads"


@dataclass(frozen=True)
class Transfer:
    """One file that has moved; `resumed` bytes had arrived before."""

    source: str
    target: str
    size: int
    resumed: int = 0


class Moving:
    """Tells on a terminal how far many files are: bytes, rate and time left."""

    def __init__(self, session: Session, sizes: Sequence[int]) -> None:
        self._session = session
        self._files = len(sizes)
        self._total = sum(sizes)
        self._done = self._file = 0
        self._moved = 0
        self._began = time.monotonic()

    @contextmanager
    def shown(self) -> Iterator[Moving]:
        """Show it for the length of a `with`."""
        with overwritten_line(self._session) as show:
            self._show = show
            yield self

    def begin(self) -> None:
        """The next file."""
        self._file += 1

    def skip(self, count: int) -> None:
        """So many bytes were there already."""
        self._done += count

    def step(self, count: int) -> None:
        """So many bytes have moved."""
        self._done += count
        self._moved += count
        if self._total >= SHOWN_FROM_BYTES or self._files > 1:
            self._show(self._line())

    def _line(self) -> str:
        seconds = max(1e-6, time.monotonic() - self._began)
        rate = self._moved / seconds
        share = min(100, self._done * 100 // self._total) if self._total else 100
        files = f"file {self._file} of {self._files}, " if self._files > 1 else ""
        left = f", about {duration((self._total - self._done) / rate)} left" if rate else ""
        return f"{files}{size(self._done)} of {size(self._total)} ({share} %), {size(rate)}/s{left}"


def files_below(path: Path, left_out: Callable[[Path, str], None]) -> Iterator[tuple[Path, str]]:
    """The file itself with an empty relative path, or all files below a folder, sorted; links to files are followed.

    `left_out` is told what is no file, and why. OSError for a folder that cannot be read.
    """
    if path.is_file():
        yield path, ""
        return
    if not path.is_dir():
        left_out(path, "neither a file nor a folder")
        return
    for folder, folders, names in os.walk(path, onerror=_raise):
        folders.sort()
        for name in folders:
            if (linked := Path(folder, name)).is_symlink():
                left_out(linked, "a link to a folder")
        for name in sorted(names):
            file = Path(folder, name)
            if file.is_file():
                yield file, file.relative_to(path).as_posix()
            else:
                left_out(file, "a link to nothing" if file.is_symlink() else "neither a file nor a folder")


def _raise(problem: OSError) -> None:
    raise problem


def upload(account: StorageAccount, source: Path, container: str, path: str, moving: Moving) -> Transfer:
    """Put a file's bytes at a place; nothing is seen there before all of them are."""
    target = f"{account.name}/{container}/{path}"
    with source.open("rb") as reader:
        status = os.fstat(reader.fileno())
        if status.st_size < KEPT_FROM_BYTES:
            with account.open_write(container, path) as writer:
                total = pump(reader, writer.write, moving)
                writer.commit()
            return Transfer(str(source), target, total)
        folder = account.folder / _UPLOADS
        folder.mkdir(mode=0o700, exist_ok=True)
        _sweep(folder.iterdir())
        identity = f"{container}/{path}\0{source.resolve()}\0{status.st_size}\0{status.st_mtime_ns}"
        beside = folder / hashlib.sha256(identity.encode(errors="surrogateescape")).hexdigest()[:32]
        had = _arrive(reader, beside, moving, target)
        from kyanite.storage.staged import Beside

        account.blobs.publish(Beside(str(beside)), container, path, None)
    return Transfer(str(source), target, status.st_size, had)


def download(reader: BinaryIO, source: str, version: str, expected: int, target: Path, moving: Moving) -> Transfer:
    """Put a blob's bytes into a file; it appears by a rename when all of them are there. `version` is its ETag."""
    target.parent.mkdir(parents=True, exist_ok=True)
    mark = hashlib.sha256(f"{source}\0{version}".encode()).hexdigest()[:12]
    beside = target.with_name(f".{target.name}.{mark}.part")
    _sweep(target.parent.glob(f".{target.name}.*.part"))
    had = 0
    try:
        had = _arrive(reader, beside, moving, str(target))
        beside.replace(target)
    finally:
        if expected < KEPT_FROM_BYTES:
            beside.unlink(missing_ok=True)
    return Transfer(source, str(target), expected, had)


def _arrive(reader: BinaryIO, beside: Path, moving: Moving, target: str) -> int:
    """Bring the reader's bytes into a file, after those that are there; how many these were. It is on disk then."""
    descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "r+b", buffering=0) as writer:
        try:
            fcntl.flock(writer, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as problem:
            raise ConflictError("Another program writes this file now.", where=target) from problem
        had = _kept(reader, writer)
        reader.seek(had)
        writer.seek(had)
        writer.truncate()
        moving.skip(had)
        pump(reader, writer.write, moving)
        os.fsync(writer.fileno())
    return had


def _kept(reader: BinaryIO, writer: Any) -> int:
    """How many of the bytes that are there can stay: their last block is compared with the source's."""
    had = int(writer.seek(0, os.SEEK_END))
    begin = max(0, had - BLOCK_BYTES)
    writer.seek(begin)
    reader.seek(begin)
    there = b"".join(iter(lambda: writer.read(BLOCK_BYTES), b""))
    return had if there and there == _read(reader, len(there)) else 0


def _read(reader: BinaryIO, length: int) -> bytes:
    pieces = []
    while length and (piece := reader.read(length)):
        pieces.append(piece)
        length -= len(piece)
    return b"".join(pieces)


def _sweep(files: Iterator[Path]) -> None:
    """Remove what was given up a week ago."""
    for file in files:
        with suppress(OSError):
            if time.time() - file.stat().st_mtime > LEAVINGS_SECONDS:
                file.unlink()


def pump(reader: BinaryIO, write: Callable[[bytes], object], moving: Moving) -> int:
    """All that is left of a file into another; how many bytes."""
    done = 0
    while block := reader.read(BLOCK_BYTES):
        view = memoryview(block)
        while view:
            count = write(view)  # type: ignore[arg-type]
            view = view[count if isinstance(count, int) else len(view) :]
        done += len(block)
        moving.step(len(block))
    return done


def show_transfers(session: Session, transfers: Sequence[Transfer]) -> None:
    """A line for each file that has moved, or JSON."""
    if session.as_json:
        rows = [{"source": item.source, "target": item.target, "size": item.size} for item in transfers]
        for row, item in zip(rows, transfers, strict=True):
            if item.resumed:
                row["resumed"] = item.resumed
        session.print_json(rows)
        return
    for item in transfers:
        resumed = f", {size(item.resumed)} of it were there already" if item.resumed else ""
        session.echo(f"{visible(item.source)} -> {visible(item.target)}  {size(item.size)}{resumed}")


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
