"""Between the records of the contract and what a store keeps: sealed on the way in, opened or masked on the way out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from kyanite.runs.owner import Owner
from kyanite.runs.projection import Holder, RunState
from kyanite.runs.store import Event, RunHeader, RunSummary, StoredEvent
from kyanite.secrets import Vault


class Row(Protocol):
    """A row of a table: columns by name."""

    def __getitem__(self, column: str, /) -> Any: ...


class SealedEvent(NamedTuple):
    """An event as it is kept; `body` is sealed JSON without kind and time."""

    at: str
    kind: str
    body: str


def seal_events(vault: Vault, events: Iterable[Event]) -> list[SealedEvent]:
    """Events as they are kept."""
    return [
        SealedEvent(
            event["at"],
            event["kind"],
            vault.seal_json({name: value for name, value in event.items() if name not in ("at", "kind")}),
        )
        for event in events
    ]


def stored_events(rows: Iterable[Row], reveal: Callable[[str], Any]) -> list[StoredEvent]:
    """Events as they are given out; `reveal` turns a sealed text into a JSON value."""
    return [StoredEvent(row["seq"], row["kind"], row["at"], reveal(row["body"])) for row in rows]


def seal_header(vault: Vault, header: RunHeader) -> str:
    """The part of a header that lists show but never search."""
    return vault.seal_json(
        {
            "parameters": header.parameters,
            "invokedBy": header.invoked_by,
            "annotations": header.annotations,
            "runDimensions": header.run_dimensions,
        }
    )


def row_of(vault: Vault, run_id: str, header: RunHeader, state: RunState) -> dict[str, Any]:
    """The columns of a new run's row."""
    return {
        **changed_columns(vault, run_id, state),
        "factory": header.factory,
        "pipeline": header.pipeline,
        "group_id": header.group_id or run_id,
        "parent_run_id": header.parent_run_id,
        "snapshot": header.snapshot,
    }


def changed_columns(vault: Vault, run_id: str, state: RunState) -> dict[str, Any]:
    """The columns that an append writes; half a surrogate pair in a message, which no database takes, becomes `?`."""
    message = vault.seal(state.message).encode(errors="replace").decode()
    return {**vars(state), "run_id": run_id, "message": message}


def state_of(row: Row) -> RunState:
    """The state that a row holds."""
    return RunState(**{name: row[name] for name in RunState.__dataclass_fields__})


def holder_of(row: Row) -> Holder:
    """Who holds the run of a row."""
    owner = row["lease_owner"]
    return Holder(row["lease_token"], Owner.from_text(owner) if owner else None, row["lease_until"])


def summary_of(vault: Vault, row: Row) -> RunSummary:
    """A run as lists show it, from its row with `header` and `is_latest`."""
    header = vault.masked_json(row["header"])
    return RunSummary(
        run_id=row["run_id"],
        number=row["number"],
        factory=row["factory"],
        pipeline=row["pipeline"],
        status=row["status"],
        version=row["version"],
        parameters=header["parameters"],
        invoked_by=header["invokedBy"],
        annotations=header["annotations"],
        run_dimensions=header["runDimensions"],
        queued_at=row["queued_at"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        updated_at=row["updated_at"],
        message=vault.mask(row["message"]),
        group_id=row["group_id"],
        parent_run_id=row["parent_run_id"],
        snapshot=row["snapshot"],
        is_latest=bool(row["is_latest"]),
        owner=holder_of(row).owner,
    )


def hash_of(sealed: str) -> str:
    """The name of a snapshot: a hash of its sealed text, so that it tells nothing about the secrets in it."""
    return hashlib.sha256(sealed.encode()).hexdigest()


def names(value: str | Sequence[str] | None) -> list[str] | None:
    """One text or several as a list; None stays None."""
    if value is None:
        return None
    return [value] if isinstance(value, str) else list(value)
