"""Statistics, page indexes and bloom filters of cut row groups: right or absent."""

from __future__ import annotations

import datetime
import io
import math
import random
import struct
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kyanite.parquet import plan
from kyanite.parquet.footer import footer_of
from kyanite.parquet.order import key_of, order_of, spread_zero
from kyanite.parquet.page_cut import data_header, open_body
from kyanite.parquet.schema import Leaf
from kyanite.parquet.statistics import (
    Summary,
    column_index_of,
    fold,
    indexed_summaries,
    is_within,
    of_one_value,
    page_summary,
    statistics_of,
)
from kyanite.parquet.thrift import BINARY, I32, I64, LIST, STRUCT, TRUE, decode, encode, structs_of
from parquet_files import check, metadata, read, source, split_all, table_of, written

RNG = random.Random(2)
TYPES = {
    "int8": (pa.int8(), lambda: RNG.randrange(-128, 128)),
    "uint8": (pa.uint8(), lambda: RNG.randrange(256)),
    "uint32": (pa.uint32(), lambda: RNG.randrange(2**32)),
    "uint64": (pa.uint64(), lambda: RNG.randrange(2**64)),
    "int64": (pa.int64(), lambda: RNG.randrange(-(2**63), 2**63)),
    "float": (pa.float32(), lambda: RNG.choice([-1.5, 0.0, -0.0, math.nan, 7.0])),
    "double": (pa.float64(), lambda: RNG.choice([-0.0, 0.0, math.nan])),
    "half": (pa.float16(), lambda: RNG.choice([-2.5, 0.5, math.nan])),
    "flag": (pa.bool_(), lambda: RNG.random() < 0.5),
    "decimal": (pa.decimal128(30, 2), lambda: Decimal(RNG.randrange(-(10**20), 10**20)).scaleb(-2)),
    "wide": (pa.decimal256(60, 2), lambda: Decimal(RNG.randrange(-(10**30), 10**30)).scaleb(-2)),
    "binary": (pa.binary(), lambda: RNG.randbytes(RNG.randrange(4))),
    "fixed": (pa.binary(3), lambda: RNG.randbytes(3)),
    "text": (pa.string(), lambda: RNG.choice(["é", "z", "zz", "", "ÿ", "𝄞"])),
    "day": (pa.date32(), lambda: RNG.randrange(-9999, 9999)),
    "time": (pa.timestamp("ns"), lambda: RNG.randrange(-(2**62), 2**62)),
}


@pytest.mark.parametrize("options", [{}, {"use_dictionary": False}, {"write_page_index": True}], ids=str)
@pytest.mark.parametrize("name", TYPES)
def test_bounds_of_every_type_are_those_of_the_values(name, options):
    kind, value = TYPES[name]
    column = pa.array([None if RNG.random() < 0.2 else value() for _ in range(120)], kind)
    data = written(pa.table({"v": column}), data_page_size=40, write_batch_size=16, **options)
    _, parts = split_all(data, rows=23)
    for part in parts:
        right = metadata(written(read(part))).row_group(0).column(0).statistics
        found = metadata(part).row_group(0).column(0).statistics
        assert found.null_count == right.null_count
        assert not found.has_distinct_count
        if found.has_min_max or name not in ("float", "double", "half"):  # a page of NaN alone is not known
            assert (found.min_raw, found.max_raw) == (right.min_raw, right.max_raw)


def page_values(part, page, chunk, leaf):
    header, end = decode(part, page[1][1])
    body = open_body(header, part[end : end + header[3][1]], leaf, chunk.codec)
    return data_header(header)[1][1], body


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_page_indexes_of_cut_row_groups_tell_where_pages_are_and_what_they_hold(version):
    table = table_of(["key", "small", "nothing"], 500)
    data = written(
        table,
        write_page_index=True,
        data_page_size=200,
        write_batch_size=20,
        use_dictionary=False,
        compression="none",
        data_page_version=version,
    )
    _, parts = split_all(data, rows=77)
    row = 0
    for part in parts:
        footer = footer_of(io.BytesIO(part), len(part), "part")
        for chunk, leaf, column in zip(footer.row_groups[0].chunks, footer.leaves, table.columns, strict=True):
            offsets, _ = decode(part, chunk.struct[4][1])
            index, _ = decode(part, chunk.struct[6][1])
            pages = structs_of(offsets, 1)
            firsts = [page[3][1] for page in pages] + [footer.rows]
            assert len(pages) > 1 or footer.rows < 20 or leaf.path != ("key",)
            for number, page in enumerate(pages):
                count, _ = page_values(part, page, chunk, leaf)
                assert count == firsts[number + 1] - firsts[number]
                rows = column.slice(row + firsts[number], count)
                numbers = [n for n in rows.to_pylist() if n is not None]
                assert index[5][1][1][number] == rows.null_count
                assert (index[1][1][1][number] == TRUE) == (not numbers)
                if numbers:
                    assert key_of("signed", index[2][1][1][number]) == min(numbers)
                    assert key_of("signed", index[3][1][1][number]) == max(numbers)
        row += footer.rows
    rule = [("key", ">", 2**39), ("small", "==", 7)]
    found = pa.concat_tables([pq.read_table(io.BytesIO(part), filters=rule) for part in parts])
    assert found.equals(pq.read_table(io.BytesIO(data), filters=rule))


def test_bloom_filters_of_cut_row_groups_are_kept_while_they_are_small():
    data = written(table_of(["key", "text"], 400), bloom_filter_options={"key": {"ndv": 400, "fpp": 0.05}})
    bloom = footer_of(io.BytesIO(data), len(data), "in").row_groups[0].chunks[0].meta
    kept = data[bloom[14][1] : bloom[14][1] + bloom[15][1]]
    _, parts = split_all(data, rows=130)
    for part in parts:
        meta = footer_of(io.BytesIO(part), len(part), "part").row_groups[0].chunks[0].meta
        assert part[meta[14][1] : meta[14][1] + meta[15][1]] == kept
    _, parts = split_all(data, max_bytes=4000)
    assert all(14 not in footer_of(io.BytesIO(p), len(p), "part").row_groups[0].chunks[0].meta for p in parts)


def plain_table():
    rng = random.Random(3)
    return pa.table({"key": [n % 7 for n in range(12_000)], "byte": [rng.randrange(32) for _ in range(12_000)]})


def filtered(size, lengths=True):
    """Six row groups with a bloom filter of `size` bytes (all bits set) each; older writers leave lengths out."""
    data = written(plain_table(), row_group_size=2000)
    length = int.from_bytes(data[-8:-4], "little")
    struct, _ = decode(data[-8 - length : -8])
    body = data[: -8 - length]
    kind = (STRUCT, {1: (STRUCT, {})})
    for group in structs_of(struct, 4):
        meta = structs_of(group, 1)[0][3][1]
        filter_ = encode({1: (I32, size), 2: kind, 3: kind, 4: kind}) + b"\xff" * size
        meta[14] = (I64, len(body))
        if lengths:
            meta[15] = (I32, len(filter_))
        body += filter_
    changed = encode(struct)
    return body + changed + len(changed).to_bytes(4, "little") + data[-4:]


def filters_in(data):
    return sum(14 in chunk.meta for g in footer_of(io.BytesIO(data), len(data), "in").row_groups for chunk in g.chunks)


@pytest.mark.parametrize("lengths", [True, False])
def test_bloom_filters_large_against_a_part_are_left_out_and_not_planned_for(lengths):
    data = filtered(8192, lengths)
    bare = len(written(plain_table(), row_group_size=2000))
    assert len(data) > 4 * bare
    most = bare // 3
    result, parts = split_all(data, max_bytes=most)
    check(data, result, parts, most)
    assert len(parts) == 4
    assert max(map(len, parts)) < 1.05 * min(map(len, parts))
    assert sum(map(filters_in, parts)) == 0
    for target in ({"max_bytes": int(1.1 * len(data))}, {"rows": 2000}):
        assert sum(map(filters_in, split_all(data, **target)[1])) == 6


@pytest.mark.parametrize("lengths", [True, False])
def test_bloom_filters_small_against_a_part_are_planned_for(lengths):
    data = filtered(64, lengths)
    most = len(data) // 2
    result, parts = split_all(data, max_bytes=most)
    check(data, result, parts, most)
    assert sum(map(filters_in, parts)) in (5, 6)
    assert all(filters_in(part) for part in parts)
    assert sum(part.bytes for part in plan([source(data)], max_bytes=most).parts) == pytest.approx(
        sum(map(len, parts)), rel=0.02
    )


NUMBER = Leaf(("v",), 2, 0, 1, 0, "signed")
TEXT = Leaf(("v",), 6, 0, 1, 0, "bytes")
REAL = Leaf(("v",), 5, 0, 1, 0, "float")


def number(value):
    return value.to_bytes(8, "little", signed=True)


SUMMARIES = st.lists(
    st.one_of(
        st.tuples(st.none() | st.integers(0, 9), st.booleans()).map(lambda t: Summary(nulls=t[0], empty=t[1])),
        st.tuples(st.integers(-9, 9), st.integers(0, 9), st.none() | st.integers(0, 9)).map(
            lambda t: Summary(number(t[0]), number(t[0] + t[1]), t[2])
        ),
    ),
    min_size=1,
    max_size=6,
)


@given(SUMMARIES)
def test_folding_knows_only_what_every_page_knows(pages):
    whole = fold(pages, NUMBER)
    counts = [page.nulls for page in pages]
    assert whole.nulls == (None if None in counts else sum(counts))
    filled = [page for page in pages if not page.empty]
    assert whole.empty == (not filled)
    if filled and all(page.low is not None for page in filled):
        assert key_of("signed", whole.low) == min(key_of("signed", page.low) for page in filled)
        assert key_of("signed", whole.high) == max(key_of("signed", page.high) for page in filled)
    else:
        assert (whole.low, whole.high) == (None, None)


def test_values_are_only_looked_at_where_the_bounds_of_other_pages_do_not_tell():
    def bounds(low, high, exact=None):
        return Summary(number(low), number(high), 0, low_exact=exact, high_exact=exact)

    assert is_within(bounds(-1, 3), bounds(-1, 9), NUMBER)
    assert not is_within(bounds(-2, 3), bounds(-1, 9), NUMBER)
    assert not is_within(Summary(nulls=0), bounds(-1, 9), NUMBER)
    assert not is_within(bounds(-1, 3), Summary(nulls=0), NUMBER)
    assert of_one_value(bounds(4, 4), NUMBER)
    assert not of_one_value(bounds(4, 4, exact=False), NUMBER)
    assert not of_one_value(bounds(4, 5), NUMBER)
    assert not of_one_value(Summary(nulls=0), NUMBER)
    assert not of_one_value(Summary(struct.pack("<d", 4), struct.pack("<d", 4)), REAL)  # the others may all be NaN


@pytest.mark.parametrize("order", ["sorted", "falling", "shuffled", "equal"])
def test_bounds_of_slices_are_exact_in_whatever_order_the_values_are(order):
    numbers = {"sorted": range(3000), "falling": range(3000, 0, -1), "equal": [7] * 3000}.get(order)
    numbers = numbers or RNG.sample(range(3000), 3000)
    table = pa.table({"number": list(numbers), "text": [f"{n:05d}" for n in numbers], "real": [n / 2 for n in numbers]})
    data = written(table, data_page_size=400, write_batch_size=100)
    for rows in (1700, 170):
        first = 0
        for part in split_all(data, rows=rows)[1][:9]:
            for number, column in enumerate(table.columns):
                found = metadata(part).row_group(0).column(number).statistics
                held = column.slice(first, rows).to_pylist()
                assert (found.min, found.max) == (min(held), max(held))
            first += rows


def test_shortened_bounds_are_said_to_be_inexact():
    index = {
        1: (LIST, (TRUE, [2, 2])),
        2: (LIST, (BINARY, [b"aa", b"b"])),
        3: (LIST, (BINARY, [b"ab", b"c"])),
    }
    pages = indexed_summaries(index, TEXT, [5, 5])
    whole = fold([*pages, Summary(b"a", b"d", 0, False, True, True)], TEXT)
    assert (whole.low, whole.low_exact, whole.high, whole.high_exact) == (b"a", True, b"d", True)
    statistics = statistics_of(fold(pages, TEXT), TEXT, {5: (BINARY, b"z"), 6: (BINARY, b"a")})
    assert statistics[7] == statistics[8] == (2, False)
    assert indexed_summaries(index, TEXT, [5]) is None


@pytest.mark.parametrize("low", [struct.pack("<d", math.nan), b"\0" * 4, struct.pack("<d", 9.0)])
def test_bounds_that_cannot_be_are_not_used(low):
    head = {1: (I32, 3), 5: (12, {3: (I64, 1), 5: (BINARY, struct.pack("<d", 2.0)), 6: (BINARY, low)})}
    assert page_summary(head, REAL, 1) == Summary(nulls=1)


def test_zero_bounds_cover_both_zeros():
    assert spread_zero("float", struct.pack("<d", 0.0), low=True) == struct.pack("<d", -0.0)
    assert spread_zero("half", struct.pack("<e", -0.0), low=False) == struct.pack("<e", 0.0)
    assert spread_zero("signed", bytes(8), low=True) == bytes(8)


def test_no_order_no_bounds():
    assert order_of({1: (I32, 3)}, {1: (12, {})}) == ""  # int96
    assert order_of({1: (I32, 7), 6: (I32, 21)}, {1: (12, {})}) == ""  # interval
    assert order_of({1: (I32, 2)}, None) == ""
    assert order_of({1: (I32, 5)}, {2: (12, {})}) == ""  # an order of a later version of the format
    assert order_of({1: (I32, 6), 10: (12, {17: (12, {})})}, {1: (12, {})}) == ""  # geometry
    assert order_of({1: (I32, 6), 10: (12, {19: (12, {})})}, {1: (12, {})}) == ""  # not known yet
    assert order_of({1: (I32, 6), 10: (12, {1: (12, {})})}, {1: (12, {})}) == "bytes"
    assert column_index_of([Summary(nulls=0)], NUMBER) is None


def test_a_file_without_declared_orders_gets_no_bounds():
    data = written(table_of(["key"], 100))
    size = int.from_bytes(data[-8:-4], "little")
    footer, _ = decode(data[-8 - size : -8])
    del footer[7]
    changed = encode(footer)
    _, parts = split_all(data[: -8 - size] + changed + len(changed).to_bytes(4, "little") + b"PAR1", rows=60)
    for part in parts:
        statistics = footer_of(io.BytesIO(part), len(part), "part").row_groups[0].chunks[0].meta[12][1]
        assert 5 not in decode(statistics)[0]
        assert 6 not in decode(statistics)[0]


@settings(max_examples=20)
@given(st.lists(st.lists(st.none() | st.integers(-5, 5), max_size=3) | st.none(), min_size=4, max_size=60), st.data())
def test_nulls_of_lists_are_counted_as_the_writer_does(rows, data):
    file = written(pa.table({"v": pa.array(rows, pa.list_(pa.int64()))}), data_page_size=20, write_batch_size=4)
    _, parts = split_all(file, rows=data.draw(st.integers(1, len(rows))))
    for part in parts:
        right = metadata(written(read(part))).row_group(0).column(0).statistics
        found = metadata(part).row_group(0).column(0).statistics
        assert (found.min_raw, found.max_raw) == (right.min_raw, right.max_raw)
        assert found.null_count == right.null_count


def test_dates_keep_their_bounds_through_filters():
    days = [datetime.date(2020, 1, 1) + datetime.timedelta(days=n) for n in range(300)]
    data = written(pa.table({"day": days}), data_page_size=64, write_batch_size=10)
    _, parts = split_all(data, rows=70)
    rule = [("day", "=", datetime.date(2020, 4, 1))]
    assert sum(pq.read_table(io.BytesIO(part), filters=rule).num_rows for part in parts) == 1
