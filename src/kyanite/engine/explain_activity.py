"""One activity in words: which dependencies let it run or ruled it out, and how it went from there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kyanite.definitions.model import Activity, Dependency
from kyanite.engine import events as ev
from kyanite.engine.record import ActivityRecord, RunRecord, sibling
from kyanite.engine.scopes import FAILED, SUCCEEDED, branch_status

Json = Any
ITERATIONS_SHOWN = 20
ITEM_SHOWN = 60
HIDDEN = "***"


def why_decided(record: RunRecord, past: ActivityRecord) -> tuple[str, list[dict[str, Json]]]:
    """Why an activity ran or not, and each dependency as `{activity, conditions, status, met}`."""
    dependencies = [_dependency(record, past, item) for item in past.definition.depends_on]
    match past.ended:
        case ev.ActivitySkipped():
            unmet = [item for item in dependencies if not item["met"]]
            return "skipped: " + "; ".join(_unmet(item) for item in unmet), dependencies
        case ev.ActivityInactive():
            return f"not executed: it is deactivated, and counts as {past.ended.marked_as}", dependencies
        case ev.ActivityReused():
            return _reused(past.ended), dependencies
    begun = "ran" if past.started is not None else "was to run"
    if not dependencies:
        return f"{begun}: it depends on nothing", dependencies
    met = "; ".join(f"{_name(item)} {_was(item)} (wanted: {' or '.join(item['conditions'])})" for item in dependencies)
    return f"{begun}: {met}", dependencies


def _reused(ended: ev.ActivityReused) -> str:
    return (
        f"not executed: it ended as {ended.status} in run {ended.from_run} (activity run {ended.activity_run_id}), and "
        "that stands"
    )


def _dependency(record: RunRecord, past: ActivityRecord, item: Dependency) -> dict[str, Json]:
    upstream = sibling(record, past, item.activity)
    conditions = list(item.conditions) or [SUCCEEDED]
    status = upstream.status if upstream is not None else None
    seen = branch_status(upstream.branching) if upstream is not None else ""
    folded = {condition.casefold() for condition in conditions}
    met = seen.casefold() in folded or ("completed" in folded and seen in (SUCCEEDED, FAILED))
    entry = {"activity": item.activity, "conditions": conditions, "status": status, "met": met}
    if upstream is not None and upstream.branching != upstream.status:
        entry["countsAs"] = upstream.branching
    return entry


def _name(item: Mapping[str, Json]) -> str:
    return f"'{item['activity']}'"


def _was(item: Mapping[str, Json]) -> str:
    status = item["status"]
    if status == "Inactive":
        return f"is deactivated and counts as {item['countsAs']}"
    return f"was {status}" if status in ("Skipped", "Cancelled") else str(status)


def _unmet(item: Mapping[str, Json]) -> str:
    wanted = " or ".join(item["conditions"])
    if item["status"] is None:
        return f"it wants {_name(item)} to be {wanted}, but there is no such activity"
    more = "; Completed does not cover Skipped" if wanted == "Completed" and item["status"] == "Skipped" else ""
    return f"it wants {_name(item)} to be {wanted}, but that {_was(item)}{more}"


# ---- how it went


def how_it_went(record: RunRecord, past: ActivityRecord) -> Iterator[str]:
    """What happened while it ran: attempts, takeovers, branches, iterations, and how it ended."""
    retry = past.definition.policy.retry
    for number, attempt in enumerate(past.retries, 1):
        yield f"attempt {number} ended as {attempt.status} ({_error(attempt.error)}); retries allowed: {retry}"
    if past.recoveries:
        times = "once" if past.recoveries == 1 else f"{past.recoveries} times"
        yield f"taken over {times} from a process that died; that is no retry"
    yield from _inside(past)
    yield from _end(record, past)


def _end(record: RunRecord, past: ActivityRecord) -> Iterator[str]:
    ended = past.ended
    if ended is None:
        waiting = past.retries and (past.started is None or past.started.attempt < len(past.retries))
        yield "waits for its next attempt" if waiting else "is running"
        return
    if not isinstance(ended, ev.ActivityEnded) or ended.status == SUCCEEDED:
        return
    if ended.status == "TimedOut":
        yield f"stopped: its timeout passed (policy: {_timeout(past.definition)})"
    elif ended.status == "Cancelled":
        yield _cancelled(record, past)
    elif past.started is None:
        yield f"failed before it began, its input could not be evaluated: {_error(ended.error)}"
    elif (ended.error or {}).get("errorCode") != "ActionFailed":  # that one says what is told of the inside already
        yield f"failed: {_error(ended.error)}"


def _timeout(definition: Activity) -> str:
    timeout = definition.policy.timeout
    return timeout if isinstance(timeout, str) else f"{timeout:,.0f} s"


def _cancelled(record: RunRecord, past: ActivityRecord) -> str:
    container = record.activities.get(past.scope.rpartition("/")[0])
    while container is not None:
        if container.stop is not None and container.stop.reason == "Timeout":
            return f"cancelled: '{container.path}' around it ran out of time"
        container = record.activities.get(container.scope.rpartition("/")[0])
    return "cancelled with the run"


def _error(error: Mapping[str, Json] | None) -> str:
    if not error:
        return "no error was given"
    code, message = str(error.get("errorCode") or ""), str(error.get("message") or "")
    return f"{code}: {message}" if code and code not in message else message or code


def _inside(past: ActivityRecord) -> Iterator[str]:
    if past.started is None:
        return
    shown = past.started.input if isinstance(past.started.input, dict) else {}
    match past.definition.type.casefold():
        case "ifcondition":
            value = "true" if shown.get("expression") is True else "false"
            empty = "" if past.scopes else ", where nothing is"
            yield f"its expression gave {value}: the branch '{value}' was taken{empty}"
            yield from _branch_failure(past)
        case "switch":
            yield _case(past, shown.get("on"))
            yield from _branch_failure(past)
        case "foreach":
            yield from _iterations(past)
        case "until":
            yield from _passes(past)
        case "executepipeline":
            yield from _child(past)


def _branch_failure(past: ActivityRecord) -> Iterator[str]:
    for scope in past.scopes:
        if scope.closed is not None and not scope.succeeded:
            yield f"the branch failed at '{scope.closed.failed_activity}': {scope.closed.message}"


def _secret(past: ActivityRecord) -> bool:
    return past.started is not None and past.started.secure_input


def _case(past: ActivityRecord, value: Json) -> str:
    cases = [name.removeprefix("case:") for name in past.definition.branches if name.startswith("case:")]
    shown = f"'{HIDDEN}'" if _secret(past) else f"'{value}'"
    empty = "" if past.scopes else ", where nothing is"
    if str(value) in cases:
        return f"its value was {shown}: that case was taken{empty}"
    return f"its value was {shown}, which no case has ({', '.join(cases) or 'none'}): the default was taken{empty}"


def _iterations(past: ActivityRecord) -> Iterator[str]:
    items = past.data.get("items") or []
    if not items:
        yield "there were no items, so nothing ran"
        return
    failed = [scope for scope in past.scopes if scope.closed is not None and not scope.succeeded]
    unfinished = len(items) - sum(scope.closed is not None for scope in past.scopes)
    text = f"{len(items):,} items: {len(items) - len(failed) - unfinished:,} Succeeded, {len(failed):,} Failed"
    yield text + (f", {unfinished:,} did not end" if unfinished else "")
    for scope in failed[:ITERATIONS_SHOWN]:
        number = scope.path.rpartition("/")[2]
        item = HIDDEN if _secret(past) else _short(str(items[int(number)]))
        closed = scope.closed
        assert closed is not None  # noqa: S101 - chosen above
        yield f"iteration {number} (item {item}) failed at '{closed.failed_activity}': {closed.message}"
    if len(failed) > ITERATIONS_SHOWN:
        yield f"and {len(failed) - ITERATIONS_SHOWN:,} more iterations failed"


def _passes(past: ActivityRecord) -> Iterator[str]:
    count = len(past.scopes)
    passes = "1 pass" if count == 1 else f"{count:,} passes"
    last = past.scopes[-1].closed if past.scopes else None
    result = last.result if last is not None and isinstance(last.result, dict) else {}
    if past.stop is not None and past.stop.reason == "Timeout":
        yield f"{passes}; stopped, its timeout passed"
    elif "error" in result:
        yield f"{passes}; its expression failed: {result['error']}"
    elif result.get("value") is True:
        yield f"{passes}; its expression was true after the last"
        if last is not None and last.status != SUCCEEDED:
            yield f"the last pass decides, and it failed at '{last.failed_activity}': {last.message}"
    else:
        yield f"{passes}; its expression was not true yet"


def _child(past: ActivityRecord) -> Iterator[str]:
    if "childRunId" not in past.data:
        return
    waits = "and waited for its end" if past.data.get("wait") else "and did not wait for it"
    yield f"started run {past.data['childRunId']} {waits}"


def _short(text: str) -> str:
    return text if len(text) <= ITEM_SHOWN else text[: ITEM_SHOWN - 1] + "…"
