"""Branch coverage: the ways a pipeline can go, and which of them runs took."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from kyanite.definitions.model import Activity, Pipeline
from kyanite.engine.scopes import branch_status
from kyanite.testing.factory import FactoryUnderTest
from kyanite.testing.history import ActivityRun
from kyanite.testing.pipeline_run import PipelineRun

RUN = "the pipeline is run"


def branches_of(pipeline: Pipeline) -> Iterator[str]:
    """Every way that tests can take: the run itself, dependency conditions, branches of If, cases of Switch."""
    yield RUN
    for activity in pipeline.walk():
        for dependency in activity.depends_on:
            for condition in dependency.conditions:
                yield _edge(dependency.activity, condition, activity.name)
        match activity.type.casefold():
            case "ifcondition":
                yield f"{activity.name}: true"
                yield f"{activity.name}: false"
            case "switch":
                yield from (f"{activity.name}: {_case(branch)}" for branch in activity.branches)


def branches_taken(run: PipelineRun, pipeline: Pipeline) -> Iterator[str]:
    """The ways that a run took, some of them several times."""
    yield RUN
    records = {record.path: record for record in run.activities}
    for record in records.values():
        definition = pipeline.activities_by_name.get(record.name, None)
        if definition is None or record.status == "Skipped":
            continue
        yield from _edges(record, definition, records)
        yield from _inner(record, definition)


def _edges(record: ActivityRun, definition: Activity, records: dict[str, ActivityRun]) -> Iterator[str]:
    scope = record.path.rpartition("/")[0]
    beside = {other.name.casefold(): other for other in records.values() if other.path.rpartition("/")[0] == scope}
    for dependency in definition.depends_on:
        before = beside.get(dependency.activity.casefold())
        status = branch_status(_seen(before)) if before else ""
        for condition in dependency.conditions:
            allowed = ("succeeded", "failed") if condition.casefold() == "completed" else (condition.casefold(),)
            if status.casefold() in allowed:
                yield _edge(dependency.activity, condition, definition.name)


def _seen(record: ActivityRun) -> str:
    return record.marked_as or record.status


def _inner(record: ActivityRun, definition: Activity) -> Iterator[str]:
    shown = record.input if isinstance(record.input, dict) else {}
    match definition.type.casefold():
        case "ifcondition" if isinstance(shown.get("expression"), bool):
            yield f"{definition.name}: {'true' if shown['expression'] else 'false'}"
        case "switch" if "on" in shown:
            wanted = f"case:{shown['on']}"
            yield f"{definition.name}: {_case(wanted if wanted in definition.branches else 'default')}"


def _edge(before: str, condition: str, after: str) -> str:
    return f"{before} {condition} -> {after}"


def _case(branch: str) -> str:
    return f"case {branch.removeprefix('case:')!r}" if branch.startswith("case:") else branch


@dataclass
class PipelineBranches:
    """One pipeline's ways, each with whether it was taken."""

    factory: str
    pipeline: str
    taken: dict[str, bool]

    @property
    def missing(self) -> list[str]:
        """The ways that no run took."""
        return [branch for branch, taken in self.taken.items() if not taken]


@dataclass
class BranchCoverage:
    """What all runs of a session took, by factory and pipeline; pipelines that were never run count too."""

    pipelines: dict[tuple[str, str], PipelineBranches] = field(default_factory=dict)

    def loaded(self, factory: FactoryUnderTest) -> None:
        """A factory's pipelines are to be covered."""
        for name, pipeline in factory.definitions.pipelines.items():
            key = (factory.source, name)
            if key not in self.pipelines:
                ways = dict.fromkeys(branches_of(pipeline), False)
                self.pipelines[key] = PipelineBranches(factory.definitions.name, name, ways)

    def ended(self, factory: FactoryUnderTest, run: PipelineRun) -> None:
        """Count what a run and its children took."""
        self.loaded(factory)
        entry = self.pipelines[(factory.source, run.pipeline)]
        for branch in branches_taken(run, factory.definitions.pipelines[run.pipeline]):
            if branch in entry.taken:
                entry.taken[branch] = True
        for child in run.children:
            self.ended(factory, child)

    @property
    def percent(self) -> float:
        """Taken ways of all ways in percent; 100 when there are none."""
        ways = [taken for entry in self.pipelines.values() for taken in entry.taken.values()]
        return 100.0 * sum(ways) / len(ways) if ways else 100.0

    def report(self) -> Iterable[str]:
        """The report's lines: one per pipeline, then its missing ways."""
        for entry in sorted(self.pipelines.values(), key=lambda entry: (entry.factory, entry.pipeline)):
            done = sum(entry.taken.values())
            yield f"{entry.factory}/{entry.pipeline}: {done} of {len(entry.taken)} ways taken"
            yield from (f"    missing: {branch}" for branch in entry.missing)
        yield f"pipeline branches taken: {self.percent:.0f} %"
