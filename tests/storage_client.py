"""A bare client of the storage service for tests: any request, signed with an account key."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any
from urllib.parse import quote, unquote, urlsplit

VERSION = "2026-02-06"
_SIGNED = "content-encoding content-language content-length content-md5 content-type date if-modified-since if-match"
_SIGNED += " if-none-match if-unmodified-since range"


@dataclass(frozen=True)
class Answer:
    """Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The service's error code, empty for a success."""
        return self.headers.get("x-ms-error-code", "")


class StorageClient:
    """Sends requests for one account: its name is the first part of the path, or in a host name if one is given."""

    def __init__(self, url: str, account: str, key: str, host: str = "") -> None:
        self.netloc = urlsplit(url).netloc
        self.account = account
        self.key = key
        self.host = host

    def send(
        self,
        method: str,
        path: str,
        query: str = "",
        body: bytes = b"",
        *,
        signed: bool = True,
        **headers: str,
    ) -> Answer:
        """One request; `path` below the account, not encoded yet; header names with `_` for `-`."""
        raw = quote(path) if self.host else f"/{self.account}{quote(path)}"
        return self.send_raw(method, raw, query, body, signed=signed, headers=headers)

    def send_raw(
        self, method: str, path: str, query: str, body: bytes, *, signed: bool = True, headers: Mapping[str, str]
    ) -> Answer:
        """The same with the path as it goes over the wire."""
        sent = {name.replace("_", "-").lower(): value for name, value in headers.items()}
        sent.setdefault("x-ms-version", VERSION)
        sent.setdefault("x-ms-date", formatdate(usegmt=True))
        sent["content-length"] = str(len(body))
        if signed:
            sent["authorization"] = f"SharedKey {self.account}:{self._signature(method, path, query, sent)}"
        if self.host:
            sent["host"] = self.host
        connection = http.client.HTTPConnection(self.netloc, timeout=30)
        try:
            connection.request(method, f"{path}?{query}" if query else path, body=body, headers=sent)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        finally:
            connection.close()

    def _signature(self, method: str, path: str, query: str, headers: Mapping[str, str]) -> str:
        values = [headers.get(name, "") for name in _SIGNED.split()]
        values[2] = "" if values[2] == "0" else values[2]
        own = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers) if name.startswith("x-ms-"))
        pairs = sorted((name.lower(), unquote(value)) for name, _, value in _pairs(query))
        resource = f"/{self.account}{path}" + "".join(f"\n{name}:{value}" for name, value in pairs)
        text = "\n".join((method, *values)) + f"\n{own}{resource}"
        digest = hmac.digest(base64.b64decode(self.key), text.encode("latin-1"), hashlib.sha256)
        return base64.b64encode(digest).decode()


def _pairs(query: str) -> list[tuple[str, str, str]]:
    return [piece.partition("=") for piece in query.split("&") if piece]
