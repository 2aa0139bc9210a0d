"""Any table, written and split in any way: the parts joined are the input.

2,000 other cases each time (some minutes): `python3 dev.py test -m slow tests/contract/test_split_properties.py`.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parquet_files import COLUMNS, check, split_all, table_of, written

OPTIONS = st.fixed_dictionaries(
    {"row_group_size": st.sampled_from([7, 40, 333, 5000])},
    optional={
        "compression": st.sampled_from(["none", "snappy", "gzip", "zstd", "brotli", "lz4"]),
        "data_page_version": st.sampled_from(["1.0", "2.0"]),
        "use_dictionary": st.booleans(),
        "write_page_index": st.booleans(),
        "data_page_size": st.sampled_from([64, 500, 5000]),
        "dictionary_pagesize_limit": st.sampled_from([50, 1000]),
        "write_page_checksum": st.booleans(),
        "store_decimal_as_integer": st.booleans(),
    },
)
COLUMN_SETS = st.lists(st.sampled_from(sorted(COLUMNS)), min_size=1, max_size=5, unique=True)


TARGETS = st.one_of(
    st.tuples(st.just("bytes"), st.floats(0.08, 1.2)),
    st.tuples(st.just("parts"), st.integers(1, 9)),
    st.tuples(st.just("rows"), st.integers(20, 400)),
)
CASES = (COLUMN_SETS, st.integers(0, 250), OPTIONS, TARGETS, st.integers(0, 10**6))


def check_case(columns, rows, options, target, seed):
    """A table of these columns, written so, split so: the parts joined are the input."""
    data = written(table_of(columns, rows, seed), **options)
    kind, number = target
    if kind == "bytes":
        most = max(1500, int(len(data) * number))
        check(data, *split_all(data, max_bytes=most), most)
        return
    result, parts = split_all(data, **{kind: number})
    check(data, result, parts)
    if kind == "parts":
        assert len(parts) == max(1, min(number, rows))
    else:
        assert all(part.rows == number for part in result.parts[:-1])
        assert len(parts) == max(1, -(-rows // number))


@settings(max_examples=200)
@given(*CASES)
def test_parts_joined_are_the_input(columns, rows, options, target, seed):
    check_case(columns, rows, options, target, seed)


@pytest.mark.slow
@settings(max_examples=2000, derandomize=False)
@given(*CASES)
def test_parts_joined_are_the_input_in_many_cases(columns, rows, options, target, seed):
    check_case(columns, rows, options, target, seed)


def test_every_row_of_a_small_file_can_be_the_cut():
    names = ["key", "small", "text", "kind", "flag", "price", "nothing", "list", "struct", "map", "deep"]
    for version in ("1.0", "2.0"):
        data = written(table_of(names, 41), data_page_version=version, data_page_size=100)
        for rows in (1, 2, 7, 13, 20, 27, 40):
            result, parts = split_all(data, rows=rows)
            check(data, result, parts)
