"""The pool that formulas of these tests are evaluated on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from kyanite.batch.autoscale import AutoscaleRun, Current, Sample, Samples, evaluate

NOW = datetime(2016, 10, 13, 19, 18, 47, 805000, tzinfo=UTC)


def samples(columns: Mapping[str, Sequence[float | None]], period: float = 30.0, now: datetime = NOW) -> Samples:
    """One column per metric, newest value last and taken at `now`; None is a missing sample."""
    longest = max((len(column) for column in columns.values()), default=0)
    rows = []
    for back in range(longest - 1, -1, -1):
        values = {
            name: float(value)
            for name, column in columns.items()
            if back < len(column) and (value := column[len(column) - 1 - back]) is not None
        }
        rows.append(Sample(now - timedelta(seconds=period * back), values))
    return Samples(period, rows)


WORLD = samples(
    {
        "$PendingTasks": range(1, 11),
        "$RunningTasks": [number if number % 2 else None for number in range(1, 11)],
        "$CurrentDedicatedNodes": [4] * 10,
    }
)


def run(formula: str, world: Samples = WORLD, *, now: datetime = NOW, **current: int | str) -> AutoscaleRun:
    """Evaluate on a pool of 4 dedicated and 2 low-priority nodes with 2 slots each."""
    pool = {"dedicated": 4, "low_priority": 2, "slots_per_node": 2} | current
    return evaluate(formula, world, now, Current(**pool), rand=lambda: 0.25)  # type: ignore[arg-type]


def results(run: AutoscaleRun) -> dict[str, str]:
    """The results text as name -> value."""
    return dict(item.split("=", 1) for item in run.results.split(";"))
