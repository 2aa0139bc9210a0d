"""The least and the greatest of a page's values; bytes of texts. pyarrow reads large pages."""

from __future__ import annotations

import struct as packing
from typing import TYPE_CHECKING, Any

from kyanite.parquet import delta
from kyanite.parquet.footer import MAGIC, naming
from kyanite.parquet.order import BYTE_ARRAY, key_of
from kyanite.parquet.reencode import decoding
from kyanite.parquet.schema import Leaf
from kyanite.parquet.small_pages import is_small, small_bounds, small_text_bytes
from kyanite.parquet.thrift import BINARY, I32, I64, LIST, STRUCT, Struct, encode

if TYPE_CHECKING:
    import pyarrow as pa

PLAIN, LEVELS, DELTA_BYTE_ARRAY = 0, 3, 7


def bounds_of(
    values: bytes, encoding: int, count: int, leaf: Leaf, dictionary: tuple[bytes, int] | None, name: str
) -> tuple[bytes, bytes] | None:
    """(least, greatest) of `count` encoded values as statistics hold them; None when all are NaN or none is ordered.

    `dictionary` is the dictionary page's decompressed body and its number of values, None when not referred to.
    """
    if not leaf.order or not count:
        return None
    if is_small(encoding, count, leaf, dictionary):
        with naming(name):
            return small_bounds(values, count, leaf, dictionary)
    array = _decoded(values, encoding, count, leaf, dictionary, name)
    if dictionary is not None and leaf.type == BYTE_ARRAY:
        array = _compute("take", array.dictionary, _compute("unique", array.indices))
    return _extremes(array, leaf)


def text_bytes(
    values: bytes, encoding: int, count: int, leaf: Leaf, dictionary: tuple[bytes, int] | None, name: str
) -> int:
    """Bytes of `count` encoded texts, without their lengths; arguments as for `bounds_of`."""
    if encoding == PLAIN or not count:
        return len(values) - 4 * count if count else 0
    if dictionary is None:
        return delta.text_bytes(values, prefixed=encoding == DELTA_BYTE_ARRAY)
    if is_small(encoding, count, leaf, dictionary):
        with naming(name):
            return small_text_bytes(values, count, dictionary)
    array = _decoded(values, encoding, count, leaf, dictionary, name)
    lengths = _compute("binary_length", array.dictionary)
    return int(_compute("sum", _compute("take", lengths, array.indices)).as_py())


def _decoded(
    values: bytes, encoding: int, count: int, leaf: Leaf, dictionary: tuple[bytes, int] | None, name: str
) -> pa.Array:
    """The values as an array; texts in a dictionary stay there."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = _one_page_file(values, encoding, count, leaf, dictionary)
    keep = ["v"] if dictionary is not None and leaf.type == BYTE_ARRAY else None
    with decoding(name):
        table = pq.ParquetFile(pa.BufferReader(file), read_dictionary=keep).read(use_threads=False)
        array = table.column(0).combine_chunks()
        if isinstance(array, pa.ChunkedArray):
            array = array.chunk(0)
    return array


def _compute(name: str, *arrays: pa.Array) -> Any:
    """The result of one of pyarrow's compute functions."""
    try:  # pyarrow.compute makes a Python function of each of the 300 when it is imported: 25 ms
        from pyarrow._compute import call_function
    except ImportError:
        from pyarrow.compute import call_function
    return call_function(name, list(arrays))


def _extremes(array: pa.Array, leaf: Leaf) -> tuple[bytes, bytes] | None:
    import pyarrow as pa

    if leaf.order in ("decimal", "half"):
        keyed = [(key_of(leaf.order, data), data) for data in _compute("unique", array).to_pylist()]
        keyed = [pair for pair in keyed if pair[0] is not None]
        return (min(keyed)[1], max(keyed)[1]) if keyed else None
    if leaf.order == "unsigned" and leaf.length_of_value in (4, 8):
        array = array.view(pa.uint32() if leaf.length_of_value == 4 else pa.uint64())
    if leaf.order == "float":
        array = _compute("filter", array, _compute("invert", _compute("is_nan", array)))
    found = _compute("min_max", array).as_py()
    if found["min"] is None:
        return None
    return _stored(found["min"], leaf), _stored(found["max"], leaf)


def _stored(value: Any, leaf: Leaf) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, bool):
        return bytes([value])
    if isinstance(value, float):
        return packing.pack("<f" if leaf.length_of_value == 4 else "<d", value)
    return int(value).to_bytes(leaf.length_of_value, "little", signed=leaf.order == "signed")


def _one_page_file(values: bytes, encoding: int, count: int, leaf: Leaf, dictionary: tuple[bytes, int] | None) -> bytes:
    """A parquet file of one required column of the leaf's physical type: the dictionary page and the page of values."""
    out = bytearray(MAGIC)
    meta: Struct = {
        1: (I32, leaf.type),
        2: (LIST, (I32, [encoding])),
        3: (LIST, (BINARY, [b"v"])),
        4: (I32, 0),
        5: (I64, count),
    }
    if dictionary is not None:
        body, entries = dictionary
        meta[11] = (I64, len(out))
        out += encode({**_sizes(2, body), 7: (STRUCT, {1: (I32, entries), 2: (I32, PLAIN)})}) + body
    meta[9] = (I64, len(out))
    head: Struct = {1: (I32, count), 2: (I32, encoding), 3: (I32, LEVELS), 4: (I32, LEVELS)}
    out += encode({**_sizes(0, values), 5: (STRUCT, head)}) + values
    meta[6] = meta[7] = (I64, len(out) - len(MAGIC))
    element: Struct = {1: (I32, leaf.type), 2: (I32, leaf.length), 3: (I32, 0), 4: (BINARY, b"v")}
    chunk: Struct = {2: (I64, 0), 3: (STRUCT, meta)}
    group: Struct = {1: (LIST, (STRUCT, [chunk])), 2: meta[6], 3: (I64, count)}
    footer = encode(
        {
            1: (I32, 2),
            2: (LIST, (STRUCT, [{4: (BINARY, b"r"), 5: (I32, 1)}, element])),
            3: (I64, count),
            4: (LIST, (STRUCT, [group])),
        }
    )
    return bytes(out + footer + packing.pack("<I", len(footer)) + MAGIC)


def _sizes(kind: int, body: bytes) -> Struct:
    return {1: (I32, kind), 2: (I32, len(body)), 3: (I32, len(body))}
