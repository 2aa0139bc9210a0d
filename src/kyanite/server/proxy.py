"""A loopback HTTP proxy: Azure's names of this workspace's accounts lead to this server, others nowhere or outside.

A client that honours HTTPS_PROXY asks it to CONNECT to `ACCOUNT.blob.core.windows.net:443`; it then speaks TLS with us
under that name. Absolute `http://` addresses of those names are answered too, and so are requests that name no other
host than this machine: the managed-identity endpoint stands on the same port. Everything else is refused, or tunnelled
when the credential in the proxy's address says so. Who has no credential of this workspace is refused altogether.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import logging
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

from kyanite.limits import CONNECTIONS, REQUEST_HEAD_BYTES, REQUEST_HEAD_SECONDS
from kyanite.server.http import split_host
from kyanite.server.listener import HANDSHAKE_SECONDS, MakeConnection
from kyanite.server.outside import Refusal, Relay, connect, upstream_proxy
from kyanite.server.places import azure_suffix

_LOG = logging.getLogger("kyanite.server")
_END_OF_HEAD = b"\r\n\r\n"


@dataclass
class Proxy:
    """What all connections of a proxy share.

    `credentials`: "user:password" -> whether the rest of the network may be reached with it. `is_ours` may wait for
    the disk: it is called in a thread.
    """

    is_ours: Callable[[str], bool]
    tls: ssl.SSLContext
    credentials: Mapping[str, bool]
    upstream: Callable[[str, str], str | None] = upstream_proxy
    connections: set[Front | Relay] = field(default_factory=set)

    async def close_at_stop(self) -> None:
        """For a Listener's `also`: hang up on all clients when the server stops."""
        try:
            await asyncio.Event().wait()
        finally:
            for connection in list(self.connections):
                connection.abort()

    def front(self, make: MakeConnection) -> asyncio.Protocol:
        """What a client of the proxy meets first."""
        return Front(self, make)

    def open_for(self, header: str) -> bool | None:
        """Whether a Proxy-Authorization header opens the network; None when it is not one of ours."""
        scheme, _, encoded = header.strip().partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            given = base64.b64decode(encoded.strip(), validate=True)
        except (ValueError, binascii.Error):
            return None
        found = [opens for known, opens in self.credentials.items() if hmac.compare_digest(given, known.encode())]
        return found[0] if found else None


@dataclass(frozen=True)
class Head:
    """The first lines of what a client sends: `raw` as they came, headers by lower-case name."""

    method: str
    target: str
    headers: Mapping[str, str]
    raw: bytes = field(repr=False)

    def forwarded(self, target: str) -> bytes:
        """The same request for another target, without what was meant for a proxy, the last of its connection."""
        lines = self.raw.split(b"\r\n")
        version = lines[0].rpartition(b" ")[2]
        kept = [line for line in lines[1:] if line and not line.lower().startswith((b"proxy-", b"connection:"))]
        first = f"{self.method} {target} ".encode("latin-1") + version
        return b"\r\n".join([first, *kept, b"Connection: close", b"", b""])


def read_head(raw: bytes) -> Head | None:
    """The head of a request; None when it is none."""
    lines = raw.decode("latin-1").split("\r\n")
    first = lines[0].split(" ")
    if len(first) != 3 or not first[2].startswith("HTTP/1."):
        return None
    headers: dict[str, str] = {}
    for line in lines[1:]:
        if line:
            name, colon, value = line.partition(":")
            if not colon or name != name.strip() or not name:
                return None
            headers[name.lower()] = value.strip()
    return Head(first[0], first[1], headers, raw)


class Front(asyncio.Protocol):
    """A client of the proxy until it is clear where it wants to go; then another protocol takes its connection."""

    def __init__(self, proxy: Proxy, make: MakeConnection) -> None:
        self._proxy = proxy
        self._make = make
        self._data = b""
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first lines, not for ever."""
        self._transport = cast(asyncio.Transport, transport)
        self._proxy.connections.add(self)
        if len(self._proxy.connections) > CONNECTIONS:
            self._end(Refusal(503, "Too many connections"))
            return
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(REQUEST_HEAD_SECONDS, self._end, Refusal(408, "Request Timeout"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._proxy.connections.discard(self)
        self._stop_timer()
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        """Gather the head; what follows it waits."""
        self._data += data
        if self._task is not None:
            return
        head, end, rest = self._data.partition(_END_OF_HEAD)
        if not end:
            if len(self._data) > REQUEST_HEAD_BYTES:
                self._end(Refusal(431, "Request Header Fields Too Large"))
            return
        self._stop_timer()
        self._transport.pause_reading()
        self._data = rest
        self._task = asyncio.ensure_future(self._go(head + end))

    async def _go(self, raw: bytes) -> None:
        try:
            head = read_head(raw)
            if head is None:
                raise Refusal(400, "Bad Request")
            if head.target.startswith("/"):
                self._hand_over(self._make(), raw + self._data)
            elif head.method == "CONNECT":
                await self._connect(head)
            else:
                await self._absolute(head)
        except Refusal as refusal:
            self._end(refusal)
        except OSError:  # TLS that fails is one, too
            self._transport.abort()
        except Exception:  # noqa: BLE001 - told to the log; the client sees its connection end
            _LOG.exception("a connection through the proxy failed")
            self._transport.abort()

    async def _connect(self, head: Head) -> None:
        host, port = split_host(head.target)
        opens = self._permission(head)
        if not host or port is None or self._data:
            raise Refusal(400, "Bad Request")
        if await self._is_ours(host):
            await self._answer_tls()
            return
        outside = await connect(host, port, self._outside(opens, "https", host))
        self._transport.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        self._relay(outside)

    async def _answer_tls(self) -> None:
        """TLS begins on this connection, and behind it HTTP, as if the client had come to our https port."""
        self._transport.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        connection = self._make()
        self._proxy.connections.discard(self)
        encrypted = await asyncio.get_running_loop().start_tls(
            self._transport, connection, self._proxy.tls, server_side=True, ssl_handshake_timeout=HANDSHAKE_SECONDS
        )
        if encrypted is None:
            raise ConnectionAbortedError
        connection.connection_made(encrypted)

    async def _absolute(self, head: Head) -> None:
        url = urlsplit(head.target)
        host, port = split_host(url.netloc.rpartition("@")[2])
        opens = self._permission(head)
        if url.scheme.lower() != "http" or not host:
            raise Refusal(400, "Bad Request")
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        if await self._is_ours(host):
            self._hand_over(self._make(), head.forwarded(path) + self._data)
            return
        upstream = self._outside(opens, "http", host)
        outside = await connect(host, port or 80, upstream, tunnel=False)
        outside.write(head.forwarded(head.target if upstream else path) + self._data)
        self._relay(outside)

    def _permission(self, head: Head) -> bool:
        opens = self._proxy.open_for(head.headers.get("proxy-authorization", ""))
        if opens is None:
            raise Refusal(407, "Proxy Authentication Required")
        return opens

    async def _is_ours(self, host: str) -> bool:
        return azure_suffix(host) is not None and await asyncio.to_thread(self._proxy.is_ours, host)

    def _outside(self, opens: bool, scheme: str, host: str) -> str | None:
        if not opens:
            raise Refusal(403, _why(host))
        return self._proxy.upstream(scheme, host)

    def _relay(self, outside: asyncio.Transport) -> None:
        relay = Relay(outside, lambda: self._proxy.connections.discard(relay))
        self._proxy.connections.add(relay)
        self._hand_over(relay, b"")

    def _hand_over(self, protocol: asyncio.Protocol, data: bytes) -> None:
        self._proxy.connections.discard(self)
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        if data:
            protocol.data_received(data)
        self._transport.resume_reading()

    def abort(self) -> None:
        """Hang up."""
        self._transport.abort()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _end(self, refusal: Refusal) -> None:
        if not self._transport.is_closing():
            self._transport.write(refusal.encoded())
            self._transport.close()


def _why(host: str) -> str:
    suffix = azure_suffix(host)
    if suffix is not None:
        return f"kyanite: this workspace has no account {host.partition('.')[0]} (--allow-network lets {host} through)"
    return f"kyanite: {host} is not in this workspace (--allow-network lets it through)"
