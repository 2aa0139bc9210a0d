"""One request on its connection: its body as it arrives, and how far its answer is."""

from __future__ import annotations

import asyncio
from collections import deque

from kyanite.server.http import ClientGone, Request, no_body
from kyanite.server.sending import Peer

_WAITING_BYTES = 256 * 1024  # of a body; beyond, what the client sends waits in the socket
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_BODILESS = frozenset({204, 304})


class Exchange:
    """`is_whole`: the request has come to its end. `is_answering`: its answer has begun."""

    __slots__ = (
        "_asks_first",
        "_is_broken",
        "_is_finished",
        "_peer",
        "_pieces",
        "_size",
        "_waiter",
        "is_answering",
        "is_whole",
        "keep_alive",
        "request",
    )

    def __init__(self, peer: Peer, request: Request, keep_alive: bool) -> None:
        self._peer = peer
        self.request = request
        self.keep_alive = keep_alive
        self.is_whole = False
        self.is_answering = False
        self._is_broken = False
        self._is_finished = False
        self._asks_first = request.headers.get("expect", "").lower() == "100-continue"
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._waiter: asyncio.Future[None] | None = None

    # ---- the connection's side

    def add(self, piece: bytes) -> None:
        """A piece of the body has come; nobody wants it behind the answer."""
        if self._is_finished:
            return
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > _WAITING_BYTES:
            self._peer.pause_reading()
        self._wake()

    def complete(self) -> None:
        """The body has come to its end."""
        self.is_whole = True
        self._asks_first = False
        self._wake()

    def break_off(self) -> None:
        """Nothing more comes; whoever waits for it learns that."""
        self._is_broken = True
        self._wake()

    def awaits_small_body(self, most: int) -> bool:
        """Whether a body of at most so many bytes is on its way, unasked."""
        return not self.is_whole and not self._asks_first and 0 <= (self.request.content_length or -1) <= most

    def answering(self) -> None:
        """The answer begins. A client that was not told to send its body may or may not do so: the last request."""
        self.is_answering = True
        if self._asks_first:
            self.keep_alive = False

    def finish(self) -> None:
        """The answer has ended."""
        self._is_finished = True
        self.request.receive = no_body  # the two would keep each other until the collector comes
        self._pieces.clear()
        self._size = 0

    def has_body(self, status: int) -> bool:
        """Whether an answer of this status has a body."""
        return self.request.method != "HEAD" and status not in _BODILESS

    # ---- the service's side

    async def receive(self) -> bytes:
        """The next piece of the body, b"" at its end. ClientGone when it breaks off."""
        while not self._pieces:
            if self.is_whole:
                return b""
            if self._is_broken or self._peer.is_gone:
                raise ClientGone
            if self._asks_first:
                self._asks_first = False
                self._peer.write(_CONTINUE)
            self._peer.resume_reading()
            self._waiter = self._peer.loop.create_future()
            await self._waiter
        piece = self._pieces.popleft()
        self._size -= len(piece)
        return piece

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
