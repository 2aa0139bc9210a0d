"""Parts are compared with their sources: every difference is found, none is invented."""

from __future__ import annotations

import io
import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kyanite.errors import ActivityError, DataError, InvariantError, ParameterError
from kyanite.parquet import Verified, verify
from kyanite.parquet.compare import same
from parquet_files import COLUMNS, source, split_all, table_of, written

DATA = written(table_of(sorted(COLUMNS), 400), row_group_size=150)


def parts_of(data, **target):
    return [source(part, f"part-{n}") for n, part in enumerate(split_all(data, **target)[1])]


def rewritten(table, data):
    """The table as a file that claims to be of the same writer, schema and metadata."""
    return source(written(table.cast(pq.read_schema(io.BytesIO(data)))), "part-x")


def test_every_value_of_every_type_is_compared():
    parts = parts_of(DATA, rows=130)
    assert verify(parts, [source(DATA)]) == Verified("fast", 4, 400, 0)
    assert verify(parts, [source(DATA)], "deep") == Verified("deep", 4, 400, 400 * len(COLUMNS))
    assert verify([], [source(DATA)], "none") == Verified("none", 0, 0, 0)


@pytest.mark.parametrize("name", sorted(set(COLUMNS) - {"nothing", "one"}))
def test_one_other_value_is_found(name):
    table = table_of([name, "key"] if name != "key" else ["key"], 200)
    column = table.column(0)
    at = next(n for n in range(57, 200) if column[n] != column[n - 1])
    moved = pa.concat_arrays(
        [column.chunk(0).slice(0, at), column.chunk(0).slice(at - 1, 1), column.chunk(0).slice(at + 1)]
    )
    data = written(table)
    changed = written(table.set_column(0, name, moved))
    verify([source(changed)], [source(data)], "fast")
    with pytest.raises(InvariantError, match=f"Column {name} differs in row {at} ") as caught:
        verify([source(changed, "part-x")], [source(data)], "deep")
    assert caught.value.where == "part-x"


def test_rows_that_are_missing_or_in_another_order_are_found():
    parts = parts_of(DATA, rows=100)
    with pytest.raises(InvariantError, match="300 rows instead of 400"):
        verify(parts[1:], [source(DATA)])
    with pytest.raises(InvariantError, match="differs in row"):
        verify([parts[1], parts[0], *parts[2:]], [source(DATA)], "deep")


def test_another_schema_or_other_metadata_are_found():
    table = table_of(["key"], 50)
    with pytest.raises(InvariantError, match="schema"):
        verify([source(written(table.rename_columns(["other"])))], [source(written(table))])
    with pytest.raises(InvariantError, match="metadata"):
        verify([source(written(table.replace_schema_metadata({"owner": "x"})))], [source(written(table))])


def test_a_damaged_page_is_found_by_its_checksum():
    data = written(table_of(["real"], 2000), write_page_checksum=True, use_dictionary=False, compression="none")
    part = bytearray(split_all(data, parts=1)[1][0])
    part[len(part) // 2] ^= 1
    verify([source(bytes(part), "part")], [source(data)], "fast")
    with pytest.raises((DataError, InvariantError)) as caught:
        verify([source(bytes(part), "part")], [source(data)], "deep")
    assert "CRC" in str(caught.value)
    assert caught.value.where == "part"


def test_int96_times_are_compared_beyond_arrows_range():
    far = pa.array([-(2**55), 2**55, None, 0], pa.timestamp("us"))
    near = pa.array([-(2**55) + 2**64 // 1000 * 2, 2**55, None, 0], pa.timestamp("us"))
    one, other = (written(pa.table({"t": t}), use_deprecated_int96_timestamps=True) for t in (far, near))
    verify([source(one)], [source(one)], "deep")
    with pytest.raises(InvariantError):
        verify([source(other)], [source(one)], "deep")


def test_files_of_different_schemas_are_compared_by_name():
    first, second = written(table_of(["key", "text"], 100)), written(table_of(["key"], 50))
    _, parts = split_all([first, second], rows=60)
    assert verify([source(part) for part in parts], [source(first), source(second)], "deep").rows == 150


def test_floats_are_the_same_by_their_bits():
    kinds = [pa.float32(), pa.list_(pa.float64()), pa.struct([("x", pa.float64())]), pa.map_(pa.string(), pa.float32())]
    shaped = [lambda v: v, lambda v: [v], lambda v: {"x": v}, lambda v: [("k", v)]]
    for kind, shape in zip(kinds, shaped, strict=True):
        one = pa.array([shape(math.nan), None, shape(0.0)], kind)
        assert same(one, pa.array([shape(math.nan), None, shape(0.0)], kind))
        assert not same(one, pa.array([shape(math.nan), None, shape(-0.0)], kind))
        assert not same(one, pa.array([None, shape(math.nan), shape(0.0)], kind))
        assert same(one.slice(1), pa.array([None, shape(0.0)], kind))


def test_odd_calls():
    with pytest.raises(ParameterError):
        verify([], [source(DATA)], "slow")
    with pytest.raises(ActivityError):
        verify([source(DATA)], [source(DATA)], "deep", cancelled=lambda: True)
    seen = []
    verify([source(DATA)], [source(DATA)], "deep", progress=lambda *counts: seen.append(counts))
    assert seen == [(400, len(DATA), 1)]
