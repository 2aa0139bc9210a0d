"""Compression of pages, by the codec numbers of the format; all but LZO, which nobody here can read.

The codecs come from cramjam and zlib, which load in 2 ms; Arrow's would take 50 ms of every short split.
"""

from __future__ import annotations

import struct as packing
import zlib
from collections.abc import Callable
from typing import Any

from kyanite import limits
from kyanite.errors import DataError, UnsupportedError

NONE, SNAPPY, GZIP, BROTLI, OLD_LZ4, ZSTD, LZ4_RAW = 0, 1, 2, 4, 5, 6, 7
CODECS = frozenset((NONE, SNAPPY, GZIP, BROTLI, OLD_LZ4, ZSTD, LZ4_RAW))
BROTLI_LEVEL, ZSTD_LEVEL = 8, 1  # Arrow's
_GZIP_FORMAT, _GZIP_OR_ZLIB = 31, 47  # as zlib's `wbits`


class NotCuttable(UnsupportedError):
    """The page cannot be cut as it is: its row group has to be encoded anew first."""


def check_codec(codec: int) -> None:
    """Raise `NotCuttable` for a codec that `decompress` does not know."""
    if codec not in CODECS:
        raise NotCuttable(f"Pages compressed with codec {codec} are not cut.")


def decompress(data: bytes, size: int, codec: int) -> bytes:
    """The data decompressed, which gives exactly `size` bytes; `DataError` when it does not. Never more memory."""
    check_codec(codec)
    if not 0 <= size <= limits.PARQUET_PAGE_BYTES:
        raise DataError(f"A page claims {size} bytes decompressed; up to {limits.PARQUET_PAGE_BYTES} are read.")
    if codec == NONE:
        return data
    if codec == OLD_LZ4 and (blocks := _hadoop_blocks(data, size)) is not None:
        return b"".join(_decompressed(LZ4_RAW, block, length) for block, length in blocks)
    return _decompressed(codec, data, size)


def _decompressed(codec: int, data: bytes, size: int) -> bytes:
    if size == 0:  # some writers store nothing, not even an empty frame
        return b""
    if codec == GZIP:
        return _gunzipped(data, size)
    import cramjam

    into: dict[int, Callable[[bytes, bytearray], int]] = {
        SNAPPY: cramjam.snappy.decompress_raw_into,
        BROTLI: cramjam.brotli.decompress_into,
        ZSTD: cramjam.zstd.decompress_into,
    }
    out = bytearray(size)
    try:
        count = into.get(codec, cramjam.lz4.decompress_block_into)(data, out)
    except cramjam.DecompressionError as error:
        raise DataError(f"A page cannot be decompressed: {error}") from error
    if count != size:
        raise DataError(f"A page has {count} bytes decompressed instead of {size}.")
    return bytes(out)


def _gunzipped(data: bytes, size: int) -> bytes:
    """Of one gzip member or several, or of the zlib format, which some writers meant by it."""
    out = bytearray()
    try:
        while data and len(out) <= size:
            stream = zlib.decompressobj(_GZIP_OR_ZLIB)
            out += stream.decompress(data, size + 1 - len(out))
            if not stream.eof and len(out) <= size:
                raise DataError("A page's compressed data ends too early.")
            data = stream.unused_data
    except zlib.error as error:
        raise DataError(f"A page cannot be decompressed: {error}") from error
    if len(out) != size:
        raise DataError(f"A page has {'more' if len(out) > size else 'fewer'} than the {size} bytes it claims.")
    return bytes(out)


def _hadoop_blocks(data: bytes, size: int) -> list[tuple[bytes, int]] | None:
    """(block, bytes decompressed) of Hadoop's framing, which codec 5 means; None for a bare block instead."""
    blocks = []
    position = 0
    while position < len(data):
        if len(data) - position < 8:
            return None
        length, packed = packing.unpack_from(">II", data, position)
        position += 8
        if packed > len(data) - position or length > size:
            return None
        blocks.append((data[position : position + packed], length))
        position += packed
        size -= length
    return blocks if size == 0 else None


def compress(data: bytes, codec: int) -> bytes:
    """The data compressed; codec 5 with Hadoop's framing."""
    if codec == NONE:
        return data
    if codec == GZIP:
        packer = zlib.compressobj(wbits=_GZIP_FORMAT)
        return packer.compress(data) + packer.flush()
    packed = bytes(_compressed(data, codec))
    return packing.pack(">II", len(data), len(packed)) + packed if codec == OLD_LZ4 else packed


def _compressed(data: bytes, codec: int) -> Any:
    import cramjam

    if codec == SNAPPY:
        return cramjam.snappy.compress_raw(data)
    if codec == BROTLI:
        return cramjam.brotli.compress(data, BROTLI_LEVEL)
    if codec == ZSTD:
        return cramjam.zstd.compress(data, ZSTD_LEVEL)
    return cramjam.lz4.compress_block(data, store_size=False)
