"""Put Block, Put Block List, Get Block List."""

from __future__ import annotations

from dataclasses import replace

from kyanite.errors import StorageError, UserError
from kyanite.limits import BLOCK_LIST_BYTES, PUT_BLOCK_BYTES
from kyanite.server.http import Response
from kyanite.server.storage.body import receive
from kyanite.server.storage.call import Call
from kyanite.server.storage.checksums import Checksum, Digests, given_checksums
from kyanite.server.storage.copy_source import fetch_into
from kyanite.server.storage.get_blob import check
from kyanite.server.storage.headers import http_date, quoted, read_conditions
from kyanite.server.storage.put_blob import answer as created
from kyanite.server.storage.put_blob import new_properties
from kyanite.server.storage.xml import answer, element, leaf, parse
from kyanite.storage import blocks, leases
from kyanite.storage.properties import BLOCK_BLOB

_KINDS = {"Committed", "Uncommitted", "Latest"}
_LARGE_LIST_BYTES = 64 * 1024  # the others are read sooner than a thread could be asked to


async def put_block(call: Call) -> Response:
    """Put Block."""
    block_id = _block_id(call)
    _check(call)
    with call.store.stage() as staged:
        checksum = await receive(call, staged, PUT_BLOCK_BYTES)
        if not staged.size:
            raise UserError("A block has at least one byte.", code="InvalidHeaderValue")
        blocks.stage_block(call.store, call.container, call.path, block_id, staged)
    return _staged(checksum)


async def put_block_from_url(call: Call) -> Response:
    """Put Block From URL, of all or a range of the source."""
    block_id = _block_id(call)
    _check(call)
    if call.request.content_length:
        raise UserError("The bytes come from the source; the body is empty.", code="InvalidHeaderValue")
    with call.store.stage() as staged:
        source = await fetch_into(call, staged, call.header("x-ms-source-range"))
        blocks.stage_block(call.store, call.container, call.path, block_id, staged)
    return _staged(source.checksum)


def _staged(checksum: Checksum) -> Response:
    return Response(201, {"x-ms-request-server-encrypted": "true", **checksum.headers()})


def _block_id(call: Call) -> str:
    found = call.option("blockid")
    if not found:
        raise UserError("The query has no blockid.", code="MissingRequiredQueryParameter")
    return found


def _check(call: Call) -> None:
    """Container, kind and lease, before the bytes are taken."""
    blob = call.store.get(call.container, call.path)
    if blob is None:
        return
    if blob.is_folder:
        raise StorageError(
            "A folder stands there.", where=call.store.where(call.container, call.path), code="PathConflict"
        )
    if blob.properties.blob_type != BLOCK_BLOB:
        raise StorageError("The blob type is invalid for this operation.", code="InvalidBlobType")
    leases.check_write(call.store.lease_of(blob), call.header("x-ms-lease-id") or None, call.now)


async def put_block_list(call: Call) -> Response:
    """Put Block List: the blocks become the blob."""
    body = await call.request.body(BLOCK_LIST_BYTES)
    checksum = _checked(call, body)
    entries = await call.in_thread(_entries, body) if len(body) > _LARGE_LIST_BYTES else _entries(body)
    properties = replace(new_properties(call, kind=BLOCK_BLOB), blob_type=BLOCK_BLOB)
    blob = call.store.get(call.container, call.path)
    conditions = read_conditions(call.request.headers)
    call.store.check_write(blob, conditions, call.container, call.path)
    if blob is not None and blob.properties.blob_type != BLOCK_BLOB:
        raise StorageError("The blob type is invalid for this operation.", code="InvalidBlobType")
    made = await call.in_thread(blocks.commit, call.store, call.container, call.path, entries, properties, conditions)
    return created(made, checksum)


def _entries(body: bytes) -> list[tuple[str, str]]:
    root = parse(body)
    if root.tag != "BlockList":
        raise UserError("The body is no BlockList.", code="InvalidXmlDocument")
    entries = [(each.tag, (each.text or "").strip()) for each in root]
    for kind, _ in entries:
        if kind not in _KINDS:
            raise UserError(f"A block list has no {kind[:40]!r}.", code="InvalidXmlDocument")
    return entries


def _checked(call: Call, body: bytes) -> Checksum:
    """The checksum of the list itself, after it was compared with the one that was given."""
    md5, crc64 = given_checksums(call.request.headers)
    digests = Digests(md5=bool(md5), crc64=not md5)
    digests.update(body)
    return digests.checked(md5, crc64)


async def get_block_list(call: Call) -> Response:
    """Get Block List."""
    wanted = call.option("blocklisttype", "committed").lower()
    if wanted not in ("committed", "uncommitted", "all"):
        raise UserError("blocklisttype is committed, uncommitted or all.", code="InvalidQueryParameterValue")
    blob = call.store.get(call.container, call.path)
    waiting = blocks.uncommitted(call.store, call.container, call.path)
    if blob is None and not waiting:
        raise StorageError("The specified blob does not exist.", code="BlobNotFound")
    headers = {"x-ms-blob-content-length": "0"}
    if blob is not None:
        check(call, blob)
        if blob.properties.blob_type != BLOCK_BLOB:
            raise StorageError("The blob type is invalid for this operation.", code="InvalidBlobType")
        headers = {
            "etag": quoted(blob.etag),
            "last-modified": http_date(blob.modified),
            "x-ms-blob-content-length": str(blob.size),
        }
    known = blocks.committed(call.store, blob) if blob is not None else []
    lists = ""
    if wanted != "uncommitted":
        lists += element("CommittedBlocks", *map(_block, known))
    if wanted != "committed":
        lists += element("UncommittedBlocks", *map(_block, waiting))
    return answer(element("BlockList", lists), headers=headers)


def _block(block: tuple[str, int]) -> str:
    return element("Block", leaf("Name", block[0]), leaf("Size", block[1]))
