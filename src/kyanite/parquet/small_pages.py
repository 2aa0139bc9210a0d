"""The least and the greatest of a small page's values without Arrow, whose loading takes 60 ms of every short split."""

from __future__ import annotations

import struct as packing
from collections.abc import Iterable

from kyanite.errors import DataError
from kyanite.parquet import hybrid
from kyanite.parquet.order import BOOLEAN, BYTE_ARRAY, key_of
from kyanite.parquet.page_cut import DICTIONARY, PLAIN
from kyanite.parquet.schema import Leaf

MOST_VALUES = 1 << 16  # and texts of a dictionary: Arrow finds the bounds of more in less time
_FORMATS = {"signed": {4: "i", 8: "q"}, "unsigned": {4: "I", 8: "Q"}, "float": {4: "f", 8: "d"}}
_NOT_THERE = "A page refers to values that its dictionary does not have."
_TOO_SHORT = "A page holds fewer values than its header says."


def is_small(encoding: int, count: int, leaf: Leaf, dictionary: tuple[bytes, int] | None) -> bool:
    """Whether `small_bounds` takes this page; arguments as for `page_values.bounds_of`."""
    texts = dictionary[1] if dictionary is not None and leaf.type == BYTE_ARRAY else 0  # these are found one by one
    known = encoding in DICTIONARY if dictionary is not None else encoding == PLAIN
    return known and max(count, texts) <= MOST_VALUES


def small_bounds(
    values: bytes, count: int, leaf: Leaf, dictionary: tuple[bytes, int] | None
) -> tuple[bytes, bytes] | None:
    """(least, greatest) of `count` plain or dictionary-encoded values; None when all are NaN."""
    code = _FORMATS.get(leaf.order, {}).get(leaf.length_of_value)
    if dictionary is not None:
        found: Iterable[bytes] = _referred(values, count, leaf, *dictionary)
        if code is not None:
            numbers = b"".join(found)
            return _of_numbers(numbers, len(numbers) // leaf.length_of_value, code)
    elif code is not None:
        return _of_numbers(values, count, code)
    else:
        found = set(_plain(values, count, leaf))
    keyed = [(key, data) for data in found if (key := key_of(leaf.order, data)) is not None]
    return (min(keyed)[1], max(keyed)[1]) if keyed else None


def small_text_bytes(values: bytes, count: int, dictionary: tuple[bytes, int]) -> int:
    """Bytes of `count` dictionary-encoded texts, without their lengths."""
    counts = hybrid.counts(values[1:], _width(values), count)
    texts = _texts(*dictionary)
    if max(counts) >= len(texts):
        raise DataError(_NOT_THERE)
    return sum(len(texts[index]) * times for index, times in counts.items())


def _width(values: bytes) -> int:
    """Bits of each index of a page: its first byte."""
    if not values:
        raise DataError(_TOO_SHORT)
    return values[0]


def _referred(values: bytes, count: int, leaf: Leaf, data: bytes, entries: int) -> list[bytes]:
    """The different values of a dictionary (plain `data`) that a page refers to."""
    indices = hybrid.counts(values[1:], _width(values), count)
    if max(indices) >= entries:
        raise DataError(_NOT_THERE)
    if leaf.type in (BYTE_ARRAY, BOOLEAN):
        listed = _plain(data, entries, leaf)
        return [listed[index] for index in indices]
    width = leaf.length_of_value
    if len(data) < entries * width:
        raise DataError(_TOO_SHORT)
    return [data[index * width : index * width + width] for index in indices]


def _of_numbers(values: bytes, count: int, code: str) -> tuple[bytes, bytes] | None:
    form = f"<{count}{code}"
    if len(values) < packing.calcsize(form):
        raise DataError(_TOO_SHORT)
    numbers = packing.unpack_from(form, values)
    if form[-1] in "fd":
        numbers = tuple(number for number in numbers if number == number)
    if not numbers:
        return None
    one = f"<{form[-1]}"
    return packing.pack(one, min(numbers)), packing.pack(one, max(numbers))


def _plain(data: bytes, count: int, leaf: Leaf) -> list[bytes]:
    """`count` values, encoded plainly, each as statistics hold it."""
    if leaf.type == BOOLEAN:
        if 8 * len(data) < count:
            raise DataError(_TOO_SHORT)
        bits = int.from_bytes(data, "little")
        return [bytes([bits >> index & 1]) for index in range(count)]
    width = leaf.length_of_value
    if leaf.type == BYTE_ARRAY:
        return _texts(data, count)
    if len(data) < count * width:
        raise DataError(_TOO_SHORT)
    return [data[at : at + width] for at in range(0, count * width, width)] if width else [b""] * count


def _texts(data: bytes, count: int) -> list[bytes]:
    texts = []
    length_at = packing.Struct("<I").unpack_from
    end = 0
    try:
        for _ in range(count):
            begin = end + 4
            end = begin + length_at(data, end)[0]
            texts.append(data[begin:end])
    except packing.error:
        raise DataError("A page's texts end too early.") from None
    if end > len(data):
        raise DataError("A page's texts end too early.")
    return texts
