"""One data page cut at rows: levels and values keep their encodings, only the page's own bytes are made anew."""

from __future__ import annotations

import struct as packing
import zlib
from typing import NamedTuple

from kyanite.errors import DataError
from kyanite.parquet import delta, hybrid
from kyanite.parquet.codecs import NotCuttable, compress, decompress
from kyanite.parquet.schema import Leaf
from kyanite.parquet.thrift import FALSE, I32, STRUCT, TRUE, Struct, encode, number_of, struct_of

DATA_PAGE, DATA_PAGE_V2 = 0, 3
BOOLEAN, INT32, INT64, INT96, FLOAT, DOUBLE, BYTE_ARRAY, FIXED = range(8)
WIDTHS = {INT32: 4, INT64: 8, INT96: 12, FLOAT: 4, DOUBLE: 8}
PLAIN, PLAIN_DICTIONARY, RLE = 0, 2, 3
DELTA_BINARY_PACKED, DELTA_LENGTH_BYTE_ARRAY, DELTA_BYTE_ARRAY, RLE_DICTIONARY, BYTE_STREAM_SPLIT = range(5, 10)
DICTIONARY = (PLAIN_DICTIONARY, RLE_DICTIONARY)
FEW_VALUES = 64
ANY_TYPE = (BOOLEAN, INT32, INT64, INT96, FLOAT, DOUBLE, BYTE_ARRAY, FIXED)
CUT_ENCODINGS = {
    PLAIN: ANY_TYPE,
    PLAIN_DICTIONARY: ANY_TYPE,
    RLE: (BOOLEAN,),
    DELTA_BINARY_PACKED: (INT32, INT64),
    DELTA_LENGTH_BYTE_ARRAY: (BYTE_ARRAY,),
    DELTA_BYTE_ARRAY: (BYTE_ARRAY, FIXED),
    RLE_DICTIONARY: ANY_TYPE,
    BYTE_STREAM_SPLIT: (INT32, INT64, INT96, FLOAT, DOUBLE, FIXED),
}


class Body(NamedTuple):
    """A page's parts, decompressed: encoded levels (empty where the column has none) and values."""

    repetition: bytes
    definition: bytes
    values: bytes


class CutPage(NamedTuple):
    """A new page: header and body as written, its size decompressed (header included) and its number of values.

    `encoded` are the `defined` values that are not null, in the page's encoding; `old_nulls` were in the whole page.
    `repetitions` and `definitions` count the values at each level.
    """

    data: bytes
    uncompressed: int
    values: int
    encoded: bytes
    defined: int
    old_nulls: int
    repetitions: tuple[int, ...]
    definitions: tuple[int, ...]


def data_header(header: Struct) -> Struct:
    """The DataPageHeader or DataPageHeaderV2 of a data page."""
    return struct_of(header, 5 if number_of(header, 1) == DATA_PAGE else 8)


def encoding_of(header: Struct) -> int:
    """The encoding of a data page's values."""
    return number_of(data_header(header), 2 if number_of(header, 1) == DATA_PAGE else 4)


def check_cuttable(header: Struct, leaf: Leaf) -> None:
    """Raise `NotCuttable` for a data page whose levels or values `cut_page` does not cut."""
    head = data_header(header)
    if number_of(header, 1) == DATA_PAGE:
        for deepest, number in ((leaf.max_repetition, 4), (leaf.max_definition, 3)):
            if deepest and number_of(head, number) != RLE:
                raise NotCuttable("Pages with the old BIT_PACKED levels are not cut.")
    if max(leaf.max_definition, leaf.max_repetition).bit_length() > hybrid.MAX_LEVEL_WIDTH:
        raise NotCuttable("Columns nested more than 255 deep are not cut.")
    encoding = encoding_of(header)
    if leaf.type not in CUT_ENCODINGS.get(encoding, ()):
        raise NotCuttable(f"Pages with encoding {encoding} are not cut.")


def open_body(header: Struct, body: bytes, leaf: Leaf, codec: int) -> Body:
    """The page's body taken apart."""
    head = data_header(header)
    if number_of(header, 1) == DATA_PAGE_V2:
        definition_size, repetition_size = number_of(head, 5), number_of(head, 6)
        levels = definition_size + repetition_size
        if min(definition_size, repetition_size) < 0 or levels > len(body):
            raise DataError("A page's levels are larger than the page.")
        values = body[levels:]
        if values and head.get(7, (TRUE, True))[1]:
            values = decompress(values, number_of(header, 2) - levels, codec)
        return Body(body[:repetition_size], body[repetition_size:levels], values)
    raw = decompress(body, number_of(header, 2), codec)
    repetition = definition = b""
    if leaf.max_repetition:
        repetition, raw = _v1_levels(raw)
    if leaf.max_definition:
        definition, raw = _v1_levels(raw)
    return Body(repetition, definition, raw)


def _v1_levels(raw: bytes) -> tuple[bytes, bytes]:
    if len(raw) < 4:
        raise DataError("A page ends inside its levels.")
    end = 4 + packing.unpack_from("<I", raw)[0]
    if end > len(raw):
        raise DataError("A page ends inside its levels.")
    return raw[4:end], raw[end:]


def repetition_levels(body: Body, leaf: Leaf, values: int) -> bytes:
    """The page's repetition levels, one byte each; 0 begins a row."""
    return _levels(body.repetition, leaf.max_repetition, values)


def _levels(data: bytes, most: int, count: int) -> bytes:
    return hybrid.levels(data, most.bit_length(), count)


def cut_page(header: Struct, data: bytes, leaf: Leaf, codec: int, first: int, last: int) -> CutPage:
    """Rows `first` .. `last` of the page, as a page of the same kind, encoding and codec without statistics."""
    body = open_body(header, data, leaf, codec)
    total = number_of(data_header(header), 1)
    rows = last - first
    repetitions = None
    if leaf.max_repetition:
        starts = repetition_levels(body, leaf, total)
        if starts[:1] != b"\0":
            raise NotCuttable("Pages that begin inside a row are not cut.")
        first, last = _nth_row(starts, first), _nth_row(starts, last)
        repetitions = _histogram(starts, leaf.max_repetition, first, last)
    begin, end, present = first, last, total
    old_nulls = 0
    definitions = None
    if leaf.max_definition:
        defined = _levels(body.definition, leaf.max_definition, total)
        begin = defined.count(leaf.max_definition, 0, first)
        end = begin + defined.count(leaf.max_definition, first, last)
        present = end + defined.count(leaf.max_definition, last)
        old_nulls = total - present
        definitions = _histogram(defined, leaf.max_definition, first, last)
    new = Body(
        _cut_levels(body.repetition, leaf.max_repetition, total, first, last),
        _cut_levels(body.definition, leaf.max_definition, total, first, last),
        cut_values(body.values, encoding_of(header), leaf, begin, end, present),
    )
    values, nulls = last - first, last - first - (end - begin)
    version_1 = number_of(header, 1) == DATA_PAGE
    made = (
        _page_v1(header, new, leaf, codec, values) if version_1 else _page_v2(header, new, codec, values, nulls, rows)
    )
    levels = repetitions or (values,), definitions or (values,)
    return CutPage(*made, values, new.values, end - begin, old_nulls, *levels)


def _histogram(levels: bytes, deepest: int, first: int, last: int) -> tuple[int, ...]:
    return tuple(levels.count(level, first, last) for level in range(deepest + 1))


def _cut_levels(data: bytes, most: int, total: int, first: int, last: int) -> bytes:
    return hybrid.cut(data, most.bit_length(), total, first, last) if most else b""


def _nth_row(starts: bytes, row: int) -> int:
    """The index of the first value of row `row`; the number of values for the row behind the last one."""
    low, high = 0, len(starts)
    while high - low > FEW_VALUES:
        middle = (low + high) // 2
        before = starts.count(0, low, middle)
        if before > row:
            high = middle
        else:
            row, low = row - before, middle
    position = low - 1
    for _ in range(row + 1):
        position = starts.find(0, position + 1)
        if position < 0:
            return len(starts)
    return position


def _page_v1(header: Struct, body: Body, leaf: Leaf, codec: int, values: int) -> tuple[bytes, int]:
    raw = b""
    if leaf.max_repetition:
        raw += packing.pack("<I", len(body.repetition)) + body.repetition
    if leaf.max_definition:
        raw += packing.pack("<I", len(body.definition)) + body.definition
    raw += body.values
    head = {number: value for number, value in data_header(header).items() if number != 5}
    head[1] = (I32, values)
    return _finished({**header, 5: (STRUCT, head)}, compress(raw, codec), len(raw))


def _page_v2(header: Struct, body: Body, codec: int, values: int, nulls: int, rows: int) -> tuple[bytes, int]:
    head = {number: value for number, value in data_header(header).items() if number != 8}
    packed = body.values
    if packed and head.get(7, (TRUE, True))[1]:
        packed = compress(packed, codec)
    else:
        head[7] = (FALSE, False)
    head[1], head[2], head[3] = (I32, values), (I32, nulls), (I32, rows)
    head[5], head[6] = (I32, len(body.definition)), (I32, len(body.repetition))
    levels = body.repetition + body.definition
    return _finished({**header, 8: (STRUCT, head)}, levels + packed, len(levels) + len(body.values))


def _finished(header: Struct, data: bytes, uncompressed: int) -> tuple[bytes, int]:
    header = {**header, 2: (I32, uncompressed), 3: (I32, len(data))}
    if 4 in header:
        checksum = zlib.crc32(data)
        header[4] = (I32, checksum - (1 << 32) if checksum >> 31 else checksum)
    head = encode(header)
    return head + data, uncompressed + len(head)


def text_ends(header: Struct, data: bytes, leaf: Leaf, codec: int) -> list[int]:
    """Bytes decompressed of the first 1, 2, .. rows of a flat column's page of plain texts; a null row takes one."""
    total = number_of(data_header(header), 1)
    body = open_body(header, data, leaf, codec)
    defined = _levels(body.definition, leaf.max_definition, total) if leaf.max_definition else b"\0" * total
    length_at = packing.Struct("<I").unpack_from
    ends: list[int] = []
    position = nulls = 0
    try:
        for level in defined:
            if level == leaf.max_definition:
                position += 4 + length_at(body.values, position)[0]
            else:
                nulls += 1
            ends.append(position + nulls)
    except packing.error:
        raise DataError("A page's texts end too early.") from None
    return ends or [0]


def cut_values(values: bytes, encoding: int, leaf: Leaf, first: int, last: int, count: int) -> bytes:
    """Values `first` .. `last` of `count` (nulls not counted) in the same encoding."""
    if encoding in DICTIONARY:
        width = values[0] if values else 0
        if width > 32:
            raise DataError(f"A page's dictionary indices have {width} bits.")
        return bytes([width]) + hybrid.cut(values[1:], width, count, first, last)
    if encoding == PLAIN:
        return _cut_plain(values, leaf, first, last)
    if encoding == RLE:
        bits = hybrid.cut(values[4:], 1, count, first, last)
        return packing.pack("<I", len(bits)) + bits
    if encoding == DELTA_BINARY_PACKED:
        return delta.cut_integers(values, 8 * WIDTHS[leaf.type], first, last)
    if encoding == DELTA_LENGTH_BYTE_ARRAY:
        return delta.cut_texts(values, first, last)
    if encoding == DELTA_BYTE_ARRAY:
        return delta.cut_prefixed(values, first, last)
    if encoding != BYTE_STREAM_SPLIT:
        raise NotCuttable(f"Pages with encoding {encoding} are not cut.")
    width = WIDTHS.get(leaf.type, leaf.length)
    count = len(values) // max(1, width)
    _check_end(last, count)
    return b"".join(values[stream * count + first : stream * count + last] for stream in range(width))


def _check_end(wanted: int, present: int) -> None:
    if wanted > present:
        raise DataError("A page holds fewer values than its header says.")


def _cut_plain(values: bytes, leaf: Leaf, first: int, last: int) -> bytes:
    if leaf.type == BOOLEAN:
        _check_end(last, 8 * len(values))
        bits = int.from_bytes(values, "little") >> first & ((1 << (last - first)) - 1)
        return bits.to_bytes((last - first + 7) // 8, "little")
    if leaf.type != BYTE_ARRAY:
        width = WIDTHS.get(leaf.type, leaf.length)
        _check_end(last * width, len(values))
        return values[first * width : last * width]
    length_at = packing.Struct("<I").unpack_from
    position = start = 0
    try:
        for index in range(last):
            if index == first:
                start = position
            position += 4 + length_at(values, position)[0]
    except packing.error:
        raise DataError("A page's texts end too early.") from None
    _check_end(position, len(values))
    return values[start:position] if first < last else b""
