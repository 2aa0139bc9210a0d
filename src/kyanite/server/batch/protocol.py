"""What every operation of the Batch service shares: the call, its answer, ids, entity tags, the error body."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

from kyanite import limits
from kyanite.batch import codes
from kyanite.errors import BatchError, KyaniteError, LimitError
from kyanite.server.batch.filters import read_moment
from kyanite.server.http import Request, Response

if TYPE_CHECKING:
    from kyanite.batch.service import BatchService
    from kyanite.server.context import ServerContext
    from kyanite.server.tokens import Identity

JSON_TYPE = "application/json;odata=minimalmetadata"
_STATUS = {
    "Forbidden": 403,
    "InvalidRange": 416,
    "RequestBodyTooLarge": 413,
    "UnsupportedHttpVerb": 405,
}


@dataclass(slots=True)
class Call:
    """One request as a handler sees it.

    `parameters` are the named parts of the path, decoded; `body` is the JSON that was sent; `base` is the address of
    the account, without a slash at its end.
    """

    request: Request
    context: ServerContext
    account: str
    identity: Identity
    base: str
    parameters: Mapping[str, str]
    body: dict[str, Any] = field(default_factory=dict)

    @property
    def service(self) -> BatchService:
        """The workspace's Batch service."""
        return self.context.workspace.batch

    def query(self, name: str) -> str:
        """A query parameter, named in lower case."""
        return self.request.query.get(name)

    def flag(self, name: str) -> bool:
        """A query parameter that is true or false; false when it is not there. InvalidQueryParameterValue."""
        value = self.query(name).lower()
        if value not in ("", "true", "false"):
            raise wrong_query(name, value, "It is true or false.")
        return value == "true"

    def url(self, *names: str) -> str:
        """The address of an object below the account."""
        from urllib.parse import quote

        return "/".join((self.base, *(quote(name, safe=":") for name in names)))


@dataclass(slots=True)
class Reply:
    """What a handler answers. `document` None is an empty body; `status` None is the operation's usual one.

    `entity` is the object whose eTag, lastModified and url go into the headers, unless the document has them.
    """

    document: Mapping[str, Any] | None = None
    entity: Mapping[str, Any] | None = None
    status: int | None = None
    kind: str = ""  # what stands behind `$metadata#` in odata.metadata
    raw: Response | None = None  # a body that is not JSON, complete


def to_response(call: Call, reply: Reply, status: int) -> Response:
    """The answer on the wire."""
    if reply.raw is not None:
        return reply.raw
    entity = reply.entity if reply.entity is not None else reply.document or {}
    headers = entity_headers(entity)
    if call.request.method not in ("GET", "HEAD"):
        headers["dataserviceid"] = str(entity.get("url") or call.base + call.request.rest)
    code = reply.status or status
    if reply.document is None:
        return Response(code, headers)
    document = {"odata.metadata": f"{call.base}/$metadata#{reply.kind}", **reply.document}
    response = Response.json(document, code, headers)
    response.headers["content-type"] = JSON_TYPE
    return response


def entity_headers(entity: Mapping[str, Any]) -> dict[str, str]:
    """ETag and Last-Modified of an object, from its own JSON."""
    headers: dict[str, str] = {}
    if entity.get("eTag"):
        headers["etag"] = f'"{entity["eTag"]}"'
    moment = read_moment(str(entity.get("lastModified") or ""))
    if moment is not None:
        headers["last-modified"] = http_date(moment)
    return headers


def add_common(request: Request, response: Response, request_id: str) -> Response:
    """The headers that every answer has."""
    headers = response.headers
    headers["request-id"] = request_id
    headers["dataserviceversion"] = "3.0"
    client_id = request.headers.get("client-request-id", "")
    if client_id and request.headers.get("return-client-request-id", "").lower() == "true":
        headers["client-request-id"] = "".join(char for char in client_id[:100] if char.isprintable())
    return response


def new_request_id() -> str:
    """A fresh id for an answer."""
    return str(uuid.uuid4())


def failure(request: Request, error: Exception, request_id: str, now: datetime) -> Response:
    """The service's error body; for anything but our own errors InternalError without details."""
    known = error if isinstance(error, KyaniteError) else BatchError("The server failed.", code="InternalError")
    status = status_of(known)
    if status == 304 or request.method == "HEAD":
        return add_common(request, Response(status), request_id)
    trace = f"\nRequestId:{request_id}\nTime:{now.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}0Z"
    document = {
        "odata.metadata": f"{request.mounted.rstrip('/')}/$metadata#Microsoft.Azure.Batch.Protocol.Entities.Container."
        "errors/@Element",
        **error_json(known, trace),
    }
    response = Response.json(document, status)
    response.headers["content-type"] = JSON_TYPE
    return add_common(request, response, request_id)


def error_json(error: KyaniteError, trace: str = "") -> dict[str, Any]:
    """Code, message and values of an error as the service writes them; `trace` goes to the end of the message."""
    text = error.message
    if error.cure:
        text = f"{text} {error.cure}"
    document: dict[str, Any] = {
        "code": error.error_code,
        "message": {"lang": "en-US", "value": text + trace},
    }
    if isinstance(error, BatchError) and error.values:
        document["values"] = [{"key": key, "value": value} for key, value in error.values]
    return document


def status_of(error: KyaniteError) -> int:
    """The HTTP status of an error."""
    if isinstance(error, NotModified):
        return 304
    if error.error_code in _STATUS:
        return _STATUS[error.error_code]
    return codes.status_of(error.error_code) if isinstance(error, BatchError) else error.status


class NotModified(BatchError):
    """The read's condition says that the client has the object already; answered 304 without a body."""

    code = "ConditionNotMet"


def wrong_query(name: str, value: str, reason: str, code: str = "InvalidQueryParameterValue") -> BatchError:
    """A query parameter that cannot be used, with the service's three values."""
    details = (("QueryParameterName", name), ("QueryParameterValue", value[:1000]), ("Reason", reason))
    return BatchError(
        "Value for one of the query parameters specified in the request URI is invalid.", code=code, values=details
    )


def wrong_header(name: str, value: str, reason: str, code: str = "InvalidHeaderValue") -> BatchError:
    """A header that cannot be used."""
    details = (("HeaderName", name), ("HeaderValue", value[:200]), ("Reason", reason))
    return BatchError(
        "The value provided for one of the HTTP headers was not in the correct format.", code=code, values=details
    )


def http_date(moment: datetime) -> str:
    """RFC 1123, GMT."""
    return format_datetime(moment.astimezone(UTC).replace(microsecond=0), usegmt=True)


async def read_json(request: Request, most: int) -> dict[str, Any]:
    """The JSON object of a body; an empty body is an empty object. InvalidRequestBody, RequestBodyTooLarge."""
    data = await request.body(most)
    if not data:
        return {}
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise wrong_header("Content-Type", kind, "The body is JSON: application/json.")
    return parse_json(data)


def parse_json(data: bytes) -> dict[str, Any]:
    """A JSON object within the limits of depth and names. InvalidRequestBody."""
    try:
        document = json.loads(data.decode("utf-8-sig"), parse_constant=_no_constant)
        _check_shape(document)
    except (UnicodeDecodeError, ValueError, RecursionError) as problem:
        reason = "It is nested too deeply." if isinstance(problem, RecursionError) else str(problem)
        raise BatchError(
            "The request body is not the JSON of an object.",
            code="InvalidRequestBody",
            values=(("Reason", reason[:300]),),
        ) from None
    if not isinstance(document, dict):
        raise BatchError("The request body is not a JSON object.", code="InvalidRequestBody")
    return document


def _check_shape(document: Any) -> None:
    """ValueError for a value that is nested too deeply, has too many members, or a text that is no Unicode."""
    waiting: list[tuple[Any, int]] = [(document, 1)]
    count = 0
    while waiting:
        value, depth = waiting.pop()
        if depth > limits.JSON_DEPTH:
            raise ValueError(f"It is nested more than {limits.JSON_DEPTH} deep.")
        if isinstance(value, str):
            value.encode()  # half a surrogate pair: UnicodeEncodeError is a ValueError
            continue
        if not isinstance(value, dict | list):
            continue
        count += len(value)
        if count > limits.JSON_KEYS:
            raise ValueError(f"It has more than {limits.JSON_KEYS} members.")
        members = [*value, *value.values()] if isinstance(value, dict) else value
        waiting.extend((member, depth + 1) for member in members)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON.")


def too_large_for(error: LimitError) -> BatchError:
    """A body beyond its limit, in the service's words."""
    return BatchError(error.message, code="RequestBodyTooLarge")
