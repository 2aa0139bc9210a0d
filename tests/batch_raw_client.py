"""A client of the Batch service for tests that the official ones cannot do: any bytes, signed or not."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import quote, urlsplit

from kyanite.server.batch.shared_key import Signed, sign, string_to_sign
from kyanite.server.http import Query

VERSION = "2025-06-01"
JSON = "application/json; odata=minimalmetadata"


@dataclass(frozen=True)
class Answer:
    """Status, headers with lower-case names, the whole body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The error's code; empty when it is no error of the service."""
        try:
            return self.json["code"] if self.status >= 400 else ""
        except (ValueError, KeyError, TypeError):
            return ""


class RawClient:
    """Signs what it is told to send, over one connection."""

    def __init__(self, endpoint: str, account: str, key: str) -> None:
        parts = urlsplit(endpoint)
        self.connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
        self.prefix = parts.path
        self.account = account
        self.key = key

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *_details: object) -> None:
        self.connection.close()

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: dict[str, str] | str | None = None,
        headers: dict[str, str] | None = None,
        version: str | None = VERSION,
        signature: str | None = None,
        at: datetime | None = None,
    ) -> Answer:
        """`path` is raw, below the endpoint; other bodies than bytes go as JSON; `signature` replaces the right one."""
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        pairs = query if isinstance(query, dict) else {}
        if version is not None:
            pairs = {"api-version": version, **pairs}
        text = "&".join(f"{quote(name, safe='$')}={quote(value, safe='')}" for name, value in pairs.items())
        if isinstance(query, str):
            text = f"{text}&{query}" if text else query
        raw_path = self.prefix + path
        sent = {"ocp-date": format_datetime(at or datetime.now(UTC), usegmt=True)}
        if data:
            sent["content-type"] = JSON
        if method not in ("GET", "HEAD"):
            sent["content-length"] = str(len(data))
        sent.update(headers or {})
        if "authorization" not in sent:
            signed = Signed(method, raw_path, {name.lower(): value for name, value in sent.items()}, Query(text).pairs)
            mac = sign(self.key, string_to_sign(signed, self.account)) if signature is None else signature
            sent["authorization"] = f"SharedKey {self.account}:{mac}"
        if not sent["authorization"]:
            del sent["authorization"]
        target = f"{raw_path}?{text}" if text else raw_path
        self.connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in sent.items():
            self.connection.putheader(name, value)
        try:
            self.connection.endheaders(data)
            response = self.connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        except (ConnectionError, http.client.HTTPException):
            self.connection.close()
            raise
