"""Reading in the Data Lake service: the bytes of a file, and what is known of files and folders."""

from __future__ import annotations

import asyncio
import os
import re

from kyanite.errors import StorageError
from kyanite.server.http import FileBody, Response
from kyanite.server.storage.datalake import Call
from kyanite.server.storage.dfs_wire import (
    bad_parameter,
    conditions,
    properties_text,
    status_headers,
    version_headers,
)
from kyanite.server.storage.headers import read_range
from kyanite.server.storage.sas import overrides
from kyanite.storage import leases
from kyanite.storage.access_control import shown
from kyanite.storage.properties import Blob

_RIGHTS = re.compile(r"[r-][w-][x-]\Z")


async def read(call: Call) -> Response:
    """The bytes of a file, or a range of them; a folder has none."""
    call.require("r")
    blob = await asyncio.to_thread(_looked_up, call)
    headers = _properties(call, blob)
    if blob.is_folder:
        return Response(200, headers)
    fd, blob = await asyncio.to_thread(call.store.open, call.filesystem, call.path)
    try:
        text = call.request.headers.get("x-ms-range") or call.request.headers.get("range", "")
        part = read_range(text, blob.size) if text else None
    except BaseException:
        os.close(fd)
        raise
    first, length = part or (0, blob.size)
    headers |= version_headers(blob) | {"content-length": str(length)}
    if part is None:
        return Response(200, headers, FileBody(fd, first, length))
    if "content-md5" in headers:
        headers["x-ms-content-md5"] = headers.pop("content-md5")
    headers["content-range"] = f"bytes {first}-{first + length - 1}/{blob.size}"
    return Response(206, headers, FileBody(fd, first, length))


async def get_properties(call: Call) -> Response:
    """All that is known of a file or folder."""
    call.require("r")
    return Response(200, _properties(call, await asyncio.to_thread(_looked_up, call)))


async def get_status(call: Call) -> Response:
    """All that is known of a file or folder but for the metadata that the user gave it."""
    call.require("er")
    return Response(200, _status(call, await asyncio.to_thread(_looked_up, call)))


async def get_access_control(call: Call) -> Response:
    """Owner, group, permissions and the access control list."""
    call.require("er")
    blob = await asyncio.to_thread(_looked_up, call)
    access = shown(blob.properties.access, is_folder=blob.is_folder)
    return Response(200, {**version_headers(blob), **{f"x-ms-{name}": value for name, value in access.items()}})


async def check_access(call: Call) -> Response:
    """Whether who asks may read, write or walk through: whoever has a key may."""
    wanted = call.request.query.get("fsaction")
    if not _RIGHTS.match(wanted):
        raise bad_parameter("fsAction", "it is not of the form rwx")
    blob = await asyncio.to_thread(_looked_up, call)
    if "w" in wanted:
        call.require("w")
    elif wanted != "---":
        call.require("er")
    return Response(200, version_headers(blob))


def _properties(call: Call, blob: Blob) -> dict[str, str]:
    headers = _status(call, blob)
    if blob.properties.metadata:
        headers["x-ms-properties"] = properties_text(blob.properties.metadata)
    return {**headers, **overrides(call.request.query)}


def _status(call: Call, blob: Blob) -> dict[str, str]:
    lease = call.store.lease_of(blob)
    return {**status_headers(blob, lease, call.context.clock()), "content-length": str(blob.size)}


def _looked_up(call: Call) -> Blob:
    wanted = conditions(call.request)
    blob = find(call)
    wanted.check(blob.etag, blob.modified, reading=True, tags=blob.properties.tags)
    leases.check_read(call.store.lease_of(blob), wanted.lease_id, call.context.clock())
    return blob


def find(call: Call) -> Blob:
    """The file or folder that a call names; `PathNotFound`, also below a file."""
    try:
        found = call.store.get(call.filesystem, call.path)
    except StorageError as problem:
        if problem.error_code != "PathConflict":
            raise
        found = None
    if found is None:
        raise StorageError("The specified path does not exist.", code="PathNotFound")
    return found
