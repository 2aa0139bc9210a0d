"""Filesystems of the Data Lake service (the Blob service's containers) and what is in them."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from kyanite.errors import StorageError
from kyanite.limits import LIST_RESULTS
from kyanite.server.http import Response
from kyanite.server.storage.datalake import Call
from kyanite.server.storage.dfs_wire import (
    bad_parameter,
    conditions,
    flag,
    lease_headers,
    listed,
    number,
    properties_text,
    read_properties,
)
from kyanite.server.storage.headers import http_date
from kyanite.storage import containers, hierarchy
from kyanite.storage.containers import Container
from kyanite.storage.model import check_container_name


async def list_filesystems(call: Call) -> Response:
    """All filesystems of the account whose names begin with `prefix`, page by page."""
    call.access.require("l", resource="s", service_sas=False)
    prefix, after, most = call.request.query.get("prefix"), read_token(call), page_size(call)

    def page() -> list[Container]:
        names = [name for name in containers.names(call.store) if name.startswith(prefix) and name > after]
        return [containers.get(call.store, name) for name in names[: most + 1]]

    found = await asyncio.to_thread(page)
    items = [{"name": each.name, "lastModified": http_date(each.modified), "etag": each.etag} for each in found[:most]]
    return Response.json({"filesystems": items}, headers=_continued(found[most - 1].name if len(found) > most else ""))


async def create(call: Call) -> Response:
    """Make a filesystem; `FilesystemAlreadyExists` when there is one of that name."""
    call.require_filesystem("cw")
    metadata = read_properties(call.request.headers.get("x-ms-properties", ""))
    made = await asyncio.to_thread(containers.create, call.store, call.filesystem, metadata)
    return Response(201, {**_version(made), "x-ms-namespace-enabled": "true"})


async def get_properties(call: Call) -> Response:
    """Metadata, version and lease of a filesystem."""
    call.require_filesystem("r")
    found = await asyncio.to_thread(_require, call)
    lease = containers.lease_of(call.store, call.filesystem)
    headers = {
        **_version(found),
        **lease_headers(lease, call.context.clock()),
        "x-ms-namespace-enabled": "true",
        "x-ms-default-encryption-scope": "$account-encryption-key",
        "x-ms-deny-encryption-scope-override": "false",
    }
    if found.metadata:
        headers["x-ms-properties"] = properties_text(found.metadata)
    return Response(200, headers)


async def set_properties(call: Call) -> Response:
    """Other metadata for a filesystem."""
    call.require_filesystem("w")
    _require(call)
    metadata = read_properties(call.request.headers.get("x-ms-properties", ""))
    changed = await asyncio.to_thread(
        containers.change,
        call.store,
        call.filesystem,
        lambda before: replace(before, metadata=metadata),
        conditions(call.request),
    )
    return Response(200, _version(changed))


async def delete(call: Call) -> Response:
    """Remove a filesystem with all in it, at once."""
    call.require_filesystem("d")
    _require(call)
    await asyncio.to_thread(containers.delete, call.store, call.filesystem, conditions(call.request))
    return Response(202)


async def list_paths(call: Call) -> Response:
    """Files and folders of a filesystem or of one of its folders, page by page in the order of their paths."""
    request = call.request
    directory = request.query.get("directory")
    call.require_filesystem("l", directory, service_sas=True)
    if "recursive" not in request.query:
        raise bad_parameter("recursive", "it is missing")
    recursive, after, most = flag(request, "recursive"), read_token(call), page_size(call)
    flag(request, "upn")

    def page() -> list[tuple[str, dict[str, str]]]:
        _require(call)
        folder = call.store.spell(directory)
        if folder and not _is_folder(call, folder):
            raise StorageError("The specified path does not exist.", code="PathNotFound")
        walk: Iterator[tuple[str, dict[str, str]]] = (
            (key, listed(blob))
            for key, blob in hierarchy.paths(call.store, call.filesystem, folder, recursive=recursive, after=after)
        )
        return list(islice(walk, most + 1))

    found = await asyncio.to_thread(page)
    items = [item for _, item in found[:most]]
    return Response.json({"paths": items}, headers=_continued(found[most - 1][0] if len(found) > most else ""))


def page_size(call: Call) -> int:
    """`maxResults`, at most what one answer holds."""
    size = number(call.request, "maxResults", LIST_RESULTS)
    if size < 1:
        raise bad_parameter("maxResults", "it is not a positive number")
    return min(size, LIST_RESULTS)


def read_token(call: Call) -> str:
    """Where the last page ended, from `continuation`."""
    text = call.request.query.get("continuation")
    try:
        return base64.b64decode(text, altchars=b"-_", validate=True).decode()
    except (ValueError, binascii.Error):
        raise bad_parameter("continuation", "it is none of ours") from None


def token(key: str) -> str:
    """The continuation for a page that ended there."""
    return base64.b64encode(key.encode("utf-8", "surrogatepass"), altchars=b"-_").decode()


def _continued(key: str) -> dict[str, str]:
    return {"x-ms-continuation": token(key)} if key else {}


def _version(container: Container) -> dict[str, str]:
    return {"etag": f'"{container.etag}"', "last-modified": http_date(container.modified)}


def _require(call: Call) -> Container:
    check_container_name(call.filesystem)
    return containers.get(call.store, call.filesystem)


def _is_folder(call: Call, folder: str) -> bool:
    try:
        found = call.store.get(call.filesystem, folder)
    except StorageError as problem:
        if problem.error_code != "PathConflict":
            raise
        return False
    return found is not None and found.is_folder
