"""Append Block, Append Block From URL, Append Blob Seal."""

from __future__ import annotations

from dataclasses import replace

from kyanite.errors import StorageError, UserError
from kyanite.limits import APPEND_BLOCK_BYTES
from kyanite.server.http import Response
from kyanite.server.storage.body import receive
from kyanite.server.storage.call import Call, changed
from kyanite.server.storage.checksums import Checksum
from kyanite.server.storage.copy_source import fetch_into
from kyanite.server.storage.headers import read_conditions
from kyanite.storage import appending
from kyanite.storage.properties import APPEND_BLOB, Blob
from kyanite.storage.staged import Staged


async def append(call: Call) -> Response:
    """Append Block."""
    _require(call)
    if not call.request.content_length:
        raise UserError("An appended block has at least one byte.", code="InvalidHeaderValue")
    with call.store.stage() as staged:
        checksum = await receive(call, staged, APPEND_BLOCK_BYTES)
        if not staged.size:
            raise UserError("An appended block has at least one byte.", code="InvalidHeaderValue")
        return await _append(call, staged, checksum)


async def append_from_url(call: Call) -> Response:
    """Append Block From URL."""
    _require(call)
    with call.store.stage() as staged:
        source = await fetch_into(call, staged, call.header("x-ms-source-range"))
        if staged.size > APPEND_BLOCK_BYTES:
            raise StorageError("The source is larger than one append may be.", code="RequestBodyTooLarge")
        return await _append(call, staged, source.checksum)


async def seal(call: Call) -> Response:
    """Append Blob Seal: it can be read and deleted, never appended to."""
    at = call.number("x-ms-blob-condition-appendpos")

    def fits(blob: Blob) -> None:
        if blob.properties.blob_type != APPEND_BLOB:
            raise StorageError("The blob type is invalid for this operation.", code="InvalidBlobType")
        if at is not None and at != blob.size:
            raise StorageError("The append position condition is not met.", code="AppendPositionConditionNotMet")

    blob = call.store.change(
        call.container,
        call.path,
        lambda properties: replace(properties, sealed=True),
        read_conditions(call.request.headers),
        check=fits,
    )
    return changed(blob.etag, blob.modified, x_ms_blob_sealed="true")


def _require(call: Call) -> None:
    if call.store.require(call.container, call.path).properties.blob_type != APPEND_BLOB:
        raise StorageError("The blob type is invalid for this operation.", code="InvalidBlobType")


async def _append(call: Call, staged: Staged, checksum: Checksum) -> Response:
    limits = appending.AppendLimits(
        call.number("x-ms-blob-condition-appendpos"), call.number("x-ms-blob-condition-maxsize")
    )
    conditions = read_conditions(call.request.headers)
    blob, offset = await call.in_thread(
        appending.append, call.store, call.container, call.path, staged, conditions, limits
    )
    response = changed(blob.etag, blob.modified, 201, x_ms_request_server_encrypted="true")
    response.headers |= {
        "x-ms-blob-append-offset": str(offset),
        "x-ms-blob-committed-block-count": str(blob.properties.blocks),
    }
    response.headers |= checksum.headers()
    return response
