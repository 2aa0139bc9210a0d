"""Expressions about tags: what they match, what is refused and how, and that any text is read or refused."""

from __future__ import annotations

import operator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kyanite.errors import UserError
from kyanite.storage.tag_query import read_condition, read_search

TAGS = {"Status": "Done", "Rank": "042", "a tag": "", "x": "it =+-.:/_"}
SIGNS = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("\"Status\" = 'Done'", True),
        ("Status='Done'", True),
        ("status = 'Done'", False),
        ("Status <> 'Done'", False),
        ("\"Rank\" >= '010' AND \"Rank\" < '100'", True),
        ("Rank > '42'", False),
        ("Rank = '1' or Rank = '2' or Rank = '042'", True),
        ("Rank = '1' and Status = 'Done' or x = 'it =+-.:/_'", True),
        ("Rank = '1' and (Status = 'Done' or Rank = '042')", False),
        ("\"a tag\" = ''", True),
        ("missing <> 'x'", False),
        ("missing < 'x' or not_there >= ''", False),
        ("Status<>'v0'and Status<>'v1'AND Status<>'v2'", True),
    ],
)
def test_conditions(text, holds):
    assert read_condition(text).holds(TAGS) is holds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Status",
        "Status = Done",
        "Status == 'Done'",
        "'Status' = 'Done'",
        "Status = 'Done",
        "Status = 'Done' and",
        "Status = 'Done' Rank = '1'",
        "key-1 = 'x'",
        "key+1='value1'",
        "a='$'",
        "a='it''s'",
        "@container = 'box'",
        "(a = 'b'",
        "a = 'b')",
        "not a = 'b'",
        "(" * 33 + "a = 'b'" + ")" * 33,
        "(" * 100_000,
    ],
)
def test_conditions_that_cannot_be_read(text):
    with pytest.raises(UserError, match="not in the correct format") as caught:
        read_condition(text)
    assert caught.value.error_code == "InvalidHeaderValue"


def test_names_and_values_in_conditions_may_be_longer_than_any_tag():
    assert not read_condition(f"{'k' * 129} <> 'x'").holds({"k": "x"})
    assert read_condition(f"k <> '{'v' * 257}'").holds({"k": "x"})
    assert read_condition(" and ".join(["k <> 'v'"] * 2000)).holds({"k": "x"})


def test_searches():
    search = read_search("@container = 'box' AND \"Rank\" >= '010' and Rank < '100' and Status='Done'")
    assert search.containers == ("box",) and search.covers("box") and not search.covers("other")
    assert search.matches(TAGS) and not search.matches({**TAGS, "Rank": "100"}) and not search.matches({})
    assert search.shown(TAGS) == {"Rank": "042", "Status": "Done"}
    everywhere = read_search("x > ''")
    assert everywhere.covers("box") and everywhere.matches(TAGS)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "at or near character position 1: expected a tag name"),
        ("a = 'b' or a = 'c'", "unexpected or"),
        ("a <> 'b'", "unexpected <>"),
        ("a = 'b' and @box = 'c'", "unsupported parameter '@box'"),
        ("@container > 'c'", "unexpected >"),
        ("a = 'valffff @'", "'@' not permitted in tag name or value"),
        (f"{'k' * 129} = 'x'", "tag must be between 1 and 128 characters in length"),
        ("\"\" = 'x'", "tag must be between 1 and 128 characters in length"),
        (f"k = '{'v' * 257}'", "tag value must be between 0 and 256 characters in length"),
        ("Rank > '10' AND Rank >= '15'", "can't have multiple conditions for a single tag unless they define a range"),
        ("Rank > '10' AND Rank = '15'", "can't have multiple conditions"),
        ("Rank = '10' AND Rank = '10'", "can't have multiple conditions"),
        (" and ".join(f"k{number} = 'v'" for number in range(11)), ": there can be at most 10 unique tags in a query"),
    ],
)
def test_searches_that_cannot_be_read(text, why):
    with pytest.raises(UserError) as caught:
        read_search(text)
    assert caught.value.error_code == "InvalidQueryParameterValue"
    assert caught.value.message.startswith("Error parsing query") and why in caught.value.message


def test_ten_tags_and_a_container():
    text = " and ".join([f"k{number} = 'v'" for number in range(10)] + ["@container='box'"])
    assert read_search(text).matches({f"k{number}": "v" for number in range(10)})


PLAIN = st.text("abAB01_", min_size=1, max_size=3).filter(lambda word: word.lower() not in ("and", "or"))
VALUES = st.text("aB0 +-./:=_", max_size=3)
LEAVES = st.tuples(PLAIN | VALUES.filter(bool), st.sampled_from(list(SIGNS)), VALUES)
TREES = st.recursive(
    LEAVES, lambda inner: st.tuples(st.sampled_from(["and", "or"]), st.lists(inner, min_size=1, max_size=3))
)


def written(tree) -> str:
    if len(tree) == 3:
        name, sign, value = tree
        return f"\"{name}\"{sign}'{value}'"
    return "(" + f" {tree[0]} ".join(written(each) for each in tree[1]) + ")"


def expected(tree, tags) -> bool:
    if len(tree) == 3:
        name, sign, value = tree
        return name in tags and SIGNS[sign](tags[name], value)
    return (all if tree[0] == "and" else any)(expected(each, tags) for each in tree[1])


@given(TREES, st.dictionaries(PLAIN | VALUES.filter(bool), VALUES, max_size=4))
def test_any_condition_holds_as_its_parts_do(tree, tags):
    assert read_condition(written(tree)).holds(tags) is expected(tree, tags)


@given(st.text("ab'\"@()<>= ORandcontier\n\0é", max_size=30))
def test_any_text_is_read_or_refused(text):
    for read in (read_condition, read_search):
        try:
            read(text)
        except UserError as refused:
            assert refused.message
