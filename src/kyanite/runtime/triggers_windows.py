"""One step of a tumbling window trigger: what became of its running windows, then which ones may start now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID, uuid5

from kyanite.definitions.model import Resource
from kyanite.engine.events import utc_time
from kyanite.engine.state import FINAL
from kyanite.engine.triggers import read_trigger, type_of
from kyanite.engine.triggers.starts import PipelineStart, starts_of, window_scope
from kyanite.engine.triggers.tumbling import SELF, Need, Tumbling, Window, due_at, due_windows, needs, unmet
from kyanite.engine.triggers.values import us_text, wire_time
from kyanite.errors import DefinitionError, KyaniteError
from kyanite.expressions import Scope
from kyanite.limits import WINDOW_WAIT_SECONDS, WINDOWS_WAITING
from kyanite.runtime.triggers_fire import PreparedRun, Site, create, prepare, trigger_run_id
from kyanite.runtime.triggers_store import (
    CANCELED,
    FAILED,
    IN_PROGRESS,
    SUCCEEDED,
    WAITING,
    TriggerKey,
    TriggerRun,
    TriggerState,
)

Json = Any
_READ_AHEAD = 50
_ENDED_AS = {"Cancelled": CANCELED, "Failed": FAILED, "Succeeded": SUCCEEDED}


def follow_windows(site: Site, key: TriggerKey, rule: Tumbling | None, now: datetime) -> None:
    """Give windows whose pipeline run is over their status, or set them up for a retry; started or not."""
    for run in site.store.open_windows(key):
        if run.status != IN_PROGRESS:
            continue
        summary = site.workspace.store.summary(next(iter(run.pipelines.values())))
        if summary is not None and summary.status not in FINAL:
            continue
        ended, message = (
            ("Failed", "Its pipeline run is gone.") if summary is None else (summary.status, summary.message)
        )
        if ended == "Failed" and rule is not None and run.attempt <= rule.retry_count:
            at = utc_time(summary.ended_at) if summary is not None and summary.ended_at else now
            note = f"Retry {run.attempt} of {rule.retry_count} after: {message}"
            later = at + rule.retry_interval
            site.store.change(run, status=WAITING, not_before=later, message=note, updated_at=now)
        else:
            site.store.change(run, status=_ENDED_AS[ended], message=message, updated_at=now)
            site.log(f"trigger {run.name}: window {_shown(run)} {_ENDED_AS[ended]}")


def start_windows(site: Site, trigger: Resource, rule: Tumbling, state: TriggerState, now: datetime) -> list[str]:
    """Start the windows that may run, oldest first, up to maxConcurrency; the ids of the pipeline runs."""
    return _Step(site, trigger, rule, state, now).start()


def rules_needed(site: Site, rule: Tumbling) -> dict[str, Tumbling]:
    """The rules of the triggers that a rule depends on; DefinitionError when one is not of tumbling windows."""
    found: dict[str, Tumbling] = {}
    for dependency in rule.depends_on:
        if dependency.trigger == SELF:
            continue
        other = site.factory.triggers[dependency.trigger]
        if type_of(other) != "TumblingWindowTrigger":
            raise DefinitionError(
                f"The trigger '{other.name}' it depends on has no windows: it is a {other.type}.",
                cure="Depend on a TumblingWindowTrigger.",
            )
        found[dependency.trigger] = read_trigger(other)
    return found


@dataclass(frozen=True)
class _Statuses:
    """Start -> status of a trigger's windows that start from `first` to `last`."""

    first: datetime
    last: datetime
    found: Mapping[datetime, str]


@dataclass
class _Step:
    """The windows of one trigger at one moment."""

    site: Site
    trigger: Resource
    rule: Tumbling
    state: TriggerState
    now: datetime
    statuses: dict[str, _Statuses] = field(default_factory=dict)

    @cached_property
    def key(self) -> TriggerKey:
        return self.site.key(self.trigger)

    @cached_property
    def others(self) -> Mapping[str, Tumbling]:
        return rules_needed(self.site, self.rule)

    def start(self) -> list[str]:
        store = self.site.store
        known = store.open_windows(self.key)
        free = self.rule.max_concurrency - sum(run.status == IN_PROGRESS for run in known)
        waiting = [run for run in known if run.status == WAITING]
        count = len(waiting)
        made: list[str] = []
        for window, run in self._candidates(waiting):
            if len(made) >= free or (run is None and count >= WINDOWS_WAITING):
                break
            if run is not None and run.not_before is not None and run.not_before > self.now:
                continue
            missing = self._unmet(window)
            if missing:
                count += run is None
                self._wait(window, run, missing)
            elif run_id := self._run(window, run):
                made.append(run_id)
            elif run is None and store.window(self.key, window.start) is None:
                break  # it was not its turn: a later window must not be there before it
        return made

    def _candidates(self, waiting: list[TriggerRun]) -> Iterator[tuple[Window, TriggerRun | None]]:
        """Windows that wait already, then those nobody has looked at yet: a later one is never made before an older."""
        for run in waiting:
            yield _window_of(run), run
        last = self.site.store.last_window(self.key)
        for window in due_windows(self.rule, self.now, after=last[0] if last else None):
            yield window, None

    def _unmet(self, window: Window) -> list[Need]:
        if not self.rule.depends_on:
            return []
        needed = needs(self.rule, self.others, window)
        for name in {need.trigger for need in needed}:
            starts = [need.window.start for need in needed if need.trigger == name]
            self._read_statuses(name, min(starts), max(starts), window.end - window.start)
        return unmet(needed, lambda name, start: self.statuses[name].found.get(start))

    def _read_statuses(self, name: str, first: datetime, last: datetime, step: timedelta) -> None:
        """Have the statuses of a trigger's windows at hand; those that the next windows will ask for come along."""
        known = self.statuses.get(name)
        if known is not None and known.first <= first and last <= known.last:
            return
        key = self.key if name == SELF else TriggerKey.of(self.site.factory.name, name)
        last += _READ_AHEAD * step
        self.statuses[name] = _Statuses(first, last, self.site.store.window_statuses(key, first, last))

    def _wait(self, window: Window, run: TriggerRun | None, missing: list[Need]) -> None:
        shown = tuple(f"{self._name(need)} {wire_time(need.window.start)}" for need in missing[:10])
        store = self.site.store
        if run is None:
            store.insert(self._new(window, WAITING, unmet=shown, waiting_since=self.now))
        elif self.now - (run.waiting_since or self.now) > timedelta(seconds=WINDOW_WAIT_SECONDS):
            days = WINDOW_WAIT_SECONDS // 86_400
            message = f"It waited {days} days for {', '.join(shown)}. Rerun those, then this window."
            store.change(run, status=FAILED, message=message, unmet=shown, updated_at=self.now)
        elif run.unmet != shown:
            store.change(run, unmet=shown)

    def _name(self, need: Need) -> str:
        return self.trigger.name if need.trigger == SELF else need.trigger

    def _run(self, window: Window, run: TriggerRun | None) -> str | None:
        """Claim a window and create its pipeline run in one transaction; None when that did not come about."""
        base = run or self._new(window, WAITING)
        try:
            prepared = self._prepare(window, base)
        except KyaniteError as error:
            self._fail(base, error, is_new=run is None)
            return None
        store = self.site.store
        properties = self._properties(window)
        changes: dict[str, Json] = {
            "status": IN_PROGRESS,
            "attempt": base.attempt + 1,
            "pipelines": {prepared.key: prepared.run_id},
            "properties": properties,
            "updated_at": self.now,
            "fired_at": self.now,
            "not_before": None,
            "unmet": (),
            "message": "",
        }
        with self.site.workspace.database.transaction():
            if not store.is_started(self.state) or store.running_windows(self.key) >= self.rule.max_concurrency:
                return None
            if run is None and not store.insert(base):
                return None
            if store.change(base, **changes) is None:
                return None
            create(self.site, self.trigger, prepared, base.trigger_run_id, self.now)
        self.site.log(f"trigger {base.name}: window {_shown(base)} runs: {prepared.run_id}")
        return prepared.run_id

    def _prepare(self, window: Window, run: TriggerRun) -> PreparedRun:
        start = starts_of(self.trigger)[0]
        run_id = str(uuid5(UUID(run.trigger_run_id), f"{run.reruns}/{run.attempt + 1}"))
        return prepare(self.site, start, self._given(start, window, run), run_id)

    def _given(self, start: PipelineStart, window: Window, run: TriggerRun) -> Scope | Mapping[str, Json]:
        """What the parameters come from; a retry has those of the run before."""
        before = run.pipelines.get(start.key) if run.attempt else None
        events = self.site.workspace.store.read(before) if before else []
        if events:
            parameters: Mapping[str, Json] = events[0].body.get("parameters") or {}
            return parameters
        return window_scope(self.trigger.name, window, due_at(self.rule, window), self.now)

    def _fail(self, run: TriggerRun, error: KyaniteError, *, is_new: bool) -> None:
        store = self.site.store
        with self.site.workspace.database.transaction():
            if is_new and not store.insert(run):
                return
            message = f"No pipeline run was made: {error}"
            if store.change(run, status=FAILED, message=message, updated_at=self.now, unmet=()) is None:
                return
        self.site.log(f"trigger {run.name}: window {_shown(run)} {FAILED}: {error}")

    def _new(self, window: Window, status: str, **more: Any) -> TriggerRun:
        return TriggerRun(
            trigger_run_id=trigger_run_id(self.key, f"window {wire_time(window.start)}"),
            key=self.key,
            name=self.trigger.name,
            type=type_of(self.trigger),
            fired_at=self.now,
            updated_at=self.now,
            status=status,
            properties=self._properties(window),
            window_start=window.start,
            window_end=window.end,
            **more,
        )

    def _properties(self, window: Window) -> dict[str, str]:
        return {
            "TriggerTime": us_text(self.now),
            "windowStartTime": us_text(window.start),
            "windowEndTime": us_text(window.end),
        }


def _window_of(run: TriggerRun) -> Window:
    assert run.window_start is not None and run.window_end is not None  # noqa: S101 - only windows are asked for
    return Window(run.window_start, run.window_end)


def _shown(run: TriggerRun) -> str:
    return wire_time(_window_of(run).start)
