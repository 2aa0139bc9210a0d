"""What has happened in a run: frozen facts, appended to its log and never changed.

On the wire an event is `{"kind", "at", ...}` with camelCase members; members that hold their default are left out.
`at` is UTC, ISO 8601 with six fraction digits and `Z`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from kyanite.errors import StateError

Json = Any


def utc_text(moment: datetime) -> str:
    """An aware time as the log writes it: `2026-01-31T06:00:00.000000Z`."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def utc_later(text: str, seconds: float) -> str:
    """The time so many seconds after a time, both as the log writes them; the end of the calendar at the latest."""
    try:
        return utc_text(utc_time(text) + timedelta(seconds=seconds))
    except OverflowError:
        return utc_text(datetime.max.replace(tzinfo=UTC))


def utc_time(text: str) -> datetime:
    """The aware time behind a text made by `utc_text`."""
    return datetime.fromisoformat(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A fact about a run."""

    at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunQueued(Event):
    """The run exists: everything it needs is fixed here. `snapshot` names the stored definitions.

    `rerun` is what `plan_rerun` made of an earlier run: what this one need not execute again.
    """

    factory: str
    pipeline: str
    parameters: Mapping[str, Json] = field(default_factory=dict)
    snapshot: str = ""
    invoked_by: Mapping[str, Json] = field(default_factory=dict)
    group_id: str = ""
    parent: Mapping[str, Json] | None = None
    rerun: Mapping[str, Json] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event):
    """The run left the queue; its root activities may start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ElapsedTimeExceeded(Event):
    """The run takes longer than its pipeline's `elapsedTimeMetric` says (seconds); it goes on, somebody may look."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityStarted(Event):
    """An attempt of an activity began.

    `input` is what monitoring shows; `data` holds what the engine must remember (items, evaluated references, policy).
    `due` is when a waiting activity goes on by itself, `timeout_at` when this attempt must be stopped.
    """

    path: str
    type: str
    attempt: int = 0
    activity_run_id: str = ""
    input: Json = None
    data: Mapping[str, Json] = field(default_factory=dict)
    due: str | None = None
    timeout_at: str | None = None
    linked_service: str | None = None
    user_properties: Mapping[str, Json] = field(default_factory=dict)
    secure_input: bool = False
    secure_output: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityProgress(Event):
    """What the output looks like so far."""

    path: str
    output: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityRecovered(Event):
    """The process that ran the attempt died; the attempt goes on in another. Not a retry."""

    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRequested(Event):
    """The attempt must end: `reason` is `Timeout` or `Cancel`."""

    path: str
    reason: str
    deadline: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFailed(Event):
    """The attempt failed and its policy allows another one at `retry_at`."""

    path: str
    status: str
    error: Mapping[str, Json]
    retry_at: str
    output: Json = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityEnded(Event):
    """The activity is over: `Succeeded`, `Failed`, `TimedOut` or `Cancelled`."""

    path: str
    type: str
    status: str
    output: Json = None
    error: Mapping[str, Json] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivitySkipped(Event):
    """The activity's dependencies rule it out."""

    path: str
    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityInactive(Event):
    """The activity is deactivated; what depends on it sees `marked_as`."""

    path: str
    type: str
    marked_as: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityReused(Event):
    """The activity was not executed: how it ended in `from_run`, as `activity_run_id`, stands for it."""

    path: str
    type: str
    status: str
    activity_run_id: str
    from_run: str
    output: Json = None
    error: Mapping[str, Json] | None = None
    secure_output: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableSet(Event):
    """A variable has a new value."""

    name: str
    value: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnValueSet(Event):
    """What the run gives back to the pipeline that called it."""

    value: Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableAppended(Event):
    """An array variable got one more item."""

    name: str
    value: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeOpened(Event):
    """A container began one of its bodies; `scope` is the container's path plus the branch or the item's index."""

    scope: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeClosed(Event):
    """All activities of a body are over; `failed_activity` and `message` say which leaf decided a failure.

    `result` is what the container made of the body while its activities could still be seen.
    """

    scope: str
    status: str
    result: Json = None
    failed_activity: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRequested(Event):
    """Somebody asked to cancel the run; `recursive` takes its child runs along."""

    recursive: bool = True
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded(Event):
    """The run is over: `Succeeded`, `Failed` or `Cancelled`."""

    status: str
    message: str = ""


KINDS: dict[str, type[Event]] = {
    kind.__name__: kind
    for kind in (
        ActivityEnded,
        ActivityInactive,
        ActivityProgress,
        ActivityRecovered,
        ActivityReused,
        ActivitySkipped,
        ActivityStarted,
        AttemptFailed,
        CancelRequested,
        ElapsedTimeExceeded,
        ReturnValueSet,
        RunEnded,
        RunQueued,
        RunStarted,
        ScopeClosed,
        ScopeOpened,
        StopRequested,
        VariableAppended,
        VariableSet,
    )
}


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def _defaults(kind: type[Event]) -> tuple[tuple[str, str, Any], ...]:
    return tuple(
        (item.name, _camel(item.name), item.default_factory() if item.default_factory is not MISSING else item.default)
        for item in fields(kind)
    )


_MEMBERS = {kind: _defaults(kind) for kind in KINDS.values()}
_NAMES = {kind: {wire: name for name, wire, _ in members} for kind, members in _MEMBERS.items()}


def to_wire(event: Event) -> dict[str, Json]:
    """The event as the run store takes it."""
    wire: dict[str, Json] = {"kind": type(event).__name__}
    for name, key, default in _MEMBERS[type(event)]:
        value = getattr(event, name)
        if value is not default and value != default:
            wire[key] = value
    return wire


def from_wire(kind: str, at: str, body: Mapping[str, Json]) -> Event:
    """The event behind a stored row; a kind of a newer version is a StateError."""
    known = KINDS.get(kind)
    if known is None:
        raise StateError(f"The log holds an event of the unknown kind {kind!r}.", cure="Upgrade kyanite.")
    names = _NAMES[known]
    members = {names[key]: value for key, value in body.items() if key in names and key != "at"}
    return known(at=at, **members)
