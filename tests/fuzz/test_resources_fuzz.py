"""Requests at random, the same each time, to groups, deployments and storage accounts: never a failure of ours."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from test_management_fuzz import content as factory_content
from test_management_fuzz import mutated, value

from kyanite.definitions.arm import Environment
from kyanite.errors import KyaniteError
from kyanite.runtime.deploy import understand
from kyanite.runtime.workspace import open_workspace
from kyanite.server.management.providers import load_providers
from management_kit import Front

NAMES = ["rg", "first", "mystore", "mybatch", "mypool", "box", "default", "kyanite", "missing", "a b", "%00", "a" * 300]
EXPRESSIONS = [
    "[parameters('p')]",
    "[variables('v')]",
    "[concat('a', uniqueString(resourceGroup().id))]",
    "[reference('mystore').primaryEndpoints.blob]",
    "[listKeys('mystore', '2023-05-01').keys[0].value]",
    "[map(range(0, 3), lambda('i', lambdaVariables('i')))]",
    "[n.f(1)]",
    "[copyIndex()]",
    "[utcNow('o')]",
    "[deployment().name]",
    "[[literal]",
    "[broken",
    "[fail('x')]",
]
FACTORY = {
    "type": "Microsoft.DataFactory/factories",
    "apiVersion": "2018-06-01",
    "name": "[concat('f', copyIndex())]",
    "copy": {"name": "fs", "count": 2},
    "condition": "[equals(parameters('p'), 'x')]",
    "identity": {"type": "SystemAssigned"},
    "properties": {},
}
STORE = {
    "type": "Microsoft.Storage/storageAccounts",
    "apiVersion": "2023-05-01",
    "name": "mystore",
    "location": "[resourceGroup().location]",
    "kind": "StorageV2",
    "properties": {"isHnsEnabled": True},
    "resources": [
        {"type": "blobServices/containers", "apiVersion": "2023-05-01", "name": "default/box", "dependsOn": ["mystore"]}
    ],
}
POOL = {
    "type": "Microsoft.Batch/batchAccounts/pools",
    "apiVersion": "2024-07-01",
    "name": "mybatch/mypool",
    "properties": {"vmSize": "a1", "scaleSettings": {"fixedScale": {"targetDedicatedNodes": 0}}},
}
NESTED = {
    "type": "Microsoft.Resources/deployments",
    "apiVersion": "2022-09-01",
    "name": "inner",
    "properties": {
        "mode": "Incremental",
        "expressionEvaluationOptions": {"scope": "inner"},
        "parameters": {"q": {"value": "[parameters('p')]"}},
        "template": {
            "parameters": {"q": {"type": "string"}},
            "resources": [],
            "outputs": {"o": {"value": "[parameters('q')]"}},
        },
    },
}
TEMPLATE = {
    "contentVersion": "1.0.0.0",
    "definitions": {"word": {"type": "string", "minLength": 1}},
    "parameters": {
        "p": {"$ref": "#/definitions/word", "defaultValue": "x"},
        "s": {"type": "securestring", "defaultValue": ""},
    },
    "functions": [
        {
            "namespace": "n",
            "members": {
                "f": {"parameters": [{"name": "a", "type": "int"}], "output": {"value": "[add(parameters('a'), 1)]"}}
            },
        }
    ],
    "variables": {"v": "[parameters('p')]", "copy": [{"name": "w", "count": 2, "input": "[copyIndex('w')]"}]},
    "resources": [FACTORY, STORE, POOL, NESTED],
    "outputs": {
        "o": {"type": "array", "copy": {"count": 2, "input": "[copyIndex()]"}},
        "r": {"value": "[variables('w')]"},
    },
}
DEPLOYMENT = {"properties": {"mode": "Incremental", "template": TEMPLATE, "parameters": {"p": {"value": "x"}}}}
ACCOUNT = {
    "location": "local",
    "kind": "StorageV2",
    "sku": {"name": "Standard_LRS"},
    "tags": {"a": "b"},
    "properties": {},
}
QUERIES = ["", "", "$filter=resourceType eq 'Microsoft.Storage/storageAccounts'", "$filter=(", "$top=1", "$skiptoken=x"]


def changed(rng: random.Random, document: Any) -> Any:
    """The document with one of its values another expression, or something else in it replaced."""
    if rng.random() < 0.5 or not isinstance(document, dict | list) or not document:
        return rng.choice(EXPRESSIONS) if rng.random() < 0.5 else mutated(rng, document)
    if isinstance(document, list):
        at = rng.randrange(len(document))
        return [changed(rng, item) if index == at else item for index, item in enumerate(document)]
    name = rng.choice(list(document))
    return {**document, name: changed(rng, document[name])}


def content(rng: random.Random, template: str) -> bytes:
    if rng.random() < 0.1:
        return factory_content(rng)
    document: Any = DEPLOYMENT if "deployments" in template.lower() else {"properties": POOL["properties"]}
    if "pools" not in template and "deployments" not in template.lower():
        document = ACCOUNT
    for _ in range(rng.randrange(4)):
        document = changed(rng, document)
    return json.dumps(value(rng) if rng.random() < 0.02 else document).encode()


def requests(seed: int, count: int) -> Iterator[tuple[str, str, bytes]]:
    rng = random.Random(seed)
    providers = load_providers()
    routes = [route for name in ("microsoft.resources", "microsoft.storage") for route in providers[name].routes]
    routes += [route for route in routes if "deployments" in route.template.lower() and route.handler] * 2
    for _ in range(count):
        route = rng.choice(routes)
        path = re.sub(r"\{\w+\}", lambda _: quote(rng.choice(NAMES), safe="%"), route.template)
        query = quote(rng.choice(QUERIES), safe="=$")
        yield route.method, f"{path}?{query}" if query else path, content(rng, route.template)


@pytest.mark.parametrize(("seed", "count"), [(1, 1_000), pytest.param(2, 50_000, marks=pytest.mark.slow)])
def test_any_change_of_a_template_is_understood_or_refused(seed: int, count: int) -> None:
    rng = random.Random(seed)
    environment = Environment(list_keys=lambda kind, name, version: ["one", "two"], exists=lambda kind, name: True)
    understood = 0
    for _ in range(count):
        template = TEMPLATE
        for _ in range(rng.randrange(1, 5)):
            template = changed(rng, template)
        with suppress(KyaniteError):
            understand(template, {}, environment)
            understood += 1
    assert understood > count // 20


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_no_request_makes_the_server_fail(tmp_path: Path, seed: int) -> None:
    count = 500 if seed == 1 else 5_000
    with open_workspace(tmp_path / "home", create=True) as workspace, ExitStack() as stack:
        front = stack.enter_context(closing(Front(workspace)))
        statuses: dict[int, int] = {}
        for method, path, body in requests(seed, count):
            answer = front.call(method, path, content=body)
            statuses[answer.status] = statuses.get(answer.status, 0) + 1
            assert answer.status < 500 or answer.status == 501, (method, path, body, answer.body)
            if answer.body and method != "HEAD":
                document = json.loads(answer.body)
                properties = document.get("properties") if isinstance(document, dict) else None
                error = properties.get("error") if isinstance(properties, dict) else None
                assert not isinstance(error, dict) or error.get("code") != "InternalError", (path, body, error)
    assert statuses.get(200, 0) + statuses.get(201, 0) > count // 20
    assert {400, 404} <= statuses.keys()
