"""Made-up expressions: every text gives a value or an ExpressionError that points into it, within the limits.

Half of the texts follow the grammar (real functions with more or less fitting arguments), half are such texts and the
conformance cases with small damages. 500,000: `python3 dev.py test -m slow tests/fuzz/test_expressions_fuzz.py`.
"""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kyanite import limits
from kyanite.errors import ExpressionError
from kyanite.expressions import FUNCTIONS, find_problems, references
from kyanite.testing import evaluate

TEXTS = 50_000
MANY_TEXTS = 500_000
BLOCKS = 10
CASES = Path(__file__).parents[1] / "fixtures" / "conformance" / "expressions.jsonl"
CORPUS = [
    case["expression"]
    for case in map(json.loads, CASES.read_text("utf-8").splitlines())
    if isinstance(case["expression"], str) and len(case["expression"]) < 500
]
NAMES = sorted(FUNCTIONS)
NUMBERS = ["0", "1", "-1", "2.5", "-0.0", "1e3", "1e308", "9223372036854775807", "-9223372036854775808", "00012", "7"]
WORDS = ["", "a", "é", "😀", "it''s", "a,b", "2018-03-15T00:00:00Z", "2018-03-15", "Day", "yyyy-MM-dd", "UTC", "true"]
WORDS += [
    "12",
    "1.5",
    '{"a":[1,null]}',
    '<a b="1"><c/>x</a>',
    "/a/c",
    "data:,x",
    "YWI=",
    "Pacific Standard Time",
    "@{1}",
]
READS = ["item()", "item().name", "item()?.nope", "pipeline().RunId", "pipeline().parameters.p", "variables('list')"]
READS += [
    "activity('A').output.rows[0]",
    "activity('a').Status",
    "pipeline().globalParameters['g-1']",
    "variables('LIST')[1]",
]
READS += ["activity('none').output", "trigger().startTime", "dataset().d", "utcNow()", "guid('N')"]
CHARACTERS = "@{}()[].,'?\" \n\t\\-+0129eE_aAéß😀\x00\u2028$%<>/&"
MARKS = [
    "@{",
    "}",
    "@@",
    "@@{",
    "?.",
    "?[",
    "''",
    "()",
    "))",
    "((",
    ",,",
    "[0]",
    "['a']",
    ".a",
    "-",
    "1e999",
    "null",
    "True",
]
CONTEXT: dict[str, Any] = {
    "parameters": {"p": {"q": [1, "two"]}},
    "global_parameters": {"g-1": 5},
    "variables": {"list": ["x", 1, None, {"y": True}]},
    "activities": {"A": {"output": {"rows": [{"n": 1.5}], "xml": "<r/>"}}},
    "pipeline": {"RunId": "11111111-2222-3333-4444-555555555555"},
    "item": {"name": "orders.csv"},
    "dataset": {"d": ""},
}


class Grammar:
    """Texts that parse, most of them; deeper ones are rarer."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def text(self) -> str:
        kind = self.random.random()
        if kind < 0.7:
            return "@" + self.expression(4)
        return "".join(
            "@{" + self.expression(3) + "}" if self.random.random() < 0.5 else self.random.choice(WORDS)
            for _ in range(self.random.randint(1, 4))
        )

    def expression(self, depth: int) -> str:
        kind = self.random.random()
        if depth == 0 or kind < 0.25:
            return self.leaf()
        if kind < 0.35:
            return self.random.choice(READS) + self.random.choice(
                ["", "", ".name", "[0]", "?['x']", f"[{self.leaf()}]"]
            )
        name = self.random.choice(NAMES)
        most = FUNCTIONS[name].maximum
        count = self.random.randint(FUNCTIONS[name].minimum, 4 if most is None else most)
        if self.random.random() < 0.03:
            count += 1
        if self.random.random() < 0.1:
            name = name.swapcase()
        space = self.random.choice(["", "", "", " ", "\n"])
        return f"{name}{space}({','.join(space + self.expression(depth - 1) for _ in range(count))})"

    def leaf(self) -> str:
        kind = self.random.random()
        if kind < 0.4:
            return self.random.choice(NUMBERS)
        if kind < 0.9:
            return "'" + self.random.choice(WORDS) + "'"
        return self.random.choice(["true", "false", "null"])

    def damaged(self) -> str:
        text = self.random.choice(CORPUS) if self.random.random() < 0.5 else self.text()
        for _ in range(self.random.choice([1, 1, 2, 3, 8])):
            at, end = sorted(self.random.randint(0, len(text)) for _ in range(2))
            match self.random.randint(0, 4):
                case 0:
                    text = text[:at] + self.random.choice(CHARACTERS) + text[at:]
                case 1:
                    text = text[:at] + text[at + 1 :]
                case 2:
                    text = text[:at] + self.random.choice(MARKS) + text[at:]
                case 3:
                    text = text[:at] + text[at:end] * self.random.choice([0, 2, 3]) + text[end:]
                case _:
                    other = self.random.choice(CORPUS)
                    text = text[:at] + other[self.random.randint(0, len(other)) :]
            text = text[:2_000]
        return text


def outcome(text: str) -> str:
    """What came of a text: `value` or `error`; anything else fails the test."""
    try:
        value = evaluate(text, **CONTEXT)
    except ExpressionError as problem:
        assert problem.message and len(problem.message) < 10_000, text
        assert problem.text == text, text
        assert problem.position is not None and 0 <= problem.position <= len(text), text
        return "error"
    check_value(value, text)
    assert not [problem for problem in find_problems(text) if "exist" not in problem.message], text
    for reference in references(text):
        assert text[reference.position :], text
    return "value"


def check_value(value: Any, text: str) -> None:
    """The JSON types, 64-bit integers, and no more than the largest result."""
    match value:
        case None | bool():
            return
        case int():
            assert -(2**63) <= value < 2**63 or "json" in text.lower(), text  # json() keeps larger ones as they are
        case float() | str():
            assert not isinstance(value, str) or len(value) <= limits.EXPRESSION_RESULT_BYTES, text
        case list() | dict():
            assert len(value) <= limits.EXPRESSION_RESULT_BYTES >> 4, text
            for item in list(value.values() if isinstance(value, dict) else value)[:20]:
                check_value(item, text)
        case _:
            raise AssertionError(f"{text!r} gave a {type(value).__name__}")


def fuzz(seed: int, count: int) -> Counter[str]:
    grammar = Grammar(seed)
    found: Counter[str] = Counter()
    for number in range(count):
        found[outcome(grammar.damaged() if number % 2 else grammar.text())] += 1
    return found


@pytest.mark.parametrize("block", range(BLOCKS))
def test_made_up_expressions_give_a_value_or_our_error(block: int) -> None:
    found = fuzz(block, TEXTS // BLOCKS)
    assert min(found["value"], found["error"]) > TEXTS // BLOCKS // 10  # both happen often, or the texts are no good


@pytest.mark.slow
@pytest.mark.parametrize("block", range(50))
def test_many_more(block: int) -> None:
    fuzz(1_000 + block, MANY_TEXTS // 50)


def works(name: str) -> Callable[[tuple[str, ...]], bool]:
    return lambda arguments: outcome(f"@{name}({','.join(arguments)})") == "value"


def test_every_function_gives_a_value_for_some_arguments() -> None:
    """The checks of `outcome` hold for a value of each function, so none of them goes untried."""
    typical = [
        "'2018-03-15T00:00:00Z'",
        "1",
        "'Day'",
        "'2018-03-15'",
        "'UTC'",
        "'a'",
        "createArray(1, 2)",
        "true",
        "'A'",
    ]
    typical += ["'{}'", "'data:,x'", "'YWI='", "xml('<a/>')", "'/a'", "'list'"]
    reached = {
        name for name in NAMES if any(map(works(name), itertools.product(typical, repeat=FUNCTIONS[name].minimum)))
    }
    assert set(NAMES) - reached == {"linkedService", "trigger", "triggerBody"}  # what is not in scope here


@pytest.mark.parametrize(
    "text",
    [
        "@" + "concat(" * 5_000,
        "@" + "concat(" * 99 + "'a'" + ")" * 99,
        "@" + "a" * 40_000,
        "@{" * 3_000,
        "@{'" + "}" * 30_000,
        "@concat(" + ",".join(["'x'"] * 9_000) + ")",
        "@join(range(0,100000),join(range(0,100000),'x'))",
        "@replace(string(range(0,9999)),'1',string(range(0,9999)))",
        "@createArray(" + "range(0,100000)," * 200 + "1)",
        "@item()" + ".name" * 3_000,
        "@json(concat(" + ",".join(["'[[[[[[[['"] * 500) + "))",
        "@xml('" + "<a>" * 9_000 + "')",
        "@split(string(range(0,100000)),'')",
        "@union(range(0,100000),range(50000,100000))",
        "@uriComponent(uriComponent(uriComponent(string(range(0,60000)))))",
    ],
    ids=range(15),
)
def test_hostile_texts_end_within_the_limits(text: str) -> None:
    assert outcome(text) in ("value", "error")


@pytest.mark.parametrize("call", ["float(N)", "div(N, 1.5)", "mod(N, 1.5)", "max(N, 1.5)"])
def test_integers_larger_than_a_double_give_our_error(call: str) -> None:
    assert outcome("@" + call.replace("N", "json('" + "9" * 400 + "')")) == "error"
