"""azure-mgmt-resource 26, -storage 25, -batch 19, -datafactory 10: the tutorial from nothing; deployments."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.datafactory import DataFactoryManagementClient
from azure.mgmt.resource.deployments import DeploymentsMgmtClient
from azure.mgmt.resource.resources import ResourceManagementClient
from datafactory_documents import COPY_OUTPUT, CUSTOM_OUTPUT
from datafactory_server import DataFactoryServer, datafactory_server
from new import tutorial_from_nothing as program
from test_datafactory_sdk import Key

from kyanite.definitions.save import folder_files
from kyanite.runtime.deploy import deploy
from kyanite.runtime.export import factory_template
from kyanite.runtime.workspace import Workspace, open_workspace
from kyanite.server.tokens import admin_key
from server_kit import LiveServer, live_server

PROGRAM = Path(__file__).parent / "new" / "tutorial_from_nothing.py"
AUTHORS_TEMPLATE = Path(__file__).resolve().parents[3] / "shared" / "seed" / "adf_deploy.json"
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "airline"
SECRET = "a-secret-that-must-not-be-seen"
SMALL: dict[str, Any] = {
    "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
    "contentVersion": "1.0.0.0",
    "parameters": {"factory": {"type": "string"}, "word": {"type": "string"}, "key": {"type": "securestring"}},
    "resources": [
        {
            "type": "Microsoft.DataFactory/factories",
            "apiVersion": "2018-06-01",
            "name": "[parameters('factory')]",
            "location": "[resourceGroup().location]",
            "properties": {},
        },
        {
            "type": "Microsoft.DataFactory/factories/linkedServices",
            "apiVersion": "2018-06-01",
            "name": "[concat(parameters('factory'), '/Store')]",
            "dependsOn": ["[resourceId('Microsoft.DataFactory/factories', parameters('factory'))]"],
            "properties": {
                "type": "AzureBlobStorage",
                "typeProperties": {"connectionString": "[concat('AccountName=a;AccountKey=', parameters('key'))]"},
            },
        },
        {
            "type": "Microsoft.DataFactory/factories/pipelines",
            "apiVersion": "2018-06-01",
            "name": "[concat(parameters('factory'), '/Hello')]",
            "dependsOn": ["[resourceId('Microsoft.DataFactory/factories', parameters('factory'))]"],
            "properties": {
                "activities": [{"name": "w", "type": "Wait", "typeProperties": {"waitTimeInSeconds": 1}}],
                "description": "[parameters('word')]",
            },
        },
    ],
    "outputs": {"word": {"type": "string", "value": "[parameters('word')]"}},
}


def check(seen: Mapping[str, Any]) -> None:
    assert seen["group"] == ["airline-rg", "westeurope", {"for": "test"}]
    assert seen["run"] == "Succeeded"
    assert seen["activities"] == [["Copy", "Succeeded"], ["Count", "Succeeded"]]
    copy, custom = seen["copy"], seen["custom"]
    assert copy.keys() | {"sourcePeakConnections"} >= COPY_OUTPUT
    assert (copy["rowsCopied"], copy["filesRead"], copy["filesWritten"]) == (2 * program.ROWS, 2, 1)
    assert custom.keys() >= CUSTOM_OUTPUT
    assert (custom["exitcode"], custom["customOutput"]) == (0, {"parts": 2})
    assert seen["trigger"] == ["Started", "Stopped"]
    assert seen["rows"] == 2 * program.ROWS


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataFactoryServer]:
    with datafactory_server(tmp_path_factory.mktemp("resources") / "home", faster=1) as made:
        yield made
        assert [each for each in made.answered if each[2] >= 500 and each[2] != 501] == []


def options(server: DataFactoryServer) -> dict[str, Any]:
    return {"base_url": server.url, "connection_verify": str(server.ca_file), "polling_interval": 0}


def deployments(server: DataFactoryServer) -> DeploymentsMgmtClient:
    return DeploymentsMgmtClient(Key(server.token), program.SUBSCRIPTION, **options(server))


def properties(template: Mapping[str, Any], **parameters: Any) -> dict[str, Any]:
    given = {name: {"value": value} for name, value in parameters.items()}
    return {"properties": {"mode": "Incremental", "template": template, "parameters": given}}


def test_the_tutorial_from_nothing(server: DataFactoryServer) -> None:
    check(program.tutorial(Key(server.token), options(server), f"{server.url}/{program.STORE}"))


def test_the_tutorial_from_nothing_unmodified(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "KYANITE_HOME": str(tmp_path / "home")}
    kyanite = [sys.executable, "-m", "kyanite"]
    subprocess.run([*kyanite, "init"], env=environment, check=True, capture_output=True)
    command = [*kyanite, "exec", "--", sys.executable, str(PROGRAM)]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    check(json.loads(done.stdout.splitlines()[-1]))


def test_a_deployment_is_told_made_and_remembered(server: DataFactoryServer) -> None:
    body = properties(SMALL, factory="deployed", word="one", key=SECRET)
    with ResourceManagementClient(Key(server.token), program.SUBSCRIPTION, **options(server)) as resources:
        resources.resource_groups.create_or_update("rg", {"location": "northeurope"})
    with deployments(server) as client:
        group = client.deployments
        valid = group.begin_validate("rg", "first", body).result()
        assert len(valid.properties.validated_resources) == 3
        told = group.begin_what_if("rg", "first", body).result()
        assert [change.change_type for change in told.changes] == ["Create"] * 3
        assert "deployed" not in server.workspace.factories()
        assert not group.check_existence("rg", "first")
        made = group.begin_create_or_update("rg", "first", body).result()
        assert made.properties.provisioning_state == "Succeeded"
        assert made.properties.outputs == {"word": {"type": "string", "value": "one"}}
        assert made.properties.parameters["word"]["value"] == "one"
        assert "value" not in made.properties.parameters["key"]
        assert server.workspace.factory("deployed").document["location"] == "northeurope"
        operations = list(client.deployment_operations.list("rg", "first"))
        done = [each.properties.target_resource.resource_name for each in operations]
        assert done == ["deployed", "deployed/Store", "deployed/Hello"]
        one = client.deployment_operations.get("rg", "first", operations[0].operation_id)
        assert one.properties.target_resource.id.endswith("/Microsoft.DataFactory/factories/deployed")
        again = group.begin_what_if("rg", "next", body).result()
        assert {change.change_type for change in again.changes} == {"NoChange"}
        other = group.begin_what_if("rg", "next", properties(SMALL, factory="deployed", word="two", key=SECRET))
        changed = [change for change in other.result().changes if change.change_type == "Modify"]
        assert [change.resource_id.rsplit("/", 1)[-1] for change in changed] == ["Hello"]
        assert "two" in str(changed[0].delta[0].after)
        for text in (told, made, operations, again, changed):
            assert SECRET not in str(text)
        assert [each.name for each in group.list_by_resource_group("rg")] == ["first"]
        group.begin_delete("rg", "first").result()
        with pytest.raises(ResourceNotFoundError, match="DeploymentNotFound"):
            group.get("rg", "first")


def test_what_cannot_be_deployed_is_named(server: DataFactoryServer) -> None:
    web = {"type": "Microsoft.Web/sites", "apiVersion": "2022-03-01", "name": "site", "properties": {}}
    template = {**SMALL, "parameters": {}, "outputs": {}, "resources": [web]}
    with deployments(server) as client:
        for call in (client.deployments.begin_validate, client.deployments.begin_create_or_update):
            with pytest.raises(HttpResponseError, match=r"Microsoft\.Web/sites 'site'"):
                call("rg", "never", properties(template)).result()
        with pytest.raises(HttpResponseError, match="'word' \\(string\\) is missing"):
            client.deployments.begin_validate("rg", "never", properties(SMALL, factory="f", key="k")).result()
        assert not client.deployments.check_existence("rg", "never")


def test_the_author_s_template(server: DataFactoryServer) -> None:
    if not AUTHORS_TEMPLATE.is_file() and not os.environ.get("CI"):
        pytest.skip("the author's template is not beside this checkout")
    template = json.loads(AUTHORS_TEMPLATE.read_text("utf-8"))
    with deployments(server) as client:
        told = client.deployments.begin_what_if("rg", "adf", properties(template, uniqueSuffix="sdk1")).result()
        names = {change.resource_id.rsplit("/", 1)[-1]: change.change_type for change in told.changes}
        assert names["delabadfsdk1"] == names["delabstoragesdk1"] == names["delabbatchsdk1"] == "Create"
        # the start task of its pool installs packages from the network: a deployment without it
        for resource in template["resources"]:
            if resource["type"].lower().endswith("/pools"):
                resource["properties"].pop("startTask", None)
        made = client.deployments.begin_create_or_update("rg", "adf", properties(template, uniqueSuffix="sdk1"))
        assert made.result().properties.provisioning_state == "Succeeded"
        again = client.deployments.begin_what_if("rg", "adf", properties(template, uniqueSuffix="sdk1")).result()
        assert {change.change_type for change in again.changes} <= {"NoChange", "Ignore"}
    with DataFactoryManagementClient(Key(server.token), program.SUBSCRIPTION, **options(server)) as factories:
        found = [each.name for each in factories.pipelines.list_by_factory("rg", "delabadfsdk1")]
        assert found == ["SampleCopyPipeline"]


def reaching(workspace: Workspace, live: LiveServer) -> dict[str, Any]:
    """The arguments of a client for another workspace."""
    return {
        "credential": Key(admin_key(workspace.vault)),
        "subscription_id": program.SUBSCRIPTION,
        "base_url": live.https_url,
        "connection_verify": str(live.ca_file),
        "polling_interval": 0,
    }


def test_what_is_exported_deploys_to_the_same(tmp_path: Path) -> None:
    template = json.loads((EXAMPLE / "template.json").read_text("utf-8"))
    with (
        open_workspace(tmp_path / "from", create=True) as source,
        open_workspace(tmp_path / "to", create=True) as target,
    ):
        name = deploy(source, template, {"nodes": 0, "partSizeInMB": 1}).factories[0]
        with live_server(source, tls=True) as live, ResourceManagementClient(**reaching(source, live)) as resources:
            asked = {"resources": ["*"], "options": "IncludeParameterDefaultValue"}
            exported = dict(resources.resource_groups.begin_export_template("kyanite", asked).result().template)
        secrets = factory_template(source, source.factory(name)).secrets
        assert {each for each in secrets if "defaultValue" not in exported["parameters"][each]} == set(secrets)
        assert not any(secret in json.dumps(exported) for secret in secrets.values())
        with live_server(target, tls=True) as live, DeploymentsMgmtClient(**reaching(target, live)) as client:
            body = properties(exported, **secrets)
            made = client.deployments.begin_create_or_update("kyanite", "again", body).result()
            assert made.properties.provisioning_state == "Succeeded"
        assert folder_files(source.factory(name)) == folder_files(target.factory(name))
