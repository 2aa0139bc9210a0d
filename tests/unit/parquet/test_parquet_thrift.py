from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kyanite.errors import DataError
from kyanite.parquet import thrift
from kyanite.parquet.thrift import BINARY, DOUBLE, FALSE, I8, I32, I64, LIST, MAP, SET, STRUCT, TRUE, UUID
from parquet_files import table_of, written

I64_RANGE = st.integers(-(2**63), 2**63 - 1)
SCALARS = st.one_of(
    st.tuples(st.just(I64), I64_RANGE),
    st.tuples(st.just(I32), st.integers(-(2**31), 2**31 - 1)),
    st.tuples(st.just(I8), st.integers(0, 255)),
    st.tuples(st.just(BINARY), st.binary(max_size=20)),
    st.tuples(st.just(DOUBLE), st.binary(min_size=8, max_size=8)),
    st.tuples(st.just(UUID), st.binary(min_size=16, max_size=16)),
    st.sampled_from([(TRUE, True), (FALSE, False)]),
)
FIELDS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.tuples(st.just(STRUCT), st.dictionaries(st.integers(1, 200), inner, max_size=4)),
        st.lists(I64_RANGE, max_size=20).map(lambda items: (LIST, (I64, items))),
        st.lists(st.binary(max_size=5), max_size=3).map(lambda items: (SET, (BINARY, items))),
        st.lists(st.tuples(st.binary(max_size=3), I64_RANGE), max_size=3).map(
            lambda pairs: (MAP, ((BINARY, I64) if pairs else (0, 0), pairs))
        ),
        st.lists(st.dictionaries(st.integers(1, 40), inner, max_size=2), max_size=17).map(
            lambda items: (LIST, (STRUCT, items))
        ),
    ),
    max_leaves=12,
)
STRUCTS = st.dictionaries(st.integers(1, 32000), FIELDS, max_size=8)


@settings(max_examples=40)
@given(STRUCTS)
def test_any_struct_survives_a_round_trip(struct):
    data = thrift.encode(struct)
    assert thrift.decode(data) == (struct, len(data))
    assert thrift.decode(b"xx" + data + b"yy", 2) == (struct, len(data) + 2)


@settings(max_examples=25)
@given(STRUCTS)
def test_every_truncation_is_noticed(struct):
    data = thrift.encode(struct)
    for end in range(len(data)):
        with pytest.raises(thrift.Truncated):
            thrift.decode(data[:end])


@given(st.binary(max_size=60))
def test_garbage_gives_a_struct_or_a_data_error(data):
    try:
        struct, end = thrift.decode(data)
    except DataError:
        return
    assert isinstance(struct, dict)
    assert end <= len(data)


def test_a_real_footer_is_reproduced_byte_for_byte():
    data = written(table_of(["key", "text", "deep"], 500), write_page_index=True, row_group_size=100)
    size = int.from_bytes(data[-8:-4], "little")
    footer = data[-8 - size : -8]
    assert thrift.encode(thrift.decode(footer)[0]) == footer


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a list longer than its data", b"\x19\xfc\xff\xff\xff\xff\x0f"),
        ("an unknown type", b"\x1e\x00"),
        ("a number without end", b"\x16" + b"\xff" * 20),
        ("text longer than its data", b"\x18\xff\xff\x03ab"),
    ],
)
def test_hostile_bytes_are_refused(name, data):
    with pytest.raises(DataError):
        thrift.decode(data)


def test_deep_nesting_is_refused():
    with pytest.raises(DataError, match="nested too deeply"):
        thrift.decode(b"\x1c" * 100_000)


def test_members_of_the_wrong_type_are_refused():
    struct = {1: (BINARY, b"x"), 2: (I32, 3)}
    for call in (
        lambda: thrift.number_of(struct, 1),
        lambda: thrift.number_of(struct, 9),
        lambda: thrift.bytes_of(struct, 2),
        lambda: thrift.struct_of(struct, 2),
        lambda: thrift.structs_of(struct, 2),
        lambda: thrift.texts_of(struct, 1),
    ):
        with pytest.raises(DataError):
            call()
