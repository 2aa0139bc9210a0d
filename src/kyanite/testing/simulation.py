"""Drives the pure engine on a virtual clock: no threads, no files, no waiting, and the same ids every time.

What the runtime does with threads and processes happens here by arithmetic: outcomes become reports at their moment.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from kyanite.definitions.model import Factory, Pipeline
from kyanite.engine import events as ev
from kyanite.engine.commands import CancelChildRun, Command, StartActivity, StartChildRun, StopActivity
from kyanite.engine.decide import decide
from kyanite.engine.parameters import resolve_parameters
from kyanite.engine.reports import AttemptReport, ChildReport
from kyanite.engine.state import RunState
from kyanite.errors import InvariantError, LimitError, UserError
from kyanite.limits import DECISION_EVENTS
from kyanite.testing.outcomes import Call, Outcome, within_own_timeout
from kyanite.testing.simulated_run import SimulatedRun

Json = Any
NAMESPACE = UUID("00000000-0000-0000-0000-00000000cafe")
START = datetime(2026, 1, 1, tzinfo=UTC)
STEPS = 200_000
LONGEST_SECONDS = 3_650 * 86_400.0


class Simulation:
    """Runs of one factory on one virtual clock.

    `outcome_of` says what an attempt of an execution activity does; `child_outcome_of` may answer for a child run,
    which then is not made. `watch` sees every event just after it happened. `attempts` counts started attempts by name.
    Reports of one moment are decided on together unless `reports_together` is off.
    """

    def __init__(
        self,
        factory: Factory,
        outcome_of: Callable[[Call], Outcome],
        *,
        child_outcome_of: Callable[[Call], Outcome | None] = lambda _: None,
        watch: Callable[[str, ev.Event], None] = lambda *_: None,
        now: datetime = START,
        check_replay: bool = True,
        budget: int = DECISION_EVENTS,
        reports_together: bool = True,
    ) -> None:
        self.factory = factory
        self.now = now
        self.runs: dict[str, SimulatedRun] = {}
        self.journal: list[tuple[str, ev.Event]] = []
        self.attempts: dict[str, int] = {}
        self._child_calls: dict[str, int] = {}
        self._outcome_of = outcome_of
        self._child_outcome_of = child_outcome_of
        self._watch = watch
        self._check_replay = check_replay
        self._budget = budget
        self._reports_together = reports_together
        self._guids = itertools.count(1)
        self._order = itertools.count()
        self._pending: list[tuple[datetime, int, str, AttemptReport | ChildReport]] = []
        self._steps = 0

    # ---- what a test does

    def create(
        self,
        pipeline: str,
        parameters: Mapping[str, Json] | None = None,
        invoked_by: Mapping[str, Json] | None = None,
        *,
        rerun: Mapping[str, Json] | None = None,
    ) -> SimulatedRun:
        """Queue a run; ParameterError or NotFoundError when it must not exist.

        `rerun` is a plan of the engine's: what the run need not execute because an earlier one did.
        """
        definition = self.factory.pipelines[pipeline]
        resolved = resolve_parameters(definition, parameters or {})
        run_id = str(uuid5(NAMESPACE, f"{definition.name}#{len(self.runs)}"))
        by = {"id": run_id, "name": "Manual", "invokedByType": "Manual", **(invoked_by or {})}
        return self._create(run_id, definition, resolved, by, rerun=rerun)

    def settle(self) -> None:
        """Let everything happen that happens at this moment."""
        while True:
            self._steps += 1
            if self._steps > STEPS:
                raise LimitError(f"The run took {STEPS:,} decisions and is not over.", cure="Does a loop end?")
            progressed = [self._turn(run_id) for run_id in list(self.runs)]
            if not any(progressed) and not self._deliver():
                return

    def next_moment(self) -> datetime | None:
        """When something happens next; None when nothing will."""
        timers = [run.state.next_timer() for run in self.runs.values() if not run.state.over]
        times = [ev.utc_time(timer) for timer in timers if timer] + [entry[0] for entry in self._pending[:1]]
        return max(self.now, min(times)) if times else None

    def advance(self, until: datetime) -> None:
        """Move the clock, letting everything happen in between at its own moment."""
        self.settle()
        while (moment := self.next_moment()) is not None and moment <= until:
            self.now = moment
            self._deliver()
            self.settle()
        self.now = max(self.now, until)

    def finish(self, run: SimulatedRun | None = None) -> None:
        """Move the clock until a run is over, or all of them."""
        self.settle()
        while not (run.state.over if run else all(each.state.over for each in self.runs.values())):
            moment = self.next_moment()
            if moment is None:
                waiting = sorted(path for each in self.runs.values() for path in each.state.active)
                raise UserError(f"Nothing will happen any more, but {', '.join(waiting)} did not end.")
            self.now = moment
            self._deliver()
            self.settle()

    def cancel(self, run: SimulatedRun, *, recursive: bool = True) -> None:
        """Ask for a run to be cancelled; nothing when it is over."""
        if not run.state.over:
            event = ev.CancelRequested(at=ev.utc_text(self.now), recursive=recursive)
            run.state.apply(event)
            self._record(run, (event,))

    # ---- turns

    def _turn(self, run_id: str) -> bool:
        run = self.runs[run_id]
        if run.state.over:
            return False
        reports, run.reports = run.reports, []
        decision = decide(
            run.state,
            reports,
            now=self.now,
            clock=lambda: self.now,
            new_guid=lambda: uuid5(NAMESPACE, f"guid {next(self._guids)}"),
            budget=self._budget,
        )
        self._record(run, decision.events)
        for command in decision.commands:
            self._act(run_id, run, command)
        if run.state.over and run.parent:
            parent, path = run.parent
            state = run.state
            self.runs[parent].reports.append(ChildReport(path, run_id, state.status, state.message, state.return_value))
        for event in decision.events:
            self._watch(run_id, event)
        return bool(decision.events or decision.more)

    def _record(self, run: SimulatedRun, events: tuple[ev.Event, ...]) -> None:
        self.journal.extend((run.state.run_id, event) for event in events)
        run.record(events)

    def _create(
        self,
        run_id: str,
        pipeline: Pipeline,
        parameters: Mapping[str, Json],
        invoked_by: Mapping[str, Json],
        parent: tuple[str, str] | None = None,
        link: Mapping[str, Json] | None = None,
        rerun: Mapping[str, Json] | None = None,
    ) -> SimulatedRun:
        replayed = RunState(run_id, self.factory, pipeline) if self._check_replay else None
        run = SimulatedRun(RunState(run_id, self.factory, pipeline), replayed, parent=parent, link=link or {})
        self.runs[run_id] = run
        queued = ev.RunQueued(
            at=ev.utc_text(self.now),
            factory=self.factory.name,
            pipeline=pipeline.name,
            parameters=parameters,
            invoked_by=invoked_by,
            group_id=run_id,
            parent=link,
            rerun=rerun,
        )
        run.state.apply(queued)
        self._record(run, (queued,))
        return run

    # ---- commands

    def _act(self, run_id: str, run: SimulatedRun, command: Command) -> None:
        match command:
            case StartActivity():
                self._start(run_id, run, command)
            case StopActivity():
                self._drop_pending(run_id, command.path)
                error = {"errorCode": "Stopped", "message": "stopped"}
                run.reports.append(AttemptReport(command.path, command.attempt, "Cancelled", error=error))
            case StartChildRun():
                self._start_child(run_id, run, command)
            case CancelChildRun() if command.run_id in self.runs:
                self.cancel(self.runs[command.run_id])
            case CancelChildRun():
                self._drop_pending(run_id, command.path)
                run.reports.append(ChildReport(command.path, command.run_id, "Cancelled"))
            case _:
                raise InvariantError(f"The simulation does not know the command {type(command).__name__}.")

    def _call(self, run_id: str, run: SimulatedRun, path: str, counts: dict[str, int]) -> Call:
        # not from the state: when nobody waits for a child, the scope that started it may be closed already
        started = run.started[path]
        name = path.rsplit("/", 1)[-1]
        counts[name] = counts.get(name, 0) + 1
        return Call(
            name=name,
            type=started.type,
            path=path,
            pipeline=run.state.pipeline.name,
            run=run_id,
            input=started.input,
            attempt=started.attempt + 1,
            number=counts[name],
            now=self.now,
            inputs=started.data.get("inputs", ()),
            outputs=started.data.get("outputs", ()),
            linked_service=started.data.get("linkedService"),
        )

    def _start(self, run_id: str, run: SimulatedRun, command: StartActivity) -> None:
        call = self._call(run_id, run, command.path, self.attempts)
        outcome = within_own_timeout(self._outcome_of(call), call)
        error = outcome.error
        if outcome.status != "Succeeded":
            told = {"errorCode": "Failed", "message": f"{call.name} failed as told"}
            error = {**told, "failureType": "UserError", "target": call.name, **(error or {})}
        report = AttemptReport(command.path, command.attempt, outcome.status, output=outcome.output, error=error)
        self._schedule(run_id, outcome.seconds, report)

    def _start_child(self, run_id: str, run: SimulatedRun, command: StartChildRun) -> None:
        call = self._call(run_id, run, command.path, self._child_calls)
        told = self._child_outcome_of(replace(call, input=dict(command.parameters)))
        if told is not None:
            if command.wait:
                message = str((told.error or {}).get("message", ""))
                report = ChildReport(command.path, command.run_id, told.status, message, told.output or None)
                self._schedule(run_id, told.seconds, report)
            return
        parent = run.state.pipeline.name
        link = {"runId": run_id, "pipeline": parent, "path": command.path, "depth": command.depth}
        link["wait"] = command.wait
        by = {"id": run_id, "name": parent, "invokedByType": "PipelineActivity"}
        by |= {"pipelineName": parent, "pipelineRunId": run_id}
        self._create(
            command.run_id,
            self.factory.pipelines[command.pipeline],
            command.parameters,
            by,
            (run_id, command.path) if command.wait else None,
            link,
            command.rerun,
        )

    # ---- the clock

    def _schedule(self, run_id: str, seconds: float | None, report: AttemptReport | ChildReport) -> None:
        if seconds is not None:
            done = self.now + timedelta(seconds=min(max(seconds, 0.0), LONGEST_SECONDS))
            heapq.heappush(self._pending, (done, next(self._order), run_id, report))

    def _drop_pending(self, run_id: str, path: str) -> None:
        self._pending = [entry for entry in self._pending if (entry[2], entry[3].path) != (run_id, path)]
        heapq.heapify(self._pending)

    def _deliver(self) -> bool:
        """Hand over the reports whose moment has come, or the first of them; whether there were any."""
        delivered = False
        while self._pending and self._pending[0][0] <= self.now and (self._reports_together or not delivered):
            _, _, run_id, report = heapq.heappop(self._pending)
            self.runs[run_id].reports.append(report)
            delivered = True
        return delivered
