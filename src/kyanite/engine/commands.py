"""What the engine asks the runtime to do, after the decision's events are safely in the log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class StartActivity:
    """Carry out one attempt of an activity and report how it ended."""

    path: str
    attempt: int
    activity_run_id: str


@dataclass(frozen=True, slots=True)
class StopActivity:
    """Make a running attempt end; it still has to report."""

    path: str
    attempt: int
    reason: str


@dataclass(frozen=True, slots=True)
class StartChildRun:
    """Create the run of another pipeline of the same definitions; report its end when `wait`.

    To be created in the transaction that appends the decision's events, so that no kill can lose it.
    `rerun` says what of an earlier child run the new one need not execute again.
    """

    path: str
    run_id: str
    pipeline: str
    parameters: Mapping[str, Any]
    depth: int
    wait: bool
    rerun: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class CancelChildRun:
    """Ask a child run to cancel; it reports its end as usual."""

    path: str
    run_id: str


Command = StartActivity | StopActivity | StartChildRun | CancelChildRun
