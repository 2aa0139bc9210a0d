"""References from an activity to datasets and linked services, with their arguments put in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kyanite.definitions.model import MISSING, Factory, Resource
from kyanite.errors import ParameterError
from kyanite.expressions import Scope, evaluate

Json = Any


def resolve_linked_service(factory: Factory, reference: Mapping[str, Json]) -> dict[str, Json]:
    """The linked service behind a reference as `{"name", "type", "typeProperties"}`, expressions evaluated.

    Raises NotFoundError for an unknown name, ParameterError for a missing argument, ExpressionError.
    """
    resource = factory.linked_services[_name(reference, "linked service")]
    arguments = _arguments(resource, reference)
    return {
        "name": resource.name,
        "type": resource.type,
        "typeProperties": evaluate(dict(resource.type_properties), Scope(linked_service=arguments)),
    }


def resolve_dataset(factory: Factory, reference: Mapping[str, Json]) -> tuple[dict[str, Json], dict[str, Json]]:
    """The dataset behind a reference and its linked service, both as `{"name", "type", "typeProperties"}`."""
    resource = factory.datasets[_name(reference, "dataset")]
    scope = Scope(dataset=_arguments(resource, reference))
    linked = evaluate(resource.properties.get("linkedServiceName") or {}, scope)
    dataset = {
        "name": resource.name,
        "type": resource.type,
        "typeProperties": evaluate(dict(resource.type_properties), scope),
    }
    return dataset, resolve_linked_service(factory, linked)


def _name(reference: Mapping[str, Json], what: str) -> str:
    name = reference.get("referenceName")
    if not isinstance(name, str) or not name:
        raise ParameterError(f"A reference to a {what} has no referenceName.")
    return name


def _arguments(resource: Resource, reference: Mapping[str, Json]) -> dict[str, Json]:
    given = {str(key).casefold(): value for key, value in (reference.get("parameters") or {}).items()}
    values: dict[str, Json] = {}
    missing = []
    for name, parameter in resource.parameters.items():
        if name.casefold() in given:
            values[name] = given[name.casefold()]
        elif parameter.default is MISSING:
            missing.append(name)
        else:
            values[name] = parameter.default
    if missing:
        raise ParameterError(
            f"The reference to {resource.kind} '{resource.name}' gives no value for {', '.join(missing)}.",
            where=resource.place,
        )
    return values
