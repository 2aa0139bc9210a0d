"""Signatures of the Batch service, against requests that the official clients signed."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kyanite.errors import BatchError
from kyanite.server.batch.shared_key import Signed, check_signature, read_authorization, sign, string_to_sign
from kyanite.server.http import Query

RECORDED = json.loads(
    (Path(__file__).resolve().parents[2] / "fixtures" / "batch" / "signed_requests.json").read_text("utf-8")
)
KEY = base64.b64encode(bytes(range(64))).decode()  # the one with which they were recorded
OTHER = base64.b64encode(bytes(64)).decode()
NOW = datetime(2026, 11, 22, 22, 59, 30, tzinfo=UTC)


def signed(recorded, **headers):
    path, _, query = recorded["target"].partition("?")
    kept = {name: value for name, value in {**recorded["headers"], **headers}.items() if value is not None}
    return Signed(recorded["method"], path, kept, Query(query).pairs)


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda each: f"{each['client']} {each['method']} {each['target']}")
def test_what_official_clients_sign_is_accepted_under_either_key(recorded):
    check_signature(signed(recorded), [KEY, OTHER], NOW)
    check_signature(signed(recorded), [OTHER, KEY], NOW)


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda each: f"{each['client']} {each['method']} {each['target']}")
def test_every_signed_part_matters(recorded):
    request = signed(recorded)
    changed = [
        Signed("OPTIONS", request.raw_path, request.headers, request.query),
        Signed(request.method, request.raw_path + "/", request.headers, request.query),
        Signed(request.method, request.raw_path, request.headers, [*request.query, ("more", "1")]),
        Signed(request.method, request.raw_path, request.headers, request.query[1:]),
        signed(recorded, **{"content-type": "text/plain"}),
        signed(recorded, **{"ocp-range": "bytes=1-2"}),
        signed(recorded, **{"if-none-match": "*"}),
        signed(recorded, range="bytes=0-1"),
    ]
    for each in changed:
        with pytest.raises(BatchError) as caught:
            check_signature(each, [KEY], NOW)
        assert caught.value.error_code == "AuthenticationFailed"


def test_the_path_is_signed_as_sent_not_decoded():
    recorded = next(each for each in RECORDED if "wd%2F" in each["target"])
    request = signed(recorded)
    decoded = Signed(request.method, request.raw_path.replace("%2F", "/"), request.headers, request.query)
    with pytest.raises(BatchError):
        check_signature(decoded, [KEY], NOW)


def test_a_refusal_quotes_the_string_to_sign_and_tells_neither_key_nor_signature():
    request = signed(RECORDED[0])
    with pytest.raises(BatchError) as caught:
        check_signature(request, [OTHER], NOW)
    told = json.dumps([str(caught.value), caught.value.values])
    text = string_to_sign(request, "acct")
    assert dict(caught.value.values)["AuthenticationErrorDetail"].endswith(f"'{text}'.")
    assert OTHER not in told
    assert sign(OTHER, text) not in told


@pytest.mark.parametrize("minutes", [-14.9, 14.9])
def test_a_request_within_fifteen_minutes_is_taken(minutes):
    sent = datetime(2026, 11, 22, 22, 59, 24, tzinfo=UTC)
    check_signature(signed(RECORDED[0]), [KEY], sent + timedelta(minutes=minutes))


@pytest.mark.parametrize("minutes", [-15.1, 15.1, 10_000_000])
def test_a_replay_outside_fifteen_minutes_is_refused(minutes):
    sent = datetime(2026, 11, 22, 22, 59, 24, tzinfo=UTC)
    with pytest.raises(BatchError, match="authenticate") as caught:
        check_signature(signed(RECORDED[0]), [KEY], sent + timedelta(minutes=minutes))
    assert caught.value.error_code == "AuthenticationFailed"
    assert "15 minutes" in caught.value.values[0][1]


@pytest.mark.parametrize("date", [None, "", "yesterday", "22/11/2026", "Sun, 99 Nov 2026 22:59:24 GMT", "9" * 5000])
def test_a_request_without_a_readable_date_is_refused(date):
    with pytest.raises(BatchError) as caught:
        check_signature(signed(RECORDED[0], **{"ocp-date": date}), [KEY], NOW)
    assert caught.value.error_code == "AuthenticationFailed"


def test_the_date_header_serves_where_there_is_no_ocp_date():
    headers = {"date": "Sun, 22 Nov 2026 22:59:24 GMT"}
    request = Signed("GET", "/pools", headers, [("api-version", "2025-06-01")])
    text = string_to_sign(request, "acct")
    assert "\nSun, 22 Nov 2026 22:59:24 GMT\n" in text
    headers["authorization"] = f"SharedKey acct:{sign(KEY, text)}"
    check_signature(request, [KEY], NOW)


def test_query_names_may_be_signed_in_lower_case():
    headers = {"ocp-date": "Sun, 22 Nov 2026 22:59:24 GMT"}
    request = Signed("GET", "/pools", headers, [("timeOut", "30"), ("api-version", "2025-06-01")])
    headers["authorization"] = f"SharedKey acct:{sign(KEY, string_to_sign(request, 'acct', lower_query=True))}"
    check_signature(request, [KEY], NOW)


@pytest.mark.parametrize(
    "header",
    [
        "SharedKey",
        "SharedKey ",
        "SharedKey acct",
        "SharedKey acct:",
        "SharedKey :abc",
        "SharedKeyLite a:b",
        "Basic YTpi",
    ],
)
def test_a_malformed_header_is_told_apart(header):
    with pytest.raises(BatchError) as caught:
        read_authorization(header)
    assert caught.value.error_code == "InvalidAuthenticationInfo"


@given(st.text(max_size=200), st.sampled_from(["SharedKey acct:", "SharedKey ", ""]))
def test_no_header_gets_past_or_breaks_the_check(text, prefix):
    with pytest.raises(BatchError):
        check_signature(signed(RECORDED[0], authorization=prefix + text), [KEY], NOW)
