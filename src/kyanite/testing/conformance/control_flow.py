"""Cases of control flow: small pipelines whose execution activities do what the case says."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kyanite.definitions.load import load_documents
from kyanite.engine import events as ev
from kyanite.errors import UserError
from kyanite.testing.conformance import Failure, same, shown
from kyanite.testing.history import OVER_UNSTARTED, ActivityRun, activity_runs
from kyanite.testing.outcomes import Call, Outcome
from kyanite.testing.simulated_run import SimulatedRun
from kyanite.testing.simulation import Simulation

Json = Any


def title_of(case: Mapping[str, Json]) -> str:
    """The case's own title."""
    return str(case.get("title", ""))


def failure_of(case: Mapping[str, Json]) -> Failure | None:
    """Run the pipelines on a virtual clock and compare; all differences are told together."""
    expect, run = case["expect"], case["run"]
    scripted = ScriptedRun(case["pipelines"], case.get("outcomes"), run.get("cancel"))
    try:
        main = scripted.create(run["pipeline"], run.get("parameters"))
    except UserError as error:
        return None if expect["status"] == "Rejected" else Failure(f"status {expect['status']}", f"Rejected: {error}")
    scripted.simulation.finish()
    differences = list(_differences(expect, scripted.simulation, main))
    if not differences:
        return None
    return Failure("; ".join(wanted for wanted, _ in differences), "; ".join(got for _, got in differences))


class ScriptedRun:
    """Pipelines with scripted outcomes: `outcomes[name]` lists what the attempts do, the last entry repeating.

    `cancel` as in a case: when an activity is running (`when_running`) or after so many attempts (`when_attempts`).
    `options` go to the Simulation; `main` is the run made last.
    """

    def __init__(
        self,
        pipelines: Sequence[Mapping[str, Json]],
        outcomes: Mapping[str, Sequence[Json]] | None = None,
        cancel: Mapping[str, Json] | None = None,
        **options: Any,
    ) -> None:
        self.factory = load_documents("f", [("pipeline", document) for document in pipelines])
        options.setdefault("reports_together", not cancel)  # a cancel may come between two of them
        self.simulation = Simulation(self.factory, self._outcome, watch=self._watch, **options)
        self.outcomes = outcomes or {}
        self.cancel = cancel
        self.main: SimulatedRun
        self._ended: Counter[str] = Counter()

    @property
    def runs(self) -> dict[str, SimulatedRun]:
        """Every run by id, in the order in which they were made."""
        return self.simulation.runs

    @property
    def attempts(self) -> dict[str, int]:
        """Attempts begun, by activity name."""
        return self.simulation.attempts

    def create(
        self, pipeline: str, parameters: Mapping[str, Json] | None = None, rerun: Mapping[str, Json] | None = None
    ) -> SimulatedRun:
        """Queue a main run; UserError when it must not exist."""
        self.main = self.simulation.create(pipeline, parameters or {}, rerun=rerun)
        return self.main

    def start(self, pipeline: str, parameters: Mapping[str, Json] | None = None) -> SimulatedRun:
        """Make a main run and bring it, and all that it starts, to the end."""
        self.create(pipeline, parameters)
        self.simulation.finish()
        return self.main

    def rerun(self, plan: Mapping[str, Json]) -> SimulatedRun:
        """Run the main pipeline once more by a plan made of its last run."""
        queued = self.main.state.queued
        self.create(self.main.state.pipeline.name, queued.parameters if queued else {}, plan)
        self.simulation.finish()
        return self.main

    def _outcome(self, call: Call) -> Outcome:
        script = self.outcomes.get(call.name) or ["Succeeded"]
        told = script[min(call.number, len(script)) - 1]
        told = {"status": told} if isinstance(told, str) else told
        good = told["status"] == "Succeeded"
        output = told.get("output", {} if good else None)
        return Outcome(told["status"], output, told.get("error"), float(told.get("seconds", 0)))

    def _watch(self, run_id: str, event: ev.Event) -> None:
        name = getattr(event, "path", "").rsplit("/", 1)[-1]
        if isinstance(event, ev.AttemptFailed | ev.ActivityEnded):
            self._ended[name] += 1
        if not self.cancel:
            return
        counts = self.cancel.get("when_attempts") or {}
        running = isinstance(event, ev.ActivityStarted) and name == self.cancel.get("when_running")
        if running or any(self._ended[key] >= count for key, count in counts.items()):
            recursive = bool(self.cancel.get("recursive"))
            self.cancel = None
            self.simulation.cancel(self.main, recursive=recursive)


def _differences(expect: Mapping[str, Json], simulation: Simulation, main: SimulatedRun) -> Iterator[tuple[str, str]]:
    records = [record for run_id in simulation.runs for record in activity_runs(simulation.journal, run_id)]
    named: dict[str, list[ActivityRun]] = {}
    for record in sorted(records, key=lambda record: (_began(record), record.ended or 0)):
        named.setdefault(record.name.casefold(), []).append(record)
    timed_out = {name.casefold() for name in expect.get("timed_out") or ()}
    if main.state.status != expect["status"]:
        message = f" ({main.state.message})" if main.state.message else ""
        yield f"status {expect['status']}", f"{main.state.status}{message}"
    any_case = expect.get("keys_any_case") or ()
    for name, wanted in (expect.get("activities") or {}).items():
        folded = any_case is True or name in any_case
        yield from _activity(name, wanted, named.get(name.casefold(), []), timed_out, folded)
    yield from _counts(expect, named, timed_out)
    yield from _variables(expect, main)
    yield from _presence(expect, named)
    yield from _order(expect, named)
    for name, statuses in (expect.get("child") or {}).items():
        runs = [
            run.state.status for run in simulation.runs.values() if run is not main and run.state.pipeline.name == name
        ]
        if runs != statuses:
            yield f"child runs of {name} {shown(statuses)}", shown(runs)


def _activity(
    name: str, wanted: Mapping[str, Json], runs: list[ActivityRun], timed_out: set[str], any_case: bool
) -> Iterator[tuple[str, str]]:
    if not runs:
        yield f"{name} {wanted.get('status', '')}", f"no record of {name}"
        return
    last = runs[-1]
    if "status" in wanted and _status(last, timed_out) != _plain(wanted["status"], name, timed_out):
        yield f"{name} {wanted['status']}", f"{name} {last.status} {shown(last.error) if last.error else ''}".strip()
    attempts = sum(run.attempts for run in runs)
    if "attempts" in wanted and attempts != wanted["attempts"]:
        yield f"{name} {wanted['attempts']} attempts", f"{name} {attempts} attempts"
    for what, got in (("error", last.error), ("output", last.output)):
        for key, value in (wanted.get(what) or {}).items():
            found, there = _member(got, key, any_case)
            if not there or not same(_folded(value, any_case), _folded(found, any_case)):
                yield f"{name} {what}.{key} {shown(value)}", f"{shown(found) if there else 'no such member'}"


def _member(got: Json, key: str, any_case: bool) -> tuple[Json, bool]:
    members = got if isinstance(got, Mapping) else {}
    if any_case:
        members, key = {name.casefold(): value for name, value in members.items()}, key.casefold()
    return members.get(key), key in members


def _folded(value: Json, any_case: bool) -> Json:
    if any_case and isinstance(value, dict):
        return {key.casefold(): _folded(item, True) for key, item in value.items()}
    if any_case and isinstance(value, list):
        return [_folded(item, True) for item in value]
    return value


def _status(record: ActivityRun, timed_out: set[str]) -> str:
    return _plain(record.status, record.name, timed_out)


def _plain(status: str, name: str, timed_out: set[str]) -> str:
    return "Failed" if status == "TimedOut" and name.casefold() in timed_out else status


def _counts(
    expect: Mapping[str, Json], named: Mapping[str, list[ActivityRun]], timed_out: set[str]
) -> Iterator[tuple[str, str]]:
    for name, wanted in (expect.get("counts") or {}).items():
        got = Counter(_status(record, timed_out) for record in named.get(name.casefold(), ()))
        if got != Counter({status: count for status, count in wanted.items() if count}):
            yield f"{name} {shown(wanted)}", f"{name} {shown(dict(got))}"
    for name, minimum in (expect.get("min_counts") or {}).items():
        statuses = [_status(record, timed_out) for record in named.get(name.casefold(), ())]
        least = minimum if isinstance(minimum, dict) else {None: minimum}
        for status, count in least.items():
            got_count = len(statuses) if status is None else statuses.count(status)
            if got_count < count:
                yield f"{name} at least {count} {status or ''}".strip(), f"{name} {got_count}"
    for name, most in (expect.get("attempts_at_most") or {}).items():
        attempts = sum(record.attempts for record in named.get(name.casefold(), ()))
        if attempts > most:
            yield f"{name} at most {most} attempts", f"{name} {attempts} attempts"


def _variables(expect: Mapping[str, Json], main: SimulatedRun) -> Iterator[tuple[str, str]]:
    values = {name.casefold(): value for name, value in main.state.variables.items()}
    unordered = {name.casefold() for name in expect.get("unordered") or ()}
    for name, wanted in (expect.get("variables") or {}).items():
        if name.casefold() not in values:
            yield f"variable {name} {shown(wanted)}", f"no variable {name}"
            continue
        got = values[name.casefold()]
        if name.casefold() in unordered and isinstance(got, list) and isinstance(wanted, list):
            got, wanted = sorted(got, key=_sorting), sorted(wanted, key=_sorting)
        if not same(wanted, got):
            yield f"variable {name} {shown(wanted)}", f"variable {name} {shown(got)}"


def _sorting(value: Json) -> str:
    return json.dumps(value, sort_keys=True)


def _presence(expect: Mapping[str, Json], named: Mapping[str, list[ActivityRun]]) -> Iterator[tuple[str, str]]:
    for name in expect.get("absent") or ():
        if name.casefold() in named:
            yield f"no record of {name}", f"{name} {named[name.casefold()][-1].status}"
    for name in expect.get("not_run") or ():
        for record in named.get(name.casefold(), ()):
            if record.status not in OVER_UNSTARTED:
                yield f"{name} not run", f"{name} {record.status}"
                break


def _order(expect: Mapping[str, Json], named: Mapping[str, list[ActivityRun]]) -> Iterator[tuple[str, str]]:
    for first, second in expect.get("order") or ():
        before, after = named.get(first.casefold(), []), named.get(second.casefold(), [])
        if not before or not after:
            yield f"{first} before {second}", f"no record of {first if not before else second}"
        elif not _precedes(before, after):
            yield f"{first} ended before {second} started", f"{second} started first"


def _precedes(before: list[ActivityRun], after: list[ActivityRun]) -> bool:
    """All runs of one before all of the other; in loops it is enough that each pass keeps the order."""
    never = 1 << 62
    ends, starts = [record.ended if record.ended is not None else never for record in before], [*map(_began, after)]
    if len(ends) == len(starts):
        return all(end < start for end, start in zip(sorted(ends), sorted(starts), strict=True))
    return max(ends) < min(starts)


def _began(record: ActivityRun) -> int:
    return record.started if record.started is not None else record.ended or 0
