"""The proxy's way to the rest of the network: never to addresses that only this machine's cloud host answers."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import cast
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from kyanite.limits import REQUEST_HEAD_BYTES

CONNECT_SECONDS = 20
# what hands out the credentials of the machine itself, in the clouds that have it at a fixed address
_METADATA = frozenset(map(ip_address, ("168.63.129.16", "169.254.169.254", "100.100.100.200", "fd00:ec2::254")))
_END_OF_HEAD = b"\r\n\r\n"
_RELAY_BUFFER = 256 * 1024


@dataclass
class Refusal(Exception):
    """Why a client is not let through; it sees status and text, most programs show both."""

    status: int
    text: str

    def encoded(self) -> bytes:
        """The answer, the text in its first line and in its body."""
        ask = b'Proxy-Authenticate: Basic realm="kyanite"\r\n' if self.status == 407 else b""
        text = "".join(char if " " <= char <= "~" else "?" for char in self.text)[:300]
        body = f"{text}\n".encode()
        head = f"HTTP/1.1 {self.status} {text}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
        return head.encode() + ask + b"Connection: close\r\n\r\n" + body


class Relay(asyncio.Protocol):
    """Passes bytes on to another transport, as fast as that takes them; a twin of it does so the other way round."""

    def __init__(self, target: asyncio.Transport, ended: Callable[[], object], twin: Relay | None = None) -> None:
        self._target = target
        self._ended = ended
        self._twin = twin
        self._at_end = False
        self._own: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, in both directions."""
        self._own = cast(asyncio.Transport, transport)
        self._own.set_write_buffer_limits(_RELAY_BUFFER)
        if self._twin is None:
            self._twin = Relay(self._own, self._ended, self)
            waiting = cast(Waiting, self._target.get_protocol())
            self._target.set_protocol(self._twin)
            self._twin.connection_made(self._target)
            self._twin.data_received(waiting.data)
            if waiting.at_end:
                self._twin.eof_received()
            else:
                self._target.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Pass it on."""
        self._target.write(data)

    def eof_received(self) -> bool:
        """Pass that on too; the other direction goes on until its own end."""
        self._at_end = True
        if self._twin is not None and self._twin._at_end:
            return False
        if not self._target.is_closing() and self._target.can_write_eof():
            self._target.write_eof()
        return True

    def pause_writing(self) -> None:
        """Who reads from us is slow: the other side must wait."""
        self._target.pause_reading()

    def resume_writing(self) -> None:
        """The other side may go on."""
        if not self._target.is_closing():
            self._target.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Neither side is of use without the other."""
        self._target.close()
        self._ended()

    def abort(self) -> None:
        """Hang up on both."""
        self._own.abort()


async def connect(host: str, port: int, upstream: str | None, *, tunnel: bool = True) -> asyncio.Transport:
    """A connection to a host, or to the proxy that leads there (asked to tunnel); reading is paused. Refusal if not."""
    if _is_barred(host):
        raise Refusal(403, f"kyanite: {host} is an address of this machine's cloud host")
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            if upstream is None:
                return await _open(host, port)
            url = urlsplit(upstream if "://" in upstream else f"http://{upstream}")
            if url.scheme != "http" or not url.hostname:
                raise Refusal(502, f"kyanite: a proxy of the kind {url.scheme} cannot be used")
            transport = await _open(url.hostname, url.port or 80)
            return await _tunnel(transport, f"{host}:{port}", url) if tunnel else transport
    except TimeoutError:
        raise Refusal(504, f"kyanite: {host} did not answer in {CONNECT_SECONDS} s") from None
    except OSError as problem:
        raise Refusal(502, f"kyanite: {host} cannot be reached: {problem.strerror or problem}") from problem


def upstream_proxy(scheme: str, host: str) -> str | None:
    """The proxy that this machine's settings name for a host: HTTPS_PROXY and the like, NO_PROXY."""
    proxies = getproxies()
    url = proxies.get(scheme) or proxies.get("all")
    return None if not url or proxy_bypass(host) else url


async def _open(host: str, port: int) -> asyncio.Transport:
    """Connected, and to a permitted address: names are looked at after they were resolved, not before."""
    transport, _ = await asyncio.get_running_loop().create_connection(Waiting, host, port)
    peer = transport.get_extra_info("peername")
    if peer is None or _is_barred(peer[0]):
        transport.abort()
        raise Refusal(403, f"kyanite: {host} leads to an address of this machine's cloud host")
    return transport


def _is_barred(host: str) -> bool:
    try:
        address: IPv4Address | IPv6Address = ip_address(host.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address.sixtofour or address
    return address.is_link_local or address.is_multicast or address.is_unspecified or address in _METADATA


async def _tunnel(transport: asyncio.Transport, target: str, url: SplitResult) -> asyncio.Transport:
    """Ask another proxy to connect."""
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if url.username is not None:
        given = f"{unquote(url.username)}:{unquote(url.password or '')}"
        lines.append(f"Proxy-Authorization: Basic {base64.b64encode(given.encode()).decode()}")
    transport.write("\r\n".join([*lines, "", ""]).encode())
    transport.resume_reading()
    answer = await cast(Waiting, transport.get_protocol()).head()
    transport.pause_reading()
    if answer.split(b" ", 2)[1:2] != [b"200"]:
        transport.abort()
        first = answer.partition(b"\r\n")[0].decode("latin-1")
        raise Refusal(502, f"kyanite: the proxy that this machine uses answered '{first}'")
    return transport


class Waiting(asyncio.Protocol):
    """A connection that nobody uses yet: it keeps what the other side says first for who takes it over."""

    def __init__(self) -> None:
        self.data = b""
        self.at_end = False
        self._changed = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        """Keep it."""
        self.data += data
        if _END_OF_HEAD in self.data or len(self.data) > REQUEST_HEAD_BYTES:
            self._changed.set()

    def eof_received(self) -> bool:
        """The other side has said all; we may still speak."""
        self.at_end = True
        self._changed.set()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """No more will come."""
        self._changed.set()

    async def head(self) -> bytes:
        """The head of a proxy's answer, empty when it hung up; what follows stays here."""
        await self._changed.wait()
        head, _, self.data = self.data.partition(_END_OF_HEAD)
        return head
