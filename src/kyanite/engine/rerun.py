"""Planning a rerun: what of an earlier run stands, so that only the rest is executed again.

Two rules. `FAILED`: what did not succeed runs again, and all that depends on it. `AS_IT_WAS`: however it ended, it
stands; that holds for what lies before the point a rerun begins at, and inside what succeeded as a whole. Conditions
and items are evaluated again and variables are set again, as the service does; what calls or moves something is not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from kyanite.definitions.model import Activity, Factory, Pipeline
from kyanite.engine import events as ev
from kyanite.engine.record import ActivityRecord, RunRecord, ScopeRecord
from kyanite.engine.scopes import ScopePlan, plan_scope, upstream_of
from kyanite.engine.state import ROOT, branch_activities, join
from kyanite.engine.turn import activity_run_id

Json = Any

# cheap and without effect outside the run, or made of other activities: executed in every rerun
EXECUTED_AGAIN = frozenset(
    {
        "appendvariable",
        "executepipeline",
        "fail",
        "filter",
        "foreach",
        "ifcondition",
        "setvariable",
        "switch",
        "until",
        "wait",
    }
)
_FINE = frozenset({"Succeeded", "Skipped", "Inactive"})


class Rule(Enum):
    """How a list of activities is judged."""

    FAILED = "failed"
    AS_IT_WAS = "asItWas"


@dataclass(slots=True)
class _Taken:
    """What stands, by path; `again` says that something in it is executed again, so that what follows is too."""

    again: bool = False
    reuse: dict[str, Json] = field(default_factory=dict)
    items: dict[str, Json] = field(default_factory=dict)
    children: dict[str, Json] = field(default_factory=dict)

    def add(self, other: _Taken) -> None:
        self.reuse.update(other.reuse)
        self.items.update(other.items)
        self.children.update(other.children)


@dataclass(frozen=True, slots=True)
class RerunPlanner:
    """Plans with the definitions of the new run; `child_of` gives the record of an earlier child run that is over."""

    factory: Factory
    child_of: Callable[[str], RunRecord | None]

    def plan(
        self,
        record: RunRecord,
        pipeline: Pipeline,
        *,
        activity: str | None = None,
        loops: frozenset[str] = frozenset(),
    ) -> dict[str, Json]:
        """The `rerun` member of the new run's `RunQueued`.

        From `activity` (a top-level name, declared spelling), or the failed iterations of `loops` (paths), or by
        default from what failed.
        """
        points = frozenset({activity}) if activity is not None else loops
        taken = self._scope(record, ROOT, plan_scope(pipeline.activities), Rule.FAILED, points, bool(loops))
        return _document(record, taken)

    # ---- one list of activities

    def _scope(
        self,
        record: RunRecord,
        scope: str,
        plan: ScopePlan,
        rule: Rule,
        points: frozenset[str] = frozenset(),
        loops: bool = False,
    ) -> _Taken:
        on_the_way = {name for name in plan.activities if _leads(join(scope, name), points)}
        before = _upstream(plan, on_the_way)
        found: dict[str, _Taken] = {}
        for name, definition in plan.activities.items():
            path = join(scope, name)
            past = record.activities.get(path)
            if past is None or (past.ended is None and not past.scopes) or _changed(past.definition, definition):
                found[name] = _Taken(again=True)
            elif path in points:
                found[name] = self._point(record, past, definition, loops)
            elif name in on_the_way:
                found[name] = self._activity(record, past, definition, Rule.FAILED, points, loops)
                found[name].again = True
            else:
                found[name] = self._activity(record, past, definition, Rule.AS_IT_WAS if name in before else rule)
        return _what_stands(plan, found)

    def _point(self, record: RunRecord, past: ActivityRecord, definition: Activity, loops: bool) -> _Taken:
        """The named activity runs again whole; of a named loop only the iterations that did not succeed."""
        taken = _Taken(again=True)
        if loops:
            for scope in past.scopes:
                if scope.succeeded:
                    taken.add(self._inside(record, scope, definition, Rule.AS_IT_WAS))
            _remember_items(taken, past)
        return taken

    # ---- one activity

    def _activity(
        self,
        record: RunRecord,
        past: ActivityRecord,
        definition: Activity,
        rule: Rule,
        points: frozenset[str] = frozenset(),
        loops: bool = False,
    ) -> _Taken:
        kind = definition.type.casefold()
        fine = rule is Rule.AS_IT_WAS or past.status in _FINE
        if past.scopes:
            return self._container(record, past, definition, rule, points, loops)
        if kind == "executepipeline":
            return self._child(record, past, rule)
        taken = _Taken(again=not fine)
        if fine and kind not in EXECUTED_AGAIN and isinstance(past.ended, ev.ActivityEnded | ev.ActivityReused):
            taken.reuse[past.path] = _outcome(record, past, past.ended)
        return taken

    def _container(
        self,
        record: RunRecord,
        past: ActivityRecord,
        definition: Activity,
        rule: Rule,
        points: frozenset[str],
        loops: bool,
    ) -> _Taken:
        taken = _Taken(again=rule is Rule.FAILED and past.status not in _FINE)
        for scope in past.scopes:
            whole = past.status == "Succeeded" or scope.succeeded
            inner_rule = Rule.AS_IT_WAS if rule is Rule.AS_IT_WAS or whole else Rule.FAILED
            way = points if _leads(scope.path, points) else frozenset()
            inside = self._inside(record, scope, definition, inner_rule, way, loops)
            taken.add(inside)
            taken.again |= inside.again
            if inside.again and definition.type.casefold() == "until":
                break  # a pass follows from the one before
        _remember_items(taken, past)
        return taken

    def _inside(
        self,
        record: RunRecord,
        scope: ScopeRecord,
        container: Activity,
        rule: Rule,
        points: frozenset[str] = frozenset(),
        loops: bool = False,
    ) -> _Taken:
        inside = plan_scope(branch_activities(container, scope.path.rsplit("/", 1)[1]))
        return self._scope(record, scope.path, inside, rule, points, loops)

    def _child(self, record: RunRecord, past: ActivityRecord, rule: Rule) -> _Taken:
        """A child run is started again, and reuses what the earlier child did by the same rules."""
        taken = _Taken(again=rule is Rule.FAILED and past.status not in _FINE)
        child = self.child_of(str(past.data["childRunId"])) if "childRunId" in past.data else None
        name = child.pipeline.name if child is not None else ""
        if child is None or name not in self.factory.pipelines:
            return taken
        whole = rule is Rule.AS_IT_WAS or (child.ended is not None and child.ended.status == "Succeeded")
        plan = plan_scope(self.factory.pipelines[name].activities)
        inside = self._scope(child, ROOT, plan, Rule.AS_IT_WAS if whole else Rule.FAILED)
        taken.again |= inside.again and bool(past.data.get("wait"))
        taken.children[past.path] = _document(child, inside)
        return taken


def _document(record: RunRecord, taken: _Taken) -> dict[str, Json]:
    return {"fromRun": record.run_id, "reuse": taken.reuse, "items": taken.items, "children": taken.children}


def _what_stands(plan: ScopePlan, found: Mapping[str, _Taken]) -> _Taken:
    """All but what depends on something that is executed again, at any distance."""
    result = _Taken(again=any(taken.again for taken in found.values()))
    after: set[str] = set()
    queue = [name for name, taken in found.items() if taken.again]
    while queue:
        for dependent in plan.dependents[queue.pop()]:
            if dependent not in after:
                after.add(dependent)
                queue.append(dependent)
    for name, taken in found.items():
        if name not in after:
            result.add(taken)
    return result


def _outcome(record: RunRecord, past: ActivityRecord, ended: ev.ActivityEnded | ev.ActivityReused) -> dict[str, Json]:
    """How an activity ended; one that was itself reused points to the run that executed it."""
    if isinstance(ended, ev.ActivityReused):
        run, attempt = ended.from_run, ended.activity_run_id
    else:
        started = past.started.activity_run_id if past.started is not None else ""
        run, attempt = record.run_id, started or activity_run_id(record.run_id, past.path, 0)
    outcome: dict[str, Json] = {"status": ended.status, "activityRunId": attempt, "fromRun": run}
    if ended.output is not None:
        outcome["output"] = ended.output
    if ended.error is not None:
        outcome["error"] = ended.error
    return outcome


def _remember_items(taken: _Taken, past: ActivityRecord) -> None:
    if "items" in past.data and (taken.reuse or taken.children):
        taken.items[past.path] = past.data["items"]


def _changed(old: Activity, new: Activity) -> bool:
    """Whether an activity is another one now; a container is judged by what is inside, its own part runs anyway."""
    if old is new:
        return False
    if old.type.casefold() != new.type.casefold() or list(old.branches) != list(new.branches):
        return True
    return not old.branches and old.document != new.document


def _leads(path: str, points: frozenset[str]) -> bool:
    return any(point == path or point.startswith(f"{path}/") for point in points)


def _upstream(plan: ScopePlan, names: set[str]) -> set[str]:
    """Everything that some activities depend on, at any distance."""
    found: set[str] = set()
    queue = [name for name in names if name in plan.activities]
    while queue:
        for dependency in plan.activities[queue.pop()].depends_on:
            name = upstream_of(plan.spelling, dependency.activity)
            if name in plan.activities and name not in found:
                found.add(name)
                queue.append(name)
    return found - names
