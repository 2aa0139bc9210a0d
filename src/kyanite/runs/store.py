"""The contract of the run store and the records that cross it.

A run is a log of events; its version is the number of events. `append` names the version it decided on, so two writers
can never both be right, and a lease, so an owner that lost its run can do nothing more. Texts are sealed by the vault
before they are stored: `read` opens them for the worker, everything else is masked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from kyanite.errors import KyaniteError
from kyanite.runs.owner import Owner

__all__ = ["Append", "Lease", "Owner", "RunHeader", "RunQuery", "RunStore", "RunSummary", "StoredEvent"]

UNFINISHED = ("Queued", "InProgress", "Canceling")


@dataclass(frozen=True)
class StoredEvent:
    """One fact of a run: `seq` counts from 1, `at` is UTC ISO text, `body` the rest of the event."""

    seq: int
    kind: str
    at: str
    body: dict[str, Any]


@dataclass(frozen=True)
class RunHeader:
    """What is known of a run when it is made and never changes; `snapshot` is a hash that `put_snapshot` gave.

    `group_id` ties reruns together; without one the run founds its own group.
    """

    factory: str
    pipeline: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    snapshot: str | None = None
    invoked_by: Mapping[str, Any] = field(default_factory=dict)
    group_id: str | None = None
    parent_run_id: str | None = None
    annotations: Sequence[Any] = ()
    run_dimensions: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RunSummary:
    """A run as lists show it, masked. `number` is its place in the order of creation and the token for paging.

    `is_latest` is False when a later run of the same group exists; `owner` is the process that advances it now.
    """

    run_id: str
    number: int
    factory: str
    pipeline: str
    status: str
    version: int
    parameters: dict[str, Any]
    invoked_by: dict[str, Any]
    annotations: list[Any]
    run_dimensions: dict[str, Any]
    queued_at: str
    started_at: str | None
    ended_at: str | None
    updated_at: str
    message: str
    group_id: str
    parent_run_id: str | None
    snapshot: str | None
    is_latest: bool
    owner: Owner | None


@dataclass(frozen=True)
class RunQuery:
    """Which runs to list, newest first; every given condition must hold.

    `status`, `pipeline` and their `not_` twins take one text or several. Times are ISO texts, both bounds inclusive.
    `after` is the `number` of the last run of the page before.
    """

    status: str | Sequence[str] | None = None
    not_status: str | Sequence[str] | None = None
    pipeline: str | Sequence[str] | None = None
    not_pipeline: str | Sequence[str] | None = None
    factory: str | None = None
    updated_after: str | None = None
    updated_before: str | None = None
    started_after: str | None = None
    started_before: str | None = None
    ended_after: str | None = None
    ended_before: str | None = None
    parent: str | None = None
    group: str | None = None
    latest_only: bool = False
    limit: int = 100
    after: int | None = None


@dataclass(frozen=True)
class Lease:
    """The right to advance a run until `until`; `token` grows with each new owner of the run and never repeats."""

    run_id: str
    token: int
    owner: Owner
    until: datetime


Event = Mapping[str, Any]
Append = tuple[str, int, Sequence[Event], Lease | None]


class RunStore(Protocol):
    """Where runs live; `sqlite` keeps them, `memory` is for tests. Both pass the same contract suite."""

    def create(self, run_id: str, header: RunHeader, events: Sequence[Event]) -> bool:
        """Make a run with its first events; False, and nothing changed, when it exists already."""
        ...

    def append(self, run_id: str, expected_version: int, events: Sequence[Event], *, lease: Lease | None = None) -> int:
        """Add events in one transaction and give the new version.

        Raises VersionConflict, LeaseLost, ConflictError for a run that has ended, NotFoundError. Without a lease only
        outside events (`CancelRequested`) are taken.
        """
        ...

    def append_many(self, appends: Sequence[Append]) -> list[int | KyaniteError]:
        """Several appends in one commit; a refused one gives its error in its place and does not disturb the others."""
        ...

    def read(self, run_id: str, after: int = 0) -> list[StoredEvent]:
        """The events above `after` with their real values, for the worker only; none for an unknown run."""
        ...

    def history(self, run_id: str, after: int = 0) -> list[StoredEvent]:
        """The events above `after`, secrets masked, for people and clients."""
        ...

    def version(self, run_id: str) -> int:
        """The number of events of a run; 0 when it does not exist."""
        ...

    def claim(self, run_id: str, owner: Owner, now: datetime) -> Lease | None:
        """The right to advance a run; None while another living owner holds it, and for a run that has ended."""
        ...

    def renew(self, lease: Lease, now: datetime) -> Lease:
        """The same lease for LEASE_SECONDS more; raises LeaseLost when another owner took the run."""
        ...

    def release(self, lease: Lease) -> None:
        """Give the run back; nothing happens when the lease was lost before."""
        ...

    def summary(self, run_id: str) -> RunSummary | None:
        """One run as lists show it."""
        ...

    def runs(self, query: RunQuery) -> list[RunSummary]:
        """The runs a query asks for, newest first."""
        ...

    def put_snapshot(self, document: Mapping[str, Any]) -> str:
        """Keep a factory's definitions, sealed and once; the hash to find them by."""
        ...

    def snapshot(self, hash: str) -> dict[str, Any]:
        """The definitions under a hash, with their real values; raises NotFoundError."""
        ...

    def forget(self, ended_before: datetime) -> int:
        """Delete runs that ended before a time, and snapshots nobody needs; the number of runs deleted."""
        ...
