"""Tokens of pages, conditions of requests, routes: what needs no service."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kyanite.batch.conditions import NO_CONDITIONS, Conditions
from kyanite.errors import BatchError
from kyanite.server.batch.filters import read_moment
from kyanite.server.batch.options import check_read, make_token, read_conditions, read_token
from kyanite.server.batch.protocol import NotModified, parse_json
from kyanite.server.batch.routing import find_route

DOCUMENT = {"eTag": "0x8D1", "lastModified": "2026-01-02T03:04:05.678Z"}
SAME, LATER, EARLIER = (f"Fri, 02 Jan 2026 03:04:0{second} GMT" for second in (5, 6, 4))


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=100))
def test_a_token_leads_back_to_its_place(cursor):
    assert read_token(make_token(cursor)) == cursor


@given(st.text(min_size=1, max_size=50))
def test_any_other_text_is_refused(text):
    try:
        cursor = read_token(text)
    except BatchError as error:
        assert error.error_code == "InvalidQueryParameterValue"
        return
    assert cursor is not None


@pytest.mark.parametrize(
    ("header", "value", "outcome"),
    [
        ("if-match", '"0x8D1"', "ok"),
        ("if-match", "0x8D1", "ok"),
        ("if-match", 'W/"0x8D1"', "ok"),
        ("if-match", "*", "ok"),
        ("if-match", '"0x8D2"', "ConditionNotMet"),
        ("if-none-match", '"0x8D1"', "not modified"),
        ("if-none-match", "*", "not modified"),
        ("if-none-match", '"0x8D2"', "ok"),
        ("if-modified-since", EARLIER, "ok"),
        ("if-modified-since", SAME, "not modified"),
        ("if-modified-since", LATER, "not modified"),
        ("if-unmodified-since", SAME, "ok"),
        ("if-unmodified-since", EARLIER, "ConditionNotMet"),
    ],
)
def test_conditions_of_a_read(header, value, outcome):
    conditions = read_conditions({header: value})
    if outcome == "ok":
        check_read(conditions, DOCUMENT)
        return
    with pytest.raises(BatchError) as caught:
        check_read(conditions, DOCUMENT)
    assert isinstance(caught.value, NotModified) is (outcome == "not modified")
    assert caught.value.error_code == "ConditionNotMet"


def test_conditions_that_cannot_be_read():
    assert read_conditions({"if-match": ""}) == NO_CONDITIONS
    with pytest.raises(BatchError) as caught:
        read_conditions({"if-match": "*", "if-modified-since": SAME})
    assert caught.value.error_code == "MultipleConditionHeadersNotSupported"
    with pytest.raises(BatchError) as caught:
        read_conditions({"if-modified-since": "soon"})
    assert caught.value.error_code == "InvalidHeaderValue"


def test_a_change_is_refused_when_the_version_moved():
    moment = read_moment(DOCUMENT["lastModified"])
    Conditions(if_match="0x8D1").check("0x8D1", moment)
    with pytest.raises(BatchError):
        Conditions(if_match="0x8D0").check("0x8D1", moment)


@pytest.mark.parametrize(
    ("path", "name", "parameters"),
    [
        ("/pools/p1", "Pool_Get", {"poolId": "p1"}),
        ("//pools//p1/", "Pool_Get", {"poolId": "p1"}),
        ("/Pools/P%31", "Pool_Get", {"poolId": "P1"}),
        ("/jobs/s%3Ajob-1", "Job_Get", {"jobId": "s:job-1"}),
        (
            "/jobs/j/tasks/t/files/wd%2Fa%20b/c",
            "File_GetFromTask",
            {"jobId": "j", "taskId": "t", "filePath": "wd/a b/c"},
        ),
        ("/jobs/j/tasks/t/files//etc", "File_GetFromTask", {"jobId": "j", "taskId": "t", "filePath": "/etc"}),
        ("/jobs/j/tasks/t/files/%252e", "File_GetFromTask", {"jobId": "j", "taskId": "t", "filePath": "%2e"}),
        ("/jobs/j/tasks/t/files", "File_ListFromTask", {"jobId": "j", "taskId": "t"}),
        ("/jobs/j/tasks/t/files/", "File_ListFromTask", {"jobId": "j", "taskId": "t"}),
        ("/certificates(thumbprintAlgorithm=sha1,thumbprint=ff)", "Certificate_Get", {}),
    ],
)
def test_routes(path, name, parameters):
    route = find_route("GET", path)
    assert (route.operation.name, dict(route.parameters)) == (name, parameters)


@given(st.text("/abpoolsjtk%2FE.:", max_size=40))
def test_any_path_has_a_route_or_is_refused(path):
    try:
        find_route("GET", path)
    except BatchError as error:
        assert error.error_code in ("ResourceNotFound", "UnsupportedHttpVerb")


@given(st.binary(max_size=60) | st.text('{}[]",:0e1 nultrefas\\u', max_size=60).map(str.encode))
def test_any_body_is_an_object_or_refused(data):
    try:
        assert isinstance(parse_json(data), dict)
    except BatchError as error:
        assert error.error_code == "InvalidRequestBody"
