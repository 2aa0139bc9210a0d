"""The audit log: who changed what, and who was refused. Rows are only ever added; the database itself refuses more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from kyanite.database import Database, named_statements

Json = Any
_MOST_CHARACTERS = 1000


@dataclass(frozen=True)
class AuditEntry:
    """One call: `who` is the name of an identity, never its token; `result` an HTTP status, `code` an error code."""

    at: str
    who: str
    kind: str
    client: str
    method: str
    operation: str
    target: str
    result: int
    code: str
    request_id: str


@cache
def _statements() -> dict[str, str]:
    return named_statements("kyanite.server.management", "audit.sql")


def append(database: Database, entry: AuditEntry) -> None:
    """Add an entry."""
    row = {name: value[:_MOST_CHARACTERS] if isinstance(value, str) else value for name, value in asdict(entry).items()}
    database.execute(_statements()["append"], row)


def entries(
    database: Database, *, since: str | None = None, refused: bool = False, who: str | None = None, limit: int = -1
) -> Iterator[dict[str, Json]]:
    """The newest entries (a negative limit: all), oldest first; `since` is UTC text, `refused` leaves out the rest."""
    arguments = {"since": since, "refused": refused, "who": who, "limit": limit}
    for row in database.query(_statements()["entries"], arguments):
        yield {name: row[name] for name in row.keys()}  # noqa: SIM118 - a row of SQLite is no mapping


def as_line(entry: dict[str, Json]) -> str:
    """An entry as one line of JSON."""
    return json.dumps(entry, ensure_ascii=False, separators=(",", ":"))
