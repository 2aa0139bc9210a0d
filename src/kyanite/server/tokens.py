"""Who asks, and the tokens that say so: made here, verified here, worth nothing anywhere else.

A token is a JSON Web Token signed with HMAC-SHA256 under a key of this workspace (`server/signing` in its vault). The
key of whoever owns the workspace stands in its file `token` and is accepted in a token's place.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, uuid5

from kyanite.definitions.arm_environment import NO_ID
from kyanite.errors import KyaniteError

if TYPE_CHECKING:
    from kyanite.secrets import Vault
    from kyanite.server.http import Request

ROLES = ("reader", "operator", "author", "admin")  # each may do what those before it may
ADMIN_SECRET = "server/admin"  # noqa: S105 - the name under which the vault has it
TENANT_ID = NO_ID
ISSUER = f"https://login.microsoftonline.com/{TENANT_ID}/v2.0"
EVERY_SERVICE = "kyanite"  # the audience of a token that all services take
# service -> the hosts that clients name in `scope` or `resource` when they ask for a token for it; those below them too
AUDIENCES = {
    "batch": ("batch.core.windows.net",),
    "management": ("management.azure.com", "management.core.windows.net"),
    "storage": ("storage.azure.com", "blob.core.windows.net", "dfs.core.windows.net"),
}
_SIGNING_SECRET = "server/signing"  # noqa: S105 - the name under which the vault has it
_TOKEN_CHARACTERS = 8 * 1024
_HEADER = {"typ": "JWT", "alg": "HS256"}

Kind = Literal["user", "workload", "sharedKey", "sas", "anonymous"]


class AuthenticationError(KyaniteError):
    """Nobody we know asks: no token, a token that is not ours, or one that has expired."""

    code = "InvalidAuthenticationToken"
    status = 401


@dataclass(frozen=True)
class Identity:
    """Who asks. `roles` are those given; `may` also counts what they include."""

    name: str
    kind: Kind
    roles: frozenset[str]

    def may(self, role: str) -> bool:
        """Whether a role, or one that includes it, was given."""
        return any(given in self.roles for given in ROLES[ROLES.index(role) :])

    @property
    def id(self) -> str:
        """A stable GUID for the name (`oid` in tokens)."""
        return str(uuid5(NAMESPACE_URL, f"kyanite:{self.kind}:{self.name}"))


OWNER = Identity("owner", "user", frozenset({"admin"}))


def admin_key(vault: Vault) -> str:
    """The key of the workspace's owner; made when there is none."""
    return vault.get_or_create(ADMIN_SECRET, 33)


def signing_key(vault: Vault) -> bytes:
    """The key that tokens are signed with; made when there is none."""
    return vault.get_or_create(_SIGNING_SECRET).encode()


def issue_token(vault: Vault, identity: Identity, *, audience: str, seconds: int, now: datetime) -> str:
    """A signed token, valid for so many seconds, for an audience: `https://management.azure.com`, EVERY_SERVICE."""
    at = int(now.timestamp())
    claims = {
        "aud": audience,
        "iss": ISSUER,
        "iat": at,
        "nbf": at,
        "exp": at + seconds,
        "tid": TENANT_ID,
        "oid": identity.id,
        "sub": identity.id,
        "appid": identity.id,
        "name": identity.name,
        "kind": identity.kind,
        "roles": sorted(identity.roles),
        "ver": "2.0",
    }
    text = f"{_encoded(_HEADER)}.{_encoded(claims)}"
    return f"{text}.{_base64(_signature(vault, text))}"


def verify_token(
    vault: Vault, token: str, *, now: datetime, check_audience: Callable[[str], None] = lambda audience: None
) -> Identity:
    """Whose token this is; AuthenticationError unless it was made here, is unchanged, still valid and for us."""
    if len(token) > _TOKEN_CHARACTERS or not token.isascii():
        raise _bad("The access token is malformed.")
    if hmac.compare_digest(token.encode(), admin_key(vault).encode()):
        return OWNER
    text, _, signature = token.rpartition(".")
    header, _, claims = text.partition(".")
    if not hmac.compare_digest(_decoded(signature), _signature(vault, text)):
        raise _bad("The access token was not issued by this workspace.")
    if _json(header).get("alg") != _HEADER["alg"]:
        raise _bad("The access token is signed in another way than ours are.")
    document = _json(claims)
    identity = _identity(document, now.timestamp())
    check_audience(document["aud"])
    return identity


def bearer(request: Request, vault: Vault, now: datetime) -> Identity | None:
    """Whose Bearer token the request carries; None when it has none, AuthenticationError for a bad one or one that was
    asked for another service.
    """
    scheme, _, token = request.headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() != "bearer":
        return None
    return verify_token(
        vault, token.strip(), now=now, check_audience=partial(_check_audience, request.service, request.host)
    )


def _check_audience(service: str, own_host: str, audience: str) -> None:
    """Clients that are given an address instead of a cloud ask for a token for the host they were given."""
    known = AUDIENCES.get(service)
    if known is None or audience == EVERY_SERVICE:
        return
    host = _host(audience)
    if host != own_host and not any(host == each or host.endswith(f".{each}") for each in known):
        raise _bad(
            f"The access token was obtained for the audience '{audience[:200]}', which is not {service}'s.",
            code="InvalidAuthenticationTokenAudience",
            cure=f"Ask for one with the scope https://{known[0]}/.default.",
        )


def _host(audience: str) -> str:
    try:
        return urlsplit(audience).hostname or ""
    except ValueError:
        return ""


def _identity(claims: Mapping[str, Any], now: float) -> Identity:
    if claims.get("iss") != ISSUER:
        raise _bad("The access token names another issuer.")
    if now >= claims.get("exp", 0):
        raise _bad("The access token has expired.", code="ExpiredAuthenticationToken")
    return Identity(claims["name"], claims["kind"], frozenset(claims["roles"]))


def _signature(vault: Vault, text: str) -> bytes:
    return hmac.new(signing_key(vault), text.encode(), hashlib.sha256).digest()


def _encoded(document: Mapping[str, Any]) -> str:
    return _base64(json.dumps(document, separators=(",", ":")).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise _bad("The access token is malformed.") from None


def _json(text: str) -> dict[str, Any]:
    # the signature was right: only what we wrote ourselves gets here
    document: dict[str, Any] = json.loads(_decoded(text))
    return document


def _bad(message: str, code: str | None = None, cure: str = "Ask this workspace for a new one.") -> AuthenticationError:
    return AuthenticationError(message, code=code, cure=cure)
