"""What a connection may cost: heads without end, heads that never come, bodies that stop, answers nobody reads."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kyanite.runtime.workspace import open_workspace
from kyanite.server import connection
from kyanite.server.app import SERVICES, Application
from kyanite.server.context import ServerContext
from kyanite.server.http import Request, Response
from kyanite.server.listener import Endpoint, Listener, bind

SECONDS = 0.3


async def application(request: Request) -> Response:
    """Reads the whole body, then sends as many bytes as the path says."""
    size = int(request.raw_path.strip("/") or 2)
    async for _ in request.chunks():
        pass
    return Response(200, {"content-length": str(size)}, pieces(size))


async def pieces(size: int) -> AsyncIterator[bytes]:
    for begin in range(0, size, 65536):
        yield b"x" * min(65536, size - begin)


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(connection, "REQUEST_HEAD_SECONDS", SECONDS)
    monkeypatch.setattr(connection, "CONNECTION_IDLE_SECONDS", SECONDS)
    endpoint = Endpoint(bind())
    with Listener(application, [endpoint]):
        yield endpoint.port


@contextmanager
def client(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as made:
        yield made


def rest(sock: socket.socket) -> bytes:
    try:
        return b"".join(iter(lambda: sock.recv(1 << 20), b""))
    except ConnectionResetError:
        return b""


def test_a_request_is_answered_and_the_connection_kept(port: int) -> None:
    with client(port) as sock:
        for _ in range(3):
            sock.sendall(b"GET /2 HTTP/1.1\r\nhost: x\r\n\r\n")
            assert sock.recv(4096).startswith(b"HTTP/1.1 200")
            time.sleep(SECONDS * 1.5)  # an idle connection between requests is none of those


@pytest.mark.parametrize("begin", [b"", b"G", b"GET / HTTP/1.1\r\nhost: x\r\n"])
def test_a_head_that_does_not_come_is_waited_for_so_long(port: int, begin: bytes) -> None:
    with client(port) as sock:
        sock.sendall(begin)
        assert rest(sock).startswith(b"HTTP/1.1 408")


def test_a_head_in_drops_does_not_take_longer(port: int) -> None:
    with client(port) as sock, pytest.raises(OSError):
        for _ in range(400):
            sock.sendall(b"GET / HTTP/1.1\r\nx: y\r\n" if _ == 0 else b"a: b\r\n")
            time.sleep(0.05)


def test_a_head_without_end_is_refused(port: int) -> None:
    with client(port) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 9_000)
        sock.sendall(b"a: b\r\n" * 9_000)
        assert rest(sock).startswith(b"HTTP/1.1 431")


def test_a_body_that_stops_ends_the_connection(port: int) -> None:
    with client(port) as sock:
        sock.sendall(b"PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf")
        assert rest(sock) == b""


def test_a_slow_body_that_goes_on_is_taken(port: int) -> None:
    with client(port) as sock:
        sock.sendall(b"PUT / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 10\r\n\r\n")
        for _ in range(10):
            time.sleep(SECONDS / 3)
            sock.sendall(b"x")
        assert rest(sock).startswith(b"HTTP/1.1 200")


def test_an_answer_that_nobody_reads_is_given_up(port: int) -> None:
    size = 200_000_000
    with client(port) as sock:
        sock.sendall(b"GET /%d HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n" % size)
        time.sleep(SECONDS * 6)
        assert len(rest(sock)) < size


def test_a_slow_reader_gets_everything(port: int) -> None:
    size = 30_000_000
    with client(port) as sock:
        sock.sendall(b"GET /%d HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n" % size)
        received = 0
        while piece := sock.recv(1_000_000):
            received += len(piece)
            time.sleep(0.01)
        assert received > size


class Endless:
    """A service whose answers never end; `closed` says that one was closed."""

    name = "storage"
    closed = threading.Event()

    async def handle(self, request: Request) -> Response:
        async def body() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"x" * 65536
            finally:
                Endless.closed.set()

        return Response(200, {"content-length": str(1 << 50)}, body())

    def failure(self, request: Request, error: Exception) -> Response:
        raise error


def open_endless(context: ServerContext) -> Endless:
    return Endless()


def test_an_answer_is_read_no_further_when_the_client_has_hung_up(tmp_path: Path) -> None:
    Endless.closed.clear()
    services = {**SERVICES, "storage": f"{__name__}:open_endless"}
    endpoint = Endpoint(bind())
    with (
        open_workspace(tmp_path / "home", create=True) as workspace,
        Listener(Application(ServerContext(workspace), services), [endpoint]),
        client(endpoint.port) as sock,
    ):
        sock.sendall(b"GET /account/box HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert sock.recv(4096).startswith(b"HTTP/1.1 200")
        assert not Endless.closed.is_set()
        sock.close()
        assert Endless.closed.wait(10)


def test_the_stop_waits_for_an_answer_in_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = Endpoint(bind())
    listener = Listener(application, [endpoint])
    listener.start()
    with client(endpoint.port) as sock, client(endpoint.port) as idle:
        sock.sendall(b"PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n1")
        time.sleep(0.1)
        stopping = threading.Thread(target=listener.stop)
        stopping.start()
        assert idle.recv(10) == b""
        sock.sendall(b"2")
        assert sock.recv(4096).startswith(b"HTTP/1.1 200")
        stopping.join(10)
        assert not stopping.is_alive()
