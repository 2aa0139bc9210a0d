"""The mini authority: what official clients ask Microsoft Entra ID and a host's managed-identity endpoint for.

Tokens are given for client secrets made here and to programs that this workspace started; nobody logs in by a browser.
Request and answer shapes: real-clients reference 4 and 5.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote
from uuid import uuid4

from kyanite.errors import KyaniteError, NotFoundError
from kyanite.limits import TOKEN_SECONDS
from kyanite.server.context import ServerContext
from kyanite.server.failures import Failures
from kyanite.server.guard import BadMethod
from kyanite.server.http import Request, Response
from kyanite.server.principals import client, program
from kyanite.server.tokens import TENANT_ID, Identity, issue_token

_FORM_BYTES = 64 * 1024
_SCOPE_END = "/.default"
_LOGIN = "login.microsoftonline.com"

# grants that we have nobody for, by the name that clients show -> what to do instead
_INSTEAD = "Use a client secret (`kyanite token ID --client`), or run the program with `kyanite exec`."


class LoginRefused(KyaniteError):
    """No token is given; `code` is the OAuth error."""

    code = "invalid_client"
    status = 401


class AuthorityService:
    """The routes of the authority."""

    name = "authority"

    def __init__(self, context: ServerContext) -> None:
        self._context = context
        self._failures = Failures()

    async def handle(self, request: Request) -> Response:
        """Answer a request; NotFoundError for what is none of the routes."""
        parts = [part.lower() for part in request.path.split("/") if part]
        match parts:
            case ["msi", "token"]:
                return await self._managed_identity(request)
            case ["metadata", "endpoints"]:
                return _read(request, endpoints(request.origin))
            case [_, "discovery", "instance"]:
                return _read(request, discovery(_base(request)))
            case [tenant, "v2.0", ".well-known", "openid-configuration"]:
                return _read(request, openid(_base(request), tenant, "/v2.0"))
            case [tenant, ".well-known", "openid-configuration"]:
                return _read(request, openid(_base(request), tenant, ""))
            case [_, "discovery", *version, "keys"] if version in ([], ["v2.0"]):
                return _read(request, {"keys": []})  # our tokens are verified here only, by a key that nobody is told
            case [_, "oauth2", *version, "token"] if version in ([], ["v2.0"]):
                return await self._token(request)
            case [_, "oauth2", *version, ("devicecode" | "authorize") as way] if version in ([], ["v2.0"]):
                raise LoginRefused(f"Login by '{way}' is not supported here.", code="invalid_request", cure=_INSTEAD)
        raise NotFoundError("There is nothing here.")

    def failure(self, request: Request, error: Exception) -> Response:
        """The error body of the OAuth 2 endpoints; clients show its `error_description`."""
        if isinstance(error, KyaniteError):
            code, text, status = error.error_code, str(error), error.status
        else:
            code, text, status = "server_error", "The server failed.", 500
        trace = str(uuid4())
        body = {
            "error": code,
            "error_description": f"{text} Trace ID: {trace}",
            "error_codes": [],
            "timestamp": f"{self._context.clock():%Y-%m-%d %H:%M:%SZ}",
            "trace_id": trace,
            "correlation_id": request.headers.get("client-request-id", trace),
        }
        return Response.json(body, status, {"cache-control": "no-store"})

    # ---- tokens

    async def _token(self, request: Request) -> Response:
        if request.method != "POST":
            raise BadMethod("Tokens are asked for by POST.", code="invalid_request")
        form = dict(parse_qsl((await request.body(_FORM_BYTES)).decode("latin-1"), keep_blank_values=True))
        grant = form.get("grant_type", "")
        if grant != "client_credentials":
            raise LoginRefused(
                f"The grant '{grant}' is not supported here.", code="unsupported_grant_type", cure=_INSTEAD
            )
        client_id, secret = _credentials(request, form)
        if "client_assertion" in form:
            raise LoginRefused("Clients with a certificate are not supported here.", cure=_INSTEAD)
        identity = await asyncio.to_thread(client, self._context.workspace.vault, client_id, secret)
        if identity is None:
            await self._slow_down()
            raise LoginRefused(
                f"AADSTS7000215: The secret given for client '{client_id[:80]}' is not one of this workspace.",
                cure="Its file `token` has the owner's.",
            )
        audience = form.get("scope") or form.get("resource") or ""
        answer = self._issued(identity, audience.removesuffix(_SCOPE_END))
        return Response.json({**answer, "ext_expires_in": TOKEN_SECONDS}, headers={"cache-control": "no-store"})

    async def _managed_identity(self, request: Request) -> Response:
        """The App Service contract of 2019-08-01, and of 2017-09-01 with its other header."""
        if request.method != "GET":
            raise BadMethod("Tokens are asked for by GET here.", code="invalid_request")
        header = request.headers.get("x-identity-header") or request.headers.get("secret", "")
        identity = await asyncio.to_thread(program, self._context.workspace.vault, header)
        if identity is None:
            await self._slow_down()
            raise LoginRefused("The header X-IDENTITY-HEADER is missing or is not this workspace's.")
        resource = request.query.get("resource")
        answer = self._issued(identity, resource)
        expires_on = str(int(self._context.clock().timestamp()) + TOKEN_SECONDS)
        return Response.json(
            {**answer, "expires_on": expires_on, "resource": resource, "client_id": identity.id},
            headers={"cache-control": "no-store"},
        )

    def _issued(self, identity: Identity, audience: str) -> dict[str, Any]:
        vault, now = self._context.workspace.vault, self._context.clock()
        token = issue_token(vault, identity, audience=audience, seconds=TOKEN_SECONDS, now=now)
        return {"token_type": "Bearer", "expires_in": TOKEN_SECONDS, "access_token": token}

    async def _slow_down(self) -> None:
        await asyncio.sleep(self._failures.delay(asyncio.get_running_loop().time()))


def open_service(context: ServerContext) -> AuthorityService:
    """For the table of services."""
    return AuthorityService(context)


# ---- documents


def openid(base: str, tenant: str, version: str) -> dict[str, Any]:
    """What a client reads to find the token endpoint of a tenant."""
    authority = f"{base}/{tenant}"
    return {
        "token_endpoint": f"{authority}/oauth2{version}/token",
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
        "jwks_uri": f"{authority}/discovery{version}/keys",
        "response_types_supported": ["code"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["HS256"],
        "issuer": f"{base}/{TENANT_ID if tenant in ('common', 'organizations') else tenant}{version or '/'}",
        "authorization_endpoint": f"{authority}/oauth2{version}/authorize",
        "device_authorization_endpoint": f"{authority}/oauth2{version}/devicecode",
        "grant_types_supported": ["client_credentials"],
        "tenant_region_scope": None,
        "cloud_instance_name": "microsoftonline.com",
    }


def discovery(base: str) -> dict[str, Any]:
    """Which hosts are one authority: ours is one of its own, unless it is met under Microsoft's name."""
    host = base.partition("://")[2]
    return {
        "tenant_discovery_endpoint": f"{base}/{TENANT_ID}/v2.0/.well-known/openid-configuration",
        "api-version": "1.1",
        "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}],
    }


def endpoints(base: str) -> dict[str, Any]:
    """The description of a cloud, as `az cloud register` and the SDKs read it."""
    return {
        "name": "kyanite",
        "resourceManager": f"{base}/",
        "portal": base,
        "authentication": {
            "loginEndpoint": base,
            "audiences": ["https://management.core.windows.net/", "https://management.azure.com/"],
            "tenant": TENANT_ID,
            "identityProvider": "AAD",
        },
        "graph": base,
        "graphAudience": f"{base}/",
        "batch": "https://batch.core.windows.net/",
        "suffixes": {"storage": "core.windows.net", "batch": "batch.azure.com"},
    }


def _base(request: Request) -> str:
    # behind the proxy a client speaks to the authority under its own name, on the port it knows
    return f"https://{_LOGIN}" if request.host == _LOGIN else request.origin


def _read(request: Request, document: dict[str, Any]) -> Response:
    if request.method not in ("GET", "HEAD"):
        raise BadMethod("This can only be read.", code="invalid_request")
    return Response.json(document)


def _credentials(request: Request, form: Mapping[str, str]) -> tuple[str, str]:
    """Client id and secret of the form, or of a Basic header."""
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            client_id, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
        except ValueError:
            raise LoginRefused("The Authorization header is malformed.") from None
        return unquote(client_id), unquote(secret)
    return form.get("client_id", ""), form.get("client_secret", "")
