"""The page headers that nearly all writers make, read in a microsecond or two; every other one is decoded in full.

A row group under a cut may have thousands of pages per column, and their headers are all that is read of most of them.
Of their statistics the frequent ones are noted on the way, as they stand there; slices make bounds of them.
"""

from __future__ import annotations

import re
import struct as packing
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache, lru_cache
from operator import eq, le
from typing import Any, NamedTuple

from kyanite.errors import DataError
from kyanite.parquet.page_cut import CUT_ENCODINGS, DATA_PAGE, DATA_PAGE_V2, data_header
from kyanite.parquet.schema import Leaf
from kyanite.parquet.statistics import Summary, fold, page_summary, summary_of
from kyanite.parquet.thrift import STRUCT, Truncated, decode, read_varint, signed, skip

NARROW_BYTES, WIDE_BYTES = 512, 16 * 1024  # of a read: for one header, for many
NEAR_BYTES = 2 * 1024  # pages that are not larger are looked at several at a time
_VARINT = rb"[\x80-\xff]{0,4}+[\x00-\x7f]"
_FIELD = rb"\x15(" + _VARINT + rb")"  # the next field, an i32
_BOUND = rb"(?:\x04.{4}|\x08.{8})"
# Statistics of numbers as pyarrow writes them: nulls, greatest, least, whether these are exact
_STATISTICS = rb"\x1c(?:\x36|\x18%b\x18%b\x16)(%b)\x28(%b)\x18(%b)(?:([\x11\x12])([\x11\x12]))?\x00"
_STATISTICS %= _BOUND, _BOUND, _VARINT, _BOUND, _BOUND
# Those of texts: nulls, length of the greatest
_TEXTS = re.compile(rb"\x1c\x36(" + _VARINT + rb")\x28([\x00-\x7f])", re.DOTALL)
_TEXT_ENDS = {high + low + b"\0\0\0": (low, high) for high in (b"\x11", b"\x12") for low in (b"\x11", b"\x12")}
_STATISTICS_FIELD = 0x1C
_FLAGS = {None: None, b"\x11": True, b"\x12": False}
_UNKNOWN_NULLS = b"\x01"  # -1
_BINARIES = {1: 1, 2: 2, 5: 5, 6: 6}
_FORMATS = {"signed": {4: "i", 8: "q"}, "unsigned": {4: "I", 8: "Q"}, "float": {4: "f", 8: "d"}}
_new = tuple.__new__  # a third of the time that Page(...) takes


@cache
def _v1() -> re.Pattern[bytes]:
    """PageHeader: type, sizes, checksum; DataPageHeader: values, encodings of values and levels, statistics."""
    head = rb"\x15\x00" + _FIELD + _FIELD + rb"(?:\x2c|" + _FIELD + rb"\x1c)" + _FIELD * 2 + rb"\x15\x06\x15\x06"
    return re.compile(head + rb"(?:(?:" + _STATISTICS + rb")?(\x00\x00))?", re.DOTALL)


@cache
def _v2() -> re.Pattern[bytes]:
    """DataPageHeaderV2: values, nulls, rows, encoding, bytes of levels, is_compressed, statistics."""
    head = rb"\x15\x06" + _FIELD + _FIELD + rb"(?:\x5c|" + _FIELD + rb"\x4c)" + _FIELD * 6 + rb"([\x11\x12])?"
    return re.compile(head + rb"(?:(?(10)(?:" + _STATISTICS + rb")?)(\x00\x00))?", re.DOTALL)


Told = tuple[bytes | None, bytes | None, bytes | None, bytes | None, bytes | None]
"""What a header tells of a page's values, as it stands there: nulls, greatest, least, and whether each is exact.

The bounds have their length, one byte, before them.
"""


class Page(NamedTuple):
    """One page: `total` bytes from byte `start` of the file on, the `header` and the body.

    What is `told` of its values is None where that has not been looked for.
    """

    start: int
    header: bytes
    total: int
    uncompressed: int
    kind: int
    encoding: int
    values: int
    rows: int
    told: Told | None = None

    @property
    def header_size(self) -> int:
        """Bytes of the header."""
        return len(self.header)

    @property
    def size(self) -> int:
        """Bytes of the body."""
        return self.total - len(self.header)


def quick_pages(
    read: Callable[[int, int], bytes], start: int, end: int, values: int, leaf: Leaf, is_indexed: bool
) -> list[Page]:
    """The data pages between bytes `start` and `end` of a file, up to `values` values, as far as they are plain to see.

    It ends before a header that is not of the frequent shapes or a page that is not one that is cut: then the full
    reading tells what there is. `read(size, start)` gives bytes of the file. The rows of a nested column's v1 page are
    -1 where an index tells them, else it ends before them.
    """
    pages: list[Page] = []
    match, is_flat, codes = _v1().match, not leaf.max_repetition, _codes(leaf.type)
    window, offset, last, size = b"", 0, 0, WIDE_BYTES
    while start < end and values > 0:
        if offset >= last:
            window, offset = read(min(size, end - start), start), 0
            last = len(window) - size // 4
        found = match(window, offset)
        if found is not None:
            uncompressed, length, _, count, encoding, nulls, high, low, high_flag, low_flag, tail = found.groups()
            kind, flag, row_count, null_count = DATA_PAGE, b"\x11", count if is_flat else None, None
        else:
            found = _v2().match(window, offset)
            if found is None:
                break
            uncompressed, length, _, count, *more, nulls, high, low, high_flag, low_flag, tail = found.groups()
            null_count, row_count, encoding, _, _, flag = more
            kind = DATA_PAGE_V2
        position: int | None = found.end()
        is_told = True
        if not tail:
            texts = _texts_at(window, found.end()) if flag else None
            if texts is not None:
                nulls, high, low, high_flag, low_flag, position = texts
            else:
                position, is_told = _end_of_header(window, found.end()) if flag else None, False
        if nulls is None or nulls == _UNKNOWN_NULLS:
            nulls = null_count
        code, number, body = codes.get(encoding), _frequent(count), signed(length)
        rows = _frequent(row_count) if row_count else -1
        if position is None or code is None or number < 0 or body < 0 or (rows < 0 and not is_indexed):
            break
        total, told = position - offset + body, (nulls, high, low, high_flag, low_flag) if is_told else None
        header = window[offset:position]
        pages.append(_new(Page, (start, header, total, signed(uncompressed), kind, code, number, rows, told)))
        values -= number
        start += total
        offset += total
        size = WIDE_BYTES if total <= NEAR_BYTES else NARROW_BYTES
    return pages


@cache
def _codes(kind: int) -> dict[bytes, int]:
    """The encodings in which values of a type are cut, by how they are written."""
    return {bytes([code << 1]): code for code, kinds in CUT_ENCODINGS.items() if kind in kinds}


def _end_of_header(data: bytes, position: int) -> int | None:
    """Where a header ends whose statistics, of any shape, begin at `position`; None when that is not what is there."""
    try:
        if data[position] == _STATISTICS_FIELD:
            position = skip(data, position + 1, STRUCT)
        return None if data[position] or data[position + 1] else position + 2
    except (IndexError, DataError):
        return None


def _texts_at(data: bytes, position: int) -> tuple[bytes, bytes, bytes, bytes, bytes, int] | None:
    """Statistics of short texts as pyarrow writes them, and the header's end."""
    found = _TEXTS.match(data, position)
    if found is None:
        return None
    nulls, length = found.groups()
    begin = found.end()
    middle = begin + length[0]
    head = data[middle : middle + 2]
    if len(head) < 2 or head[0] != 0x18 or head[1] > 127:
        return None
    end = middle + 2 + head[1]
    flags = _TEXT_ENDS.get(data[end : end + 5])
    if flags is None:
        return None
    return nulls, data[begin - 1 : middle], data[middle + 1 : end], *flags, end + 5


def summary_of_page(page: Page, leaf: Leaf) -> Summary:
    """What the data page's header tells of its values; `DataError` for statistics that are none."""
    if page.told is not None:
        nulls, high, low, high_flag, low_flag = page.told
        count = signed(nulls) if nulls is not None else None
        if high is None or low is None:
            return summary_of(leaf, page.values, count)
        return summary_of(leaf, page.values, count, low[1:], high[1:], _FLAGS[low_flag], _FLAGS[high_flag])
    found = _v1().match(page.header) if page.kind == DATA_PAGE else _v2().match(page.header)
    if found is not None:
        with suppress(IndexError, Truncated):
            told = None if page.kind == DATA_PAGE else signed(found.group(5))
            if page.header[found.end()] == _STATISTICS_FIELD and (page.kind == DATA_PAGE or found.group(10)):
                return _summary(page.header, found.end() + 1, leaf, page.values, told)
    return page_summary(data_header(decode(page.header)[0]), leaf, 1 if page.kind == DATA_PAGE else 2)


def folded_summary(pages: Sequence[Page], leaf: Leaf) -> Summary:
    """What the headers of these data pages tell of all their values: `fold` of each one's summary.

    Where all tell of nulls and bounds, these are compared all at once.
    """
    return _folded(pages, leaf) or fold([summary_of_page(page, leaf) for page in pages], leaf)


def _folded(pages: Sequence[Page], leaf: Leaf) -> Summary | None:
    """None where one page tells something else than nulls and bounds, or where its bounds are none."""
    told = [page.told for page in pages if page.told is not None]
    if len(told) < len(pages):
        return None
    nulls, highs, lows, high_flags, low_flags = zip(*told, strict=True)
    if None in lows or (None in nulls and leaf.max_definition):
        return None
    counts = list(map(_frequent, nulls)) if leaf.max_definition else [0]
    if leaf.max_definition and any(map(eq, counts, [page.values for page in pages])):
        return None
    low, high = _values(lows, leaf), _values(highs, leaf)
    if low is None or high is None or not all(map(le, low, high)):
        return None
    at_low, at_high = low.index(min(low)), high.index(max(high))
    flags = _FLAGS[low_flags[at_low]], _FLAGS[high_flags[at_high]]
    return Summary(lows[at_low][1:], highs[at_high][1:], sum(counts), False, *flags)


def _values(bounds: Sequence[bytes], leaf: Leaf) -> Sequence[Any] | None:
    """What bounds compare by, each with its length before it; None for those of another length than values have."""
    if leaf.order == "bytes":
        return [bound[1:] for bound in bounds]
    code = _FORMATS.get(leaf.order, {}).get(leaf.length_of_value)
    data = b"".join(bounds)
    if code is None or len(data) != (leaf.length_of_value + 1) * len(bounds):
        return None
    return packing.unpack("<" + f"x{code}" * len(bounds), data)


_frequent = lru_cache(1024)(signed)  # numbers that are the same in most pages


def _summary(data: bytes, position: int, leaf: Leaf, count: int, nulls: int | None) -> Summary:
    """What the fields of a Statistics struct tell; IndexError for members it has not."""
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
    return summary_of(leaf, count, told, low, high, low_exact, high_exact)
