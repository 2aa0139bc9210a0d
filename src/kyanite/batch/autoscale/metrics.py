"""What the system's metric variables hold: samples taken every `period` seconds, and the methods on them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from kyanite.batch.autoscale.values import Interval, Timestamp, Value, ValueProblem, interval, kind, timestamp_of

METRICS = (
    "$ActiveTasks",
    "$CPUPercent",
    "$CurrentDedicatedNodes",
    "$CurrentLowPriorityNodes",
    "$DiskBytes",
    "$DiskReadBytes",
    "$DiskReadOps",
    "$DiskWriteBytes",
    "$DiskWriteOps",
    "$FailedTasks",
    "$MemoryBytes",
    "$NetworkInBytes",
    "$NetworkOutBytes",
    "$PendingTasks",
    "$PreemptedNodeCount",
    "$RunningTasks",
    "$SampleNodeCount",
    "$SucceededTasks",
    "$UsableNodeCount",
    "$WallClockSeconds",
)


class InsufficientData(ValueProblem):
    """Fewer samples than asked for; the service's code is InsufficientSampleData."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The metrics of a pool at a moment (aware UTC); a metric may be missing."""

    at: datetime
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Samples:
    """Samples in the order of time, taken every `period` seconds when nothing prevents it."""

    period: float
    rows: Sequence[Sample] = ()


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric variable: its samples' times (in ticks) and values, oldest first."""

    name: str
    now: Timestamp
    period: float
    times: tuple[int, ...]
    values: tuple[float, ...]

    def newest(self) -> float:
        """The last sample, what a bare metric in arithmetic means."""
        if not self.values:
            raise InsufficientData(f"Insufficient data from data set: {self.name} wanted 1 sample, received 0")
        return self.values[-1]


def metric(name: str, samples: Samples, now: datetime) -> Metric:
    """The samples of one metric that are not newer than `now`."""
    rows = [row for row in samples.rows if name in row.values and row.at <= now]
    times = tuple(timestamp_of(row.at).ticks for row in rows)
    return Metric(name, timestamp_of(now), samples.period, times, tuple(float(row.values[name]) for row in rows))


def _get_sample(metric: Metric, arguments: Sequence[Value]) -> Value:
    if len(arguments) == 1 and isinstance(arguments[0], float):
        count = int(max(0.0, min(arguments[0], 1e9)))
        if count:
            metric.newest()
        return metric.values[-count:] if count else ()
    moments = list(arguments)
    wanted = moments.pop() if isinstance(moments[-1], float) and len(moments) > 1 else None
    found, percent = _window(metric, moments)
    if isinstance(wanted, float) and percent < wanted:
        raise InsufficientData(
            f"Insufficient data from data set: {metric.name} wanted {wanted:g}%, received {round(percent)}%"
        )
    return found


def _get_sample_percent(metric: Metric, arguments: Sequence[Value]) -> Value:
    return _window(metric, arguments)[1]


def _window(metric: Metric, moments: Sequence[Value]) -> tuple[tuple[float, ...], float]:
    """The values after the earlier moment up to the later one, and how many percent of the possible ones they are.

    Intervals look back from now; the documentation gives them in either order.
    """
    ends = sorted([_moment(metric, value) for value in moments] + ([metric.now.ticks] if len(moments) == 1 else []))
    if len(ends) != 2:
        raise ValueProblem("A start and an end are given at most.")
    first, last = ends
    found = metric.values[bisect_right(metric.times, first) : bisect_right(metric.times, last)]
    possible = (last - first) / (metric.period * 10_000_000)
    return found, min(100.0, 100.0 * len(found) / possible) if possible else 0.0


def _moment(metric: Metric, value: Value) -> int:
    if isinstance(value, Timestamp):
        return value.ticks
    if isinstance(value, Interval):
        return metric.now.ticks - value.ticks
    raise ValueProblem(f"A timestamp or a timeinterval is needed, this is a {kind(value)}.")


def _history_begin(metric: Metric, _: Sequence[Value]) -> Value:
    if not metric.times:
        metric.newest()
    return Timestamp(metric.times[0])


# name -> (fewest arguments, most arguments, what it does)
METHODS: dict[str, tuple[int, int, Callable[[Metric, Sequence[Value]], Value]]] = {
    "Count": (0, 0, lambda metric, _: float(len(metric.values))),
    "GetSample": (1, 3, _get_sample),
    "GetSamplePercent": (1, 2, _get_sample_percent),
    "GetSamplePeriod": (0, 0, lambda metric, _: interval(metric.period * 10_000_000)),
    "HistoryBeginTime": (0, 0, _history_begin),
}
