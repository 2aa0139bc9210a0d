"""Where a rerun may begin: names as people type them, checked against what happened."""

from __future__ import annotations

from kyanite.definitions.activity import walk_activities
from kyanite.definitions.model import Pipeline
from kyanite.engine.record import ActivityRecord, RunRecord
from kyanite.engine.scopes import may_run, upstream_of
from kyanite.engine.state import ROOT
from kyanite.errors import ConflictError, NotFoundError


def start_point(record: RunRecord, pipeline: Pipeline, name: str) -> str:
    """The declared spelling of the top-level activity a rerun is to begin from.

    Raises NotFoundError (an inner activity is answered with its container), and ConflictError when the activity could
    not run after what happened before it.
    """
    plan = record.scopes[ROOT].plan
    names = {activity.name.casefold(): activity for activity in pipeline.activities}
    activity = names.get(name.casefold())
    if activity is None:
        raise _unknown(pipeline, name)
    statuses = {known: past.branching for known, past in _top_level(record).items() if past.ended is not None}
    missing = [
        item.activity for item in activity.depends_on if upstream_of(plan.spelling, item.activity) not in statuses
    ]
    if missing:
        raise ConflictError(
            f"'{activity.name}' cannot be the beginning: '{missing[0]}' before it never ended in run {record.run_id}.",
            cure=f"Begin from '{missing[0]}', or from what failed (--from-failure).",
        )
    if not may_run(activity, lambda upstream: statuses[upstream_of(plan.spelling, upstream)]):
        was = ", ".join(
            f"'{item.activity}' {statuses[upstream_of(plan.spelling, item.activity)]}" for item in activity.depends_on
        )
        raise ConflictError(
            f"'{activity.name}' would be skipped again: its dependencies rule it out after {was}.",
            cure="Begin from one of these, or from what failed (--from-failure).",
        )
    return activity.name


def failed_loops(record: RunRecord, name: str | None) -> frozenset[str]:
    """The paths of the ForEach activities (of one name, or all) that have iterations which did not succeed.

    Raises NotFoundError for a name that no ForEach of the run has, ConflictError when no iteration failed.
    """
    loops = [past for past in record.activities.values() if past.definition.type.casefold() == "foreach"]
    wanted = [past for past in loops if name is None or name.casefold() in _names(past)]
    if not wanted and name is not None:
        known = ", ".join(sorted({f"'{past.definition.name}'" for past in loops})) or "none"
        raise NotFoundError(f"No ForEach '{name}' ran in run {record.run_id}; those that ran: {known}.")
    failed = frozenset(past.path for past in wanted if any(not scope.succeeded for scope in past.scopes))
    if not failed:
        of = f"the ForEach '{wanted[0].definition.name}'" if name is not None else "any ForEach"
        raise ConflictError(
            f"No iteration of {of} failed in run {record.run_id}.", cure="Begin from what failed: --from-failure."
        )
    return failed


def anything_failed(record: RunRecord) -> bool:
    """Whether a top-level activity did not succeed, or never came to its end."""
    known = _top_level(record)
    fine = ("Succeeded", "Skipped", "Inactive")
    return any(name not in known or known[name].status not in fine for name in record.scopes[ROOT].plan.activities)


def _names(past: ActivityRecord) -> tuple[str, str]:
    return past.definition.name.casefold(), past.path.casefold()


def _top_level(record: RunRecord) -> dict[str, ActivityRecord]:
    return {past.definition.name: past for past in record.activities.values() if past.scope == ROOT}


def _unknown(pipeline: Pipeline, name: str) -> NotFoundError:
    folded = name.casefold()
    for outer in pipeline.activities:
        inner = [activity for activity in walk_activities([outer]) if activity is not outer]
        if any(activity.name.casefold() == folded for activity in inner):
            loop = f", or --failed-iterations {outer.name}" if outer.type.casefold() == "foreach" else ""
            return NotFoundError(
                f"'{name}' is inside '{outer.name}' ({outer.type}); a rerun begins from a top-level activity.",
                cure=f"Begin from '{outer.name}'{loop}, or from what failed (--from-failure).",
            )
    known = ", ".join(activity.name for activity in pipeline.activities)
    return NotFoundError(f"The pipeline '{pipeline.name}' has no activity '{name}'.", cure=f"It has: {known}.")
