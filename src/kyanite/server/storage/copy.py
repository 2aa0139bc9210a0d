"""Copy Blob, Copy Blob From URL, Put Blob From URL. Copies are done when they are answered."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace

from kyanite.errors import StorageError
from kyanite.server.http import Response
from kyanite.server.storage.call import Call, changed
from kyanite.server.storage.checksums import Checksum
from kyanite.server.storage.copy_source import fetch_into
from kyanite.server.storage.headers import http_date, read_conditions, read_metadata, read_properties
from kyanite.server.storage.put_blob import answer, new_properties, read_tier
from kyanite.server.storage.tags import read_tags_header
from kyanite.storage import blocks
from kyanite.storage.properties import BLOCK_BLOB, Blob, Properties


async def copy(call: Call) -> Response:
    """Copy Blob and Copy Blob From URL."""
    metadata = read_metadata(call.request.headers)
    copy_id = str(uuid.uuid4())
    blob, checksum = await _write(call, lambda source: _copied(call, source, metadata, copy_id))
    response = changed(blob.etag, blob.modified, 202)
    response.headers |= {"x-ms-copy-id": copy_id, "x-ms-copy-status": "success", **checksum.headers()}
    return response


def _copied(call: Call, source: Properties, metadata: dict[str, str], copy_id: str) -> Properties:
    tags = read_tags_header(call.header("x-ms-tags"))
    if call.header("x-ms-copy-source-tag-option").upper() == "COPY":
        if tags:
            raise StorageError("Tags are given and asked to be copied.", code="InvalidInput")
        tags = dict(source.tags)
    told = {
        "id": copy_id,
        "status": "success",
        "source": call.header("x-ms-copy-source").partition("?")[0],
        "completion-time": http_date(call.now),
    }
    return replace(
        source,
        metadata=metadata or source.metadata,
        tags=tags,
        tier=read_tier(call.header("x-ms-access-tier")) or source.tier,
        copy=told,
        sealed=call.header("x-ms-seal-blob").lower() == "true",
    )


async def put_from_url(call: Call) -> Response:
    """Put Blob From URL: a block blob of its own, with the source's properties unless told otherwise."""
    if call.request.content_length:
        raise StorageError("The bytes come from the source; the body is empty.", code="InvalidHeaderValue")
    given = new_properties(call, plain=False)
    if given.blob_type != BLOCK_BLOB:
        raise StorageError("Put Blob From URL makes block blobs.", code="InvalidHeaderValue")
    fields = {name: value for name, value in read_properties(call.request.headers).items() if value}

    def merged(source: Properties) -> Properties:
        if call.header("x-ms-copy-source-blob-properties").lower() == "false":
            return given
        kept = replace(source, blob_type=BLOCK_BLOB, tags=given.tags, tier=given.tier, blocks=0, sealed=False)
        return replace(kept, metadata=given.metadata or source.metadata, **fields)  # type: ignore[arg-type]

    return answer(*await _write(call, merged))


async def _write(call: Call, properties: Callable[[Properties], Properties]) -> tuple[Blob, Checksum]:
    conditions = read_conditions(call.request.headers)
    store = call.store
    standing = store.get(call.container, call.path)
    store.check_write(standing, conditions, call.container, call.path)
    with store.stage() as staged:
        source = await fetch_into(call, staged)
        made = properties(source.properties)
        kept = replace(made, content_md5=made.content_md5 or source.checksum.md5)
        blob = await call.in_thread(store.publish, staged, call.container, call.path, kept, conditions)
    blocks.drop(store, call.container, call.path)
    return blob, source.checksum


async def abort(call: Call) -> Response:
    """Abort Copy Blob: there is never one in progress."""
    call.store.require(call.container, call.path)
    raise StorageError("There is currently no pending copy operation.", code="NoPendingCopyOperation")
