"""Cases of triggers: fire times of schedules, tumbling windows, their backfill and what they wait for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from kyanite.engine.triggers import tumbling
from kyanite.engine.triggers.recurrence import fires, read_recurrence
from kyanite.engine.triggers.tumbling import Tumbling, Window
from kyanite.engine.triggers.values import wire_time
from kyanite.errors import UserError
from kyanite.testing.conformance import Failure, shown
from kyanite.testing.times import moment_of

Json = Any
Case = Mapping[str, Json]
FAR = datetime(9000, 1, 1, tzinfo=UTC)
SELF = "self"


def title_of(case: Case) -> str:
    """The kind and the rule."""
    return f"{case.get('kind', '')} {shown(case.get('recurrence') or case.get('trigger'))}"


def failure_of(case: Case) -> Failure | None:
    """Compute what the case asks for and compare."""
    compare = _KINDS.get(str(case["kind"]))
    if compare is None:
        return Failure(f"one of {', '.join(_KINDS)}", f"kind {case['kind']!r}")
    if not case.get("invalid"):
        return compare(case)
    try:
        compare(case)
    except UserError:
        return None
    return Failure(f"refused: {case.get('why', '')}", "accepted")


def _schedule(case: Case) -> Failure | None:
    rule = read_recurrence(case["recurrence"])
    after = moment_of(case["now"]) if case.get("now") else None
    wanted = [moment_of(text) for text in case.get("fires") or ()]
    return _compare(wanted, fires(rule, after), ends="then" in case)


def _windows(case: Case) -> Failure | None:
    rule = tumbling.read(case["trigger"], "trigger")
    _upstream(case)
    wanted = case.get("windows") or []
    members = set(wanted[0]) if wanted else set()

    def told(window: Window) -> dict[str, datetime]:
        times = {"start": window.start, "end": window.end, "fire_at": tumbling.due_at(rule, window)}
        return {key: time for key, time in times.items() if key in members}

    given = [{key: moment_of(text) for key, text in window.items()} for window in wanted]
    return _compare(given, map(told, tumbling.due_windows(rule, FAR)), ends="then" in case)


def _backfill(case: Case) -> Failure | None:
    rule = tumbling.read(case["trigger"], "trigger")
    others, now = _upstream(case), moment_of(case["now"])
    due = list(tumbling.due_windows(rule, now))
    if "due" in case and len(due) != case["due"]:
        return Failure(f"{case['due']} windows due", f"{len(due)}")
    first = _wave(rule, others, due, _states(case))
    done = {(SELF, start): "Succeeded" for start in first}
    waiting = [window for window in due if window.start not in first]
    second = _wave(rule, others, waiting, {**_states(case), **done})
    for member, wave in (("first_wave", first), ("second_wave_when_first_done", second)):
        failure = _compare([moment_of(text) for text in case[member]], wave, ends=True) if member in case else None
        if failure is not None:
            return Failure(f"{member} {failure.wanted}", failure.got)
    return None


def _wave(
    rule: Tumbling,
    others: Mapping[str, Tumbling],
    waiting: Iterable[Window],
    states: Mapping[tuple[str, datetime], str],
) -> list[datetime]:
    """The windows that start together: the oldest that wait for nothing, as many as may run at once."""
    ready = (w for w in waiting if not tumbling.unmet(tumbling.needs(rule, others, w), _status_of(states)))
    return [window.start for window in islice(ready, rule.max_concurrency)]


def _dependency(case: Case) -> Failure | None:
    rule = tumbling.read(case["trigger"], "trigger")
    others, start = _upstream(case), moment_of(case["window"])
    window = tumbling.window_at(rule, tumbling.index_of(rule, start))
    if window.start != start:
        return Failure(f"a window that starts at {case['window']}", f"one that starts at {_text(window.start)}")
    found = tumbling.needs(rule, others, window)
    if "needs" in case:
        wanted = sorted((str(n["trigger"]), moment_of(n["start"]), moment_of(n["end"])) for n in case["needs"])
        failure = _compare(wanted, sorted((n.trigger or SELF, n.window.start, n.window.end) for n in found), ends=True)
        if failure is not None:
            return failure
    ready = not tumbling.unmet(found, _status_of(_states(case)))
    return None if ready is case.get("ready", ready) else Failure(f"ready {case['ready']}", f"ready {ready}")


def _upstream(case: Case) -> dict[str, Tumbling]:
    return {name: tumbling.read(raw, f"upstream.{name}") for name, raw in (case.get("upstream") or {}).items()}


def _states(case: Case) -> dict[tuple[str, datetime], str]:
    return {
        (name, moment_of(start)): status
        for name, windows in (case.get("states") or {}).items()
        for start, status in windows.items()
    }


def _status_of(states: Mapping[tuple[str, datetime], str]) -> Callable[[str | None, datetime], str | None]:
    return lambda trigger, start: states.get((trigger or SELF, start))


def _compare(wanted: list[Any], found: Iterable[Any], *, ends: bool) -> Failure | None:
    """The first things found are the wanted ones; with `ends` there are no more of them."""
    got = list(islice(iter(found), len(wanted) + ends))
    return None if got == wanted else Failure(_listed(wanted), _listed(got))


def _listed(values: Iterable[Any]) -> str:
    return ", ".join(map(_text, values)) or "none"


def _text(value: Any) -> str:
    match value:
        case datetime():
            return wire_time(value)
        case dict():
            return " ".join(f"{key} {_text(item)}" for key, item in value.items())
        case tuple():
            return " ".join(map(_text, value))
    return str(value)


_KINDS: Mapping[str, Callable[[Case], Failure | None]] = {
    "schedule": _schedule,
    "tumbling": _windows,
    "tumbling-backfill": _backfill,
    "tumbling-dependency": _dependency,
}
