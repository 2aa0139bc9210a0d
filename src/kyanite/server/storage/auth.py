"""What both storage services ask of the authority: who a request comes from, and a user delegation key."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urlsplit
from xml.etree.ElementTree import Element, ParseError, SubElement, fromstring, tostring

from kyanite.errors import UserError
from kyanite.server.context import ServerContext
from kyanite.server.http import Query, Request
from kyanite.server.storage.authorise import Access, Authority
from kyanite.server.storage.delegation import make_key
from kyanite.server.storage.refusal import AccessRefused
from kyanite.server.storage.sas import AccessPolicy
from kyanite.storage import StorageAccount

OLDEST_DELEGATION = "2018-11-09"


def authorize(context: ServerContext, request: Request, account: StorageAccount) -> Access:
    """Who asks; AccessRefused for nobody and for whoever cannot prove it. Then `require` what the operation needs."""
    return _authority(context).enter(request, account)


def authorize_url(
    context: ServerContext, request: Request, account: StorageAccount, url: str, access: Access
) -> Access:
    """The access to an address inside a request, in the same account or another one (`account` is the address's)."""
    query = Query(urlsplit(url).query)
    if "sig" not in query and account.name != request.account:
        raise AccessRefused("NoAuthenticationInformation", "The source needs a shared access signature of its own.")
    return _authority(context).enter_source(request, account, query, access)


def user_delegation_key(context: ServerContext, request: Request, account: StorageAccount, body: bytes) -> bytes:
    """The answer to GetUserDelegationKey: XML. Only for who comes with a token."""
    identity = request.identity
    if identity is None or identity.kind not in ("user", "workload"):
        raise AccessRefused("AuthenticationFailed", "Only authentication scheme Bearer is supported.")
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
    root = Element("UserDelegationKey")
    for name, value in (
        ("SignedOid", key.signed_oid),
        ("SignedTid", key.signed_tid),
        ("SignedStart", key.signed_start),
        ("SignedExpiry", key.signed_expiry),
        ("SignedService", key.signed_service),
        ("SignedVersion", key.signed_version),
        ("Value", key.value),
    ):
        SubElement(root, name).text = value
    return b'<?xml version="1.0" encoding="utf-8"?>' + tostring(root, encoding="utf-8", xml_declaration=False)


def stored_policies(account: StorageAccount, container: str) -> Mapping[str, AccessPolicy]:
    """The stored access policies of a container, by their ids."""
    return {}


def _authority(context: ServerContext) -> Authority:
    return Authority(context.workspace.vault, context.clock, stored_policies)


def _times(body: bytes) -> tuple[datetime | None, datetime]:
    try:
        text = body.decode("utf-8-sig")
        if "<!" in text:  # no document types, so no entities
            raise ValueError
        root = fromstring(text)  # noqa: S314
    except (ValueError, ParseError):
        raise UserError("The request's body is not the XML of a KeyInfo.", code="InvalidXmlDocument") from None
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
