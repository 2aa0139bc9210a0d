"""The worker: claims a run, folds its log, decides, appends, acts - until the run and its child runs are over.

One thread decides; activities run in threads of their own and report through a queue. All that one round decides, for
all runs in hand, is one commit. Whatever moment the process dies at, the log says what was asked for, and the next
worker goes on from there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from queue import Empty, SimpleQueue
from uuid import uuid4

from kyanite.activities import Run
from kyanite.engine import events as ev
from kyanite.engine.commands import CancelChildRun, Command, StartActivity, StartChildRun, StopActivity
from kyanite.engine.decide import Decision, decide
from kyanite.engine.events import utc_time
from kyanite.engine.reports import AttemptReport, ChildReport, RecoveryReport, Report
from kyanite.engine.state import FINAL, Phase, RunState
from kyanite.errors import ConflictError, KyaniteError, LeaseLost, NotFoundError, StateError, VersionConflict
from kyanite.limits import LEASE_RENEW_SECONDS
from kyanite.runs.store import UNFINISHED, Lease, Owner, RunQuery, StoredEvent
from kyanite.runtime.carry_out import Attempt, carry_out, context_for
from kyanite.runtime.clock import utc_now
from kyanite.runtime.fold import fold
from kyanite.runtime.queueing import limited, may_start
from kyanite.runtime.secret_values import named_by_value, parameter_secrets, secure_strings
from kyanite.runtime.start import create_child
from kyanite.runtime.threads import DaemonThreads
from kyanite.runtime.workspace import Workspace

Listener = Callable[[str, StoredEvent], None]
OUTSIDE_POLL_SECONDS = 0.5
THREADS = 64
_TAKEN = VersionConflict("The free place was taken by another run.")


@dataclass(slots=True)
class _Held:
    """A run in hand."""

    run_id: str
    state: RunState
    version: int
    lease: Lease
    reports: list[Report] = field(default_factory=list)
    more: bool = True
    told: tuple[str, str] | None = None  # (parent run, path of its ExecutePipeline) waiting for the end


class Worker:
    """Advances runs in this process. `activities` replaces the table of execution activities (tests)."""

    def __init__(
        self,
        workspace: Workspace,
        *,
        activities: Mapping[str, str | Run] | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._workspace = workspace
        self._store = workspace.store
        self._activities = activities
        self._clock = clock
        self._owner = Owner.current()
        self._threads = DaemonThreads(THREADS)
        self._inbox: SimpleQueue[tuple[str, Report | StateError]] = SimpleQueue()
        self._held: dict[str, _Held] = {}
        self._attempts: dict[tuple[str, str], Attempt] = {}
        self._listener: Listener | None = None
        self._next_poll = 0.0
        self._next_renewal = 0.0

    def run(self, run_id: str, on_event: Listener | None = None) -> str:
        """Advance a run until it and every child run it started are over; gives its final status.

        `on_event` gets each new event, secrets masked, after it is durable. Raises ConflictError when another living
        process advances the run, NotFoundError, StateError when the log cannot be written.
        """
        self._listener = on_event
        self._next_poll = time.monotonic() + OUTSIDE_POLL_SECONDS
        self._next_renewal = time.monotonic() + LEASE_RENEW_SECONDS
        try:
            ended = self._begin(run_id)
            main = self._held.get(run_id)
            while self._held:
                self._round()
        finally:
            for held in self._held.values():
                self._store.release(held.lease)
            self._held.clear()
        return main.state.status if main is not None else ended

    # ---- taking runs in hand

    def _begin(self, run_id: str) -> str:
        """Take a run and the children that an earlier process left; the run's status so far."""
        summary = self._store.summary(run_id)
        if summary is None:
            raise NotFoundError(f"There is no run {run_id}.", cure="`kyanite runs list` shows the runs.")
        if summary.status in FINAL:
            self._adopt_children(run_id)
        elif self._take(run_id, None) is None:
            raise ConflictError(
                f"Run {run_id} is being advanced by another process.",
                cure="Wait for it, or end that process; `kyanite runs show` shows how far it is.",
            )
        return summary.status

    def _adopt_children(self, parent: str) -> None:
        """Take over the unfinished runs that a run started and does not wait for, unless somebody has them."""
        after = None
        while page := self._store.runs(RunQuery(parent=parent, status=UNFINISHED, after=after)):
            for child in page:
                if child.run_id not in self._held:
                    self._take(child.run_id, None)
            after = page[-1].number

    def _take(self, run_id: str, told: tuple[str, str] | None) -> _Held | None:
        lease = self._store.claim(run_id, self._owner, self._clock())
        if lease is None:
            return None
        state, version = fold(self._store, run_id)
        held = _Held(run_id, state, version, lease, told=told)
        self._held[run_id] = held
        self._recover(held)
        if state.started_at is not None:
            self._adopt_children(run_id)
        return held

    def _recover(self, held: _Held) -> None:
        """Take over what an earlier process left running."""
        for path in held.state.active:
            activity = held.state.activities[path]
            if activity.phase not in (Phase.RUNNING, Phase.STOPPING):
                continue
            if activity.data.get("execution"):
                held.reports.append(RecoveryReport(path, activity.attempt))
                self._start(held, StartActivity(path, activity.attempt, activity.activity_run_id), recovering=True)
                if activity.phase is Phase.STOPPING:
                    self._stop(held.run_id, path)
            elif "childRunId" in activity.data:
                self._take_child(held.run_id, path, activity.data["childRunId"], wait=True)

    def _take_child(self, parent: str, path: str, run_id: str, *, wait: bool) -> None:
        told = (parent, path) if wait else None
        summary = self._store.summary(run_id)
        if summary is not None and summary.status in FINAL:
            if told:
                returned = fold(self._store, run_id)[0].return_value
                self._inbox.put((parent, ChildReport(path, run_id, summary.status, summary.message, returned)))
            return
        if self._take(run_id, told) is None:
            raise ConflictError(f"The child run {run_id} is being advanced by another process.")

    # ---- one round

    def _round(self) -> None:
        self._collect()
        self._hear_outside()
        decided = []
        for held in list(self._held.values()):
            if self._wants_turn(held):
                decision = self._decide(held)
                if decision.events:
                    decided.append((held, decision))
                else:
                    held.reports.clear()
        if decided:
            self._commit(decided)
        for held in list(self._held.values()):
            if held.state.over:
                self._finish(held)

    def _collect(self) -> None:
        """Wait for a report, a timer or the next look outside; then take all reports there are."""
        try:
            item = self._inbox.get(timeout=self._patience())
            while True:
                run_id, report = item
                if isinstance(report, StateError):
                    raise report
                if isinstance(report, AttemptReport):
                    self._forget(run_id, report)
                if run_id in self._held:
                    self._held[run_id].reports.append(report)
                item = self._inbox.get_nowait()
        except Empty:
            pass

    def _forget(self, run_id: str, report: AttemptReport) -> None:
        attempt = self._attempts.get((run_id, report.path))
        if attempt is not None and attempt.number == report.attempt:
            del self._attempts[(run_id, report.path)]

    def _patience(self) -> float:
        if any(held.more or held.reports for held in self._held.values()):
            return 0.0
        seconds = max(0.0, self._next_poll - time.monotonic())
        timers = [timer for held in self._held.values() if (timer := held.state.next_timer())]
        if timers:
            seconds = min(seconds, max(0.0, (utc_time(min(timers)) - self._clock()).total_seconds()))
        return seconds

    def _wants_turn(self, held: _Held) -> bool:
        if limited(held.state) and not may_start(self._store, held.state):
            held.more = False  # asked again at the next look outside
            return False
        timer = held.state.next_timer()
        return bool(held.more or held.reports or (timer and timer <= ev.utc_text(self._clock())))

    def _decide(self, held: _Held) -> Decision:
        decision = decide(held.state, held.reports, now=self._clock(), clock=self._clock, new_guid=uuid4)
        held.more = decision.more
        return decision

    def _commit(self, decided: list[tuple[_Held, Decision]]) -> None:
        """Append every decision in one transaction, then act upon them; a run that moved is folded again."""
        for held, decision in decided:
            self._register_secrets(held, decision)
        outcomes: list[int | KyaniteError]
        if any(self._needs_transaction(decision) for _, decision in decided):
            with self._workspace.database.transaction():
                outcomes = [self._append([pair])[0] if self._may_append(pair) else _TAKEN for pair in decided]
                self._create_children(decided, outcomes)
        else:
            outcomes = self._append(decided)
        for (held, _), outcome in zip(decided, outcomes, strict=True):
            if isinstance(outcome, VersionConflict):
                held.state, held.version = fold(self._store, held.run_id)
                held.more = True
            elif isinstance(outcome, KyaniteError):
                raise outcome
            else:
                held.version = outcome
                held.reports.clear()
        for (held, decision), outcome in zip(decided, outcomes, strict=True):
            if isinstance(outcome, int):
                self._tell(held, decision)
                for command in decision.commands:
                    self._act(held, command)

    @staticmethod
    def _needs_transaction(decision: Decision) -> bool:
        """Starting a run needs a free place, and starting a child makes another run: one commit with the events."""
        return isinstance(decision.events[0], ev.RunStarted) or any(
            isinstance(command, StartChildRun) for command in decision.commands
        )

    def _may_append(self, pair: tuple[_Held, Decision]) -> bool:
        held, decision = pair
        if held.state.pipeline.concurrency is None or not isinstance(decision.events[0], ev.RunStarted):
            return True
        stored, _ = fold(self._store, held.run_id)
        return may_start(self._store, stored)

    def _append(self, decided: list[tuple[_Held, Decision]]) -> list[int | KyaniteError]:
        return self._store.append_many(
            [
                (held.run_id, held.version, [ev.to_wire(event) for event in decision.events], held.lease)
                for held, decision in decided
            ]
        )

    def _create_children(self, decided: list[tuple[_Held, Decision]], outcomes: list[int | KyaniteError]) -> None:
        for (held, decision), outcome in zip(decided, outcomes, strict=True):
            for command in decision.commands:
                if isinstance(command, StartChildRun) and isinstance(outcome, int):
                    create_child(self._store, held.state, command, self._clock())

    def _register_secrets(self, held: _Held, decision: Decision) -> None:
        found = [
            value
            for event in decision.events
            if isinstance(event, ev.ActivityStarted)
            for _, value in secure_strings(event.input)
        ]
        secrets = named_by_value(found)
        for command in decision.commands:
            if isinstance(command, StartChildRun):
                secrets |= parameter_secrets(held.state.factory.pipelines[command.pipeline], command.parameters)
        if secrets:
            self._workspace.vault.register(secrets)

    def _tell(self, held: _Held, decision: Decision) -> None:
        if self._listener is None:
            return
        first = held.version - len(decision.events) + 1
        for seq, event in enumerate(decision.events, first):
            body = self._workspace.vault.mask_json(ev.to_wire(event))
            kind, at = body.pop("kind"), body.pop("at")
            self._listener(held.run_id, StoredEvent(seq, kind, at, body))

    def _finish(self, held: _Held) -> None:
        del self._held[held.run_id]
        self._store.release(held.lease)
        if held.told:
            parent, path = held.told
            state = held.state
            report = ChildReport(path, held.run_id, state.status, state.message, state.return_value)
            self._inbox.put((parent, report))

    # ---- acting

    def _act(self, held: _Held, command: Command) -> None:
        match command:
            case StartActivity():
                self._start(held, command, recovering=False)
            case StopActivity():
                self._stop(held.run_id, command.path)
            case StartChildRun():
                self._take_child(held.run_id, command.path, command.run_id, wait=command.wait)
            case CancelChildRun():
                self._cancel_child(command.run_id)

    def _start(self, held: _Held, command: StartActivity, *, recovering: bool) -> None:
        run_id = held.run_id
        attempt = Attempt(run_id, command.path, command.attempt, threading.Event())
        self._attempts[(run_id, command.path)] = attempt

        def report(item: Report) -> None:
            self._inbox.put((run_id, item))

        activity = held.state.activities[command.path]
        context = context_for(held.state, activity, attempt, self._workspace, report, recovering=recovering)

        def work() -> None:
            try:
                report(carry_out(context, attempt, self._activities))
            except StateError as error:
                self._inbox.put((run_id, error))

        self._threads.submit(work)

    def _stop(self, run_id: str, path: str) -> None:
        attempt = self._attempts.get((run_id, path))
        if attempt is not None:
            attempt.cancelled.set()

    def _cancel_child(self, run_id: str) -> None:
        event = ev.CancelRequested(at=ev.utc_text(self._clock()), recursive=True, by="its parent run")
        held = self._held.get(run_id)
        version = held.version if held else self._store.version(run_id)
        try:
            self._store.append(run_id, version, [ev.to_wire(event)])
        except (VersionConflict, ConflictError):
            return  # it moved or ended: the next look outside, or its end, settles it
        self._next_poll = 0.0

    # ---- what other processes append

    def _hear_outside(self) -> None:
        """Fold in what others appended (cancel requests) and keep the leases."""
        now = time.monotonic()
        if now >= self._next_poll:
            self._next_poll = now + OUTSIDE_POLL_SECONDS
            for held in self._held.values():
                for stored in self._store.read(held.run_id, after=held.version):
                    held.state.apply(ev.from_wire(stored.kind, stored.at, stored.body))
                    held.version = stored.seq
                    held.more = True
                held.more = held.more or limited(held.state)
        if now >= self._next_renewal:
            self._next_renewal = now + LEASE_RENEW_SECONDS
            for held in list(self._held.values()):
                try:
                    held.lease = self._store.renew(held.lease, self._clock())
                except LeaseLost:
                    del self._held[held.run_id]
                    raise
