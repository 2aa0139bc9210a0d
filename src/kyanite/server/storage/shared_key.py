"""Requests signed with an account key: Shared Key and Shared Key Lite of the Blob and Data Lake services.

https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import hmac
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from kyanite.server.http import Request
from kyanite.server.storage.refusal import AccessRefused

_BLOCK_BYTES = 64
CLOCK_SKEW = timedelta(minutes=15)
_SIGNED_HEADERS = (
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
_LENGTH, _DATE = _SIGNED_HEADERS.index("content-length"), _SIGNED_HEADERS.index("date")
_RARE = frozenset(name for name in _SIGNED_HEADERS if name.endswith(("-encoding", "-language", "-match", "-since")))
_EMPTY_LENGTH_SINCE = "2015-02-21"  # before this version a length of 0 was signed as "0"


def check_shared_key(request: Request, keys: Sequence[str], now: datetime) -> None:
    """AccessRefused unless the Authorization header is a right signature of this request by one of the keys."""
    scheme, _, credential = request.headers.get("authorization", "").partition(" ")
    name, _, signature = credential.strip().rpartition(":")
    if not name or not signature:
        raise AccessRefused("InvalidAuthenticationInfo")
    if name != request.account:
        raise AccessRefused("AuthenticationFailed", "The account named in the Authorization header is another one.")
    _check_date(request, now)
    texts = strings_to_sign(request, lite=scheme.lower() == "sharedkeylite")
    own = next(texts)
    if is_signed(own, signature, keys) or any(is_signed(text, signature, keys) for text in texts):
        return
    shown = own.replace("\n", "\\n")
    raise AccessRefused(
        "AuthenticationFailed",
        "The MAC signature found in the HTTP request is not the same as any computed signature."
        f" Server used following string to sign: '{shown}'.",
    )


def is_signed(text: str, signature: str, keys: Iterable[str]) -> bool:
    """Whether the signature (base64) is that of the text under one of the keys (base64), in constant time."""
    try:
        given = binascii.a2b_base64(signature, strict_mode=True)
    except ValueError:
        return False
    data = text.encode("utf-8", "surrogatepass")
    return any(hmac.compare_digest(given, _mac(key, data)) for key in keys)


def sign(text: str, key: str) -> str:
    """The signature of a text as requests carry it: base64 of HMAC-SHA256 under the key (base64)."""
    return base64.b64encode(_mac(key, text.encode())).decode()


def strings_to_sign(request: Request, *, lite: bool = False) -> Iterator[str]:
    """The texts whose signature is accepted for a request; the first one is the service's own form.

    Clients sort headers in two ways where a name holds `-` or `_` inside. For an account in the path, most put its
    name before the whole path, as the official emulator expects it, and some leave it as it is.
    """
    headers = request.headers
    names = sorted([name for name in headers if name[:5] == "x-ms-"])
    first = _first_lines(request, lite)
    own = f"/{request.account}{request.raw_path}"
    for path in (own,) if request.host_style else (own, request.raw_path):
        resource = _lite_resource(request, path) if lite else path + _canonical_query(request)
        yield f"{first}\n{_lines(headers, names)}{resource}"
        if (as_words := sorted(names, key=_as_words)) != names:
            yield f"{first}\n{_lines(headers, as_words)}{resource}"


def _lines(headers: Mapping[str, str], names: Iterable[str]) -> str:
    return "".join([f"{name}:{headers[name]}\n" for name in names])


def _first_lines(request: Request, lite: bool) -> str:
    headers = request.headers
    date = "" if "x-ms-date" in headers else headers.get("date", "")
    if lite:
        return "\n".join((request.method, headers.get("content-md5", ""), headers.get("content-type", ""), date))
    length = headers.get("content-length", "")
    if length == "0" and headers.get("x-ms-version", "") >= _EMPTY_LENGTH_SINCE:
        length = ""
    if _RARE.isdisjoint(headers):
        md5, kind, part = headers.get("content-md5", ""), headers.get("content-type", ""), headers.get("range", "")
        return f"{request.method}\n\n\n{length}\n{md5}\n{kind}\n{date}\n\n\n\n\n{part}"
    values = [headers.get(name, "") for name in _SIGNED_HEADERS]
    values[_LENGTH], values[_DATE] = length, date
    return "\n".join([request.method, *values])


def _canonical_query(request: Request) -> str:
    if not request.query.pairs:
        return ""
    values: dict[str, list[str]] = {}
    for name, value in request.query.pairs:
        values.setdefault(name.lower(), []).append(value)
    return "".join(f"\n{name}:{','.join(sorted(values[name]))}" for name in sorted(values))


def _lite_resource(request: Request, path: str) -> str:
    return f"{path}?comp={request.query.get('comp')}" if "comp" in request.query else path


def _check_date(request: Request, now: datetime) -> None:
    try:
        late = abs(_read_date(request.headers.get("x-ms-date") or request.headers.get("date", "")) - now)
    except (ValueError, TypeError, OverflowError):
        raise AccessRefused("AuthenticationFailed", "The Date header in the request is missing or no date.") from None
    if late > CLOCK_SKEW:
        raise AccessRefused("AuthenticationFailed", "The Date header in the request is incorrect: too far from now.")


@functools.lru_cache(maxsize=64)
def _read_date(text: str) -> datetime:
    given = parsedate_to_datetime(text)
    return given if given.tzinfo else given.replace(tzinfo=UTC)


def _as_words(name: str) -> tuple[str, str]:
    """Sort key of clients that compare as the service's culture does: hyphens are skipped, `_` before digits."""
    return name.replace("-", "").replace("_", " "), name


def _mac(key: str, data: bytes) -> bytes:
    """HMAC-SHA256 (RFC 2104) from digests that have taken in the key already: half the work for texts this short."""
    inner, outer = _begun(key)
    own = inner.copy()
    own.update(data)
    found = outer.copy()
    found.update(own.digest())
    return found.digest()


@functools.lru_cache(maxsize=64)
def _begun(key: str) -> tuple[hashlib._Hash, hashlib._Hash]:
    raw = base64.b64decode(key)
    block = (raw if len(raw) <= _BLOCK_BYTES else hashlib.sha256(raw).digest()).ljust(_BLOCK_BYTES, b"\0")
    return hashlib.sha256(bytes(byte ^ 0x36 for byte in block)), hashlib.sha256(bytes(byte ^ 0x5C for byte in block))
