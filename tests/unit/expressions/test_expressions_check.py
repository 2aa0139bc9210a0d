"""What is said about an expression without evaluating it."""

import pytest

from kyanite.errors import ExpressionError
from kyanite.expressions import Reference, find_problems, references


def test_all_problems_in_one_pass():
    found = find_problems("@concat(nosuch(), lenght('a'), toUpper(), sort(item()), xpath(1))")
    assert [(problem.position, problem.message, problem.cure) for problem in found] == [
        (8, "The function 'nosuch' does not exist.", None),
        (18, "The function 'lenght' does not exist.", "Did you mean 'length'?"),
        (31, "The function 'toUpper' takes 1 argument(s), not 0.", None),
        (42, "The function 'sort' belongs to Logic Apps; Data Factory does not have it.", None),
        (56, "The function 'xpath' takes 2 argument(s), not 1.", None),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("@concat()", "at least 1"),
        ("@substring('a')", "2 to 3"),
        ("@if(true, 1)", "takes 3"),
        ("x @{add(1)} y", "takes 2"),
    ],
)
def test_numbers_of_arguments(text, words):
    (problem,) = find_problems(text)
    assert words in problem.message


def test_syntax_problem_is_the_only_one():
    (problem,) = find_problems("@concat(nosuch(), ")
    assert problem.position == 18


def test_good_texts_have_no_problems():
    for text in ("plain", "@@x", "@CONCAT('a')", "@{pipeline().RunId}/@{utcnow('yyyy')}"):
        assert find_problems(text) == []


def test_references_with_their_places():
    text = (
        "@concat(activity('Copy 1').output.x, variables('v'), pipeline().parameters.p, pipeline()?.globalParameters"
        "?['g-1'], item().name, pipeline()?.RunId)"
    )
    found = list(references(text))
    assert found == [
        Reference("activity", "Copy 1", 17),
        Reference("variable", "v", 47),
        Reference("parameter", "p", 75),
        Reference("globalParameter", "g-1", 108, optional=True),
        Reference("item", "", 116),
        Reference("pipeline", "RunId", 141, optional=True),
    ]
    for reference in found:
        assert text[reference.position :].lstrip("'").startswith(reference.name or "item()")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("@dataset().folder", [Reference("dataset", "folder", 11)]),
        ("@{linkedService().server}", [Reference("linkedService", "server", 18)]),
        ("@trigger().outputs.windowStartTime", [Reference("trigger", "outputs", 11)]),
        ("@triggerBody().fileName", [Reference("triggerBody", "fileName", 15)]),
        ("@trigger()", [Reference("trigger", "", 1)]),
        ("@variables(concat('v', 1))", []),
        ("@pipeline()[variables('x')].p", [Reference("variable", "x", 22)]),
        ("@pipeline().parameters[item()]", [Reference("item", "", 23)]),
        ("@pipeline().parameters", []),
        ("@ACTIVITY('a')?.Output", [Reference("activity", "a", 10)]),
        ("@@activity('a')", []),
    ],
)
def test_references(text, expected):
    assert list(references(text)) == expected


def test_references_of_a_broken_text():
    with pytest.raises(ExpressionError):
        list(references("@activity("))
