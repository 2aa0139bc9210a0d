"""Closed by default: what the route tables say, for every route there is; and what the audit log keeps of it."""

from __future__ import annotations

import re

import pytest

from kyanite import limits
from kyanite.server.management.admission import Admission, Bucket
from kyanite.server.management.arm import ArmError, Route
from kyanite.server.management.audit import entries
from kyanite.server.management.providers import PROVIDERS, load_providers
from kyanite.server.management.routing import Router, namespace_of, split_path
from kyanite.server.tokens import ROLES
from management_kit import FACTORY, PIPELINE, SCOPE, Answer, Front

ROUTES = [route for provider in load_providers().values() for route in provider.routes]
LOWER = {"operator": "reader", "author": "operator", "admin": "author"}


def path_of(route: Route) -> str:
    return re.sub(r"\{(\w+)\}", r"the-\1", route.template)


def assert_refused(answer: Answer, route: Route, status: int, code: str, named: str = "") -> None:
    assert answer.status == status, (route, answer.body)
    if route.method != "HEAD":  # has no body
        assert answer.code == code, route
        assert named in answer.json["error"]["message"]


def test_there_are_routes_with_known_roles_and_unique_operations() -> None:
    assert len(ROUTES) > 80
    assert {route.role for route in ROUTES} <= set(ROLES)
    for provider in load_providers().values():
        keys = [(route.method, route.template.lower()) for route in provider.routes]
        assert len(keys) == len(set(keys))


def test_every_route_refuses_a_call_without_a_token(front: Front) -> None:
    for route in ROUTES:
        answer = front.call(route.method, path_of(route), token=None)
        assert_refused(answer, route, 401, "AuthenticationFailed")
        assert answer.headers["www-authenticate"].startswith("Bearer ")
    refused = list(entries(front.workspace.database, refused=True))
    assert len(refused) == len(ROUTES)
    assert {entry["result"] for entry in refused} == {401}


def test_every_route_refuses_the_role_below_its_own(front: Front) -> None:
    tokens = {role: front.token(role) for role in ROLES}
    checked = 0
    for route in ROUTES:
        answer = front.call(route.method, path_of(route), token=front.token())
        assert_refused(answer, route, 403, "AuthorizationFailed")
        if route.role in LOWER:
            checked += 1
            below = front.call(route.method, path_of(route), token=tokens[LOWER[route.role]])
            assert_refused(below, route, 403, "AuthorizationFailed", route.operation)
    assert checked > 40


def test_every_route_lets_its_own_role_in(front: Front) -> None:
    tokens = {role: front.token(role) for role in ROLES}
    for route in ROUTES:
        answer = front.call(route.method, path_of(route), token=tokens[route.role])
        assert answer.status not in (401, 403, 500), (route, answer.body)
        if route.handler is None:
            assert_refused(answer, route, 501, "NotSupported", route.operation)


@pytest.mark.parametrize(
    ("header", "status"), [({"host": "evil.example"}, 421), ({"origin": "https://evil.example"}, 403)]
)
def test_a_foreign_host_and_a_foreign_page_are_refused_and_written_down(
    front: Front, header: dict[str, str], status: int
) -> None:
    answer = front.put(FACTORY, {"location": "local"}, headers=header)
    assert answer.status == status
    front.get(f"{SCOPE}/providers/Microsoft.DataFactory/factories")  # lets the log be written
    found = list(entries(front.workspace.database, refused=True))
    assert [entry["result"] for entry in found] == [status]
    assert front.workspace.factories() == []


def test_an_unknown_path_answers_a_stranger_as_any_other(front: Front) -> None:
    assert front.get(f"{SCOPE}/providers/Microsoft.DataFactory/nothing", token=None).status == 401
    assert front.get(f"{SCOPE}/providers/Microsoft.DataFactory/nothing").status == 404
    other = front.get(f"{SCOPE}/providers/Microsoft.Sql/servers/s")
    assert (other.status, other.code) == (501, "NotSupported")
    assert "microsoft.sql" in other.json["error"]["message"]
    assert set(PROVIDERS) <= set(re.findall(r"microsoft\.\w+", other.json["error"]["message"]))


def test_paths_match_in_any_case_and_doubled_slashes_count_once(airline: Front) -> None:
    path = f"{FACTORY}/pipelines/P"
    for variant in (path.upper().replace("/P?", "/p"), path.lower(), path.replace("/factories", "//factories")):
        answer = airline.get(variant)
        assert answer.status == 200, variant
        assert answer.json["name"] == "P"
    wrong = airline.call("PATCH", path)
    assert (wrong.status, wrong.code) == (405, "MethodNotAllowed")
    assert wrong.headers["allow"] == "DELETE, GET, PUT"


def test_the_api_version_is_needed_and_checked(airline: Front) -> None:
    assert airline.get(f"{FACTORY}?api-version=").code == "MissingApiVersionParameter"
    assert airline.get(f"{FACTORY}?api-version=2099-01-01").code == "InvalidApiVersionParameter"


def test_a_body_beyond_the_limit_and_a_broken_one_are_refused(airline: Front) -> None:
    big = airline.call("PUT", f"{FACTORY}/pipelines/P", content=b" " * (limits.MANAGEMENT_BODY_BYTES + 1))
    assert (big.status, big.code) == (400, "RequestBodyTooLarge")
    for content in (b"{", b"[]", b"\xff", b'{"a": NaN}', b"[" * 5000):
        answer = airline.call("PUT", f"{FACTORY}/pipelines/P", content=content)
        assert (answer.status, answer.code) == (400, "InvalidRequestContent"), content
    unquoted = b'{"properties": {"activities": [], "description": "{template: 1}"}, template:{"a":1}}'
    assert airline.call("PUT", f"{FACTORY}/pipelines/Q", content=unquoted).status == 200
    assert airline.get(f"{FACTORY}/pipelines/Q").json["properties"]["description"] == "{template: 1}"


def test_the_audit_log_has_changes_and_refusals_and_no_reads(airline: Front) -> None:
    airline.get(f"{FACTORY}/pipelines/P")
    airline.get(f"{FACTORY}/pipelines/Missing")
    airline.put(f"{FACTORY}/pipelines/P", PIPELINE, token="wrong-token-of-somebody")
    found = list(entries(airline.workspace.database))
    assert [(entry["who"], entry["method"], entry["operation"], entry["result"]) for entry in found] == [
        ("owner", "PUT", "Factories_CreateOrUpdate", 200),
        ("owner", "PUT", "Pipelines_CreateOrUpdate", 200),
        ("owner", "GET", "Pipelines_Get", 404),
        ("", "PUT", "", 401),
    ]
    assert "wrong-token-of-somebody" not in str(found)
    with pytest.raises(Exception, match="only added to"):
        airline.workspace.database.execute("DELETE FROM audit")
    with pytest.raises(Exception, match="only added to"):
        airline.workspace.database.execute("UPDATE audit SET who = 'me'")


def test_guessing_tokens_is_slowed_down_and_good_tokens_are_not(airline: Front) -> None:
    statuses = [airline.get(FACTORY, token=f"guess-{n}").status for n in range(limits.MANAGEMENT_BAD_TOKENS_PER_MINUTE)]
    assert statuses == [401] * limits.MANAGEMENT_BAD_TOKENS_PER_MINUTE
    late = airline.get(FACTORY, token="one-guess-more")
    assert (late.status, late.code) == (429, "TooManyRequests")
    assert int(late.headers["retry-after"]) >= 1
    assert airline.get(FACTORY).status == 200


def test_calls_at_once_and_per_second_are_bounded() -> None:
    now = [100.0]
    admission = Admission(lambda: now[0])
    for _ in range(limits.MANAGEMENT_CALLS_BURST):
        with admission.place("a"):
            pass
    with pytest.raises(ArmError, match="too many requests"), admission.place("a"):
        pass
    with admission.place("b"):
        pass
    now[0] += 1.0
    with admission.place("a"):
        pass
    held = [admission.place(f"caller {n}") for n in range(limits.MANAGEMENT_CALLS_AT_ONCE)]
    for each in held:
        each.__enter__()
    with pytest.raises(ArmError, match="in hand"), admission.place("c"):
        pass
    held[0].__exit__(None, None, None)
    with admission.place("c"):
        pass


def test_a_bucket_fills_up_at_its_rate() -> None:
    bucket = Bucket(2.0, 1.0, 0.0)
    assert bucket.take(0.0) == 0.0
    assert bucket.take(0.0) == pytest.approx(0.5)
    assert bucket.take(0.5) == 0.0
    assert bucket.take(-5.0) == pytest.approx(0.5)


def test_the_namespace_of_a_path_is_the_last_in_it() -> None:
    def of(path: str) -> str:
        return namespace_of(split_path(path))

    assert of("/subscriptions/s/resourcegroups/rg") == "microsoft.resources"
    assert of("/subscriptions/s/providers/Microsoft.DataFactory") == "microsoft.resources"
    assert of("/subscriptions/s/providers/Microsoft.DataFactory/register") == "microsoft.resources"
    assert of("/subscriptions/s/providers/Microsoft.DataFactory/factories") == "microsoft.datafactory"
    assert of(f"{FACTORY}/providers/Microsoft.Authorization/roleAssignments/x") == "microsoft.authorization"
    assert of("/providers") == "microsoft.resources"


def test_a_literal_part_wins_over_a_name() -> None:
    routes = load_providers()["microsoft.datafactory"].routes
    found = Router(load_providers().values()).find("GET", split_path(f"{FACTORY}/pipelineruns/r%2F1"))
    assert found.route.operation == "PipelineRuns_Get"
    assert found.names["run"] == "r/1"
    assert found.route in routes
