"""What holds for every operation: who may ask, versions, names of operations, ids, the error body."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from batch_raw_client import RawClient
from kyanite.server.batch.operations import OPERATIONS
from kyanite.server.batch.routing import find_route
from kyanite.server.tokens import Identity, issue_token

NAMES = {
    "poolId": "p",
    "nodeId": "n",
    "jobId": "j",
    "taskId": "t",
    "jobScheduleId": "s",
    "applicationId": "a",
    "userName": "u",
    "extensionName": "e",
    "filePath": "wd/a.txt",
}


def path_of(operation):
    path = re.sub(r"\{(\w+)\}", lambda name: NAMES[name[1]], operation.path)
    return path.replace("certificates(", "certificates(thumbprintAlgorithm=sha1,thumbprint=ab)")


def test_both_keys_open_the_door_and_no_other(server, raw):
    assert raw.call("GET", "/pools").status == 200
    keys = server.context.workspace.batch.keys("Acct")
    raw.key = keys["secondary"]
    assert raw.call("GET", "/pools").status == 200
    raw.key = server.context.workspace.batch.keys("other")["primary"]
    answer = raw.call("GET", "/pools")
    assert (answer.status, answer.code) == (403, "AuthenticationFailed")
    told = answer.body.decode()
    assert "string to sign" in told
    assert not [key for key in keys.values() if key in told]


def test_the_bare_address_serves_the_account_that_signs(server, raw):
    key = raw.key
    with RawClient(server.http_url, "acct", key) as bare:
        assert bare.call("GET", "/pools").json["odata.metadata"] == f"{server.http_url}/$metadata#pools"
    with RawClient(server.http_url, "nobody", key) as bare:
        assert bare.call("GET", "/pools").code == "AuthenticationFailed"


def test_a_signature_for_one_account_does_not_open_another(server, raw):
    with RawClient(f"{server.http_url}/batch/other", "Acct", raw.key) as other:
        assert other.call("GET", "/pools").code == "AuthenticationFailed"


@pytest.mark.parametrize("minutes", [-16, 16])
def test_a_replay_is_refused(raw, minutes):
    answer = raw.call("GET", "/pools", at=datetime.now(UTC) + timedelta(minutes=minutes))
    assert (answer.status, answer.code) == (403, "AuthenticationFailed")


@pytest.mark.parametrize(
    ("header", "status", "code"),
    [
        ("", 403, "AuthenticationFailed"),
        ("Basic YTpi", 400, "InvalidAuthenticationInfo"),
        ("SharedKey acct", 400, "InvalidAuthenticationInfo"),
        ("SharedKey acct:!!!", 403, "AuthenticationFailed"),
        ("SharedKey acct:" + "A" * 44, 403, "AuthenticationFailed"),
        ("Bearer abc.def.ghi", 401, "InvalidAuthenticationToken"),
        ("Bearer ", 401, "InvalidAuthenticationToken"),
    ],
)
def test_strangers_get_nothing(raw, header, status, code):
    answer = raw.call("GET", "/pools", headers={"authorization": header})
    assert (answer.status, answer.code) == (status, code)


def test_a_token_of_this_workspace_does_what_its_role_allows(server, raw):
    vault = server.context.workspace.vault

    def bearer(role):
        identity = Identity("someone", "workload", frozenset({role}))
        now = datetime.now(UTC)
        token = issue_token(vault, identity, audience="https://batch.core.windows.net/", seconds=60, now=now)
        return {"authorization": f"Bearer {token}"}

    assert raw.call("GET", "/pools", headers=bearer("reader")).status == 200
    refused = raw.call("POST", "/jobs", {"id": "j"}, headers=bearer("reader"))
    assert (refused.status, refused.code) == (403, "Forbidden")
    assert raw.call("POST", "/jobs", {}, headers=bearer("author")).code == "MissingRequiredProperty"
    assert raw.call("POST", "/jobs/none/terminate", headers=bearer("operator")).code == "JobNotFound"


@pytest.mark.parametrize("version", ["2025-06-01", "2024-07-01.20.0", "2024-02-01.19.0", "2019-08-01.10.0"])
def test_any_sensible_version_is_spoken(raw, version):
    assert raw.call("GET", "/pools", version=version).status == 200


def test_the_version_is_required_and_looks_like_one(raw):
    missing = raw.call("GET", "/pools", version=None)
    assert (missing.status, missing.code) == (400, "MissingRequiredQueryParameter")
    assert raw.call("GET", "/pools", version="new").code == "InvalidQueryParameterValue"


def test_unknown_query_parameters_are_refused_by_name(raw):
    answer = raw.call("GET", "/pools", query={"$orderby": "id"})
    assert (answer.status, answer.code) == (400, "UnsupportedQueryParameter")
    assert {"key": "QueryParameterName", "value": "$orderby"} in answer.json["values"]


def test_query_names_are_taken_in_any_case(raw):
    assert raw.call("GET", "/pools", query={"MaxResults": "5", "timeOut": "30"}).status == 200


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"maxresults": "0"}, "OutOfRangeQueryParameterValue"),
        ({"maxresults": "1001"}, "OutOfRangeQueryParameterValue"),
        ({"maxresults": "ten"}, "InvalidQueryParameterValue"),
        ({"$filter": "state like 'x'"}, "InvalidQueryParameterValue"),
        ({"$expand": "tasks"}, "InvalidQueryParameterValue"),
        ({"$select": "id,$x"}, "InvalidQueryParameterValue"),
        ({"$skiptoken": "guess"}, "InvalidQueryParameterValue"),
        ({"timeout": "soon"}, "InvalidQueryParameterValue"),
    ],
)
def test_odd_options_are_told_with_their_name(raw, query, code):
    answer = raw.call("GET", "/pools", query=query)
    assert (answer.status, answer.code) == (400, code)
    assert answer.json["values"][0] == {"key": "QueryParameterName", "value": next(iter(query))}


def test_two_conditions_at_once_are_refused(raw):
    answer = raw.call("DELETE", "/pools/p", headers={"if-match": "*", "if-none-match": "*"})
    assert (answer.status, answer.code) == (400, "MultipleConditionHeadersNotSupported")


def test_the_error_body_is_the_service_s(raw):
    answer = raw.call("GET", "/pools/none")
    assert answer.status == 404
    assert answer.headers["content-type"] == "application/json;odata=minimalmetadata"
    assert answer.json["code"] == "PoolNotFound"
    assert answer.json["message"]["lang"] == "en-US"
    text = answer.json["message"]["value"].split("\n")
    assert text[1] == f"RequestId:{answer.headers['request-id']}"
    assert re.fullmatch(r"Time:\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z", text[2])


def test_ids_are_given_and_echoed_when_asked_for(raw):
    asked = raw.call("GET", "/pools", headers={"client-request-id": "abc", "return-client-request-id": "true"})
    assert asked.headers["client-request-id"] == "abc"
    assert re.fullmatch(r"[0-9a-f-]{36}", asked.headers["request-id"])
    assert asked.headers["dataserviceversion"] == "3.0"
    assert "client-request-id" not in raw.call("GET", "/pools", headers={"client-request-id": "abc"}).headers


def test_a_head_that_fails_has_no_body(raw):
    answer = raw.call("HEAD", "/pools/none")
    assert (answer.status, answer.body) == (404, b"")


def test_paths_and_methods_that_are_not_there(raw):
    assert raw.call("GET", "/nothing").status == 404
    assert raw.call("GET", "/").code == "ResourceNotFound"
    wrong = raw.call("PUT", "/pools/p")
    assert (wrong.status, wrong.code) == (405, "UnsupportedHttpVerb")


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_every_operation_is_found_by_its_path_in_any_case(operation):
    path = path_of(operation)
    assert find_route(operation.method, path).operation is operation
    words = "".join(part.upper() if part in path.split("/")[1::2] else part for part in re.split(r"(/)", path))
    assert find_route(operation.method, f"/{words}").operation is operation


@pytest.mark.parametrize(
    "operation", [each for each in OPERATIONS if each.handler is None], ids=lambda operation: operation.name
)
def test_what_is_not_there_is_refused_by_name(raw, operation):
    answer = raw.call(operation.method, path_of(operation))
    assert (answer.status, answer.code) == (501, "NotImplemented")
    assert {"key": "Operation", "value": operation.name} in answer.json["values"]
    assert operation.reason


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "InvalidRequestBody"),
        (b"[]", "InvalidRequestBody"),
        (b'"text"', "InvalidRequestBody"),
        (b"\xff\xfe", "InvalidRequestBody"),
        (b'{"id": NaN}', "InvalidRequestBody"),
        (b'{"id": "\\ud800"}', "InvalidRequestBody"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "InvalidRequestBody"),
        (b'{"a":[' + b"[" * 100 + b"]" * 100 + b"]}", "InvalidRequestBody"),
        (b"[" * 100_000, "InvalidRequestBody"),
        (json.dumps({"a": [0] * 200_000}).encode(), "InvalidRequestBody"),
        (b"{}", "MissingRequiredProperty"),
    ],
)
def test_bodies_that_cannot_be_read(raw, body, code):
    answer = raw.call("POST", "/jobs", body)
    assert (answer.status, answer.code) == (400, code)


def test_a_body_beyond_the_limit_is_refused(raw):
    answer = raw.call("POST", "/jobs", b'{"id":"' + b"a" * (4 * 1024 * 1024) + b'"}')
    assert (answer.status, answer.code) == (413, "RequestBodyTooLarge")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "json"])
def test_a_body_of_another_type_is_refused(raw, kind):
    answer = raw.call("POST", "/jobs", {"id": "j"}, headers={"content-type": kind})
    assert (answer.status, answer.code) == (400, "InvalidHeaderValue")


def test_pages_of_other_sites_cannot_post(raw):
    answer = raw.call("POST", "/jobs", {"id": "j"}, headers={"origin": "http://evil.example"})
    assert answer.status == 403
