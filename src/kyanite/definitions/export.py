"""A factory as an ARM template that Azure accepts, in the shape of Data Factory's own export.

Names are made of the parameter `factoryName`; every secret is a parameter without a value, so that the template holds
none. Deploying it with the same values gives an equal factory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kyanite.definitions.check_references import find_references
from kyanite.definitions.model import ARM_SEGMENTS, Factory, Resource

Json = Any
SCHEMA = "https://schema.management.azure.com/schemas/2015-01-01/deploymentTemplate.json#"
PARAMETERS_SCHEMA = "https://schema.management.azure.com/schemas/2015-01-01/deploymentParameters.json#"
API_VERSION = "2018-06-01"
_TYPE = "Microsoft.DataFactory/factories"
_KIND_OF_REFERENCE = {
    "CredentialReference": "credential",
    "DataFlowReference": "dataflow",
    "DatasetReference": "dataset",
    "IntegrationRuntimeReference": "integrationRuntime",
    "LinkedServiceReference": "linkedService",
    "PipelineReference": "pipeline",
    "TriggerReference": "trigger",
}
_ODD = re.compile(r"[^A-Za-z0-9]+")


@dataclass
class ExportedTemplate:
    """The template, and the values its secure parameters have here (name -> text), to be kept apart from it."""

    template: dict[str, Json]
    secrets: dict[str, str] = field(default_factory=dict, repr=False)

    def parameter_file(self) -> dict[str, Json]:
        """A parameter file with the factory's name and an empty place for each secret."""
        declared = self.template["parameters"]
        values = {name: {"value": each.get("defaultValue", "")} for name, each in declared.items()}
        return {"$schema": PARAMETERS_SCHEMA, "contentVersion": "1.0.0.0", "parameters": values}


def export_template(factory: Factory, holds_secret: Callable[[str], bool]) -> ExportedTemplate:
    """The template of a factory; `holds_secret` says of a text whether a secret stands in it."""
    exported = ExportedTemplate(
        {
            "$schema": SCHEMA,
            "contentVersion": "1.0.0.0",
            "parameters": {"factoryName": {"type": "string", "defaultValue": factory.name}},
            "variables": {"factoryId": f"[concat('{_TYPE}/', parameters('factoryName'))]"},
            "resources": [],
        }
    )
    resources = exported.template["resources"]
    known = {(resource.kind, resource.name.lower()): resource for resource in factory.resources}
    resources.append(_factory(factory))
    for resource in factory.resources:
        segment = ARM_SEGMENTS.get(resource.kind, resource.kind)
        secrets = _Secrets(resource, exported, holds_secret)
        resources.append(
            {
                "name": f"[concat(parameters('factoryName'), '/{_quoted(resource.name)}')]",
                "type": f"{_TYPE}/{segment}",
                "apiVersion": API_VERSION,
                "properties": secrets.moved(dict(resource.properties)),
                "dependsOn": sorted(set(_needs(resource, known))),
            }
        )
    return exported


def _factory(factory: Factory) -> dict[str, Json]:
    document: Mapping[str, Json] = factory.document or {}
    kept = {key: value for key, value in document.items() if key in ("location", "identity", "tags")}
    properties = document.get("properties")
    return {
        "name": "[parameters('factoryName')]",
        "type": _TYPE,
        "apiVersion": API_VERSION,
        "location": "[resourceGroup().location]",
        **{key: _literal(value) for key, value in kept.items() if key != "location"},
        "properties": _literal(dict(properties)) if isinstance(properties, dict) else {},
    }


def _needs(resource: Resource, known: Mapping[tuple[str, str], Resource]) -> Iterator[str]:
    for _, expected, raw in find_references(resource):
        if not isinstance(raw, dict) or not isinstance(raw.get("referenceName"), str):
            continue
        kind = _KIND_OF_REFERENCE.get(str(raw.get("type") or expected), "")
        target = known.get((kind, raw["referenceName"].lower()))
        if target is not None and target is not resource:
            yield f"[concat(variables('factoryId'), '/{ARM_SEGMENTS[kind]}/{_quoted(target.name)}')]"


class _Secrets:
    """Takes the secrets of one resource out of its properties."""

    def __init__(self, resource: Resource, exported: ExportedTemplate, holds_secret: Callable[[str], bool]) -> None:
        self._resource = resource
        self._exported = exported
        self._holds_secret = holds_secret

    def moved(self, value: Json, path: tuple[str, ...] = ()) -> Json:
        """The value with each secret text replaced by a parameter."""
        if isinstance(value, dict):
            if value.get("type") == "SecureString" and isinstance(value.get("value"), str):
                return {**value, "value": self._parameter(path, value["value"])}
            return {_key(key): self.moved(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.moved(item, (*path, str(index))) for index, item in enumerate(value)]
        if isinstance(value, str) and self._holds_secret(value):
            return self._parameter(path, value)
        return _literal(value)

    def _parameter(self, path: tuple[str, ...], text: str) -> str:
        steps = [step for step in path if step not in ("typeProperties", "value")]
        base = _ODD.sub("_", "_".join((self._resource.name, *steps))).strip("_")
        name, number = base, 2
        declared = self._exported.template["parameters"]
        while name in declared:
            name, number = f"{base}_{number}", number + 1
        declared[name] = {
            "type": "secureString",
            "metadata": {"description": f"Secret of the {self._resource.kind} '{self._resource.name}'"},
        }
        self._exported.secrets[name] = text
        return f"[parameters('{name}')]"


def _literal(value: Json) -> Json:
    """A value that the template language leaves as it is: a text that begins with `[` gets a second one."""
    if isinstance(value, dict):
        return {_key(key): _literal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_literal(item) for item in value]
    return f"[{value}" if isinstance(value, str) and value.startswith("[") else value


def _key(name: str) -> str:
    return f"[{name}" if name.startswith("[") else name


def _quoted(name: str) -> str:
    return name.replace("'", "''")
