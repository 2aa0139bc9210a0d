"""Requests and responses as every service here sees them.

Routing, bodies and headers are Azure's own, so no web framework stands between: what a request signs is its raw,
still percent-encoded path, and what it asks for stands in `comp=`, `restype=`, `action=` and headers.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from time import perf_counter
from typing import Any, Protocol
from urllib.parse import unquote

from kyanite.errors import LimitError

# the next piece of a body, b"" at its end; ClientGone when the client hangs up before that
Receive = Callable[[], Awaitable[bytes]]


class Query:
    """The query of an address: names in any case, values decoded, in their order."""

    def __init__(self, raw: str) -> None:
        self.raw = raw
        self.pairs: list[tuple[str, str]] = []
        for piece in raw.split("&") if raw else ():
            name, _, value = piece.partition("=")
            self.pairs.append((unquote(name.replace("+", " ")), unquote(value.replace("+", " "))))
        self._first: dict[str, str] = {}
        for name, value in self.pairs:
            self._first.setdefault(name.lower(), value)

    def get(self, name: str, default: str = "") -> str:
        """The first value of a name (given in lower case)."""
        return self._first.get(name, default)

    @property
    def is_empty(self) -> bool:
        """Whether there is none."""
        return not self.pairs

    def __contains__(self, name: str) -> bool:
        return name in self._first


async def no_body() -> bytes:
    """The body of a request that has none."""
    return b""


@dataclass(slots=True)
class Request:
    """One request. `raw_path` is as it came; `headers` has lower-case names; `host` has no port."""

    method: str
    scheme: str
    host: str
    port: int | None
    raw_path: str
    query: Query
    headers: Mapping[str, str]
    client: str
    receive: Receive = field(default=no_body, repr=False)
    rest: str = ""  # the raw path below where the service is mounted, beginning with "/" or empty
    account: str = ""  # the account the address names: by its host or its first part
    host_style: bool = False  # the account stands in the host name, not in the path
    service: str = ""  # the name of the service it is for
    identity: Any = None  # who asks, once a service has found out
    begun: float = field(default_factory=perf_counter)

    @property
    def path(self) -> str:
        """The decoded path below the service's place."""
        return unquote(self.rest)

    @property
    def origin(self) -> str:
        """Scheme, host and port under which the client reached us: the beginning of the links we give out."""
        port = "" if self.port in (None, {"http": 80, "https": 443}[self.scheme]) else f":{self.port}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}{port}"

    @property
    def mounted(self) -> str:
        """`origin` with the part of the path that stands before `rest`."""
        return self.origin + (self.raw_path[: len(self.raw_path) - len(self.rest)] if self.rest else self.raw_path)

    @property
    def content_length(self) -> int | None:
        """The announced size of the body in bytes."""
        text = self.headers.get("content-length", "")
        return int(text) if text.isascii() and text.isdigit() else None

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body piece by piece, as it arrives. ClientGone when the client hangs up before its end."""
        while piece := await self.receive():
            yield piece

    async def body(self, most: int) -> bytes:
        """The whole body; LimitError `RequestBodyTooLarge` beyond so many bytes."""
        if (self.content_length or 0) > most:
            raise too_large(most)
        pieces: list[bytes] = []
        size = 0
        async for piece in self.chunks():
            size += len(piece)
            if size > most:
                raise too_large(most)
            pieces.append(piece)
        return b"".join(pieces)


class ClientGone(Exception):
    """The client closed the connection in the middle of its request."""


def too_large(most: int) -> LimitError:
    """What a body of more than `most` bytes is answered with."""
    return LimitError(f"The request's body is larger than {most:,} bytes.", code="RequestBodyTooLarge")


@dataclass(slots=True)
class FileBody:
    """So many bytes of an open file as a body; whoever sends it closes the file."""

    fd: int
    first: int
    length: int

    def close(self) -> None:
        """Close the file; twice is fine."""
        if self.fd >= 0:
            fd, self.fd = self.fd, -1
            os.close(fd)


@dataclass(slots=True)
class Response:
    """An answer; a body that is not at hand is streamed and needs its `content-length` among the headers."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | bytearray | FileBody | AsyncIterator[bytes | bytearray] = b""

    @staticmethod
    def json(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
        """A JSON body."""
        body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        return Response(status, {"content-type": "application/json; charset=utf-8", **(headers or {})}, body)

    @staticmethod
    def text(text: str, status: int = 200) -> Response:
        """A plain text body."""
        return Response(status, {"content-type": "text/plain; charset=utf-8"}, text.encode())


class Service(Protocol):
    """Something mounted on the server. `handle` may raise KyaniteError; `failure` gives it the service's shape."""

    name: str

    async def handle(self, request: Request) -> Response:
        """Answer the request."""
        ...

    def failure(self, request: Request, error: Exception) -> Response:
        """The service's error body for a KyaniteError, or InternalError (without details) for any other."""
        ...


@lru_cache(maxsize=256)
def split_host(text: str) -> tuple[str, int | None]:
    """A Host header as (lower-case name without brackets, port or None)."""
    text = text.strip().lower()
    if text.startswith("["):
        name, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
    else:
        name, _, port = text.partition(":")
    return name.rstrip("."), int(port) if port.isascii() and port.isdigit() else None
