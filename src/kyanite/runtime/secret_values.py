"""Finding the secrets in definitions and values, so that the vault can seal them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kyanite.definitions.model import Factory, Pipeline, Resource
from kyanite.definitions.problem import Problem, warning
from kyanite.limits import SECRET_MINIMUM_CHARACTERS

Json = Any

_IN_CONNECTION_STRING = re.compile(r"(?:AccountKey|SharedAccessSignature|Password|Pwd)=([^;]+)", re.IGNORECASE)
_SECRET_MEMBERS = frozenset(
    {"accesskey", "accountkey", "encryptedcredential", "password", "sastoken", "serviceprincipalkey", "clientsecret"}
)


def factory_secrets(factory: Factory, *, unlike: Factory | None = None) -> dict[str, str]:
    """Every secret written in a factory, by a name that says where it stands; those of `unlike` left out."""
    known = {} if unlike is None else factory_secrets(unlike)
    found = {
        f"factory/{factory.name}/{resource.kind}/{resource.name}{path}": value
        for resource, path, value in _written(factory)
    }
    return {name: value for name, value in found.items() if known.get(name) != value}


def short_secrets(factory: Factory) -> list[Problem]:
    """A warning for each secret of a factory that the vault takes for ordinary text."""
    return [_short(resource, path) for resource, path, value in _written(factory) if _is_short(value)]


def short_parameters(pipeline: Pipeline, parameters: Mapping[str, Json]) -> list[Problem]:
    """The same for the values of a run's SecureString parameters."""
    declared = pipeline.parameters
    secure = [name for name in parameters if name in declared and declared[name].secure]
    return [_short(pipeline, f"/parameters/{name}") for name in secure if _is_short(parameters[name])]


def _is_short(value: Json) -> bool:
    return isinstance(value, str) and 0 < len(value) < SECRET_MINIMUM_CHARACTERS


def _short(resource: Resource, path: str) -> Problem:
    return warning(
        "ShortSecret",
        resource.place,
        "properties" + path.replace("/", "."),
        f"A secret of fewer than {SECRET_MINIMUM_CHARACTERS} characters is not kept out of files and logs.",
        "Use a longer one.",
    )


def _written(factory: Factory) -> Iterator[tuple[Resource, str, str]]:
    """(resource, path in its properties, value): SecureStrings, credentials, defaults of SecureString parameters."""
    for resource in factory.resources:
        for path, value in secure_strings(resource.properties):
            yield resource, path, value
        if resource.kind == "linkedService":
            for path, value in _credentials(resource.type_properties, "/typeProperties"):
                yield resource, path, value
        for name, parameter in resource.parameters.items():
            if parameter.secure and isinstance(parameter.default, str):
                yield resource, f"/parameters/{name}", parameter.default


def parameter_secrets(pipeline: Pipeline, parameters: Mapping[str, Json]) -> dict[str, str]:
    """The values of a run's SecureString parameters."""
    return named_by_value(
        value
        for name, value in parameters.items()
        if isinstance(value, str) and name in pipeline.parameters and pipeline.parameters[name].secure
    )


def named_by_value(values: Iterable[str]) -> dict[str, str]:
    """Vault entries for values without a lasting place; a value that comes again keeps its name."""
    return {f"value/{hashlib.sha256(value.encode(errors='replace')).hexdigest()[:32]}": value for value in values}


def secure_strings(value: Json, path: str = "") -> Iterator[tuple[str, str]]:
    """(JSON path, text) of every `{"type": "SecureString", "value": ...}` in a value."""
    if isinstance(value, dict):
        if value.get("type") == "SecureString" and isinstance(value.get("value"), str):
            yield path, value["value"]
            return
        for key, item in value.items():
            yield from secure_strings(item, f"{path}/{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from secure_strings(item, f"{path}/{index}")


def _credentials(value: Json, path: str = "") -> Iterator[tuple[str, str]]:
    """Plain credentials of a linked service: keys inside connection strings and members that hold nothing else."""
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, str) and key.casefold() in _SECRET_MEMBERS and not item.startswith("@"):
                yield f"{path}/{key}", item
            else:
                yield from _credentials(item, f"{path}/{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _credentials(item, f"{path}/{index}")
    elif isinstance(value, str):
        for match in _IN_CONNECTION_STRING.finditer(value):
            yield path, match[1]
