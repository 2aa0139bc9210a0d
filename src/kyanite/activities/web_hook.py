"""WebHook: call an address and wait until the other side calls back.

The callback address is a listener of this process on the loopback interface with an unguessable path. It goes with the
process: a run resumed in another process fails its waiting WebHook instead of waiting for a call that cannot come.
"""

from __future__ import annotations

import base64
import http.client
import ipaddress
import json
import queue
import secrets
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from kyanite.activities.context import ActivityContext
from kyanite.definitions.timespan import parse_timespan
from kyanite.errors import ActivityError, UnsupportedError
from kyanite.limits import WEB_BODY_BYTES

Json = Any
DEFAULT_TIMEOUT = "00:10:00"
ANSWER_SECONDS = 60
POLL_SECONDS = 0.2
METADATA = frozenset({"100.100.100.200", "168.63.129.16", "fd00:ec2::254"})  # beside the link-local ones


def run(context: ActivityContext) -> Json:
    """Send the request, then wait for the callback; its `Output` (or whole body) is the activity's output."""
    if context.recovering:
        raise ActivityError(
            "The process that waited for the callback has gone, and the callback address with it.", code="WebHookLost"
        )
    properties = context.type_properties
    seconds = parse_timespan(str(properties.get("timeout") or DEFAULT_TIMEOUT))
    with _listener() as (address, calls):
        context.progress({"callBackUri": address})
        _call(context, address)
        body = _wait(context, calls, seconds)
    return _result(body, report_status=properties.get("reportStatusOnCallBack") is True)


def _call(context: ActivityContext, callback: str) -> None:
    properties = context.type_properties
    if str(properties.get("method") or "POST").upper() != "POST":
        raise UnsupportedError("A WebHook can only POST.", cure="Set method to POST.")
    url = str(properties.get("url") or "")
    _refuse_internal(url)
    headers = {str(name): str(value) for name, value in (properties.get("headers") or {}).items()}
    headers.setdefault("Content-Type", "application/json")
    headers.update(_authorization(properties.get("authentication")))
    data = json.dumps(_with_callback(properties.get("body"), callback)).encode("utf-8")
    request = urllib.request.Request(url, data=data, headers=headers, method="POST")  # noqa: S310 - checked above
    try:
        _OPENER.open(request, timeout=ANSWER_SECONDS).close()
    except urllib.error.HTTPError as error:
        raise ActivityError(f"The address answered {error.code} {error.reason}.", code="2108") from error
    except (urllib.error.URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise ActivityError(f"The address could not be called: {reason}.", code="2108") from error


def _with_callback(body: Json, callback: str) -> dict[str, Json]:
    if isinstance(body, str) and body.strip():
        try:
            body = json.loads(body)
        except ValueError as error:
            raise ActivityError("The body of a WebHook must be a JSON object.", code="2111") from error
    if body is not None and body != "" and not isinstance(body, Mapping):
        raise ActivityError("The body of a WebHook must be a JSON object.", code="2111")
    return {**(body or {}), "callBackUri": callback}


def _authorization(authentication: Json) -> dict[str, str]:
    if not authentication:
        return {}
    kind = str(authentication.get("type", "Basic"))
    if kind.casefold() != "basic":
        raise UnsupportedError(f"WebHook authentication '{kind}' is not supported.", cure="Supported: Basic.")
    password = authentication.get("password")
    if isinstance(password, Mapping):
        password = password.get("value")
    text = f"{authentication.get('username', '')}:{password or ''}"
    return {"Authorization": "Basic " + base64.b64encode(text.encode("utf-8")).decode("ascii")}


def _refuse_internal(url: str) -> None:
    """Only http and https, and no address where clouds keep their metadata and tokens."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ActivityError(f"The url is no address: {error}.", code="2108") from error
    if parts.scheme not in ("http", "https") or not host:
        raise ActivityError(f"'{parts.scheme}' is no address that can be called; use http or https.", code="2108")
    try:
        found = socket.getaddrinfo(host, port or 443, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ActivityError(f"The host '{host}' is not known.", code="2108") from error
    for item in found:
        _refuse_metadata(str(item[4][0]))


def _refuse_metadata(host: str) -> None:
    address = ipaddress.ip_address(host)
    address = getattr(address, "ipv4_mapped", None) or address
    if address.is_link_local or str(address) in METADATA:
        raise ActivityError("The address is link-local or a cloud's metadata; such are refused.", code="2108")


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_arguments: Any, **_more: Any) -> None:
        """No other address than the author's gets the body and the credentials: a redirect is a refusal."""


class _Connection(http.client.HTTPConnection):
    def connect(self) -> None:
        """Check the address that is really there: a name may have changed its meaning since it was looked up."""
        super().connect()
        _refuse_metadata(self.sock.getpeername()[0])


class _SecureConnection(http.client.HTTPSConnection):
    def connect(self) -> None:
        """As `_Connection`."""
        super().connect()
        _refuse_metadata(self.sock.getpeername()[0])


class _Http(urllib.request.HTTPHandler):
    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Connection, request)


class _Https(urllib.request.HTTPSHandler):
    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_SecureConnection, request)


_OPENER = urllib.request.build_opener(_NoRedirects, _Http, _Https)


def _wait(context: ActivityContext, calls: queue.SimpleQueue[bytes], seconds: float) -> Json:
    left = seconds
    while left > 0:
        try:
            content = calls.get(timeout=min(POLL_SECONDS, left))
        except queue.Empty:
            left -= POLL_SECONDS
            if context.cancelled.is_set():
                raise ActivityError("The wait for the callback was stopped.", code="ActivityCancelled") from None
            continue
        try:
            return json.loads(content) if content.strip() else {}
        except ValueError as error:
            raise ActivityError("The callback's body is no JSON.", code="2111") from error
    raise ActivityError(f"No callback came within {seconds:,.0f} s.", code="ActivityTimeout")


def _result(body: Json, *, report_status: bool) -> Json:
    if not isinstance(body, Mapping):
        return {"body": body}
    status = str(body.get("StatusCode", "200"))
    if report_status and status.isdecimal() and int(status) >= 400:
        error = body.get("Error") or {}
        message = str(error.get("Message") or f"The callback reported status {status}.")
        raise ActivityError(message, code=str(error.get("ErrorCode") or status))
    output = body.get("Output")
    return output if isinstance(output, Mapping) else dict(body)


@contextmanager
def _listener() -> Iterator[tuple[str, queue.SimpleQueue[bytes]]]:
    """A loopback listener for one callback: its address, and the bodies that come."""
    path = f"/callback/{secrets.token_urlsafe(24)}"
    calls: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            known = secrets.compare_digest(self.path.encode(), path.encode())
            if known and length <= WEB_BODY_BYTES:
                calls.put(self.rfile.read(length))
            self.send_response(200 if known and length <= WEB_BODY_BYTES else 413 if known else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: Any) -> None:
            """Nothing: the path is a secret."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}{path}", calls
    finally:
        server.shutdown()
        server.server_close()
