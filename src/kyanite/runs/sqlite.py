"""Runs in the workspace's database."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from kyanite.database import Database, named_statements
from kyanite.engine.events import utc_text
from kyanite.errors import KyaniteError, LeaseLost, NotFoundError
from kyanite.limits import FORGET_EVENTS, LEASE_SECONDS
from kyanite.runs.owner import Owner
from kyanite.runs.projection import Holder, RunState, first_state, fold, may_claim, refusal
from kyanite.runs.records import (
    SealedEvent,
    changed_columns,
    hash_of,
    holder_of,
    names,
    row_of,
    seal_events,
    seal_header,
    state_of,
    stored_events,
    summary_of,
)
from kyanite.runs.store import Append, Event, Lease, RunHeader, RunQuery, RunSummary, StoredEvent
from kyanite.secrets import Vault

_SNAPSHOT_IN_USE = timedelta(hours=1)


@cache
def _statements() -> dict[str, str]:
    return named_statements("kyanite.runs", "queries.sql")


def _utc_now() -> datetime:
    return datetime.now(UTC)


class SqliteRunStore:
    """The run store of a workspace; any number of processes may use the same database."""

    def __init__(self, database: Database, vault: Vault, *, clock: Callable[[], datetime] = _utc_now) -> None:
        self._database = database
        self._vault = vault
        self._clock = clock
        self._sql = _statements()

    @property
    def database(self) -> Database:
        """What the runs are kept in."""
        return self._database

    def create(self, run_id: str, header: RunHeader, events: Sequence[Event]) -> bool:
        """Make a run with its first events; False, and nothing changed, when it exists already."""
        state = first_state(run_id, events)
        row = row_of(self._vault, run_id, header, state)
        body = seal_header(self._vault, header)
        sealed = seal_events(self._vault, events)
        with self._database.transaction():
            if not self._database.execute(self._sql["insert_run"], row):
                return False
            self._database.execute(self._sql["insert_header"], (run_id, body))
            self._insert(run_id, 0, sealed)
        return True

    def append(self, run_id: str, expected_version: int, events: Sequence[Event], *, lease: Lease | None = None) -> int:
        """Add events in one transaction and give the new version."""
        outcome = self.append_many([(run_id, expected_version, events, lease)])[0]
        if isinstance(outcome, KyaniteError):
            raise outcome
        return outcome

    def append_many(self, appends: Sequence[Append]) -> list[int | KyaniteError]:
        """Several appends in one commit; a refused one gives its error in its place."""
        sealed = [seal_events(self._vault, events) for _, _, events, _ in appends]
        with self._database.transaction():
            return [self._append(append, bodies) for append, bodies in zip(appends, sealed, strict=True)]

    def _append(self, append: Append, sealed: list[SealedEvent]) -> int | KyaniteError:
        run_id, expected_version, events, lease = append
        state, holder = self._state(run_id)
        refused = refusal(run_id, state, holder, expected_version, events, lease)
        if refused is not None or state is None:
            return refused or NotFoundError("There is no such run.", where=f"run {run_id}")
        if events:
            state = fold(state, events)
            self._insert(run_id, expected_version, sealed)
            self._database.execute(self._sql["update_run"], changed_columns(self._vault, run_id, state))
        return state.version

    def _insert(self, run_id: str, version: int, sealed: list[SealedEvent]) -> None:
        rows = [(run_id, seq, *event) for seq, event in enumerate(sealed, version + 1)]
        self._database.execute_many(self._sql["insert_event"], rows)

    def _state(self, run_id: str) -> tuple[RunState | None, Holder]:
        rows = self._database.query(self._sql["state"], (run_id,))
        return (state_of(rows[0]), holder_of(rows[0])) if rows else (None, Holder())

    def read(self, run_id: str, after: int = 0) -> list[StoredEvent]:
        """The events above `after` with their real values, for the worker only."""
        return stored_events(self._database.query(self._sql["read"], (run_id, after)), self._vault.open_json)

    def history(self, run_id: str, after: int = 0) -> list[StoredEvent]:
        """The events above `after`, secrets masked, for people and clients."""
        return stored_events(self._database.query(self._sql["read"], (run_id, after)), self._vault.masked_json)

    def version(self, run_id: str) -> int:
        """The number of events of a run; 0 when it does not exist."""
        rows = self._database.query(self._sql["version"], (run_id,))
        return rows[0]["version"] if rows else 0

    def claim(self, run_id: str, owner: Owner, now: datetime) -> Lease | None:
        """The right to advance a run; None while another living owner holds it, and for a run that has ended."""
        until = now + timedelta(seconds=LEASE_SECONDS)
        with self._database.transaction():
            state, holder = self._state(run_id)
            if state is None:
                raise NotFoundError("There is no such run.", where=f"run {run_id}")
            if not may_claim(state, holder, now):
                return None
            arguments = {"run_id": run_id, "owner": owner.to_text(), "until": until.timestamp()}
            self._database.execute(self._sql["claim"], arguments)
        return Lease(run_id, holder.token + 1, owner, until)

    def renew(self, lease: Lease, now: datetime) -> Lease:
        """The same lease for LEASE_SECONDS more; raises LeaseLost when another owner took the run."""
        until = now + timedelta(seconds=LEASE_SECONDS)
        arguments = {"run_id": lease.run_id, "token": lease.token, "until": until.timestamp()}
        if not self._database.execute(self._sql["renew"], arguments):
            raise LeaseLost("Another process advances this run now.", where=f"run {lease.run_id}")
        return Lease(lease.run_id, lease.token, lease.owner, until)

    def release(self, lease: Lease) -> None:
        """Give the run back; nothing happens when the lease was lost before."""
        self._database.execute(self._sql["release"], {"run_id": lease.run_id, "token": lease.token})

    def summary(self, run_id: str) -> RunSummary | None:
        """One run as lists show it."""
        rows = self._database.query(self._sql["summary"], (run_id,))
        return summary_of(self._vault, rows[0]) if rows else None

    def runs(self, query: RunQuery) -> list[RunSummary]:
        """The runs a query asks for, newest first."""
        arguments = {**vars(query)}
        for name in ("status", "not_status", "pipeline", "not_pipeline"):
            wanted = names(arguments[name])
            arguments[name] = None if wanted is None else json.dumps(wanted)
        return [summary_of(self._vault, row) for row in self._database.query(self._sql["runs"], arguments)]

    def put_snapshot(self, document: Mapping[str, Any]) -> str:
        """Keep a factory's definitions, sealed and once; the hash to find them by."""
        body = self._vault.seal_json(document)
        digest = hash_of(body)
        now = self._clock()
        rows = self._database.query(self._sql["snapshot_used_at"], (digest,))
        if not rows or rows[0]["used_at"] < utc_text(now - _SNAPSHOT_IN_USE):
            self._database.execute(self._sql["put_snapshot"], {"hash": digest, "used_at": utc_text(now), "body": body})
        return digest

    def snapshot(self, hash: str) -> dict[str, Any]:
        """The definitions under a hash, with their real values; raises NotFoundError."""
        rows = self._database.query(self._sql["snapshot"], (hash,))
        if not rows:
            raise NotFoundError("There is no such snapshot of definitions.", where=f"snapshot {hash}")
        document: dict[str, Any] = self._vault.open_json(rows[0]["body"])
        return document

    def forget(self, ended_before: datetime) -> int:
        """Delete runs that ended before a time, a bounded number of events per transaction, and their snapshots."""
        forgotten = 0
        while runs := self._oldest(ended_before):
            with self._database.transaction():
                for statement in ("delete_events", "delete_header", "delete_run"):
                    self._database.execute_many(self._sql[statement], [(run_id,) for run_id in runs])
            forgotten += len(runs)
        unused_since = utc_text(self._clock() - 2 * _SNAPSHOT_IN_USE)
        self._database.execute(self._sql["delete_snapshots"], (unused_since,))
        return forgotten

    def _oldest(self, ended_before: datetime) -> list[str]:
        chosen: list[str] = []
        events = 0
        for row in self._database.query(self._sql["ended_runs"], (utc_text(ended_before),)):
            events += row["version"]
            if chosen and events > FORGET_EVENTS:
                break
            chosen.append(row["run_id"])
        return chosen
