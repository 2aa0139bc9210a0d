"""ARM templates: evaluated without a cloud into resources in deployment order, and from there into factories."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kyanite.definitions.activity import as_object
from kyanite.definitions.arm_environment import Environment
from kyanite.definitions.arm_parameters import read_parameters
from kyanite.definitions.arm_resources import Declared, Deployment
from kyanite.definitions.arm_template import Scope, TemplateValues
from kyanite.definitions.json_text import check_shape, read_json
from kyanite.definitions.load import load_documents
from kyanite.definitions.model import ARM_SEGMENTS, Factory
from kyanite.errors import LimitError, TemplateError, UnsupportedError

__all__ = [
    "ArmResource",
    "Environment",
    "Evaluated",
    "evaluate_template",
    "factories_of",
    "read_parameters",
    "read_template",
]

Json = Any

_FACTORY_TYPE = "microsoft.datafactory/factories"
_KINDS = {segment.lower(): kind for kind, segment in ARM_SEGMENTS.items()}


@dataclass(frozen=True)
class ArmResource:
    """A resource of a template with everything evaluated: full type, full name (`factory/pipeline`), properties.

    `document` is the whole resource, `path` its place in the template, `depends_on` the partial ids
    (`Ns/type/name/sub/name`) of what it waits for.
    """

    type: str
    name: str
    properties: Mapping[str, Json] = field(repr=False)
    document: Mapping[str, Json] = field(repr=False)
    path: str = ""
    api_version: str = ""
    location: str = ""
    depends_on: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evaluated:
    """A template's resources in deployment order and its outputs (name -> `{type, value}`).

    `secure_values` are the texts given for secure parameters: the caller keeps them in its vault.
    """

    resources: tuple[ArmResource, ...]
    outputs: Mapping[str, Json] = field(repr=False)
    secure_values: tuple[str, ...] = field(default=(), repr=False)


def evaluate_template(
    template: Mapping[str, Json], parameters: Mapping[str, Json], environment: Environment | None = None
) -> Evaluated:
    """Evaluate a template with the given parameter values (name -> value).

    Raises TemplateError with JSON path and position, UnsupportedError for what is refused by name, LimitError.
    Results are final: a value that looks like an expression is not evaluated again, and `@...` stays for run time.
    """
    _check_template(template)
    environment = environment or Environment()
    values = TemplateValues(template, parameters, environment)
    deployment = Deployment(environment)
    scope = Scope(values, deployment)
    try:
        deployment.declare(scope, template.get("resources"), "resources")
        deployment.close()
        environment.refuse(deployment.made())
        deployment.refuse_links()
        ordered = [declared for declared in deployment.ordered() if declared.active and not declared.is_deployment]
        resources = tuple(_resource(deployment, declared) for declared in ordered)
        outputs = deployment.outputs(scope, template.get("outputs"), "outputs")
    except RecursionError:
        raise LimitError("The template nests too deep.", cure="Use fewer steps from value to value.") from None
    secrets = (text for value in values.secure_values() for text in _texts(value))
    return Evaluated(resources, outputs, tuple(dict.fromkeys(secrets)))


def read_template(text: str, file: str) -> Json:
    """The value of a template's or parameter file's text; comments are allowed in there."""
    return read_json(text, file, comments=True)


def factories_of(evaluated: Evaluated) -> dict[str, Factory]:
    """The factories of a template, each equal to what a git folder of the same definitions gives.

    A factory is also made when only its children stand in the template, as in Data Factory's own exports.
    """
    names: dict[str, str] = {}
    documents: dict[str, list[tuple[str, dict[str, Json]]]] = {}
    for resource in evaluated.resources:
        kind, own = _kind_of(resource.type)
        if not own:
            continue
        factory, _, rest = resource.name.partition("/")
        names.setdefault(factory.lower(), factory)
        entry = documents.setdefault(factory.lower(), [])
        if kind == "factory":
            dropped = ("type", "apiVersion")
            entry.append(("factory", {k: v for k, v in resource.document.items() if k not in dropped}))
        else:
            entry.append((kind, {"name": rest, "properties": resource.properties}))
    return {names[key]: load_documents(names[key], entries) for key, entries in documents.items()}


def _kind_of(full_type: str) -> tuple[str, bool]:
    lower = full_type.lower()
    if lower == _FACTORY_TYPE:
        return "factory", True
    if not lower.startswith(f"{_FACTORY_TYPE}/"):
        return "", False
    segment = full_type[len(_FACTORY_TYPE) + 1 :]
    return _KINDS.get(segment.lower(), segment), True


def _check_template(template: Mapping[str, Json]) -> None:
    if not isinstance(template, dict):
        raise TemplateError("The template is no JSON object.", cure="Give an ARM template.")
    if "deploymentParameters.json" in str(template.get("$schema", "")):
        raise TemplateError("This is a parameter file, not a template.", cure="Give it as the parameters.")
    if not isinstance(template.get("resources"), list | dict):
        raise TemplateError(
            'The template has no "resources".', where="resources", cure="Give an ARM template, or load a git folder."
        )
    check_shape(template, "template")


def _resource(deployment: Deployment, declared: Declared) -> ArmResource:
    document = deployment.document(declared)
    return ArmResource(
        type=declared.type,
        name=declared.name,
        properties=as_object(document.get("properties")),
        document=document,
        path=declared.path,
        api_version=_text(document, "apiVersion", declared.path),
        location=_text(document, "location", declared.path),
        depends_on=deployment.needs_of(declared),
    )


def _text(document: Mapping[str, Json], member: str, path: str) -> str:
    value = document.get(member)
    if value is not None and not isinstance(value, str):
        raise UnsupportedError(f"The {member} is no text.", where=f"{path}.{member}", cure="Write it as a text.")
    return value or ""


def _texts(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    inner: Iterable[Json] = value.values() if isinstance(value, dict) else (value if isinstance(value, list) else ())
    for item in inner:
        yield from _texts(item)
