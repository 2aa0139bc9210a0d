"""Page headers read quickly say the same as page headers read in full."""

import functools
import io
import random
import struct
from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kyanite.errors import DataError, LimitError
from kyanite.parquet import Source
from kyanite.parquet.codecs import NotCuttable
from kyanite.parquet.footer import read_footer
from kyanite.parquet.page_cut import check_cuttable, data_header
from kyanite.parquet.page_header import Page, folded_summary, quick_pages, summary_of_page
from kyanite.parquet.pages import HeaderReader, PageTable, page_of, page_tables, steps_of_tables
from kyanite.parquet.schema import Leaf
from kyanite.parquet.statistics import fold, page_summary
from kyanite.parquet.thrift import decode

ROWS = 3_000


def table():
    pick = random.Random(7)
    return pa.table(
        {
            "small": pa.array([pick.randrange(5) for _ in range(ROWS)], pa.int32()),
            "wide": pa.array([pick.getrandbits(62) - 2**61 for _ in range(ROWS)], pa.int64()),
            "unsigned": pa.array([pick.getrandbits(32) for _ in range(ROWS)], pa.uint32()),
            "real": pa.array([None if pick.random() < 0.1 else pick.gauss(0, 1) for _ in range(ROWS)]),
            "text": pa.array([None if n % 7 == 0 else "x" * pick.randrange(300) for n in range(ROWS)]),
            "nothing": pa.nulls(ROWS, pa.string()),
            "flag": pa.array([n % 3 == 0 for n in range(ROWS)]),
            "when": pa.array([datetime(2026, 1, 1, tzinfo=UTC)] * ROWS, pa.timestamp("us", "UTC")),
            "price": pa.array([Decimal(n) / 100 for n in range(ROWS)], pa.decimal128(9, 2)),
            "list": pa.array([[pick.randrange(9)] * pick.randrange(4) for _ in range(ROWS)]),
        }
    )


WAYS = {
    "v1": {},
    "v2": {"data_page_version": "2.0"},
    "checksums": {"write_page_checksum": True},
    "v2 with checksums": {"data_page_version": "2.0", "write_page_checksum": True},
    "plain": {"use_dictionary": False, "compression": "none"},
    "no statistics": {"write_statistics": False},
    "index": {"write_page_index": True, "compression": "zstd"},
    "delta": {"use_dictionary": False, "column_encoding": {"wide": "DELTA_BINARY_PACKED", "text": "DELTA_BYTE_ARRAY"}},
}


@functools.cache
def headers():
    """(header's bytes, its column) of some pages of every kind."""
    found = {}
    for way in WAYS.values():
        out = io.BytesIO()
        pq.write_table(table(), out, data_page_size=2_000, write_batch_size=64, row_group_size=1_500, **way)
        data = out.getvalue()
        footer = read_footer(Source("f", lambda data=data: io.BytesIO(data), len(data)))
        tables = page_tables(io.BytesIO(data), footer, footer.row_groups[0])
        for page_table, leaf in zip(tables, footer.leaves, strict=True):
            for page in page_table.pages[:2]:
                found[data[page.start : page.start + page.header_size]] = leaf
    return list(found.items())


def quick_page(data, start, leaf, is_indexed=True):
    """The first page of the data as it is read quickly; None when it is not."""
    read = quick_pages(lambda size, place: data, start, start + 1, 10**9, leaf, is_indexed)
    return read[0] if read else None


def full_page(data, leaf):
    """The page as the full reader has it; None when there is none that is cut."""
    try:
        header, size = decode(data, 0)
        page = page_of(header, data[:size], 100)
        check_cuttable(header, leaf)
    except (DataError, NotCuttable, LimitError):
        return None
    return page._replace(rows=page.values) if page.kind == 0 and not leaf.max_repetition else page


def full_summary(page, leaf):
    """What the full reading of the header knows of the page's values; None when its statistics are none."""
    try:
        return page_summary(data_header(decode(page.header)[0]), leaf, 1 if page.kind == 0 else 2)
    except DataError:
        return None


def lazy_summary(page, leaf):
    """The same as a slice reads it."""
    try:
        return summary_of_page(page, leaf)
    except DataError:
        return None


EDITS = st.lists(
    st.tuples(st.sampled_from(["set", "insert", "drop", "bit"]), st.integers(0, 120), st.integers(0, 255)), max_size=3
)


@settings(max_examples=300)
@given(st.integers(0, 10**6), EDITS, st.integers(0, 30), st.binary(max_size=20))
def test_headers_that_are_broken_are_read_alike_or_in_full(number, edits, cut, tail):
    """What the quick reading takes, the full reading takes too, with the same result; the rest is left to it."""
    original, leaf = headers()[number % len(headers())]
    data = bytearray(original)
    for how, place, value in edits:
        place %= max(1, len(data))
        if how == "insert":
            data.insert(place, value)
        elif data and how == "set":
            data[place] = value
        elif data and how == "bit":
            data[place] ^= 1 << value % 8
        elif data:
            del data[place]
    whole = bytes(data[: len(data) - cut] if cut > 20 else data) + tail
    quick = quick_page(whole, 100, leaf)
    if not edits and cut <= 20:
        assert quick is not None or leaf.path[0] == "when"
    if quick is not None:
        assert quick._replace(told=None) == full_page(whole, leaf)
    page = quick or full_page(whole, leaf)
    if page is not None and page.values >= 0:
        assert lazy_summary(page, leaf) == full_summary(page, leaf)


BOUNDS = st.sampled_from([0, 1, -1, 2**31 - 1, -(2**31), 7])
REALS = st.sampled_from([0.0, -0.0, 1.5, -1.5, float("inf"), float("-inf"), float("nan")])
TOLD = st.tuples(
    st.integers(-1, 12),
    st.booleans() | st.none(),
    st.sampled_from([4, 4, 4, 4, 8, 3]),
    st.sampled_from(["v1", "v1", "v1", "v2"]),
)


@settings(max_examples=300)
@given(
    st.lists(st.tuples(BOUNDS, BOUNDS, REALS, REALS, TOLD), min_size=1, max_size=6),
    st.sampled_from(["signed", "unsigned", "float", "bytes", ""]),
    st.integers(0, 1),
)
def test_bounds_of_many_pages_are_folded_as_one_by_one(pages, order, deepest):
    leaf = Leaf(("n",), {"float": 4, "bytes": 6}.get(order, 1), 0, 0, deepest, order)
    made = []
    for low, high, real, other, (nulls, exact, length, version) in pages:
        bounds = struct.pack("<f", real), struct.pack("<f", other)
        if order != "float":
            bounds = struct.pack("<i", low), struct.pack("<i", high)
        low_bytes, high_bytes = (bound.ljust(length, b"\0")[:length] for bound in bounds)
        size = bytes([length])
        flags = b"" if exact is None else b"\x11\x12" if exact else b"\x12\x11"
        told = (
            b"\x36" + bytes([nulls * 2 if nulls >= 0 else 1]) + b"\x28" + size + high_bytes + b"\x18" + size + low_bytes
        )
        page = quick_page(HEADS[version][0] + told + flags + b"\0\0\0", 4, leaf)
        made.append(page)
    assert folded_summary(made, leaf) == fold([summary_of_page(page, leaf) for page in made], leaf)


HEADS = {
    "v1": (bytes.fromhex("1500 15c801 15c801 2c 1514 1500 1506 1506 1c"), 0),
    "v2": (bytes.fromhex("1506 15c801 15c801 5c 1514 1500 1514 1500 1500 1500 11 1c"), 3),
}
NO_STATISTICS = {
    "a text for the number of nulls": b"\x38\x01x\x28\x04\x09\0\0\0\x18\x04\x01\0\0\0\0",
    "a number for the greatest value": b"\x36\x02\x26\x09\x18\x04\x01\0\0\0\0",
    "a number for the least value": b"\x36\x02\x28\x04\x09\0\0\0\x16\x01\0",
    "a flag for the least value": b"\x36\x02\x28\x04\x09\0\0\0\x11\0",
}
NO_BOUNDS = {
    "bounds of another length": b"\x36\x02\x28\x03\x09\0\0\x18\x03\x01\0\0\0",
    "a least value above the greatest": b"\x36\x02\x28\x04\x01\0\0\0\x18\x04\x09\0\0\0\0",
    "only the greatest": b"\x36\x02\x28\x04\x09\0\0\0\0",
    "only the old, unsigned bounds": b"\x18\x04\x09\0\0\0\x18\x04\x01\0\0\0\x16\x02\0",
    "fields that do not exist": b"\x36\x02\x68\x04\x09\0\0\0\x18\x04\x01\0\0\0\0",
}
SMALL = Leaf(("small",), 1, 0, 0, 0, "signed")


@pytest.mark.parametrize("version", HEADS)
def test_statistics_of_a_page_are_those_of_its_header(version):
    head, _ = HEADS[version]
    page = quick_page(head + b"\x36\0\x28\x04\x09\0\0\0\x18\x04\x01\0\0\0\x11\x12\0" + b"\0\0", 4, SMALL)
    summary = summary_of_page(page, SMALL)
    assert (summary.low, summary.high, summary.nulls) == (b"\x01\0\0\0", b"\x09\0\0\0", 0)
    assert (summary.high_exact, summary.low_exact) == (True, False)


@pytest.mark.parametrize("broken", NO_STATISTICS)
@pytest.mark.parametrize("version", HEADS)
def test_broken_statistics_are_noticed_when_a_slice_needs_them(version, broken):
    head, kind = HEADS[version]
    header = head + NO_STATISTICS[broken] + b"\0\0"
    page = quick_page(header, 4, SMALL) or full_page(header, SMALL)
    assert (page.kind, page.values, page.size, page.header) == (kind, 10, 100, header)
    with pytest.raises(DataError, match="is not"):
        summary_of_page(page, SMALL)


@pytest.mark.parametrize("odd", NO_BOUNDS)
@pytest.mark.parametrize("version", HEADS)
def test_statistics_that_are_no_bounds_give_none(version, odd):
    head, _ = HEADS[version]
    page = quick_page(head + NO_BOUNDS[odd] + b"\0\0", 4, SMALL)
    summary = summary_of_page(page, SMALL)
    assert (summary.low, summary.high, summary.nulls) == (None, None, 0)
    assert not summary.empty


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("on_disk", [False, True], ids=["memory", "disk"])
def test_quick_and_full_reading_agree(way, on_disk, tmp_path, monkeypatch):
    out = io.BytesIO()
    pq.write_table(table(), out, data_page_size=2_000, write_batch_size=64, row_group_size=1_000, **WAYS[way])
    path = tmp_path / "f.parquet"
    path.write_bytes(out.getvalue())
    footer = read_footer(Source("f", lambda: path.open("rb"), path.stat().st_size))

    def read():
        with path.open("rb") if on_disk else io.BytesIO(out.getvalue()) as file:
            tables = [page_tables(file, footer, group) for group in footer.row_groups]
        return [
            [
                one._replace(pages=[page._replace(told=summary_of_page(page, leaf)) for page in one.pages])
                for one, leaf in zip(group, footer.leaves, strict=True)
            ]
            for group in tables
        ]

    found = []
    quick = HeaderReader.quick
    monkeypatch.setattr(HeaderReader, "quick", lambda *given: found.append(quick(*given)) or found[-1])
    quickly = read()
    monkeypatch.setattr(HeaderReader, "quick", lambda *given: [])
    assert quickly == read()
    flat = sum(len(one.pages) for tables in quickly for one in tables[:-1])
    if on_disk:
        assert sum(map(len, found)) > 0.9 * flat


def test_a_number_of_nulls_of_minus_one_is_none_told():
    head, _ = HEADS["v1"]
    leaf = SMALL._replace(max_definition=1)
    bounds = b"\x28\x04\x09\0\0\0\x18\x04\x01\0\0\0\0"
    page = quick_page(head + b"\x36\x01" + bounds + b"\0\0", 4, leaf)
    assert summary_of_page(page, leaf).nulls is None
    page = quick_page(head + b"\x36\x06" + bounds + b"\0\0", 4, leaf)
    assert summary_of_page(page, leaf).nulls == 3


def test_a_struct_in_the_place_of_the_compression_flag_is_no_statistics():
    """Without the flag, what looks like statistics is another field: its bounds are not the page's."""
    odd = bytes.fromhex("1506 15c801 15c801 5c 1514 1500 1514 1500 1500 1511 1c")
    header = odd + b"\x36\0\x28\x04\x09\0\0\0\x18\x04\x01\0\0\0\0" + b"\0\0"
    assert quick_page(header, 4, SMALL) is None
    page = full_page(header, SMALL)
    assert summary_of_page(page, SMALL) == full_summary(page, SMALL)
    assert summary_of_page(page, SMALL).low is None


def test_a_page_of_fewer_than_no_bytes_is_refused():
    out = io.BytesIO()
    pq.write_table(pa.table({"a": pa.array(range(100), pa.int32())}), out, use_dictionary=False, compression="none")
    data = bytearray(out.getvalue())
    assert data[4:12] == bytes.fromhex("1500 15ae06 15ae06")
    data[10] |= 1  # the compressed size is negative now
    footer = read_footer(Source("f", lambda: io.BytesIO(data), len(data)))
    with pytest.raises(DataError, match="beyond its column chunk"):
        page_tables(io.BytesIO(data), footer, footer.row_groups[0])


def test_rows_of_large_pages_are_looked_at():
    pages = tuple(Page(start, b"h" * 10, size, size, 0, 0, 10, 10) for start, size in ((4, 100), (104, 1_000)))
    looked = []

    def inside(column, page):
        looked.append((column, page.start))
        return [(9, 100.0), (1, 900.0)]

    steps = steps_of_tables([PageTable(None, pages, (0, 10, 20))], 7, [3.0], 500, inside)
    assert looked == [(0, 104)]
    assert (steps.size_at(10), steps.size_at(19), steps.size_at(20)) == (103.0, 203.0, 1103.0)
