"""How long the next fire time of a recurrence takes to find, for rules that began seven years ago.

    python bench/recurrence.py [--rounds 3] [--json]

Each number is the median of some rounds over a thousand moments of a day. python-dateutil, which walks from the
rule's beginning, is measured beside it when it is installed; its answers must be the same.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from datetime import UTC, datetime, timedelta

from kyanite.engine.triggers.recurrence import next_fire, read_recurrence

NOW = datetime(2024, 12, 8, 10, 7, 30, tzinfo=UTC)
ALL_MINUTES = {"minutes": list(range(60)), "hours": list(range(24)), "monthDays": list(range(1, 32))}
RULES = {
    "every 15 minutes": {"frequency": "Minute", "interval": 15, "startTime": "2017-12-08T00:00:00Z"},
    "hourly": {"frequency": "Hour", "interval": 1, "startTime": "2017-12-08T00:00:00Z"},
    "daily in a zone": {
        "frequency": "Day",
        "startTime": "2017-12-08T06:30:00",
        "timeZone": "W. Europe Standard Time",
        "schedule": {"hours": [5, 12, 17], "minutes": [15, 45]},
    },
    "weekly Mo, Fr": {
        "frequency": "Week",
        "interval": 2,
        "startTime": "2017-12-08T06:30:00",
        "timeZone": "Pacific Standard Time",
        "schedule": {"weekDays": ["Monday", "Friday"]},
    },
    "monthly last Friday": {
        "frequency": "Month",
        "startTime": "2017-12-08T06:30:00Z",
        "schedule": {"monthlyOccurrences": [{"day": "Friday", "occurrence": -1}]},
    },
    "every minute of every month day": {
        "frequency": "Month",
        "startTime": "2017-12-08T06:30:00Z",
        "schedule": ALL_MINUTES,
    },
}


def microseconds(raw: dict, rounds: int) -> float:
    """The median time of one look-up."""
    rule = read_recurrence(raw)
    moments = [NOW + timedelta(seconds=86.4 * number) for number in range(1000)]
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        for moment in moments:
            next_fire(rule, moment)
        took.append((time.perf_counter() - began) / len(moments) * 1e6)
    return statistics.median(took)


def walking() -> float | None:
    """Milliseconds of dateutil's `after` for the 15-minute rule, or None when it is not installed."""
    try:
        from dateutil.rrule import MINUTELY, rrule
    except ImportError:
        return None
    began = time.perf_counter()
    found = rrule(MINUTELY, interval=15, dtstart=datetime(2017, 12, 8, tzinfo=UTC)).after(NOW)
    took = (time.perf_counter() - began) * 1e3
    if found != next_fire(read_recurrence(RULES["every 15 minutes"]), NOW):
        raise SystemExit("the two answers differ")
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = {name: round(microseconds(raw, options.rounds), 1) for name, raw in RULES.items()}
    other = walking()
    if options.json:
        print(json.dumps({"microseconds": result, "dateutil_ms": other}))
        return
    for name, took in result.items():
        print(f"{name:<34}{took:>8.1f} µs")
    print(f"{'dateutil, every 15 minutes':<34}" + (f"{other * 1e3:>8,.0f} µs" if other else " not installed"))


if __name__ == "__main__":
    main()
