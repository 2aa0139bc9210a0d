"""Patterns with `**` against a plain model of them; schemas compared column by column."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kyanite.movement.split_inputs import _fits
from kyanite.movement.split_schema import differences, fingerprint
from kyanite.parquet.schema import Column


def as_regex(patterns):
    """The pattern as a regular expression over `/`-terminated levels."""
    text = ""
    for pattern in patterns:
        text += "(?:[^/]+/)*" if pattern == "**" else re.escape(pattern).replace(r"\*", "[^/]*") + "/"
    return text


def modelled(patterns, levels):
    """A file fits when the pattern covers it, or covers a folder above it and the file is data by its name."""
    text = "/".join(levels) + "/"
    is_data = levels[-1].endswith(".parquet")
    if patterns[-1] != "**" and re.fullmatch(as_regex(patterns), text):
        return True
    folders = ["/".join(levels[:count]) + "/" if count else "" for count in range(len(levels))]
    return is_data and any(re.fullmatch(as_regex(patterns), folder) for folder in folders)


LEVEL = st.sampled_from(["a", "b", "ab", "c.parquet", "b.parquet"])
PATTERN = st.sampled_from(["**", "*", "a", "a*", "*.parquet", "b"])


@given(st.lists(PATTERN, min_size=1, max_size=5), st.lists(LEVEL, min_size=1, max_size=5))
def test_patterns_fit_as_the_model_says(patterns, levels):
    assert _fits(patterns, levels) == modelled(patterns, levels)


@pytest.mark.parametrize(
    ("patterns", "levels", "expected"),
    [
        (["**", "*.parquet"], ["_old.parquet"], False),
        (["**", "_*"], ["_old.parquet"], True),
        (["**", "*"], ["a", "x.txt"], True),
        (["**"], ["a", "x.txt"], False),
        (["**", "a"], ["b", "a", "_x", "c.parquet"], False),
    ],
)
def test_hidden_names_and_folders(patterns, levels, expected):
    assert _fits(patterns, levels) is expected


def test_differences_name_the_columns():
    first = [Column("a", "INT64 optional"), Column("b", "INT32 optional"), Column("c.list", "DOUBLE optional")]
    second = [Column("a", "INT32 optional"), Column("c.list", "DOUBLE optional"), Column("d", "INT32 required")]
    assert differences(first, second) == (
        "column `b` is missing; column `d` is only here; column `a` is INT32 optional here and INT64 optional there"
    )
    assert differences(first, first[::-1]) == "the columns are the same, in another order"
    many = differences([], [Column(str(number), "INT32 optional") for number in range(9)])
    assert many.endswith("and 4 more")
    assert fingerprint(first) == fingerprint(list(first)) != fingerprint(first[::-1])
