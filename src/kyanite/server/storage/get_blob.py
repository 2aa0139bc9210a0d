"""Get Blob, Get Blob Properties, Get Blob Metadata.

Small blobs are read at once; larger ones go to the client from their file.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping

from kyanite.errors import StorageError, UserError
from kyanite.server.http import FileBody, Response
from kyanite.server.sending import AT_ONCE_BYTES, PIECE_BYTES, read
from kyanite.server.storage.call import Call, changed
from kyanite.server.storage.checksums import Digests
from kyanite.server.storage.headers import content_headers, http_time, metadata_headers, read_conditions, read_range
from kyanite.server.storage.lease import lease_headers
from kyanite.server.storage.sas import overrides
from kyanite.server.storage.structured_body import is_structured, structured
from kyanite.storage import access_control, leases
from kyanite.storage.conditions import NO_CONDITIONS
from kyanite.storage.properties import APPEND_BLOB, Blob

_CHECKED_RANGE_BYTES = 4 * 1024 * 1024


class RangeRefused(StorageError):
    """A range beyond the end; `headers` tell the size."""

    def __init__(self, message: str, size: int) -> None:
        super().__init__(message, code="InvalidRange")
        self.headers = {"content-range": f"bytes */{size}"}


async def run(call: Call) -> Response:
    """Get Blob, all of it or a range."""
    fd, blob = call.store.open(call.container, call.path)
    keep = False
    try:
        check(call, blob)
        if blob.properties.tier == "Archive":
            raise StorageError("The blob is archived; set another tier first.", code="BlobArchived")
        first, length, response = _ranged(call, blob)
        if is_structured(call):
            keep = True
            structured(response, FileBody(fd, first, length))
        elif checksum := _wanted_checksum(call, length, response.status):
            response.body = await _all(fd, first, length)
            checksum.update(response.body)
            response.headers |= checksum.checked().headers()
        elif length <= AT_ONCE_BYTES:
            response.body = await read(fd, first, length) if length else b""
        else:
            keep = True
            response.body = FileBody(fd, first, length)
        return response
    finally:
        if not keep:
            os.close(fd)


async def head(call: Call) -> Response:
    """Get Blob Properties."""
    blob = call.store.require(call.container, call.path)
    check(call, blob)
    return Response(200, {**describe(call, blob), "content-length": str(blob.size)})


async def metadata(call: Call) -> Response:
    """Get Blob Metadata."""
    blob = call.store.require(call.container, call.path)
    check(call, blob)
    response = changed(blob.etag, blob.modified)
    response.headers |= metadata_headers(shown_metadata(blob))
    return response


def check(call: Call, blob: Blob) -> None:
    """Conditions of a read, and a lease id if one was given."""
    conditions = read_conditions(call.request.headers)
    if conditions is NO_CONDITIONS:
        return
    if conditions.if_none_match == "*":
        raise StorageError("If-None-Match: * makes no sense for a read.", code="UnsupportedHeader")
    conditions.check(blob.etag, blob.modified, reading=True, tags=blob.properties.tags)
    if conditions.lease_id is not None:
        leases.check_read(call.store.lease_of(blob), conditions.lease_id, call.now)


def describe(call: Call, blob: Blob) -> dict[str, str]:
    """All that the headers tell of a blob."""
    properties = blob.properties
    headers = {
        "etag": f'"{blob.etag}"',
        "last-modified": http_time(blob.modified_ns),
        "x-ms-creation-time": http_time(properties.created_ns or blob.modified_ns),
        "x-ms-blob-type": properties.blob_type,
        "x-ms-server-encrypted": "true",
        "accept-ranges": "bytes",
    }
    headers |= content_headers(properties)
    if blob.is_folder or properties.metadata:
        headers |= metadata_headers(shown_metadata(blob))
    headers |= lease_headers(call.store.lease_of(blob), call.now)
    _add_more(headers, call, blob)
    if "sig" in call.request.query:
        headers |= overrides(call.request.query)
    return headers


def shown_metadata(blob: Blob) -> dict[str, str]:
    """The metadata as given; a folder's says that it is one."""
    return {**blob.properties.metadata, "hdi_isfolder": "true"} if blob.is_folder else {**blob.properties.metadata}


def _add_more(found: dict[str, str], call: Call, blob: Blob) -> None:
    properties = blob.properties
    if properties.blob_type == APPEND_BLOB:
        found["x-ms-blob-committed-block-count"] = str(properties.blocks)
        found["x-ms-blob-sealed"] = str(properties.sealed).lower()
    else:
        found["x-ms-access-tier"] = properties.tier or "Hot"
        found["x-ms-access-tier-inferred"] = "false" if properties.tier else "true"
    if properties.tags:
        found["x-ms-tag-count"] = str(len(properties.tags))
    for name, value in properties.copy.items():
        found[f"x-ms-copy-{name}"] = value
    if call.account.hierarchical:
        found["x-ms-resource-type"] = "directory" if blob.is_folder else "file"
        found |= _access_headers(properties.access, blob.is_folder) if properties.access else _untouched(blob.is_folder)


def _access_headers(access: Mapping[str, str], is_folder: bool) -> dict[str, str]:
    return {f"x-ms-{name}": value for name, value in access_control.shown(access, is_folder=is_folder).items()}


@functools.cache
def _untouched(is_folder: bool) -> dict[str, str]:
    return _access_headers({}, is_folder)


def _ranged(call: Call, blob: Blob) -> tuple[int, int, Response]:
    headers = describe(call, blob)
    text = call.header("x-ms-range") or call.header("range")
    try:
        found = read_range(text, blob.size) if text else None
    except StorageError as problem:
        raise RangeRefused(problem.message, blob.size) from problem
    if found is None:
        headers["content-length"] = str(blob.size)
        if "content-md5" in headers:
            headers["x-ms-blob-content-md5"] = headers["content-md5"]
        return 0, blob.size, Response(200, headers)
    first, length = found
    headers["content-length"] = str(length)
    headers["content-range"] = f"bytes {first}-{first + length - 1}/{blob.size}"
    md5 = headers.pop("content-md5", None)
    if md5:
        headers["x-ms-blob-content-md5"] = md5
    return first, length, Response(206, headers)


def _wanted_checksum(call: Call, length: int, status: int) -> Digests | None:
    """What an answer with a checksum of its own bytes needs, None for the others."""
    md5 = call.header("x-ms-range-get-content-md5").lower() == "true"
    crc64 = call.header("x-ms-range-get-content-crc64").lower() == "true"
    if not md5 and not crc64:
        return None
    if md5 and crc64:
        raise UserError("A range is answered with an MD5 or with a CRC64.", code="InvalidInput")
    if status != 206 or length > _CHECKED_RANGE_BYTES:
        raise UserError("A checksum is given for ranges of at most 4 MiB.", code="OutOfRangeInput")
    return Digests(md5=md5, crc64=crc64)


async def _all(fd: int, first: int, length: int) -> bytes:
    return b"".join(
        [await read(fd, at, min(PIECE_BYTES, first + length - at)) for at in range(first, first + length, PIECE_BYTES)]
    )
