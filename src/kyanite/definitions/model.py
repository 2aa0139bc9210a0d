"""A factory and its resources: typed, read-only views on raw documents, which stay the truth.

Unknown properties survive because nothing is copied out of a document but what the views need.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeVar

from kyanite.definitions.activity import (
    Activity,
    Dependency,
    Policy,
    activities_of,
    as_object,
    carried,
    walk_activities,
)
from kyanite.definitions.names import Names
from kyanite.definitions.problem import Problem
from kyanite.definitions.timespan import parse_timespan
from kyanite.errors import DefinitionError
from kyanite.expressions.scope import MISSING, Missing

__all__ = [
    "ARM_SEGMENTS",
    "MISSING",
    "Activity",
    "Dependency",
    "Factory",
    "Json",
    "Missing",
    "Names",
    "Parameter",
    "Pipeline",
    "Policy",
    "Resource",
    "Variable",
    "carried",
    "make_resource",
    "walk_activities",
]

Json = Any


# kind (= folder in git) -> type below Microsoft.DataFactory/factories
ARM_SEGMENTS: Mapping[str, str] = {
    "adfcdc": "adfcdcs",
    "credential": "credentials",
    "dataflow": "dataflows",
    "dataset": "datasets",
    "globalParameters": "globalParameters",
    "integrationRuntime": "integrationRuntimes",
    "linkedService": "linkedServices",
    "managedPrivateEndpoint": "managedVirtualNetworks/managedPrivateEndpoints",
    "managedVirtualNetwork": "managedVirtualNetworks",
    "pipeline": "pipelines",
    "privateEndpointConnection": "privateEndpointConnections",
    "trigger": "triggers",
}


@dataclass(frozen=True)
class Parameter:
    """A declared parameter; `type` as spelled (`String`, `int`, ...), `default` MISSING when a value must be given."""

    name: str
    type: str
    default: Json | Literal[Missing.MISSING] = field(default=MISSING, repr=False)

    @property
    def secure(self) -> bool:
        """Whether its values are secrets (`SecureString`)."""
        return self.type.lower() == "securestring"


@dataclass(frozen=True)
class Variable:
    """A declared pipeline variable with its start value; without one `""`, `[]`, 0 or false by its type."""

    name: str
    type: str
    default: Json = field(repr=False)


@dataclass(frozen=True, eq=False)
class Resource:
    """A resource of a factory. Two are equal when kind, name and properties are; file and envelope do not count.

    `document` is the raw JSON and must never be changed; `file` is where it came from; `path` its place in there.
    """

    kind: str
    name: str
    document: Mapping[str, Json] = field(repr=False)
    file: str | None = None
    path: str = ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Resource) and (self.kind, self.name, self.properties) == (
            other.kind,
            other.name,
            other.properties,
        )

    def __hash__(self) -> int:
        return hash((self.kind, self.name))

    @property
    def place(self) -> str:
        """The file it came from, or the one it would have in a git folder."""
        return self.file or f"{self.kind}/{self.name}.json"

    @cached_property
    def properties(self) -> dict[str, Json]:
        """The raw `properties`."""
        return as_object(self.document.get("properties"))

    @property
    def type(self) -> str:
        """The discriminator in `properties.type`, empty when there is none."""
        value = self.properties.get("type")
        return value if isinstance(value, str) else ""

    @cached_property
    def type_properties(self) -> dict[str, Json]:
        """The raw `properties.typeProperties`."""
        return as_object(self.properties.get("typeProperties"))

    @cached_property
    def parameters(self) -> Names[Parameter]:
        """The declared parameters."""
        return Names(
            ((name, _parameter(name, raw)) for name, raw in as_object(self.properties.get("parameters")).items()),
            what="parameters",
        )


class Pipeline(Resource):
    """A pipeline with its activities, variables and concurrency."""

    @cached_property
    def activities(self) -> tuple[Activity, ...]:
        """The activities of the outermost scope."""
        return activities_of(self.properties.get("activities"), "properties.activities")

    @cached_property
    def variables(self) -> Names[Variable]:
        """The declared variables."""
        return Names(
            ((name, _variable(name, raw)) for name, raw in as_object(self.properties.get("variables")).items()),
            what="variables",
        )

    @property
    def concurrency(self) -> int | None:
        """How many runs may be in progress at once; None is no cap."""
        value = self.properties.get("concurrency")
        return value if isinstance(value, int) and not isinstance(value, bool) and value >= 1 else None

    @property
    def elapsed_time_seconds(self) -> float | None:
        """After how long a run counts as taking too long (`policy.elapsedTimeMetric.duration`); None is never."""
        metric = as_object(as_object(self.properties.get("policy")).get("elapsedTimeMetric"))
        duration = metric.get("duration")
        try:
            return parse_timespan(duration) if isinstance(duration, str) else None
        except DefinitionError:
            return None  # reported by the check

    def walk(self) -> Iterator[Activity]:
        """Every activity, inner ones included, outer before inner."""
        return walk_activities(self.activities)

    @cached_property
    def activities_by_name(self) -> Names[Activity]:
        """Every activity, inner ones included, by name."""
        return Names(((activity.name, activity) for activity in self.walk()), what="activities")


Kind = TypeVar("Kind", bound=Resource)


@dataclass(frozen=True, eq=False)
class Factory:
    """A set of resources with a name. Equal to another with the same name, resources and global parameters.

    `document` is the factory's own document (`{}` when there is none); `problems` were met while reading, so that
    `check` can show them together with its own.
    """

    name: str
    resources: tuple[Resource, ...]
    document: Mapping[str, Json] = field(default_factory=dict, repr=False)
    file: str | None = None
    problems: tuple[Problem, ...] = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Factory) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self.name)

    @property
    def _identity(self) -> Json:
        kept = {(r.kind, r.name.lower()): r for r in self.resources if r.kind != "globalParameters"}
        return (self.name, kept, self.global_parameters)

    @property
    def location(self) -> str | None:
        """The factory's region, when its document says one."""
        value = self.document.get("location")
        return value if isinstance(value, str) else None

    @property
    def place(self) -> str:
        """The file of the factory's own document, or the one it would have in a git folder."""
        return self.file or f"factory/{self.name}.json"

    @cached_property
    def pipelines(self) -> Names[Pipeline]:
        """The pipelines by name."""
        return self._named("pipeline", "pipelines", lambda r: isinstance(r, Pipeline))

    @cached_property
    def datasets(self) -> Names[Resource]:
        """The datasets by name."""
        return self._named("dataset", "datasets")

    @cached_property
    def linked_services(self) -> Names[Resource]:
        """The linked services by name."""
        return self._named("linkedService", "linked services")

    @cached_property
    def triggers(self) -> Names[Resource]:
        """The triggers by name."""
        return self._named("trigger", "triggers")

    @cached_property
    def integration_runtimes(self) -> Names[Resource]:
        """The integration runtimes by name."""
        return self._named("integrationRuntime", "integration runtimes")

    @cached_property
    def credentials(self) -> Names[Resource]:
        """The credentials by name."""
        return self._named("credential", "credentials")

    @cached_property
    def others(self) -> tuple[Resource, ...]:
        """Resources that are kept but not run: data flows, credentials, managed networks, ..."""
        run = {"pipeline", "dataset", "linkedService", "trigger", "integrationRuntime", "globalParameters"}
        return tuple(resource for resource in self.resources if resource.kind not in run)

    @cached_property
    def global_parameter_documents(self) -> dict[str, Json]:
        """Name -> `{type, value}` as written, the factory's own document first, then separate documents."""
        found: dict[str, Json] = dict(as_object(as_object(self.document.get("properties")).get("globalParameters")))
        for resource in self.resources:
            if resource.kind == "globalParameters":
                for name, raw in resource.properties.items():
                    found.setdefault(name, raw)
        return found

    @cached_property
    def global_parameters(self) -> Mapping[str, Json]:
        """Name -> value of the global parameters."""
        documents = self.global_parameter_documents
        return {n: raw["value"] for n, raw in documents.items() if isinstance(raw, dict) and "value" in raw}

    def _named(self, kind: str, what: str, keep: Callable[[Resource], bool] = lambda _: True) -> Names[Any]:
        broken = sum(1 for problem in self.problems if problem.severity == "error")
        note = f"{broken} problem(s) were met while reading the factory; `kyanite check` shows them." if broken else ""
        return Names(((r.name, r) for r in self.resources if r.kind == kind and keep(r)), what=what, note=note)


def make_resource(kind: str, name: str, document: Mapping[str, Json], file: str | None = None) -> Resource:
    """The resource of a raw document: a `Pipeline` for the kind pipeline, otherwise a plain `Resource`."""
    return (Pipeline if kind == "pipeline" else Resource)(kind, name, document, file)


def _parameter(name: str, raw: Json) -> Parameter:
    entry = as_object(raw)
    return Parameter(name, str(entry.get("type", "String")), entry.get("defaultValue", MISSING))


def _variable(name: str, raw: Json) -> Variable:
    entry = as_object(raw)
    kind = str(entry.get("type", "String"))
    start: dict[str, Json] = {"string": "", "array": [], "int": 0, "integer": 0, "bool": False, "boolean": False}
    return Variable(name, kind, entry.get("defaultValue", start.get(kind.lower())))
