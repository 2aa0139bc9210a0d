"""Tumbling window triggers: the windows of a rule, which are due, and what each one waits for.

A window is [start, end) in UTC; the first one begins at the trigger's start. Windows are named by their index or start.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from kyanite.engine.triggers.values import MICROSECOND, choice, member, span, utc_moment, whole
from kyanite.errors import DefinitionError

Json = Any

FREQUENCIES = ("Minute", "Hour", "Month")
MOST_CONCURRENT = 50
MOST_DEPENDENCIES = 5
SELF = "self"
_OTHER = "TumblingWindowTriggerDependencyReference"
_OWN = "SelfDependencyTumblingWindowTriggerReference"


@dataclass(frozen=True, slots=True)
class Window:
    """From `start` (inclusive) to `end` (exclusive), UTC."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class WindowDependency:
    """The windows of another trigger (SELF: of this one) that must have succeeded."""

    trigger: str
    offset: timedelta
    size: timedelta | None


@dataclass(frozen=True, slots=True)
class Need:
    """One window that another one waits for, of another trigger or (SELF) of its own."""

    trigger: str
    window: Window


@dataclass(frozen=True, slots=True)
class Tumbling:
    """A checked tumbling window rule; `end` is exclusive for the starts of windows, times are UTC."""

    frequency: str
    interval: int
    start: datetime
    end: datetime | None
    delay: timedelta
    max_concurrency: int
    retry_count: int
    retry_interval: timedelta
    depends_on: tuple[WindowDependency, ...]


# ---- windows


def window_at(rule: Tumbling, index: int) -> Window:
    """The window of an index; 0 is the first."""
    return Window(_boundary(rule, index), _boundary(rule, index + 1))


def index_of(rule: Tumbling, at: datetime) -> int:
    """The index of the window that holds a moment; negative before the first one."""
    if rule.frequency != "Month":
        return (at - rule.start) // _period(rule)
    index = ((at.year - rule.start.year) * 12 + at.month - rule.start.month) // rule.interval
    while _boundary(rule, index) > at:
        index -= 1
    return index


def due_count(rule: Tumbling, now: datetime) -> int:
    """How many windows have ended, the delay included: those with the indices 0 to this number - 1."""
    due = max(0, index_of(rule, now - rule.delay))
    last = _count(rule)
    return due if last is None else min(due, last)


def due_at(rule: Tumbling, window: Window) -> datetime:
    """When a window may run: its end and the delay."""
    return window.end + rule.delay


def due_windows(rule: Tumbling, now: datetime, after: datetime | None = None) -> Iterator[Window]:
    """The windows that are due, oldest first; only those that start later than `after` when it is given."""
    first = 0 if after is None else max(0, index_of(rule, after) + 1)
    for index in range(first, due_count(rule, now)):
        yield window_at(rule, index)


def next_due(rule: Tumbling, now: datetime) -> datetime | None:
    """When the next window becomes due, or None after the last one."""
    index = max(0, index_of(rule, now - rule.delay))
    last = _count(rule)
    return None if last is not None and index >= last else due_at(rule, window_at(rule, index))


def is_window(rule: Tumbling, window: Window) -> bool:
    """Whether a window is one of the rule's."""
    return window_at(rule, index_of(rule, window.start)) == window


def _count(rule: Tumbling) -> int | None:
    return None if rule.end is None else max(0, index_of(rule, rule.end - MICROSECOND) + 1)


def _period(rule: Tumbling) -> timedelta:
    return timedelta(minutes=rule.interval) if rule.frequency == "Minute" else timedelta(hours=rule.interval)


def _boundary(rule: Tumbling, index: int) -> datetime:
    if rule.frequency != "Month":
        return rule.start + index * _period(rule)
    year, month = divmod(rule.start.year * 12 + rule.start.month - 1 + index * rule.interval, 12)
    day = min(rule.start.day, monthrange(year, month + 1)[1])
    return rule.start.replace(year=year, month=month + 1, day=day)


# ---- dependencies


def needs(rule: Tumbling, others: Mapping[str, Tumbling], window: Window) -> list[Need]:
    """The windows that must have succeeded first, in the order of the dependencies.

    Windows that the other trigger does not have (before its start, after its end) are not waited for, nor is the window
    itself. `others` maps the names in `dependsOn` to their rules.
    """
    found: list[Need] = []
    for dependency in rule.depends_on:
        other = rule if dependency.trigger == SELF else others[dependency.trigger]
        start = window.start + dependency.offset
        end = start + (dependency.size or window.end - window.start)
        last = index_of(other, end - MICROSECOND)
        exist = _count(other)
        for index in range(max(0, index_of(other, start)), last + 1 if exist is None else min(last + 1, exist)):
            needed = window_at(other, index)
            if dependency.trigger != SELF or needed.start < window.start:
                found.append(Need(dependency.trigger, needed))
    return found


def unmet(needed: list[Need], status_of: Callable[[str, datetime], str | None]) -> list[Need]:
    """The needs that are not there yet; `status_of(trigger, window start)` is None for a window that has not run."""
    return [need for need in needed if status_of(need.trigger, need.window.start) != "Succeeded"]


# ---- reading


def read(type_properties: Mapping[str, Json], where: str) -> Tumbling:
    """A TumblingWindowTrigger's typeProperties; DefinitionError says what is wrong and what to write."""
    raw = type_properties
    retry = member(raw.get("retryPolicy"), f"{where}.retryPolicy")
    rule = Tumbling(
        frequency=choice(raw.get("frequency"), f"{where}.frequency", FREQUENCIES),
        interval=whole(raw.get("interval"), f"{where}.interval", 1, 1_000_000),
        start=utc_moment(raw.get("startTime"), f"{where}.startTime"),
        end=None if raw.get("endTime") is None else utc_moment(raw["endTime"], f"{where}.endTime"),
        delay=timedelta() if raw.get("delay") is None else span(raw["delay"], f"{where}.delay"),
        max_concurrency=whole(raw.get("maxConcurrency"), f"{where}.maxConcurrency", 1, MOST_CONCURRENT),
        retry_count=whole(retry.get("count"), f"{where}.retryPolicy.count", 0, 1_000, default=0),
        retry_interval=timedelta(
            seconds=whole(
                retry.get("intervalInSeconds"), f"{where}.retryPolicy.intervalInSeconds", 30, 86_400, default=30
            )
        ),
        depends_on=_dependencies(raw.get("dependsOn"), f"{where}.dependsOn"),
    )
    if rule.end is not None and rule.end <= rule.start:
        raise DefinitionError("It is not after the start.", where=f"{where}.endTime", cure="Write a later time.")
    return rule


def _dependencies(value: Json, where: str) -> tuple[WindowDependency, ...]:
    items = [] if value is None else value
    if not isinstance(items, list) or len(items) > MOST_DEPENDENCIES:
        cure = f"Write a list of at most {MOST_DEPENDENCIES}."
        raise DefinitionError("It is not a list of a few dependencies.", where=where, cure=cure)
    return tuple(_dependency(item, f"{where}[{index}]") for index, item in enumerate(items))


def _dependency(value: Json, where: str) -> WindowDependency:
    raw = member(value, where)
    kind = choice(raw.get("type"), f"{where}.type", (_OTHER, _OWN))
    size = None if raw.get("size") is None else span(raw["size"], f"{where}.size")
    if size is not None and not size:
        raise DefinitionError(
            "It is empty.", where=f"{where}.size", cure="Write a positive time span, or leave it out."
        )
    offset = timedelta() if raw.get("offset") is None else span(raw["offset"], f"{where}.offset", negative=True)
    if kind == _OTHER:
        name = member(raw.get("referenceTrigger"), f"{where}.referenceTrigger").get("referenceName")
        if not isinstance(name, str) or not name:
            raise DefinitionError("It names no trigger.", where=f"{where}.referenceTrigger", cure="Add referenceName.")
        # names compare without case: another spelling keeps a trigger that is really called so apart
        return WindowDependency(name if name != SELF else SELF.capitalize(), offset, size)
    if offset >= timedelta():
        raise DefinitionError(
            "A trigger can only depend on its own earlier windows.",
            where=f"{where}.offset",
            cure="Write a negative time span such as -01:00:00.",
        )
    return WindowDependency(SELF, offset, size)
