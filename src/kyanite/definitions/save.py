"""Factory -> documents of a git folder."""

from __future__ import annotations

from typing import Any

from kyanite.definitions.model import Factory, Resource
from kyanite.errors import DefinitionError

Json = Any


def folder_files(factory: Factory) -> dict[str, dict[str, Json]]:
    """Relative path -> document in the layout of a git folder; loading them gives an equal factory.

    Documents are those read, unknown members included. A resource keeps the file it came from.
    """
    files: dict[str, dict[str, Json]] = {}
    for resource in factory.resources:
        files[_file_of(resource, factory.name)] = _document_of(resource)
    if factory.document:
        files[factory.place] = dict(factory.document)
    return dict(sorted(files.items()))


def _file_of(resource: Resource, factory: str) -> str:
    if resource.file is not None:
        return resource.file
    if "\\" in resource.name or "\0" in resource.name or ".." in resource.name.split("/"):
        raise DefinitionError(
            f"The {resource.kind} {resource.name!r} cannot be a file.", cure="Rename it: letters, digits, spaces, _ -."
        )
    if resource.kind == "managedPrivateEndpoint" and resource.name.count("/") == 1:
        network, name = resource.name.split("/")
        return f"managedVirtualNetwork/{network}/managedPrivateEndpoint/{name}.json"
    if resource.kind == "globalParameters":
        return f"globalParameters/{factory}_GlobalParameters.json"
    if "/" in resource.name:
        raise DefinitionError(f"The {resource.kind} {resource.name!r} cannot be a file.", cure="Remove the slash.")
    return f"{resource.kind}/{resource.name}.json"


def _document_of(resource: Resource) -> dict[str, Json]:
    if resource.kind == "globalParameters" and set(resource.document) == {"name", "properties"}:
        return resource.properties
    return dict(resource.document)
