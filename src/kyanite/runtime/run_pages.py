"""Pages of pipeline runs and trigger runs: any filters, any order, and a token that leads to the next page.

The only place that puts SQL together: from the fixed pieces below, values are always bound. A page begins after the
last row of the one before, so rows that come in meanwhile neither repeat nor hide others.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kyanite.database import Database, Row
from kyanite.errors import ParameterError

Json = Any


@dataclass(frozen=True)
class Condition:
    """A column must be, or not be (`negated`), one of some values."""

    column: str
    values: Sequence[str]
    negated: bool = False


@dataclass(frozen=True)
class PageQuery:
    """Which rows, in which order: (column, descending) pairs, then newest first. Times are UTC texts, inclusive."""

    factory: str
    updated_after: str | None = None
    updated_before: str | None = None
    conditions: Sequence[Condition] = ()
    latest_only: bool = False
    order: Sequence[tuple[str, bool]] = ()
    limit: int = 100
    token: str | None = None


_NO_LATER = """NOT EXISTS (SELECT 1 FROM runs AS later
                   WHERE later.group_id = runs.group_id AND later.number > runs.number)"""
# what a page shows of its rows, once they are chosen
_RUNS = f"""SELECT runs.*, headers.body AS header, {_NO_LATER} AS is_latest
FROM page JOIN runs USING (number) JOIN headers USING (run_id)"""  # noqa: S608 - constant pieces only
_RUN_COLUMNS = {
    "PipelineName": "pipeline COLLATE NOCASE",
    "RunEnd": "coalesce(ended_at, '')",
    "RunGroupId": "group_id",
    "RunStart": "coalesce(started_at, queued_at)",
    "Status": "status",
}
_TRIGGER_RUNS = "SELECT trigger_runs.* FROM page JOIN trigger_runs USING (number)"
_TRIGGER_COLUMNS = {
    "Status": "status",
    "TriggerName": "name COLLATE NOCASE",
    "TriggerRunTimestamp": "fired_at",
}


def run_rows(database: Database, query: PageQuery) -> tuple[list[Row], str | None]:
    """Rows of `runs` with their headers, and the token of the next page."""
    more = [_NO_LATER] if query.latest_only else []
    return _page(database, "runs", _RUNS, _RUN_COLUMNS, query, more)


def trigger_run_rows(database: Database, query: PageQuery) -> tuple[list[Row], str | None]:
    """Rows of `trigger_runs`, and the token of the next page; `query.factory` is case-folded."""
    return _page(database, "trigger_runs", _TRIGGER_RUNS, _TRIGGER_COLUMNS, query, [])


def _page(
    database: Database, table: str, shown: str, columns: Mapping[str, str], query: PageQuery, more: Sequence[str]
) -> tuple[list[Row], str | None]:
    # the index of a factory's runs is by start; for any other order `+` keeps SQLite on the order of the rows
    by_start = query.order and query.order[0][0] == "RunStart"
    where, values = [f"{'' if by_start else '+'}factory = ? COLLATE NOCASE", *more], [query.factory]
    for text, bound in (("updated_at >= ?", query.updated_after), ("updated_at <= ?", query.updated_before)):
        if bound is not None:
            where.append(text)
            values.append(bound)
    for condition in query.conditions:
        marks = ", ".join("?" * len(condition.values))
        where.append(f"{columns[condition.column]} {'NOT IN' if condition.negated else 'IN'} ({marks})")
        values += condition.values
    keys = [*((columns[name], descending) for name, descending in query.order), ("number", True)]
    if query.token is not None:
        text, bounds = _after(keys, _opened(query.token, len(keys)))
        where.append(text)
        values += bounds
    order = ", ".join(f"{column} {'DESC' if descending else 'ASC'}" for column, descending in keys)
    chosen = ", ".join(f"{column} AS key_{index}" for index, (column, _) in enumerate(keys[:-1]))
    again = ", ".join(f"page.key_{i} {'DESC' if descending else 'ASC'}" for i, (_, descending) in enumerate(keys[:-1]))
    sql = (
        f"WITH page AS (SELECT {', '.join(filter(None, (chosen, 'number')))} FROM {table}"  # noqa: S608 - see above
        f" WHERE {' AND '.join(where)} ORDER BY {order} LIMIT ?)"
        f" {shown.replace('SELECT', 'SELECT page.*,', 1)}"
        f" ORDER BY {', '.join(filter(None, (again, 'page.number DESC')))}"
    )
    rows = database.query(sql, [*values, query.limit + 1])
    if len(rows) <= query.limit:
        return rows, None
    last = rows[query.limit - 1]
    return rows[: query.limit], _token([*(last[f"key_{index}"] for index in range(len(keys) - 1)), last["number"]])


def _after(keys: Sequence[tuple[str, bool]], last: Sequence[Json]) -> tuple[str, list[Json]]:
    """The condition that a row comes after another in the order of some keys."""
    choices, values = [], []
    for index, (column, descending) in enumerate(keys):
        same = [f"{keys[before][0]} = ?" for before in range(index)]
        choices.append(" AND ".join([*same, f"{column} {'<' if descending else '>'} ?"]))
        values += [*last[:index], last[index]]
    return f"({' OR '.join(f'({choice})' for choice in choices)})", values


def _token(values: Sequence[Json]) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode()


def _opened(token: str, length: int) -> list[Json]:
    try:
        values = json.loads(base64.b64decode(token.encode(), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError):
        values = None
    fits = isinstance(values, list) and len(values) == length
    if not fits or not all(isinstance(v, str) for v in values[:-1]) or type(values[-1]) is not int:
        raise ParameterError("The continuationToken is not one that this query gave.")
    if abs(values[-1]) >= 2**63:
        raise ParameterError("The continuationToken is not one that this query gave.")
    found: list[Json] = values
    return found
