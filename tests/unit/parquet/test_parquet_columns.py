"""Columns as texts: equal for equal types whoever wrote the file, different for different ones."""

from __future__ import annotations

import io
from itertools import combinations

import pyarrow as pa
import pytest

from kyanite.parquet.columns import columns_of
from kyanite.parquet.footer import footer_of
from kyanite.parquet.schema import Column
from kyanite.parquet.thrift import I32, LIST, STRUCT, structs_of
from parquet_files import written

TYPES = {
    "BOOLEAN": pa.bool_(), "INT32": pa.int32(), "INT64": pa.int64(), "FLOAT": pa.float32(), "DOUBLE": pa.float64(),
    "INT32 Int(8, signed)": pa.int8(), "INT32 Int(16, unsigned)": pa.uint16(), "INT32 Int(32, unsigned)": pa.uint32(),
    "INT64 Int(64, unsigned)": pa.uint64(), "BYTE_ARRAY": pa.binary(), "BYTE_ARRAY String": pa.string(),
    "FIXED_LEN_BYTE_ARRAY(3)": pa.binary(3), "FIXED_LEN_BYTE_ARRAY(2) Float16": pa.float16(),
    "FIXED_LEN_BYTE_ARRAY(9) Decimal(precision=20, scale=4)": pa.decimal128(20, 4), "INT32 Date": pa.date32(),
    "INT64 Time(microseconds, local)": pa.time64("us"), "INT32 Time(milliseconds, local)": pa.time32("ms"),
    "INT64 Timestamp(milliseconds, local)": pa.timestamp("ms"),
    "INT64 Timestamp(microseconds, UTC)": pa.timestamp("us", "UTC"),
    "INT64 Timestamp(nanoseconds, local)": pa.timestamp("ns"), "INT32 Null": pa.null(),
}  # fmt: skip


def footer(table):
    data = written(table)
    return footer_of(io.BytesIO(data), len(data), "in")


@pytest.mark.parametrize("text", TYPES)
def test_types(text):
    found = columns_of(footer(pa.table({"v": pa.array([], TYPES[text])})))
    assert found == (Column("v", f"{text} optional"),)


def test_nesting_and_required_columns():
    kind = pa.struct([pa.field("list", pa.list_(pa.int32())), pa.field("n", pa.int64(), nullable=False)])
    schema = pa.schema([pa.field("key", pa.int64(), nullable=False), pa.field("deep", kind)])
    found = columns_of(footer(schema.empty_table()))
    assert [column.path for column in found] == ["key", "deep.list.list.element", "deep.n"]
    assert [column.type.split(" ", 1)[1] for column in found] == ["required", "levels 4/1", "optional"]


@pytest.mark.parametrize(
    ("text", "converted"),
    [
        ("BYTE_ARRAY String", 0), ("INT32 Date", 6), ("INT32 Int(8, signed)", 15), ("INT32 Int(16, unsigned)", 12),
        ("INT64 Timestamp(microseconds, UTC)", 10),
    ],
)  # fmt: skip
def test_converted_types_say_the_same_as_logical_ones(text, converted):
    new = footer(pa.table({"v": pa.array([], TYPES[text])}))
    root, element = structs_of(new.struct, 2)
    old_element = {number: value for number, value in element.items() if number != 10} | {6: (I32, converted)}
    old = new._replace(struct={**new.struct, 2: (LIST, (STRUCT, [root, old_element]))})
    assert columns_of(old) == columns_of(new) == (Column("v", f"{text} optional"),)


def test_decimals_of_old():
    new = footer(pa.table({"v": pa.array([], pa.decimal128(20, 4))}))
    root, element = structs_of(new.struct, 2)
    old_element = {number: value for number, value in element.items() if number != 10}
    old_element |= {6: (I32, 5), 7: (I32, 4), 8: (I32, 20)}
    old = new._replace(struct={**new.struct, 2: (LIST, (STRUCT, [root, old_element]))})
    assert columns_of(old) == columns_of(new)


def test_all_different_types_are_told_apart():
    texts = [columns_of(footer(pa.table({"v": pa.array([], kind)})))[0].type for kind in TYPES.values()]
    assert all(one != other for one, other in combinations(texts, 2))


@pytest.mark.parametrize("number", [8, -1, -100])
def test_a_physical_type_that_does_not_exist_is_told_by_its_number(number):
    good = footer(pa.table({"v": pa.array([], pa.int32())}))
    strange = good._replace(leaves=(good.leaves[0]._replace(type=number),))
    assert columns_of(strange) == (Column("v", f"type {number} optional"),)
