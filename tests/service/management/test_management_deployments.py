"""Resource groups, deployments and storage accounts over the management API."""

from __future__ import annotations

import threading
import time

import pytest

from kyanite.errors import BatchError, StateError
from kyanite.runtime.workspace import open_workspace
from kyanite.server.management.resources import deployments
from management_kit import SCOPE, Front

DEPLOYMENT = f"{SCOPE}/providers/Microsoft.Resources/deployments/first"
STORE = f"{SCOPE}/providers/Microsoft.Storage/storageAccounts/airdata"
SECRET = "a-password-nobody-may-see"
TEMPLATE = {
    "$schema": "https://schema.management.azure.com/schemas/2015-01-01/deploymentTemplate.json#",
    "contentVersion": "1.0.0.0",
    "parameters": {"name": {"type": "string"}, "password": {"type": "secureString"}},
    "resources": [
        {
            "type": "Microsoft.Storage/storageAccounts",
            "name": "[parameters('name')]",
            "apiVersion": "2023-01-01",
            "location": "[resourceGroup().location]",
            "properties": {"isHnsEnabled": True},
        },
        {
            "type": "Microsoft.Storage/storageAccounts/blobServices/containers",
            "name": "[concat(parameters('name'), '/default/box')]",
            "apiVersion": "2023-01-01",
            "dependsOn": ["[parameters('name')]"],
        },
        {"type": "Microsoft.DataFactory/factories", "name": "airline", "apiVersion": "2018-06-01", "properties": {}},
        {
            "type": "Microsoft.DataFactory/factories/linkedServices",
            "name": "airline/Ftp",
            "apiVersion": "2018-06-01",
            "properties": {
                "type": "FtpServer",
                "typeProperties": {
                    "host": "h",
                    "password": {"type": "SecureString", "value": "[parameters('password')]"},
                },
            },
        },
    ],
    "outputs": {
        "id": {"type": "string", "value": "[resourceId('Microsoft.DataFactory/factories', 'airline')]"},
        "hidden": {"type": "secureString", "value": "[parameters('password')]"},
    },
}
SQL_SERVER = {"type": "Microsoft.Sql/servers", "name": "s", "apiVersion": "1"}
PARAMETERS = {"name": {"value": "airdata"}, "password": {"value": SECRET}}


@pytest.fixture
def front(tmp_path):
    workspace = open_workspace(tmp_path / "home", create=True)
    made = Front(workspace)
    yield made
    made.close()
    workspace.close()


def body(template=TEMPLATE, parameters=PARAMETERS, **more):
    return {"properties": {"mode": "Incremental", "template": template, "parameters": parameters, **more}}


def finished(front, path=DEPLOYMENT):
    for _ in range(200):
        answer = front.call("GET", path)
        if answer.json["properties"]["provisioningState"] != "Running":
            return answer.json
        time.sleep(0.05)
    raise AssertionError("the deployment does not end")


def test_groups(front):
    assert front.call("GET", SCOPE).code == "ResourceGroupNotFound"
    assert front.call("HEAD", SCOPE).status == 404
    assert front.call("PUT", SCOPE, {}).code == "LocationRequired"
    made = front.call("PUT", SCOPE.lower(), {"location": "westeurope", "tags": {"a": "b"}})
    assert (made.status, made.json["name"], made.json["tags"]) == (201, "rg", {"a": "b"})
    assert front.call("PUT", SCOPE, {"location": "westeurope"}).status == 200
    assert front.call("PATCH", SCOPE, {"tags": {"c": "d"}}).json["tags"] == {"c": "d"}
    assert front.call("HEAD", SCOPE).status == 204
    listed = front.call("GET", SCOPE.rpartition("/")[0])
    assert [each["name"] for each in listed.json["value"]] == ["kyanite", "rg"]
    front.workspace.accounts.create("airdata")
    refused = front.call("DELETE", SCOPE)
    assert (refused.status, "storageAccounts/airdata" in refused.json["error"]["message"]) == (409, True)
    assert front.call("DELETE", STORE).status == 200
    assert front.call("DELETE", SCOPE).status == 200
    assert front.call("GET", SCOPE).status == 404


def test_a_deployment_from_validation_to_operations(front):
    validated = front.call("POST", f"{DEPLOYMENT}/validate", body())
    assert validated.status == 200
    assert len(validated.json["properties"]["validatedResources"]) == 4
    assert front.workspace.accounts.names() == []
    told = front.call("POST", f"{DEPLOYMENT}/whatIf", body()).json["properties"]["changes"]
    assert {each["changeType"] for each in told} == {"Create"}
    put = front.call("PUT", DEPLOYMENT, body())
    assert put.status == 201
    assert "operationStatuses" in put.headers["azure-asyncoperation"]
    done = finished(front)
    assert done["properties"]["provisioningState"] == "Succeeded"
    assert done["properties"]["outputs"] == {
        "id": {"type": "string", "value": f"{SCOPE}/providers/Microsoft.DataFactory/factories/airline"},
        "hidden": {"type": "secureString"},
    }
    assert done["properties"]["parameters"]["password"] == {"type": "secureString"}
    status = front.call("GET", put.headers["azure-asyncoperation"].partition("8080")[2])
    assert status.json == {"status": "Succeeded"}
    operations = front.call("GET", f"{DEPLOYMENT}/operations").json["value"]
    assert len(operations) == 4
    assert front.call("GET", operations[0]["id"]).json == operations[0]
    assert front.workspace.accounts.get("airdata").stat("box", "") is not None
    assert front.workspace.factory("airline").linked_services["Ftp"].type == "FtpServer"
    same = front.call("POST", f"{DEPLOYMENT}/whatIf", body()).json["properties"]["changes"]
    assert {each["changeType"] for each in same} == {"NoChange"}
    assert [each["name"] for each in front.call("GET", DEPLOYMENT.rpartition("/")[0]).json["value"]] == ["first"]
    exported = front.call("POST", f"{SCOPE}/exportTemplate", {"resources": ["*"]})
    assert exported.json["template"]["resources"][0]["type"] == "Microsoft.DataFactory/factories"
    for answer in (put, validated, exported):
        assert SECRET.encode() not in answer.body
    assert front.call("DELETE", DEPLOYMENT).status == 204
    assert front.call("DELETE", DEPLOYMENT).status == 204
    assert front.call("GET", DEPLOYMENT).code == "DeploymentNotFound"


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ({}, "properties"),
        (body(mode="Complete"), "Complete mode"),
        (body(template=None, templateLink={"uri": "https://x/y.json"}), "templateLink"),
        (body(template={"resources": "x"}), "resources"),
        (body(parameters={"name": {"value": 3}}), "password"),
        (body(parameters={**PARAMETERS, "name": {"reference": {}}}), "key vault"),
        (body(template={**TEMPLATE, "resources": [SQL_SERVER]}), "Microsoft.Sql/servers"),
    ],
)  # fmt: skip
def test_what_cannot_be_deployed_is_refused_before_anything_is_made(front, given, part):
    for method, path in (("PUT", DEPLOYMENT), ("POST", f"{DEPLOYMENT}/validate"), ("POST", f"{DEPLOYMENT}/whatIf")):
        answer = front.call(method, path, given)
        assert answer.status == 400, answer.body
        assert part in answer.json["error"]["message"]
        assert SECRET.encode() not in answer.body
    assert front.workspace.accounts.names() == []
    assert front.call("GET", DEPLOYMENT).status == 404


def test_a_deployment_that_fails_says_why(front, monkeypatch):
    def fail(*arguments, **named):
        raise BatchError(f"The start task failed with {SECRET}.", code="StartTaskFailed")

    front.workspace.vault.put("value/x", SECRET)
    monkeypatch.setattr(deployments, "deploy", fail)
    front.call("PUT", DEPLOYMENT, body())
    done = finished(front)
    assert done["properties"]["provisioningState"] == "Failed"
    assert done["properties"]["error"]["details"][0]["code"] == "StartTaskFailed"
    assert SECRET not in str(done)


def test_a_deployment_whose_server_ended_is_told_so(front):
    front.call("PUT", DEPLOYMENT, body())
    finished(front)
    front.workspace.database.execute("UPDATE deployments SET state = 'Running'", {})
    other = Front(front.workspace)
    try:
        assert finished(other)["properties"]["error"]["code"] == "DeploymentInterrupted"
    finally:
        other.close()


def test_a_deployment_is_carried_out_once_and_not_kept_in_memory(front, monkeypatch):
    kept, begun, may_end = deployments.Running(), threading.Event(), threading.Event()
    whole = deployments.deploy

    def slow(*arguments, **named):
        begun.set()
        may_end.wait(10)
        return whole(*arguments, **named)

    monkeypatch.setattr(deployments, "running", lambda context: kept)
    monkeypatch.setattr(deployments, "deploy", slow)
    monkeypatch.setattr(deployments, "_QUICK_SECONDS", 0.0)
    assert front.call("PUT", DEPLOYMENT, body()).status == 201
    assert begun.wait(10)
    assert front.call("PUT", DEPLOYMENT, body()).code == "DeploymentActive"
    assert front.call("GET", DEPLOYMENT).json["properties"]["provisioningState"] == "Running"
    may_end.set()
    assert finished(front)["properties"]["provisioningState"] == "Succeeded"
    assert kept.done == {}


def test_a_deployment_that_could_not_be_kept_can_be_tried_again(front, monkeypatch):
    def full(*arguments):
        raise StateError("The disk is full: the state could not be written.", code="DiskFull")

    with monkeypatch.context() as patched:
        patched.setattr(deployments, "_store", full)
        assert front.call("PUT", DEPLOYMENT, body()).status == 507
    assert front.call("PUT", DEPLOYMENT, body()).status == 201


def test_storage_accounts(front):
    assert front.call("GET", STORE).code == "ResourceNotFound"
    wanted = {"location": "local", "kind": "StorageV2", "properties": {"isHnsEnabled": True}}
    made = front.call("PUT", STORE, wanted)
    assert made.json["properties"]["isHnsEnabled"] is True
    assert made.json["properties"]["primaryEndpoints"]["blob"] == "http://127.0.0.1:8080/airdata/"
    assert front.call("PUT", STORE, {"properties": {"isHnsEnabled": False}}).status == 409
    assert front.call("PATCH", STORE, {"tags": {"x": "y"}}).json["tags"] == {"x": "y"}
    assert [each["name"] for each in front.call("GET", STORE.rpartition("/")[0]).json["value"]] == ["airdata"]
    keys = front.call("POST", f"{STORE}/listKeys").json["keys"]
    assert front.workspace.accounts.get("airdata").check_key(keys[0]["value"])
    fresh = front.call("POST", f"{STORE}/regenerateKey", {"keyName": "key1"}).json["keys"]
    assert fresh[0] != keys[0]
    assert fresh[1] == keys[1]
    assert front.call("POST", f"{STORE}/listKeys", token=front.token("author")).status == 403
    box = f"{STORE}/blobServices/default/containers/box"
    assert front.call("PUT", box, {"properties": {"metadata": {"a": "b"}}}).status == 201
    assert front.call("PUT", box, {}).status == 200
    assert front.call("GET", box).json["properties"]["metadata"] == {"a": "b"}
    assert front.call("PATCH", box, {"properties": {"metadata": {}}}).json["properties"]["metadata"] == {}
    for metadata in ({"a": "x\r\nset-cookie: y"}, {"a": "\xe9"}, {"a b": "c"}, {"": "c"}, {"a\n": "c"}):
        refused = front.call("PATCH", box, {"properties": {"metadata": metadata}})
        assert (refused.status, refused.json["error"]["target"]) == (400, "metadata")
    assert front.call("DELETE", box).status == 200
    assert front.call("DELETE", box).status == 204
    assert front.call("GET", box).code == "ContainerNotFound"
    check = f"{SCOPE.partition('/resourceGroups')[0]}/providers/Microsoft.Storage/checkNameAvailability"
    assert front.call("POST", check, {"name": "airdata"}).json["reason"] == "AlreadyExists"
    assert front.call("POST", check, {"name": "A"}).json["reason"] == "AccountNameInvalid"
    assert front.call("POST", check, {"name": "other"}).json == {"nameAvailable": True}
    assert front.call("DELETE", STORE.replace("airdata", "AirData")).status == 200
    assert front.call("DELETE", STORE).status == 204
    again = front.workspace.accounts.create("airdata")
    assert not again.check_key(fresh[0]["value"])


def test_subscriptions_and_providers(front):
    subscription = front.call("GET", "/subscriptions").json["value"][0]
    assert front.call("GET", subscription["id"]).json["state"] == "Enabled"
    assert front.call("GET", "/tenants").json["value"][0]["tenantId"] == subscription["tenantId"]
    assert front.call("GET", f"{subscription['id']}/locations").json["value"][0]["name"] == "local"
    found = {each["namespace"]: each for each in front.call("GET", f"{subscription['id']}/providers").json["value"]}
    kinds = {each["resourceType"] for each in found["Microsoft.DataFactory"]["resourceTypes"]}
    assert {"factories", "factories/pipelines"} <= kinds
    registered = front.call("POST", f"{subscription['id']}/providers/microsoft.batch/register")
    assert registered.json["registrationState"] == "Registered"
    assert front.call("GET", "/providers/Microsoft.Nothing").status == 404
