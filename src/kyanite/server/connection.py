"""One HTTP connection: uvicorn's parser, with an end for clients that send headers without end or never finish.

A loopback port is open to every user of the machine: each connection costs at most its buffers and its time.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from kyanite.limits import CONNECTION_IDLE_SECONDS, REQUEST_HEAD_BYTES, REQUEST_HEAD_SECONDS
from kyanite.server.joined import JoinedTransport

IS_GONE = "kyanite.isGone"  # in a scope's state: a function that says whether the client has hung up
_LINGER_SECONDS = 1.0
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Connection(HttpToolsProtocol):
    """uvicorn's connection within our bounds: size and time of the head, idle time of bodies in both directions."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._idle_timer: asyncio.TimerHandle | None = None
        self._progress = (0, 0)  # bytes received and, while the client does not read, bytes that wait for it
        self._received = 0
        self._is_lost = False
        self._in_head = False  # a request has begun whose head has not ended
        self._is_ended = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to count and to wait."""
        super().connection_made(JoinedTransport(transport, self.loop))  # type: ignore[arg-type]
        self._await_head()
        self._idle_timer = self.loop.call_later(CONNECTION_IDLE_SECONDS, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers."""
        self._is_lost = True
        self._head_over()
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what belongs to a head; one that is too large and has no end yet is refused."""
        self._received += len(data)
        if self._is_ended:
            return
        timer = self._head_timer
        super().data_received(data)
        if self._in_head and self._head_timer is None:
            self._await_head()
        # a head that begins within a piece counts from the next piece on: what stands before it is no part of it
        elif timer is not None and timer is self._head_timer:
            self._head_bytes += len(data)
            if self._head_bytes > REQUEST_HEAD_BYTES:
                self._end(_TOO_LARGE)

    def on_message_begin(self) -> None:
        """A request begins; if its head does not end in the same piece, it may take so long and be so large."""
        super().on_message_begin()
        # a transport that closes takes everything at once: who asked `_is_lost` only would never wait again
        self.scope["state"][IS_GONE] = self._is_gone
        self._in_head = True

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._head_over()
        super().on_headers_complete()

    def _await_head(self) -> None:
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(REQUEST_HEAD_SECONDS, self._end, _TOO_SLOW)

    def _is_gone(self) -> bool:
        return self._is_lost or self.transport.is_closing()

    def _head_over(self) -> None:
        self._in_head = False
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _look(self) -> None:
        """Now and then: does the client still send what it announced, or read what it asked for?"""
        waiting = self.transport.get_write_buffer_size() if self.flow.write_paused else 0
        progress = (self._received, waiting)
        stuck = waiting > 0 or (self._expects_body() and not self.flow.read_paused)
        if stuck and progress == self._progress:
            self.transport.abort()
            return
        self._progress = progress
        self._idle_timer = self.loop.call_later(CONNECTION_IDLE_SECONDS, self._look)

    def _expects_body(self) -> bool:
        return self.cycle is not None and self.cycle.more_body

    def _end(self, answer: bytes) -> None:
        """Answer and hang up; what the client still sends meanwhile is dropped, or it would never see the answer."""
        self._head_over()
        if self.transport.is_closing():
            return
        self._is_ended = True
        self.transport.write(answer)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(_LINGER_SECONDS, self.transport.close)
