"""How the Data Lake service writes and reads things: headers, conditions, JSON items and errors."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from kyanite.errors import KyaniteError, StorageError, UserError
from kyanite.limits import METADATA_BYTES
from kyanite.server.http import Request, Response
from kyanite.server.storage.headers import content_headers, http_date, read_conditions
from kyanite.server.storage.refusal import AccessRefused
from kyanite.storage import leases
from kyanite.storage.access_control import shown
from kyanite.storage.codes import status_of
from kyanite.storage.conditions import Conditions
from kyanite.storage.leases import Lease
from kyanite.storage.properties import Blob, Properties

# the Blob service's codes -> what this service says for the same thing
_CODES = {
    "BlobAlreadyExists": "PathAlreadyExists",
    "BlobNotFound": "PathNotFound",
    "ContainerAlreadyExists": "FilesystemAlreadyExists",
    "ContainerBeingDeleted": "FilesystemBeingDeleted",
    "ContainerNotFound": "FilesystemNotFound",
    "LeaseIdMismatchWithBlobOperation": "LeaseIdMismatch",
    "LeaseIdMismatchWithContainerOperation": "LeaseIdMismatch",
    "LeaseNotPresentWithBlobOperation": "LeaseNotPresent",
    "LeaseNotPresentWithContainerOperation": "LeaseNotPresent",
    "NotSupported": "NotImplemented",
}
_MESSAGES = {
    "FilesystemAlreadyExists": "The specified filesystem already exists.",
    "FilesystemNotFound": "The specified filesystem does not exist.",
    "PathAlreadyExists": "The specified path already exists.",
    "PathNotFound": "The specified path does not exist.",
}
_STATUS = {"FilesystemBeingDeleted": 409, "LeaseIdMismatch": 412, "LeaseNotPresent": 412, "ServerBusy": 503}
_FILETIME_EPOCH = 11_644_473_600
_CONTENT = {
    "cache-control": "cache_control",
    "content-disposition": "content_disposition",
    "content-encoding": "content_encoding",
    "content-language": "content_language",
    "content-type": "content_type",
}
_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


# ---- errors


def failure(request: Request, error: Exception) -> Response:
    """An error in the service's JSON; InternalError, without details, for what is no KyaniteError."""
    response = _failure(error)
    if request.method == "HEAD":  # clients parse what the type announces, and there is no body
        response.headers.pop("content-type", None)
        response.body = b""
    return response


def _failure(error: Exception) -> Response:
    if not isinstance(error, KyaniteError):
        return _failed(500, "InternalError", "The server encountered an internal error. Please retry.")
    code = _CODES.get(error.error_code, error.error_code)
    if isinstance(error, AccessRefused):
        message = f"{error.message} {error.detail}" if error.detail else error.message
        response = _failed(error.http_status, code, message)
        if error.challenge:
            response.headers["www-authenticate"] = error.challenge
        return response
    status = _STATUS.get(code) or status_of(error.error_code, error.status if error.status != 500 else 400)
    if code == "NotModified":
        return Response(304, {"x-ms-error-code": "ConditionNotMet"})
    return _failed(status, code, _MESSAGES.get(code, error.message))


def _failed(status: int, code: str, message: str) -> Response:
    text = f"{message}\nTime:{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}0Z"
    return Response.json({"error": {"code": code, "message": text}}, status, {"x-ms-error-code": code})


def unsupported_header(name: str) -> StorageError:
    """What a header that would change the meaning of a request, and is not known here, is answered with."""
    return StorageError(f"The header {name} is not supported.", code="UnsupportedHeader")


def bad_parameter(name: str, reason: str) -> UserError:
    """What a wrong query parameter is answered with."""
    return UserError(
        f"The value of the query parameter {name} is not valid: {reason}.", code="InvalidQueryParameterValue"
    )


def bad_header(name: str, reason: str) -> UserError:
    """What a wrong header is answered with."""
    return UserError(f"The value of the header {name} is not valid: {reason}.", code="InvalidHeaderValue")


# ---- what a request says


def number(request: Request, name: str, default: int | None = None) -> int:
    """A number of the query; the first default when it is not there."""
    text = request.query.get(name.lower())
    if not text:
        if default is None:
            raise UserError(f"The query parameter {name} is missing.", code="MissingRequiredQueryParameter")
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise bad_parameter(name, "it is not a number")
    return int(text)


def flag(request: Request, name: str) -> bool:
    """A yes or no of the query; no when it is not there."""
    text = request.query.get(name.lower()).lower()
    if text not in ("", "true", "false"):
        raise bad_parameter(name, "it is neither true nor false")
    return text == "true"


def conditions(request: Request, prefix: str = "") -> Conditions:
    """The conditions and the lease of a request; with the prefix `x-ms-source-` those of a rename's source."""
    return read_conditions(request.headers, prefix, f"{prefix or 'x-ms-'}lease-id")


def read_properties(text: str) -> dict[str, str]:
    """The metadata of an x-ms-properties header: `name=base64,name=base64`."""
    found: dict[str, str] = {}
    for piece in text.split(",") if text.strip() else ():
        name, separator, value = piece.strip().partition("=")
        if not separator or not name or not set(name) <= _TOKEN:
            raise UserError(
                "A property name cannot be empty and has letters, digits and _.", code="InvalidPropertyName"
            )
        try:
            found[name] = base64.b64decode(value, validate=True).decode("latin-1")
        except (ValueError, binascii.Error):
            raise bad_header("x-ms-properties", "a value is not base64") from None
        if any(character < " " for character in found[name]):
            raise bad_header("x-ms-properties", "a value has control characters")
    if sum(len(name) + len(value) for name, value in found.items()) > METADATA_BYTES:
        raise UserError("The properties are larger than 8 KiB.", code="MetadataTooLarge")
    return found


def properties_text(metadata: Mapping[str, str]) -> str:
    """The x-ms-properties header of some metadata."""
    return ",".join(
        f"{name}={base64.b64encode(value.encode('latin-1', 'replace')).decode()}" for name, value in metadata.items()
    )


def content_properties(request: Request) -> dict[str, Any]:
    """The fields of Properties that x-ms-cache-control and its kin set; only those that were given."""
    headers = request.headers
    return {field: headers[f"x-ms-{name}"] for name, field in _CONTENT.items() if f"x-ms-{name}" in headers}


# ---- what an answer says


def version_headers(blob: Blob) -> dict[str, str]:
    """ETag and Last-Modified."""
    return {"etag": f'"{blob.etag}"', "last-modified": http_date(blob.modified)}


def lease_headers(lease: Lease | None, now: datetime) -> dict[str, str]:
    """State, status and duration of a lease."""
    state = leases.state_of(lease, now)
    found = {
        "x-ms-lease-state": state,
        "x-ms-lease-status": "locked" if state in ("leased", "breaking") else "unlocked",
    }
    if lease is not None and state == "leased":
        found["x-ms-lease-duration"] = "infinite" if lease.seconds == -1 else "fixed"
    return found


def status_headers(blob: Blob, lease: Lease | None, now: datetime) -> dict[str, str]:
    """All that is known of a file or folder but for its metadata and access control list."""
    properties = blob.properties
    headers = {
        **version_headers(blob),
        "accept-ranges": "bytes",
        **content_headers(properties),
        "x-ms-resource-type": "directory" if blob.is_folder else "file",
        "x-ms-creation-time": http_date(blob.created),
        "x-ms-server-encrypted": "true",
        **lease_headers(lease, now),
    }
    access = shown(properties.access, is_folder=blob.is_folder)
    for name in ("owner", "group", "permissions"):
        headers[f"x-ms-{name}"] = access[name]
    return headers


def listed(blob: Blob) -> dict[str, str]:
    """The item of a path in a listing; numbers and flags are texts there."""
    access = shown(blob.properties.access, is_folder=blob.is_folder)
    item = {
        "contentLength": str(blob.size),
        "creationTime": str((int(blob.created.timestamp()) + _FILETIME_EPOCH) * 10_000_000),
        "etag": blob.etag,
        "group": access["group"],
        "lastModified": http_date(blob.modified),
        "name": blob.path,
        "owner": access["owner"],
        "permissions": access["permissions"],
    }
    if blob.is_folder:
        item["isDirectory"] = "true"
    return item


def with_content(properties: Properties, request: Request) -> Properties:
    """Properties changed by the request's x-ms-content headers and x-ms-properties."""
    changed = replace(properties, **content_properties(request))
    if "x-ms-properties" in request.headers:
        changed = replace(changed, metadata=read_properties(request.headers["x-ms-properties"]))
    return changed
