"""Tokens: what was issued is accepted until it expires; anything else is not."""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kyanite.secrets import Vault
from kyanite.server.http import Query, Request
from kyanite.server.tokens import (
    EVERY_SERVICE,
    OWNER,
    TENANT_ID,
    AuthenticationError,
    Identity,
    admin_key,
    bearer,
    issue_token,
    verify_token,
)

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
TASK = Identity("task-1", "workload", frozenset({"operator"}))


def issued(vault: Vault, seconds: int = 60) -> str:
    return issue_token(vault, TASK, audience="https://management.azure.com", seconds=seconds, now=NOW)


def claims_of(token: str) -> dict[str, object]:
    body = token.split(".")[1]
    found: dict[str, object] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return found


def test_a_token_says_who_it_was_issued_to() -> None:
    vault = Vault()
    assert verify_token(vault, issued(vault), now=NOW) == TASK


def test_a_token_has_the_claims_that_clients_read() -> None:
    claims = claims_of(issued(Vault()))
    assert claims["tid"] == TENANT_ID
    assert claims["oid"] == TASK.id
    assert claims["aud"] == "https://management.azure.com"
    assert claims["exp"] == int(NOW.timestamp()) + 60


def test_an_expired_token_is_refused_as_such() -> None:
    vault = Vault()
    token = issued(vault)
    verify_token(vault, token, now=NOW + timedelta(seconds=59))
    with pytest.raises(AuthenticationError) as caught:
        verify_token(vault, token, now=NOW + timedelta(seconds=60))
    assert (caught.value.error_code, caught.value.status) == ("ExpiredAuthenticationToken", 401)


def test_another_workspaces_token_is_refused() -> None:
    with pytest.raises(AuthenticationError, match="not issued by this workspace"):
        verify_token(Vault(), issued(Vault()), now=NOW)


def test_no_character_of_a_token_can_be_changed() -> None:
    vault = Vault()
    token = issued(vault)
    for place in range(len(token) - 1):  # the last one's low bits may mean nothing
        other = "A" if token[place] != "A" else "B"
        with pytest.raises(AuthenticationError):
            verify_token(vault, token[:place] + other + token[place + 1 :], now=NOW)


def test_an_unsigned_token_is_refused() -> None:
    vault = Vault()
    _, claims, _ = issued(vault).split(".")
    header = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    for token in (f"{header}.{claims}.", f"{header}.{claims}", claims, "", ".", ".."):
        with pytest.raises(AuthenticationError):
            verify_token(vault, token, now=NOW)


@given(st.text(max_size=200))
def test_no_text_is_more_than_refused(text: str) -> None:
    with pytest.raises(AuthenticationError):
        verify_token(Vault(), text, now=NOW)


def test_the_owners_key_stands_for_the_owner() -> None:
    vault = Vault()
    assert verify_token(vault, admin_key(vault), now=NOW) == OWNER
    assert vault.mask(f"key {admin_key(vault)}") == "key ***"


def test_roles_include_those_before_them() -> None:
    assert TASK.may("reader")
    assert TASK.may("operator")
    assert not TASK.may("author")
    assert OWNER.may("admin")
    assert not Identity("nobody", "anonymous", frozenset()).may("reader")


AUDIENCES = {
    "batch": ["https://batch.core.windows.net/", "https://batch.core.windows.net//"],
    "management": ["https://management.azure.com", "https://management.core.windows.net/"],
    "storage": [
        "https://storage.azure.com",
        "https://acct.blob.core.windows.net",
        "https://ACCT.dfs.core.windows.net/",
    ],
}
ANY = [EVERY_SERVICE, "https://localhost:8443"]  # clients that know an address only ask for a token for that
NOBODYS = ["", "https://graph.microsoft.com", "https://storage.azure.com.example.com", "https://[", "kyanite2"]


def asker(vault: Vault, service: str, audience: str) -> Identity | None:
    token = issue_token(vault, TASK, audience=audience, seconds=60, now=NOW)
    headers = {"authorization": f"Bearer {token}"}
    request = Request("GET", "https", "localhost", 8443, "/", Query(""), headers, "127.0.0.1", service=service)
    return bearer(request, vault, NOW)


@pytest.mark.parametrize("service", AUDIENCES)
def test_a_token_is_for_the_service_it_was_asked_for(service: str) -> None:
    vault = Vault()
    for audience in AUDIENCES[service] + ANY:
        assert asker(vault, service, audience) == TASK
    others = [audience for other, known in AUDIENCES.items() if other != service for audience in known]
    for audience in others + NOBODYS:
        with pytest.raises(AuthenticationError, match=f"'{re.escape(audience)}', which is not {service}'s") as caught:
            asker(vault, service, audience)
        assert (caught.value.error_code, caught.value.status) == ("InvalidAuthenticationTokenAudience", 401)
        assert "/.default" in str(caught.value)


def test_metrics_are_shown_to_a_token_of_any_service() -> None:
    for known in AUDIENCES.values():
        assert asker(Vault(), "status", known[0]) == TASK
