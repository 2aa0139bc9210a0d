"""Errors as Azure Resource Manager writes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kyanite.errors import KyaniteError
from kyanite.server.http import Response
from kyanite.server.management.arm import ArmError
from kyanite.server.tokens import AuthenticationError

Json = Any

# what a client may try again, by code
_BUSY = {"DatabaseLocked": 503, "DiskFull": 507}
_CHALLENGE = 'Bearer authorization_uri="https://login.microsoftonline.com/common", error="invalid_token"'


def error_body(error: Exception) -> dict[str, Json]:
    """`{"error": {code, message, target, details}}`; nothing of an unexpected error is told."""
    if not isinstance(error, KyaniteError):
        return {"error": {"code": "InternalError", "message": "The server failed; its log says why."}}
    body: dict[str, Json] = {"code": error.error_code, "message": _message(error)}
    if isinstance(error, ArmError):
        body["target"] = error.target
        body["details"] = error.details
    return {"error": body}


def status_of(error: Exception) -> int:
    """The HTTP status of an error."""
    if isinstance(error, ArmError):
        return error.http_status
    if isinstance(error, KyaniteError):
        return _BUSY.get(error.error_code, error.status)
    return 500


def failure_response(error: Exception, mask: Mapping[str, Json] | None = None) -> Response:
    """The answer to a failed call; `mask` is its body when secrets had to be taken out."""
    headers = dict(error.headers) if isinstance(error, ArmError) else {}
    if isinstance(error, AuthenticationError):
        headers["www-authenticate"] = _CHALLENGE
    return Response.json(mask if mask is not None else error_body(error), status_of(error), headers)


def _message(error: KyaniteError) -> str:
    return str(error)
