"""Compression of pages, by the codec numbers of the format; all but LZO, which nobody here can read."""

from __future__ import annotations

import struct as packing

from kyanite import limits
from kyanite.errors import DataError, UnsupportedError

NONE, OLD_LZ4 = 0, 5
CODECS = {NONE: None, 1: "snappy", 2: "gzip", 4: "brotli", OLD_LZ4: "lz4_raw", 6: "zstd", 7: "lz4_raw"}


class NotCuttable(UnsupportedError):
    """The page cannot be cut as it is: its row group has to be encoded anew first."""


def check_codec(codec: int) -> None:
    """Raise `NotCuttable` for a codec that `decompress` does not know."""
    if codec not in CODECS:
        raise NotCuttable(f"Pages compressed with codec {codec} are not cut.")


def decompress(data: bytes, size: int, codec: int) -> bytes:
    """The data decompressed to `size` bytes."""
    import pyarrow as pa

    check_codec(codec)
    if not 0 <= size <= limits.PARQUET_PAGE_BYTES:
        raise DataError(f"A page claims {size} bytes decompressed; up to {limits.PARQUET_PAGE_BYTES} are read.")
    name = CODECS[codec]
    if name is None:
        return data
    try:
        if codec == OLD_LZ4 and (blocks := _hadoop_blocks(data, size)) is not None:
            return b"".join(_raw(name, block, length) for block, length in blocks)
        return _raw(name, data, size)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"A page cannot be decompressed: {error}") from error


def _raw(name: str, data: bytes, size: int) -> bytes:
    import pyarrow as pa

    return bytes(pa.Codec(name).decompress(data, size, asbytes=True))


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
    import pyarrow as pa

    name = CODECS[codec]
    if name is None:
        return data
    packed = bytes(pa.Codec(name).compress(data, asbytes=True))
    return packing.pack(">II", len(data), len(packed)) + packed if codec == OLD_LZ4 else packed
