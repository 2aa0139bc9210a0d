"""One simulated pipeline run as a test sees it: look at it, move its clock, assert on it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from kyanite.engine import events as ev
from kyanite.engine.state import FINAL
from kyanite.errors import NotFoundError
from kyanite.testing.history import OVER_UNSTARTED, ActivityRun, Iteration, activity_runs, iterations, last_named
from kyanite.testing.simulated_run import SimulatedRun
from kyanite.testing.simulation import Simulation
from kyanite.testing.times import Duration, Moment, moment_of, seconds_of

Json = Any


class PipelineRun:
    """A run on the virtual clock. `factory.run` gives a finished one, `factory.start` one that stands at its start."""

    def __init__(self, simulation: Simulation, run: SimulatedRun) -> None:
        self.simulation = simulation
        self._run = run

    def __repr__(self) -> str:
        return f"<run of {self.pipeline}: {self.status}>"

    # ---- what it is

    @property
    def id(self) -> str:
        """The run id, the same in every session."""
        return self._run.state.run_id

    @property
    def pipeline(self) -> str:
        """The pipeline's name."""
        return self._run.state.pipeline.name

    @property
    def status(self) -> str:
        """`InProgress`, `Succeeded`, `Failed`, `Canceling` or `Cancelled`."""
        return self._run.state.status

    @property
    def message(self) -> str:
        """Why it failed, as monitoring shows it."""
        return self._run.state.message

    @property
    def parameters(self) -> dict[str, Json]:
        """Parameter values, defaults filled in."""
        queued = self._run.state.queued
        return dict(queued.parameters) if queued else {}

    @property
    def variables(self) -> dict[str, Json]:
        """Variable values now."""
        return dict(self._run.state.variables)

    @property
    def return_value(self) -> dict[str, Json]:
        """The pipeline return value."""
        return dict(self._run.state.return_value or {})

    @property
    def events(self) -> list[dict[str, Json]]:
        """The log so far in its wire form."""
        return [ev.to_wire(event) for event in self._run.log]

    @property
    def now(self) -> datetime:
        """The virtual clock."""
        return self.simulation.now

    @property
    def duration(self) -> timedelta:
        """From queueing to the last event, on the virtual clock."""
        return ev.utc_time(self._run.log[-1].at) - ev.utc_time(self._run.log[0].at)

    # ---- what happened

    @property
    def activities(self) -> list[ActivityRun]:
        """Every activity run of this pipeline run in order, those inside loops and branches included."""
        return activity_runs(self.simulation.journal, self.id)

    def activity(self, name: str) -> ActivityRun:
        """The last run of an activity; NotFoundError when it was not reached."""
        return last_named(self.activities, name, f"by the run of {self.pipeline}")

    def iterations(self, loop: str) -> list[Iteration]:
        """The passes of a ForEach or Until (of its last run)."""
        return iterations(self.simulation.journal, self.activity(loop), self.id)

    @property
    def order(self) -> list[str]:
        """Names in the order of their start; an activity in a loop stands once for each pass."""
        begun = sorted((a for a in self.activities if a.ran), key=lambda a: a.started or a.ended or 0)
        return [activity.name for activity in begun]

    @property
    def skipped(self) -> list[str]:
        """Names of the activities that their dependencies ruled out."""
        return list(dict.fromkeys(a.name for a in self.activities if a.status == "Skipped"))

    @property
    def children(self) -> list[PipelineRun]:
        """The runs that this one started, in order."""
        runs = self.simulation.runs.values()
        return [PipelineRun(self.simulation, run) for run in runs if run.link.get("runId") == self.id]

    def child(self, name: str) -> PipelineRun:
        """The last run started by an ExecutePipeline activity of this name, or of a pipeline of this name."""
        for run in reversed(self.children):
            caller = str(run._run.link["path"]).rsplit("/", 1)[-1]
            if name.casefold() in (caller.casefold(), run.pipeline.casefold()):
                return run
        names = ", ".join(run.pipeline for run in self.children) or "none"
        raise NotFoundError(f"The run of {self.pipeline} started no child by '{name}'.", cure=f"Children: {names}.")

    # ---- moving on

    def advance(self, duration: Duration) -> PipelineRun:
        """Move the clock by a time (`"5m"`, seconds) and let happen what happens until then."""
        return self.advance_to(self.now + timedelta(seconds=seconds_of(duration)))

    def advance_to(self, moment: Moment) -> PipelineRun:
        """Move the clock to a moment; a past one moves nothing."""
        self.simulation.advance(moment_of(moment))
        return self

    def cancel(self, *, recursive: bool = True) -> PipelineRun:
        """Cancel it now; `recursive` takes the child runs along."""
        self.simulation.cancel(self._run, recursive=recursive)
        self.simulation.settle()
        return self

    def finish(self) -> PipelineRun:
        """Move the clock until this run and all that it started are over."""
        self.simulation.finish()
        return self

    # ---- asserting

    def assert_status(self, status: str, activity: str | None = None) -> PipelineRun:
        """The run, or an activity of it, has this status."""
        got = self.activity(activity) if activity else self
        if got.status != status:
            why = got.message if isinstance(got, PipelineRun) else (got.error or {}).get("message", "")
            self._fail(f"{activity or self.pipeline} is {got.status}, not {status}." + (f" {why}" if why else ""))
        return self

    def assert_succeeded(self) -> PipelineRun:
        """The run succeeded."""
        return self.assert_status("Succeeded")

    def assert_failed(self, containing: str = "") -> PipelineRun:
        """The run failed, with this text in its message."""
        self.assert_status("Failed")
        if containing not in self.message:
            self._fail(f"The message of {self.pipeline} does not contain {containing!r}: {self.message!r}")
        return self

    def assert_order(self, *names: str) -> PipelineRun:
        """Each activity ended before the next began; in loops every run of the first before every one of the next."""
        for first, second in pairwise(names):
            before, after = self._all(first), self._all(second)
            last = max((a.ended if a.ended is not None else len(self.simulation.journal)) for a in before)
            began = min((a.started if a.started is not None else a.ended or 0) for a in after)
            if last >= began:
                self._fail(f"{first} had not ended when {second} began.")
        return self

    def assert_ran(self, *names: str) -> PipelineRun:
        """These activities were begun."""
        began = {name.casefold() for name in self.order}
        missing = [name for name in names if name.casefold() not in began]
        if missing:
            self._fail(f"Did not run: {', '.join(missing)}.")
        return self

    def assert_not_run(self, *names: str) -> PipelineRun:
        """These activities were not begun: skipped, inactive or in a branch not taken. They must exist."""
        for name in names:
            self._definition(name)
        began = {name.casefold() for name in self.order}
        ran = [name for name in names if name.casefold() in began]
        if ran:
            self._fail(f"Ran, but should not have: {', '.join(ran)}.")
        return self

    def _definition(self, name: str) -> None:
        self._run.state.pipeline.activities_by_name[name]

    def _all(self, name: str) -> list[ActivityRun]:
        self._definition(name)
        found = [a for a in self.activities if a.name.casefold() == name.casefold()]
        if not any(a.ran for a in found):
            self._fail(f"{name} did not run.")
        return [a for a in found if a.ran]

    def _fail(self, message: str) -> None:
        __tracebackhide__ = True
        raise AssertionError(f"{message}\n{self.story()}")

    def story(self) -> str:
        """What happened, one line per activity run: virtual time, path, status, tries and error."""
        over = self.status if self.status in FINAL else f"{self.status} at {_clock(self.now)}"
        lines = [f"run of {self.pipeline}: {over}" + (f" - {self.message}" if self.message else "")]
        lines += [f"  {line}" for activity in self.activities for line in _lines(activity)]
        for child in self.children:
            lines += [f"  {line}" for line in child.story().splitlines()]
        return "\n".join(lines)


def _lines(activity: ActivityRun) -> Iterator[str]:
    times = f" after {activity.attempts} attempts" if activity.attempts > 1 else ""
    error = f" - {activity.error.get('errorCode')}: {activity.error.get('message')}" if activity.error else ""
    when = "" if activity.status in OVER_UNSTARTED else f"{_clock(activity.started_at)} "
    yield f"{when}{activity.path} ({activity.type}): {activity.status}{times}{error}"


def _clock(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}" if moment else "-"
