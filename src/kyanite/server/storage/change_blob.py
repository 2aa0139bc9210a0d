"""Operations that change or remove a blob without new bytes."""

from __future__ import annotations

from dataclasses import replace

from kyanite.errors import StorageError, UserError
from kyanite.limits import SERVICE_XML_BYTES
from kyanite.server.http import Response
from kyanite.server.storage.call import Call, changed
from kyanite.server.storage.get_blob import check
from kyanite.server.storage.headers import CONTENT_HEADERS, read_conditions, read_metadata, read_properties
from kyanite.server.storage.put_blob import read_tier
from kyanite.server.storage.tags import read_tags, tags_xml
from kyanite.server.storage.xml import answer
from kyanite.storage import blocks
from kyanite.storage.properties import APPEND_BLOB, Blob


async def set_metadata(call: Call) -> Response:
    """Set Blob Metadata: replaces all of it."""
    metadata = read_metadata(call.request.headers)
    blob = call.store.change(
        call.container,
        call.path,
        lambda properties: replace(properties, metadata=metadata),
        read_conditions(call.request.headers),
    )
    return changed(blob.etag, blob.modified, x_ms_request_server_encrypted="true")


async def set_properties(call: Call) -> Response:
    """Set Blob Properties: those that are not given are cleared."""
    if "x-ms-blob-content-length" in call.request.headers or "x-ms-sequence-number-action" in call.request.headers:
        raise StorageError("Only page blobs are resized; they are not supported.", code="NotImplemented")
    given = read_properties(call.request.headers)
    fields = {field: given.get(field, "") for field in CONTENT_HEADERS.values()}
    blob = call.store.change(
        call.container,
        call.path,
        lambda properties: replace(properties, **fields),  # type: ignore[arg-type]
        read_conditions(call.request.headers),
    )
    return changed(blob.etag, blob.modified)


async def set_tier(call: Call) -> Response:
    """Set Blob Tier: kept and shown; all tiers lie on the same disk."""
    tier = read_tier(call.required("x-ms-access-tier"))

    def fits(blob: Blob) -> None:
        if blob.properties.blob_type == APPEND_BLOB:
            raise StorageError("The blob type is invalid for this operation.", code="InvalidBlobType")

    conditions = read_conditions(call.request.headers)
    call.store.change(
        call.container,
        call.path,
        lambda properties: replace(properties, tier=tier),
        conditions,
        quietly=True,
        check=fits,
    )
    return Response(200)


async def get_tags(call: Call) -> Response:
    """Get Blob Tags."""
    blob = call.store.require(call.container, call.path)
    check(call, blob)
    return answer(tags_xml(blob.properties.tags))


async def set_tags(call: Call) -> Response:
    """Set Blob Tags: replaces all; ETag and time stay."""
    tags = read_tags(await call.request.body(SERVICE_XML_BYTES))
    call.store.change(
        call.container,
        call.path,
        lambda properties: replace(properties, tags=tags),
        read_conditions(call.request.headers),
        quietly=True,
    )
    return Response(204)


async def delete(call: Call) -> Response:
    """Delete Blob. There are no snapshots that could keep it."""
    if call.header("x-ms-delete-snapshots").lower() not in ("", "include", "only"):
        raise UserError("x-ms-delete-snapshots is include or only.", code="InvalidHeaderValue")
    if call.header("x-ms-delete-snapshots").lower() == "only":
        call.store.require(call.container, call.path)
        return Response(202, {"x-ms-delete-type-permanent": "true"})
    if call.option("deletetype"):
        raise StorageError("Deleted blobs are not kept.", code="UnsupportedQueryParameter")
    conditions = read_conditions(call.request.headers)
    if conditions.if_none_match == "*":  # asks for nothing that a deletion could break
        conditions = replace(conditions, if_none_match=None)
    call.store.delete(call.container, call.path, conditions)
    blocks.drop(call.store, call.container, call.path)
    return Response(202, {"x-ms-delete-type-permanent": "true"})
