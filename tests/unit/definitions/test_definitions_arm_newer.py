"""What newer templates use: own functions and types, lambdas, loops in outputs, existing resources, the clock."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from kyanite import limits
from kyanite.definitions.arm import Environment, evaluate_template
from kyanite.errors import LimitError, TemplateError, UnsupportedError

STORE = "Microsoft.Storage/storageAccounts"
FACTORY = "Microsoft.DataFactory/factories"
NOW = datetime(2024, 1, 31, 6, tzinfo=UTC)
HERE = Environment(
    exists=lambda kind, name: name == "there",
    list_keys=lambda kind, name, version: [f"{name}-key", "other"],
    now=lambda: NOW,
    new_guid=lambda: uuid.UUID(int=7),
    location="here",
)


def outputs(document: dict[str, Any], environment: Environment = HERE, **given: Any) -> dict[str, Any]:
    evaluated = evaluate_template({"resources": [], **document}, given, environment)
    return {name: output["value"] for name, output in evaluated.outputs.items()}


def output(text: Any, **document: Any) -> Any:
    return outputs({**document, "outputs": {"o": {"type": "object", "value": text}}})["o"]


OWN = [
    {
        "namespace": "contoso",
        "members": {
            "unique": {
                "parameters": [{"name": "prefix", "type": "string"}, {"name": "length", "type": "int"}],
                "output": {"type": "string", "value": "[concat(parameters('prefix'), string(parameters('length')))]"},
            },
            "twice": {
                "parameters": [{"name": "p", "type": "string"}],
                "output": {"type": "string", "value": "[concat(contoso.unique(parameters('p'), 1), 'x')]"},
            },
            "endless": {"parameters": [], "output": {"type": "int", "value": "[contoso.endless()]"}},
        },
    }
]


def test_functions_of_the_template_s_own() -> None:
    assert (
        output("[Contoso.Unique(parameters('p'), 3)]", functions=OWN, parameters={"p": {"defaultValue": "a"}}) == "a3"
    )
    assert output("[contoso.twice('b')]", functions=OWN) == "b1x"
    assert output("[map(createArray('a'), lambda('x', contoso.unique(lambdaVariables('x'), 2)))]", functions=OWN) == [
        "a2"
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[contoso.unique('a')]", "takes 2"),
        ("[contoso.unique('a', 'b')]", "is of the type string, not int"),
        ("[contoso.other()]", "no template function 'contoso.other'"),
    ],
)
def test_mistakes_in_calls_of_own_functions(text: str, message: str) -> None:
    with pytest.raises(TemplateError, match=message):
        output(text, functions=OWN)


def test_own_functions_see_neither_variables_nor_the_caller_s_parameters() -> None:
    member = {"parameters": [], "output": {"type": "string", "value": "[variables('v')]"}}
    functions = [{"namespace": "n", "members": {"f": member}}]
    with pytest.raises(TemplateError, match="no variable 'v'"):
        output("[n.f()]", functions=functions, variables={"v": 1})


def test_calls_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LimitError):
        output("[contoso.endless()]", functions=OWN)
    monkeypatch.setattr(limits, "TEMPLATE_CALLS", 30)
    assert output("[map(range(0, 30), lambda('x', lambdaVariables('x')))]") == list(range(30))
    with pytest.raises(LimitError, match="30 times"):
        output("[map(range(0, 6), lambda('x', map(range(0, 6), lambda('y', lambdaVariables('x')))))]")


def test_what_lambdas_give_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "EXPRESSION_RESULT_BYTES", 10_000)
    assert len(output("[map(range(0, 100), lambda('x', range(0, 5)))]")) == 100
    grow = "concat(lambdaVariables('a'), range(0, 10))"
    for text in (
        "[length(map(range(0, 100), lambda('x', range(0, 1000))))]",
        f"[length(reduce(range(0, 500), createArray(), lambda('a', 'b', {grow})))]",
    ):
        with pytest.raises(LimitError):
            output(text)


def test_a_lambda_is_no_value() -> None:
    with pytest.raises(TemplateError, match="lambda"):
        output("[if(true(), lambda('x', 1), 2)]")
    for text in ("[string(lambda('x', 1))]", "[createArray(lambda('x', 1))]", "[equals(lambda('x', 1), 1)]"):
        with pytest.raises(TemplateError):
            output(text)


def test_types_of_the_template_s_own() -> None:
    document = {
        "definitions": {"small": {"type": "int", "maxValue": 3}, "number": {"$ref": "#/definitions/small"}},
        "parameters": {"n": {"$ref": "#/definitions/number", "defaultValue": 2}},
        "outputs": {"o": {"type": "int", "value": "[parameters('n')]"}},
    }
    assert outputs(document) == {"o": 2}
    assert outputs(document, n=3) == {"o": 3}
    with pytest.raises(TemplateError, match="above the maximum 3"):
        outputs(document, n=4)


def test_a_loop_in_outputs() -> None:
    loop = {"count": 3, "input": "[concat('a', copyIndex())]"}
    assert outputs({"outputs": {"o": {"type": "array", "copy": loop}}}) == {"o": ["a0", "a1", "a2"]}


def test_the_clock_and_new_ids() -> None:
    assert output("[utcNow()]") == "20240131T060000Z"
    assert output("[utcNow('yyyy-MM-dd')]") == "2024-01-31"
    assert output("[dateTimeAdd(utcNow('u'), '-PT6H')]") == "2024-01-31T00:00:00Z"
    assert output("[newGuid()]") == str(uuid.UUID(int=7))
    with pytest.raises(UnsupportedError, match="utcNow"):
        outputs({"outputs": {"o": {"value": "[utcNow()]"}}}, replace(HERE, now=None))


def test_resources_that_exist_already() -> None:
    account = {"type": STORE, "apiVersion": "2023-01-01", "existing": True}
    resources = {"store": {**account, "name": "there"}, "gone": {**account, "name": "elsewhere"}}
    shown = {
        "blob": "[reference('store').primaryEndpoints.blob]",
        "key": "[listKeys('store', '2023-01-01').keys[0].value]",
        "id": "[resourceInfo('store').id]",
        "named": f"[reference(resourceId('{STORE}', 'there'), '2023-01-01', 'full').properties.primaryLocation]",
    }
    document = {"resources": resources, "outputs": {name: {"value": text} for name, text in shown.items()}}
    evaluated = evaluate_template({"languageVersion": "2.0", **document}, {}, HERE)
    assert evaluated.resources == ()
    assert {name: each["value"] for name, each in evaluated.outputs.items()} == {
        "blob": "https://there.blob.core.windows.net/",
        "key": "there-key",
        "id": f"{HERE.resource_group_id}/providers/{STORE}/there",
        "named": "here",
    }
    with pytest.raises(TemplateError, match="no resource 'gone'"):
        outputs({"resources": resources, "outputs": {"o": {"value": "[reference('gone')]"}}})


def test_all_of_a_loop_and_the_identity_of_a_factory() -> None:
    resources = {
        "all": {
            "type": FACTORY,
            "apiVersion": "2018-06-01",
            "name": "[concat('f', copyIndex())]",
            "copy": {"name": "l", "count": 2},
        },
        "own": {"type": FACTORY, "apiVersion": "2018-06-01", "name": "own", "identity": {"type": "SystemAssigned"}},
    }
    found = outputs(
        {
            "resources": resources,
            "outputs": {
                "o": {"value": "[map(references('all', 'full'), lambda('r', lambdaVariables('r').name))]"},
                "i": {"value": "[reference('own', '2018-06-01', 'full').identity]"},
            },
        }
    )
    assert found["o"] == ["f0", "f1"]
    assert found["i"].keys() == {"type", "principalId", "tenantId"}


def test_what_cannot_be_made_is_told_before_it_is_evaluated() -> None:
    def refuse(made: Any) -> None:
        raise UnsupportedError(f"cannot make {[kind for kind, _, _ in made]}")

    identity = "Microsoft.ManagedIdentity/userAssignedIdentities"
    resources = [
        {"type": identity, "apiVersion": "x", "name": "i"},
        {
            "type": FACTORY,
            "apiVersion": "x",
            "name": "f",
            "tags": {"p": f"[reference(resourceId('{identity}', 'i')).principalId]"},
        },
        {"type": "Microsoft.Web/sites", "apiVersion": "x", "name": "s", "condition": False},
    ]
    with pytest.raises(UnsupportedError, match=r"userAssignedIdentities', 'Microsoft\.DataFactory/factories'"):
        evaluate_template({"resources": resources}, {}, replace(HERE, refuse=refuse))
