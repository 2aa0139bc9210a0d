"""Answers on their way to the client: heads, bodies at hand, streams and files, no faster than it reads.

Bytes of files go to a plain socket in the system, without being copied through this process (`sendfile`), as long as
they are in memory; what the disk has to bring is waited for in a thread. TLS has to see the bytes: it gets pieces.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import TYPE_CHECKING

from kyanite.server.http import ClientGone, FileBody, Response

if TYPE_CHECKING:
    from kyanite.server.exchange import Exchange

PIECE_BYTES = 1024 * 1024
AT_ONCE_BYTES = 256 * 1024  # passing as much through this process costs less than what comes before `sendfile`
JOINED_BYTES = 64 * 1024  # copying as much behind its head costs less than a second buffer
_SMALL_BYTES = 64 * 1024
_STATUS_LINES = {each.value: f"HTTP/1.1 {each.value} {each.phrase}\r\n" for each in HTTPStatus}
_UNSENDABLE = re.compile(r"[\0-\x08\x0a-\x1f\x7f]")
_NOW = getattr(os, "RWF_NOWAIT", 0)
_MORE = getattr(socket, "MSG_MORE", 0)


class CannotSend(Exception):
    """An answer that cannot be brought to its end: its headers are no text, or it has another length than it told."""


def encode_head(response: Response, date: str, exchange: Exchange) -> bytes:
    """The head of an answer; its length is told for HEAD, too."""
    headers, body, status = response.headers, response.body, response.status
    if isinstance(body, bytes | bytearray):
        if "content-length" not in headers and status not in (204, 304):
            headers["content-length"] = str(len(body))
    elif "content-length" not in headers:  # the end of the connection is the end of the body
        exchange.keep_alive = False
    text = "".join(headers) + "".join(headers.values())
    if not text.isprintable() and _UNSENDABLE.search(text):
        raise CannotSend("a header has characters that no header may have")
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    first = _STATUS_LINES.get(status) or f"HTTP/1.1 {status} \r\n"
    close = "" if exchange.keep_alive else "connection: close\r\n"
    return f"{first}{date}{lines}{close}\r\n".encode("latin-1", "replace")


class Peer:
    """The client's end of a connection, written to with regard to how fast it reads."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.is_paused = False  # it does not read as fast as we write
        self.is_reading_paused = False
        self.file_left = 0  # bytes of a file that are still to be sent
        self._transport = transport
        self._is_lost = False
        self._waiter: asyncio.Future[None] | None = None

    @property
    def is_gone(self) -> bool:
        """Whether it has hung up; a transport that closes takes everything at once, so that nobody would wait."""
        return self._is_lost or self._transport.is_closing()

    @property
    def unsent(self) -> int:
        """Bytes that wait for it to read."""
        return self.file_left or self._transport.get_write_buffer_size()

    def write(self, data: bytes | bytearray) -> None:
        """Send it, or keep it until it can be sent."""
        if not self.is_gone:
            self._transport.write(data)

    def write_both(self, head: bytes, body: bytes | bytearray) -> None:
        """A head and what follows it, in one call of the system: each one wakes the client."""
        if self.is_gone:
            return
        if len(body) <= JOINED_BYTES:
            self._transport.write(head + body)
        else:
            self._transport.writelines((head, body))

    async def stream(self, head: bytes, pieces: AsyncIterator[bytes | bytearray], length: int) -> None:
        """A head and pieces of so many bytes together (-1: as many as come)."""
        sent = 0
        async for piece in pieces:
            sent += len(piece)
            if -1 < length < sent:
                raise CannotSend("its body is longer than its Content-Length")
            if head:
                self.write_both(head, piece)
                head = b""
            else:
                self.write(piece)
            if self.is_paused:
                await self.drained()
            if self.is_gone:
                raise ClientGone
        if head:
            self.write(head)
        if -1 < length != sent:
            raise CannotSend("its body is shorter than its Content-Length")

    async def drained(self) -> None:
        """Wait until it has caught up."""
        while self.is_paused and not self.is_gone:
            self._waiter = self.loop.create_future()
            await self._waiter

    async def writable(self, fd: int) -> None:
        """Wait until a socket takes more; `fd` is a duplicate of the transport's, which nobody else waits for."""
        self.is_paused = True
        self._waiter = self.loop.create_future()
        self.loop.add_writer(fd, self._wake)
        try:
            await self._waiter
        finally:
            self.loop.remove_writer(fd)
            self.is_paused = False
        if self.is_gone:
            raise ClientGone

    def duplicate(self) -> socket.socket:
        """The socket itself, to be closed by the caller."""
        return socket.socket(fileno=os.dup(self._transport.get_extra_info("socket").fileno()))

    # ---- the connection's side

    def pause(self) -> None:
        """It does not read as fast as we write."""
        self.is_paused = True

    def resume(self) -> None:
        """It has caught up."""
        self.is_paused = False
        self._wake()

    def lose(self) -> None:
        """It has hung up."""
        self._is_lost = True
        self._wake()

    def pause_reading(self) -> None:
        """Let what it sends wait in the socket."""
        if not self.is_reading_paused and not self.is_gone:
            self.is_reading_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take in what it sends."""
        if self.is_reading_paused and not self.is_gone:
            self.is_reading_paused = False
            self._transport.resume_reading()

    def finish(self) -> None:
        """Say that nothing follows; what it sends is still taken."""
        if not self.is_gone:
            self.resume_reading()
            if self._transport.can_write_eof():
                self._transport.write_eof()

    def close(self) -> None:
        """Hang up when all is sent."""
        self._transport.close()

    def abort(self) -> None:
        """Hang up at once."""
        self._transport.abort()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


async def send_file(peer: Peer, head: bytes, body: FileBody, *, is_plain: bool) -> None:
    """A head and a part of a file; the file stays open."""
    if body.length <= AT_ONCE_BYTES:
        data = await read(body.fd, body.first, body.length)
        if len(data) < body.length:
            raise CannotSend("its file became shorter before it was sent")
        peer.write_both(head, data)
        return
    if not is_plain or peer.unsent:
        await peer.stream(head, _pieces(body), body.length)
        return
    try:
        peer.file_left = body.length
        with peer.duplicate() as sock:
            await _send_head(peer, sock, head)
            await _send_rest(peer, sock.fileno(), body)
    except ConnectionError as problem:
        raise ClientGone from problem
    finally:
        peer.file_left = 0


async def _send_head(peer: Peer, sock: socket.socket, head: bytes) -> None:
    while head:
        try:
            head = head[sock.send(head, _MORE) :]
        except BlockingIOError:
            await peer.writable(sock.fileno())


async def _send_rest(peer: Peer, target: int, body: FileBody) -> None:
    at = body.first
    while peer.file_left:
        count = min(peer.file_left, PIECE_BYTES)
        try:
            if is_in_memory(body.fd, at + count - 1):
                sent = os.sendfile(target, body.fd, at, count)
            else:
                sent = await asyncio.to_thread(os.sendfile, target, body.fd, at, count)
        except BlockingIOError:
            await peer.writable(target)
            continue
        if not sent:
            raise CannotSend("its file became shorter while it was sent")
        at += sent
        peer.file_left -= sent
        if peer.is_gone:
            raise ClientGone
        if sent == count:
            await asyncio.sleep(0)  # a client that reads as fast is not the only one


async def _pieces(body: FileBody) -> AsyncIterator[bytes | bytearray]:
    at, end = body.first, body.first + body.length
    while at < end:
        piece = await read(body.fd, at, min(PIECE_BYTES, end - at))
        if not piece:
            raise CannotSend("its file became shorter while it was sent")
        at += len(piece)
        yield piece


async def read(fd: int, first: int, length: int) -> bytes | bytearray:
    """Bytes of an open file, from memory or else from the disk in a thread.

    A large buffer to be filled as far as memory goes would have to be zeroed first, which takes as long as all the
    rest of sending it.
    """
    if length <= _SMALL_BYTES:
        buffer = bytearray(length)
        try:
            if os.preadv(fd, [buffer], first, _NOW) == length:
                return buffer
        except BlockingIOError:  # not in memory
            pass
        except OSError:  # a file system without that question
            return os.pread(fd, length, first)
    elif is_in_memory(fd, first + length - 1):
        return os.pread(fd, length, first)
    return await asyncio.to_thread(os.pread, fd, length, first)


def is_in_memory(fd: int, last: int) -> bool:
    """Whether what ends with this byte is in memory, as its end tells: files are read ahead in order."""
    if _NOW:
        with contextlib.suppress(OSError):  # not in memory, or a file system without that question
            return os.preadv(fd, [bytearray(1)], last, _NOW) == 1
    return False
