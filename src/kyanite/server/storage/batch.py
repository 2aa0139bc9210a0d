"""Blob Batch: up to 256 deletions or changes of tier in one request, each one signed for itself."""

from __future__ import annotations

import http
import re
import uuid

from kyanite.errors import KyaniteError, UserError
from kyanite.limits import BATCH_BYTES, BATCH_REQUESTS
from kyanite.server.http import Query, Request, Response
from kyanite.server.storage.call import Call

_BOUNDARY = re.compile(r'boundary\s*=\s*"?([^";]*)"?', re.IGNORECASE)


async def run(call: Call) -> Response:
    """The answers to all parts, in their order."""
    found = [text.strip() for text in _BOUNDARY.findall(call.required("content-type"))]
    body = await call.request.body(BATCH_BYTES)
    if len(found) != 1 or not found[0]:  # the service answers such a batch as one part that failed
        code = "InvalidInput" if len(found) > 1 else "InvalidHeaderValue"
        problem = UserError("A batch is a multipart/mixed body with one boundary.", code=code)
        answers = [_part(call.service.failure(call.request, problem))]
    else:
        parts = _parts(body, found[0].encode("latin-1"))
        if not 1 <= len(parts) <= BATCH_REQUESTS:
            raise UserError(f"A batch has 1 to {BATCH_REQUESTS} requests.", code="InvalidInput")
        answers = [await _answer(call, part) for part in parts]
    boundary = f"batchresponse_{uuid.uuid4()}"
    text = b"".join(f"--{boundary}\r\n".encode() + each for each in answers) + f"--{boundary}--".encode()
    return Response(202, {"content-type": f"multipart/mixed; boundary={boundary}"}, text)


def _parts(body: bytes, boundary: bytes) -> list[bytes]:
    pieces = (b"\r\n" + body.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")).split(b"\r\n--" + boundary)
    return [piece for piece in pieces[1:] if not piece.startswith(b"--")]


async def _answer(call: Call, part: bytes) -> bytes:
    """One part's answer, as HTTP inside a part."""
    head, _, inner = part.lstrip(b"\r\n").partition(b"\r\n\r\n")
    content_id = _headers(head.decode("latin-1").split("\r\n")).get("content-id", "")
    request = None
    try:
        request = _request(call, inner)
        response = await call.service.blob(request)
    except KyaniteError as error:
        response = call.service.failure(request or call.request, error)
    return _part(call.service.finish(request or call.request, response), content_id)


def _part(response: Response, content_id: str = "") -> bytes:
    body = response.body if isinstance(response.body, bytes) else b""
    if body:
        response.headers["content-length"] = str(len(body))
    reason = http.HTTPStatus(response.status).phrase
    lines = ["Content-Type: application/http", *([f"Content-ID: {content_id}"] if content_id else []), ""]
    lines += [f"HTTP/1.1 {response.status} {reason}", *(f"{k}: {v}" for k, v in response.headers.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1", "replace") + body + b"\r\n"


def _request(call: Call, text: bytes) -> Request:
    lines = text.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3:
        raise UserError("A part of the batch is no HTTP request.", code="InvalidInput")
    method, target, _ = words
    raw_path, _, query = target.partition("?")
    own = call.request
    headers = _headers(lines[1:])
    if headers.get("content-length") == "0":  # a part has no version of its own, and today's signatures leave it out
        del headers["content-length"]
    request = Request(method, own.scheme, own.host, own.port, raw_path, Query(query), headers, own.client)
    request.account, request.rest, request.host_style = call.account.name, raw_path, own.host_style
    mounted = f"/{call.account.name}/"
    if not own.host_style and raw_path.startswith(mounted):
        request.rest = raw_path[len(mounted) - 1 :]
    elif not own.host_style:  # clients leave the account out; they sign it as if it stood in the host
        request.host_style = True
    may = method == "DELETE" or (method == "PUT" and request.query.get("comp") == "tier")
    if not may or request.query.get("restype"):
        raise UserError("A batch deletes blobs or sets their tiers, nothing else.", code="InvalidInput")
    if call.container and request.rest.split("/")[1:2] != [call.container]:
        raise UserError("A part of the batch names another container.", code="InvalidInput")
    return request


def _headers(lines: list[str]) -> dict[str, str]:
    pairs = (line.partition(":") for line in lines if ":" in line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}
