"""A request's body on its way to disk, verified while it passes; memory stays within two pieces."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from dataclasses import dataclass
from typing import Any

from kyanite.errors import StorageError
from kyanite.limits import MD5_ALWAYS_BYTES
from kyanite.server.http import too_large
from kyanite.server.storage.call import Call
from kyanite.server.storage.headers import read_md5
from kyanite.storage.failures import disk_errors
from kyanite.storage.staged import Staged

PIECE_BYTES = 1024 * 1024
_IN_LOOP_BYTES = 128 * 1024  # as much is written and hashed sooner than a thread could be asked to


@dataclass(frozen=True, slots=True)
class Checksum:
    """Base64 MD5 of a body, or empty when nobody needed it."""

    md5: str


async def receive(call: Call, staged: Staged, most: int, *checks: str) -> Checksum:
    """Write the body to a staged file. `checks` are headers whose MD5 it must have, before Content-MD5's.

    StorageError `MissingContentLengthHeader`, `RequestBodyTooLarge`, `InvalidMd5`, `Md5Mismatch`, `DiskFull`.
    """
    length = call.request.content_length
    if length is None:
        raise StorageError("The request has no Content-Length.", code="MissingContentLengthHeader")
    if length > most:
        raise too_large(most)
    names = [name for name in (*checks, "content-md5") if call.header(name)][:1]
    wanted = {read_md5(call.header(name), name) for name in names}
    digest = hashlib.md5(usedforsecurity=False) if wanted or length <= MD5_ALWAYS_BYTES else None
    with disk_errors(call.store.where(call.container, call.path)):
        if length <= _IN_LOOP_BYTES:
            _write(staged, digest, [piece async for piece in call.request.chunks()])
        else:
            await _stream(call, staged, digest)
    if staged.size != length:
        raise StorageError("The body has another size than Content-Length says.", code="InvalidInput")
    if digest is None:
        return Checksum("")
    found = digest.digest()
    if wanted - {found}:
        message = "The MD5 value specified in the request did not match with the MD5 value calculated by the server."
        raise StorageError(message, code="Md5Mismatch")
    return Checksum(base64.b64encode(found).decode())


async def _stream(call: Call, staged: Staged, digest: Any) -> None:
    """Take in the next piece while a thread writes the last one."""
    writing: asyncio.Future[None] | None = None
    pieces: list[bytes] = []
    size = 0
    loop = asyncio.get_running_loop()
    try:
        async for piece in call.request.chunks():
            pieces.append(piece)
            size += len(piece)
            if size >= PIECE_BYTES:
                if writing is not None:
                    await writing
                writing = loop.run_in_executor(None, _write, staged, digest, pieces)
                pieces, size = [], 0
        if writing is not None:
            await writing
            writing = None
        if pieces:
            await loop.run_in_executor(None, _write, staged, digest, pieces)
    finally:
        if writing is not None:  # the file must not be closed under the thread
            await asyncio.wait([writing])


def _write(staged: Staged, digest: Any, pieces: list[bytes]) -> None:
    staged.write_all(pieces)
    if digest is not None:
        for piece in pieces:
            digest.update(piece)
