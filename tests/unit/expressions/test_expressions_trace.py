"""A traced evaluation gives the same value as a plain one, and tells what each part gave."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kyanite.errors import ExpressionError
from kyanite.expressions import MISSING, Scope, Traced, evaluate_text, trace, trace_document


def shape(traced: Traced) -> object:
    value = traced.error or ("not evaluated" if traced.value is MISSING else traced.value)
    return (traced.text, value, *map(shape, traced.children))


def test_every_call_has_its_value() -> None:
    traced, problem = trace("@concat('part', string(add(1, variables('n'))))", Scope(variables={"n": 2}))
    assert problem is None
    assert shape(traced) == (
        "@concat('part', string(add(1, variables('n'))))",
        "part3",
        ("string(add(1, variables('n')))", "3", ("add(1, variables('n'))", 3, ("variables('n')", 2))),
    )


def test_what_is_not_chosen_is_not_evaluated() -> None:
    traced, _ = trace("@if(equals(1, 1), concat('a'), div(1, 0))", Scope())
    assert shape(traced)[2:] == (("equals(1, 1)", True), ("concat('a')", "a"), ("div(1, 0)", "not evaluated"))


def test_paths_show_the_call_and_computed_keys() -> None:
    scope = Scope(activities={"A": {"output": {"rows": [5, 6]}}})
    traced, _ = trace("@activity('A').output.rows[sub(2, 1)]", scope)
    assert traced.value == 6
    assert [child.text for child in traced.children] == ["activity('A')", "sub(2, 1)"]


def test_interpolations_show_each_part() -> None:
    traced, _ = trace("a @{add(1, 1)} b @{concat('x', 'y')}", Scope())
    assert traced.value == "a 2 b xy"
    assert [(child.text, child.value) for child in traced.children] == [("add(1, 1)", 2), ("concat('x', 'y')", "xy")]


def test_the_only_part_of_a_text_keeps_its_type_apart() -> None:
    traced, _ = trace("@{add(1, 1)}", Scope())
    assert (traced.value, traced.children[0].value) == ("2", 2)


def test_an_error_shows_how_far_it_came() -> None:
    traced, problem = trace("@concat(string(1), string(div(1, 0)), string(2))", Scope())
    assert problem is not None and problem.position is not None
    one, two, three = traced.children
    assert one.value == "1" and two.error and two.children[0].error and three.value is MISSING
    assert traced.error
    document = trace_document(traced)
    assert "value" not in document
    assert document["children"][2] == {"text": "string(2)", "evaluated": False}


@pytest.mark.parametrize("text", ["@nothing()", "@add(1", "@add(1)"])
def test_what_cannot_be_evaluated_at_all_raises(text: str) -> None:
    with pytest.raises(ExpressionError):
        trace(text, Scope())


def test_plain_text_has_no_parts() -> None:
    assert trace_document(trace("@@x", Scope())[0]) == {"text": "@@x", "value": "@x"}


def test_traces_agree_with_plain_evaluation() -> None:
    lines = (Path(__file__).parents[2] / "fixtures" / "expressions.txt").read_text(encoding="utf-8").splitlines()
    compared = 0
    for line in (line.partition(" => ")[0] for line in lines):
        try:
            wanted = evaluate_text(line, Scope())
        except ExpressionError:
            continue
        if any(word in line.lower() for word in ("utcnow", "guid", "rand", "futuretime", "pasttime")):
            continue
        assert json.dumps(trace(line, Scope())[0].value) == json.dumps(wanted), line
        compared += 1
    assert compared > 60
