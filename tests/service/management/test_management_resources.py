"""Documents over the management API: envelopes, ETags, pages, secrets that come back hidden, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kyanite import limits
from management_kit import BLOB, DATASET, FACTORY, PIPELINE, SCHEDULE, SCOPE, Front

ASTERISKS = {"type": "SecureString", "value": "**********"}
SECRET = "c2VjcmV0LWtleS1vZi1hY2N0"


def file_of(front: Front, path: str) -> str:
    return (front.workspace.home / "factories" / "airline" / path).read_text("utf-8")


def test_a_factory_has_the_services_envelope(airline: Front) -> None:
    answer = airline.get(FACTORY)
    assert {key: answer.json[key] for key in ("name", "type", "location", "id", "tags")} == {
        "name": "airline",
        "type": "Microsoft.DataFactory/factories",
        "location": "local",
        "id": FACTORY,
        "tags": {},
    }
    properties = answer.json["properties"]
    assert (properties["provisioningState"], properties["version"]) == ("Succeeded", "2018-06-01")
    assert properties["createTime"].endswith("0Z") and len(properties["createTime"]) == 28
    assert airline.get(FACTORY.replace("airline", "AIRLINE")).json["properties"] == properties
    for tag in (answer.headers["etag"], f"W/{answer.headers['etag']}", '"x", ' + answer.headers["etag"]):
        assert airline.get(FACTORY, headers={"if-none-match": tag}).status == 304
    changed = airline.call("PATCH", FACTORY, {"tags": {"team": "x"}, "properties": {"publicNetworkAccess": "Disabled"}})
    assert (changed.json["tags"], changed.json["properties"]["publicNetworkAccess"]) == ({"team": "x"}, "Disabled")
    assert changed.json["eTag"] != answer.json["eTag"]
    assert airline.get(f"{FACTORY}/pipelines/P").status == 200


def test_factories_are_listed_and_deleted(airline: Front) -> None:
    for path in (
        f"{SCOPE}/providers/Microsoft.DataFactory/factories",
        "/subscriptions/s/providers/microsoft.datafactory/factories",
    ):
        assert [each["name"] for each in airline.get(path).json["value"]] == ["airline"]
    assert airline.delete(FACTORY).status == 200
    assert airline.delete(FACTORY).status == 204
    gone = airline.get(f"{FACTORY}/pipelines/P")
    assert (gone.status, gone.code) == (404, "FactoryNotFound")
    assert airline.workspace.factories() == []


@pytest.mark.parametrize("name", ["ab", "a" * 64, "a_b", "-ab", "a--b", "a%2Fb", "..", "%2e%2e", "a%00b", "äöü"])
def test_a_name_that_data_factory_would_refuse_is_no_factory(front: Front, name: str) -> None:
    answer = front.put(f"{SCOPE}/providers/Microsoft.DataFactory/factories/{name}", {"location": "local"})
    assert (answer.status, answer.code) == (400, "InvalidFactoryName")
    assert front.workspace.factories() == []


@pytest.mark.parametrize("name", ["%2e%2e%2fP", "a%2Fb", "a%5Cb", "a%00b", "a.b", "%20a", "a" * 261, "a%0Ab", "a%3Fb"])
def test_a_name_that_is_no_file_is_refused(airline: Front, name: str) -> None:
    for segment in ("pipelines", "datasets", "credentials", "dataflows"):
        answer = airline.put(f"{FACTORY}/{segment}/{name}", PIPELINE)
        assert (answer.status, answer.code) == (400, "BadRequest"), answer.body
    assert sorted(path.name for path in (airline.workspace.home / "factories").rglob("*.json")) == [
        "P.json",
        "airline.json",
    ]


def test_a_document_is_written_pretty_and_in_its_own_order(airline: Front) -> None:
    folder = airline.workspace.home / "factories" / "airline" / "pipeline"
    file = folder / "P.json"
    tabbed = json.dumps({"type": "x", "name": "P", "properties": {"variables": {}, "activities": []}}, indent="\t")
    file.write_text(tabbed, "utf-8")
    document = {"properties": {"activities": [], "description": "new", "variables": {}}}
    assert airline.put(f"{FACTORY}/pipelines/p", document).json["name"] == "P"
    wanted = {"type": "x", "name": "P", "properties": {"variables": {}, "activities": [], "description": "new"}}
    assert file.read_text("utf-8") == json.dumps(wanted, indent="\t")
    before = file.stat().st_mtime_ns
    assert airline.put(f"{FACTORY}/pipelines/P", document).status == 200
    assert file.stat().st_mtime_ns == before
    assert [path.name for path in folder.iterdir()] == ["P.json"]


def test_a_change_of_a_file_by_somebody_else_is_seen(airline: Front) -> None:
    etag = airline.get(f"{FACTORY}/pipelines/P").headers["etag"]
    file = airline.workspace.home / "factories" / "airline" / "pipeline" / "P.json"
    document = json.loads(file.read_text("utf-8"))
    document["properties"]["description"] = "by hand"
    file.write_text(json.dumps(document), "utf-8")
    (file.parent / "Other.json").write_text('{"name": "Other", "properties": {"activities": []}}', "utf-8")
    for _ in range(200):
        answer = airline.get(f"{FACTORY}/pipelines/P")
        if answer.headers["etag"] != etag:
            break
    assert answer.json["properties"]["description"] == "by hand"
    assert airline.get(f"{FACTORY}/pipelines/Other").status == 200


def test_etags_guard_reads_and_writes(airline: Front) -> None:
    path = f"{FACTORY}/pipelines/P"
    first = airline.get(path)
    assert first.headers["etag"] == f'"{first.json["etag"]}"'
    assert airline.get(path, headers={"if-none-match": first.headers["etag"]}).status == 304
    assert airline.get(path, headers={"if-none-match": '"other"'}).status == 200
    changed = {"properties": {**PIPELINE["properties"], "description": "new"}}
    wrong = airline.put(path, changed, headers={"if-match": '"other"'})
    assert (wrong.status, wrong.code) == (412, "PreconditionFailed")
    assert airline.put(path, changed, headers={"if-none-match": "*"}).status == 412
    assert airline.put(f"{FACTORY}/pipelines/New", changed, headers={"if-match": "*"}).status == 412
    right = airline.put(path, changed, headers={"if-match": first.headers["etag"]})
    assert right.status == 200
    assert right.json["etag"] != first.json["etag"]
    assert airline.get(path, headers={"if-none-match": first.headers["etag"]}).status == 200


def test_lists_page_by_links_to_this_server(airline: Front) -> None:
    names = [f"Q{number:03}" for number in range(limits.MANAGEMENT_PAGE + 20)]
    folder = airline.workspace.home / "factories" / "airline" / "pipeline"
    for name in names:
        (folder / f"{name}.json").write_text(json.dumps({"name": name, "properties": {"activities": []}}), "utf-8")
    airline.put(f"{FACTORY}/pipelines/P", {"properties": {"activities": []}})
    first = airline.get(f"{FACTORY}/pipelines").json
    assert len(first["value"]) == limits.MANAGEMENT_PAGE
    assert first["nextLink"].startswith("http://127.0.0.1:8080/subscriptions/")
    second = airline.get(first["nextLink"].removeprefix("http://127.0.0.1:8080")).json
    assert "nextLink" not in second
    assert [each["name"] for each in first["value"] + second["value"]] == sorted(["P", *names])


def test_a_secret_is_hidden_sealed_and_kept(airline: Front) -> None:
    path = f"{FACTORY}/linkedservices/Store"
    made = airline.put(path, BLOB)
    assert made.json["properties"]["typeProperties"]["connectionString"] == ASTERISKS
    assert SECRET not in file_of(airline, "linkedService/Store.json")
    assert "~secret:" in file_of(airline, "linkedService/Store.json")
    etag = made.json["etag"]
    for hidden in (
        ASTERISKS,
        {"type": "SecureString"},
        {"type": "SecureString", "value": None},
        {"type": "SecureString", "value": ""},
    ):
        back = {"properties": {"type": "AzureBlobStorage", "typeProperties": {"connectionString": hidden}}}
        assert airline.put(path, back).json["etag"] == etag, hidden
    live = airline.workspace.factory("airline").linked_services["Store"]
    assert live.type_properties["connectionString"]["value"].endswith(SECRET)


def test_asterisks_without_an_old_value_and_short_secrets_are_refused(airline: Front) -> None:
    for value, what in (("***", "asterisks"), ("abc", "6 characters")):
        document = json.loads(json.dumps(BLOB))
        document["properties"]["typeProperties"]["connectionString"]["value"] = value
        answer = airline.put(f"{FACTORY}/linkedservices/New", document)
        assert answer.status == 400
        assert what in answer.json["error"]["message"]
    assert not (airline.workspace.home / "factories" / "airline" / "linkedService").exists()


def test_a_plain_connection_string_is_masked_and_kept_too(airline: Front) -> None:
    text = f"DefaultEndpointsProtocol=https;AccountName=acct;AccountKey={SECRET}"
    document = {"properties": {"type": "AzureBlobStorage", "typeProperties": {"connectionString": text}}}
    shown = airline.put(f"{FACTORY}/linkedservices/Store", document).json["properties"]
    assert shown["typeProperties"]["connectionString"].endswith("AccountKey=***")
    shown["description"] = "put back as it was read"
    airline.put(f"{FACTORY}/linkedservices/Store", {"properties": shown})
    kept = airline.workspace.factory("airline").linked_services["Store"]
    assert kept.type_properties["connectionString"] == text
    assert kept.properties["description"] == "put back as it was read"


def test_the_default_of_a_secure_parameter_is_a_secret(airline: Front) -> None:
    document = json.loads(json.dumps(PIPELINE))
    document["properties"]["parameters"]["key"] = {"type": "SecureString", "defaultValue": "a-secret-default"}
    shown = airline.put(f"{FACTORY}/pipelines/P", document).json["properties"]
    assert shown["parameters"]["key"]["defaultValue"] == "**********"
    assert "a-secret-default" not in file_of(airline, "pipeline/P.json")
    airline.put(f"{FACTORY}/pipelines/P", {"properties": shown})
    assert airline.workspace.factory("airline").pipelines["P"].parameters["key"].default == "a-secret-default"


def test_secrets_of_activities_follow_their_names(airline: Front) -> None:
    def web(name: str, secret: object) -> dict[str, object]:
        headers = {"Authorization": {"type": "SecureString", "value": secret}}
        return {
            "name": name,
            "type": "WebActivity",
            "typeProperties": {"method": "GET", "url": "http://127.0.0.1:1/", "headers": headers},
        }

    def put(activities: list[dict[str, object]]) -> None:
        assert airline.put(f"{FACTORY}/pipelines/W", {"properties": {"activities": activities}}).status == 200

    put([web("first", "secret-of-the-first"), web("second", "secret-of-the-second")])
    put([web("second", "**********"), web("first", "**********")])
    kept = airline.workspace.factory("airline").pipelines["W"].activities
    values = {each.name: each.type_properties["headers"]["Authorization"]["value"] for each in kept}
    assert values == {"first": "secret-of-the-first", "second": "secret-of-the-second"}


def test_a_reference_to_nothing_is_refused_in_the_services_words(airline: Front) -> None:
    answer = airline.put(f"{FACTORY}/datasets/D", DATASET)
    assert (answer.status, answer.code) == (400, "BadRequest")
    error = answer.json["error"]
    assert error["message"] == "The document creation or update failed because of invalid reference 'Store'."
    assert error["target"] == f"{FACTORY}/datasets/D"
    assert error["details"] == []


def test_what_is_wrong_in_a_pipeline_is_told_with_its_place(airline: Front) -> None:
    activities = [
        {"name": "a", "type": "Wait", "typeProperties": {"waitTimeInSeconds": "@nofunction(1)"}},
        {
            "name": "b",
            "type": "Wait",
            "typeProperties": {},
            "dependsOn": [{"activity": "x", "dependencyConditions": []}],
        },
    ]
    error = airline.put(f"{FACTORY}/pipelines/B", {"properties": {"activities": activities}}).json["error"]
    assert error["code"] == "BadRequest"
    messages = " ".join(detail["message"] for detail in error["details"])
    assert "nofunction" in messages and "waitTimeInSeconds" in messages and "'x'" in messages
    assert airline.get(f"{FACTORY}/pipelines/B").status == 404


def test_kinds_that_are_not_run_are_stored_with_a_warning(airline: Front) -> None:
    document = {
        "properties": {"activities": [{"name": "d", "type": "ExecuteDataFlow", "typeProperties": {"dataFlow": {}}}]}
    }
    answer = airline.put(f"{FACTORY}/pipelines/Flow", document)
    assert answer.status == 200
    assert "ExecuteDataFlow" in answer.headers["warning"]
    flow = {"properties": {"type": "MappingDataFlow", "typeProperties": {"scriptLines": ["x"]}}}
    assert airline.put(f"{FACTORY}/dataflows/Flow", flow).json["properties"] == flow["properties"]
    refused = airline.post(f"{FACTORY}/pipelines/Flow/createRun")
    assert refused.status == 400
    assert "ExecuteDataFlow" in refused.json["error"]["message"]


@pytest.mark.parametrize(
    ("path", "properties"),
    [
        ("credentials/C", {"type": "ManagedIdentity", "typeProperties": {}}),
        ("integrationRuntimes/R", {"type": "Managed"}),
        ("managedVirtualNetworks/default", {"preventDataExfiltration": False}),
        ("managedVirtualNetworks/default/managedPrivateEndpoints/E", {"groupId": "blob"}),
        ("adfcdcs/C", {"policy": {}}),
    ],
)
def test_other_kinds_are_kept(airline: Front, path: str, properties: dict[str, object]) -> None:
    full = f"{FACTORY}/{path}"
    made = airline.put(full, {"properties": properties})
    assert made.json["id"] == full
    assert made.json["name"] == path.rpartition("/")[2]
    assert airline.get(full).json["properties"] == properties
    assert [each["id"] for each in airline.get(full.rpartition("/")[0]).json["value"]] == [full]
    assert airline.delete(full).status == 200
    assert airline.delete(full).status == 204
    assert airline.get(full).status == 404


def test_global_parameters_are_one_document(airline: Front) -> None:
    path = f"{FACTORY}/globalParameters/default"
    assert airline.get(f"{FACTORY}/globalParameters").json == {"value": []}
    assert airline.get(path).status == 404
    properties = {"region": {"type": "String", "value": "eu"}}
    assert airline.put(path, {"properties": properties}).json["properties"] == properties
    assert airline.workspace.factory("airline").global_parameters == {"region": "eu"}
    assert len(airline.get(f"{FACTORY}/globalParameters").json["value"]) == 1
    assert airline.put(path, {"properties": {"x": 1}}).status == 400
    assert airline.put(f"{FACTORY}/globalParameters/other", {"properties": properties}).status == 400
    assert airline.delete(path).status == 200
    assert airline.workspace.factory("airline").global_parameters == {}


def test_what_others_refer_to_cannot_be_deleted(airline: Front) -> None:
    airline.put(f"{FACTORY}/linkedservices/Store", BLOB)
    assert airline.put(f"{FACTORY}/datasets/D", DATASET).status == 200
    refused = airline.delete(f"{FACTORY}/linkedservices/store")
    assert refused.status == 400
    assert "referenced by dataset 'D'" in refused.json["error"]["message"]
    assert airline.delete(f"{FACTORY}/datasets/D").status == 200
    assert airline.delete(f"{FACTORY}/linkedservices/store").status == 200
    assert not (airline.workspace.home / "factories" / "airline" / "linkedService" / "Store.json").exists()


def test_a_started_trigger_is_neither_changed_nor_deleted(airline: Front) -> None:
    path = f"{FACTORY}/triggers/Every"
    assert airline.put(path, SCHEDULE).json["properties"]["runtimeState"] == "Stopped"
    started = airline.post(f"{path}/start")
    assert (started.status, started.body) == (200, b"")
    shown = airline.get(path).json
    assert shown["properties"]["runtimeState"] == "Started"
    for answer in (airline.put(path, SCHEDULE), airline.delete(path)):
        assert (answer.status, answer.code) == (400, "TriggerEnabledCannotUpdate")
    assert airline.post(f"{path}/stop").status == 200
    assert airline.put(path, {"properties": shown["properties"]}).json["properties"]["runtimeState"] == "Stopped"
    assert "runtimeState" not in file_of(airline, "trigger/Every.json")
    assert airline.delete(path).status == 200


def test_what_the_studio_asks_is_answered(airline: Front) -> None:
    access = airline.post(f"{FACTORY}/getDataPlaneAccess", {"permissions": "r"}).json
    assert access["dataPlaneUrl"] == "http://127.0.0.1:8080/"
    assert airline.post(f"{FACTORY}/getFeatureValue", {"featureName": "x"}).json == {
        "featureName": "x",
        "value": "False",
    }
    asked = {"exposureControlRequests": [{"featureName": "a"}, {"featureName": "b"}]}
    answers = airline.post(f"{FACTORY}/queryFeaturesValue", asked).json["exposureControlResponses"]
    assert answers == [{"featureName": "a", "value": "False"}, {"featureName": "b", "value": "False"}]
    github = airline.post(f"{FACTORY}/getGitHubAccessToken", {})
    assert (github.status, github.code) == (501, "NotSupported")
    runtime = airline.post(f"{FACTORY}/integrationRuntimes/AutoResolveIntegrationRuntime/getStatus").json
    assert (runtime["properties"]["state"], runtime["properties"]["dataFactoryName"]) == ("Online", "airline")
    assert airline.post(f"{FACTORY}/integrationRuntimes/Missing/getStatus").status == 404
    operations = airline.get("/providers/Microsoft.DataFactory/operations").json["value"]
    assert "Microsoft.DataFactory/Pipelines/CreateRun" in {each["name"] for each in operations}


def test_a_linked_folder_is_written_without_secrets(front: Front, tmp_path: Path) -> None:
    from kyanite.runtime.factory_folder import link_factory

    folder = tmp_path / "repository"
    (folder / "pipeline").mkdir(parents=True)
    (folder / "pipeline" / "P.json").write_text(json.dumps({"name": "P", **PIPELINE}, indent=4), "utf-8")
    assert link_factory(front.workspace, folder, "airline") == "airline"
    assert front.get(f"{FACTORY}/pipelines/P").status == 200
    front.put(f"{FACTORY}/linkedservices/Store", BLOB)
    text = (folder / "linkedService" / "Store.json").read_text("utf-8")
    assert SECRET not in text and "~secret:" in text
    assert link_factory(front.workspace, folder, "airline") == "airline"
    assert front.delete(FACTORY).status == 200
    assert (folder / "pipeline" / "P.json").exists()
    assert front.workspace.factories() == []


def test_what_the_server_remembers_is_what_the_files_say(airline: Front) -> None:
    documents = {
        "linkedservices/Store": BLOB,
        "datasets/D": DATASET,
        "triggers/T": SCHEDULE,
        "credentials/C": {"properties": {"type": "ManagedIdentity"}},
        "managedVirtualNetworks/default": {"properties": {}},
        "managedVirtualNetworks/default/managedPrivateEndpoints/E": {"properties": {"groupId": "blob"}},
        "globalParameters/default": {"properties": {"region": {"type": "String", "value": "eu"}}},
    }
    steps = [*documents, "datasets/D", "globalParameters/default", "credentials/C"]
    done: set[str] = set()
    for path in steps:
        if path in done:
            assert airline.delete(f"{FACTORY}/{path}").status == 200
        else:
            assert airline.put(f"{FACTORY}/{path}", documents[path]).status == 200
            done.add(path)
        remembered = airline.get(f"{FACTORY}/pipelines").json, airline.get(FACTORY).json
        etags = {
            each: airline.get(f"{FACTORY}/{each}").headers.get("etag") for each in documents if "globals" not in each
        }
        other = Front(airline.workspace)
        assert (other.get(f"{FACTORY}/pipelines").json, other.get(FACTORY).json) == remembered
        assert {each: other.get(f"{FACTORY}/{each}").headers.get("etag") for each in etags} == etags
        other.close()
