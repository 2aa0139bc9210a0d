"""The DELTA_* encodings of one page, cut at values: decoded and encoded again (Encodings.md of parquet-format)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

from kyanite import limits
from kyanite.errors import DataError
from kyanite.parquet.thrift import read_varint, write_varint

BLOCK_VALUES = 128
MINIBLOCKS = 4
MINIBLOCK_VALUES = BLOCK_VALUES // MINIBLOCKS


def cut_integers(data: bytes, bits: int, first: int, last: int) -> bytes:
    """Values `first` .. `last` of DELTA_BINARY_PACKED integers of 32 or 64 bits."""
    values, _ = decode_integers(data, bits)
    _check(len(values), last)
    return encode_integers(values[first:last], bits)


def cut_texts(data: bytes, first: int, last: int) -> bytes:
    """Values `first` .. `last` of DELTA_LENGTH_BYTE_ARRAY."""
    lengths, position = decode_integers(data, 32)
    _check(len(lengths), last)
    begin = position + sum(lengths[:first])
    end = begin + sum(lengths[first:last])
    if end > len(data):
        raise DataError("A page's texts end too early.")
    return encode_integers(lengths[first:last], 32) + data[begin:end]


def cut_prefixed(data: bytes, first: int, last: int) -> bytes:
    """Values `first` .. `last` of DELTA_BYTE_ARRAY: the first gets its whole text, the others keep their prefixes."""
    prefixes, position = decode_integers(data, 32)
    lengths, start = decode_integers(data, 32, position)
    _check(min(len(prefixes), len(lengths)), last)
    ends = list(accumulate(lengths, initial=start))
    if ends[last] > len(data):
        raise DataError("A page's texts end too early.")
    if first == last:
        return encode_integers([], 32) * 2
    text = b""
    for index in range(first + 1):
        text = text[: prefixes[index]] + data[ends[index] : ends[index + 1]]
    prefix_part = encode_integers([0, *prefixes[first + 1 : last]], 32)
    length_part = encode_integers([len(text), *lengths[first + 1 : last]], 32)
    return prefix_part + length_part + text + data[ends[first + 1] : ends[last]]


def text_bytes(data: bytes, *, prefixed: bool) -> int:
    """Bytes of all texts of DELTA_BYTE_ARRAY (`prefixed`) or DELTA_LENGTH_BYTE_ARRAY."""
    lengths, position = decode_integers(data, 32)
    return sum(lengths) + (sum(decode_integers(data, 32, position)[0]) if prefixed else 0)


def _check(count: int, last: int) -> None:
    if count < last:
        raise DataError("A page holds fewer values than its header says.")


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def decode_integers(data: bytes, bits: int, position: int = 0) -> tuple[list[int], int]:
    """The integers and the position behind them; deltas wrap at `bits` bits as the format says."""
    try:
        return _decode_integers(data, bits, position)
    except IndexError:
        raise DataError("A page's delta-encoded numbers end too early.") from None


def _decode_integers(data: bytes, bits: int, position: int) -> tuple[list[int], int]:
    block_values, position = read_varint(data, position)
    miniblocks, position = read_varint(data, position)
    count, position = read_varint(data, position)
    head, position = read_varint(data, position)
    if not 0 < miniblocks <= block_values <= limits.PARQUET_LIST_ITEMS or block_values % miniblocks:
        raise DataError("A page's delta-encoded numbers have an impossible block size.")
    per_miniblock = block_values // miniblocks
    value = (head >> 1) ^ -(head & 1)
    values = [_signed(value, bits)][:count]
    while len(values) < count:
        least, position = read_varint(data, position)
        least = (least >> 1) ^ -(least & 1)
        widths = data[position : position + miniblocks]
        position += miniblocks
        for width in widths:
            if len(values) >= count:
                break
            size = per_miniblock * width // 8
            if position + size > len(data) or len(widths) < miniblocks:
                raise IndexError
            packed = int.from_bytes(data[position : position + size], "little")
            position += size
            mask = (1 << width) - 1
            for index in range(min(per_miniblock, count - len(values))):
                value = _signed(value + least + (packed >> (index * width) & mask), bits)
                values.append(value)
        if not widths:
            raise IndexError
    return values, position


def encode_integers(values: Sequence[int], bits: int) -> bytes:
    """The integers in blocks of 128, four miniblocks each."""
    out = bytearray()
    for number in (BLOCK_VALUES, MINIBLOCKS, len(values)):
        write_varint(out, number)
    first = values[0] if values else 0
    write_varint(out, _zigzag(first))
    deltas = [_signed(after - before, bits) for before, after in pairwise(values)]
    for start in range(0, len(deltas), BLOCK_VALUES):
        block = deltas[start : start + BLOCK_VALUES]
        least = min(block)
        write_varint(out, _zigzag(least))
        parts = [block[index : index + MINIBLOCK_VALUES] for index in range(0, BLOCK_VALUES, MINIBLOCK_VALUES)]
        widths = [(max(part) - least).bit_length() if part else 0 for part in parts]
        out += bytes(widths)
        for part, width in zip(parts, widths, strict=True):
            if part:
                packed = sum((delta - least) << (index * width) for index, delta in enumerate(part))
                out += packed.to_bytes(MINIBLOCK_VALUES * width // 8, "little")
    return bytes(out)


def _zigzag(value: int) -> int:
    return value << 1 if value >= 0 else (-value << 1) - 1
