"""The files of a Custom activity: the program's own from storage, and the three JSON files that describe the run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kyanite.activities.context import ActivityContext
from kyanite.activities.references import resolve_dataset, resolve_linked_service
from kyanite.batch.model import ResourceFile
from kyanite.connections import Connection, open_connection
from kyanite.connections.embedded import EmbeddedConnection
from kyanite.errors import ActivityError, StorageError

Json = Any
JOBS_CONTAINER = "adfjobs"


@dataclass(frozen=True, slots=True)
class JobFolder:
    """`adfjobs/<activity run id>/` in the storage account of an AzureBatch linked service."""

    connection: Connection
    root: str

    @classmethod
    def open(cls, context: ActivityContext, pool: Mapping[str, Json]) -> JobFolder:
        """The folder of this attempt; the container is made when it is not there (in an account of the workspace)."""
        reference = pool["typeProperties"].get("linkedServiceName")
        if not isinstance(reference, Mapping):
            raise ActivityError(
                f"Linked service '{pool['name']}' names no storage linked service (linkedServiceName).", code="2103"
            )
        connection = _storage(context, reference)
        if isinstance(connection, EmbeddedConnection):
            connection.account.create_container(JOBS_CONTAINER)
        return cls(connection, f"{JOBS_CONTAINER}/{context.activity_run_id}")

    def write(self, name: str, pieces: Iterable[bytes]) -> str:
        """Put a file into the folder, piece by piece; its address."""
        path = f"{self.root}/{name}"
        try:
            with self.connection.open_write(path) as out:
                for piece in pieces:
                    out.write(piece)
                out.commit()
        except StorageError as error:
            raise ActivityError(str(error), code="2502") from error
        return self.connection.url(path)


def _storage(context: ActivityContext, reference: Mapping[str, Json]) -> Connection:
    linked_service = resolve_linked_service(context.factory, reference)
    try:
        return open_connection(linked_service, context.services.accounts)
    except StorageError as error:
        raise ActivityError(str(error), code="2502") from error


def resource_files(context: ActivityContext) -> tuple[ResourceFile, ...]:
    """Every file below `folderPath` of the resource linked service, flattened into one folder."""
    reference = context.type_properties.get("resourceLinkedService")
    folder = context.type_properties.get("folderPath")
    if not reference and not folder:
        return ()
    if not isinstance(reference, Mapping) or not isinstance(folder, str) or not folder.strip("/"):
        raise ActivityError(
            f"Custom '{context.name}' needs resourceLinkedService and folderPath together, or neither.", code="2103"
        )
    connection = _storage(context, reference)
    try:
        entries = [entry for entry in connection.list(folder) if not entry.is_folder]
    except StorageError as error:
        code = "2507" if error.error_code.endswith("NotFound") else "2502"
        raise ActivityError(f"The folder path '{folder}' cannot be read: {error}", code=code) from error
    if not entries:
        raise ActivityError(f"The folder path '{folder}' holds no files.", code="2507")
    named: dict[str, str] = {}
    for entry in entries:
        name = entry.path.rsplit("/", 1)[-1]
        if name in named:
            raise ActivityError(
                f"The folder path '{folder}' holds two files named '{name}': {named[name]} and {entry.path}; "
                "all files go into one folder on the node.",
                code="2508",
            )
        named[name] = entry.path
    return tuple(_resource_file(connection, name, path) for name, path in sorted(named.items()))


def _resource_file(connection: Connection, name: str, path: str) -> ResourceFile:
    if isinstance(connection, EmbeddedConnection):
        return ResourceFile(file_path=name, http_url=connection.url(path))
    with connection.open_read(path) as source:
        return ResourceFile(file_path=name, content=source.read())


def reference_files(context: ActivityContext, folder: JobFolder) -> tuple[ResourceFile, ...]:
    """`activity.json`, `linkedServices.json` and `datasets.json` with real values for the task's own folder.

    The copies kept in `adfjobs/<id>/runtime/` are masked; those on the node are removed when the task ends.
    """
    references = context.type_properties.get("referenceObjects") or {}
    linked = [_linked_service(context, item) for item in references.get("linkedServices") or ()]
    datasets = [_dataset(context, item) for item in references.get("datasets") or ()]
    activity = {**context.definition.document, "typeProperties": dict(context.type_properties)}
    contents = {"activity.json": activity, "datasets.json": datasets, "linkedServices.json": linked}
    files = []
    for name, value in contents.items():
        masked = context.services.vault.mask_json(value)
        folder.write(f"runtime/{name}", [_text(masked)])
        files.append(ResourceFile(file_path=name, content=_text(value), keep=False))
    return tuple(files)


def _text(value: Json) -> bytes:
    return json.dumps(value, indent=2, ensure_ascii=False).encode("utf-8")


def _linked_service(context: ActivityContext, reference: Mapping[str, Json]) -> dict[str, Json]:
    resolved = resolve_linked_service(context.factory, reference)
    return {
        "name": resolved["name"],
        "properties": {"type": resolved["type"], "typeProperties": resolved["typeProperties"]},
    }


def _dataset(context: ActivityContext, reference: Mapping[str, Json]) -> dict[str, Json]:
    dataset, linked_service = resolve_dataset(context.factory, reference)
    return {
        "name": dataset["name"],
        "properties": {
            "type": dataset["type"],
            "linkedServiceName": {"referenceName": linked_service["name"], "type": "LinkedServiceReference"},
            "typeProperties": dataset["typeProperties"],
        },
    }
