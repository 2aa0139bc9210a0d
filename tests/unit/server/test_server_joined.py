"""Heads and bodies leave in one call, in their order, and nothing is kept for long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from kyanite.server.joined import JoinedTransport


class Calls(asyncio.Transport):
    """Notes each call that would reach the system."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[bytes | str] = []
        self.closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.calls.append(bytes(data))

    def writelines(self, pieces) -> None:  # type: ignore[no-untyped-def]
        self.calls.append(b"".join(pieces))

    def write_eof(self) -> None:
        self.calls.append("eof")

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.calls.append("close")
        self.closing = True

    def abort(self) -> None:
        self.calls.append("abort")
        self.closing = True


BIG = b"b" * 100_000
CASES: list[tuple[Callable[[JoinedTransport], object], list[bytes | str]]] = [
    (lambda joined: (joined.write(b"head"), joined.write(b"body")), [b"headbody"]),
    (lambda joined: (joined.write(b"head"), joined.write(BIG), joined.write(BIG)), [b"head" + BIG, BIG]),
    (lambda joined: (joined.write(b"head"), joined.write(b"")), [b"head"]),
    (lambda joined: joined.write(b""), []),
    (lambda joined: joined.write(b"alone"), [b"alone"]),
    (lambda joined: (joined.write(b"head"), joined.close()), [b"head", "close"]),
    (lambda joined: (joined.write(b"head"), joined.write_eof()), [b"head", "eof"]),
    (lambda joined: (joined.write(b"head"), joined.abort()), ["abort"]),
    (lambda joined: [joined.write(b"%d" % number) for number in range(5)], [b"01", b"23", b"4"]),
]


@pytest.mark.parametrize(("write", "expected"), CASES)
def test_calls(write: Callable[[JoinedTransport], object], expected: list[bytes | str]) -> None:
    calls = Calls()

    async def run() -> None:
        write(JoinedTransport(calls, asyncio.get_running_loop()))
        await asyncio.sleep(0)

    asyncio.run(run())
    assert calls.calls == expected
