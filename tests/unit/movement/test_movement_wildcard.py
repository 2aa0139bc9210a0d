from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kyanite.errors import LimitError
from kyanite.movement.wildcard import Wildcard, wildcard


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("*.parq", ["a.parq", ".parq", "a.b.parq"], ["a.parquet", "a.PARQ", "parq", ""]),
        ("*", ["", "a", "."], []),
        ("file?.csv", ["file.csv", "file1.csv"], ["file12.csv", "File1.csv"]),
        ("??", ["", "a", "ab"], ["abc"]),
        ("a*b*c", ["abc", "aXbYc", "abcbc"], ["ab", "abcd"]),
        ("^*", ["*"], ["a", "^*", ""]),
        ("^?^^", ["?^"], ["a^"]),
        ("a^b", ["a^b"], ["ab"]),
        ("a^", ["a^"], ["a"]),
        ("^^*", ["^", "^x"], ["x"]),
        ("**", ["", "abc"], []),
        ("[ab].(x|y)+$", ["[ab].(x|y)+$"], ["a.x"]),
        ("", [""], ["a"]),
    ],
)
def test_matches(pattern, yes, no):
    assert [name for name in yes if not wildcard(pattern).matches(name)] == []
    assert [name for name in no if wildcard(pattern).matches(name)] == []


def naive(pattern, name):
    """The definition, by trying everything."""
    if not pattern:
        return not name
    if pattern[0] == "^" and pattern[1:2] in ("*", "?", "^"):
        return name[:1] == pattern[1] and naive(pattern[2:], name[1:])
    if pattern[0] == "*":
        return any(naive(pattern[1:], name[start:]) for start in range(len(name) + 1))
    if pattern[0] == "?":
        return naive(pattern[1:], name) or (bool(name) and naive(pattern[1:], name[1:]))
    return name[:1] == pattern[0] and naive(pattern[1:], name[1:])


@given(st.text("ab*?^", max_size=7), st.text("ab*?^", max_size=7))
def test_against_a_naive_reference(pattern, name):
    assert wildcard(pattern).matches(name) == naive(pattern, name)


def test_many_stars_do_not_blow_up():
    assert not wildcard("a*" * 60 + "b").matches("a" * 1000)
    assert not wildcard("?" * 300 + "b").matches("a" * 300)


def test_limit_and_literal():
    assert Wildcard("a" * 1024).literal == "a" * 1024
    assert wildcard("a^*b").literal == "a*b" and wildcard("a?").literal is None
    with pytest.raises(LimitError):
        Wildcard("*" * 1025)
