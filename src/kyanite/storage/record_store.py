"""One small SQLite database for each account, `<account>/.properties/records.db`: texts by container and key.

New texts come by way of a journal of the process, many at once.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from kyanite.storage.record_journal import Journal, Row

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS record (container TEXT, key TEXT, body TEXT, at INTEGER, PRIMARY KEY (container, key))"
    " WITHOUT ROWID"
)
_WAIT_SECONDS = 30
_EVER = 2**63 - 1
_DROPPED_AT_ONCE = 64
_MOVED_AT_ONCE = 256
_ASKED_AT_ONCE = 256
_ADD = "INSERT OR IGNORE INTO record VALUES (?, ?, ?, ?)"
_REPLACE = "INSERT OR REPLACE INTO record VALUES (?, ?, ?, ?)"


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
        self._fresh: dict[tuple[str, str], Row] = {}  # what the file does not have yet, but the journal
        self._journal = Journal(os.path.dirname(file))
        with _failures():
            self._take_over()

    def get(self, container: str, key: str) -> str | None:
        """The text of a key, or None."""
        place = (container, key)
        with self._lock, _failures():
            if place in self._dropped:
                return None
            if place in self._fresh:
                return self._fresh[place][2]
            found = self._select(place)
            return self._elsewhere(place) if found is None else found

    def get_all(self, container: str, keys: Sequence[str]) -> dict[str, str]:
        """The texts of these keys, as far as there are any."""
        found: dict[str, str] = {}
        with self._lock, _failures():
            others = [rows for rows in self._journal.others() if rows]
            for first in range(0, len(keys), _ASKED_AT_ONCE):
                some = keys[first : first + _ASKED_AT_ONCE]
                query = f"SELECT key, body FROM record WHERE container = ? AND key IN ({','.join('?' * len(some))})"  # noqa: S608
                found.update(self._connection.execute(query, (container, *some)))
            for key in keys:
                place = (container, key)
                if place in self._dropped:
                    found.pop(key, None)
                elif place in self._fresh:
                    found[key] = self._fresh[place][2]
                elif key not in found:
                    row = next((rows[place] for rows in others if place in rows), None)
                    if row is not None:
                        found[key] = row[2]
        return found

    def _select(self, place: tuple[str, str]) -> str | None:
        query = "SELECT body FROM record WHERE container = ? AND key = ?"
        row = self._connection.execute(query, place).fetchone()
        return row[0] if row else None

    def _elsewhere(self, place: tuple[str, str]) -> str | None:
        others = list(self._journal.others())
        for rows in others:
            if place in rows:
                return rows[place][2]
        return self._select(place) if others else None  # it may have been moved between the two looks

    def add(self, container: str, key: str, body: str) -> None:
        """Write the text, one line, of a key that was never there: for less than `put`, as many rows move together."""
        place = (container, key)
        if place in self._dropped:  # it was there after all
            self.put(container, key, body)
            return
        row = (container, key, body, time.time_ns())
        with self._lock:
            self._journal.append(row)
            self._fresh[place] = row
            if len(self._fresh) >= _MOVED_AT_ONCE:
                with _failures():
                    self._write_fresh()

    def put(self, container: str, key: str, body: str) -> None:
        """Write the text of a key."""
        with self._lock, _failures():
            self._dropped.pop((container, key), None)
            self._fresh.pop((container, key), None)
            self._connection.execute(_REPLACE, (container, key, body, time.time_ns()))

    def drop(self, container: str, *keys: str) -> None:
        """Forget keys; those that are not there are fine. The file follows later: many at once cost what one does."""
        with self._lock, _failures():
            for key in keys:
                self._fresh.pop((container, key), None)
                self._dropped[container, key] = None
            if len(self._dropped) >= _DROPPED_AT_ONCE:
                self._write_dropped()

    def _write_dropped(self) -> None:
        self._together("DELETE FROM record WHERE container = ? AND key = ?", self._dropped)
        self._dropped.clear()

    def _write_fresh(self) -> None:
        if self._fresh:
            self._together(_ADD, self._fresh.values())  # another process may have replaced one meanwhile
            self._fresh.clear()
            self._journal.clear()

    def _take_over(self) -> None:
        """Move what killed processes left in their journals; what the file has by now is newer."""
        for file, rows in self._journal.left():
            self._together(_ADD, rows)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(file)

    def _together(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._connection.executemany(statement, rows)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def drop_container(self, container: str) -> None:
        """Forget all keys of a container."""
        with self._lock, _failures():
            self._write_fresh()
            self._connection.execute("DELETE FROM record WHERE container = ?", (container,))

    def keys(self, container: str, before_ns: int = _EVER, *, after: str = "", most: int = -1) -> list[str]:
        """The keys of a container that were written before a time, sorted; `most` of them, behind `after`."""
        with self._lock, _failures():
            self._write_fresh()
            if self._dropped:
                self._write_dropped()
            query = "SELECT key FROM record WHERE container = ? AND at < ? AND key > ? ORDER BY key LIMIT ?"
            return [row[0] for row in self._connection.execute(query, (container, before_ns, after, most))]

    def unwritten(self, container: str) -> list[str]:
        """The texts of a container that other processes have written to their journals only."""
        with self._lock, _failures():
            return [row[2] for rows in self._journal.others() for row in rows.values() if row[0] == container]

    def bodies(self, container: str, part: str, *, after: str = "", most: int = -1) -> list[tuple[str, str]]:
        """Keys and texts of a container that have this part, sorted; `most` of them, behind `after`."""
        with self._lock, _failures():
            self._write_fresh()
            if self._dropped:
                self._write_dropped()
            query = (
                "SELECT key, body FROM record WHERE container = ? AND key > ? AND instr(body, ?) ORDER BY key LIMIT ?"
            )
            return self._connection.execute(query, (container, after, part, most)).fetchall()

    def close(self) -> None:
        """Close the file, and have all in it."""
        with self._lock, contextlib.closing(self._connection), _failures():
            self._write_fresh()
            self._journal.close()


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
            with contextlib.suppress(OSError):  # its folder is no more
                old.close()
        _OPEN[key] = opened = RecordStore(file)
    return opened


@atexit.register
def _close_all() -> None:
    """What a process leaves behind needs no other one to put it in order, unless it was killed."""
    for (pid, _), store in list(_OPEN.items()):
        if pid == os.getpid():
            with contextlib.suppress(OSError, sqlite3.Error):
                store.close()


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
