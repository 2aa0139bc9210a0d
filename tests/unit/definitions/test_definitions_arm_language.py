"""The bracket language: syntax with positions, every function, limits."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kyanite import limits
from kyanite.definitions.arm import Environment, evaluate_template
from kyanite.definitions.arm_functions import FUNCTION_NAMES
from kyanite.definitions.arm_syntax import Access, Call, Literal, is_expression, parse
from kyanite.errors import LimitError, TemplateError, UnsupportedError

ENVIRONMENT = Environment(subscription_id="sub", tenant_id="ten", resource_group="rg", location="here")


def value(raw: Any, parameters: dict[str, Any] | None = None, **variables: Any) -> Any:
    """What a template's output gives for a value."""
    template = {
        "parameters": {name: {"type": _kind(given)} for name, given in (parameters or {}).items()},
        "variables": variables,
        "resources": [],
        "outputs": {"o": {"type": "object", "value": raw}},
    }
    return evaluate_template(template, parameters or {}, ENVIRONMENT).outputs["o"]["value"]


def _kind(given: Any) -> str:
    return {str: "string", int: "int", bool: "bool", list: "array", dict: "object"}[type(given)]


@pytest.mark.parametrize(
    "text", ["", "plain", "[", "[]", "[open", "close]", "[[x]", " [x()]", "@concat('a')", "[[[x]]]"]
)
def test_texts_that_are_no_expressions(text: str) -> None:
    assert not is_expression(text)
    assert value(text) == (text[1:] if text.startswith("[[") else text)


def test_a_tree_with_positions() -> None:
    assert parse("[a('x''y', -3).b[0]]") == Access(
        Access(Call("a", (Literal("x'y", 3), Literal(-3, 11)), 1), Literal("b", 15), 15), Literal(0, 17), 16
    )


def test_results_are_never_evaluated_again() -> None:
    assert value("[parameters('p')]", {"p": "[concat('a', 'b')]"}) == "[concat('a', 'b')]"
    assert value("[concat('[', 'subscription()', ']')]") == "[subscription()]"
    assert value("[variables('v')]", v="[[concat('a')]") == "[concat('a')]"
    assert value({"[key()]": "[concat('a')]"}) == {"[key()]": "a"}


@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        ("[concat('a' 'b')]", 13, "Expected ')'"),
        ("[concat('a')) ]", 13, "Expected the end"),
        ("[concat('a]", 9, "no closing quote"),
        ('[concat("a")]', 9, "Double quotes"),
        ("[@concat('a')]", 2, "pipeline expression"),
        ("[concat('a', #)]", 14, "'#' does not belong"),
        ("[location]", 2, "not called"),
        ("[concat(true)]", 9, "written as a call"),
        ("['text']", 2, "calls a function"),
        ("[concat('a',)]", 13, "Expected a name"),
        ("[conkat('a')]", 2, "no template function 'conkat'"),
        ("[toLower('a', 'b')]", 2, "got 2 argument(s), it takes 1 to 1"),
        ("[concat('x', toLower(1))]", 14, "toLower got a value of the type int"),
        ("[resourceGroup().nothing]", 18, "no member 'nothing'"),
        ("[createArray(1)[1]]", 16, "there is no item 1"),
        ("[createArray(1)['0']]", 16, "has no string members"),
        ("[variables('w')]", 2, "no variable 'w'"),
        ("[parameters('w')]", 2, "no parameter 'w'"),
        ("[copyIndex()]", 2, "outside of its copy loop"),
        ("[div(1, 0)]", 2, "divides by zero"),
        ("[json('{')]", 2, "no JSON"),
        ("[substring('abc', 2, 5)]", 2, "beyond a text"),
        ("[int('x')]", 2, "no integer"),
        ("[bool('yes')]", 2, "neither true nor false"),
        ("[createObject('a')]", 2, "key without a value"),
        ("[format('{1}', 'a')]", 2, "no value for {1}"),
        ("[format('{', 'a')]", 2, "lone brace"),
        ("[format('{0:x8}', 1)]", 2, "does not know the form"),
        ("[padLeft('a', 3, 'xy')]", 2, "not one character"),
        ("[replace('a', '', 'b')]", 2, "empty text"),
        ("[range(0, 10001)]", 2, "range got the count"),
        ("[base64ToString('###')]", 2, "not base64"),
        ("[if('true', 1, 2)]", 2, "if got a value of the type string"),
        ("[resourceId('name')]", 2, "it takes 2 or more"),
        ("[resourceId('a', 'b', 'c')]", 2, "needs a resource type"),
        ("[resourceId('Ns.X/a/b', 'n')]", 2, "1 name(s)"),
        ("[max(createArray())]", 2, "empty array"),
        ("[add(9223372036854775807, 1)]", 2, "64 bits"),
        ("[less('a', 1)]", 2, "less got a value of the type int"),
        ("[reference('nothing')]", 2, "no resource 'nothing'"),
        ("[fail('on purpose')]", 2, "on purpose"),
        ("[contoso.unique('x')]", 2, "no template function 'contoso.unique'"),
        ("[map(createArray(1), 'x')]", 2, "map wants a lambda"),
        ("[lambdaVariables('x')]", 2, "no lambda variable 'x'"),
        ("[dateTimeAdd('2024-01-31', 'a month')]", 2, "no ISO 8601 duration"),
        ("[dateTimeAdd('9999-01-01', 'P1Y')]", 2, "1 to 9999"),
        ("[indexFromEnd(createArray(), 1)]", 2, "no item ^1"),
    ],
)
def test_errors_name_path_and_position(text: str, position: int, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        value(text)
    assert caught.value.where == f"outputs.o.value, position {position}"
    assert message in caught.value.message
    assert caught.value.cure


@pytest.mark.parametrize("name", ["utcNow", "newGuid", "listSecrets", "pickZones", "parseCidr"])
def test_functions_refused_by_name(name: str) -> None:
    with pytest.raises(UnsupportedError, match=name):
        value(f"[{name}()]" if name in ("newGuid", "utcNow") else f"[{name}('x')]")
    assert value(f"[if(true(), 1, {name}('x'))]") == 1


CASES = {
    "add": ("add(2, -5)", -3),
    "and": ("and(true(), true(), false())", False),
    "array": ("array('a')", ["a"]),
    "base64": ("base64('é')", "w6k="),
    "base64ToJson": ("base64ToJson(base64('[1]'))", [1]),
    "base64ToString": ("base64ToString('w6k=')", "é"),
    "bool": ("bool('True')", True),
    "coalesce": ("coalesce(null(), 'x', utcNow())", "x"),
    "concat": ("concat('a', 1, true())", "a1True"),
    "contains": ("contains(createObject('Key', 1), 'key')", True),
    "createArray": ("createArray(1, 'a')", [1, "a"]),
    "dataUri": ("dataUri('hé')", "data:text/plain;charset=utf8;base64,aMOp"),
    "dataUriToString": ("dataUriToString('data:text/plain,a%20b')", "a b"),
    "dateTimeAdd": ("dateTimeAdd('20240131T060000Z', 'P1M1DT1H')", "20240301T070000Z"),
    "dateTimeFromEpoch": ("dateTimeFromEpoch(1683040573)", "2023-05-02T15:16:13Z"),
    "dateTimeToEpoch": ("dateTimeToEpoch('2023-05-02T15:16:13Z')", 1683040573),
    "deployer": ("deployer().tenantId", "ten"),
    "createObject": ("createObject('a', 1, 'b', createArray())", {"a": 1, "b": []}),
    "deployment": ("deployment().name", "kyanite"),
    "div": ("div(-7, 2)", -3),
    "empty": ("empty('')", True),
    "endsWith": ("endsWith('abC', 'Bc')", True),
    "environment": ("environment().suffixes.storage", "core.windows.net"),
    "equals": ("equals(createArray(1, 'a'), createArray(1, 'a'))", True),
    "extensionResourceId": ("extensionResourceId('/x', 'Ns.A/b', 'n')", "/x/providers/Ns.A/b/n"),
    "false": ("false()", False),
    "filter": ("filter(range(0, 5), lambda('n', greater(lambdaVariables('n'), 2)))", [3, 4]),
    "flatten": ("flatten(createArray(createArray(1), createArray(2, 3)))", [1, 2, 3]),
    "float": ("float('1.5')", 1.5),
    "first": ("first('abc')", "a"),
    "format": ("format('{0}-{1:D3}{{}}{0}', 'x', 7)", "x-007{}x"),
    "greater": ("greater('b', 'a')", True),
    "greaterOrEquals": ("greaterOrEquals(2, 2)", True),
    "groupBy": (
        "groupBy(createArray('ab', 'c', 'ad'), lambda('x', first(lambdaVariables('x'))))",
        {"a": ["ab", "ad"], "c": ["c"]},
    ),
    "indexFromEnd": ("indexFromEnd(createArray(1, 2, 3), 1)", 3),
    "if": ("if(equals(1, 1), 'yes', div(1, 0))", "yes"),
    "indexOf": ("indexOf('abcabc', 'CA')", 2),
    "int": ("int(' 42 ')", 42),
    "intersection": ("intersection(createArray(1, 2, 3), createArray(3, 2))", [2, 3]),
    "items": ("items(createObject('b', 2, 'a', 1))", [{"key": "a", "value": 1}, {"key": "b", "value": 2}]),
    "join": ("join(createArray('a', 1), ', ')", "a, 1"),
    "json": ("json('{\"a\": null}')", {"a": None}),
    "lambda": ("map(createArray(1), LAMBDA('x', lambdaVariables('X')))", [1]),
    "lambdaVariables": (
        "map(createArray('a', 'b'), lambda('x', 'i', format('{0}{1}', lambdaVariables('x'), lambdaVariables('i'))))",
        ["a0", "b1"],
    ),
    "last": ("last(createArray(1, 2))", 2),
    "lastIndexOf": ("lastIndexOf('abcabc', 'C')", 5),
    "length": ("length(createObject('a', 1))", 1),
    "less": ("less(1, 2)", True),
    "lessOrEquals": ("lessOrEquals('b', 'a')", False),
    "map": (
        "map(createArray(range(2, 2)), lambda('l', map(lambdaVariables('l'), "
        "lambda('x', add(length(lambdaVariables('l')), lambdaVariables('x'))))))",
        [[4, 5]],
    ),
    "mapValues": ("mapValues(createObject('a', 1), lambda('v', add(lambdaVariables('v'), 1)))", {"a": 2}),
    "max": ("max(createArray(1, 3, 2))", 3),
    "min": ("min(4, 3, 5)", 3),
    "mod": ("mod(-7, 2)", -1),
    "mul": ("mul(6, 7)", 42),
    "not": ("not(false())", True),
    "null": ("null()", None),
    "objectKeys": ("objectKeys(createObject('b', 1, 'a', 2))", ["a", "b"]),
    "or": ("or(true(), utcNow())", True),
    "padLeft": ("padLeft('7', 3, '0')", "007"),
    "parameters": ("parameters('P')", "given"),
    "providers": ("providers('Microsoft.Batch', 'batchAccounts').apiVersions[0]", "2024-07-01"),
    "range": ("range(3, 2)", [3, 4]),
    "reduce": ("reduce(range(1, 4), 0, lambda('sum', 'n', add(lambdaVariables('sum'), lambdaVariables('n'))))", 10),
    "replace": ("replace('a-b-c', '-', '')", "abc"),
    "resourceGroup": ("resourceGroup().id", "/subscriptions/sub/resourceGroups/rg"),
    "shallowMerge": ("shallowMerge(createArray(createObject('a', 1), createObject('a', 2, 'b', 3)))", {"a": 2, "b": 3}),
    "skip": ("skip('abc', 1)", "bc"),
    "sort": (
        "sort(createArray(3, 1, 2), lambda('a', 'b', less(lambdaVariables('a'), lambdaVariables('b'))))",
        [1, 2, 3],
    ),
    "split": ("split('a,b;c', createArray(',', ';'))", ["a", "b", "c"]),
    "startsWith": ("startsWith('Abc', 'aB')", True),
    "string": ("string(createObject('a', createArray(1, true(), null())))", '{"a":[1,true,null]}'),
    "sub": ("sub(2, 5)", -3),
    "subscription": ("subscription().subscriptionId", "sub"),
    "subscriptionResourceId": ("subscriptionResourceId('Ns.A/b', 'n')", "/subscriptions/sub/providers/Ns.A/b/n"),
    "substring": ("substring('abcdef', 2, 3)", "cde"),
    "take": ("take(createArray(1, 2, 3), 2)", [1, 2]),
    "tenant": ("tenant().tenantId", "ten"),
    "tenantResourceId": ("tenantResourceId('Ns.A/b', 'n')", "/providers/Ns.A/b/n"),
    "toLower": ("toLower('ABC')", "abc"),
    "toObject": (
        "toObject(split('a-b', '-'), lambda('x', lambdaVariables('x')), lambda('y', toUpper(lambdaVariables('y'))))",
        {"a": "A", "b": "B"},
    ),
    "tryGet": ("tryGet(createObject('a', createArray(1)), 'A', 0)", 1),
    "tryIndexFromEnd": ("tryIndexFromEnd(createArray(1), 2)", None),
    "toUpper": ("toUpper('abc')", "ABC"),
    "trim": ("trim('  a ')", "a"),
    "true": ("true()", True),
    "union": ('union(json(\'{"a":{"x":1}}\'), json(\'{"a":{"y":2}}\'))', {"a": {"x": 1, "y": 2}}),
    "uri": ("uri('https://h/a/b', 'c')", "https://h/a/c"),
    "uriComponent": ("uriComponent('a b/c')", "a%20b%2Fc"),
    "uriComponentToString": ("uriComponentToString('a%20b')", "a b"),
    "variables": ("variables('V')", "set"),
}


def test_every_function_has_a_case() -> None:
    elsewhere = {"copyIndex", "guid", "listKeys", "reference", "resourceId", "uniqueString"}
    elsewhere |= {"fail", "newGuid", "references", "resourceInfo", "utcNow"}
    assert set(FUNCTION_NAMES) == set(CASES) | elsewhere
    assert not set(CASES) & elsewhere


@pytest.mark.parametrize("name", sorted(CASES))
def test_functions(name: str) -> None:
    text, expected = CASES[name]
    result = value(f"[{text}]", {"p": "given"}, v="set")
    assert (result, type(result)) == (expected, type(expected))
    spelled = f"[{text.replace(name + '(', name.upper() + '(', 1)}]"
    assert value(spelled, {"p": "given"}, v="set") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("concat(createArray(1), createArray(2, 3))", [1, 2, 3]),
        ("empty(null())", True),
        ("first(createArray())", None),
        ("last('')", ""),
        ("contains('abc', 'B')", False),
        ("contains(createArray(1, true()), 1)", True),
        ("contains(createArray(true()), 1)", False),
        ("equals(1, true())", False),
        ("equals('a', 'A')", False),
        ("union(createArray(1, 2), createArray(2, 3))", [1, 2, 3]),
        ("string(true())", "True"),
        ("format('{0:000}', -7)", "-007"),
        ("substring('abc', 1)", "bc"),
        ("split('abc', '')", ["abc"]),
        ("resourceGroup().LOCATION", "here"),
        ("createObject('A', 1).a", 1),
    ],
)
def test_more_results(text: str, expected: Any) -> None:
    assert value(f"[{text}]") == expected


def test_resource_ids_in_all_forms() -> None:
    kind = "'Microsoft.Storage/storageAccounts/blobServices'"
    tail = "providers/Microsoft.Storage/storageAccounts/a/blobServices/default"
    assert value(f"[resourceId({kind}, 'a', 'default')]") == f"/subscriptions/sub/resourceGroups/rg/{tail}"
    assert value(f"[resourceId('g2', {kind}, 'a', 'default')]") == f"/subscriptions/sub/resourceGroups/g2/{tail}"
    assert value(f"[resourceId('s2', 'g2', {kind}, 'a', 'default')]") == f"/subscriptions/s2/resourceGroups/g2/{tail}"


def test_unique_strings_and_guids_depend_on_the_arguments_only() -> None:
    one = value("[uniqueString('a', 'b')]")
    assert one == value("[uniqueString('a', 'b')]") != value("[uniqueString('a', 'c')]")
    assert len(one) == 13 and set(one) <= set("abcdefghijklmnopqrstuvwxyz234567")
    assert value("[guid('a')]") == value("[guid('a')]") != value("[guid('b')]")
    assert len(value("[guid('a')]")) == 36


def test_variables_are_lazy_and_may_use_each_other() -> None:
    assert value("[variables('a')]", a="[concat(variables('b'), '!')]", b="x", unused="[div(1, 0)]") == "x!"
    assert value("[variables('a').list[1].name]", a={"list": [0, {"name": "[toUpper('n')]"}]}) == "N"


def test_circles_of_values_are_named() -> None:
    with pytest.raises(TemplateError, match=r"variables\('a'\) -> variables\('b'\) -> variables\('a'\)"):
        value("[variables('a')]", a="[variables('b')]", b="[variables('A')]")
    with pytest.raises(TemplateError, match="need each other"):
        parameters = {"p": {"type": "string", "defaultValue": "[parameters('p')]"}}
        outputs = {"o": {"value": "[parameters('p')]"}}
        evaluate_template({"parameters": parameters, "resources": [], "outputs": outputs}, {})


def test_copies_of_properties_and_variables() -> None:
    loop = {"name": "disks", "count": 2, "input": "[concat('d', copyIndex('disks', 1))]"}
    assert value({"copy": [loop], "kept": 1}) == {"disks": ["d1", "d2"], "kept": 1}
    assert value("[variables('disks')]", copy=[loop]) == ["d1", "d2"]
    assert value({"copy": "no loop"}) == {"copy": "no loop"}
    with pytest.raises(TemplateError, match="count of a copy loop"):
        value({"copy": [loop | {"count": limits.TEMPLATE_COPIES + 1}]})
    assert len(value({"copy": [loop | {"count": limits.TEMPLATE_COPIES}]})["disks"]) == limits.TEMPLATE_COPIES


def test_limits_of_one_expression() -> None:
    at_most = "[concat('" + "a" * (limits.EXPRESSION_CHARACTERS - 12) + "')]"
    assert len(at_most) == limits.EXPRESSION_CHARACTERS
    assert value(at_most)
    with pytest.raises(LimitError, match="characters"):
        value(at_most.replace("[concat('", "[concat('a"))
    deep = "concat(" * limits.EXPRESSION_DEPTH + "'a'" + ")" * limits.EXPRESSION_DEPTH
    assert value(f"[{deep}]") == "a"
    with pytest.raises(LimitError, match="nested deeper"):
        value(f"[concat({deep})]")
    with pytest.raises(LimitError, match="in a row"):
        value("[subscription()" + ".id" * 101 + "]")
    with pytest.raises(LimitError, match="parts"):
        value("[concat(" + "1," * 6000 + "1)]")


def test_values_cannot_grow_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "EXPRESSION_RESULT_BYTES", 1000)
    doubling = {f"v{i}": f"[concat(variables('v{i - 1}'), variables('v{i - 1}'))]" for i in range(1, 30)}
    with pytest.raises(LimitError, match="1,000 characters"):
        value("[variables('v29')]", v0="0123456789", **doubling)
    nested = {f"v{i}": f"[createArray(variables('v{i - 1}'), variables('v{i - 1}'))]" for i in range(1, 30)}
    with pytest.raises(LimitError, match="1,000 characters"):
        value("[variables('v29')]", v0="0123456789", **nested)
    for text in ("padLeft('a', 1001)", "replace(padLeft('', 500), ' ', 'abc')", "join(range(0, 999), '--')"):
        with pytest.raises(LimitError):
            value(f"[{text}]")


def test_a_long_chain_of_variables_is_our_error() -> None:
    chain = {f"v{i}": f"[variables('v{i - 1}')]" for i in range(1, 5000)}
    with pytest.raises(LimitError):
        value("[variables('v4999')]", v0="x", **chain)


@given(st.text("[]()'.,ab0 \"@-\\\n", max_size=30))
def test_any_text_is_evaluated_or_refused_with_our_error(text: str) -> None:
    try:
        value(text)
    except (TemplateError, LimitError, UnsupportedError) as error:
        assert error.where is not None and error.where.startswith("outputs.o.value")


def test_messages_never_show_the_text_of_an_expression() -> None:
    for text in ("[concat('hunter2', 1 2)]", "[toUpper(createArray('hunter2'))]", "[int('hunter2')]", "['hunter2']"):
        with pytest.raises(TemplateError) as caught:
            value(text)
        assert "hunter2" not in str(caught.value)
