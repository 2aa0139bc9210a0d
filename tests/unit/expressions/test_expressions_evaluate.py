"""Trees to values: messages and places of errors, laziness, carriers, budgets."""

import pytest

from kyanite import limits
from kyanite.errors import ExpressionError
from kyanite.expressions import Scope, evaluate, evaluate_text

SCOPE = Scope(
    parameters={"file": "a.csv", "rows": [{"id": 1}], "nothing": None, "GP-String": "x"},
    variables={"batchName": "b", "other": 1},
    activities={"Look up": {"Status": "Succeeded", "output": {"firstRow": {"id": 7}, "count": 1}}},
    pipeline={"RunId": "r1"},
)


def problem_of(text, scope=SCOPE):
    with pytest.raises(ExpressionError) as caught:
        evaluate_text(text, scope)
    assert caught.value.text == text
    return caught.value


def test_missing_property_names_the_available_ones():
    problem = problem_of("@concat('x', activity('Look up').output.firstrw.id)")
    assert problem.message == (
        "The expression 'activity('Look up').output.firstrw.id' cannot be evaluated because property 'firstrw' "
        "doesn't exist, available properties are 'firstRow, count'."
    )
    assert problem.position == 39
    assert problem.cure == "Did you mean 'firstRow'?"
    assert problem.error_code == "InvalidTemplate"


@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        (
            "@pipeline().parameters.file.name",
            27,
            "The expression 'pipeline().parameters.file.name' cannot be evaluated because property 'name' cannot be "
            "selected. Property selection is not supported on values of type 'String'.",
        ),
        (
            "@pipeline().parameters.nothing.x",
            30,
            "The expression 'pipeline().parameters.nothing.x' cannot be evaluated because property 'x' cannot be "
            "selected.",
        ),
        (
            "a @{pipeline().parameters.rows[1]}",
            30,
            "The expression 'pipeline().parameters.rows[1]' cannot be evaluated because array index '1' is outside "
            "bounds (0, 0) of array.",
        ),
        (
            "@add(1, int('x'))",
            12,
            "The function 'int' was invoked with a parameter that is not valid. The value cannot be converted to the "
            "target type (in 'int('x')', called with 'x')",
        ),
        (
            "@add(1, toupper(2))",
            16,
            "The function 'toUpper' was invoked with a parameter that is not valid. A string is expected, not a value "
            "of type 'Integer'. (in 'toupper(2)', called with 2)",
        ),
        ("@add(9223372036854775807, 1)", 1, "The result does not fit in a 64-bit integer."),
        (
            "@item().x",
            1,
            "The expression 'item()' can only be used in the filter activity or child activities of a foreach "
            "activity.",
        ),
    ],
)
def test_messages(text, position, message):
    problem = problem_of(text)
    assert (problem.message, problem.position) == (message, position)


def test_unknown_names_come_with_near_ones():
    assert problem_of("@variables('batchname2')").cure == "Did you mean 'batchName'?"
    assert "'batchName, other'" in problem_of("@variables('zzz')").message
    assert problem_of("@activity('Lookup').output").cure == "Did you mean 'Look up'?"
    assert problem_of("@concatt('a')").cure == "Did you mean 'concat'?"


def test_functions_that_are_not_ours_are_refused_by_name():
    assert "Logic Apps" in problem_of("@formatNumber(1, '0')").message
    assert problem_of("@if(true, 1, nosuch())").position == 13, "found before anything is evaluated"


@pytest.mark.parametrize("text", ["@dataset().p", "@linkedService().p", "@trigger().startTime", "@triggerBody().x"])
def test_functions_out_of_their_place(text):
    assert "can only be used" in problem_of(text).message


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("@if(true, 1, variables('gone'))", 1),
        ("@if(false, variables('gone'), 2)", 2),
        ("@and(false, variables('gone'))", False),
        ("@or(true, variables('gone'))", True),
        ("@coalesce(null, 'x', variables('gone'))", "x"),
    ],
)
def test_lazy_functions_leave_the_rest_alone(text, value):
    assert evaluate_text(text, SCOPE) == value


def test_values_of_the_scope_are_final():
    scope = Scope(parameters={"p": "@concat('a')", "q": "@{1}"})
    assert evaluate_text("@pipeline().parameters.p", scope) == "@concat('a')"
    assert evaluate_text("x@{pipeline().parameters.q}", scope) == "x@{1}"


def test_carriers_at_any_depth():
    document = {
        "url": {"value": "@concat('h', 1)", "type": "Expression"},
        "plain": {"value": "no expression", "type": "Expression"},
        "typed": [{"value": "@json('[1]')", "type": "Expression"}, "@add(1, 1)", "n=@{1.0}", 5, None, True],
        "secret": {"type": "SecureString", "value": "@variables('batchName')"},
        "more": {"value": "@add(1,1)", "type": "Expression", "third": "@@x"},
        "other": {"value": "@add(1,1)", "type": "String"},
        "twice": {"value": {"value": "@true", "type": "Expression"}, "type": "Expression"},
        "@concat('key')": "x",
    }
    assert evaluate(document, SCOPE) == {
        "url": "h1",
        "plain": "no expression",
        "typed": [[1], 2, "n=1", 5, None, True],
        "secret": {"type": "SecureString", "value": "b"},
        "more": {"value": 2, "type": "Expression", "third": "@x"},
        "other": {"value": 2, "type": "String"},
        "twice": True,
        "@concat('key')": "x",
    }


def test_a_scope_does_not_show_its_values():
    assert "hidden" not in repr(Scope(parameters={"p": "hidden"}, variables={"v": "hidden"}))


def test_long_names_are_cut_in_messages():
    scope = Scope(item={"x" * 5_000: 1, "name": "y" * 5_000})
    for text in ("@variables(item().name)", "@activity(item().name)", "@pipeline()[item().name]", "@item().gone"):
        with pytest.raises(ExpressionError) as caught:
            evaluate_text(text, scope)
        assert len(str(caught.value)) < 1_000


def test_a_document_is_not_changed():
    document = {"a": ["@add(1,1)"]}
    evaluate(document, SCOPE)
    assert document == {"a": ["@add(1,1)"]}


def test_deep_documents_are_refused():
    document = fitting = "@add(1,1)"
    for _ in range(limits.JSON_DEPTH):
        document = fitting = [fitting]
    evaluate(fitting, SCOPE)
    with pytest.raises(ExpressionError, match="deeper than 64"):
        evaluate([document], SCOPE)


def test_largest_result():
    text = "x" * limits.EXPRESSION_RESULT_BYTES
    scope = Scope(parameters={"p": text})
    assert len(evaluate_text("@{pipeline().parameters.p}", scope)) == len(text)
    for expression in (
        "@concat(pipeline().parameters.p, 'x')",
        "@{pipeline().parameters.p}x",
        "@replace(pipeline().parameters.p, 'x', 'xx')",
        "@uriComponent(pipeline().parameters.p)",
        "@base64(pipeline().parameters.p)",
        "@join(createArray(pipeline().parameters.p, 'x'), '')",
        "@createArray(pipeline().parameters.p)",
        "@string(createArray(pipeline().parameters.p))",
        "@split(pipeline().parameters.p, 'x')",
    ):
        with pytest.raises(ExpressionError, match="larger than 16777216 bytes"):
            evaluate_text(expression, scope)


def test_work_is_bounded(monkeypatch):
    monkeypatch.setattr(limits, "EXPRESSION_FUEL", 1_000)
    scope = Scope(parameters={"p": "x" * 10_000, "a": list(range(500))})
    assert evaluate_text("@" + "string(" * 98 + "1" + ")" * 98, scope) == "1"
    with pytest.raises(ExpressionError, match="more than 1000 steps"):
        evaluate_text("@concat(" + ",".join("1" * 1_000) + ")", scope)
    with pytest.raises(ExpressionError, match="more than 1000 steps"):
        evaluate_text("@createArray(" + ",".join(["concat(pipeline().parameters.p,'y')"] * 200) + ")", scope)
    with pytest.raises(ExpressionError, match="more than 1000 steps"):
        evaluate_text("@and(" + ",".join(["not(contains(pipeline().parameters.a,'y'))"] * 100) + ")", scope)
    with pytest.raises(ExpressionError, match="more than 1000 steps"):
        evaluate(["@concat(pipeline().parameters.p,'y')"] * 200, scope)


def test_a_result_that_shares_parts_counts_them_each_time():
    shared = ["x" * 1000]
    for _ in range(15):
        shared = [shared, shared]
    with pytest.raises(ExpressionError, match="larger than"):
        evaluate_text("@createArray(item())", Scope(item=shared))


def test_deep_values_are_refused_not_overflown():
    deep = []
    for _ in range(5_000):
        deep = [deep]
    scope = Scope(item=deep)
    for expression in ("@item()", "@string(item())", "@equals(item(), item())", "@union(item(), item())"):
        with pytest.raises(ExpressionError, match="nested deeper"):
            evaluate_text(expression, scope)
    for text in ("[" * 65 + "]" * 65, "[" * 100_000, '{"a":' * 65 + "1" + "}" * 65, "['" + "[" * 100_000):
        with pytest.raises(ExpressionError):
            evaluate_text("@json(item())", Scope(item=text))
    assert evaluate_text("@length(json(item()))", Scope(item="[" * 64 + "]" * 64)) == 1
    with pytest.raises(ExpressionError, match="more than 100000"):
        evaluate_text("@json(item())", Scope(item="[" + "1," * (limits.JSON_KEYS + 1) + "]"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("@add(variables('v'), 1)", "called with 'abc', 1)"),
        ("@add(variables('list'), null)", "called with an Array of 2 items, null)"),
        ("@substring(variables('long'), 99, 1)", "called with a text of 88 characters, 99, 1)"),
        ("@if(variables('v'), 1, 2)", "(in 'if(variables('v'), 1, 2)', called with 'abc')"),
    ],
)
def test_messages_tell_the_values_but_no_piece_of_a_long_text(text: str, shown: str) -> None:
    scope = Scope(variables={"v": "abc", "list": [1, 2], "long": "s" * 88})
    with pytest.raises(ExpressionError) as raised:
        evaluate_text(text, scope)
    assert shown in raised.value.message and "ssss" not in raised.value.message
