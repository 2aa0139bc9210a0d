"""How often an activity's progress is written into the log."""

from __future__ import annotations

import threading
from itertools import pairwise
from typing import Any, cast
from uuid import uuid4

import pytest

from kyanite.activities.context import Services
from kyanite.definitions.load import load_documents
from kyanite.engine.state import ActivityState, RunState
from kyanite.runtime import carry_out
from kyanite.runtime.carry_out import Attempt, context_for


def test_progress_is_told_more_seldom_the_longer_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(carry_out.time, "monotonic", lambda: now[0])
    activity = {"name": "A", "type": "Copy", "typeProperties": {}}
    factory = load_documents("f", [("pipeline", {"name": "p", "properties": {"activities": [activity]}})])
    state = RunState(str(uuid4()), factory, factory.pipelines["p"])
    told: list[float] = []

    def report(_report: Any) -> None:
        told.append(now[0] - 1000)

    definition = factory.pipelines["p"].activities[0]
    attempt = Attempt(state.run_id, "A", 0, threading.Event())
    context = context_for(
        state, ActivityState("A", "", definition), attempt, cast(Services, None), report, recovering=False
    )
    for tick in range(4 * 3600 * 4):
        now[0] = 1000 + tick / 4
        context.progress({})
    assert told[:4] == [0.0, 0.5, 1.0, 1.5]
    assert max(later - earlier for earlier, later in pairwise(told)) <= 10.25
    assert len(told) < 2000
