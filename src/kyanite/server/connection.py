"""One HTTP/1.1 connection: httptools parses, requests are answered one after the other, in the loop's own thread.

A loopback port is open to every user of the machine: each connection costs at most its buffers and its time.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import cast

import httptools

from kyanite.errors import InvariantError
from kyanite.limits import CONNECTION_IDLE_SECONDS, CONNECTIONS, REQUEST_HEAD_BYTES, REQUEST_HEAD_SECONDS
from kyanite.server.eager import drive
from kyanite.server.exchange import Exchange
from kyanite.server.http import ClientGone, FileBody, Query, Request, Response, split_host
from kyanite.server.sending import CannotSend, Peer, encode_head, send_file

_LOG = logging.getLogger("kyanite.server")

KEEP_ALIVE_SECONDS = 75
_LINGER_SECONDS = 1.0
_SMALL_BODY_BYTES = 64 * 1024  # a request with such a body is begun when the body is there
_PLAIN_BODY_BYTES = 512 * 1024  # larger ones of a known length need no parser
_PIPELINED = 64  # beyond, what the client sends waits in the socket
_NAMES_KEPT, _NAME_KEPT_BYTES = 1024, 64
_CHANGES_BODY = {"transfer-encoding", "upgrade"}
_EMPTY_QUERY = Query("")


def _refusal(status: str, text: str = "") -> bytes:
    kind = "content-type: text/plain; charset=utf-8\r\n" if text else ""
    return f"HTTP/1.1 {status}\r\n{kind}content-length: {len(text)}\r\nconnection: close\r\n\r\n{text}".encode()


_BAD = _refusal("400 Bad Request", "Invalid HTTP request received.")
_TOO_LARGE = _refusal("431 Request Header Fields Too Large")
_TOO_SLOW = _refusal("408 Request Timeout")


_NAMES: dict[bytes, str] = {}  # names of headers as they come -> in lower case


def _name(raw: bytes) -> str:
    name = raw.decode("latin-1").lower()
    if len(_NAMES) < _NAMES_KEPT and len(raw) <= _NAME_KEPT_BYTES:
        _NAMES[raw] = name
    return name


@dataclass
class Shared:
    """What all connections of a listener share. `date` is the header line that every answer begins with."""

    answer: Callable[[Request], Awaitable[Response]]
    loop: asyncio.AbstractEventLoop
    date: str = ""
    connections: set[Connection] = field(default_factory=set)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)


class Connection(asyncio.Protocol):
    """Bounds the size and time of heads, and the idle time of bodies in both directions."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._loop = shared.loop
        self._parser = self._new_parser()
        self._peer: Peer
        self._scheme = "http"
        self._client = ""
        # what is being parsed
        self._url = b""
        self._headers: dict[str, str] = {}
        self._in_head = False  # a request has begun whose head has not ended
        self._arriving: Exchange | None = None
        self._plain_left = 0  # bytes of its body that the parser need not see
        # what is being answered
        self._current: Exchange | None = None
        self._waiting: deque[Exchange] = deque()
        self._is_last = False  # nothing is answered any more
        self._is_deaf = False  # nothing is taken in any more
        self._is_over = False  # the client is no longer connected
        # bounds
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._idle_timer: asyncio.TimerHandle | None = None
        self._received = 0
        self._progress = (0, 0)  # bytes received and, while the client does not read, bytes that wait for it
        self._idle_since = 0.0

    # ---- the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to count and to wait."""
        made = cast(asyncio.Transport, transport)
        if self._is_over:  # TLS began on a connection that was handed over, and ended before we were told
            made.abort()
            return
        self._peer = Peer(made, self._loop)
        self._shared.connections.add(self)
        self._scheme = "https" if made.get_extra_info("sslcontext") else "http"
        address = made.get_extra_info("peername")
        self._client = address[0] if isinstance(address, tuple) else ""
        self._await_head()
        self._idle_since = self._loop.time()
        self._look_later()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers, and tell who reads or writes."""
        self._is_over = True
        if self not in self._shared.connections:
            return
        self._shared.connections.discard(self)
        self._head_over()
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        del self._parser  # the two would keep each other until the collector comes
        self._peer.lose()
        self._waiting.clear()
        for exchange in (self._current, self._arriving):
            if exchange is not None:
                exchange.break_off()

    def pause_writing(self) -> None:
        """The client does not read as fast as we write."""
        self._peer.pause()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._peer.resume()

    def data_received(self, data: bytes) -> None:
        """Count what belongs to a head; one that is too large and has no end yet is refused."""
        self._received += len(data)
        if self._is_deaf:
            return
        if self._plain_left and not (data := self._plain_body(data)):
            return
        timer = self._head_timer
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # nothing else is spoken here: the request is answered as any other
        except httptools.HttpParserError:
            _LOG.warning("Invalid HTTP request received.")
            self._end(_BAD)
        if self._in_head:
            if self._head_timer is None:
                self._await_head()
            # a head that begins within a piece counts from the next piece on: what stands before it is no part of it
            elif timer is self._head_timer:
                self._head_bytes += len(data)
                if self._head_bytes > REQUEST_HEAD_BYTES:
                    self._end(_TOO_LARGE)
        if self._current is None and self._waiting:
            self._go_on()

    # ---- the parser

    def _new_parser(self) -> httptools.HttpRequestParser:
        parser = httptools.HttpRequestParser(self)
        parser.set_dangerous_leniencies(lenient_data_after_close=True)  # what follows is dropped, not an error
        return parser

    def _plain_body(self, data: bytes) -> bytes:
        """Take a piece of a long body past the parser, which would copy it; what comes behind the body is left."""
        exchange, left = self._arriving, self._plain_left
        if exchange is None:
            raise InvariantError("A body comes without a request.")
        self._plain_left = max(0, left - len(data))
        exchange.add(data if len(data) <= left else data[:left])
        if not self._plain_left:
            self._parser = self._new_parser()  # the old one waits for the body
            exchange.complete()
        return data[left:]

    def on_message_begin(self) -> None:
        """A request begins; if its head does not end in the same piece, it may take so long and be so large."""
        self._url = b""
        self._headers = {}
        self._in_head = True

    def on_url(self, url: bytes) -> None:
        """A piece of the address."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; one that comes twice is joined by a comma."""
        headers = self._headers
        key = _NAMES.get(name) or _name(name)
        text = value.decode("latin-1")
        headers[key] = f"{headers[key]},{text}" if key in headers else text

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._head_over()
        headers, self._headers = self._headers, {}  # what follows a chunked body is no header of the request
        url = self._url
        if not url.startswith(b"/") or b"#" in url:
            parsed = httptools.parse_url(url)
            url = parsed.path + (b"?" + parsed.query if parsed.query else b"")
        path, _, query = url.decode("ascii").partition("?")
        host, port = split_host(headers.get("host", ""))
        parser = self._parser
        request = Request(
            parser.get_method().decode("latin-1"),
            self._scheme,
            host,
            port,
            path,
            Query(query) if query else _EMPTY_QUERY,
            headers,
            self._client,
        )
        keep_alive = parser.should_keep_alive() and parser.get_http_version() != "1.0"
        self._arriving = exchange = Exchange(self._peer, request, keep_alive)
        request.receive = exchange.receive
        length = request.content_length or 0
        if length > _PLAIN_BODY_BYTES and keep_alive and not headers.keys() & _CHANGES_BODY:
            self._plain_left = length
        self._waiting.append(exchange)
        if len(self._waiting) > _PIPELINED:
            self._peer.pause_reading()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        if self._arriving is not None:
            self._plain_left = max(0, self._plain_left - len(body))
            self._arriving.add(body)

    def on_message_complete(self) -> None:
        """The request has come to its end."""
        self._plain_left = 0  # CONNECT ends with its head, whatever length it tells
        if self._arriving is not None:
            self._arriving.complete()

    # ---- answering

    def _go_on(self) -> None:
        """Answer what waits, as far as it goes without waiting for anything else."""
        while self._waiting and self._current is None and not self._is_last:
            exchange = self._waiting[0]
            if exchange.awaits_small_body(_SMALL_BODY_BYTES):
                break
            self._waiting.popleft()
            self._current = exchange
            task = drive(self._answer(exchange), self._loop)
            if task is not None:
                self._shared.tasks.add(task)
                task.add_done_callback(self._answered_later)
        if self._current is None:
            self._idle_since = self._loop.time()
            self._peer.resume_reading()

    def _answered_later(self, task: asyncio.Task[None]) -> None:
        self._shared.tasks.discard(task)
        self._go_on()

    async def _answer(self, exchange: Exchange) -> None:
        try:
            if len(self._shared.connections) >= CONNECTIONS:
                _LOG.warning("A request was refused: there are %d connections.", len(self._shared.connections))
                exchange.keep_alive = False
                response = Response.text("Service Unavailable", 503)
            else:
                response = await self._shared.answer(exchange.request)
            await self._send(exchange, response)
        except ClientGone:
            if not self._is_last:
                self._peer.abort()
        except CannotSend as problem:
            _LOG.error("An answer was cut off: %s", problem)
            self._peer.abort()
        except Exception:  # noqa: BLE001 - told to the log; the client sees its connection end
            _LOG.exception("A request could not be answered")
            self._peer.abort()
        finally:
            exchange.finish()
            self._current = None
            if not exchange.keep_alive:
                self._is_last = True

    async def _send(self, exchange: Exchange, response: Response) -> None:
        peer, body = self._peer, response.body
        try:
            if self._is_last:  # it was refused meanwhile
                raise ClientGone
            exchange.answering()
            head = encode_head(response, self._shared.date, exchange)
            if peer.is_paused:
                await peer.drained()
            if peer.is_gone:
                raise ClientGone
            if not exchange.has_body(response.status):
                peer.write(head)
            elif isinstance(body, bytes | bytearray):
                peer.write_both(head, body)
            elif isinstance(body, FileBody):
                await send_file(peer, head, body, is_plain=self._scheme == "http")
            else:
                await peer.stream(head, body, int(response.headers.get("content-length", -1)))
        finally:
            if isinstance(body, FileBody):
                body.close()
            elif not isinstance(body, bytes | bytearray) and hasattr(body, "aclose"):
                await body.aclose()
        if not exchange.keep_alive:
            self._hang_up(exchange.is_whole)

    # ---- bounds and the end

    def shutdown(self) -> None:
        """Close an idle connection; one with a request in progress closes behind its answer."""
        pending = self._pending()
        if pending:
            pending[-1].keep_alive = False
        else:
            self._peer.close()

    @property
    def is_busy(self) -> bool:
        """Whether somebody still waits for an answer, or for the rest of one."""
        return self._current is not None or bool(self._waiting) or self._peer.unsent > 0

    def abort(self) -> None:
        """Hang up at once."""
        self._peer.abort()

    def _await_head(self) -> None:
        self._head_bytes = 0
        self._head_timer = self._loop.call_later(REQUEST_HEAD_SECONDS, self._end, _TOO_SLOW)

    def _head_over(self) -> None:
        self._in_head = False
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _look_later(self) -> None:
        self._idle_timer = self._loop.call_later(min(CONNECTION_IDLE_SECONDS, KEEP_ALIVE_SECONDS), self._look)

    def _look(self) -> None:
        """Now and then: does the client still send what it announced, read what it asked for, or ask for anything?"""
        peer = self._peer
        unsent = peer.unsent if peer.is_paused else 0
        progress = (self._received, unsent)
        expects = self._arriving is not None and not self._arriving.is_whole and not peer.is_reading_paused
        if (unsent or expects) and progress == self._progress:
            peer.abort()
            return
        self._progress = progress
        is_idle = self._current is None and not self._waiting and not expects
        if is_idle and self._loop.time() - self._idle_since >= KEEP_ALIVE_SECONDS:
            peer.close()
            return
        self._look_later()

    def _end(self, answer: bytes) -> None:
        """Refuse what comes and hang up, behind the answers to what came before."""
        self._head_over()
        if self._is_deaf or self._peer.is_gone:
            return
        self._is_deaf = True
        pending = self._pending()
        if pending and not pending[-1].is_whole:  # its body is what has no end
            pending[-1].break_off()
            if not pending[-1].is_answering:
                pending.pop()
                if self._waiting:
                    self._waiting.pop()
        if pending:
            pending[-1].keep_alive = False
        else:
            self._peer.write(answer)
            self._hang_up(is_whole=False)

    def _pending(self) -> list[Exchange]:
        return [*((self._current,) if self._current is not None else ()), *self._waiting]

    def _hang_up(self, is_whole: bool) -> None:
        """Close; what the client still sends meanwhile is dropped first, or it would never see the answer."""
        self._is_deaf = self._is_last = True
        if is_whole:
            self._peer.close()
        else:
            self._peer.finish()
            self._loop.call_later(_LINGER_SECONDS, self._peer.close)
