"""What happened, read from a simulation's journal: activity runs and iterations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from kyanite.definitions.names import near
from kyanite.engine import events as ev
from kyanite.errors import NotFoundError

Json = Any
OVER_UNSTARTED = ("Skipped", "Inactive")


@dataclass
class ActivityRun:
    """One run of one activity; `attempts` counts its tries, `started` and `ended` are places in the journal.

    A skipped or inactive activity has a record too, with no attempt; one whose input could not be evaluated counts as
    one attempt.
    """

    name: str
    type: str
    path: str
    status: str = "InProgress"
    input: Json = None
    output: Json = None
    error: Mapping[str, Json] | None = None
    attempts: int = 0
    started_at: datetime | None = None
    ended_at: datetime | None = None
    started: int | None = None
    ended: int | None = None
    marked_as: str | None = None
    data: Mapping[str, Json] = field(default_factory=dict, repr=False)
    user_properties: Mapping[str, Json] = field(default_factory=dict, repr=False)

    @property
    def duration(self) -> timedelta | None:
        """From the start of the first attempt to the end; None while it runs or when it never did."""
        return self.ended_at - self.started_at if self.ended_at and self.started_at else None

    @property
    def ran(self) -> bool:
        """Whether it was begun at all."""
        return self.attempts > 0


@dataclass(frozen=True)
class Iteration:
    """One pass of a ForEach (with its item) or Until (without)."""

    index: int
    item: Json
    status: str
    activities: tuple[ActivityRun, ...]

    def activity(self, name: str) -> ActivityRun:
        """The last run of an activity in this pass; NotFoundError when it has none."""
        return last_named(self.activities, name, f"in iteration {self.index}")


def activity_runs(journal: Iterable[tuple[str, ev.Event]], run_id: str) -> list[ActivityRun]:
    """The activity runs of one pipeline run, in the order in which they began or were passed over."""
    found: dict[str, ActivityRun] = {}
    for place, (owner, event) in enumerate(journal):
        if owner != run_id:
            continue
        match event:
            case ev.ActivityStarted():
                _started(_record(found, event), event, place)
            case ev.AttemptFailed():
                found[event.path].status = event.status
            case ev.ActivityProgress():
                found[event.path].output = event.output
            case ev.ActivityEnded():
                _ended(_record(found, event), event, place)
            case ev.ActivityReused():
                record = _record(found, event)
                record.status, record.output, record.error = event.status, event.output, event.error
                record.ended, record.ended_at = place, ev.utc_time(event.at)
            case ev.ActivitySkipped() | ev.ActivityInactive():
                record = _record(found, event)
                record.status = "Skipped" if isinstance(event, ev.ActivitySkipped) else "Inactive"
                record.marked_as = getattr(event, "marked_as", None)
                record.ended, record.ended_at = place, ev.utc_time(event.at)
    return list(found.values())


def _record(found: dict[str, ActivityRun], event: Any) -> ActivityRun:
    name = event.path.rsplit("/", 1)[-1]
    return found.setdefault(event.path, ActivityRun(name, event.type, event.path))


def _started(record: ActivityRun, event: ev.ActivityStarted, place: int) -> None:
    record.attempts += 1
    record.status, record.input, record.data = "InProgress", event.input, event.data
    record.output, record.error, record.user_properties = None, None, event.user_properties
    if record.started is None:
        record.started, record.started_at = place, ev.utc_time(event.at)


def _ended(record: ActivityRun, event: ev.ActivityEnded, place: int) -> None:
    record.attempts = max(record.attempts, 1)
    record.status, record.output, record.error = event.status, event.output, event.error
    record.ended, record.ended_at = place, ev.utc_time(event.at)
    record.started_at = record.started_at or record.ended_at


def iterations(journal: Iterable[tuple[str, ev.Event]], loop: ActivityRun, run_id: str) -> list[Iteration]:
    """The passes of a loop that were begun, in order."""
    entries = list(journal)
    inside = [record for record in activity_runs(entries, run_id) if record.path.startswith(f"{loop.path}/")]
    statuses: dict[int, str] = {}
    for owner, event in entries:
        if owner == run_id and isinstance(event, ev.ScopeOpened | ev.ScopeClosed):
            parent, _, branch = event.scope.rpartition("/")
            if parent == loop.path and branch.isdigit():
                statuses[int(branch)] = event.status if isinstance(event, ev.ScopeClosed) else "InProgress"
    items = loop.data.get("items")
    return [
        Iteration(
            index,
            items[index] if isinstance(items, list) else None,
            status,
            tuple(record for record in inside if record.path.startswith(f"{loop.path}/{index}/")),
        )
        for index, status in statuses.items()
    ]


def last_named(records: Iterable[ActivityRun], name: str, where: str) -> ActivityRun:
    """The last record of a name, whatever its case; NotFoundError with near names."""
    known = list(records)
    for record in reversed(known):
        if record.name.casefold() == name.casefold():
            return record
    names = list(dict.fromkeys(record.name for record in known))
    close = near(name, names)
    hint = f"Did you mean {' or '.join(map(repr, close))}?" if close else f"Reached: {', '.join(names) or 'nothing'}."
    raise NotFoundError(f"Activity '{name}' was not reached {where}.", cure=hint)
