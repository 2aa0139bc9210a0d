"""What is exported and deployed again is the same factory; what-if says what a deployment would change."""

from __future__ import annotations

import json

import pytest

from kyanite.cli.main import main
from kyanite.definitions.export import export_template
from kyanite.definitions.load import load_documents
from kyanite.runtime.deploy import deploy
from kyanite.runtime.export import factory_files, factory_template
from kyanite.runtime.what_if import what_if
from kyanite.runtime.workspace import open_workspace

KEY = "c2VjcmV0LWtleS1vZi1tYW55LWNoYXJhY3RlcnM="
DOCUMENTS = [
    (
        "factory",
        {"name": "air", "location": "local", "properties": {"globalParameters": {"n": {"type": "int", "value": 4}}}},
    ),
    (
        "linkedService",
        {
            "name": "Store",
            "properties": {
                "type": "AzureBlobStorage",
                "typeProperties": {"connectionString": f"AccountName=a;AccountKey={KEY}"},
            },
        },
    ),
    (
        "linkedService",
        {
            "name": "Batch's",
            "properties": {
                "type": "AzureBatch",
                "typeProperties": {
                    "accountName": "b",
                    "accessKey": {"type": "SecureString", "value": KEY[::-1]},
                    "batchUri": "https://b.local.batch.azure.com",
                    "poolName": "p",
                    "linkedServiceName": {"referenceName": "Store", "type": "LinkedServiceReference"},
                },
            },
        },
    ),
    (
        "pipeline",
        {
            "name": "P",
            "properties": {
                "activities": [
                    {"name": "W", "type": "Wait", "typeProperties": {"waitTimeInSeconds": 1}},
                    {
                        "name": "S",
                        "type": "SetVariable",
                        "typeProperties": {"variableName": "v", "value": "[not a template expression]"},
                        "userProperties": [{"name": "[x", "value": "@concat('[', ']')"}],
                    },
                ],
                "variables": {"v": {"type": "String"}},
            },
        },
    ),
    (
        "trigger",
        {
            "name": "T",
            "properties": {
                "type": "ScheduleTrigger",
                "pipelines": [{"pipelineReference": {"referenceName": "P", "type": "PipelineReference"}}],
                "typeProperties": {"recurrence": {"frequency": "Day", "startTime": "2026-01-01T00:00:00Z"}},
            },
        },
    ),
]  # fmt: skip


@pytest.fixture
def workspace(tmp_path):
    with_factory = open_workspace(tmp_path / "one", create=True)
    with_factory.save_factory(load_documents("air", DOCUMENTS))
    yield with_factory
    with_factory.close()


@pytest.fixture
def other(tmp_path):
    empty = open_workspace(tmp_path / "two", create=True)
    yield empty
    empty.close()


def test_the_template_gives_the_same_factory_elsewhere(workspace, other):
    factory = workspace.factory("air")
    exported = factory_template(workspace, factory)
    text = json.dumps(exported.template)
    assert KEY not in text
    assert KEY[::-1] not in text
    deploy(other, json.loads(text), {**exported.secrets, "factoryName": "air"})
    assert other.factory("air").resources == factory.resources
    assert other.factory("air").global_parameters == factory.global_parameters


def test_another_name_and_dependencies(workspace, other):
    exported = factory_template(workspace, workspace.factory("air"))
    by_name = {resource["name"]: resource for resource in exported.template["resources"]}
    assert by_name["[concat(parameters('factoryName'), '/T')]"]["dependsOn"] == [
        "[concat(variables('factoryId'), '/pipelines/P')]"
    ]
    assert by_name["[concat(parameters('factoryName'), '/Batch''s')]"]["dependsOn"] == [
        "[concat(variables('factoryId'), '/linkedServices/Store')]"
    ]
    deploy(other, exported.template, {**exported.secrets, "factoryName": "water"})
    assert other.factory("water").resources == workspace.factory("air").resources


def test_the_parameter_file_has_a_place_for_each_secret(workspace):
    exported = factory_template(workspace, workspace.factory("air"))
    parameters = exported.parameter_file()["parameters"]
    assert parameters["factoryName"] == {"value": "air"}
    assert set(parameters) == {"factoryName", *exported.secrets}
    assert {parameters[name]["value"] for name in exported.secrets} == {""}


def test_names_of_parameters_do_not_collide():
    services = [
        ("linkedService", {"name": name, "properties": {"type": "X", "typeProperties": {"password": "hunter22"}}})
        for name in ("a b", "a_b")
    ]
    exported = export_template(load_documents("f", services), lambda text: text == "hunter22")
    assert set(exported.secrets) == {"a_b_password", "a_b_password_2"}


def test_a_git_folder_shows_no_secret(workspace):
    text = json.dumps(factory_files(workspace, workspace.factory("air")))
    assert KEY not in text
    assert KEY[::-1] not in text
    assert "pipeline/P.json" in text


def test_what_if_names_what_would_change(workspace):
    exported = factory_template(workspace, workspace.factory("air"))
    values = {**exported.secrets, "factoryName": "air"}
    same = what_if(workspace, exported.template, values)
    assert {change.change for change in same} == {"NoChange"}
    changed = json.loads(json.dumps(exported.template))
    pipeline = next(each for each in changed["resources"] if each["type"].endswith("/pipelines"))
    pipeline["properties"]["activities"][0]["typeProperties"]["waitTimeInSeconds"] = 99
    changed["resources"].append(
        {"type": "Microsoft.Storage/storageAccounts", "name": "fresh", "apiVersion": "2023-01-01"}
    )
    before = workspace.factory("air").resources
    found = {change.name: change for change in what_if(workspace, changed, values)}
    assert (found["air/P"].change, found["fresh"].change, found["air/Store"].change) == ("Modify", "Create", "NoChange")
    assert any(line.startswith("+") and "99" in line for line in found["air/P"].lines)
    assert workspace.accounts.get("fresh") is None
    assert workspace.factory("air").resources == before


def test_commands(workspace, tmp_path, capsys):
    def run(*arguments):
        code = main(["--home", str(tmp_path / "one"), *map(str, arguments)])
        return code, capsys.readouterr()

    code, out = run("export", "-o", tmp_path / "air.json")
    assert code == 0
    assert (tmp_path / "air.parameters.json").exists()
    code, out = run("export", "-o", tmp_path / "air.json")
    assert (code, "--force" in out.err) == (1, True)
    code, out = run("export", "air", "--git", "-o", tmp_path / "git")
    assert (code, (tmp_path / "git" / "trigger" / "T.json").exists()) == (0, True)
    template = json.loads((tmp_path / "air.json").read_text())
    values = json.loads((tmp_path / "air.parameters.json").read_text())
    for name, text in factory_template(workspace, workspace.factory("air")).secrets.items():
        values["parameters"][name]["value"] = text
    (tmp_path / "values.json").write_text(json.dumps(values))
    del template["resources"][-1]
    (tmp_path / "less.json").write_text(json.dumps(template))
    code, out = run("deploy", tmp_path / "less.json", "--parameters", tmp_path / "values.json", "--what-if")
    assert code == 0, out.err
    assert "0 of 4 resources would change" in out.out
