"""A factory under test: loaded from where it is kept, its pipelines run on a virtual clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kyanite.definitions.check import Supported, check
from kyanite.definitions.model import Factory
from kyanite.definitions.names import suggestion
from kyanite.definitions.problem import Problem
from kyanite.errors import DefinitionError, NotFoundError, ParameterError
from kyanite.testing.mocks import Mocks, Unmocked, with_mocked_children
from kyanite.testing.outcomes import Mock
from kyanite.testing.pipeline_run import PipelineRun
from kyanite.testing.simulation import START, Simulation
from kyanite.testing.times import Moment, moment_of

Json = Any

# called with every factory that is loaded and with every run that is made: how the pytest plugin learns of them
LOADED: list[Callable[[FactoryUnderTest], None]] = []
STARTED: list[Callable[[FactoryUnderTest, PipelineRun], None]] = []


@dataclass(frozen=True)
class FactoryUnderTest:
    """A factory whose execution activities are mocked and whose control flow and expressions are real."""

    definitions: Factory
    source: str = ""

    @property
    def pipelines(self) -> list[str]:
        """The names of its pipelines."""
        return list(self.definitions.pipelines)

    def problems(self) -> list[Problem]:
        """What `kyanite validate` finds, but for kinds that kyanite does not run: a test mocks those."""
        resources = self.definitions.resources
        activities = {a.type for pipeline in self.definitions.pipelines.values() for a in pipeline.walk()}
        supported = Supported(
            activities=frozenset(activities),
            datasets=frozenset(r.type for r in resources if r.kind == "dataset"),
            linked_services=frozenset(r.type for r in resources if r.kind == "linkedService"),
        )
        return [*self.definitions.problems, *check(self.definitions, supported=supported)]

    def dataset(self, name: str, parameters: Mapping[str, Json] | None = None) -> dict[str, Json]:
        """A dataset with its expressions evaluated: `{"name", "type", "typeProperties"}`."""
        from kyanite.activities.references import resolve_dataset

        return resolve_dataset(self.definitions, {"referenceName": name, "parameters": dict(parameters or {})})[0]

    def start(
        self,
        pipeline: str,
        *,
        parameters: Mapping[str, Json] | None = None,
        mocks: Mapping[str, Mock] | None = None,
        global_parameters: Mapping[str, Json] | None = None,
        trigger: Mapping[str, Json] | None = None,
        now: Moment = START,
        unmocked: Unmocked = "error",
    ) -> PipelineRun:
        """Make a run and let happen what happens at once; `advance`, `cancel` and `finish` move it on.

        `trigger` (`name`, `type`, `time`, `id`) is what `pipeline().TriggerName` and its kin give.
        Raises ParameterError when the service would not make the run, NotFoundError for a mock of nothing.
        """
        factory = _with_globals(self.definitions, global_parameters or {})
        factory = with_mocked_children(factory, factory.pipelines[pipeline], mocks or {})
        answers = Mocks(factory, factory.pipelines[pipeline], mocks or {}, unmocked)
        simulation = Simulation(factory, answers.outcome_of, child_outcome_of=answers.told, now=moment_of(now))
        run = PipelineRun(simulation, simulation.create(pipeline, parameters, _invoked_by(trigger)))
        for tell in STARTED:
            tell(self, run)
        simulation.settle()
        return run

    def run(
        self,
        pipeline: str,
        *,
        parameters: Mapping[str, Json] | None = None,
        mocks: Mapping[str, Mock] | None = None,
        global_parameters: Mapping[str, Json] | None = None,
        trigger: Mapping[str, Json] | None = None,
        now: Moment = START,
        unmocked: Unmocked = "error",
    ) -> PipelineRun:
        """Run a pipeline to its end, which takes no time; arguments as for `start`."""
        return self.start(
            pipeline,
            parameters=parameters,
            mocks=mocks,
            global_parameters=global_parameters,
            trigger=trigger,
            now=now,
            unmocked=unmocked,
        ).finish()


def load_factory(
    source: str | Path | Mapping[str, Json] | Factory,
    *,
    parameters: Mapping[str, Json] | None = None,
    name: str | None = None,
) -> FactoryUnderTest:
    """The factory of a git folder, of an ARM template (a file or its JSON, with template `parameters`), or as it is.

    `name` picks one of several in a template. Raises DefinitionError when a file cannot be read.
    """
    if isinstance(source, Factory):
        loaded = FactoryUnderTest(source, source.name)
    elif isinstance(source, Mapping):
        loaded = FactoryUnderTest(_of_template(source, parameters or {}, name), "template")
    elif Path(source).is_dir():
        loaded = FactoryUnderTest(_of_folder(Path(source), name), str(Path(source).resolve()))
    else:
        loaded = FactoryUnderTest(_of_file(Path(source), parameters or {}, name), str(Path(source).resolve()))
    broken = [problem for problem in loaded.definitions.problems if problem.severity == "error"]
    if broken:
        lines = "\n  ".join(f"{problem.file} {problem.path}: {problem.message}" for problem in broken)
        raise DefinitionError(f"The factory cannot be read:\n  {lines}", where=loaded.source)
    for tell in LOADED:
        tell(loaded)
    return loaded


def _of_folder(folder: Path, name: str | None) -> Factory:
    from kyanite.definitions.load import load_folder
    from kyanite.runtime.workspace import read_folder

    return load_folder(read_folder(folder), name)


def _of_file(file: Path, parameters: Mapping[str, Json], name: str | None) -> Factory:
    from kyanite.definitions.arm import read_template

    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise NotFoundError("There is no such file or folder.", where=str(file)) from None
    return _of_template(read_template(text, str(file)), parameters, name)


def _of_template(template: Mapping[str, Json], parameters: Mapping[str, Json], name: str | None) -> Factory:
    from kyanite.definitions.arm import evaluate_template, factories_of
    from kyanite.definitions.arm_environment import Environment

    environment = Environment(list_keys=lambda *_: ("key-of-no-account-1", "key-of-no-account-2"))
    factories = factories_of(evaluate_template(template, parameters, environment))
    names = ", ".join(factories)
    if not factories:
        raise NotFoundError("The template holds no data factory.")
    if name is None and len(factories) > 1:
        raise ParameterError(f"The template holds several factories: {names}.", cure="Give name=...")
    for known, factory in factories.items():
        if name is None or known.casefold() == name.casefold():
            return factory
    raise NotFoundError(f"The template holds no factory {name!r}.", cure=f"It holds: {names}.")


def _with_globals(factory: Factory, values: Mapping[str, Json]) -> Factory:
    """The factory with other values of global parameters; one that declares none takes any."""
    if not values:
        return factory
    declared = {name.casefold(): name for name in factory.global_parameter_documents}
    documents = {name: dict(raw) for name, raw in factory.global_parameter_documents.items()}
    for name, value in values.items():
        if declared and name.casefold() not in declared:
            cure = suggestion(name, declared.values(), "global parameters")
            raise ParameterError(f"The factory has no global parameter '{name}'.", cure=cure)
        documents[declared.get(name.casefold(), name)] = {"type": "Object", "value": value}
    properties = {**(factory.document.get("properties") or {}), "globalParameters": documents}
    return replace(factory, document={**factory.document, "properties": properties})


def _invoked_by(trigger: Mapping[str, Json] | None) -> dict[str, Json]:
    """A trigger as the log names it; ParameterError for a member that means nothing."""
    names = {"name": "name", "type": "invokedByType", "time": "time", "id": "id"}
    strange = [key for key in trigger or {} if key not in names]
    if strange:
        raise ParameterError(f"A trigger has no {', '.join(strange)}.", cure=f"It has: {', '.join(names)}.")
    return {names[key]: value for key, value in (trigger or {}).items()}
