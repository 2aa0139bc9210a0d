"""Why each activity of a run ran or did not, and which leaf decided how the run ended: from its log, in plain words.

Nothing is evaluated again: conditions are compared with the statuses the log holds, branches are those it opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kyanite.engine import events as ev
from kyanite.engine.explain_activity import how_it_went, why_decided
from kyanite.engine.record import ActivityRecord, RunRecord, ScopeRecord
from kyanite.engine.scopes import FAILED, SKIPPED, SUCCEEDED, branch_status, upstream_of
from kyanite.engine.state import ROOT, join

Json = Any


@dataclass(frozen=True, slots=True)
class Explained:
    """One activity of one scope: `why` it was decided so, and `how` it went."""

    path: str
    type: str
    status: str
    why: str
    how: tuple[str, ...] = ()
    dependencies: tuple[Mapping[str, Json], ...] = ()


@dataclass(frozen=True, slots=True)
class Judged:
    """One step of the leaf rule: an activity that was asked, and whose place it took when that one was skipped.

    `counts_as` is Succeeded, Failed, Skipped, or Pending for one that never ended.
    """

    path: str
    status: str
    counts_as: str
    instead_of: str | None = None

    @property
    def ended(self) -> str:
        """How it ended, in words."""
        return (
            f"is deactivated and counts as {self.counts_as}" if self.status == "Inactive" else f"ended as {self.status}"
        )


@dataclass(frozen=True, slots=True)
class Explanation:
    """A run told in words. `judged` is how the leaf rule went; `decided_by` the path of the activity that decided."""

    run_id: str
    pipeline: str
    status: str
    message: str
    activities: tuple[Explained, ...]
    ending: tuple[str, ...]
    judged: tuple[Judged, ...] = ()
    decided_by: str | None = None
    rerun: Mapping[str, Json] | None = None


@dataclass(slots=True)
class _Ending:
    sentences: list[str] = field(default_factory=list)
    judged: list[Judged] = field(default_factory=list)
    decided_by: str | None = None


def explain(record: RunRecord) -> Explanation:
    """Tell a run; one that is not over is told so far."""
    ending = _ending(record)
    rerun = record.queued.rerun
    return Explanation(
        run_id=record.run_id,
        pipeline=record.pipeline.name,
        status=_status(record),
        message=record.ended.message if record.ended is not None else "",
        activities=tuple(_explained(record, past) for past in record.activities.values()),
        ending=tuple(ending.sentences),
        judged=tuple(ending.judged),
        decided_by=ending.decided_by,
        rerun={"mode": rerun.get("mode", "child"), "fromRun": rerun["fromRun"]} if rerun else None,
    )


def _status(record: RunRecord) -> str:
    if record.ended is not None:
        return record.ended.status
    return "Canceling" if record.cancel is not None else "InProgress"


def _explained(record: RunRecord, past: ActivityRecord) -> Explained:
    why, dependencies = why_decided(record, past)
    return Explained(
        path=past.path,
        type=past.definition.type,
        status=past.status,
        why=why,
        how=tuple(how_it_went(record, past)),
        dependencies=tuple(dependencies),
    )


# ---- why the run ended as it did


def _ending(record: RunRecord) -> _Ending:
    ending = _Ending()
    if record.ended is None:
        open_ones = [past.path for past in record.activities.values() if past.ended is None]
        ending.sentences.append(f"It is not over. Not ended yet: {', '.join(open_ones) or 'nothing that has begun'}.")
    elif record.ended.status == "Cancelled":
        by = f" by {record.cancel.by}" if record.cancel is not None and record.cancel.by else ""
        at = f" at {record.cancel.at}" if record.cancel is not None else ""
        ending.sentences.append(f"It was cancelled: somebody asked for that{by}{at}.")
    else:
        ending.judged = _judge(record, record.scopes[ROOT])
        failed = next((item for item in ending.judged if item.counts_as == FAILED), None)
        if failed is not None:
            _tell_failure(record, record.scopes[ROOT], failed, ending)
        elif record.ended.status == "Failed":
            ending.sentences.append(record.ended.message)
        else:
            _tell_success(record, ending)
    return ending


def _judge(record: RunRecord, scope: ScopeRecord) -> list[Judged]:
    """The leaf rule, step by step, up to the first activity that did not succeed."""
    steps: list[Judged] = []
    asked: set[str] = set()
    queue: list[tuple[str, str | None]] = [(name, None) for name in scope.plan.leaves]
    while queue:
        name, instead_of = queue.pop(0)
        if name in asked:
            continue
        asked.add(name)
        past = record.activities.get(join(scope.path, name))
        status = branch_status(past.branching if past is not None else "Pending")
        steps.append(Judged(join(scope.path, name), past.status if past is not None else status, status, instead_of))
        if status == SKIPPED:
            upstream = [
                upstream_of(scope.plan.spelling, item.activity) for item in scope.plan.activities[name].depends_on
            ]
            queue.extend((above, join(scope.path, name)) for above in upstream)
        elif status != SUCCEEDED:
            break
    return steps


def _tell_failure(record: RunRecord, scope: ScopeRecord, failed: Judged, ending: _Ending) -> None:
    """The activity that decided, and inside a container the one that decided there, down to the cause."""
    steps = ending.judged if scope.path == ROOT else _judge(record, scope)
    ending.sentences.append(_deciding(failed, steps))
    ending.decided_by = failed.path
    past = record.activities[failed.path]
    until = past.definition.type.casefold() == "until"
    inner = past.scopes[-1] if until and past.scopes else past.first_failure
    if inner is not None and inner.closed is not None and not inner.succeeded:
        inside = next((item for item in _judge(record, inner) if item.counts_as == FAILED), None)
        if inside is not None:
            _tell_failure(record, inner, inside, ending)
    elif past.data.get("wait"):
        ending.sentences.append(f"'{failed.path}' took over the status of run {past.data['childRunId']}.")


def _deciding(failed: Judged, steps: list[Judged]) -> str:
    if failed.instead_of is None:
        return f"'{failed.path}' decided: nothing depends on it (a leaf), and it {failed.ended}."
    by_path = {item.path: item for item in steps}
    chain: list[str] = []
    at: str | None = failed.instead_of
    while at is not None:
        chain.append(f"'{at}'")
        at = by_path[at].instead_of
    through = "; ".join(f"{name} was Skipped, so what it depends on is asked" for name in reversed(chain))
    return f"'{failed.path}' decided: {chain[-1]} is a leaf; {through}; '{failed.path}' {failed.ended}."


def _tell_success(record: RunRecord, ending: _Ending) -> None:
    asked = [item for item in ending.judged if item.counts_as != SKIPPED]
    names = ", ".join(f"'{item.path}'" for item in asked)
    if names:
        ending.sentences.append(f"Every leaf that ran Succeeded: {names}.")
    else:
        ending.sentences.append("No leaf failed.")
    for item in ending.judged:
        if item.instead_of is not None and item.counts_as != SKIPPED:
            ending.sentences.append(f"'{item.instead_of}' was Skipped, so '{item.path}' was asked instead.")
    asked_paths = {item.path for item in ending.judged}
    for past in record.activities.values():
        failed = past.scope == ROOT and branch_status(past.branching) == FAILED
        if failed and past.path not in asked_paths and not isinstance(past.ended, ev.ActivityInactive):
            ending.sentences.append(
                f"'{past.path}' ended as {past.status}, which does not decide: other activities depend on it, and "
                "only leaves are asked."
            )


# ---- for programs


def explanation_document(explanation: Explanation) -> dict[str, Json]:
    """The explanation as JSON."""
    return {
        "runId": explanation.run_id,
        "pipelineName": explanation.pipeline,
        "status": explanation.status,
        "message": explanation.message,
        "decidedBy": explanation.decided_by,
        "ending": list(explanation.ending),
        "judged": [
            {
                "path": item.path,
                "status": item.status,
                "countsAs": item.counts_as,
                "insteadOf": item.instead_of,
            }
            for item in explanation.judged
        ],
        "rerun": explanation.rerun,
        "activities": [
            {
                "path": item.path,
                "type": item.type,
                "status": item.status,
                "why": item.why,
                "how": list(item.how),
                "dependencies": [dict(dependency) for dependency in item.dependencies],
            }
            for item in explanation.activities
        ],
    }
