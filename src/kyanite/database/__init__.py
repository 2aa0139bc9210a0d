"""The workspace's one SQLite database: settings, numbered migrations, named statements.

WAL with synchronous=FULL: a commit that returned survives a crash and a power cut. Transactions begin IMMEDIATE, so two
processes never deadlock on an upgrade; the second waits up to 30 s. One connection per process, guarded by a lock.
Waiting is ours: SQLite's own handler sleeps ever longer, up to 100 ms, and a busy process starves the others.
"""

from __future__ import annotations

import os
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from kyanite.database import faults, place
from kyanite.errors import InvariantError, KyaniteError, StateError

Row = sqlite3.Row
Result = TypeVar("Result")
Arguments = Mapping[str, Any] | Sequence[Any]

_BUSY_SECONDS = 30.0
_TRY_AGAIN_SECONDS = 0.001
_LOG_BYTES_KEPT = 16 * 1024 * 1024
_fault = faults.planned(os.environ)


class Database:
    """An open database file; `path` None is a private one in memory (tests). Any thread may use it.

    Failures of SQLite come out as StateError that says what to do; only `sqlite3.IntegrityError` passes as it is, for
    callers that rely on a constraint.
    """

    def __init__(self, path: Path | None, *, busy_seconds: float = _BUSY_SECONDS) -> None:
        self.path = path
        self._busy_seconds = busy_seconds
        self._lock = threading.RLock()
        self._depth = 0
        self.commits = 0
        if path is not None:
            place.prepare(path)
        try:
            self._connection = sqlite3.connect(
                path or ":memory:", timeout=0, isolation_level=None, check_same_thread=False
            )
        except sqlite3.DatabaseError as error:
            raise self._explain(error) from error
        try:
            self._connection.row_factory = sqlite3.Row
            self._configure()
            self._migrate()
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the connection; the last one of all processes moves the log into the database file. Twice is fine."""
        with self._lock:
            self._connection.close()
            if _fault is not None:
                _fault.report()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All statements inside commit together or not at all; a nested one that fails undoes only its own part."""
        with self._lock:
            outermost = not self._depth
            self._run("BEGIN IMMEDIATE" if outermost else "SAVEPOINT nested")
            self._depth += 1
            try:
                yield
                if outermost:
                    self._commit()
                else:
                    self._run("RELEASE nested")
            except BaseException:
                # a full disk or an I/O error makes SQLite itself end the whole transaction
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK" if outermost else "ROLLBACK TO nested")
                    if not outermost:
                        self._connection.execute("RELEASE nested")
                raise
            finally:
                self._depth -= 1

    def query(self, sql: str, arguments: Arguments = ()) -> list[Row]:
        """All rows of a SELECT."""
        with self._lock:
            return self._patiently(lambda: self._connection.execute(sql, arguments).fetchall())

    def execute(self, sql: str, arguments: Arguments = ()) -> int:
        """Run one changing statement (its own transaction unless inside one); the number of rows it changed."""
        with self._lock:
            if self._depth:
                return self._run(sql, arguments).rowcount
            with self.transaction():
                return self._run(sql, arguments).rowcount

    def execute_many(self, sql: str, rows: Sequence[Arguments]) -> None:
        """Run one changing statement for many rows."""
        with self._lock:
            if self._depth:
                self._patiently(lambda: self._connection.executemany(sql, rows))
                return
            with self.transaction():
                self._patiently(lambda: self._connection.executemany(sql, rows))

    def _run(self, sql: str, arguments: Arguments = ()) -> sqlite3.Cursor:
        return self._patiently(lambda: self._connection.execute(sql, arguments))

    def _patiently(self, work: Callable[[], Result]) -> Result:
        """Do the work; outside a transaction, try again for a while when another process has the database."""
        if self._depth and not self._connection.in_transaction:
            raise StateError("The transaction was undone after an earlier failure.", where=str(self.path))
        deadline = 0.0
        while True:
            try:
                return work()
            except sqlite3.IntegrityError:
                raise
            except sqlite3.Error as error:
                now = time.monotonic()
                deadline = deadline or now + self._busy_seconds
                if self._depth or "locked" not in str(error) or now > deadline:
                    raise self._explain(error) from error
            time.sleep(_TRY_AGAIN_SECONDS)

    def _commit(self) -> None:
        try:
            number = 0 if _fault is None else _fault.before_commit()
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._explain(error) from error
        self.commits += 1
        if _fault is not None:
            _fault.after_commit(number)

    def _explain(self, error: sqlite3.Error) -> KyaniteError:
        text = str(error)
        where = str(self.path or ":memory:")
        if isinstance(error, sqlite3.ProgrammingError | sqlite3.InterfaceError):
            return InvariantError(f"A statement was used wrongly: {text}.", where=where)
        for pattern, code, message, cure in _FAILURES:
            if re.search(pattern, text):
                message = message.format(seconds=f"{self._busy_seconds:g}")
                return StateError(message, where=where, cure=cure, code=code)
        return StateError(f"The state database refused a statement: {text}.", where=where)

    def _configure(self) -> None:
        mode = self.query("PRAGMA journal_mode=WAL")[0][0]
        if self.path is not None and mode != "wal":
            raise StateError(
                f"The state database cannot keep a write-ahead log here (mode {mode}).",
                where=str(self.path),
                cure="Give --home (or KYANITE_HOME) a folder on a local disk.",
            )
        for pragma in ("synchronous=FULL", "foreign_keys=ON", f"journal_size_limit={_LOG_BYTES_KEPT}"):
            self._run(f"PRAGMA {pragma}")

    def _migrate(self) -> None:
        scripts = _migrations()
        newest = scripts[-1][0] if scripts else 0
        version = self._version()
        if version > newest:
            raise StateError(
                f"The workspace was written by a newer kyanite (schema {version}, this one knows {newest}).",
                where=str(self.path),
                cure="Upgrade kyanite.",
            )
        if version == newest:
            return
        with self.transaction():
            done = self._version()
            for number, script in scripts:
                if number > done:
                    for statement in _split(script):
                        self._run(statement)
                    self._run(f"PRAGMA user_version={number}")

    def _version(self) -> int:
        return int(self.query("PRAGMA user_version")[0][0])


_FREE_SPACE = "Free some space; nothing was half written and `kyanite runs resume` continues."
_FAILURES = (
    ("is full", "DiskFull", "The disk is full: the state could not be written.", _FREE_SPACE),
    (
        "locked",
        "DatabaseLocked",
        "The state database stayed locked for {seconds} s by another process.",
        "Stop the other process or try again.",
    ),
    (
        "readonly|unable to open",
        "DatabaseReadOnly",
        "The state database cannot be written.",
        "Make the file and its folder writable for this user.",
    ),
    (
        "malformed|not a database",
        "DatabaseCorrupt",
        "The state database is damaged.",
        "Put a backup of the workspace back, or begin a new one with another --home.",
    ),
    (
        "disk I/O error",
        "DatabaseUnreadable",
        "The disk failed while the state was read or written.",
        "Check the disk and the space left on it; what was committed is kept.",
    ),
)


def _migrations() -> list[tuple[int, str]]:
    return sorted(
        (int(entry.name[:4]), entry.read_text(encoding="utf-8"))
        for entry in files("kyanite.database").joinpath("migrations").iterdir()
        if entry.name.endswith(".sql")
    )


def _split(script: str) -> list[str]:
    """The statements of a script, comments and all; a `;` inside a text or a trigger does not end one."""
    statements = [""]
    for piece in re.split(r"(?<=;)", script):
        statements[-1] += piece
        if sqlite3.complete_statement(statements[-1]):
            statements.append("")
    return [statement.strip() for statement in statements if statement.strip()]


def named_statements(package: str, resource: str) -> dict[str, str]:
    """The statements of a `.sql` file whose blocks each begin with a line `-- name: the_name`."""
    text = files(package).joinpath(resource).read_text(encoding="utf-8")
    blocks = re.split(r"^-- name: (\w+)[^\n]*\n", text, flags=re.MULTILINE)
    return {name: body.strip() for name, body in zip(blocks[1::2], blocks[2::2], strict=True)}
