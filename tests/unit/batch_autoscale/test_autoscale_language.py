"""Each line of the fixture: an expression and its value, or where and why it fails."""

from __future__ import annotations

from pathlib import Path

import pytest
from autoscale_world import results, run

from kyanite.batch.autoscale import FormulaError, parse_formula

FIXTURE = Path(__file__).parents[2] / "fixtures" / "autoscale.txt"
CASES = [
    tuple(line.rsplit(" => ", 1))
    for line in FIXTURE.read_text("utf-8").splitlines()
    if line and not line.startswith("#")
]


@pytest.mark.parametrize(("expression", "expected"), CASES)
def test_an_expression_gives_its_value_or_its_place_and_reason(expression: str, expected: str) -> None:
    outcome = run(f"x = {expression};")
    if not expected.startswith("error "):
        assert outcome.error is None
        assert results(outcome)["x"] == expected
        return
    _, column, reason = expected.split(" ", 2)
    assert outcome.error is not None
    code, detail = outcome.error
    assert detail == f"Line 1, Col {int(column) + 4}: {reason}"
    assert code == ("InsufficientSampleData" if "Insufficient" in reason else "AutoScalingFormulaEvaluationError")


@pytest.mark.parametrize(
    ("formula", "place", "says"),
    [
        ("x = ", "Line 1, Col 5", "a value is expected, but the formula ends"),
        ("x = 1 +;", "Line 1, Col 8", "';' stands here"),
        ("x = 1\ny = 2", "Line 2, Col 1", "an operator or ';'"),
        ("// a comment\n  x = (1;", "Line 2, Col 9", "')' is expected"),
        ("x = 'a'", "Line 1, Col 5", 'Strings take double quotes: "..."'),
        ('x = "a', "Line 1, Col 5", "no closing quote"),
        ("x = 5 % 2", "Line 1, Col 7", "no remainder operator"),
        ("x = y = 1", "Line 1, Col 7", "each statement assigns once"),
        ("x = $ + 1", "Line 1, Col 5", "A name follows"),
        ("x = 1 ? 2", "Line 1, Col 10", "':' is expected"),
        ("5 > 3", "Line 1, Col 1", "A statement is `name = expression`"),
        ("$PendingTasks = 3", "Line 1, Col 1", "$PendingTasks cannot be assigned"),
        ("$taskSlotsPerNode = 3", "Line 1, Col 1", "cannot be assigned"),
        ("TimeInterval_Hour = 1", "Line 1, Col 1", "cannot be assigned"),
        ("$TargetDedicatedNodes = later; later = 1", "Line 1, Col 25", "nothing is assigned to it before"),
        ("x = $PendingTask", "Line 1, Col 5", "Did you mean $PendingTasks"),
        ("x = average(1)", "Line 1, Col 5", "There is no function 'average'"),
        ("x = avgs(1)", "Line 1, Col 5", "Did you mean avg?"),
        ("x = $PendingTasks.GetSamples(1)", "Line 1, Col 19", "Did you mean GetSample"),
        ("x = $PendingTasks.GetSample()", "Line 1, Col 28", "GetSample() takes 1 to 3 arguments, 0 are given"),
        ("x = val([1])", "Line 1, Col 8", "val() takes 2 arguments, 1 are given"),
        ("x = lg()", "Line 1, Col 7", "lg() takes at least 1 arguments"),
        ("x = time().hours", "Line 1, Col 12", "Did you mean hour"),
        ("x = 1e999", "Line 1, Col 5", "too large"),
        ("x = [1, 2", "Line 1, Col 10", "',' or ']'"),
    ],
)
def test_a_text_that_is_no_formula_is_refused_with_its_place(formula: str, place: str, says: str) -> None:
    with pytest.raises(FormulaError) as caught:
        parse_formula(formula)
    assert caught.value.error_code == "AutoScalingFormulaSyntaxError"
    assert caught.value.message.startswith(f"{place}: ")
    assert says in str(caught.value)


def test_the_length_and_the_number_of_statements_are_limited() -> None:
    parse_formula("x=1;" * 100)
    with pytest.raises(FormulaError, match="at most 100 statements"):
        parse_formula("x=1;" * 101)
    parse_formula("x=1;".ljust(8192))
    with pytest.raises(FormulaError) as caught:
        parse_formula("x=1;".ljust(8193))
    assert caught.value.error_code == "AutoScaleFormulaTooLong"
    with pytest.raises(FormulaError) as caught:  # counted in bytes, not characters
        parse_formula("//" + "é" * 4096)
    assert caught.value.error_code == "AutoScaleFormulaTooLong"


def test_depth_is_limited_and_long_chains_are_not_deep() -> None:
    for text in ("(" * 4000, "-" * 8000 + "1", "1?" * 3000, "[" * 8000, "!" * 8000, "avg(" * 2000):
        with pytest.raises(FormulaError, match=r"nested deeper"):
            parse_formula("x=" + text)
    assert results(run("x=" + "1+" * 4000 + "1"))["x"] == "4001"
    assert results(run("x=" + "1==" * 2000 + "1"))["x"] == "1"


def test_an_evaluation_that_grows_without_end_is_stopped() -> None:
    outcome = run("v=$PendingTasks.GetSample(10);" + "v=vec(v,v,v,v,v,v,v,v,v,v);" * 90)
    assert outcome.error is not None
    assert "takes more than 1,000,000 steps" in outcome.error[1]
    assert outcome.dedicated == 4


def test_empty_statements_comments_and_a_missing_last_semicolon_are_allowed() -> None:
    assert results(run(";;x=1;;// the end\n;\r\ny=2 // no semicolon"))["y"] == "2"
    assert run("").dedicated == 4
    assert run("// nothing").error is None
