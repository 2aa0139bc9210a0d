"""Headers of the storage service: conditions, times, metadata, properties and ranges, read and written."""

from __future__ import annotations

import base64
import binascii
import functools
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from operator import attrgetter

from kyanite.errors import StorageError, UserError
from kyanite.limits import METADATA_BYTES
from kyanite.storage.conditions import NO_CONDITIONS, Conditions
from kyanite.storage.properties import Properties
from kyanite.storage.tag_query import read_condition

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_META = "x-ms-meta-"
_META_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)\Z")

# header of a request -> field of Properties; the same headers of an answer have no prefix
CONTENT_HEADERS = {
    "x-ms-blob-cache-control": "cache_control",
    "x-ms-blob-content-disposition": "content_disposition",
    "x-ms-blob-content-encoding": "content_encoding",
    "x-ms-blob-content-language": "content_language",
    "x-ms-blob-content-md5": "content_md5",
    "x-ms-blob-content-type": "content_type",
}
_ANSWER_HEADERS = tuple((name.removeprefix("x-ms-blob-"), field) for name, field in CONTENT_HEADERS.items())
_ANSWER_NAMES = tuple(name for name, _ in _ANSWER_HEADERS)
_answer_values = attrgetter(*(field for _, field in _ANSWER_HEADERS))
_IF = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-tags")
_CONDITIONS = frozenset(prefix + name for prefix in ("", "x-ms-", "x-ms-source-") for name in _IF)


@functools.lru_cache(maxsize=1024)
def http_date(moment: datetime) -> str:
    """As HTTP writes times, in English whatever the locale."""
    return (
        f"{_DAYS[moment.weekday()]}, {moment.day:02} {_MONTHS[moment.month - 1]} {moment.year:04}"
        f" {moment.hour:02}:{moment.minute:02}:{moment.second:02} GMT"
    )


def http_time(moment_ns: int) -> str:
    """The same for nanoseconds since 1970."""
    return _http_seconds(moment_ns // 1_000_000_000)


@functools.lru_cache(maxsize=4096)
def _http_seconds(seconds: int) -> str:
    return http_date(datetime.fromtimestamp(seconds, UTC))


def read_date(text: str, name: str) -> datetime:
    """The time of a header. UserError `InvalidHeaderValue`."""
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, TypeError) as problem:
        raise UserError(f"The header {name} is not a time.", code="InvalidHeaderValue") from problem
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def quoted(etag: str) -> str:
    """An ETag as headers have it."""
    return f'"{etag}"'


def read_conditions(headers: Mapping[str, str], prefix: str = "", lease: str = "x-ms-lease-id") -> Conditions:
    """The conditions of a request; `prefix` is `x-ms-source-` for those on the source of a copy."""
    if lease not in headers and _CONDITIONS.isdisjoint(headers):
        return NO_CONDITIONS
    tags = headers.get(f"{prefix or 'x-ms-'}if-tags")
    since, until = headers.get(f"{prefix}if-modified-since"), headers.get(f"{prefix}if-unmodified-since")
    return Conditions(
        if_match=_etags(headers.get(f"{prefix}if-match")),
        if_none_match=_etags(headers.get(f"{prefix}if-none-match")),
        if_modified_since=read_date(since, f"{prefix}if-modified-since") if since else None,
        if_unmodified_since=read_date(until, f"{prefix}if-unmodified-since") if until else None,
        lease_id=headers.get(lease) or None,
        if_tags=read_condition(tags) if tags else None,
    )


def _etags(text: str | None) -> str | None:
    return text.strip().strip('"') if text else None


def read_metadata(headers: Mapping[str, str]) -> dict[str, str]:
    """The x-ms-meta-* headers. UserError `InvalidMetadata`, `EmptyMetadataKey`, `MetadataTooLarge`."""
    found = {name[len(_META) :]: value for name, value in headers.items() if name.startswith(_META)}
    if not found:
        return found
    for name in found:
        if not name:
            raise UserError("A metadata header has no name.", code="EmptyMetadataKey")
        if not _META_NAME.match(name):
            raise UserError(f"The metadata name {name!r} is not allowed.", code="InvalidMetadata")
    if sum(len(name) + len(value) for name, value in found.items()) > METADATA_BYTES:
        raise UserError(f"The metadata is larger than {METADATA_BYTES} bytes.", code="MetadataTooLarge")
    return found


def read_properties(headers: Mapping[str, str], *, plain: bool = False) -> dict[str, str]:
    """The x-ms-blob-* headers as fields of Properties; `plain`: also those of the body, as Put Blob takes them."""
    found = {field: headers[name] for name, field in CONTENT_HEADERS.items() if headers.get(name)}
    if plain:
        for name, field in _ANSWER_HEADERS:
            if headers.get(name) and name != "content-md5":
                found.setdefault(field, headers[name])
    return found


def read_md5(text: str, name: str) -> bytes:
    """The 16 bytes of an MD5 header. UserError `InvalidMd5`."""
    return read_digest(text, name, "MD5", 16, "InvalidMd5")


def read_digest(text: str, name: str, kind: str, size: int, code: str) -> bytes:
    """The `size` bytes of a header that has them in base64; UserError `code` when it does not."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != size:
        raise UserError(f"The {kind} value in {name} is invalid: {size} bytes in base64.", code=code)
    return raw


def content_headers(properties: Properties) -> dict[str, str]:
    """The properties as an answer's headers."""
    found = {}
    for name, value in zip(_ANSWER_NAMES, _answer_values(properties), strict=True):
        if value:
            found[name] = value
    return found


def metadata_headers(metadata: Mapping[str, str]) -> dict[str, str]:
    """Metadata as an answer's headers."""
    return {_META + name: value for name, value in metadata.items()}


def read_range(text: str, size: int) -> tuple[int, int] | None:
    """(first byte, length) of a range header on so many bytes; None for a form that asks for everything.

    StorageError `InvalidRange` for a range beyond the end.
    """
    match = _RANGE.match(text.strip())
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        length = min(int(match[2]), size)
        first = size - length
    else:
        first = int(match[1])
        last = int(match[2]) if match[2] else size - 1
        if match[2] and last < first:
            return None
        length = min(last, size - 1) - first + 1
    if length <= 0 or first >= size:
        raise StorageError("The range specified is invalid for the current size of the resource.", code="InvalidRange")
    return first, length
