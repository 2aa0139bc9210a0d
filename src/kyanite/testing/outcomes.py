"""What scripted activities do: outcomes, and which attempt gets which of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from kyanite.definitions.timespan import parse_timespan
from kyanite.errors import ParameterError
from kyanite.testing.times import Duration, seconds_of

Json = Any


@dataclass(frozen=True)
class Outcome:
    """How an attempt ends; `seconds` None is never, `times` None is once, or for ever when it is the last outcome."""

    status: str = "Succeeded"
    output: Json = None
    error: Mapping[str, Json] | None = None
    seconds: float | None = 0.0
    times: int | None = None


@dataclass(frozen=True)
class Call:
    """One attempt of an activity as its mock sees it: everything evaluated.

    `attempt` counts from 1 within one activity run, `number` from 1 over everything that the mock answered.
    `inputs` and `outputs` are dataset references, `run` is the id of the pipeline run.
    """

    name: str
    type: str
    path: str
    pipeline: str
    run: str
    input: Json
    attempt: int
    number: int
    now: datetime
    inputs: Sequence[Mapping[str, Json]] = ()
    outputs: Sequence[Mapping[str, Json]] = ()
    linked_service: Mapping[str, Json] | None = None


@dataclass(frozen=True)
class PerCall:
    """Outcomes that begin anew with every activity run: every iteration of a loop, every child run."""

    outcomes: tuple[Mock, ...] = field(default=())


Answer = Outcome | Mapping[str, Json] | str | None
Mock = Answer | Callable[[Call], Answer] | PerCall | Sequence[Any]


def succeeded(output: Json = None, *, after: Duration = 0, times: int | None = None) -> Outcome:
    """The attempt succeeds after a time on the virtual clock; no output is `{}`."""
    return Outcome("Succeeded", {} if output is None else output, None, seconds_of(after), times)


def failed(
    code: str = "Failed",
    message: str = "The activity failed as told.",
    *,
    output: Json = None,
    after: Duration = 0,
    times: int | None = None,
    failure_type: str = "UserError",
) -> Outcome:
    """The attempt fails with this error; alone with `times`, later attempts succeed with `{}`."""
    error = {"errorCode": code, "message": message, "failureType": failure_type}
    return Outcome("Failed", output, error, seconds_of(after), times)


def hangs(*, times: int | None = None) -> Outcome:
    """The attempt never ends by itself: its timeout or a cancel ends it."""
    return Outcome(seconds=None, times=times)


def per_call(*outcomes: Mock) -> PerCall:
    """These outcomes for the attempts of every single activity run, where a plain list counts over all of them."""
    return PerCall(outcomes)


def outcome_for(mock: Mock, call: Call) -> Outcome:
    """What the mock says about this attempt. What a callable raises goes through to the test."""
    number = call.number
    if isinstance(mock, PerCall):
        mock, number = mock.outcomes, call.attempt
    for entry, last in _entries(mock):
        times = entry.times if isinstance(entry, Outcome) else None
        if number <= (times or 1) or (times is None and last):
            return _outcome(entry(call) if callable(entry) else entry, call)
        number -= times or 1
    return succeeded()


# kinds that look after a timeout of their own beside the policy's, with its default
_OWN_TIMEOUTS = {"validation": "0.12:00:00", "webhook": "00:10:00"}


def within_own_timeout(outcome: Outcome, call: Call) -> Outcome:
    """The outcome, or the failure of a Validation or WebHook that would take longer than its `timeout`."""
    default = _OWN_TIMEOUTS.get(call.type.casefold())
    if default is None or not isinstance(call.input, Mapping):
        return outcome
    most = parse_timespan(str(call.input.get("timeout") or default))
    if outcome.seconds is not None and outcome.seconds <= most:
        return outcome
    return failed("ActivityTimeout", f"{call.name} did not end within {most:,.0f} s.", after=most)


def _entries(mock: Mock) -> Iterator[tuple[Any, bool]]:
    entries = list(mock) if isinstance(mock, Sequence) and not isinstance(mock, str) else [mock]
    for index, entry in enumerate(entries):
        yield entry, index == len(entries) - 1


def _outcome(answer: Any, call: Call) -> Outcome:
    match answer:
        case Outcome():
            return answer
        case None:
            return succeeded()
        case Mapping():
            return succeeded(dict(answer))
        case str() if answer.casefold() == "succeeded":
            return succeeded()
        case str() if answer.casefold() == "failed":
            return failed()
    raise ParameterError(
        f"The mock of '{call.name}' gave {answer!r}, which is no outcome.",
        cure="Give succeeded(...), failed(...), hangs(), an output as a dict, or None.",
    )
