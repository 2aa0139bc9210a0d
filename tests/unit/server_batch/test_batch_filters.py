"""The `$filter` language: what it says of an object, and what it refuses."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kyanite import limits
from kyanite.server.batch.filters import FILTERS, Both, Comparison, Either, FilterProblem, parse_filter

ALL = frozenset({"eq", "ne", "gt", "ge", "lt", "le", "startswith"})
ALLOWED = dict.fromkeys(("id", "state", "n", "t", "flag", "a/b", "executionInfo/exitCode"), ALL)
TASK = {
    "id": "Task1",
    "state": "completed",
    "n": 5,
    "t": "2026-01-02T03:04:05.1234567Z",
    "flag": True,
    "executionInfo": {"exitCode": 3},
}


def holds(text, document=TASK):
    return parse_filter(text, ALLOWED).matches(document)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("state eq 'completed'", True),
        ("state eq 'COMPLETED'", True),
        ("state ne 'completed'", False),
        ("startswith(id, 'task')", True),
        ("startswith( id ,'Other')", False),
        ("n eq 5", True),
        ("n gt 4.5 and n lt 5.5", True),
        ("n ge 6 or n le 4", False),
        ("executionInfo/exitCode ne 0", True),
        ("(state eq 'active' or state eq 'completed') and n eq 5", True),
        ("state eq 'active' or state eq 'completed' and n eq 6", False),
        ("t gt DateTime'2026-01-02T03:04:05Z'", True),
        ("t lt datetime'2026-01-02T03:04:05.2Z'", True),
        ("t ge DateTime'Fri, 02 Jan 2026 03:04:05 GMT'", True),
        ("t lt DateTime'2026-01-02T05:04:05+02:00'", False),
        ("flag eq true", True),
        ("flag ne true", False),
        ("a/b eq null", True),
        ("n ne null", True),
        ("n eq null", False),
        ("a/b ne 'x'", True),
        ("a/b eq 'x'", False),
        ("a/b gt 5", False),
        ("id eq 5", False),
        ("id ne 5", True),
        ("NOT", None),
    ],
)
def test_conditions(text, expected):
    if expected is None:
        with pytest.raises(FilterProblem):
            holds(text)
        return
    assert holds(text) is expected


def test_a_quote_is_doubled_within_a_text():
    assert holds("id eq 'it''s'", {"id": "it's"})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "property is expected"),
        ("state", "operator"),
        ("state eq", "value is expected"),
        ("state eq active", "value is expected"),
        ("state like 'x'", "operator"),
        ("state eq 'x", "cannot be read"),
        ("state eq 'x' state eq 'y'", "not expected"),
        ("(state eq 'x'", "'.' is expected"),
        ("state eq 'x')", "not expected"),
        ("startswith(id)", "',' is expected"),
        ("startswith(id,5)", "takes a text"),
        ("unknown eq 5", "cannot be filtered by 'unknown'"),
        ("State eq 'x'", "cannot be filtered by 'State'"),
        ("t gt DateTime'noon'", "not a date"),
        ("n eq 5x", "cannot be read"),
        ("n eq " + "9" * 60, "too long"),
        ("not (n eq 5)", "cannot be filtered|operator|expected"),
        ("1 eq 1", "property is expected"),
        ("n eq 5;drop", "cannot be read"),
    ],
)
def test_what_is_no_filter_is_refused_with_its_reason(text, reason):
    with pytest.raises(FilterProblem, match=reason):
        parse_filter(text, ALLOWED)


def test_an_operator_that_a_property_does_not_take_is_refused():
    with pytest.raises(FilterProblem, match="cannot be compared with gt"):
        parse_filter("state gt 'a'", FILTERS["tasks"])


def test_size_depth_and_count_are_bounded():
    with pytest.raises(FilterProblem, match="characters"):
        parse_filter("n eq 5" + " " * limits.BATCH_FILTER_CHARACTERS, ALLOWED)
    with pytest.raises(FilterProblem, match="nested"):
        parse_filter("(" * 200 + "n eq 5" + ")" * 200, ALLOWED)
    with pytest.raises(FilterProblem, match="comparisons"):
        parse_filter(" and ".join(["n eq 5"] * (limits.BATCH_FILTER_COMPARISONS + 1)), ALLOWED)
    assert parse_filter("(" * 20 + "n eq 5" + ")" * 20, ALLOWED).matches(TASK)


names = st.sampled_from(["id", "state", "n", "a/b"])
values = st.one_of(
    st.integers(-(10**9), 10**9),
    st.booleans(),
    st.none(),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.floats(-1000, 1000).map(lambda number: round(number, 3)).filter(lambda number: "e" not in repr(number)),
)
leaves = st.builds(
    lambda name, word, value: Comparison(tuple(name.split("/")), word, value),
    names,
    st.sampled_from(["eq", "ne", "gt", "ge", "lt", "le"]),
    values,
)
conditions = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, min_size=2, max_size=3)
        .map(tuple)
        .flatmap(lambda parts: st.sampled_from([Both(parts), Either(parts)]))
    ),
    max_leaves=8,
)


def written(condition):
    if isinstance(condition, Comparison):
        value = condition.value
        text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
        if isinstance(value, str):
            text = "'" + value.replace("'", "''") + "'"
        return f"{'/'.join(condition.path)} {condition.operator} {text}"
    return "(" + (" and " if isinstance(condition, Both) else " or ").join(map(written, condition.parts)) + ")"


def plain(condition, document):
    """The same question, asked without the parser."""
    if isinstance(condition, Comparison):
        return condition.matches(document)
    results = [plain(part, document) for part in condition.parts]
    return all(results) if isinstance(condition, Both) else any(results)


@settings(max_examples=50)
@given(conditions, st.dictionaries(st.sampled_from(["id", "state", "n"]), values))
def test_a_written_condition_is_read_back_with_its_meaning(condition, document):
    assert parse_filter(written(condition), ALLOWED).matches(document) == plain(condition, document)


@given(names, values)
def test_equal_and_not_equal_are_opposites(name, value):
    document = {"id": "a", "n": 5, "state": None}
    equal, unequal = (Comparison(tuple(name.split("/")), word, value) for word in ("eq", "ne"))
    assert equal.matches(document) is not unequal.matches(document)


@given(st.text(max_size=60) | st.text("()',=/ andoreqstwih519T-", max_size=80))
def test_any_text_is_read_or_refused(text):
    try:
        condition = parse_filter(text, ALLOWED)
    except FilterProblem:
        return
    assert condition.matches(TASK) in (True, False)
