"""Properties over random texts and values."""

from hypothesis import given
from hypothesis import strategies as st

from kyanite.errors import ExpressionError
from kyanite.expressions import FUNCTIONS, Scope, evaluate, evaluate_text, find_problems, parse
from kyanite.expressions.json_text import read, write
from kyanite.expressions.ordering import order_key
from kyanite.expressions.scope import Evaluation

MARKS = [*"@{}()[].,' ", "@{", "@@", "?[", "?.", "''", '"', "-1", "1.5e3", "true", "null", "item", "x", "é", "😀"]
PIECES = st.sampled_from([*MARKS, *FUNCTIONS])
SOURCES = st.one_of(st.text(), st.lists(PIECES, max_size=30).map("".join), st.text().map("@".__add__))
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4))
)
TREES = st.recursive(
    st.one_of(
        st.sampled_from(["item()", "item()?.x", "null", "true", "1", "2.5", "'2018-03-15T00:00:00Z'", "'a'", "'Day'"]),
        st.integers(-(2**63), 2**63 - 1).map(str),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=5).map(lambda t: "'" + t.replace("'", "''") + "'"),
    ),
    lambda inner: st.builds(
        lambda name, arguments: f"{name}({','.join(arguments[: FUNCTIONS[name].maximum])})",
        st.sampled_from(sorted(FUNCTIONS)),
        st.lists(inner, min_size=3, max_size=4),
    ),
    max_leaves=12,
)


def without_at(value):
    match value:
        case str():
            return value.replace("@", "a")
        case list():
            return [without_at(item) for item in value]
        case dict():
            return {key: without_at(item) for key, item in value.items() if key not in ("value", "type")}
        case _:
            return value


@given(SOURCES)
def test_random_texts_parse_or_raise_our_error(text):
    try:
        parse(text)
    except ExpressionError as problem:
        assert problem.text == text
        assert 0 <= problem.position <= len(text)
        (found,) = find_problems(text)
        assert found.position == problem.position


@given(VALUES)
def test_values_without_expressions_stay_as_they_are(value):
    plain = without_at(value)
    result = evaluate(plain, Scope())
    assert result == plain
    assert repr(result) == repr(plain)


@given(TREES, VALUES)
def test_random_calls_give_values_or_our_error(tree, item):
    try:
        result = evaluate_text("@" + tree, Scope(item=item))
    except ExpressionError as problem:
        assert problem.text == "@" + tree
        assert 1 <= problem.position <= len(problem.text)
    else:
        assert isinstance(evaluate_text("x@{" + tree + "}", Scope(item=item)), str)
        assert result is None or isinstance(result, bool | int | float | str | list | dict)


@given(VALUES)
def test_json_texts_give_back_the_value(value):
    result = read(write(value, Evaluation(Scope())))
    assert repr(result) == repr(value)


@given(st.text())
def test_random_json_texts_give_values_or_our_error(text):
    for source in (text, "{" + text, "[" + text, '"' + text + '"', "'" + text):
        try:
            read(source)
        except ExpressionError as problem:
            assert problem.message


@given(st.text(), st.text(), st.text())
def test_order_is_total(a, b, c):
    first, second, third = sorted((a, b, c), key=order_key)
    assert order_key(first) <= order_key(second) <= order_key(third)
    assert order_key(a) == order_key(a + "")
