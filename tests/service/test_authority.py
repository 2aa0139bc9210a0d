"""The mini authority, asked by the official identity clients."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import ClientSecretCredential, DefaultAzureCredential, ManagedIdentityCredential

from kyanite.runtime.clock import utc_now
from kyanite.runtime.workspace import Workspace, open_workspace
from kyanite.server.principals import client_secret, identity_header
from kyanite.server.tokens import OWNER, TENANT_ID, admin_key, verify_token
from server_kit import LiveServer, live_server

SCOPE = "https://management.azure.com/.default"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    with open_workspace(tmp_path_factory.mktemp("authority") / "home", create=True) as made:
        yield made


@pytest.fixture(scope="module")
def server(workspace: Workspace) -> Iterator[LiveServer]:
    with live_server(workspace, tls=True) as made:
        yield made


def ask(url: str, form: dict[str, str] | None = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    body = urlencode(form).encode() if form is not None else None
    try:
        with urlopen(Request(url, body, headers or {})) as answer:
            return answer.status, json.load(answer)
    except HTTPError as refused:
        with refused:
            return refused.code, json.load(refused)


@pytest.fixture
def managed(server: LiveServer, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{server.http_url}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", identity_header(workspace.vault, "server/identity/task"))


@pytest.mark.usefixtures("managed")
@pytest.mark.parametrize("kind", [ManagedIdentityCredential, DefaultAzureCredential])
def test_a_program_started_here_gets_a_token_by_its_managed_identity(workspace: Workspace, kind: type[Any]) -> None:
    with kind() as credential:
        token = credential.get_token(SCOPE)
    identity = verify_token(workspace.vault, token.token, now=utc_now())
    assert identity.may("operator") and not identity.may("author")
    assert 23 * 3600 < token.expires_on - time.time() <= 24 * 3600 + 60


def test_the_identity_endpoint_tells_nothing_without_its_header(server: LiveServer) -> None:
    url = f"{server.http_url}/msi/token?api-version=2019-08-01&resource=https://management.azure.com"
    for headers in ({}, {"X-IDENTITY-HEADER": "guess"}, {"secret": ""}):
        status, body = ask(url, headers=headers)
        assert status == 401 and "X-IDENTITY-HEADER" in body["error_description"]


def credential(server: LiveServer, client_id: str, secret: str) -> ClientSecretCredential:
    return ClientSecretCredential(
        TENANT_ID,
        client_id,
        secret,
        authority=server.https_url,
        disable_instance_discovery=True,
        connection_verify=str(server.ca_file),
    )


def test_a_client_gets_a_token_of_its_role(server: LiveServer, workspace: Workspace) -> None:
    with credential(server, "nightly-ci", client_secret(workspace.vault, "nightly-ci", "author")) as made:
        token = made.get_token(SCOPE).token
    identity = verify_token(workspace.vault, token, now=utc_now())
    assert (identity.name, identity.roles) == ("nightly-ci", {"author"})


def test_the_owners_key_is_a_secret_of_any_client(server: LiveServer, workspace: Workspace) -> None:
    with credential(server, "anything", admin_key(workspace.vault)) as made:
        assert verify_token(workspace.vault, made.get_token(SCOPE).token, now=utc_now()) == OWNER


def test_a_wrong_secret_is_told_as_such(server: LiveServer) -> None:
    with (
        credential(server, "nightly-ci", "wrong-secret") as made,
        pytest.raises(ClientAuthenticationError, match="not one of this workspace"),
    ):
        made.get_token(SCOPE)


@pytest.mark.parametrize("grant", ["password", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code", ""])
def test_other_grants_are_refused_by_name(server: LiveServer, grant: str) -> None:
    status, body = ask(f"{server.http_url}/{TENANT_ID}/oauth2/v2.0/token", {"grant_type": grant})
    assert (status, body["error"]) == (401, "unsupported_grant_type")
    assert f"'{grant}'" in body["error_description"] and "kyanite exec" in body["error_description"]


def test_the_documents_that_clients_start_with(server: LiveServer) -> None:
    for tenant in (TENANT_ID, "common", "organizations"):
        status, found = ask(f"{server.http_url}/{tenant}/v2.0/.well-known/openid-configuration")
        assert status == 200 and found["token_endpoint"] == f"{server.http_url}/{tenant}/oauth2/v2.0/token"
    status, found = ask(f"{server.http_url}/common/discovery/instance?api-version=1.1&authorization_endpoint=x")
    assert status == 200 and TENANT_ID in found["tenant_discovery_endpoint"]
    status, found = ask(f"{server.http_url}/metadata/endpoints?api-version=2022-09-01")
    assert status == 200 and found["authentication"]["loginEndpoint"] == server.http_url


@pytest.mark.parametrize("path", ["/msi", f"/{TENANT_ID}/oauth2/v3/token", "/common/x", "/metadata/identity"])
def test_anything_else_is_not_there(server: LiveServer, path: str) -> None:
    assert ask(server.http_url + path)[0] == 404
