"""Texts to trees: what is an expression, where its nodes stand, how long and deep it may be."""

import pytest

from kyanite import limits
from kyanite.errors import ExpressionError
from kyanite.expressions import Expression, Interpolation, Literal, parse
from kyanite.expressions.syntax import Call, Constant, Path


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", ""),
        ("plain", "plain"),
        ("@", "@"),
        ("@@", "@"),
        ("@@@", "@@"),
        (" @x", " @x"),
        ("a@b.c", "a@b.c"),
        ("a @@ b", "a @@ b"),
        ("a @@{e}", "a @{e}"),
        ("@@{x} and @{y", "@{x} and @{y"),
        ("}{", "}{"),
    ],
)
def test_literals(text, value):
    assert parse(text) == Literal(text, value)


def test_nodes_know_their_place_in_the_whole_string():
    template = parse("@ concat( 'it''s', activity('A').output?['n'][0] )  ")
    assert isinstance(template, Expression)
    call = template.node
    assert isinstance(call, Call)
    assert (call.name, call.start, call.end) == ("concat", 2, 50)
    text, path = call.arguments
    assert text == Constant("it's", 10, 17)
    assert isinstance(path, Path)
    assert (path.start, path.end, path.call.end) == (19, 48, 32)
    assert [(step.start, step.end, step.null_safe, step.key.value) for step in path.steps] == [
        (32, 39, False, "output"),
        (39, 45, True, "n"),
        (45, 48, False, 0),
    ]


def test_interpolation_keeps_texts_and_expressions_apart():
    template = parse("a @@{x} @{ f('}') }@{2}b")
    assert isinstance(template, Interpolation)
    assert [part if isinstance(part, str) else (part.start, part.end) for part in template.parts] == [
        "a @{x} ",
        (11, 17),
        (21, 22),
        "b",
    ]


@pytest.mark.parametrize(
    ("text", "position", "words"),
    [
        ("@concat('a'", 11, "expects ',' or ')' and finds the end"),
        ("@concat('a',)", 12, "expects a value or a function and finds ')'"),
        ("@concat('a' 'b')", 12, "finds ''b''"),
        ('@concat("a")', 8, "single quotes"),
        ("@concat('a", 8, "no closing quote"),
        ("@1 + 2", 3, "no operators"),
        ("@add(1;2)", 6, "separated by commas"),
        ("@(1)", 1, "after a function's name"),
        ("@abc", 1, "only functions have names"),
        ("@item().", 8, "expects a property name and finds the end"),
        ("@item().9", 8, "expects a property name"),
        ("@item()[1", 9, "expects ']'"),
        ("@item().a-b", 9, "needs brackets"),
        ("@'abc'[0]", 6, "accessors follow a function call"),
        ("@true.x", 5, "accessors follow a function call"),
        ("@9223372036854775808", 1, "64 bits"),
        ("@1e999", 1, "too large"),
        ("@concat('a')@{1}", 12, "the end of the expression"),
        ("x@{", 3, "finds the end"),
        ("x@{}", 3, "finds '}'"),
        ("x@{1", 4, "expects '}' and finds the end"),
        ("@{'a':1}", 5, "expects '}'"),
        ("ok @{1} bad @{2 3}", 16, "expects '}'"),
    ],
)
def test_mistakes_have_a_position_and_say_what_is_expected(text, position, words):
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    assert caught.value.position == position
    assert caught.value.text == text
    assert words in str(caught.value)
    assert f"position {position}" in str(caught.value)


def test_longest_expression():
    fitting = "@'" + "x" * (limits.EXPRESSION_CHARACTERS - 2) + "'"
    assert isinstance(parse(fitting), Expression)
    with pytest.raises(ExpressionError, match="longer than 32768"):
        parse(fitting[:-1] + "x'")
    assert isinstance(parse("text " * 10_000 + "@{1}"), Interpolation), "text around expressions does not count"


def test_most_nodes():
    fitting = "@concat(" + ",".join("1" * (limits.EXPRESSION_NODES - 1)) + ")"
    assert parse(fitting).size == limits.EXPRESSION_NODES
    with pytest.raises(ExpressionError, match="more than 10000"):
        parse(fitting[:-1] + ",1)")


def test_deepest_nesting():
    def nested(levels):
        return "@" + "string(" * (levels - 1) + "1" + ")" * (levels - 1)

    assert parse(nested(limits.EXPRESSION_DEPTH))
    with pytest.raises(ExpressionError, match="deeper than 100"):
        parse(nested(limits.EXPRESSION_DEPTH + 1))
    with pytest.raises(ExpressionError, match="deeper than 100"):
        parse("@" + "item()[" * 101 + "0" + "]" * 101)


def test_hostile_texts_are_read_in_linear_time():
    for text in (
        "@" + "(" * 30_000,
        "@" + "'" * 30_001,
        "@{" * 15_000,
        "@concat(" + "'a''" * 7_000,
        "@" + " " * 32_000,
    ):
        with pytest.raises(ExpressionError):
            parse(text)


def test_answers_are_cached():
    assert parse("@concat('cached')") is parse("@concat('cached')")
