"""The service's CRC64, and structured messages: any split reads the same, any change is noticed."""

from __future__ import annotations

import asyncio
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kyanite.errors import KyaniteError
from kyanite.server.storage import structured_body
from kyanite.server.storage.checksums import Crc64, Digests, given_checksums, read_crc64
from kyanite.server.storage.structured_body import Decoder, encode, message_bytes


def crc64(data: bytes) -> int:
    """Bit by bit, after the definition."""
    value = 2**64 - 1
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x9A6C9329AC4BC9B5 if value & 1 else 0)
    return value ^ 2**64 - 1


@given(st.lists(st.binary(max_size=100), max_size=4))
def test_crc64_is_that_of_the_definition_in_pieces_too(pieces):
    digest = Crc64()
    for piece in pieces:
        digest.update(piece)
    assert digest.value == crc64(b"".join(pieces)) and digest.digest() == digest.value.to_bytes(8, "little")


def test_checksums_of_a_request():
    good = "iJh5CoYUi64="  # of 123456789
    digests = Digests(md5=False, crc64=True)
    digests.update(b"123456789")
    assert digests.checked(*given_checksums({"x-ms-content-crc64": good})).headers() == {"x-ms-content-crc64": good}
    for headers, code in (
        ({"x-ms-content-crc64": good, "content-md5": "1B2M2Y8AsgTpgAmY7PhCfg=="}, "BothCrc64AndMd5HeaderPresent"),
        ({"x-ms-content-crc64": "AAAA"}, "InvalidHeaderValue"),
        ({"content-md5": "AAAA"}, "InvalidMd5"),
    ):
        with pytest.raises(KyaniteError) as caught:
            given_checksums(headers)
        assert caught.value.error_code == code
    with pytest.raises(KyaniteError, match="CRC64") as caught:
        digests.checked(frozenset(), {read_crc64("AAAAAAAAAAA=", "x")})
    assert caught.value.error_code == "Crc64Mismatch"


def message(tmp_path_factory, data: bytes, first: int = 0) -> bytes:
    file = tmp_path_factory.getbasetemp() / "content"
    file.write_bytes(data)
    fd = os.open(file, os.O_RDONLY)

    async def collected() -> bytes:
        return b"".join([piece async for piece in encode(fd, first, len(data) - first)])

    try:
        return asyncio.run(collected())
    finally:
        os.close(fd)


@pytest.fixture
def small_segments(monkeypatch):
    monkeypatch.setattr(structured_body, "_SEGMENT_BYTES", 10)


def decoded(sent: bytes, step: int) -> bytes:
    decoder = Decoder(len(sent))
    found = [part for at in range(0, len(sent), step) for part in decoder.feed(sent[at : at + step])]
    decoder.finish()
    return b"".join(found)


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 35])
@pytest.mark.parametrize("step", [1, 7, 1000])
def test_messages_are_read_as_they_were_written(tmp_path_factory, small_segments, size, step):
    data = bytes(range(size))
    sent = message(tmp_path_factory, data)
    assert len(sent) == message_bytes(size)
    assert decoded(sent, step) == data
    if size > 3:
        assert decoded(message(tmp_path_factory, data, 3), step) == data[3:]


def test_every_change_of_a_message_is_noticed(tmp_path_factory, small_segments):
    sent = message(tmp_path_factory, bytes(range(25)))
    for at in range(len(sent)):
        changed = bytearray(sent)
        changed[at] ^= 1
        with pytest.raises(KyaniteError) as caught:
            decoded(bytes(changed), 1000)
        assert caught.value.error_code in ("InvalidInput", "Crc64Mismatch")
    for other in (sent[:-1], sent + b"x", sent[:20], b""):
        decoder = Decoder(len(sent))
        with pytest.raises(KyaniteError):
            decoder.feed(other)
            decoder.finish()


def test_a_huge_blob_has_no_more_segments_than_can_be_counted():
    size = 190 * 1024**4
    assert message_bytes(size) - size < 65_535 * 18 + 21 + 18
