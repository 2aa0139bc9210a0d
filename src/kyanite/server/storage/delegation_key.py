"""GetUserDelegationKey: a key for signatures, for who comes with a token."""

from __future__ import annotations

from datetime import UTC, datetime

from kyanite.errors import UserError
from kyanite.server.context import ServerContext
from kyanite.server.http import Request, Response
from kyanite.server.storage.delegation import make_key
from kyanite.server.storage.refusal import AccessRefused
from kyanite.server.storage.xml import answer, element, leaf, parse
from kyanite.storage import StorageAccount

OLDEST_DELEGATION = "2018-11-09"


def user_delegation_key(context: ServerContext, request: Request, account: StorageAccount, body: bytes) -> Response:
    """The key; AccessRefused for who comes without a token."""
    identity = request.identity
    if identity is None or identity.kind not in ("user", "workload"):
        raise AccessRefused("AuthenticationFailed", "Only authentication scheme Bearer is supported")
    start, expiry = _times(body)
    now = context.clock()
    key = make_key(
        context.workspace.vault,
        account.name,
        identity,
        start=start or now,
        expiry=expiry,
        version=request.headers.get("x-ms-version", "") or OLDEST_DELEGATION,
        now=now,
    )
    return answer(
        element(
            "UserDelegationKey",
            leaf("SignedOid", key.signed_oid),
            leaf("SignedTid", key.signed_tid),
            leaf("SignedStart", key.signed_start),
            leaf("SignedExpiry", key.signed_expiry),
            leaf("SignedService", key.signed_service),
            leaf("SignedVersion", key.signed_version),
            leaf("Value", key.value),
        )
    )


def _times(body: bytes) -> tuple[datetime | None, datetime]:
    root = parse(body)
    found = {each.tag: _time(each.text or "") for each in root if each.tag in ("Start", "Expiry")}
    if "Expiry" not in found:
        raise UserError("Expiry is missing.", code="InvalidXmlDocument")
    return found.get("Start"), found["Expiry"]


def _time(text: str) -> datetime:
    try:
        given = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UserError("A time of the key is not a time.", code="InvalidXmlNodeValue") from None
    return given if given.tzinfo else given.replace(tzinfo=UTC)
