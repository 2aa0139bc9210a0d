"""The function table, and one case per line of `fixtures/expressions.txt`."""

import inspect
import json
import uuid
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from kyanite import limits
from kyanite.errors import ExpressionError
from kyanite.expressions import FUNCTIONS, Scope, evaluate_text
from kyanite.expressions.functions import LOGIC_APPS
from kyanite.expressions.windows_zones import WINDOWS_ZONES

CASES = [
    line.split(" => ")
    for line in (Path(__file__).parents[2] / "fixtures" / "expressions.txt").read_text("utf-8").splitlines()
    if line and not line.startswith("#")
]
CATALOGUE = (
    '<shop><shelf name="top"><book id="1"><title>A</title><price>10</price></book>'
    '<book id="2"><title>B</title><price>20</price></book></shelf>'
    '<shelf name="low"><book id="3"><title>C</title><price>30</price></book>'
    '<book id="4"><title>D</title><price>40</price></book></shelf></shop>'
)
SCOPE = Scope(
    parameters={"t": {"mixed": 1, "MIXED": 2}, "list": [1, 2], "text": "abc"},
    variables={"list": ["a", "b"], "x": evaluate_text("@xml(item())", Scope(item=CATALOGUE))},
    pipeline={"RunId": "r"},
)


@pytest.mark.parametrize(("expression", "expected"), CASES, ids=[case[0] for case in CASES])
def test_case(expression, expected):
    if expected.startswith("error"):
        with pytest.raises(ExpressionError) as caught:
            evaluate_text(expression, SCOPE)
        assert (caught.value.position, caught.value.text) == (int(expected.split()[1]), expression)
    else:
        result = evaluate_text(expression, SCOPE)
        assert json.dumps(result, sort_keys=True) == json.dumps(json.loads(expected), sort_keys=True)


def test_cases_are_there():
    assert len(CASES) > 100


def test_xml_work_is_bounded(monkeypatch):
    monkeypatch.setattr(limits, "EXPRESSION_FUEL", 10_000)
    monkeypatch.setattr(limits, "JSON_KEYS", 1_000)
    wide = evaluate_text("@xml(item())", Scope(item="<a>" + "<b/>" * 900 + "</a>"))
    for query in ("//*[//*]", "//b[preceding::b]", "//*[contains(string(/), 'x')]", "count(//b[. = //b])"):
        with pytest.raises(ExpressionError, match="more than 10000 steps"):
            evaluate_text(f"@xpath(item(), '{query.replace(chr(39), chr(39) * 2)}')", Scope(item=wide))
    for text in ("<a>" * 65 + "</a>" * 65, "<a " + " ".join(f'b{i}=""' for i in range(1_001)) + "/>"):
        with pytest.raises(ExpressionError, match=r"deeper than 64|more than 1000"):
            evaluate_text("@xml(item())", Scope(item=text))
    for query in ("(" * 100 + "1" + ")" * 100, "1" + "+1" * 1_000, "-" * 20_000 + "1x"):
        with pytest.raises(ExpressionError, match="XPath"):
            evaluate_text("@xpath(item(), variables('q'))", Scope(item=wide, variables={"q": query}))


def test_table_is_sorted_and_fits_the_functions():
    assert list(FUNCTIONS) == sorted(FUNCTIONS, key=str.lower)
    assert len({name.lower() for name in FUNCTIONS}) == len(FUNCTIONS)
    assert not {name.lower() for name in FUNCTIONS} & {name.lower() for name in LOGIC_APPS}
    for name, function in FUNCTIONS.items():
        parameters = list(inspect.signature(function.implementation).parameters.values())[1:]
        required = [p for p in parameters if p.default is p.empty and p.kind is not p.VAR_POSITIONAL]
        assert len(required) <= function.minimum, name
        if function.maximum is not None:
            assert len(parameters) == function.maximum, name


def test_every_windows_zone_leads_to_a_zone():
    assert list(WINDOWS_ZONES) == sorted(WINDOWS_ZONES)
    for place in WINDOWS_ZONES.values():
        assert ZoneInfo(place).utcoffset(datetime(2018, 1, 1)) is not None


def test_clock_and_randomness_come_from_the_scope():
    local = timezone(timedelta(hours=2))
    scope = Scope(
        now=lambda: datetime(2018, 4, 15, 15, 0, 0, 123456, tzinfo=local),
        new_guid=lambda: uuid.UUID("0f8fad5b-d9cb-469f-a165-70867728950e"),
    )
    assert evaluate_text("@utcNow()", scope) == "2018-04-15T13:00:00.1234560Z"
    assert evaluate_text("@getPastTime(1, 'Hour', 'HH:mm')", scope) == "12:00"
    assert evaluate_text("@guid('N')", scope) == "0f8fad5bd9cb469fa16570867728950e"
    assert evaluate_text("@rand(1, 1000)", scope) == evaluate_text("@rand(1, 1000)", scope)


def test_each_call_asks_the_clock_again():
    moments = iter([datetime(2018, 1, 1, tzinfo=UTC), datetime(2018, 1, 2, tzinfo=UTC)])
    scope = Scope(now=lambda: next(moments))
    assert evaluate_text("@{utcNow('dd')} @{utcNow('dd')}", scope) == "01 02"


def test_rand_stays_below_its_maximum():
    drawn = {evaluate_text("@rand(-1, 2)", Scope(new_guid=lambda seed=seed: uuid.UUID(int=seed))) for seed in range(50)}
    assert drawn == {-1, 0, 1}
