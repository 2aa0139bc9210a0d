"""The scheduler: looks at the started triggers of all deployed factories and makes the pipeline runs that are due.

It keeps nothing in memory that matters: every look starts from the database, so it may be killed at any moment, and
several may work on one workspace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from kyanite.definitions.model import Resource
from kyanite.engine.triggers import read_trigger
from kyanite.engine.triggers.recurrence import Recurrence, next_fire
from kyanite.engine.triggers.starts import schedule_scope
from kyanite.engine.triggers.storage_events import StorageEvents
from kyanite.engine.triggers.tumbling import Tumbling
from kyanite.engine.triggers.values import us_text, wire_time
from kyanite.errors import KyaniteError, StateError
from kyanite.limits import RUN_RETENTION_DAYS, SCHEDULE_LATE_SECONDS, SCHEDULER_LOOK_SECONDS
from kyanite.runtime.clock import utc_now
from kyanite.runtime.triggers import trigger_store
from kyanite.runtime.triggers_events import Subscription, handle_events
from kyanite.runtime.triggers_fire import Log, Site, definition_hash, fire
from kyanite.runtime.triggers_store import TriggerKey, TriggerState
from kyanite.runtime.triggers_windows import follow_windows, start_windows
from kyanite.runtime.workspace import Workspace

_LATE = timedelta(seconds=SCHEDULE_LATE_SECONDS)
_LOOK = timedelta(seconds=SCHEDULER_LOOK_SECONDS)
_TIDY = timedelta(hours=1)
_MISSING_LOOKS = 3  # a factory that is being deployed again is absent for a moment

Fingerprint = tuple[tuple[str, int, int], ...]
Rule = Recurrence | Tumbling | StorageEvents


@dataclass
class _Loaded:
    fingerprint: Fingerprint
    site: Site | None  # None when it cannot be read
    missing: int = 0


class Scheduler:
    """`look()` does all that is due now; `on_run` gets the id of each pipeline run it made, after it is durable."""

    def __init__(
        self,
        workspace: Workspace,
        *,
        clock: Callable[[], datetime] = utc_now,
        on_run: Callable[[str], None] = lambda run_id: None,
        log: Log = lambda text: None,
    ) -> None:
        self._workspace = workspace
        self._store = trigger_store(workspace)
        self._clock = clock
        self._on_run = on_run
        self._log = log
        self._loaded: dict[str, _Loaded] = {}
        self._said: dict[TriggerKey | None, str] = {}
        self._tidy_at: datetime | None = None

    def look(self) -> datetime:
        """Do all that is due; when to look again (UTC, a second away at most)."""
        now = self._clock()
        wake = now + _LOOK
        started = self._store.started()
        windows = self._store.with_open_windows()
        subscriptions: list[Subscription] = []
        for site in self._sites():
            for trigger in site.factory.triggers.values():
                key = site.key(trigger)
                if key not in started and key not in windows:
                    continue
                try:
                    wake = min(wake, self._trigger(site, trigger, started.get(key), now, subscriptions) or wake)
                except StateError:
                    raise  # nothing can be kept: the others would fare no better
                except KyaniteError as error:
                    self._say(key, f"trigger {trigger.name} cannot work: {error}")
        self._tell(handle_events(self._workspace, subscriptions, now, partial(self._say, None)))
        self._tidy(now)
        return wake

    # ---- one trigger

    def _trigger(
        self,
        site: Site,
        trigger: Resource,
        state: TriggerState | None,
        now: datetime,
        subscriptions: list[Subscription],
    ) -> datetime | None:
        """Do what is due for a trigger; when it needs the next look, if that is known."""
        if state is not None and state.definition != definition_hash(self._workspace, trigger):
            self._say(state.key, f"trigger {trigger.name} was changed since it was started: start it again")
            state = None
        rule: Rule = read_trigger(trigger)
        if isinstance(rule, Tumbling):
            follow_windows(site, site.key(trigger), rule, now)
            if state is not None:
                self._tell(start_windows(site, trigger, rule, state, now))
        elif state is None:
            return None
        elif isinstance(rule, Recurrence):
            return self._schedule(site, trigger, rule, state, now)
        else:
            subscriptions.append(Subscription(site, trigger, rule, state))
        return None

    def _schedule(
        self, site: Site, trigger: Resource, rule: Recurrence, state: TriggerState, now: datetime
    ) -> datetime | None:
        """Fire what has come due since the last look; what is long past is dropped. The next fire."""
        done = state.done_until
        following = next_fire(rule, done)
        if following is not None and following < now - _LATE:
            if self._store.claim_until(state, now - _LATE):
                self._log(
                    f"trigger {trigger.name}: nobody was there from {wire_time(following)} on; dropped, not made up"
                )
            done = now - _LATE
            following = next_fire(rule, done)
        while following is not None and following <= now:
            due = following
            made = fire(
                site,
                trigger,
                wire_time(due),
                schedule_scope(trigger.name, due, now),
                {"TriggerTime": us_text(now), "ScheduleTime": us_text(due)},
                now,
                claim=partial(self._store.claim_until, state, due),
            )
            self._tell(made)
            following = next_fire(rule, due)
        return following

    def _tell(self, made: list[str]) -> None:
        for run_id in made:
            self._on_run(run_id)

    def _say(self, key: TriggerKey | None, text: str) -> None:
        """Say a thing about a trigger (None: about storage events) once, not at every look."""
        if self._said.get(key) != text:
            self._said[key] = text
            self._log(text)

    # ---- factories

    def _sites(self) -> Iterator[Site]:
        """The deployed factories; each is read again when a file of it has changed."""
        present = set(self._workspace.factories())
        for name in sorted(present | self._loaded.keys()):
            loaded = self._loaded.get(name)
            if name not in present:
                assert loaded is not None  # noqa: S101 - it is in one of the two
                loaded.missing += 1
                if loaded.missing > _MISSING_LOOKS:
                    del self._loaded[name]
            else:
                fingerprint = _fingerprint(self._workspace.home / "factories" / name)
                if loaded is None or loaded.fingerprint != fingerprint:
                    loaded = self._loaded[name] = self._load(name, fingerprint)
                loaded.missing = 0
            if loaded.site is not None:
                yield loaded.site

    def _load(self, name: str, fingerprint: Fingerprint) -> _Loaded:
        try:
            factory = self._workspace.factory(name)
        except KyaniteError as error:
            self._log(f"factory {name} cannot be read: {error}")
            return _Loaded(fingerprint, None)
        return _Loaded(fingerprint, Site(self._workspace, self._store, factory, self._log))

    # ---- housekeeping

    def _tidy(self, now: datetime) -> None:
        if self._tidy_at is None or now >= self._tidy_at:
            self._tidy_at = now + _TIDY
            long_ago = now - timedelta(days=RUN_RETENTION_DAYS)
            self._store.forget(long_ago)
            self._workspace.store.forget(long_ago)


def _fingerprint(folder: Path) -> Fingerprint:
    found = []
    for file in sorted(folder.rglob("*.json")):
        try:
            status = file.stat()
        except FileNotFoundError:  # deployed again just now
            continue
        found.append((str(file), status.st_mtime_ns, status.st_size))
    return tuple(found)
