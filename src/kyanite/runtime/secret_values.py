"""Finding the secrets in definitions and values, so that the vault can seal them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kyanite.definitions.model import Factory, Pipeline

Json = Any

_IN_CONNECTION_STRING = re.compile(r"(?:AccountKey|SharedAccessSignature|Password|Pwd)=([^;]+)", re.IGNORECASE)
_SECRET_MEMBERS = frozenset(
    {"accesskey", "accountkey", "encryptedcredential", "password", "sastoken", "serviceprincipalkey", "clientsecret"}
)


def factory_secrets(factory: Factory) -> dict[str, str]:
    """Every secret value written in a factory, by a name that says where it stands."""
    found: dict[str, str] = {}
    for resource in factory.resources:
        base = f"factory/{factory.name}/{resource.kind}/{resource.name}"
        for path, value in secure_strings(resource.properties):
            found[f"{base}{path}"] = value
        if resource.kind == "linkedService":
            for path, value in _credentials(resource.type_properties):
                found[f"{base}{path}"] = value
    return found


def document_secrets(factory: Factory, *, unlike: Factory | None = None) -> dict[str, str]:
    """The secrets of a factory, declared defaults of SecureString parameters included; those of `unlike` left out."""
    known = {} if unlike is None else document_secrets(unlike)
    found = factory_secrets(factory)
    for resource in factory.resources:
        for name, parameter in resource.parameters.items():
            if parameter.secure and isinstance(parameter.default, str):
                found[f"factory/{factory.name}/{resource.kind}/{resource.name}/parameters/{name}"] = parameter.default
    return {name: value for name, value in found.items() if known.get(name) != value}


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
