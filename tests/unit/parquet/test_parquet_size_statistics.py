"""Size statistics of cut row groups: what pyarrow writes for the same rows, or absent."""

from __future__ import annotations

import io
import random

import pyarrow as pa
import pytest

from kyanite.parquet.footer import footer_of
from kyanite.parquet.schema import Leaf
from kyanite.parquet.size_statistics import Sizes, fold_sizes, indexed_sizes, size_statistics_of, with_plain_levels
from kyanite.parquet.thrift import I64, LIST, decode, encode, numbers_of, struct_of, structs_of
from parquet_files import read, split_all, written

ROWS = 600
RNG = random.Random(5)


def maybe(value):
    return None if RNG.random() < 0.3 else value


def table():
    words = ["", "a", "bb", "ccc", "dddd", "é", "𝄞"]
    nested = pa.list_(pa.struct([("t", pa.string()), ("l", pa.list_(pa.int32()))]))
    kinds = {"required": pa.schema([pa.field("n", pa.int64(), nullable=False)]).field(0)}
    columns = [
        ("n", kinds["required"].type, lambda n: n),
        ("i", pa.int32(), lambda n: maybe(n % 50)),
        ("t", pa.string(), lambda _: maybe(RNG.choice(words))),
        ("long", pa.string(), lambda n: maybe(f"text {n * 7919 % 104_729}")),
        ("fixed", pa.binary(3), lambda _: maybe(RNG.randbytes(3))),
        ("flag", pa.bool_(), lambda n: maybe(n % 3 == 0)),
        ("s", pa.struct([("x", pa.string())]), lambda _: maybe({"x": maybe("some")})),
        ("l", pa.list_(pa.string()), lambda n: maybe([maybe("item" * (n % 4)) for _ in range(RNG.randrange(4))])),
        (
            "deep",
            nested,
            lambda n: maybe([maybe({"t": maybe("xy"), "l": [n] * RNG.randrange(3)}) for _ in range(n % 3)]),
        ),
        ("nothing", pa.null(), lambda _: None),
    ]
    arrays = [pa.array([make(n) for n in range(ROWS)], kind) for _, kind, make in columns]
    fields = [pa.field(name, kind, nullable=name != "n") for name, kind, _ in columns]
    return pa.table(arrays, schema=pa.schema(fields))


def footer(data):
    return footer_of(io.BytesIO(data), len(data), "file")


def told(chunk):
    """The chunk's SizeStatistics as a dict of numbers."""
    return {number: value[1] for number, value in struct_of(chunk.meta, 16).items()} if 16 in chunk.meta else {}


OPTIONS = {
    "dictionary": {},
    "plain": {"use_dictionary": False},
    "v2": {"data_page_version": "2.0"},
    "prefixed": {
        "use_dictionary": False,
        "column_encoding": {"t": "DELTA_BYTE_ARRAY", "long": "DELTA_LENGTH_BYTE_ARRAY", "i": "DELTA_BINARY_PACKED"},
    },
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_they_are_those_that_pyarrow_writes_for_the_same_rows(options):
    whole = table()
    data = written(whole, write_page_index=True, data_page_size=100, write_batch_size=20, **options)
    for part in split_all(data, rows=77)[1]:
        rows = read(part)
        right = footer(written(rows)).row_groups[0]
        group = footer(part).row_groups[0]
        for chunk, wanted, leaf in zip(group.chunks, right.chunks, footer(part).leaves, strict=True):
            found, expected = told(chunk), told(wanted)
            if 1 not in found and "column_encoding" in options and leaf.path == ("t",):
                del expected[1]  # of prefixed texts only what is counted here is believed
            assert found == expected, leaf.path
            check_pages(part, chunk, leaf, rows)


def check_pages(part, chunk, leaf, rows):
    """Every page's numbers are those of a file of its rows alone."""
    columns, _ = decode(part, chunk.struct[6][1]) if 6 in chunk.struct else ({}, 0)
    offsets, _ = decode(part, chunk.struct[4][1])
    firsts = [page[3][1] for page in structs_of(offsets, 1)] + [rows.num_rows]
    pages = indexed_sizes(columns, offsets, leaf, len(firsts) - 1)
    place = footer(part).leaves.index(leaf)
    for page, first, last in [*list(zip(pages, firsts, firsts[1:], strict=False))[:2], (pages[-1], *firsts[-2:])]:
        alone = told(footer(written(rows.slice(first, last - first))).row_groups[0].chunks[place])
        if 6 in chunk.struct and leaf.max_definition:
            assert list(page.definitions) == alone[3][1]
        if 6 in chunk.struct and leaf.max_repetition:
            assert list(page.repetitions) == alone[2][1]
        assert page.texts in (alone.get(1), None)
        assert page.texts is not None or leaf.type != 6 or leaf.path == ("t",)


def test_without_page_indexes_only_what_nulls_tell_is_known():
    data = written(table(), data_page_size=100, write_batch_size=20)
    for part in split_all(data, rows=150)[1]:
        right = footer(written(read(part))).row_groups[0]
        for chunk, wanted, leaf in zip(
            footer(part).row_groups[0].chunks, right.chunks, footer(part).leaves, strict=True
        ):
            found, expected = told(chunk), told(wanted)
            assert found.items() <= expected.items()
            if leaf.max_repetition == 0 and leaf.max_definition <= 1:
                assert (3 in found) == (3 in expected)


def test_a_source_that_tells_nothing_gets_nothing():
    data = written(table(), write_page_index=True, data_page_size=100, write_batch_size=20)
    length = int.from_bytes(data[-8:-4], "little")
    struct, _ = decode(data[-8 - length : -8])
    for group in structs_of(struct, 4):
        for chunk in structs_of(group, 1):
            chunk[3][1].pop(16, None)
    changed = encode(struct)
    bare = data[: -8 - length] + changed + len(changed).to_bytes(4, "little") + b"PAR1"
    for part in split_all(bare, rows=77)[1]:
        assert [told(chunk) for chunk in footer(part).row_groups[0].chunks] == [{}] * len(footer(part).leaves)


FLAT, NESTED = Leaf(("v",), 6, 0, 1, 0), Leaf(("v",), 6, 0, 2, 1)


def test_what_one_page_does_not_tell_is_not_known_of_all():
    known, unknown = Sizes(3, (2, 1), (1, 2, 0)), Sizes(None, (1, 1), None)
    assert fold_sizes([known, known]) == Sizes(6, (4, 2), (2, 4, 0))
    assert fold_sizes([known, unknown]) == Sizes(None, (3, 2), None)
    source = {1: (I64, 9), 2: (LIST, (I64, [7, 2])), 3: (LIST, (I64, []))}
    made = size_statistics_of(fold_sizes([known, unknown]), source)
    assert numbers_of(made, 2) == (3, 2)
    assert (1 in made, numbers_of(made, 3)) == (False, ())


def test_levels_of_flat_columns_follow_from_nulls():
    assert with_plain_levels(Sizes(), FLAT, 9, 2) == Sizes(None, (9,), (2, 7))
    assert with_plain_levels(Sizes(), FLAT, 9, None) == Sizes(None, (9,), None)
    assert with_plain_levels(Sizes(), NESTED, 9, 2) == Sizes()


def test_indexes_of_another_number_of_pages_tell_nothing():
    index = {6: (LIST, (I64, [1, 2, 3])), 7: (LIST, (I64, [1, 2, 3, 4, 5, 6]))}
    assert indexed_sizes(index, {2: (LIST, (I64, [5]))}, NESTED, 2) == [
        Sizes(None, None, (1, 2, 3)),
        Sizes(None, None, (4, 5, 6)),
    ]
