"""One attempt of an execution activity, from evaluated input to report."""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kyanite.activities import Run, activity_runner
from kyanite.activities.context import ActivityContext, Services
from kyanite.engine.reports import AttemptReport, ProgressReport, Report
from kyanite.engine.state import ActivityState, RunState
from kyanite.errors import ActivityError, KyaniteError, StateError

Json = Any
PROGRESS_SECONDS = 0.5
PROGRESS_SECONDS_MOST = 10.0
PROGRESS_SHARE = 120  # of the time so far; a copy of 12 hours tells its progress 5,000 times, not 86,000 times


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that this process carries out."""

    run_id: str
    path: str
    number: int
    cancelled: threading.Event


def carry_out(context: ActivityContext, attempt: Attempt, table: Mapping[str, str | Run] | None) -> AttemptReport:
    """Run the activity and say how it ended.

    Raises nothing but StateError: when the durable state cannot be written the run is not over, it is interrupted.
    """
    definition = context.definition
    try:
        output = activity_runner(definition.type, table)(context)
    except ActivityError as error:
        return _failed(attempt, definition.name, error.error_code, error.message, error.failure_type, error.details)
    except StateError:
        raise
    except KyaniteError as error:
        kind = "UserError" if error.status < 500 else "SystemError"
        return _failed(attempt, definition.name, error.error_code, str(error), kind, [])
    except Exception as error:  # noqa: BLE001 - a defect in an activity must end as its failure, not as a lost run
        if os.environ.get("KYANITE_DEBUG"):
            traceback.print_exc(file=sys.stderr)
        text = f"{type(error).__name__}: {error}"
        return _failed(attempt, definition.name, "InternalError", f"Defect in kyanite: {text}", "SystemError", [])
    return AttemptReport(attempt.path, attempt.number, "Succeeded", output=output)


def _failed(
    attempt: Attempt, target: str, code: str, message: str, failure_type: str, details: list[Json]
) -> AttemptReport:
    error: dict[str, Json] = {"errorCode": code, "message": message, "failureType": failure_type, "target": target}
    if details:
        error["details"] = details
    status = "Cancelled" if attempt.cancelled.is_set() else "Failed"
    return AttemptReport(attempt.path, attempt.number, status, error=error, retriable=code != "InvalidTemplate")


def context_for(
    state: RunState,
    activity: ActivityState,
    attempt: Attempt,
    services: Services,
    report: Callable[[Report], None],
    *,
    recovering: bool,
) -> ActivityContext:
    """What the activity gets to see, taken from the run's state.

    Progress is passed on at most twice a second, and the more seldom the longer it takes: each is kept in the log.
    """
    began = time.monotonic()
    due = began

    def progress(output: Json) -> None:
        nonlocal due
        now = time.monotonic()
        if now >= due:
            due = now + min(max(PROGRESS_SECONDS, (now - began) / PROGRESS_SHARE), PROGRESS_SECONDS_MOST)
            report(ProgressReport(attempt.path, attempt.number, output))

    return ActivityContext(
        run_id=state.run_id,
        pipeline=state.pipeline.name,
        activity_run_id=activity.activity_run_id,
        attempt=attempt.number,
        definition=activity.definition,
        type_properties=activity.input or {},
        factory=state.factory,
        services=services,
        progress=progress,
        cancelled=attempt.cancelled,
        recovering=recovering,
        inputs=activity.data.get("inputs", ()),
        outputs=activity.data.get("outputs", ()),
        linked_service=activity.data.get("linkedService"),
    )
