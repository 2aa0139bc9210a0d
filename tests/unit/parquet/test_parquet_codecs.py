"""Compressed pages: both ways with Arrow's codecs, exact sizes, and nothing but a clear error for what is broken."""

from __future__ import annotations

import random
import struct
import zlib

import pyarrow as pa
import pytest

from kyanite import limits
from kyanite.errors import DataError
from kyanite.parquet.codecs import BROTLI, GZIP, LZ4_RAW, NONE, OLD_LZ4, SNAPPY, ZSTD, NotCuttable, compress, decompress

ARROW = {SNAPPY: "snappy", GZIP: "gzip", BROTLI: "brotli", ZSTD: "zstd", LZ4_RAW: "lz4_raw"}
RNG = random.Random(7)
BODIES = {
    "nothing": b"",
    "one": b"x",
    "zeros": bytes(70_000),
    "noise": RNG.randbytes(70_000),
    "text": b"".join(RNG.choice([b"north ", b"south ", b"east ", b"west "]) for _ in range(9000)),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("codec", ARROW)
def test_arrow_reads_what_we_compress_and_we_what_arrow_does(codec, body):
    theirs = pa.Codec(ARROW[codec])
    assert theirs.decompress(compress(body, codec), len(body), asbytes=True) == body
    assert decompress(theirs.compress(body, asbytes=True), len(body), codec) == body
    assert decompress(compress(body, codec), len(body), codec) == body


@pytest.mark.parametrize("codec", [*ARROW, OLD_LZ4])
def test_a_page_has_exactly_the_bytes_that_it_claims(codec):
    packed = compress(BODIES["text"], codec)
    for size in (1, len(BODIES["text"]) - 1, len(BODIES["text"]) + 1):
        with pytest.raises(DataError):
            decompress(packed, size, codec)


@pytest.mark.parametrize("codec", [*ARROW, OLD_LZ4])
def test_broken_pages_are_told(codec):
    text = BODIES["text"][:2000]
    packed = compress(text, codec)
    for _ in range(500):
        broken = bytearray(packed[: RNG.randrange(1, len(packed) + 1)])
        for _ in range(RNG.randrange(1, 5)):
            broken[RNG.randrange(len(broken))] = RNG.randrange(256)
        try:
            assert len(decompress(bytes(broken), len(text), codec)) == len(text)
        except DataError as error:
            assert "page" in error.message


def test_small_pages_cannot_claim_to_be_huge():
    with pytest.raises(DataError, match="claims"):
        decompress(compress(b"x", SNAPPY), limits.PARQUET_PAGE_BYTES + 1, SNAPPY)
    with pytest.raises(DataError):
        decompress(compress(bytes(10_000_000), GZIP), 1000, GZIP)
    with pytest.raises(NotCuttable, match="codec 3"):
        decompress(b"", 0, 3)


def test_gzip_pages_may_have_several_members_and_be_of_the_zlib_format():
    assert decompress(compress(b"one", GZIP) + compress(b"two", GZIP), 6, GZIP) == b"onetwo"
    assert decompress(zlib.compress(b"other"), 5, GZIP) == b"other"
    with pytest.raises(DataError):
        decompress(compress(b"one", GZIP)[:-9], 3, GZIP)


def test_no_codec_is_no_copy():
    assert decompress(b"abc", 3, NONE) == compress(b"abc", NONE) == b"abc"


def test_old_lz4_is_in_hadoops_frames_or_bare():
    framed = compress(b"text" * 9, OLD_LZ4)
    assert struct.unpack(">I", framed[:4]) == (36,)
    assert decompress(framed[8:], 36, OLD_LZ4) == decompress(framed, 36, OLD_LZ4) == b"text" * 9
