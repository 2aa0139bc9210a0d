"""A small client of the Batch REST API: any endpoint by address, account and key, over the standard library.

Every request is signed with SharedKey (batch reference 22) and every change is one that may be sent twice, so a
connection that broke is simply used again.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from kyanite import limits
from kyanite.errors import BatchError

API_VERSION = "2024-07-01.20.0"
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
_BUSY = (429, 503)
_BARE = {404: "FileNotFound"}  # refusals of HEAD carry no document, and only files are asked about with it


@dataclass(frozen=True)
class Answer:
    """A response of the service; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON; BatchError when it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise BatchError("The endpoint's answer is not JSON.", code="InvalidAnswer") from None


class Unreachable(BatchError):
    """The endpoint did not answer; whether it got the request is not known."""

    code = "EndpointUnreachable"
    status = 503


class RemoteBatch:
    """One account at a Batch endpoint (`https://ACCOUNT.REGION.batch.azure.com`, or one with a path). Thread-safe."""

    def __init__(self, endpoint: str, account: str, key: str) -> None:
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BatchError(
                f"'{endpoint}' is not a Batch endpoint.",
                cure="Write it as https://ACCOUNT.REGION.batch.azure.com.",
                code="InvalidPropertyValue",
            )
        self.endpoint = endpoint.rstrip("/")
        self._secure = parts.scheme == "https"
        self._host, self._port, self._prefix = parts.hostname, parts.port, parts.path.rstrip("/")
        self._account = account
        self._key = key
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()

    def get(self, path: str, headers: Mapping[str, str] | None = None, **query: str) -> Answer:
        """GET; `path` begins with `/` and is percent-encoded already."""
        return self.send("GET", path, headers=headers, query=query)

    def post(self, path: str, body: Any = None, **query: str) -> Answer:
        """POST a JSON body."""
        return self.send("POST", path, body=body, query=query)

    def send(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request; BatchError with the service's code for a refusal, Unreachable when nothing answered."""
        content = b"" if body is None else json.dumps(body).encode()
        for attempt in range(limits.REMOTE_TRIES):
            answer = self._exchange(method, path, content, dict(headers or {}), dict(query or {}))
            if answer.status not in _BUSY or attempt == limits.REMOTE_TRIES - 1:
                break
            after = answer.headers.get("retry-after", "")
            time.sleep(min(float(after) if after.isdigit() else 0.2 * 2**attempt, limits.REMOTE_WAIT_SECONDS))
        if answer.status >= 400:
            raise refusal(answer)
        return answer

    def pages(self, path: str, **query: str) -> Iterator[dict[str, Any]]:
        """Every item of a list, page by page."""
        answer = self.send("GET", path, query=query).json()
        while True:
            yield from answer.get("value", ())
            following = answer.get("odata.nextLink")
            if not following:
                return
            parts = urlsplit(following)
            below = parts.path[len(self._prefix) :] if parts.path.startswith(self._prefix + "/") else parts.path
            answer = self.send("GET", below, query=dict(parse_qsl(parts.query))).json()

    def close(self) -> None:
        """Close the connections that are not in use."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    # ---- the wire

    def _exchange(
        self, method: str, path: str, content: bytes, headers: dict[str, str], query: dict[str, str]
    ) -> Answer:
        query.setdefault("api-version", API_VERSION)
        headers["ocp-date"] = formatdate(usegmt=True)
        if method not in ("GET", "HEAD"):
            headers["content-length"] = str(len(content))
        if content:
            headers["content-type"] = "application/json; odata=minimalmetadata"
        raw_path = self._prefix + path
        headers["authorization"] = self._authorization(method, raw_path, headers, query)
        target = f"{raw_path}?{urlencode(query, quote_via=quote)}"
        fresh = False
        while True:
            connection, used = self._connection(fresh)
            try:
                connection.request(method, target, body=content or None, headers=headers)
                response = connection.getresponse()
                body = response.read()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                if used:  # the other side closed it while it lay idle
                    fresh = True
                    continue
                raise Unreachable(
                    f"The Batch endpoint does not answer: {error or type(error).__name__}.", where=self.endpoint
                ) from error
            with self._lock:
                self._idle.append(connection)
            return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, body)

    def _connection(self, fresh: bool) -> tuple[http.client.HTTPConnection, bool]:
        with self._lock:
            if self._idle and not fresh:
                return self._idle.pop(), True
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        return kind(self._host, self._port, timeout=limits.REMOTE_TIMEOUT_SECONDS), False

    def _authorization(self, method: str, raw_path: str, headers: Mapping[str, str], query: Mapping[str, str]) -> str:
        values = [headers.get(name, "") for name in _STANDARD]
        own = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers) if name.startswith("ocp-"))
        named = "".join(f"\n{name}:{query[name]}" for name in sorted(query))
        text = f"{method}\n" + "\n".join(values) + f"\n{own}/{self._account}{raw_path}{named}"
        try:
            key = base64.b64decode(self._key, validate=True)
        except ValueError:
            raise BatchError("The key of the Batch account is not base64.", where=self.endpoint) from None
        signature = base64.b64encode(hmac.new(key, text.encode(), hashlib.sha256).digest()).decode()
        return f"SharedKey {self._account}:{signature}"


def refusal(answer: Answer) -> BatchError:
    """The service's error as one of ours, with its code and its first line."""
    try:
        document = json.loads(answer.body)
        message = document["message"]
        text = message["value"] if isinstance(message, dict) else str(message)
        code = str(document["code"])
    except (ValueError, KeyError, TypeError):
        text = f"The endpoint answered with status {answer.status}."
        code = answer.headers.get("x-ms-error-code") or _BARE.get(answer.status, f"Status{answer.status}")
    return BatchError(text.partition("\n")[0], code=code)


def segment(text: str) -> str:
    """One step of a path, percent-encoded whole."""
    return quote(text, safe="")
