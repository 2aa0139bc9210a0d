"""Bounds of small pages found without Arrow are those that Arrow finds."""

from __future__ import annotations

import math
import struct
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kyanite.errors import DataError
from kyanite.parquet import hybrid, small_pages
from kyanite.parquet.order import BOOLEAN, BYTE_ARRAY, DOUBLE, FIXED, FLOAT, INT32, INT64, KEYS, spread_zero
from kyanite.parquet.page_values import bounds_of, text_bytes
from kyanite.parquet.schema import Leaf
from kyanite.parquet.thrift import write_varint

PLAIN, RLE_DICTIONARY = 0, 8
COLUMNS = {
    "int32": (INT32, 0, "signed"), "int64": (INT64, 0, "signed"), "uint32": (INT32, 0, "unsigned"),
    "uint64": (INT64, 0, "unsigned"), "float": (FLOAT, 0, "float"), "double": (DOUBLE, 0, "float"),
    "half": (FIXED, 2, "half"), "fixed": (FIXED, 3, "bytes"), "decimal": (FIXED, 5, "decimal"),
    "text": (BYTE_ARRAY, 0, "bytes"), "number in a text": (BYTE_ARRAY, 0, "decimal"),
    "number in 32 bits": (INT32, 0, "signed"), "flag": (BOOLEAN, 0, "unsigned"),
}  # fmt: skip


def leaf_of(name):
    kind, length, order = COLUMNS[name]
    return Leaf(("v",), kind, length, 0, 0, order)


def values_for(leaf):
    length = leaf.length_of_value
    if leaf.type == BOOLEAN:
        return st.sampled_from([b"\0", b"\1"])
    if leaf.type == BYTE_ARRAY:
        return st.binary(min_size=leaf.order == "decimal", max_size=9)
    return st.binary(min_size=length, max_size=length) | st.sampled_from([bytes(length), bytes(length - 1) + b"\x80"])


def plain(values, leaf):
    if leaf.type == BOOLEAN:
        bits = sum(value[0] << index for index, value in enumerate(values))
        return bits.to_bytes((len(values) + 7) // 8, "little")
    if leaf.type == BYTE_ARRAY:
        return b"".join(struct.pack("<I", len(value)) + value for value in values)
    return b"".join(values)


@st.composite
def encoded_indices(draw, entries):
    """Runs of repeated and of packed indices: as bytes and as numbers."""
    width = max(1, (entries - 1).bit_length())
    out, numbers = bytearray([width]), []
    for _ in range(draw(st.integers(1, 4))):
        if draw(st.booleans()):
            index, count = draw(st.integers(0, entries - 1)), draw(st.integers(1, 20))
            write_varint(out, count << 1)
            out += index.to_bytes((width + 7) // 8, "little")
            numbers += [index] * count
        else:
            some = draw(st.lists(st.integers(0, entries - 1), min_size=8, max_size=24))
            some = some[: len(some) // 8 * 8]
            write_varint(out, len(some) // 8 << 1 | 1)
            bits = sum(index << at * width for at, index in enumerate(some))
            out += bits.to_bytes(len(some) // 8 * width, "little")
            numbers += some
    return bytes(out), numbers


def same(found, expected, order):
    if found is None or expected is None:
        return found is expected
    spread = [tuple(spread_zero(order, bound, low=low) for bound, low in zip(pair, (True, False), strict=True))
              for pair in (found, expected)]  # fmt: skip
    return spread[0] == spread[1] or [KEYS[order](x) for x in found] == [KEYS[order](x) for x in expected]


@pytest.mark.parametrize("name", COLUMNS)
@given(data=st.data())
def test_plain_pages(name, data):
    leaf = leaf_of(name)
    values = data.draw(st.lists(values_for(leaf), min_size=1, max_size=40))
    page = plain(values, leaf)
    keys = [key for value in values if (key := KEYS[leaf.order](value)) is not None]
    found = small_pages.small_bounds(page, len(values), leaf, None)
    assert (found is None) == (not keys)
    if found is not None:
        assert [KEYS[leaf.order](bound) for bound in found] == [min(keys), max(keys)]
    if leaf.order != "decimal":  # Arrow has no such type in a file that names no logical one
        assert same(found, bounds_by_arrow(page, PLAIN, len(values), leaf, None), leaf.order)


@pytest.mark.parametrize("name", [name for name in COLUMNS if name != "flag"])
@given(data=st.data())
def test_pages_with_a_dictionary(name, data):
    leaf = leaf_of(name)
    entries = data.draw(st.lists(values_for(leaf), min_size=1, max_size=600, unique=True).filter(len))
    page, numbers = data.draw(encoded_indices(len(entries)))
    dictionary = plain(entries, leaf), len(entries)
    keys = [key for number in numbers if (key := KEYS[leaf.order](entries[number])) is not None]
    found = small_pages.small_bounds(page, len(numbers), leaf, dictionary)
    assert (found is None) == (not keys)
    if found is not None:
        assert [KEYS[leaf.order](bound) for bound in found] == [min(keys), max(keys)]
    if leaf.order != "decimal":
        assert same(found, bounds_by_arrow(page, RLE_DICTIONARY, len(numbers), leaf, dictionary), leaf.order)


def bounds_by_arrow(*page):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(small_pages, "MOST_VALUES", 0)
        return bounds_of(*page, "part")


@given(width=st.integers(1, 32), data=st.data())
def test_counts_of_indices(width, data):
    most = (1 << width) - 1
    numbers = data.draw(
        st.lists(st.integers(0, most), min_size=8, max_size=64).map(lambda all: all[: len(all) // 8 * 8])
    )
    out = bytearray()
    write_varint(out, len(numbers) // 8 << 1 | 1)
    out += sum(number << at * width for at, number in enumerate(numbers)).to_bytes(len(numbers) // 8 * width, "little")
    count = data.draw(st.integers(1, len(numbers)))
    assert hybrid.counts(bytes(out), width, count) == Counter(numbers[:count])


@given(data=st.data())
def test_bytes_of_texts_in_a_dictionary(data):
    leaf = leaf_of("text")
    entries = data.draw(st.lists(values_for(leaf), min_size=1, max_size=600, unique=True))
    page, numbers = data.draw(encoded_indices(len(entries)))
    dictionary = plain(entries, leaf), len(entries)
    found = small_pages.small_text_bytes(page, len(numbers), dictionary)
    assert found == sum(len(entries[number]) for number in numbers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(small_pages, "MOST_VALUES", 0)
        assert text_bytes(page, RLE_DICTIONARY, len(numbers), leaf, dictionary, "part") == found


def test_nothing_but_nan_has_no_bounds():
    page = struct.pack("<3d", math.nan, math.nan, math.nan)
    assert small_pages.small_bounds(page, 3, leaf_of("double"), None) is None


@pytest.mark.parametrize("name", COLUMNS)
def test_pages_that_end_too_early_are_told(name):
    leaf = leaf_of(name)
    page = plain([b"\1" * (leaf.length_of_value or 4)] * 9, leaf)
    with pytest.raises(DataError):
        small_pages.small_bounds(page[: len(page) // 2], 9, leaf, None)


def test_indices_behind_the_dictionary_are_told():
    page = bytes([3, 1 << 1, 7])
    with pytest.raises(DataError, match="dictionary"):
        small_pages.small_bounds(page, 1, leaf_of("int32"), (bytes(8), 2))
    with pytest.raises(DataError):
        small_pages.small_bounds(b"", 1, leaf_of("int32"), (bytes(8), 2))
    with pytest.raises(DataError, match="40 bits"):
        small_pages.small_bounds(b"\x28\2\0", 1, leaf_of("int32"), (bytes(8), 2))
    with pytest.raises(DataError, match=r"early|fewer"):
        small_pages.small_bounds(page[:2] + b"\0", 1, leaf_of("int32"), (bytes(4), 2))
    for short in (b"\1\5\0", b"\1\3"):  # packed runs whose last values are missing
        with pytest.raises(DataError, match="early"):
            small_pages.small_text_bytes(short, 16, (b"\1\0\0\0a", 1))
        with pytest.raises(DataError, match="early"):
            small_pages.small_bounds(short, 16, leaf_of("int32"), (bytes(4), 1))
    texts = b"\1\0\0\0a", 1
    for broken, told in ((page, "dictionary"), (b"", "fewer"), (b"\x28\2\0", "40 bits")):
        with pytest.raises(DataError, match=told):
            small_pages.small_text_bytes(broken, 1, texts)


def test_large_pages_are_left_to_arrow():
    number, text = leaf_of("int32"), leaf_of("text")
    many = b"", small_pages.MOST_VALUES + 1
    assert small_pages.is_small(PLAIN, small_pages.MOST_VALUES, number, None)
    assert not small_pages.is_small(PLAIN, small_pages.MOST_VALUES + 1, number, None)
    assert small_pages.is_small(RLE_DICTIONARY, 9, number, many)
    assert not small_pages.is_small(RLE_DICTIONARY, 9, text, many)
    assert not small_pages.is_small(5, 9, number, None)
