"""Runs in memory, for tests: the same rules and the same sealing, gone with the process."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from kyanite.engine.events import utc_text
from kyanite.errors import KyaniteError, LeaseLost, NotFoundError
from kyanite.limits import LEASE_SECONDS
from kyanite.runs.owner import Owner
from kyanite.runs.projection import Holder, first_state, fold, holds, may_claim, refusal
from kyanite.runs.records import (
    Row,
    SealedEvent,
    changed_columns,
    hash_of,
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


@dataclass
class _Run:
    row: dict[str, Any]
    events: list[SealedEvent]
    holder: Holder


class MemoryRunStore:
    """The run store without a disk, safe to use from several threads."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._lock = threading.RLock()
        self._runs: dict[str, _Run] = {}
        self._snapshots: dict[str, str] = {}
        self._count = 0

    def create(self, run_id: str, header: RunHeader, events: Sequence[Event]) -> bool:
        """Make a run with its first events; False, and nothing changed, when it exists already."""
        row = row_of(self._vault, run_id, header, first_state(run_id, events))
        sealed = seal_events(self._vault, events)
        with self._lock:
            if run_id in self._runs:
                return False
            self._count += 1
            row.update(number=self._count, header=seal_header(self._vault, header))
            self._runs[run_id] = _Run(row, sealed, Holder())
        return True

    def append(self, run_id: str, expected_version: int, events: Sequence[Event], *, lease: Lease | None = None) -> int:
        """Add events and give the new version."""
        outcome = self.append_many([(run_id, expected_version, events, lease)])[0]
        if isinstance(outcome, KyaniteError):
            raise outcome
        return outcome

    def append_many(self, appends: Sequence[Append]) -> list[int | KyaniteError]:
        """Several appends; a refused one gives its error in its place."""
        sealed = [seal_events(self._vault, events) for _, _, events, _ in appends]
        with self._lock:
            return [self._append(append, bodies) for append, bodies in zip(appends, sealed, strict=True)]

    def _append(self, append: Append, sealed: list[SealedEvent]) -> int | KyaniteError:
        run_id, expected_version, events, lease = append
        run = self._runs.get(run_id)
        state = state_of(run.row) if run else None
        refused = refusal(run_id, state, run.holder if run else Holder(), expected_version, events, lease)
        if refused is not None or run is None or state is None:
            return refused or NotFoundError("There is no such run.", where=f"run {run_id}")
        state = fold(state, events)
        run.events.extend(sealed)
        run.row.update(changed_columns(self._vault, run_id, state))
        return state.version

    def read(self, run_id: str, after: int = 0) -> list[StoredEvent]:
        """The events above `after` with their real values, for the worker only."""
        return stored_events(self._rows(run_id, after), self._vault.open_json)

    def history(self, run_id: str, after: int = 0) -> list[StoredEvent]:
        """The events above `after`, secrets masked, for people and clients."""
        return stored_events(self._rows(run_id, after), self._vault.masked_json)

    def _rows(self, run_id: str, after: int) -> list[Row]:
        with self._lock:
            run = self._runs.get(run_id)
            events = list(enumerate(run.events, 1))[after:] if run else []
        return [{"seq": seq, **event._asdict()} for seq, event in events]

    def version(self, run_id: str) -> int:
        """The number of events of a run; 0 when it does not exist."""
        with self._lock:
            run = self._runs.get(run_id)
            return len(run.events) if run else 0

    def claim(self, run_id: str, owner: Owner, now: datetime) -> Lease | None:
        """The right to advance a run; None while another living owner holds it, and for a run that has ended."""
        until = now + timedelta(seconds=LEASE_SECONDS)
        with self._lock:
            run = self._runs.get(run_id)
            if run is None:
                raise NotFoundError("There is no such run.", where=f"run {run_id}")
            if not may_claim(state_of(run.row), run.holder, now):
                return None
            run.holder = Holder(run.holder.token + 1, owner, until.timestamp())
            return Lease(run_id, run.holder.token, owner, until)

    def renew(self, lease: Lease, now: datetime) -> Lease:
        """The same lease for LEASE_SECONDS more; raises LeaseLost when another owner took the run."""
        until = now + timedelta(seconds=LEASE_SECONDS)
        with self._lock:
            run = self._runs.get(lease.run_id)
            if run is None or not holds(run.holder, lease):
                raise LeaseLost("Another process advances this run now.", where=f"run {lease.run_id}")
            run.holder = Holder(lease.token, lease.owner, until.timestamp())
        return Lease(lease.run_id, lease.token, lease.owner, until)

    def release(self, lease: Lease) -> None:
        """Give the run back; nothing happens when the lease was lost before."""
        with self._lock:
            run = self._runs.get(lease.run_id)
            if run is not None and holds(run.holder, lease):
                run.holder = Holder(lease.token)

    def summary(self, run_id: str) -> RunSummary | None:
        """One run as lists show it."""
        with self._lock:
            run = self._runs.get(run_id)
            return summary_of(self._vault, self._row(run)) if run else None

    def runs(self, query: RunQuery) -> list[RunSummary]:
        """The runs a query asks for, newest first."""
        with self._lock:
            rows = [self._row(run) for run in reversed(self._runs.values())]
        found = [row for row in rows if _matches(query, row)]
        return [summary_of(self._vault, row) for row in found[: query.limit]]

    def _row(self, run: _Run) -> dict[str, Any]:
        group = [other.row["number"] for other in self._runs.values() if other.row["group_id"] == run.row["group_id"]]
        owner = run.holder.owner
        lease = {
            "lease_token": run.holder.token,
            "lease_owner": owner.to_text() if owner else None,
            "lease_until": run.holder.until,
        }
        return {**run.row, **lease, "is_latest": run.row["number"] == max(group)}

    def put_snapshot(self, document: Mapping[str, Any]) -> str:
        """Keep a factory's definitions, sealed and once; the hash to find them by."""
        body = self._vault.seal_json(document)
        with self._lock:
            self._snapshots[hash_of(body)] = body
        return hash_of(body)

    def snapshot(self, hash: str) -> dict[str, Any]:
        """The definitions under a hash, with their real values; raises NotFoundError."""
        with self._lock:
            body = self._snapshots.get(hash)
        if body is None:
            raise NotFoundError("There is no such snapshot of definitions.", where=f"snapshot {hash}")
        document: dict[str, Any] = self._vault.open_json(body)
        return document

    def forget(self, ended_before: datetime) -> int:
        """Delete runs that ended before a time; snapshots stay, memory is short-lived."""
        limit = utc_text(ended_before)
        with self._lock:
            old = [name for name, run in self._runs.items() if (run.row["ended_at"] or "Z") < limit]
            for name in old:
                del self._runs[name]
        return len(old)


def _matches(query: RunQuery, row: Row) -> bool:
    def among(wanted: str | Sequence[str] | None, value: str) -> bool:
        return wanted is None or value in (names(wanted) or ())

    def between(low: str | None, value: str | None, high: str | None) -> bool:
        if value is None:
            return low is None and high is None
        return (low is None or value >= low) and (high is None or value <= high)

    return (
        among(query.status, row["status"])
        and among(query.pipeline, row["pipeline"])
        and among(query.factory, row["factory"])
        and among(query.group, row["group_id"])
        and (query.not_status is None or not among(query.not_status, row["status"]))
        and (query.not_pipeline is None or not among(query.not_pipeline, row["pipeline"]))
        and (query.parent is None or query.parent == row["parent_run_id"])
        and between(query.updated_after, row["updated_at"], query.updated_before)
        and between(query.started_after, row["started_at"], query.started_before)
        and between(query.ended_after, row["ended_at"], query.ended_before)
        and (row["is_latest"] or not query.latest_only)
        and (query.after is None or row["number"] < query.after)
    )
