"""One small SQLite database for each account, `<account>/.properties/records.db`: texts by container and key."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import threading
import time
from collections.abc import Iterator

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS record (container TEXT, key TEXT, body TEXT, at INTEGER, PRIMARY KEY (container, key))"
    " WITHOUT ROWID"
)
_WAIT_SECONDS = 30
_EVER = 2**63 - 1
_DROPPED_AT_ONCE = 64


class RecordStore:
    """The records of one account, for all threads of a process; other processes may use the same file.

    Errors of the disk are OSError. Each write is there after a kill, and after a power cut all or nothing of it.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        os.makedirs(os.path.dirname(file), 0o700, exist_ok=True)
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # what lies beside it takes its mode
        with _failures():
            self._connection = sqlite3.connect(file, _WAIT_SECONDS, isolation_level=None, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.execute(_SCHEMA)
        self.inode = os.stat(file).st_ino
        self._lock = threading.Lock()
        self._dropped: dict[tuple[str, str], None] = {}  # what the file still has

    def get(self, container: str, key: str) -> str | None:
        """The text of a key, or None."""
        with self._lock, _failures():
            if (container, key) in self._dropped:
                return None
            query = "SELECT body FROM record WHERE container = ? AND key = ?"
            row = self._connection.execute(query, (container, key)).fetchone()
        return row[0] if row else None

    def put(self, container: str, key: str, body: str) -> None:
        """Write the text of a key."""
        with self._lock, _failures():
            self._dropped.pop((container, key), None)
            row = (container, key, body, time.time_ns())
            self._connection.execute("INSERT OR REPLACE INTO record VALUES (?, ?, ?, ?)", row)

    def drop(self, container: str, *keys: str) -> None:
        """Forget keys; those that are not there are fine. The file follows later: many at once cost what one does."""
        with self._lock, _failures():
            self._dropped.update(((container, key), None) for key in keys)
            if len(self._dropped) >= _DROPPED_AT_ONCE:
                self._write_dropped()

    def _write_dropped(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._connection.executemany("DELETE FROM record WHERE container = ? AND key = ?", self._dropped)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        self._dropped.clear()

    def drop_container(self, container: str) -> None:
        """Forget all keys of a container."""
        with self._lock, _failures():
            self._connection.execute("DELETE FROM record WHERE container = ?", (container,))

    def keys(self, container: str, before_ns: int = _EVER, *, after: str = "", most: int = -1) -> list[str]:
        """The keys of a container that were written before a time, sorted; `most` of them, behind `after`."""
        with self._lock, _failures():
            if self._dropped:
                self._write_dropped()
            query = "SELECT key FROM record WHERE container = ? AND at < ? AND key > ? ORDER BY key LIMIT ?"
            return [row[0] for row in self._connection.execute(query, (container, before_ns, after, most))]

    def bodies(self, container: str, part: str) -> list[str]:
        """The texts of a container that have this part."""
        with self._lock, _failures():
            if self._dropped:
                self._write_dropped()
            query = "SELECT body FROM record WHERE container = ? AND instr(body, ?)"
            return [row[0] for row in self._connection.execute(query, (container, part))]

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


_OPEN: dict[tuple[int, str], RecordStore] = {}
_OPENING = threading.Lock()


def record_store(account: str) -> RecordStore:
    """The store of the account in a folder, made when there is none yet."""
    return existing_store(account) or _opened(account)


def existing_store(account: str) -> RecordStore | None:
    """The store of the account in a folder, opened once in each process, and anew when its file was removed."""
    file = f"{account}/.properties/records.db"
    key = (os.getpid(), file)
    found = _OPEN.get(key)
    inode = _inode(file)
    if inode is None:
        return None
    return found if found is not None and inode == found.inode else _opened(account)


def _opened(account: str) -> RecordStore:
    file = f"{account}/.properties/records.db"
    key = (os.getpid(), file)
    with _OPENING:
        old = _OPEN.get(key)
        if old is not None and _inode(file) == old.inode:
            return old  # another thread was first, and is at work with it
        if old is not None:
            old.close()
        _OPEN[key] = opened = RecordStore(file)
    return opened


def _inode(file: str) -> int | None:
    try:
        return os.stat(file).st_ino
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as problem:
        full = problem.sqlite_errorcode in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE)
        number = (
            errno.ENOSPC if full else errno.EROFS if problem.sqlite_errorcode == sqlite3.SQLITE_READONLY else errno.EIO
        )
        raise OSError(number, f"{os.strerror(number)} ({problem})") from problem
