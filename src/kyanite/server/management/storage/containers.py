"""Blob containers as resources of an account."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

from kyanite.errors import StorageError, UserError
from kyanite.server.http import Response
from kyanite.server.management.arm import ArmCall, ArmError
from kyanite.server.management.storage.accounts import account_id, blocking, read_document, required
from kyanite.server.storage.headers import read_metadata
from kyanite.storage import StorageAccount, containers
from kyanite.storage.containers import Container

Json = Any


@blocking
def list_services(call: ArmCall) -> Response:
    """The one Blob service of an account."""
    return Response.json({"value": [_service(call, required(call))]})


@blocking
def get_service(call: ArmCall) -> Response:
    """The Blob service: nothing of it can be set."""
    return Response.json(_service(call, required(call)))


def _service(call: ArmCall, account: StorageAccount) -> dict[str, Json]:
    return {
        "id": f"{_base(call, account)}/blobServices/default",
        "name": "default",
        "type": "Microsoft.Storage/storageAccounts/blobServices",
        "sku": {"name": "Standard_LRS", "tier": "Standard"},
        "properties": {"cors": {"corsRules": []}, "deleteRetentionPolicy": {"enabled": False}},
    }


@blocking
def list_all(call: ArmCall) -> Response:
    """The containers of an account."""
    account = required(call)
    found = []
    for name in containers.names(account.blobs):
        with suppress(StorageError):  # deleted just now
            found.append(containers.get(account.blobs, name))
    return Response.json({"value": [_wire(call, account, each) for each in found]})


@blocking
def get(call: ArmCall) -> Response:
    """One container; ContainerNotFound."""
    account = required(call)
    return Response.json(_wire(call, account, _container(call, account)))


@blocking
def put(call: ArmCall) -> Response:
    """Make a container (201); one that exists is answered as it is (200)."""
    account = required(call)
    properties = call.part("properties")
    if str(properties.get("publicAccess", "None")).lower() != "none":
        raise ArmError("Public access is not supported.", code="PublicAccessNotPermitted", status=409)
    metadata = _metadata(properties) or {}
    try:
        made = containers.create(account.blobs, call.names["container"], metadata)
    except StorageError as error:
        if error.error_code != "ContainerAlreadyExists":
            raise
        return Response.json(_wire(call, account, _container(call, account)))
    return Response.json(_wire(call, account, made), 201)


@blocking
def patch(call: ArmCall) -> Response:
    """Replace the metadata."""
    account = required(call)
    container = _container(call, account)
    metadata = _metadata(call.part("properties"))
    if metadata is not None:
        container = containers.change(account.blobs, container.name, lambda old: replace(old, metadata=metadata))
    return Response.json(_wire(call, account, container))


@blocking
def delete(call: ArmCall) -> Response:
    """Delete a container with all that is in it; 204 when there is none."""
    account = required(call)
    if call.names["container"] not in containers.names(account.blobs):
        return Response(204)
    containers.delete(account.blobs, call.names["container"])
    return Response(200)


def _metadata(properties: dict[str, Json]) -> dict[str, str] | None:
    metadata = properties.get("metadata")
    if metadata is None:
        return None
    if not isinstance(metadata, dict) or not all(isinstance(each, str) for each in metadata.values()):
        raise ArmError("metadata has texts for values.", code="InvalidRequestContent", status=400, target="metadata")
    for name, value in metadata.items():
        if not value.isascii() or not value.isprintable():  # they become headers of the Blob service
            raise ArmError(
                f"The value of the metadata {name[:100]!r} is no printable ASCII text.",
                code="InvalidMetadata",
                status=400,
                target="metadata",
            )
    try:
        read_metadata({f"x-ms-meta-{name}": value for name, value in metadata.items()})
    except UserError as error:
        raise ArmError(str(error), code=error.error_code, status=400, target="metadata") from None
    return metadata


def _container(call: ArmCall, account: StorageAccount) -> Container:
    name = call.names["container"]
    if name not in containers.names(account.blobs):
        raise ArmError("The specified container does not exist.", code="ContainerNotFound", status=404)
    return containers.get(account.blobs, name)


def _base(call: ArmCall, account: StorageAccount) -> str:
    return account_id(call, account.name, read_document(call.context.workspace, account.name))


def _wire(call: ArmCall, account: StorageAccount, container: Container) -> dict[str, Json]:
    return {
        "id": f"{_base(call, account)}/blobServices/default/containers/{container.name}",
        "name": container.name,
        "type": "Microsoft.Storage/storageAccounts/blobServices/containers",
        "etag": f'"{container.etag}"',
        "properties": {
            "publicAccess": "None",
            "metadata": dict(container.metadata),
            "lastModifiedTime": container.modified.isoformat(),
            "hasImmutabilityPolicy": False,
            "hasLegalHold": False,
        },
    }
