"""Bytes that come to a file of the Data Lake service: append puts them beside it, flush makes them part of it."""

from __future__ import annotations

import asyncio
import os
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from kyanite.errors import StorageError, UserError
from kyanite.limits import BLOB_BYTES, PUT_BLOCK_BYTES
from kyanite.server.http import Response, too_large
from kyanite.server.storage.checksums import Checksum, Digests, given_checksums
from kyanite.server.storage.datalake import Call
from kyanite.server.storage.dfs_changing import release_lease, renew_lease, take_lease
from kyanite.server.storage.dfs_paths import appends_key
from kyanite.server.storage.dfs_reading import find
from kyanite.server.storage.dfs_wire import (
    bad_header,
    bad_parameter,
    conditions,
    content_properties,
    flag,
    number,
    version_headers,
)
from kyanite.storage.appends import Appends, Moved, Piece
from kyanite.storage.conditions import Conditions
from kyanite.storage.events import CREATED, announced
from kyanite.storage.properties import Blob, Properties
from kyanite.storage.staged import Beside, copy_range

_WRITE_BYTES = 1024 * 1024
_ATTEMPTS = 10
_OUTDATED = frozenset({"InvalidFlushPosition", "ConditionNotMet"})
_LEASE_ACTIONS = ("acquire", "acquire-release", "auto-renew", "release")


async def append(call: Call) -> Response:
    """Keep the request's bytes for a place in the file; with `flush` make them part of it at once."""
    call.require("wa")
    position = number(call.request, "position")
    announced = call.request.content_length
    if announced is None:
        raise UserError("The length of the content is missing.", code="MissingContentLengthHeader")
    if announced > PUT_BLOCK_BYTES:
        raise too_large(PUT_BLOCK_BYTES)
    if position + announced > BLOB_BYTES:
        raise UserError(f"A file ends at {BLOB_BYTES:,} bytes.", code="OutOfRangeQueryParameterValue")
    action = _lease_action(call)
    headers = await _take(call) if action.startswith("acquire") else {}
    headers.update((await _receive(call, position, announced)).headers())
    headers["x-ms-request-server-encrypted"] = "true"
    if flag(call.request, "flush"):
        headers.update(version_headers(await asyncio.to_thread(_flush, call, position + announced)))
    headers.update(await asyncio.to_thread(_after, call, action))
    return Response(202, headers)


async def flush(call: Call) -> Response:
    """Make all appended bytes up to a position part of the file: it ends there, at once for readers."""
    call.require("wa")
    if call.request.content_length:
        raise UserError("The content length of a flush is zero.", code="ContentLengthMustBeZero")
    position = number(call.request, "position")
    action = _lease_action(call)
    headers = await _take(call) if action.startswith("acquire") else {}
    blob = await asyncio.to_thread(_flush, call, position)
    headers.update(await asyncio.to_thread(_after, call, action))
    return Response(200, {**headers, **version_headers(blob), "x-ms-request-server-encrypted": "true"})


async def _take(call: Call) -> dict[str, str]:
    if "x-ms-proposed-lease-id" not in call.request.headers:
        raise UserError("The header x-ms-proposed-lease-id is missing.", code="MissingRequiredHeader")
    return await asyncio.to_thread(take_lease, call)


def _lease_action(call: Call) -> str:
    action = call.request.headers.get("x-ms-lease-action", "").lower()
    if action and action not in _LEASE_ACTIONS:
        raise bad_header("x-ms-lease-action", f"it is one of {', '.join(_LEASE_ACTIONS)}")
    return action


def _conditions(call: Call) -> Conditions:
    """Those of the request; a lease that it takes itself is also the one it writes under."""
    found = conditions(call.request)
    if found.lease_id is None and _lease_action(call).startswith("acquire"):
        return replace(found, lease_id=call.request.headers.get("x-ms-proposed-lease-id"))
    return found


def _after(call: Call, action: str) -> dict[str, str]:
    if action == "auto-renew":
        renew_lease(call)
        return {"x-ms-lease-renewed": "true"}
    if action in ("release", "acquire-release"):
        release_lease(call, _conditions(call).lease_id)
    return {}


async def _receive(call: Call, position: int, announced: int) -> Checksum:
    """Store the body, after a look at the checksum that the client gave."""
    expected = given_checksums(call.request.headers)
    piece = await asyncio.to_thread(_begin, call, position)
    digests = Digests(md5=bool(expected[0]), crc64=bool(expected[1]))
    buffer = bytearray()
    received = 0
    try:
        async for chunk in call.request.chunks():
            received += len(chunk)
            if received > announced:
                raise too_large(announced)
            digests.update(chunk)
            buffer += chunk
            if len(buffer) >= _WRITE_BYTES:
                full, buffer = bytes(buffer), bytearray()
                await asyncio.to_thread(piece.write, full)
        if buffer:
            await asyncio.to_thread(piece.write, bytes(buffer))
        checksum = digests.checked(*expected)
        await asyncio.to_thread(piece.finish)
        return checksum
    finally:
        piece.close()


def _begin(call: Call, position: int) -> Piece:
    for _ in range(_ATTEMPTS):
        blob = _file(call)
        call.store.check_write(blob, Conditions(lease_id=_conditions(call).lease_id), blob.container, blob.path)
        if position < blob.size:
            raise bad_parameter("position", f"the file has {blob.size} bytes already")
        try:
            return _appends(call, blob).begin(position)
        except Moved:
            continue
    raise StorageError("Other requests flush this file all the time.", code="ServerBusy")


def _flush(call: Call, position: int) -> Blob:
    for _ in range(_ATTEMPTS):
        blob = _file(call)
        call.store.check_write(blob, _conditions(call), blob.container, blob.path)
        try:
            return _flush_version(call, blob, position)
        except Moved:
            continue
        except StorageError as problem:  # somebody flushed or wrote the file meanwhile: look at it again
            if problem.error_code not in _OUTDATED or _file(call).etag == blob.etag:
                raise
    raise StorageError("Other requests flush this file all the time.", code="ServerBusy")


def _flush_version(call: Call, blob: Blob, position: int) -> Blob:
    request, store = call.request, call.store
    keep_rest = flag(request, "retainUncommittedData")
    appends = _appends(call, blob)
    wanted = Conditions(if_match=blob.etag, lease_id=_conditions(call).lease_id)

    def changed(before: Properties) -> Properties:
        given = content_properties(request)
        md5 = request.headers.get("x-ms-content-md5", "")
        return replace(before, **given, content_md5=md5, created_ns=before.created_ns or blob.modified_ns)

    closing = announced(store.folder, CREATED, blob.container, [blob.path]) if flag(request, "close") else nullcontext()
    with appends.flushing(blob.size, position, keep_rest=keep_rest) as staged, closing:
        if staged is None:
            new = store.change(blob.container, blob.path, changed, wanted)
        else:
            _fill(call, staged, blob.size)
            place = (blob.container, blob.path)
            new = store.publish(Beside(str(staged)), *place, changed(blob.properties), wanted, quietly=True)
    if keep_rest:
        appends.move(appends_key(new))
    return new


def _fill(call: Call, staged: Path, size: int) -> None:
    """Copy what the file holds already to the beginning of the staged file."""
    if not size:
        return
    source, _ = call.store.open(call.filesystem, call.path)
    try:
        target = os.open(staged, os.O_RDWR | os.O_CLOEXEC)
        try:
            copy_range(source, target, size, 0, 0)
        finally:
            os.close(target)
    finally:
        os.close(source)


def _file(call: Call) -> Blob:
    blob = find(call)
    if blob.is_folder:
        raise StorageError(
            "The resource type specified in the request does not match the type of the resource.",
            code="ResourceTypeMismatch",
        )
    return blob


def _appends(call: Call, blob: Blob) -> Appends:
    return Appends(call.store.folder, appends_key(blob), call.store.where(blob.container, blob.path))
