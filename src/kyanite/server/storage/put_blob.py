"""Put Blob: a whole block blob, or the beginning of an append blob."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kyanite.errors import StorageError, UserError
from kyanite.limits import PUT_BLOB_BYTES
from kyanite.server.http import Response
from kyanite.server.storage.body import content_length, receive
from kyanite.server.storage.call import Call, changed
from kyanite.server.storage.checksums import NO_CHECKSUM, Checksum
from kyanite.server.storage.headers import http_time, quoted, read_conditions, read_metadata, read_properties
from kyanite.server.storage.tags import read_tags_header
from kyanite.storage import blocks
from kyanite.storage.properties import APPEND_BLOB, BLOCK_BLOB, Blob, Properties

_SMALL_BYTES = 128 * 1024
_KINDS = {APPEND_BLOB, BLOCK_BLOB}
TIERS = ("Hot", "Cool", "Cold", "Archive")


async def run(call: Call) -> Response:
    """Put Blob."""
    fields = _fields(call, call.required("x-ms-blob-type"), plain=True)
    is_block_blob = fields["blob_type"] == BLOCK_BLOB
    length, _ = content_length(call)
    if not is_block_blob and length:
        raise UserError("An append blob begins empty; append to it.", code="InvalidHeaderValue")
    conditions = read_conditions(call.request.headers)
    store = call.store
    if length > _SMALL_BYTES:  # a refusal need not wait for the bytes
        store.check_write(store.get(call.container, call.path), conditions, call.container, call.path)
    if length == 0 and _is_folder_marker(call, fields):
        made = store.make_folder(call.container, call.path, Properties(**fields), conditions)
        return changed(made.etag, made.modified, 201, x_ms_request_server_encrypted="true")
    with store.stage() as staged:
        checks = ("x-ms-blob-content-md5",) if is_block_blob else ()
        checksum = await receive(call, staged, PUT_BLOB_BYTES, *checks, md5=True)
        if is_block_blob and checksum.md5:
            fields["content_md5"] = checksum.md5
        blob = store.publish(staged, call.container, call.path, Properties(**fields), conditions)
    blocks.drop(store, call.container, call.path)
    return answer(blob, checksum)


def answer(blob: Blob, checksum: Checksum = NO_CHECKSUM) -> Response:
    """201 with the new version."""
    headers = {
        "etag": quoted(blob.etag),
        "last-modified": http_time(blob.modified_ns),
        "x-ms-request-server-encrypted": "true",
        **checksum.headers(),
    }
    return Response(201, headers)


def new_properties(call: Call, *, plain: bool = False, kind: str | None = None) -> Properties:
    """The properties that a request gives to a new blob."""
    return Properties(**_fields(call, kind or call.required("x-ms-blob-type"), plain=plain))


def _fields(call: Call, kind: str, *, plain: bool) -> dict[str, Any]:
    if kind == "PageBlob":
        raise StorageError("Page blobs are not supported; use a block or an append blob.", code="NotImplemented")
    if kind not in _KINDS:
        raise UserError(f"x-ms-blob-type is not {kind[:40]!r}.", code="InvalidHeaderValue")
    return {
        "blob_type": kind,
        "metadata": read_metadata(call.request.headers),
        "tags": read_tags_header(call.header("x-ms-tags")),
        "tier": read_tier(call.header("x-ms-access-tier")),
        **read_properties(call.request.headers, plain=plain),
    }


def read_tier(text: str) -> str:
    """An access tier in its own spelling, or empty. UserError `InvalidHeaderValue`."""
    if not text:
        return ""
    for tier in TIERS:
        if tier.lower() == text.lower():
            return tier
    raise UserError(f"x-ms-access-tier is not {text[:40]!r}; there is {', '.join(TIERS)}.", code="InvalidHeaderValue")


def _is_folder_marker(call: Call, fields: Mapping[str, Any]) -> bool:
    return call.account.hierarchical and fields["metadata"].get("hdi_isfolder", "").lower() == "true"
