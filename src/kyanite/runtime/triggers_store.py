"""What is remembered of triggers in the workspace's database: which are started, and their runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from typing import Any

from kyanite.database import Database, Row, named_statements
from kyanite.engine.events import utc_text, utc_time
from kyanite.secrets import Vault

Json = Any

STARTED, STOPPED = "Started", "Stopped"
WAITING, IN_PROGRESS, SUCCEEDED, FAILED, CANCELED = "Waiting", "Inprogress", "Succeeded", "Failed", "Canceled"
OPEN = (WAITING, IN_PROGRESS)


@cache
def _statements() -> dict[str, str]:
    return named_statements("kyanite.runtime", "triggers.sql")


@dataclass(frozen=True)
class TriggerKey:
    """A trigger of a factory; names compare without case."""

    factory: str
    name: str

    @staticmethod
    def of(factory: str, name: str) -> TriggerKey:
        """The key of a trigger by its names in any case."""
        return TriggerKey(factory.casefold(), name.casefold())

    @property
    def pair(self) -> tuple[str, str]:
        """Both parts."""
        return (self.factory, self.name)


@dataclass(frozen=True)
class TriggerState:
    """A trigger's row: `definition` is a hash of what was started, `done_until` the newest fire dealt with."""

    key: TriggerKey
    state: str
    definition: str
    since: datetime
    done_until: datetime


@dataclass(frozen=True)
class TriggerRun:
    """One firing of a trigger, or one window of a tumbling trigger. `message` and `properties` are masked."""

    trigger_run_id: str
    key: TriggerKey
    name: str
    type: str
    fired_at: datetime
    updated_at: datetime
    status: str
    message: str = ""
    properties: Mapping[str, Json] = field(default_factory=dict)
    pipelines: Mapping[str, str] = field(default_factory=dict)
    window_start: datetime | None = None
    window_end: datetime | None = None
    attempt: int = 0
    reruns: int = 0
    waiting_since: datetime | None = None
    not_before: datetime | None = None
    unmet: tuple[str, ...] = ()
    number: int = 0


@dataclass(frozen=True)
class TriggerRunQuery:
    """Which trigger runs to list, newest first; names compare without case, times are inclusive bounds of updates."""

    factory: str | None = None
    trigger: str | None = None
    status: str | None = None
    updated_after: datetime | None = None
    updated_before: datetime | None = None
    limit: int = 100
    after: int | None = None


class TriggerStore:
    """Reads and writes of trigger state; group several with `database.transaction()`."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault
        self._sql = _statements()

    # ---- states

    def state(self, key: TriggerKey) -> TriggerState | None:
        """A trigger's row, or None when it was never started."""
        rows = self._database.query(self._sql["state"], key.pair)
        return _state(rows[0]) if rows else None

    def started(self) -> dict[TriggerKey, TriggerState]:
        """All triggers that are started."""
        states = (_state(row) for row in self._database.query(self._sql["started"]))
        return {state.key: state for state in states}

    def put_state(self, state: TriggerState) -> None:
        """Start or stop a trigger; `done_until` never goes back."""
        arguments = {
            "factory": state.key.factory,
            "name": state.key.name,
            "state": state.state,
            "definition": state.definition,
            "since": utc_text(state.since),
            "done_until": utc_text(state.done_until),
        }
        self._database.execute(self._sql["put_state"], arguments)

    def is_started(self, state: TriggerState) -> bool:
        """Whether a trigger is still started as it was; ask inside the transaction that fires it."""
        current = self.state(state.key)
        return current is not None and (current.state, current.definition) == (STARTED, state.definition)

    def claim_until(self, state: TriggerState, until: datetime) -> bool:
        """Take all fires up to a time; False when the trigger was stopped or changed, or somebody else took them."""
        arguments = {
            "factory": state.key.factory,
            "name": state.key.name,
            "definition": state.definition,
            "until": utc_text(until),
        }
        return self._database.execute(self._sql["claim_until"], arguments) == 1

    # ---- runs

    def insert(self, run: TriggerRun) -> bool:
        """Add a trigger run; False, and nothing changed, when it exists."""
        return self._database.execute(self._sql["insert_run"], self._row(run)) == 1

    def change(self, old: TriggerRun, **changes: Any) -> TriggerRun | None:
        """The run with some members changed; None when somebody else changed it since it was read."""
        new = replace(old, **changes)
        arguments = self._row(new) | {
            "old_status": old.status,
            "old_attempt": old.attempt,
            "old_reruns": old.reruns,
        }
        return new if self._database.execute(self._sql["change_run"], arguments) == 1 else None

    def run(self, trigger_run_id: str) -> TriggerRun | None:
        """One trigger run."""
        return self._one("run", (trigger_run_id,))

    def runs(self, query: TriggerRunQuery) -> list[TriggerRun]:
        """The trigger runs a query asks for, newest first."""
        arguments = {
            **vars(query),
            "factory": query.factory and query.factory.casefold(),
            "trigger": query.trigger and query.trigger.casefold(),
            "updated_after": query.updated_after and utc_text(query.updated_after),
            "updated_before": query.updated_before and utc_text(query.updated_before),
        }
        return [self.run_of(row) for row in self._database.query(self._sql["runs"], arguments)]

    def runs_beginning_with(self, text: str) -> list[TriggerRun]:
        """Two trigger runs at most whose id begins with a text."""
        rows = self._database.query(self._sql["runs_beginning_with"], (text.casefold(),) * 2)
        return [self.run_of(row) for row in rows]

    def forget(self, before: datetime) -> int:
        """Delete trigger runs that are not windows and were last updated before a time; how many."""
        return self._database.execute(self._sql["forget"], (utc_text(before),))

    # ---- windows

    def window(self, key: TriggerKey, start: datetime) -> TriggerRun | None:
        """The run of one window."""
        return self._one("window", (*key.pair, utc_text(start)))

    def open_windows(self, key: TriggerKey) -> list[TriggerRun]:
        """The windows that are not over, oldest first."""
        return [self.run_of(row) for row in self._database.query(self._sql["open_windows"], key.pair)]

    def with_open_windows(self) -> set[TriggerKey]:
        """The triggers that have such windows."""
        return {TriggerKey(*row) for row in self._database.query(self._sql["with_open_windows"])}

    def running_windows(self, key: TriggerKey) -> int:
        """How many windows have a pipeline run in progress."""
        return int(self._database.query(self._sql["count_running"], key.pair)[0]["count"])

    def last_window(self, key: TriggerKey) -> tuple[datetime, datetime] | None:
        """Start and end of the newest window there is."""
        rows = self._database.query(self._sql["last_window"], key.pair)
        return (utc_time(rows[0]["window_start"]), utc_time(rows[0]["window_end"])) if rows else None

    def window_statuses(self, key: TriggerKey, first: datetime, last: datetime) -> dict[datetime, str]:
        """Start -> status of the windows that start from `first` to `last`, both inclusive."""
        rows = self._database.query(self._sql["window_statuses"], (*key.pair, utc_text(first), utc_text(last)))
        return {utc_time(row["window_start"]): row["status"] for row in rows}

    # ---- rows

    def _one(self, statement: str, arguments: tuple[str, ...]) -> TriggerRun | None:
        rows = self._database.query(self._sql[statement], arguments)
        return self.run_of(rows[0]) if rows else None

    def _row(self, run: TriggerRun) -> dict[str, Json]:
        return {
            "trigger_run_id": run.trigger_run_id,
            "factory": run.key.factory,
            "trigger_key": run.key.name,
            "name": run.name,
            "type": run.type,
            "fired_at": utc_text(run.fired_at),
            "updated_at": utc_text(run.updated_at),
            "status": run.status,
            "message": self._vault.seal(run.message).encode(errors="replace").decode(),
            "properties": self._vault.seal_json(run.properties),
            "pipelines": json.dumps(run.pipelines),
            "window_start": _text(run.window_start),
            "window_end": _text(run.window_end),
            "attempt": run.attempt,
            "reruns": run.reruns,
            "waiting_since": _text(run.waiting_since),
            "not_before": _text(run.not_before),
            "unmet": json.dumps(run.unmet),
        }

    def run_of(self, row: Row) -> TriggerRun:
        """The trigger run of a row of `trigger_runs`."""
        return TriggerRun(
            trigger_run_id=row["trigger_run_id"],
            key=TriggerKey(row["factory"], row["trigger_key"]),
            name=row["name"],
            type=row["type"],
            fired_at=utc_time(row["fired_at"]),
            updated_at=utc_time(row["updated_at"]),
            status=row["status"],
            message=self._vault.mask(row["message"]),
            properties=self._vault.masked_json(row["properties"]),
            pipelines=json.loads(row["pipelines"]),
            window_start=_time(row["window_start"]),
            window_end=_time(row["window_end"]),
            attempt=row["attempt"],
            reruns=row["reruns"],
            waiting_since=_time(row["waiting_since"]),
            not_before=_time(row["not_before"]),
            unmet=tuple(json.loads(row["unmet"])),
            number=row["number"],
        )


def _state(row: Row) -> TriggerState:
    return TriggerState(
        TriggerKey(row["factory"], row["name"]),
        row["state"],
        row["definition"],
        utc_time(row["since"]),
        utc_time(row["done_until"]),
    )


def _text(at: datetime | None) -> str | None:
    return None if at is None else utc_text(at)


def _time(text: str | None) -> datetime | None:
    return None if text is None else utc_time(text)
