"""Parquet's RLE / bit-packed hybrid, cut without decoding it: runs are shortened, packed groups copied."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from kyanite.errors import DataError
from kyanite.parquet.thrift import read_varint, write_varint

MAX_LEVEL_WIDTH = 8
TOO_EARLY = "A page's levels or indices end too early."


def runs(data: bytes, width: int, count: int) -> Iterator[tuple[bool, int, int, int]]:
    """(packed, values, first byte, end byte) of each run until `count` values are covered."""
    position = covered = 0
    step = (width + 7) // 8
    while covered < count:
        try:
            head, position = read_varint(data, position)
        except IndexError:
            raise DataError(TOO_EARLY) from None
        values = (head >> 1) * 8 if head & 1 else head >> 1
        size = (head >> 1) * width if head & 1 else step
        # The last packed run may be cut short by writers that do not pad it.
        if values == 0 or (position + size > len(data) and not (head & 1 and covered + values >= count)):
            raise DataError(TOO_EARLY)
        yield bool(head & 1), min(values, count - covered), position, position + size
        covered += values
        position += size


class _Run(NamedTuple):
    """A run of `values` values from value `start` on: its header at byte `head`, its content at `begin` .. `end`."""

    start: int
    values: int
    head: int
    begin: int
    end: int
    packed: bool


def cut(data: bytes, width: int, count: int, first: int, last: int) -> bytes:
    """Values `first` .. `last` of the `count` values in `data`, in the same encoding.

    Runs between the two ends are copied without a look at them.
    """
    if first >= last:
        return b""
    out = bytearray()
    run = _run_of(data, width, count, first, 0, 0)
    behind = run.start + run.values
    _put(out, data, width, run, first - run.start, min(last, behind) - run.start)
    if last > behind:
        if last == count:
            return bytes(out + data[run.end :])
        final = _run_of(data, width, count, last - 1, run.end, behind)
        out += data[run.end : final.head]
        _put(out, data, width, final, 0, last - final.start)
    return bytes(out)


def _run_of(data: bytes, width: int, count: int, value: int, position: int, start: int) -> _Run:
    """The run that holds a value, looked for from the run of value `start` on, whose header is at `position`."""
    size_of_value = (width + 7) // 8
    try:
        while True:
            head, begin = data[position], position + 1
            if head > 127:
                head, begin = read_varint(data, position)
            if head & 1:
                values, end = (head >> 1) * 8, begin + (head >> 1) * width
            else:
                values, end = head >> 1, begin + size_of_value
            if start + values > value:
                break
            position, start = end, start + values
    except IndexError:
        raise DataError(TOO_EARLY) from None
    if end > len(data) and not (head & 1 and start + values >= count):
        raise DataError(TOO_EARLY)
    return _Run(start, values, position, begin, end, bool(head & 1))


def _put(out: bytearray, data: bytes, width: int, run: _Run, low: int, high: int) -> None:
    """Append values `low` .. `high` of a run."""
    content = data[run.begin : run.end]
    if run.packed:
        _cut_packed(out, content.ljust(run.end - run.begin, b"\0"), width, low, high)
    else:
        write_varint(out, (high - low) << 1)
        out += content


def _cut_packed(out: bytearray, packed: bytes, width: int, low: int, high: int) -> None:
    """Packed groups are byte aligned every 8 values; up to 7 values before the first whole group become runs of one."""
    head = min(high, -(-low // 8) * 8)
    if low < head:
        group = int.from_bytes(packed[low // 8 * width : (low // 8 + 1) * width], "little")
        for index in range(low % 8, low % 8 + head - low):
            write_varint(out, 1 << 1)
            value = group >> (index * width) & ((1 << width) - 1)
            out += value.to_bytes((width + 7) // 8, "little")
    if head < high:
        groups = -(-(high - head) // 8)
        write_varint(out, groups << 1 | 1)
        out += packed[head // 8 * width : (head // 8 + groups) * width]


def levels(data: bytes, width: int, count: int) -> bytes:
    """`count` levels of `width` bits (at most 8), one per byte."""
    out = bytearray()
    for packed, values, begin, end in runs(data, width, count):
        if packed:
            out += _unpack(data[begin:end].ljust(end - begin, b"\0"), width)[:values]
        else:
            out += data[begin : begin + 1] * values
    return bytes(out)


def counts(data: bytes, width: int, count: int) -> dict[int, int]:
    """The different values among the first `count`, each of `width` bits (at most 32), and how often each is there."""
    if width > 32:
        raise DataError(f"A page's dictionary indices have {width} bits.")
    found: Counter[int] = Counter()
    for packed, values, begin, end in runs(data, width, count):
        if packed and width:
            found.update(_indices(data[begin:end], width, values))
        else:
            found[int.from_bytes(data[begin:end], "little")] += values
    return found


def _indices(packed: bytes, width: int, values: int) -> list[int]:
    """The first of the packed values, taken out eight at a time."""
    mask = (1 << width) - 1
    two, three, four, five, six, seven = (times * width for times in range(2, 8))
    found: list[int] = []
    put, number_of = found.extend, int.from_bytes
    for at in range(0, len(packed), width):
        group = number_of(packed[at : at + width], "little")
        put(
            (
                group & mask, group >> width & mask, group >> two & mask, group >> three & mask,
                group >> four & mask, group >> five & mask, group >> six & mask, group >> seven & mask,
            )
        )  # fmt: skip
    if len(found) < values:
        raise DataError(TOO_EARLY)
    return found[:values]


def _unpack(data: bytes, width: int) -> bytes:
    if width == 8:
        return data
    if width in (1, 2, 4):
        return b"".join(map(_table(width, 8).__getitem__, data))
    if width == 3:
        table = _table(3, 12)
        triples = (int.from_bytes(data[index : index + 3], "little") for index in range(0, len(data), 3))
        return b"".join(table[triple & 4095] + table[triple >> 12] for triple in triples)
    mask = (1 << width) - 1
    out = bytearray()
    for index in range(0, len(data), width):
        group = int.from_bytes(data[index : index + width], "little")
        out += bytes(group >> shift & mask for shift in range(0, 8 * width, width))
    return bytes(out)


@cache
def _table(width: int, bits: int) -> tuple[bytes, ...]:
    """The values packed in each number of `bits` bits."""
    mask = (1 << width) - 1
    return tuple(bytes(number >> shift & mask for shift in range(0, bits, width)) for number in range(1 << bits))
