"""Names of parts when each input has its own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kyanite.movement.part_names import NAME_TEMPLATE
from kyanite.movement.split_names import Namings, prefixes_of


@pytest.mark.parametrize(
    ("paths", "prefix", "expected"),
    [
        (["in/a.parquet", "in/b.x.parq"], None, ["a", "b.x"]),
        (["in/a.parquet"], "sales", ["sales-a"]),
        (["x/a.parquet", "y/a.parquet", "y/b.parquet"], None, ["x-a", "y-a", "b"]),
        (["p/x/a.pq", "q/x/a.pq", "a.pq"], None, ["p-x-a", "q-x-a", "a"]),
        (["in/a.parquet", "in/a.parquet", "in/a.pq"], None, ["in-a", "in-a-2", "in-a-3"]),
        (["x/.parquet"], None, [".parquet"]),
        (["a.parquet", "a.pq", "a-2.parquet"], None, ["a", "a-2", "a-2-2"]),
    ],
)
def test_prefixes(paths, prefix, expected):
    assert prefixes_of(paths, prefix) == expected


@given(st.lists(st.lists(st.sampled_from(["a", "b", "a-2", "a-b"]), min_size=1, max_size=4), min_size=1, max_size=8))
def test_no_two_inputs_share_a_prefix(levels):
    paths = ["/".join(parts) + ".parquet" for parts in levels]
    prefixes = prefixes_of(paths, None)
    assert len(set(prefixes)) == len(paths)
    assert not any("/" in prefix for prefix in prefixes)


def test_namings_survive_json():
    namings = Namings(["a", "b-c"], NAME_TEMPLATE)
    again = Namings.of(namings.document())
    for name, is_part in (("a-00000.parquet", True), ("b-c-7.parquet", True), ("b-00000.parquet", False)):
        assert namings.match(name) is again.match(name) is is_part
    assert not Namings([], NAME_TEMPLATE).match("a-00000.parquet")
