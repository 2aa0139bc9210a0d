"""Whole templates: the seed, all nested forms, order, conditions, copies, parameters, nested deployments."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kyanite import limits
from kyanite.definitions.arm import Environment, Evaluated, evaluate_template, factories_of, read_parameters
from kyanite.definitions.load import load_documents, load_folder
from kyanite.definitions.save import folder_files
from kyanite.errors import LimitError, TemplateError, UnsupportedError, UserError

SEED = Path(__file__).resolve().parents[4] / "shared" / "seed" / "adf_deploy.json"
FACTORY = "Microsoft.DataFactory/factories"
LINKED = {"type": "AzureBlobStorage", "typeProperties": {"connectionString": "x"}}
DATASET = {
    "type": "Parquet",
    "linkedServiceName": {"referenceName": "L", "type": "LinkedServiceReference"},
    "typeProperties": {"location": {"type": "AzureBlobStorageLocation", "fileName": "@concat('a', 'b')"}},
}
PIPELINE = {"activities": [{"name": "W", "type": "Wait", "typeProperties": {"waitTimeInSeconds": 1}}], "future": [None]}


def keys(kind: str, name: str, api_version: str) -> list[str]:
    return [f"{name}-first", f"{name}-second"]


ENVIRONMENT = Environment(list_keys=keys, location="here")


def run(*resources: dict[str, Any], parameters: dict[str, Any] | None = None, **template: Any) -> Evaluated:
    given = parameters or {}
    declared = {name: {"type": "string"} for name in given}
    document = {"parameters": declared, "resources": list(resources), **template}
    before = copy.deepcopy(document)
    evaluated = evaluate_template(document, given, ENVIRONMENT)
    assert document == before
    return evaluated


def resource(kind: str, name: str, *needs: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "apiVersion": "2018-06-01", "name": name, "dependsOn": list(needs), **more}


def ids(evaluated: Evaluated) -> list[str]:
    return [f"{one.type.split('/')[-1]}:{one.name}" for one in evaluated.resources]


# ---- the seed


@pytest.fixture
def seed() -> dict[str, Any]:
    if not SEED.exists() and not os.environ.get("CI"):
        pytest.skip("the author's template is not beside this checkout")
    template: dict[str, Any] = json.loads(SEED.read_text("utf-8"))
    return template


def test_the_seed_evaluates_unchanged(seed: dict[str, Any]) -> None:
    evaluated = evaluate_template(seed, {"uniqueSuffix": "x1"}, ENVIRONMENT)
    assert ids(evaluated) == [
        "storageAccounts:delabstoragex1",
        "blobServices:delabstoragex1/default",
        "containers:delabstoragex1/default/batchstorage",
        "containers:delabstoragex1/default/filestorage",
        "batchAccounts:delabbatchx1",
        "pools:delabbatchx1/delabadfpoolx1",
        "fileServices:delabstoragex1/default",
        "factories:delabadfx1",
        "linkedServices:delabadfx1/StorageLinkedService",
        "linkedServices:delabadfx1/BatchLinkedService",
        "datasets:delabadfx1/SourceParquet",
        "datasets:delabadfx1/TargetParquet",
        "pipelines:delabadfx1/SampleCopyPipeline",
    ]
    storage = evaluated.resources[0]
    assert (storage.api_version, storage.location, storage.path) == ("2019-06-01", "here", "resources[0]")
    assert storage.document["kind"] == "StorageV2" and storage.properties["isHnsEnabled"] is True
    assert evaluated.resources[5].properties["startTask"]["commandLine"] == 'cmd /c "pip install pandas dask pyarrow"'
    assert evaluated.resources[9].depends_on == (
        "Microsoft.Batch/batchAccounts/delabbatchx1",
        "Microsoft.DataFactory/factories/delabadfx1",
        "Microsoft.DataFactory/factories/delabadfx1/linkedServices/StorageLinkedService",
    )


def test_the_seed_gives_one_factory_with_real_keys_and_run_time_expressions(seed: dict[str, Any]) -> None:
    factories = factories_of(evaluate_template(seed, {"uniqueSuffix": "x1"}, ENVIRONMENT))
    assert list(factories) == ["delabadfx1"]
    factory = factories["delabadfx1"]
    storage = factory.linked_services["StorageLinkedService"].type_properties
    assert storage["connectionString"] == (
        "DefaultEndpointsProtocol=https;AccountName=delabstoragex1;AccountKey=delabstoragex1-first"
    )
    batch = factory.linked_services["BatchLinkedService"].type_properties
    assert batch["accessKey"] == {"type": "SecureString", "value": "delabbatchx1-first"}
    assert batch["batchUri"] == "https://delabbatchx1.here.batch.azure.com"
    pipeline = factory.pipelines["SampleCopyPipeline"]
    assert pipeline.variables["storageKey"].default == "delabstoragex1-first"
    command = pipeline.activities[1].type_properties["command"]
    assert command["type"] == "Expression" and command["value"].startswith("@concat('python splitparquet.py',' ',var")
    assert factory.location == "here"
    loaded = load_folder({path: json.dumps(document) for path, document in folder_files(factory).items()})
    assert loaded.problems == () and loaded == factory


def test_the_seed_without_its_parameter_says_which_and_why(seed: dict[str, Any]) -> None:
    with pytest.raises(TemplateError) as caught:
        evaluate_template(seed, {}, ENVIRONMENT)
    assert "'uniqueSuffix' (String) is missing: Suffix added to all resource name" in caught.value.message


# ---- forms


def flat() -> list[dict[str, Any]]:
    return [
        resource(f"{FACTORY}/pipelines", "[concat(parameters('factoryName'), '/P')]", properties=PIPELINE),
        resource(f"{FACTORY}/datasets", "[concat(parameters('factoryName'), '/D')]", properties=DATASET),
        resource(f"{FACTORY}/linkedServices", "[concat(parameters('factoryName'), '/L')]", properties=LINKED),
    ]


def nested(full_types: bool) -> list[dict[str, Any]]:
    children = [
        resource(kind, name, properties=properties)
        for kind, name, properties in (("pipelines", "P", PIPELINE), ("datasets", "D", DATASET))
    ]
    children.append(resource("linkedServices", "L", properties=LINKED))
    if full_types:
        for child in children:
            child["type"] = f"{FACTORY}/{child['type']}"
            child["name"] = f"[concat(parameters('factoryName'), '/{child['name']}')]"
    return [resource(FACTORY, "[parameters('factoryName')]", resources=children)]


def test_all_three_forms_and_a_git_folder_give_equal_factories() -> None:
    folder = load_folder(
        {
            "pipeline/P.json": json.dumps({"name": "P", "type": f"{FACTORY}/pipelines", "properties": PIPELINE}),
            "dataset/D.json": json.dumps({"name": "D", "properties": DATASET}),
            "linkedService/L.json": json.dumps({"name": "L", "properties": LINKED}),
        },
        name="fab",
    )
    for form in (flat(), nested(True), nested(False)):
        evaluated = run(*form, parameters={"factoryName": "fab"})
        assert factories_of(evaluated) == {"fab": folder}
        assert [one for one in ids(evaluated) if not one.startswith("factories:")] == [
            "linkedServices:fab/L",
            "datasets:fab/D",
            "pipelines:fab/P",
        ]


def test_an_export_of_the_studio_loads() -> None:
    depends = "[concat(variables('factoryId'), '/linkedServices/L')]"
    template = {
        "$schema": "http://schema.management.azure.com/schemas/2015-01-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "parameters": {
            "factoryName": {"type": "string", "metadata": "Data Factory name", "defaultValue": "fab"},
            "L_connectionString": {"type": "secureString", "metadata": "Secure string for 'connectionString' of 'L'"},
        },
        "variables": {"factoryId": "[concat('Microsoft.DataFactory/factories/', parameters('factoryName'))]"},
        "resources": [
            resource(f"{FACTORY}/datasets", "[concat(parameters('factoryName'), '/D')]", depends, properties=DATASET),
            resource(
                f"{FACTORY}/linkedServices",
                "[concat(parameters('factoryName'), '/L')]",
                properties={"type": "X", "typeProperties": {"connectionString": "[parameters('L_connectionString')]"}},
            ),
            resource(
                f"{FACTORY}/globalParameters",
                "[concat(parameters('factoryName'), '/default')]",
                properties={"env": {"type": "string", "value": "dev"}},
            ),
            resource(
                f"{FACTORY}/managedVirtualNetworks/managedPrivateEndpoints",
                "[concat(parameters('factoryName'), '/default/E')]",
                properties={},
            ),
        ],
    }
    evaluated = evaluate_template(template, {"L_connectionString": "hunter2secret"}, ENVIRONMENT)
    factory = factories_of(evaluated)["fab"]
    assert factory.global_parameters == {"env": "dev"}
    assert factory.linked_services["L"].type_properties == {"connectionString": "hunter2secret"}
    assert [(one.kind, one.name) for one in factory.others] == [("managedPrivateEndpoint", "default/E")]
    assert evaluated.secure_values == ("hunter2secret",)
    assert "hunter2secret" not in repr(evaluated) + repr(factory)


def test_several_factories_keep_apart_and_unknown_children_are_kept() -> None:
    evaluated = run(
        resource(f"{FACTORY}/pipelines", "one/P", properties=PIPELINE),
        resource(f"{FACTORY}/pipelines", "two/P", properties={}),
        resource(f"{FACTORY}/novelties", "ONE/N", properties={}),
    )
    factories = factories_of(evaluated)
    assert sorted(factories) == ["ONE", "two"]
    assert [one.kind for one in factories["ONE"].others] == ["novelties"]
    assert list(factories["ONE"].pipelines) == ["P"]


@pytest.mark.parametrize(
    ("kind", "name"), [(f"{FACTORY}/pipelines", "P"), (FACTORY, "f/P"), ("Microsoft.Storage/storageAccounts", "a/b")]
)
def test_a_name_that_does_not_fit_its_type(kind: str, name: str) -> None:
    with pytest.raises(TemplateError, match="does not fit the type") as caught:
        run(resource(kind, name))
    assert caught.value.where == "resources[0].name"


def test_a_type_without_a_namespace_is_refused() -> None:
    with pytest.raises(TemplateError, match="'pipelines' has no namespace") as caught:
        run(resource("pipelines", "Fabric pipeline"))
    assert caught.value.where == "resources[0].type"


# ---- order


@pytest.mark.parametrize(
    "entry",
    [
        "/subscriptions/s/resourceGroups/g/providers/Microsoft.DataFactory/factories/f/pipelines/A",
        "Microsoft.DataFactory/factories/f/pipelines/A",
        "microsoft.datafactory/FACTORIES/F/Pipelines/a",
        "[resourceId('Microsoft.DataFactory/factories/pipelines', 'f', 'A')]",
        "[concat('f', '/A')]",
        "A",
    ],
)
def test_every_form_of_depends_on(entry: str) -> None:
    late = resource(f"{FACTORY}/datasets", "f/Z", entry)
    evaluated = run(late, resource(f"{FACTORY}/pipelines", "f/A"))
    assert ids(evaluated) == ["pipelines:f/A", "datasets:f/Z"]
    assert evaluated.resources[1].depends_on == ("Microsoft.DataFactory/factories/f/pipelines/A",)


def test_kind_order_where_nothing_is_said() -> None:
    kinds = ["triggers", "pipelines", "datasets", "linkedServices", "integrationRuntimes"]
    children = [resource(f"{FACTORY}/{kind}", f"f/{kind}") for kind in kinds]
    evaluated = run(*children, resource(FACTORY, "f"), resource("Microsoft.Storage/storageAccounts", "s"))
    found = [one.type.split("/")[-1] for one in evaluated.resources]
    assert found == ["storageAccounts", "factories", *reversed(kinds)]


def test_circles_and_unknown_names_and_second_declarations() -> None:
    pair = (resource(f"{FACTORY}/datasets", "f/A", "B"), resource(f"{FACTORY}/datasets", "f/B", "A"))
    with pytest.raises(TemplateError, match=r"datasets/A -> .*datasets/B -> .*datasets/A"):
        run(*pair)
    with pytest.raises(TemplateError, match=r"no resource 'Strage'.*Did you mean 'Storage'") as caught:
        run(resource(FACTORY, "Storage"), resource(f"{FACTORY}/datasets", "Storage/A", "Strage"))
    assert caught.value.where == "resources[1].dependsOn[0]"
    with pytest.raises(TemplateError, match=r"declared twice, first at resources\[0\]"):
        run(resource(FACTORY, "f"), resource(FACTORY, "F"))


def test_conditions_leave_resources_out_but_not_their_names() -> None:
    off = resource(FACTORY, "off", condition="[equals(1, 2)]", properties={"x": "[div(1, 0)]"})
    evaluated = run(off, resource(FACTORY, "on", "off", condition="[not(false())]"), resource(FACTORY, "OFF"))
    assert ids(evaluated) == ["factories:OFF", "factories:on"]
    with pytest.raises(TemplateError, match="neither true nor false"):
        run(resource(FACTORY, "f", condition="true"))


def test_copies_of_resources() -> None:
    loop = {"name": "accounts", "count": "[length(parameters('n'))]"}
    copied = resource("Microsoft.Storage/storageAccounts", "[concat('s', copyIndex())]", copy=loop)
    copied["properties"] = {"index": "[copyIndex('accounts', 10)]"}
    evaluated = run(resource(FACTORY, "f", "accounts"), copied, parameters={"n": "abc"})
    assert ids(evaluated) == ["storageAccounts:s0", "storageAccounts:s1", "storageAccounts:s2", "factories:f"]
    assert [one.properties.get("index") for one in evaluated.resources] == [10, 11, 12, None]
    assert len(evaluated.resources[3].depends_on) == 3


# ---- functions that look at resources


def test_list_keys_answers_by_type_and_version() -> None:
    storage, batch = "Microsoft.Storage/storageAccounts", "Microsoft.Batch/batchAccounts"
    texts = {
        "old": "[listKeys(resourceId('Microsoft.Storage/storageAccounts', 's'), '2015-05-01-preview').key2]",
        "new": "[listKeys('s', '2023-01-01').keys[0].value]",
        "batch": "[listKeys('b', '2020-05-01')]",
    }
    outputs = {name: {"type": "object", "value": text} for name, text in texts.items()}
    found = run(resource(storage, "s"), resource(batch, "b"), resource(FACTORY, "b"), outputs=outputs).outputs
    assert found["old"]["value"] == "s-second"
    assert found["new"]["value"] == "s-first"
    assert found["batch"]["value"] == {"accountName": "b", "primary": "b-first", "secondary": "b-second"}
    for text, error in (("nowhere", TemplateError), ("Microsoft.Sql/servers/x", UnsupportedError)):
        with pytest.raises(error):
            run(resource(storage, "s"), outputs={"o": {"value": f"[listKeys('{text}', '2020-01-01')]"}})
    with pytest.raises(UnsupportedError, match="No keys can be listed"):
        template = {"resources": [resource(storage, "s")], "outputs": {"o": {"value": "[listKeys('s', '2020')]"}}}
        evaluate_template(template, {})


def test_reference_reads_resources_of_the_template_only() -> None:
    account = resource("Microsoft.Storage/storageAccounts", "s", location="west", properties={"a": "[concat('x')]"})
    outputs = {
        "blob": {"type": "string", "value": "[reference('s').primaryEndpoints.blob]"},
        "a": {"type": "string", "value": "[reference(resourceId('Microsoft.Storage/storageAccounts', 's')).a]"},
        "full": {"type": "string", "value": "[reference('s', '2019-06-01', 'Full').location]"},
        "off": {"type": "string", "condition": False, "value": "[reference('nothing')]"},
    }
    assert {name: entry["value"] for name, entry in run(account, outputs=outputs).outputs.items()} == {
        "blob": "https://s.blob.core.windows.net/",
        "a": "x",
        "full": "west",
    }
    with pytest.raises(TemplateError, match="needs its own state"):
        run(resource(FACTORY, "f", properties={"x": "[reference('f').x]"}))
    with pytest.raises(TemplateError, match="cannot be looked up in a name"):
        run(account, resource(FACTORY, "[reference('s').a]"))


# ---- parameters


def declared(**parameters: Any) -> dict[str, Any]:
    outputs = {name: {"type": "x", "value": f"[parameters('{name}')]"} for name in parameters}
    return {"parameters": parameters, "resources": [], "outputs": outputs}


def test_all_mistakes_of_parameters_at_once() -> None:
    template = declared(
        first={"type": "string", "metadata": {"description": "The first one."}},
        second={"type": "int"},
        third={"type": "bool"},
        choice={"type": "string", "allowedValues": ["a", "b"]},
        short={"type": "string", "minLength": 3},
        large={"type": "int", "maxValue": 3},
        odd={"type": "date"},
        fine={"type": "string", "defaultValue": "x"},
    )
    given = {"third": 1, "choice": "c", "short": "ab", "large": 4, "odd": "x", "fin": "y"}
    with pytest.raises(TemplateError) as caught:
        evaluate_template(template, given)
    for part in (
        "'first' (string) is missing: The first one",
        "'second' (int) is missing",
        "'third' is of the type int, not bool",
        '\'choice\' is not one of the allowed values ["a", "b"]',
        "'short' is below the minimum 3",
        "'large' is above the maximum 3",
        "'odd' has the unknown type 'date'",
        "'fin' is not declared (Did you mean 'fine'?",
    ):
        assert part.removesuffix("?") in caught.value.message


def test_values_are_converted_from_text_and_defaults_are_evaluated() -> None:
    template = declared(
        number={"type": "Int"},
        flag={"type": "bool"},
        items={"type": "array"},
        text={"type": "string", "defaultValue": "[concat(parameters('number'), '!')]"},
        nothing={"type": "string", "nullable": True},
    )
    given = {"NUMBER": "42", "flag": "True", "items": "[1, 2]", "text": None}
    outputs = evaluate_template(template, given).outputs
    assert {name: entry["value"] for name, entry in outputs.items()} == {
        "number": 42,
        "flag": True,
        "items": [1, 2],
        "text": "42!",
        "nothing": None,
    }
    with pytest.raises(TemplateError, match="default of 'bad'"):
        evaluate_template(declared(bad={"type": "int", "defaultValue": "[concat('x')]"}), {})


def test_parameter_files() -> None:
    file = {"$schema": "https://x/deploymentParameters.json#", "parameters": {"a": {"value": 1}}}
    assert read_parameters(file) == {"a": 1}
    assert read_parameters({"$schema": "x", "a": 1}) == {"a": 1}
    with pytest.raises(UnsupportedError, match="key vault"):
        read_parameters({"parameters": {"a": {"reference": {"keyVault": {}}}}})
    with pytest.raises(TemplateError, match="has no value"):
        read_parameters({"parameters": {"a": 1}})
    with pytest.raises(TemplateError, match="parameter file"):
        evaluate_template(file, {})


def test_default_values_of_secure_parameters_are_secret_when_used() -> None:
    template = declared(s={"type": "secureObject", "defaultValue": {"key": ["hunter2secret"]}})
    assert evaluate_template(template, {}).secure_values == ("hunter2secret",)


# ---- nested and modern templates


def test_nested_templates_inline() -> None:
    inner = {
        "parameters": {"p": {"type": "string"}},
        "resources": [resource(FACTORY, "[parameters('p')]")],
        "outputs": {"id": {"type": "string", "value": "[concat(parameters('p'), '!')]"}},
    }
    deployment = {
        "type": "Microsoft.Resources/deployments",
        "name": "inside",
        "dependsOn": ["z"],
        "properties": {
            "expressionEvaluationOptions": {"scope": "inner"},
            "parameters": {"p": {"value": "[concat('deep', 'er')]"}},
            "template": inner,
        },
    }
    outputs = {"o": {"type": "string", "value": "[reference('inside').outputs.id.value]"}}
    evaluated = run(resource(FACTORY, "a", "inside"), deployment, resource(FACTORY, "z"), outputs=outputs)
    assert ids(evaluated) == ["factories:z", "factories:deeper", "factories:a"]
    assert evaluated.outputs["o"]["value"] == "deeper!"
    outer = copy.deepcopy(deployment)
    del outer["properties"]["expressionEvaluationOptions"]
    evaluated = run(outer, resource(FACTORY, "z"), parameters={"p": "mine"})
    assert ids(evaluated) == ["factories:z", "factories:mine"]


def test_linked_templates_are_refused_by_name_and_depth_is_limited() -> None:
    linked = {"type": "Microsoft.Resources/deployments", "name": "part2", "properties": {"templateLink": {"uri": "x"}}}
    with pytest.raises(UnsupportedError, match="'part2'"):
        run(linked)
    deep: dict[str, Any] = {"resources": [resource(FACTORY, "f")]}
    for level in range(limits.TEMPLATE_NESTED):
        name = f"d{level}"
        inner = {"type": "Microsoft.Resources/deployments", "name": name, "properties": {"template": deep}}
        deep = {"resources": [inner]}
    assert ids(evaluate_template(deep, {})) == ["factories:f"]
    one_more = {"type": "Microsoft.Resources/deployments", "name": "d", "properties": {"template": deep}}
    with pytest.raises(LimitError, match="nested deeper"):
        run(one_more)


def test_symbolic_names() -> None:
    template = {
        "languageVersion": "2.0",
        "resources": {
            "late": resource(FACTORY, "a", "early"),
            "there": {"type": FACTORY, "name": "x", "existing": True},
            "early": resource(FACTORY, "b"),
        },
    }
    assert ids(evaluate_template(template, {})) == ["factories:b", "factories:a"]


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ([], "no JSON object"),
        ({}, 'no "resources"'),
        ({"resources": [7]}, "no type"),
        ({"resources": [{"type": FACTORY}]}, "no name"),
        ({"resources": [resource(FACTORY, "f") | {"dependsOn": [7]}]}, "no text"),
        ({"resources": [], "outputs": {"o": {"copy": {}}}}, "count of a copy loop"),
        ({"resources": [], "parameters": {"p": {"$ref": "#/definitions/x"}}}, "not defined"),
    ],
)
def test_broken_templates(template: Any, message: str) -> None:
    with pytest.raises((TemplateError, UnsupportedError), match=message):
        evaluate_template(template, {})


def test_number_of_resources_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TEMPLATE_RESOURCES", 2)
    assert len(run(resource(FACTORY, "a"), resource(FACTORY, "b")).resources) == 2
    with pytest.raises(LimitError, match="2 resources"):
        run(resource(FACTORY, "a"), resource(FACTORY, "b"), resource(FACTORY, "c"))


def test_a_factory_document_keeps_what_belongs_to_it() -> None:
    own = resource(FACTORY, "f", location="[resourceGroup().location]", identity={"type": "SystemAssigned"})
    own["properties"] = {"globalParameters": {"a": {"type": "int", "value": 1}}}
    factory = factories_of(run(own))["f"]
    assert factory.document == {
        "name": "f",
        "location": "here",
        "identity": {"type": "SystemAssigned"},
        "properties": {"globalParameters": {"a": {"type": "int", "value": 1}}},
    }
    assert factory == load_documents("f", [("factory", factory.document)])


MUTANTS: list[Any] = [
    None,
    True,
    7,
    "",
    "[x()]",
    "[variables('a')]",
    "a/b/c",
    [],
    {},
    [7],
    {"a": 1},
    "[[",
    "[copyIndex()]",
]
WHOLE: dict[str, Any] = {
    "parameters": {"p": {"type": "string", "defaultValue": "[concat('f')]", "allowedValues": ["f"]}},
    "variables": {"a": "[parameters('p')]", "copy": [{"name": "l", "count": 2, "input": "[copyIndex('l')]"}]},
    "resources": [
        resource(
            FACTORY,
            "[variables('a')]",
            condition="[not(empty(variables('l')))]",
            resources=[resource("pipelines", "P", "[variables('a')]", properties=PIPELINE)],
        ),
        resource(f"{FACTORY}/datasets", "f/[D", "f", copy={"name": "one", "count": 1}),
        {
            "type": "Microsoft.Resources/deployments",
            "name": "inside",
            "dependsOn": ["one"],
            "properties": {
                "expressionEvaluationOptions": {"scope": "inner"},
                "parameters": {"q": {"value": "x"}},
                "template": {"parameters": {"q": {"type": "string"}}, "resources": [resource(FACTORY, "g")]},
            },
        },
    ],
    "outputs": {"o": {"type": "string", "condition": True, "value": "[reference('f').provisioningState]"}},
}


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, child in children for place in places(child, (*path, key)))]


@given(st.lists(st.tuples(st.sampled_from(places(WHOLE)[1:]), st.sampled_from(MUTANTS)), min_size=1, max_size=3))
def test_any_template_is_evaluated_or_refused_with_our_error(changes: list[tuple[Any, Any]]) -> None:
    template = copy.deepcopy(WHOLE)
    for place, value in changes:
        target: Any = template
        for step in place[:-1]:
            fits = (isinstance(target, dict) and step in target) or (
                isinstance(target, list) and step in range(len(target))
            )
            target = target[step] if fits else None
        if isinstance(target, dict) or (isinstance(target, list) and place[-1] in range(len(target))):
            target[place[-1]] = copy.deepcopy(value)
    try:
        factories_of(evaluate_template(template, {}, ENVIRONMENT))
    except UserError as error:
        assert error.message


def test_the_template_that_is_mutated_is_a_good_one() -> None:
    evaluated = evaluate_template(WHOLE, {}, ENVIRONMENT)
    assert ids(evaluated) == ["factories:f", "datasets:f/[D", "factories:g", "pipelines:f/P"]
    assert evaluated.outputs["o"]["value"] == "Succeeded"
