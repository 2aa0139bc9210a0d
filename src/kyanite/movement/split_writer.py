"""Parts being written, with their checksums, and sets of parts that are uploaded as they are written."""

from __future__ import annotations

import functools
import threading
import zlib
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, cast

from kyanite.connections import Connection, Writer
from kyanite.errors import StorageError
from kyanite.storage import FileWriter
from kyanite.storage.model import join

MOST_PENDING = 5  # parts that are written and not complete yet
_LARGE_BYTES = 8 * 1024 * 1024  # of one piece

if TYPE_CHECKING:
    import hashlib
    from concurrent.futures import Future, ThreadPoolExecutor

    from kyanite.connections.azure_blocks import BlockWriter


@functools.cache
def _crc32(is_large: bool) -> Callable[[bytes | bytearray | memoryview, int], int]:
    """Zlib's (2.7 GB/s), or for large pieces one that is worth the time to load it."""
    if not is_large:
        return zlib.crc32
    from anycrc import Model

    calculate: Callable[[bytes | bytearray | memoryview, int], int] = Model("CRC32").calc
    return calculate


class Checksum:
    """A checksum of a stream: `fast` is CRC-32 (7 to 19 GB/s here, SHA-256 1.5, BLAKE2 0.65), `none` has no text."""

    def __init__(self, kind: str, *, is_large: bool = False) -> None:
        self._kind = kind
        self._is_large = is_large  # all that comes together, whatever the pieces
        self._crc = 0
        self._hash: hashlib._Hash | None = None
        if kind == "sha256":
            import hashlib

            self._hash = hashlib.sha256()

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Take bytes in."""
        if self._hash is not None:
            self._hash.update(data)
        elif self._kind == "fast":
            self._crc = _crc32(self._is_large or len(data) >= _LARGE_BYTES)(data, self._crc)

    @property
    def is_taken(self) -> bool:
        """Whether there is one at all."""
        return self._kind != "none"

    @property
    def may_be_etag(self) -> bool:
        """Whether the ETag can stand in for it, for bytes that never come to this machine."""
        return self._kind != "sha256"

    @property
    def text(self) -> str | None:
        """`crc32:` or `sha256:` and the digits."""
        if self._hash is not None:
            return f"sha256:{self._hash.hexdigest()}"
        return f"crc32:{self._crc:08x}" if self._kind == "fast" else None


class Finisher:
    """Completes parts - checksum and the wait for the disk - while the next ones are written; copies for them.

    A context; leaving it waits. The first error is raised by the next `submit` or by `wait`.
    """

    def __init__(self) -> None:
        self._pending: deque[Future[None]] = deque()
        self._lock = threading.Lock()  # parts may be written in several threads
        self._made: list[ThreadPoolExecutor] = []

    @functools.cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return self._threads(2)

    @functools.cached_property
    def copying(self) -> ThreadPoolExecutor:
        """A thread for what others need not wait for."""
        return self._threads(1)

    def _threads(self, count: int) -> ThreadPoolExecutor:
        from concurrent.futures import ThreadPoolExecutor

        self._made.append(ThreadPoolExecutor(count))
        return self._made[-1]

    def submit(self, work: Callable[[], None]) -> None:
        """Do the work soon; waits while many parts are pending, so that few files are open."""
        with self._lock:
            while len(self._pending) >= MOST_PENDING:
                self._pending.popleft().result()
            self._pending.append(self._pool.submit(work))

    def begin(self, work: Callable[[], None]) -> Future[None]:
        """Begin something that a later `submit` waits for."""
        return self._pool.submit(work)

    def wait(self) -> None:
        """Until everything is done."""
        with self._lock:
            while self._pending:
                self._pending.popleft().result()

    def __enter__(self) -> Finisher:
        return self

    def __exit__(self, *_: object) -> None:
        for threads in self._made:
            threads.shutdown(wait=True)


class PartWriter:
    """A part's file: passes everything on, and tells `committed` the checksum once the part is complete.

    The checksum is taken from what the place holds; where it shows nothing before the commit, from what is written.
    `at_once` does that too, while the bytes are still in the processor's cache, and does nothing behind the caller:
    less work, for who writes parts on all processors.
    """

    def __init__(
        self,
        writer: Writer,
        checksum: Checksum,
        committed: Callable[[str | None], None],
        finisher: Finisher,
        *,
        readable: bool,
        at_once: bool = False,
    ) -> None:
        self._writer = writer
        self._checksum = checksum
        self._committed = committed
        self._finisher = finisher
        self._file = writer if readable and isinstance(writer, FileWriter) else None
        self._blocks = cast("BlockWriter", writer) if hasattr(writer, "copy_range") else None
        self._sums_at_once = at_once or self._file is None

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Append bytes; how many these were."""
        if self._sums_at_once:
            self._checksum.update(data)
        return self._writer.write(data)

    def copy_from(self, descriptor: int, start: int, size: int) -> int:
        """Append bytes of another open file in the system (see FileWriter); -1 where that cannot be."""
        if self._file is None:
            return -1
        if self._sums_at_once:
            return self._file.append_mapped(descriptor, start, size, self._checksum.update)
        return self._file.copy_from(descriptor, start, size, self._finisher.copying)

    def copy_range(self, file: object, start: int, size: int) -> int:
        """Let the store append a range of another file (see BlockWriter); -1 where that cannot be."""
        if self._blocks is None or not self._checksum.may_be_etag:
            return -1
        return self._blocks.copy_range(file, start, size)

    def tell(self) -> int:
        """Bytes written so far."""
        return self._writer.tell()

    def read_back(self) -> BinaryIO | None:
        """What was written, where the place can show it already."""
        return self._writer.read_back()

    def commit(self) -> None:
        """Complete the part: soon where that takes long, and the disk works while the checksum is taken."""
        if self._sums_at_once and self._file is not None and not self._file.is_synced:
            self._finish()
            return
        synced = None
        if self._file is not None and self._checksum.is_taken and not self._sums_at_once:
            self._file.flush()
            synced = self._finisher.begin(self._file.sync)
        self._finisher.submit(partial(self._finish, synced))

    def _finish(self, synced: Future[None] | None = None) -> None:
        try:
            if synced is not None and self._file is not None:
                for piece in self._file.pieces():
                    self._checksum.update(piece)
                synced.result()
            self._writer.commit()
        except BaseException:
            if synced is not None:
                synced.exception()  # the descriptor is in use until then
            self._writer.abort()
            raise
        self._committed(self._told())

    def _told(self) -> str | None:
        """The checksum, or the ETag when not all bytes came to this machine; None when the store gave none."""
        if self._blocks is not None and self._blocks.copied:
            return f"etag:{self._blocks.etag}" if self._blocks.etag and self._checksum.is_taken else None
        return self._checksum.text

    def abort(self) -> None:
        """Drop the part."""
        self._writer.abort()


class UploadSet:
    """Files uploaded into a folder one by one, each there when its `commit` returns.

    For object stores: nothing is kept on this machine; who needs all or nothing says by a manifest when they count.
    """

    def __init__(self, connection: Connection, folder: str) -> None:
        self._connection = connection
        self._folder = folder
        self._open: list[Writer] = []
        self._lock = threading.Lock()  # parts may be opened in several threads

    def open(self, name: str) -> Writer:
        """A file of the set."""
        path = join(self._folder, name)
        blocks = getattr(self._connection, "open_blocks", None)
        opened: Writer = (blocks(path) if blocks else None) or self._connection.open_write(path)
        with self._lock:
            self._open = [*(writer for writer in self._open if not writer.closed), opened]
        return opened

    def open_read(self, name: str) -> BinaryIO:
        """A complete file of the set."""
        return self._connection.open_read(join(self._folder, name))

    def commit(self) -> None:
        """Nothing is left to do: all files are complete."""

    def abort(self) -> None:
        """Drop the uploads that are not complete; the others stay."""
        for writer in self._open:
            writer.abort()


def write_file(connection: Connection, path: str, data: bytes) -> None:
    """Put a small file at a path at once, in place of an older one."""
    with connection.open_write(path) as writer:
        writer.write(data)
        writer.commit()


def check_size(connection: Connection, path: str, size: int) -> None:
    """StorageError unless the place has the file with this many bytes."""
    entry = connection.stat(path)
    if entry is None or entry.size != size:
        found = "nothing" if entry is None else f"{entry.size} bytes"
        raise StorageError(f"{size} bytes were written, but the store has {found}.", where=connection.url(path))
