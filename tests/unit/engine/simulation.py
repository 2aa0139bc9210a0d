"""Drives the pure engine without threads, files or real time: scripted outcomes on a virtual clock.

After every decision the log so far is folded again from its wire form and compared with the live state, and the
invariants are checked, so every simulated run is also a replay test.
"""

from __future__ import annotations

import heapq
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from kyanite.definitions.load import load_documents
from kyanite.definitions.model import Factory
from kyanite.engine import events as ev
from kyanite.engine.commands import CancelChildRun, StartActivity, StartChildRun, StopActivity
from kyanite.engine.decide import decide
from kyanite.engine.invariants import check_invariants
from kyanite.engine.parameters import resolve_parameters
from kyanite.engine.reports import AttemptReport, ChildReport, Report
from kyanite.engine.state import RunState

NAMESPACE = UUID("00000000-0000-0000-0000-00000000cafe")
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
Json = Any


@dataclass
class SimulatedRun:
    state: RunState
    log: list[ev.Event]
    parent: tuple[str, str] | None = None
    reports: list[Report] = field(default_factory=list)


class Simulation:
    """`outcomes[name]` lists what the attempts of an execution activity do, the last entry repeating."""

    def __init__(
        self,
        pipelines: list[dict[str, Json]],
        outcomes: Mapping[str, list[Json]] | None = None,
        cancel: Mapping[str, Json] | None = None,
        *,
        check_replay: bool = True,
        budget: int = 256,
    ) -> None:
        self.factory: Factory = load_documents("f", [("pipeline", document) for document in pipelines])
        self.outcomes = outcomes or {}
        self.cancel = cancel
        self.check_replay = check_replay
        self.budget = budget
        self.now = EPOCH
        self.runs: dict[str, SimulatedRun] = {}
        self.attempts: dict[str, int] = {}
        self.ended_attempts: dict[str, int] = {}
        self._numbers = itertools.count()
        self._pending: list[tuple[datetime, int, str, str, int, Json]] = []
        self._cancelled = False

    def start(self, pipeline: str, parameters: Mapping[str, Json] | None = None) -> SimulatedRun:
        definition = self.factory.pipelines[pipeline]
        resolved = resolve_parameters(definition, parameters or {})
        self.main = self._create(str(uuid5(NAMESPACE, "main")), pipeline, resolved, None, {})
        self._loop()
        return self.main

    def rerun(self, plan: Mapping[str, Json], name: str = "again") -> SimulatedRun:
        """Run the main pipeline once more, after its first run is over, by a plan made of that run."""
        before = self.main.state
        assert before.over and before.queued is not None
        run_id = str(uuid5(NAMESPACE, name))
        self.main = self._create(run_id, before.pipeline.name, before.queued.parameters, None, {}, plan)
        self._loop()
        return self.main

    def _create(
        self,
        run_id: str,
        pipeline: str,
        parameters: Mapping[str, Json],
        parent: tuple[str, str] | None,
        link: Mapping[str, Json],
        rerun: Mapping[str, Json] | None = None,
    ) -> SimulatedRun:
        state = RunState(run_id, self.factory, self.factory.pipelines[pipeline])
        queued = ev.RunQueued(
            at=ev.utc_text(self.now),
            factory="f",
            pipeline=pipeline,
            parameters=parameters,
            parent=link or None,
            rerun=rerun,
        )
        state.apply(queued)
        run = self.runs[run_id] = SimulatedRun(state, [queued], parent)
        return run

    def _loop(self) -> None:
        for _ in range(200_000):
            progressed = False
            for run_id in list(self.runs):
                progressed |= self._turn(run_id)
            if progressed:
                continue
            if all(run.state.over for run in self.runs.values()):
                return
            self._advance()
        raise AssertionError("the simulation does not end")

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
            new_guid=lambda: uuid5(NAMESPACE, str(next(self._numbers))),
            budget=self.budget,
        )
        run.log.extend(decision.events)
        self._verify(run)
        for command in decision.commands:
            self._act(run_id, run, command)
        if run.state.over and run.parent:
            parent, path = run.parent
            self.runs[parent].reports.append(
                ChildReport(path, run_id, run.state.status, run.state.message, run.state.return_value)
            )
        return bool(decision.events or decision.more)

    def _verify(self, run: SimulatedRun) -> None:
        check_invariants(run.state)
        if not self.check_replay:
            return
        again = RunState(run.state.run_id, self.factory, run.state.pipeline)
        for event in run.log:
            wire = json.loads(json.dumps(ev.to_wire(event)))
            again.apply(ev.from_wire(wire.pop("kind"), wire.pop("at"), wire))
        assert snapshot(again) == snapshot(run.state)

    def _act(self, run_id: str, run: SimulatedRun, command: Json) -> None:
        match command:
            case StartActivity():
                self._start(run_id, run, command)
            case StopActivity():
                self._stop(run_id, run, command)
            case StartChildRun():
                link = {"runId": run_id, "pipeline": run.state.pipeline.name, "path": command.path}
                link["depth"] = command.depth
                parent = (run_id, command.path) if command.wait else None
                self._create(command.run_id, command.pipeline, command.parameters, parent, link, command.rerun)
            case CancelChildRun():
                child = self.runs[command.run_id]
                if not child.state.over:
                    self._request_cancel(child, True)

    def _start(self, run_id: str, run: SimulatedRun, command: StartActivity) -> None:
        name = command.path.rsplit("/", 1)[-1]
        self.attempts[name] = self.attempts.get(name, 0) + 1
        assert run.state.activities[command.path].definition.type == "Custom", "only Custom activities are scripted"
        script = self.outcomes.get(name) or ["Succeeded"]
        outcome = script[min(self.attempts[name], len(script)) - 1]
        outcome = {"status": outcome} if isinstance(outcome, str) else dict(outcome)
        done = self.now + timedelta(seconds=outcome.get("seconds", 0))
        wanted = self.cancel or {}
        if wanted.get("when_running") == name:
            done = max(done, self.now + timedelta(seconds=1))
            self._cancel_main()
        entry = (done, next(self._numbers), run_id, command.path, command.attempt, outcome)
        heapq.heappush(self._pending, entry)

    def _stop(self, run_id: str, run: SimulatedRun, command: StopActivity) -> None:
        self._pending = [
            item for item in self._pending if (item[2], item[3], item[4]) != (run_id, command.path, command.attempt)
        ]
        heapq.heapify(self._pending)
        error = {"errorCode": "Stopped", "message": "stopped"}
        run.reports.append(AttemptReport(command.path, command.attempt, "Cancelled", error=error))

    def _cancel_main(self) -> None:
        if not self._cancelled and self.cancel:
            self._cancelled = True
            self._request_cancel(self.main, bool(self.cancel.get("recursive")))

    def _request_cancel(self, run: SimulatedRun, recursive: bool) -> None:
        event = ev.CancelRequested(at=ev.utc_text(self.now), recursive=recursive)
        run.state.apply(event)
        run.log.append(event)

    def _advance(self) -> None:
        timers = [timer for run in self.runs.values() if (timer := run.state.next_timer()) and not run.state.over]
        times = [ev.utc_time(timer) for timer in timers] + [item[0] for item in self._pending[:1]]
        assert times, "nothing is running and nothing is due, but a run is not over"
        self.now = max(self.now, min(times))
        while self._pending and self._pending[0][0] <= self.now:
            _, _, run_id, path, attempt, outcome = heapq.heappop(self._pending)
            self._report(run_id, path, attempt, outcome)

    def _report(self, run_id: str, path: str, attempt: int, outcome: Mapping[str, Json]) -> None:
        name = path.rsplit("/", 1)[-1]
        self.ended_attempts[name] = self.ended_attempts.get(name, 0) + 1
        status = outcome["status"]
        error = None
        if status != "Succeeded":
            error = {"errorCode": "Scripted", "message": f"{name} failed as told", **(outcome.get("error") or {})}
        output = outcome.get("output", {} if status == "Succeeded" else None)
        self.runs[run_id].reports.append(AttemptReport(path, attempt, status, output=output, error=error))
        counts = (self.cancel or {}).get("when_attempts") or {}
        if any(self.ended_attempts.get(key, 0) >= count for key, count in counts.items()):
            self._turn(run_id)
            self._cancel_main()


def snapshot(state: RunState) -> Json:
    """Everything of a state that must come out of a replay the same."""
    return {
        "status": state.status,
        "message": state.message,
        "variables": state.variables,
        "agenda": list(state.agenda),
        "active": list(state.active),
        "timer": state.next_timer(),
        "recoveries": state.recoveries,
        "scopes": {path: (scope.waiting, scope.statuses) for path, scope in state.scopes.items()},
        "activities": {
            path: (a.phase, a.status, a.attempt, a.input, a.output, a.error, a.data, a.scopes_open, a.scopes_opened)
            for path, a in state.activities.items()
        },
    }
