"""A request's body on its way to disk, verified while it passes; memory stays within two pieces."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from kyanite.errors import StorageError
from kyanite.limits import MD5_ALWAYS_BYTES
from kyanite.server.http import too_large
from kyanite.server.storage import structured_body
from kyanite.server.storage.call import Call
from kyanite.server.storage.checksums import Checksum, Digests, given_checksums
from kyanite.server.storage.headers import read_md5
from kyanite.storage.failures import storage_error
from kyanite.storage.staged import Staged

PIECE_BYTES = 1024 * 1024
_IN_LOOP_BYTES = 128 * 1024  # as much is written and hashed sooner than a thread could be asked to


async def receive(call: Call, staged: Staged, most: int, *checks: str, md5: bool = False) -> Checksum:
    """Write the body to a staged file. `checks` are headers whose MD5 it must have, before Content-MD5's.

    `md5`: a small body has one computed in any case. What is answered has an MD5 or else a CRC64, as the service's.
    StorageError `MissingContentLengthHeader`, `RequestBodyTooLarge`, `InvalidMd5`, `Md5Mismatch`, `Crc64Mismatch`,
    `BothCrc64AndMd5HeaderPresent`, `DiskFull`.
    """
    length, structured = content_length(call)
    if length > most:
        raise too_large(most)
    wanted, crc64 = given_checksums(call.request.headers)
    for name in checks:
        if call.header(name):
            wanted = {read_md5(call.header(name), name)}
    with_md5 = bool(wanted) or (md5 and length <= MD5_ALWAYS_BYTES)
    digests = Digests(md5=with_md5, crc64=bool(crc64) or not with_md5)
    try:
        if length > _IN_LOOP_BYTES:
            await _stream(_unpacked(call) if structured else call.request.chunks(), staged, digests)
        elif structured:
            _write(staged, digests, [piece async for piece in _unpacked(call)])
        else:
            pieces = []
            while piece := await call.request.receive():
                pieces.append(piece)
            _write(staged, digests, pieces)
    except OSError as problem:
        raise storage_error(problem, call.store.where(call.container, call.path)) from problem
    if staged.size != length:
        raise StorageError("The body has another size than its headers say.", code="InvalidInput")
    return digests.checked(wanted, crc64, structured=structured)


def content_length(call: Call) -> tuple[int, bool]:
    """How many bytes a request brings, and whether they come as a structured message.

    StorageError `MissingContentLengthHeader`, `MissingRequiredHeader`.
    """
    length = call.request.content_length
    if length is None:
        raise StorageError("The request has no Content-Length.", code="MissingContentLengthHeader")
    if not structured_body.is_structured(call):
        return length, False
    found = call.number(structured_body.LENGTH_HEADER, required=True) or 0
    return found, True


async def _unpacked(call: Call) -> AsyncIterator[bytes]:
    decoder = structured_body.Decoder(call.request.content_length or 0)
    async for piece in call.request.chunks():
        for content in decoder.feed(piece):
            yield content
    decoder.finish()


async def _stream(body: AsyncIterator[bytes], staged: Staged, digests: Digests) -> None:
    """Take in the next piece while a thread writes the last one."""
    writing: asyncio.Future[None] | None = None
    pieces: list[bytes] = []
    size = 0
    loop = asyncio.get_running_loop()
    try:
        async for piece in body:
            pieces.append(piece)
            size += len(piece)
            if size >= PIECE_BYTES:
                if writing is not None:
                    await writing
                writing = loop.run_in_executor(None, _write, staged, digests, pieces)
                pieces, size = [], 0
        if writing is not None:
            await writing
            writing = None
        if pieces:
            await loop.run_in_executor(None, _write, staged, digests, pieces)
    finally:
        if writing is not None:  # the file must not be closed under the thread
            await asyncio.wait([writing])


def _write(staged: Staged, digests: Digests, pieces: list[bytes]) -> None:
    staged.write_all(pieces)
    for piece in pieces:
        digests.update(piece)
