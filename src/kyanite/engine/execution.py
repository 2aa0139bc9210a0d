"""Execution activities inside the engine: start an attempt, stop it, take its report, retry by policy."""

from __future__ import annotations

from typing import Any

from kyanite.definitions.model import Policy
from kyanite.definitions.timespan import parse_timespan
from kyanite.engine import events as ev
from kyanite.engine.commands import CancelChildRun, StartActivity, StopActivity
from kyanite.engine.control import control_activity
from kyanite.engine.reports import AttemptReport, ChildReport, ProgressReport, RecoveryReport, Report
from kyanite.engine.state import Phase
from kyanite.engine.turn import Turn
from kyanite.errors import ActivityError, ExpressionError, KyaniteError, UserError
from kyanite.expressions import Scope, evaluate, kind_of
from kyanite.limits import RECOVERIES_PER_ACTIVITY

Json = Any


def start_activity(turn: Turn, path: str) -> None:
    """Begin an activity; one whose input cannot be evaluated fails without having started, and is not retried."""
    activity = turn.state.activities[path]
    control = control_activity(activity.definition.type)
    try:
        if control is not None:
            control.start(turn, path)
        else:
            _start_attempt(turn, path)
    except ExpressionError as error:
        turn.ended(path, "Failed", error=turn.error(path, error.error_code, str(error)))
    except ActivityError as error:
        turn.ended(path, "Failed", error=turn.error(path, error.error_code, error.message, error.failure_type))
    except UserError as error:
        turn.ended(path, "Failed", error=turn.error(path, error.error_code, str(error)))
    except KyaniteError:
        raise
    except Exception as error:  # noqa: BLE001 - a definition nobody thought of fails its activity, not the worker
        message = f"Defect in kyanite: {type(error).__name__}: {error}"
        turn.ended(path, "Failed", error=turn.error(path, "InternalError", message, "SystemError"))


restart = start_activity


def _start_attempt(turn: Turn, path: str) -> None:
    activity = turn.state.activities[path]
    definition, policy = activity.definition, activity.definition.policy
    scope = turn.scope(activity.scope)
    references = {
        "inputs": list(definition.inputs),
        "outputs": list(definition.outputs),
        "linkedService": definition.linked_service,
    }
    turn.later(policy.retry_interval)  # refused now rather than after the work
    data = {
        "execution": True,
        **{name: evaluate(value, scope) for name, value in references.items() if value},
        "retry": _retries(policy, scope),
    }
    turn.started(
        path,
        evaluate(definition.type_properties, scope),
        data=data,
        timeout_at=turn.later(_timeout(policy, scope)),
        linked_service=(definition.linked_service or {}).get("referenceName"),
    )
    turn.commands.append(StartActivity(path, activity.attempt, activity.activity_run_id))


def _timeout(policy: Policy, scope: Scope) -> float:
    value = evaluate(policy.timeout, scope) if isinstance(policy.timeout, str) else policy.timeout
    if isinstance(value, str):
        return parse_timespan(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ActivityError(f"The policy's timeout must be a time span, not {kind_of(value)}.", code="InvalidPolicy")
    return float(value)


def _retries(policy: Policy, scope: Scope) -> int:
    value = evaluate(policy.retry, scope) if isinstance(policy.retry, str) else policy.retry
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ActivityError(
            f"The policy's retry must be an integer of at least 0, not {value!r}.", code="InvalidPolicy"
        )
    return value


def stop(turn: Turn, path: str, reason: str) -> None:
    """Tell a running attempt to end; it is given up after the stopping limit."""
    activity = turn.state.activities[path]
    turn.emit(ev.StopRequested(at=turn.at, path=path, reason=reason, deadline=turn.stop_deadline()))
    turn.commands.append(StopActivity(path, activity.attempt, reason))


def stop_child(turn: Turn, path: str) -> None:
    """Cancel the child run that an ExecutePipeline waits for; nothing for any other activity."""
    activity = turn.state.activities[path]
    if activity.phase is Phase.RUNNING and activity.data.get("wait"):
        turn.emit(ev.StopRequested(at=turn.at, path=path, reason="Cancel", deadline=turn.stop_deadline()))
        turn.commands.append(CancelChildRun(path, str(activity.data["childRunId"])))


def drain(turn: Turn) -> None:
    """Bring containers whose time is over to their end: stop what runs inside, then end them."""
    state = turn.state
    over = [path for path in state.active if _times_out(turn, path)]
    for path in over:
        inside = [inner for inner in state.active if inner.startswith(f"{path}/")]
        for inner in inside:
            if state.activities[inner].phase is Phase.RUNNING:
                if state.activities[inner].data.get("execution"):
                    stop(turn, inner, "Cancel")
                else:
                    stop_child(turn, inner)
        if any(_still_running(turn, inner) for inner in inside):
            continue
        for inner in sorted(inside, key=lambda inner: -inner.count("/")):
            turn.ended(inner, "Cancelled", error=turn.cancelled_error(inner))
        turn.ended(path, "Failed", output={}, error=turn.timeout_error(path))


def _times_out(turn: Turn, path: str) -> bool:
    activity = turn.state.activities[path]
    return activity.phase is Phase.STOPPING and activity.scopes_opened > 0


def _still_running(turn: Turn, path: str) -> bool:
    """Whether a stopped attempt inside still has to report; a container inside has nothing to report itself."""
    activity = turn.state.activities[path]
    return activity.phase is Phase.STOPPING and activity.scopes_opened == 0


def handle_report(turn: Turn, report: Report) -> None:
    """Fold one report in; a report about an attempt that is over already changes nothing."""
    activity = turn.state.activities.get(report.path)
    if activity is None or activity.phase not in (Phase.RUNNING, Phase.STOPPING):
        return
    match report:
        case ChildReport():
            if activity.data.get("childRunId") == report.run_id:
                _child_ended(turn, report)
        case _ if report.attempt != activity.attempt:
            return
        case ProgressReport():
            turn.emit(ev.ActivityProgress(at=turn.at, path=report.path, output=report.output))
        case RecoveryReport():
            _recovered(turn, report)
        case AttemptReport():
            _attempt_ended(turn, report)


def _recovered(turn: Turn, report: RecoveryReport) -> None:
    turn.emit(ev.ActivityRecovered(at=turn.at, path=report.path))
    recoveries = turn.state.activities[report.path].recoveries
    if recoveries > RECOVERIES_PER_ACTIVITY:
        message = f"The run was interrupted {recoveries} times while this activity ran; it is given up."
        turn.ended(report.path, "Failed", error=turn.error(report.path, "TooManyRecoveries", message, "SystemError"))


def _attempt_ended(turn: Turn, report: AttemptReport) -> None:
    activity = turn.state.activities[report.path]
    status, error = report.status, report.error
    if status != "Succeeded" and activity.stop_reason == "Timeout":
        status, error = "TimedOut", turn.timeout_error(report.path)
    elif activity.stop_reason == "Cancel" and status != "Succeeded":
        status, error = "Cancelled", turn.cancelled_error(report.path)
    retries = int(activity.data.get("retry", 0))
    again = status in ("Failed", "TimedOut") and report.retriable and activity.attempt < retries
    if again and turn.state.status == "InProgress":
        retry_at = turn.later(activity.definition.policy.retry_interval)
        turn.emit(
            ev.AttemptFailed(
                at=turn.at,
                path=report.path,
                status=status,
                error=error or {},
                retry_at=ev.utc_text(retry_at),
                output=report.output,
            )
        )
        return
    turn.ended(report.path, status, output=report.output, error=error)


def _child_ended(turn: Turn, report: ChildReport) -> None:
    activity = turn.state.activities[report.path]
    output = dict(activity.output or {})
    if report.return_value is not None:
        output["pipelineReturnValue"] = dict(report.return_value)
    if report.status == "Succeeded":
        turn.ended(report.path, "Succeeded", output=output)
    elif activity.stop_reason == "Cancel":
        turn.ended(report.path, "Cancelled", output=output, error=turn.cancelled_error(report.path))
    else:
        message = report.message or f"The child run ended as {report.status}."
        turn.ended(report.path, "Failed", output=output, error=turn.error(report.path, "BadRequest", message))
