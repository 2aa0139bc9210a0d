"""What a measurement calls right: missing, swapped and changed rows, large parts and lost metadata are seen."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


def load(name):
    spec = importlib.util.spec_from_file_location(f"bench_{name}", ROOT / "bench" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


checking = load("checking")


def table(numbers, **more):
    return pa.table({"n": pa.array(list(numbers), pa.int64()), "t": [f"t{n}" for n in numbers], **more})


@pytest.fixture
def original(tmp_path):
    path = tmp_path / "original.parquet"
    pq.write_table(table(range(1000)).replace_schema_metadata({"mine": "yes"}), path)
    return path


def judged(original, tables, most=10**9, key=("n",)):
    parts = []
    for number, part in enumerate(tables):
        parts.append(original.with_name(f"part-{number}.parquet"))
        pq.write_table(part, parts[-1])
    return checking.judge([original], parts, most, key)


def test_right(original):
    found = pq.read_table(original)
    verdict = judged(original, [found.slice(0, 300), found.slice(300)])
    assert verdict.right
    assert (verdict.parts, verdict.rows_lost, verdict.order) == (2, 0, "yes")
    assert verdict.schema
    assert verdict.metadata


def test_a_missing_row(original):
    verdict = judged(original, [table(range(300)), table(range(301, 1000))])
    assert not verdict.right
    assert verdict.rows_lost == 1


def test_rows_in_another_order_are_all_there(original):
    verdict = judged(original, [table(range(500, 1000)), table(range(500))])
    assert not verdict.right
    assert (verdict.order, verdict.rows_lost) == ("lost", 0)


def test_a_changed_value(original):
    changed = table(range(1000)).set_column(1, "t", [["t"] * 1000])
    verdict = judged(original, [changed])
    assert not verdict.right
    assert verdict.order == "yes"
    assert "column t differs" in verdict.problem


def test_a_column_too_many(original):
    verdict = judged(original, [table(range(1000), more=[0] * 1000)], key=())
    assert not verdict.right


def test_a_part_over_the_target_and_lost_metadata(original):
    verdict = judged(original, [table(range(1000))], most=10)
    assert not verdict.right
    assert verdict.over == 1
    assert not verdict.metadata


def test_wider_types_are_equal_values_but_another_schema(original):
    wide = table(range(1000)).set_column(0, "n", [pa.array(range(1000), pa.int32())])
    verdict = judged(original, [wide])
    assert verdict.right
    assert not verdict.schema


@pytest.mark.parametrize(
    "names",
    [["part-1.parquet", "part-9.parquet", "part-10.parquet"], ["00.parquet", "09.parquet", "0a.parquet", "10.parquet"]],
    ids=["numbers", "hexadecimal"],
)
def test_parts_count_in_the_order_of_their_names(names):
    assert [path.name for path in checking.in_order([Path(name) for name in reversed(names)])] == names
