"""SharedKey signatures of the Batch service, over the path exactly as it stood on the wire.

The text that is signed: verb, eleven standard headers, the `ocp-*` headers, the account with the raw path, the query
(batch reference 22; the official Python clients sign the names of a query as sent, .NET's in lower case).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from kyanite.errors import BatchError

WINDOW = timedelta(minutes=15)
_STANDARD = (
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
)
_DETAIL = "AuthenticationErrorDetail"
_DETAIL_CHARACTERS = 8_000


@dataclass(frozen=True)
class Signed:
    """What a signature covers: `raw_path` percent-encoded as sent, header names in lower case, `query` decoded."""

    method: str
    raw_path: str
    headers: Mapping[str, str]
    query: Sequence[tuple[str, str]]


def read_authorization(header: str) -> tuple[str, str]:
    """Account and signature of `SharedKey account:signature`. AuthenticationFailed, InvalidAuthenticationInfo."""
    if not header:
        raise _failed("The request carries no Authorization header.")
    scheme, _, rest = header.strip().partition(" ")
    account, colon, signature = rest.strip().partition(":")
    if scheme.lower() != "sharedkey" or not colon or not account or not signature:
        raise BatchError(
            "The Authorization header is not 'SharedKey account:signature'.", code="InvalidAuthenticationInfo"
        )
    return account, signature.strip()


def string_to_sign(signed: Signed, account: str, *, lower_query: bool = False) -> str:
    """The text whose HMAC-SHA256 is the signature."""
    headers = signed.headers
    values = [headers.get(name, "") for name in _STANDARD]
    values[2] = "" if signed.method in ("GET", "HEAD") else headers.get("content-length") or "0"
    if headers.get("ocp-date"):
        values[5] = ""
    own = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers) if name.startswith("ocp-") and headers[name])
    query = "".join(f"\n{name}:{value}" for name, value in _canonical(signed.query, lower_query))
    return f"{signed.method}\n" + "\n".join(values) + f"\n{own}/{account}{signed.raw_path}{query}"


def sign(key: str, text: str) -> str:
    """The signature of a text under a base64 key."""
    return base64.b64encode(_digest(key, text)).decode()


def check_signature(signed: Signed, keys: Iterable[str], now: datetime) -> None:
    """AuthenticationFailed unless one of the account's keys signed the request within 15 minutes of `now`."""
    account, signature = read_authorization(signed.headers.get("authorization", ""))
    _check_date(signed.headers, now)
    try:
        given = base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError):
        given = b""
    texts = dict.fromkeys(string_to_sign(signed, account, lower_query=lower) for lower in (False, True))
    good = [hmac.compare_digest(given, _digest(key, text)) for key in keys for text in texts]
    if not any(good):
        text = next(iter(texts))
        shown = text if len(text) <= _DETAIL_CHARACTERS else f"{text[:_DETAIL_CHARACTERS]}..."
        raise _failed(
            "The MAC signature found in the HTTP request is not the same as any computed signature. "
            f"Server used following string to sign: '{shown}'."
        )


def _check_date(headers: Mapping[str, str], now: datetime) -> None:
    text = headers.get("ocp-date") or headers.get("date", "")
    if not text:
        raise _failed("The request has neither an ocp-date nor a Date header.")
    try:
        sent = parsedate_to_datetime(text)
        sent = sent if sent.tzinfo else sent.replace(tzinfo=UTC)
        near = abs(now - sent) <= WINDOW
    except (ValueError, TypeError, OverflowError, IndexError):
        raise _failed(f"The date '{text[:100]}' of the request is not an RFC 1123 date.") from None
    if not near:
        raise _failed(f"The date '{text[:100]}' of the request is not within 15 minutes of {now:%H:%M:%S} UTC.")


def _canonical(query: Sequence[tuple[str, str]], lower: bool) -> list[tuple[str, str]]:
    first: dict[str, str] = {}
    for name, value in query:
        if value:
            first.setdefault(name.lower() if lower else name, value)
    return sorted(first.items())


def _digest(key: str, text: str) -> bytes:
    return hmac.new(base64.b64decode(key), text.encode("utf-8", "surrogateescape"), hashlib.sha256).digest()


def _failed(detail: str) -> BatchError:
    return BatchError(
        "Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly "
        "including the signature.",
        code="AuthenticationFailed",
        values=((_DETAIL, detail),),
    )
