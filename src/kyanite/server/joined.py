"""A head and what follows it go to the system in one call."""

from __future__ import annotations

import asyncio
from typing import Any

_HEAD_BYTES = 8 * 1024  # anything as small as this may be the head of an answer


class JoinedTransport:
    """A transport that keeps a small write until the next one, at most until the loop's next turn.

    uvicorn writes the head of an answer by itself. Each call wakes the client, and for a small answer that is most
    of the server's work.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._kept = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes | bytearray) -> None:
        """Send it behind what was kept, or keep it."""
        if self._kept:
            kept, self._kept = self._kept, b""
            self._transport.writelines((kept, data) if data else (kept,))
        elif len(data) > _HEAD_BYTES:
            self._transport.write(data)
        elif data:
            self._kept = bytes(data)
            self._loop.call_soon(self._flush)

    def write_eof(self) -> None:
        """Say that nothing follows."""
        self._flush()
        self._transport.write_eof()

    def close(self) -> None:
        """Hang up when all is sent."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        kept, self._kept = self._kept, b""
        if kept and not self._transport.is_closing():
            self._transport.write(kept)
