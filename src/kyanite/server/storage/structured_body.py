"""Structured messages: bodies in numbered segments, each followed by its CRC64, and at the end one of the whole.

Numbers are lowest byte first. Head: version 1 (1 byte), length of the message (8), properties (2; bit 0: CRC64),
segments (2). Each segment: number from 1 (2), size (8), its bytes, CRC64 (8). End: CRC64 of all bytes (8).
"""

from __future__ import annotations

import struct
from collections.abc import AsyncGenerator, AsyncIterator

from kyanite.errors import StorageError, UserError
from kyanite.server.http import FileBody, Response
from kyanite.server.sending import PIECE_BYTES, read
from kyanite.server.storage.call import Call
from kyanite.server.storage.checksums import STRUCTURED_FORM, STRUCTURED_HEADER, Crc64, mismatch

LENGTH_HEADER = "x-ms-structured-content-length"
_HEAD, _SEGMENT, _CRC64 = struct.Struct("<BQHH"), struct.Struct("<HQ"), struct.Struct("<Q")
_SEGMENT_BYTES = 4 * 1024 * 1024
_SEGMENTS = 0xFFFF


def is_structured(call: Call) -> bool:
    """Whether a request has, or asks for, such a body. UserError `InvalidHeaderValue` for another form of it."""
    given = call.header(STRUCTURED_HEADER)
    if given and given.replace(" ", "").lower() != STRUCTURED_FORM.replace(" ", "").lower():
        raise UserError(f"The header {STRUCTURED_HEADER} must be {STRUCTURED_FORM}.", code="InvalidHeaderValue")
    return bool(given)


class Decoder:
    """Takes a message apart as it arrives. UserError `InvalidInput`, StorageError `Crc64Mismatch`."""

    def __init__(self, message_bytes: int) -> None:
        self._message_bytes = message_bytes
        self._part = bytearray()
        self._wanted, self._then = _HEAD.size, self._head
        self._left = 0  # bytes of the segment that are still to come
        self._number, self._segments = 0, 0
        self._segment, self._whole = Crc64(), Crc64()

    def feed(self, piece: bytes) -> list[bytes]:
        """The content in the next bytes of the message."""
        view, found = memoryview(piece), []
        while view:
            if self._left:
                taken, view = view[: self._left], view[self._left :]
                self._left -= len(taken)
                self._segment.update(taken)
                self._whole.update(taken)
                found.append(bytes(taken))
                continue
            if not self._wanted:
                raise _malformed("there is more behind its end")
            missing = self._wanted - len(self._part)
            self._part += view[:missing]
            view = view[missing:]
            if len(self._part) == self._wanted:
                part = bytes(self._part)
                self._part.clear()
                self._then(part)
        return found

    def finish(self) -> None:
        """The message ends here."""
        if self._wanted or self._left:
            raise _malformed("it ends too soon")

    def _head(self, part: bytes) -> None:
        version, length, properties, self._segments = _HEAD.unpack(part)
        if version != 1 or properties != 1 or length != self._message_bytes:
            raise _malformed("its head is not that of version 1 with CRC64 and this length")
        self._next()

    def _next(self) -> None:
        last = self._number == self._segments
        self._wanted, self._then = (_CRC64.size, self._end) if last else (_SEGMENT.size, self._begin)

    def _begin(self, part: bytes) -> None:
        number, self._left = _SEGMENT.unpack(part)
        self._number += 1
        if number != self._number or self._left > self._message_bytes:
            raise _malformed(f"segment {self._number} is out of order or too long")
        self._segment = Crc64()
        self._wanted, self._then = _CRC64.size, self._end_of_segment

    def _end_of_segment(self, part: bytes) -> None:
        _compare(part, self._segment)
        self._next()

    def _end(self, part: bytes) -> None:
        _compare(part, self._whole)
        self._wanted = 0


def _compare(part: bytes, computed: Crc64) -> None:
    if part != computed.digest():
        raise mismatch("CRC64")


def _malformed(why: str) -> UserError:
    return UserError(f"The structured body cannot be read: {why}.", code="InvalidInput")


def message_bytes(length: int) -> int:
    """The length of the message that carries so many bytes."""
    return _HEAD.size + _count(length) * (_SEGMENT.size + _CRC64.size) + length + _CRC64.size


def structured(response: Response, content: FileBody) -> None:
    """Give an answer a part of a file as its body, as a message."""
    response.body = _Message(content)
    response.headers |= {
        "content-length": str(message_bytes(content.length)),
        STRUCTURED_HEADER: STRUCTURED_FORM,
        LENGTH_HEADER: str(content.length),
    }


class _Message:
    """The pieces of a message; closed, its file is closed, too, also before the first of them was asked for."""

    def __init__(self, content: FileBody) -> None:
        self._content = content
        self._pieces = encode(content.fd, content.first, content.length)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        return await anext(self._pieces)

    async def aclose(self) -> None:
        await self._pieces.aclose()
        self._content.close()


async def encode(fd: int, first: int, length: int) -> AsyncGenerator[bytes, None]:
    """A part of an open file as a message."""
    segments = _count(length)
    size = _segment_bytes(length)
    yield _HEAD.pack(1, message_bytes(length), 1, segments)
    whole, end = Crc64(), first + length
    for number in range(1, segments + 1):
        left = min(size, end - first)
        yield _SEGMENT.pack(number, left)
        segment = Crc64()
        while left:
            piece = bytes(await read(fd, first, min(left, PIECE_BYTES)))
            if not piece:
                raise StorageError("The file became shorter while it was read.", code="InternalError")
            segment.update(piece)
            whole.update(piece)
            first, left = first + len(piece), left - len(piece)
            yield piece
        yield segment.digest()
    yield whole.digest()


def _segment_bytes(length: int) -> int:
    return max(_SEGMENT_BYTES, -(-length // _SEGMENTS))


def _count(length: int) -> int:
    return max(1, -(-length // _segment_bytes(length)))
