"""The page headers that nearly all writers make, read in a microsecond or two; every other one is decoded in full.

A row group under a cut may have thousands of pages per column, and their headers are all that is read of most of them.
Planning steps over a header's statistics; they are parsed for the pages that a slice really holds.
"""

from __future__ import annotations

import re
import struct as packing
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache, lru_cache
from operator import eq, le
from typing import NamedTuple

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
_STATISTICS_GROUPS = 6  # those and what is behind the struct
_STATISTICS_FIELD = 0x1C
_FLAGS = {None: None, b"\x11": True, b"\x12": False}
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


class Page(NamedTuple):
    """One page: `total` bytes from byte `start` of the file on, the `header` and the body."""

    start: int
    header: bytes
    total: int
    uncompressed: int
    kind: int
    encoding: int
    values: int
    rows: int

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
            uncompressed, length, count, encoding, tail = found.group(1, 2, 4, 5, 11)
            kind, flag, row_count = DATA_PAGE, b"\x11", count if is_flat else None
        else:
            found = _v2().match(window, offset)
            if found is None:
                break
            uncompressed, length, count, row_count, encoding, flag, tail = found.group(1, 2, 4, 6, 7, 10, 16)
            kind = DATA_PAGE_V2
        position = found.end() if tail else _end_of_header(window, found.end()) if flag else None
        code, number, body = _frequent(encoding), _frequent(count), signed(length)
        rows = _frequent(row_count) if row_count else -1
        if position is None or code not in codes or number < 0 or body < 0 or (rows < 0 and not is_indexed):
            break
        total = position - offset + body
        pages.append(
            _new(Page, (start, window[offset:position], total, signed(uncompressed), kind, code, number, rows))
        )
        values -= number
        start += total
        offset += total
        size = WIDE_BYTES if total <= NEAR_BYTES else NARROW_BYTES
    return pages


@cache
def _codes(kind: int) -> frozenset[int]:
    """The encodings in which values of a type are cut."""
    return frozenset(code for code, kinds in CUT_ENCODINGS.items() if kind in kinds)


def _end_of_header(data: bytes, position: int) -> int | None:
    """Where a header ends whose statistics, of any shape, begin at `position`; None when that is not what is there."""
    texts = _texts_at(data, position)
    if texts is not None:
        return texts[-1]
    try:
        if data[position] == _STATISTICS_FIELD:
            position = skip(data, position + 1, STRUCT)
        return None if data[position] or data[position + 1] else position + 2
    except (IndexError, DataError):
        return None


def _texts_at(data: bytes, position: int) -> tuple[bytes, bytes, bytes, bytes, bytes, int] | None:
    """Statistics of short texts as pyarrow writes them: nulls, greatest, least, flags of both, and the header's end."""
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
    return nulls, data[begin:middle], data[middle + 2 : end], *flags, end + 5


def summary_of_page(page: Page, leaf: Leaf) -> Summary:
    """What the data page's header tells of its values; `DataError` for statistics that are none."""
    found = _v1().match(page.header) if page.kind == DATA_PAGE else _v2().match(page.header)
    if found is not None:
        told = None if page.kind == DATA_PAGE else signed(found.group(5))
        nulls, high, low, high_flag, low_flag, end = found.groups()[-_STATISTICS_GROUPS:]
        if nulls is not None:
            count = signed(nulls)
            flags = _FLAGS[low_flag], _FLAGS[high_flag]
            return summary_of(leaf, page.values, told if count == -1 else count, low[1:], high[1:], *flags)
        if end is not None:
            return summary_of(leaf, page.values, told)
        with suppress(IndexError, Truncated):
            texts = _texts_at(page.header, found.end()) if page.kind == DATA_PAGE or found.group(10) else None
            if texts is not None and texts[-1] == len(page.header):
                count = signed(texts[0])
                flags = _FLAGS[texts[3]], _FLAGS[texts[4]]
                return summary_of(leaf, page.values, told if count == -1 else count, texts[2], texts[1], *flags)
            if page.header[found.end()] == _STATISTICS_FIELD and (page.kind == DATA_PAGE or found.group(10)):
                return _summary(page.header, found.end() + 1, leaf, page.values, told)
    return page_summary(data_header(decode(page.header)[0]), leaf, 1 if page.kind == DATA_PAGE else 2)


def folded_summary(pages: Sequence[Page], leaf: Leaf) -> Summary:
    """What the headers of these data pages tell of all their values: `fold` of each one's summary.

    Numbers are compared all at once where all headers are of the frequent shape: a third of the time.
    """
    known = _folded_numbers(pages, leaf) if leaf.order in _FORMATS else None
    return known or fold([summary_of_page(page, leaf) for page in pages], leaf)


def _folded_numbers(pages: Sequence[Page], leaf: Leaf) -> Summary | None:
    """None where one page tells something else than nulls and bounds, or where its bounds are none."""
    code = _FORMATS[leaf.order].get(leaf.length_of_value)
    kinds = {page.kind for page in pages}
    if code is None or len(kinds) != 1:
        return None
    found = list(map((_v1() if kinds == {DATA_PAGE} else _v2()).match, [page.header for page in pages]))
    if not all(found):
        return None
    first = found[0].re.groups - _STATISTICS_GROUPS + 1  # type: ignore[union-attr]
    told = [one.group(first, first + 1, first + 2, first + 3, first + 4) for one in found if one is not None]
    nulls, highs, lows, high_flags, low_flags = zip(*told, strict=True)
    if None in nulls:
        return None
    counts = [0] * len(pages) if leaf.max_definition == 0 else list(map(_frequent, nulls))
    if -1 in counts or any(map(eq, counts, [page.values for page in pages])):
        return None
    size = leaf.length_of_value + 1  # a byte for the length
    least, greatest = b"".join(lows), b"".join(highs)
    if not len(least) == len(greatest) == size * len(pages):
        return None
    form = packing.Struct("<" + f"x{code}" * len(pages))
    low, high = form.unpack(least), form.unpack(greatest)
    if not all(map(le, low, high)):
        return None
    at_low, at_high = low.index(min(low)), high.index(max(high))
    flags = _FLAGS[low_flags[at_low]], _FLAGS[high_flags[at_high]]
    return Summary(lows[at_low][1:], highs[at_high][1:], sum(counts), False, *flags)


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
