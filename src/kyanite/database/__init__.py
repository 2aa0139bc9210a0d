"""The workspace's one SQLite database: settings, numbered migrations, named statements.

WAL with synchronous=FULL: a commit that returned survives a crash and a power cut. Transactions begin IMMEDIATE, so two
processes never deadlock on an upgrade; the second waits up to 30 s. One connection per process, guarded by a lock.
"""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

from kyanite.errors import StateError

Row = sqlite3.Row
Arguments = Mapping[str, Any] | Sequence[Any]

_BUSY_SECONDS = 30.0


class Database:
    """An open database file; `path` None is a private one in memory (tests)."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._depth = 0
        self.commits = 0
        try:
            self._connection = sqlite3.connect(
                path or ":memory:", timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._connection.row_factory = sqlite3.Row
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
                self._connection.execute(f"PRAGMA {pragma}")
            self._migrate()
        except sqlite3.DatabaseError as error:
            raise StateError(f"The state database cannot be opened: {error}.", where=str(path)) from error

    def close(self) -> None:
        """Close the connection; the object is unusable afterwards."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All statements inside commit together or not at all; nested use joins the outer transaction."""
        with self._lock:
            if self._depth:
                self._depth += 1
                try:
                    yield
                finally:
                    self._depth -= 1
                return
            self._run("BEGIN IMMEDIATE", ())
            self._depth = 1
            try:
                yield
            except BaseException:
                self._depth = 0
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            self._depth = 0
            try:
                self._run("COMMIT", ())
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            self.commits += 1

    def query(self, sql: str, arguments: Arguments = ()) -> list[Row]:
        """All rows of a SELECT."""
        with self._lock:
            return self._run(sql, arguments).fetchall()

    def execute(self, sql: str, arguments: Arguments = ()) -> int:
        """Run one changing statement (its own transaction unless inside one); the number of rows it changed."""
        with self.transaction():
            return self._run(sql, arguments).rowcount

    def execute_many(self, sql: str, rows: Sequence[Arguments]) -> None:
        """Run one changing statement for many rows."""
        with self.transaction():
            try:
                self._connection.executemany(sql, rows)
            except sqlite3.OperationalError as error:
                raise self._explain(error) from error

    def _run(self, sql: str, arguments: Arguments) -> sqlite3.Cursor:
        try:
            return self._connection.execute(sql, arguments)
        except sqlite3.OperationalError as error:
            raise self._explain(error) from error

    def _explain(self, error: sqlite3.OperationalError) -> StateError:
        text = str(error)
        if "full" in text:
            cure = "Free some space; nothing was half written and `kyanite runs resume` continues."
            return StateError(
                "The disk is full: the state could not be written.", where=str(self.path), cure=cure, code="DiskFull"
            )
        if "locked" in text:
            return StateError("The state database stayed locked for 30 s by another process.", where=str(self.path))
        return StateError(f"The state database refused a statement: {text}.", where=str(self.path))

    def _migrate(self) -> None:
        scripts = sorted(
            (int(entry.name[:4]), entry.read_text(encoding="utf-8"))
            for entry in files("kyanite.database").joinpath("migrations").iterdir()
            if entry.name.endswith(".sql")
        )
        newest = scripts[-1][0] if scripts else 0
        if self._version() > newest:
            raise StateError(
                f"The workspace was written by a newer kyanite (schema {self._version()}, this one knows {newest}).",
                where=str(self.path),
                cure="Upgrade kyanite.",
            )
        if self._version() == newest:
            return
        self._connection.execute("BEGIN IMMEDIATE")
        done = self._version()
        for number, script in scripts:
            if number > done:
                for statement in _split(script):
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA user_version={number}")
        self._connection.execute("COMMIT")

    def _version(self) -> int:
        return int(self._connection.execute("PRAGMA user_version").fetchone()[0])


def _split(script: str) -> list[str]:
    """The statements of a migration; they hold no `;` inside texts."""
    without_comments = re.sub(r"--[^\n]*", "", script)
    return [statement.strip() for statement in without_comments.split(";") if statement.strip()]


def named_statements(package: str, resource: str) -> dict[str, str]:
    """The statements of a `.sql` file whose blocks each begin with a line `-- name: the_name`."""
    text = files(package).joinpath(resource).read_text(encoding="utf-8")
    blocks = re.split(r"^-- name: (\w+)[^\n]*\n", text, flags=re.MULTILINE)
    return {name: body.strip() for name, body in zip(blocks[1::2], blocks[2::2], strict=True)}
