from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kyanite.batch.dependencies import (
    Dependencies,
    block_names,
    blocks,
    integer_of,
    read_dependencies,
    task_name,
)
from kyanite.errors import BatchError


def test_the_document_is_read():
    body = {"taskIds": ["A", "b", "a"], "taskIdRanges": [{"start": "1", "end": 3}, {"start": 1, "end": 3}]}
    assert read_dependencies({"dependsOn": body}) == Dependencies(("a", "b"), ((1, 3),))
    assert not read_dependencies({})
    assert not read_dependencies({"dependsOn": None})


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"taskIds": ["x" * 64] * 1001}, "TaskDependencyListTooLong"),
        ({"taskIdRanges": [{"start": 3, "end": 1}]}, "InvalidPropertyValue"),
        ({"taskIdRanges": [{"start": -1, "end": 1}]}, "InvalidPropertyValue"),
        ({"taskIdRanges": [{"start": 1, "end": 2**32}]}, "InvalidPropertyValue"),
        ({"taskIds": "a"}, "InvalidPropertyValue"),
    ],
)
def test_wrong_dependencies(body, code):
    with pytest.raises(BatchError) as caught:
        read_dependencies({"dependsOn": body})
    assert caught.value.error_code == code


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("3", 3),
        ("03", 3),
        ("003", 3),
        ("0", 0),
        ("5abc", None),
        ("-5", None),
        ("", None),
        ("4294967296", None),
        ("³", None),
    ],
)
def test_only_ids_that_are_integers_count_in_ranges(name, number):
    assert integer_of(name) == number


@given(st.integers(0, 2**32 - 1), st.integers(0, 5000))
def test_blocks_cover_a_range_once_and_are_few(first, length):
    last = min(first + length, 2**32 - 1)
    found = list(blocks(first, last))
    assert [low for _, low, _ in found] == [first, *[high + 1 for _, _, high in found[:-1]]]
    assert found[-1][2] == last
    assert len(found) <= 2 * (last - first + 1).bit_length()


@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 700))
def test_a_number_names_the_blocks_it_lies_in(first, length, number):
    covering = [name for name, low, high in blocks(first, first + length) if low <= number <= high]
    assert covering == [name for name, _, _ in blocks(first, first + length) if name in block_names(number)]
    assert len(covering) == (first <= number <= first + length)


def test_the_longest_range():
    assert [(low, high) for _, low, high in blocks(0, 2**32 - 1)] == [(0, 2**32 - 1)]
    assert "#32:0" in block_names(12345)


def test_names_of_tasks_and_blocks_differ():
    assert task_name("#0:1") not in block_names(1)
    assert task_name("A") == task_name("a")
