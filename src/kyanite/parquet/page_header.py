"""The page headers that nearly all writers make, read in a few microseconds; every other one is decoded in full.

A row group under a cut may have thousands of pages per column, and their headers are all that is read of most of them.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from kyanite.parquet.page_cut import CUT_ENCODINGS, DATA_PAGE, DATA_PAGE_V2
from kyanite.parquet.schema import Leaf
from kyanite.parquet.statistics import Summary, summary_of
from kyanite.parquet.thrift import Truncated, read_varint

_NUMBER = rb"([\x80-\xff]{0,4}[\x00-\x7f])"
_FIELD = rb"\x15" + _NUMBER  # the next field, an i32
_RLE = b"\x06"
# PageHeader: type, sizes, checksum; DataPageHeader: values, encodings of values, definition and repetition levels
_V1 = re.compile(
    rb"\x15\x00" + _FIELD + _FIELD + rb"(?:\x2c|" + _FIELD + rb"\x1c)" + _FIELD * 2 + rb"\x15\x06\x15\x06", re.DOTALL
)
# DataPageHeaderV2: values, nulls, rows, encoding, bytes of definition and repetition levels, is_compressed
_V2 = re.compile(
    rb"\x15\x06" + _FIELD + _FIELD + rb"(?:\x5c|" + _FIELD + rb"\x4c)" + _FIELD * 6 + rb"([\x11\x12]?)", re.DOTALL
)
_STOP, _STATISTICS = 0, 0x1C
_BINARIES = {1: 1, 2: 2, 5: 5, 6: 6}


class Page(NamedTuple):
    """One page: its header at byte `start` of the file, `header_size` bytes of it, then `size` bytes of body."""

    start: int
    header_size: int
    size: int
    uncompressed: int
    kind: int
    encoding: int
    values: int
    rows: int
    summary: Summary

    @property
    def total(self) -> int:
        """Header and body."""
        return self.header_size + self.size


def quick_page(data: bytes, offset: int, start: int, leaf: Leaf) -> Page | None:
    """The data page whose header stands at `data[offset:]` and at byte `start` of the file.

    None when the header is not of the frequent shapes, does not end within `data`, or its page is not one that is cut:
    then the full reading tells what there is. The rows of a nested column's v1 page are -1.
    """
    found = _V1.match(data, offset)
    try:
        if found is not None:
            uncompressed, size, _, values, encoding = found.groups()
            count = _signed(values)
            rows, nulls = (-1 if leaf.max_repetition else count), None
            kind = DATA_PAGE
            position = found.end()
        else:
            found = _V2.match(data, offset)
            if found is None:
                return None
            uncompressed, size, _, values, null_count, row_count, encoding, *_, flag = found.groups()
            count, nulls, rows = _signed(values), _signed(null_count), _signed(row_count)
            kind = DATA_PAGE_V2
            position = found.end()
            if not flag and data[position] == _STATISTICS:  # that would be the flag's own field
                return None
        code = _signed(encoding)
        if leaf.type not in CUT_ENCODINGS.get(code, ()):
            return None
        if data[position] == _STATISTICS:
            summary, position = _summary(data, position + 1, leaf, count, nulls)
        else:
            summary = summary_of(leaf, count, nulls)
        if data[position] or data[position + 1]:
            return None
    except (IndexError, Truncated):
        return None
    return Page(start, position + 2 - offset, _signed(size), _signed(uncompressed), kind, code, count, rows, summary)


def _signed(data: bytes) -> int:
    number = data[0] if len(data) == 1 else read_varint(data, 0)[0]
    return (number >> 1) ^ -(number & 1)


def _summary(data: bytes, position: int, leaf: Leaf, count: int, nulls: int | None) -> tuple[Summary, int]:
    """What a Statistics struct tells, and the position behind it; IndexError for members it has not."""
    number = 0
    low = high = None
    low_exact = high_exact = None
    told: int | None = None
    while head := data[position]:
        if not head >> 4:
            raise IndexError
        number += head >> 4
        position += 1
        kind = head & 15
        if kind == 8 and number in _BINARIES:
            length = data[position]
            position += 1
            if length > 127:
                length, position = read_varint(data, position - 1)
            end = position + length
            if end > len(data):
                raise IndexError
            if number == 5:
                high = data[position:end]
            elif number == 6:
                low = data[position:end]
            position = end
        elif kind == 6 and number in (3, 4):
            value, position = read_varint(data, position)
            if number == 3:
                told = (value >> 1) ^ -(value & 1)
        elif kind in (1, 2) and number in (7, 8):
            if number == 7:
                high_exact = kind == 1
            else:
                low_exact = kind == 1
        else:
            raise IndexError
    told = nulls if told is None or told == -1 else told
    return summary_of(leaf, count, told, low, high, low_exact, high_exact), position + 1
