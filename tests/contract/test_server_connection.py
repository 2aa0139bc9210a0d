"""What is spoken on a connection: requests one behind the other, bodies in every form, files, and what is no HTTP."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import ssl
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from kyanite.runtime.workspace import open_workspace
from kyanite.server.certificates import CertificateAuthority
from kyanite.server.http import FileBody, Request, Response
from kyanite.server.listener import Endpoint, Listener, bind
from kyanite.server.ours import is_ours
from kyanite.server.tls import server_context

FILE_BYTES = 5_000_001


async def application(request: Request, file: Path) -> Response:
    """/echo gives the body back, /file a file from byte 1 on, /small a little of it, /deaf reads no body.

    /cut sends less than it says.
    """
    if request.raw_path == "/file":
        fd = os.open(file, os.O_RDONLY)
        return Response(200, {"content-length": str(FILE_BYTES - 1)}, FileBody(fd, 1, FILE_BYTES - 1))
    if request.raw_path == "/small":
        return Response(200, {"content-length": "70000"}, FileBody(os.open(file, os.O_RDONLY), 5, 70_000))
    if request.raw_path == "/deaf":
        return Response.text("no", 401)
    if request.raw_path == "/cut":
        return Response(200, {"content-length": "10"}, few())
    if request.raw_path == "/open":
        return Response(200, {}, few())
    if request.raw_path == "/split":
        return Response(200, {"x-a": "b\r\nset-cookie: c"})
    if request.raw_path == "/fails":
        raise ValueError
    body = b"".join([piece async for piece in request.chunks()])
    text = f"{request.method} {request.query.raw} {request.headers.get('x-late', '')} ".encode()
    return Response(200, {}, text + body)


async def few() -> AsyncIterator[bytes]:
    yield b"few"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "file"
    made.write_bytes(os.urandom(FILE_BYTES))
    return made


@pytest.fixture
def port(file: Path) -> Iterator[int]:
    endpoint = Endpoint(bind())
    with Listener(partial(application, file=file), [endpoint]):
        yield endpoint.port


@contextmanager
def client(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as made:
        yield made


def talk(port: int, *pieces: bytes) -> bytes:
    """All that is answered until the server hangs up."""
    with client(port) as sock:
        for piece in pieces:
            sock.sendall(piece)
        return b"".join(iter(lambda: sock.recv(1 << 20), b""))


LAST = b"GET /echo?last HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"


def test_requests_that_come_together_are_answered_in_their_order(port: int) -> None:
    many = b"".join(b"GET /echo?%d HTTP/1.1\r\nhost: x\r\n\r\n" % number for number in range(500))
    found = talk(port, many + LAST)
    assert found.count(b"HTTP/1.1 200 OK\r\n") == 501
    places = [found.index(b"GET %d " % number) for number in range(500)]
    assert places == sorted(places)
    assert found.endswith(b"GET last  ")


def test_nothing_is_answered_behind_the_last_request(port: int) -> None:
    assert talk(port, LAST + LAST).count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("size", [0, 1, 70_000, 3_000_000])
def test_a_body_comes_back(port: int, size: int) -> None:
    body = os.urandom(size)
    head = b"PUT /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % size
    assert talk(port, head, body).endswith(b"PUT   " + body)


def test_a_body_in_chunks_and_what_follows_it_is_no_header(port: int) -> None:
    head = b"PUT /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
    assert talk(port, head, b"3\r\nabc\r\n", b"4\r\ndefg\r\n0\r\nx-late: 1\r\n\r\n").endswith(b"PUT   abcdefg")


def test_a_client_that_asks_first_is_told_to_go_on(port: int) -> None:
    with client(port) as sock:
        sock.sendall(b"PUT /echo HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n")
        assert sock.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"abc")
        assert sock.recv(1000).endswith(b"PUT   abc")


def test_a_client_that_asks_first_and_is_refused_asks_nothing_more(port: int) -> None:
    found = talk(port, b"PUT /deaf HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n")
    assert found.startswith(b"HTTP/1.1 401") and b"connection: close" in found


def test_a_body_that_nobody_wants_is_dropped(port: int) -> None:
    head = b"PUT /deaf HTTP/1.1\r\nhost: x\r\ncontent-length: 3000000\r\n\r\n"
    found = talk(port, head, bytes(3_000_000), LAST)
    assert found.startswith(b"HTTP/1.1 401")
    assert found.endswith(b"GET last  ")


def test_a_part_of_a_file(port: int, file: Path) -> None:
    found = talk(port, b"GET /file HTTP/1.1\r\nhost: x\r\n\r\n" * 2 + LAST)
    body = file.read_bytes()[1:]
    assert found.count(body) == 2
    assert found.endswith(b"GET last  ")


def test_a_small_part_of_a_file(port: int, file: Path) -> None:
    assert talk(port, b"GET /small HTTP/1.1\r\nhost: x\r\n\r\n" + LAST).count(file.read_bytes()[5:70_005]) == 1
    os.truncate(file, 1000)
    assert talk(port, b"GET /small HTTP/1.1\r\nhost: x\r\n\r\n" + LAST) == b""


def test_a_file_is_not_sent_for_head(port: int) -> None:
    found = talk(port, b"HEAD /file HTTP/1.1\r\nhost: x\r\n\r\n" + LAST)
    assert b"content-length: 5000000\r\n" in found
    assert len(found) < 1000


def test_a_part_of_a_file_by_tls(file: Path, tmp_path: Path) -> None:
    with open_workspace(tmp_path / "home", create=True) as workspace:
        authority = CertificateAuthority(workspace.home / "tls")
        endpoint = Endpoint(bind(), server_context(authority, partial(is_ours, workspace)))
        trust = ssl.create_default_context(cafile=str(authority.ca_file))
        with (
            Listener(partial(application, file=file), [endpoint]),
            client(endpoint.port) as plain,
            trust.wrap_socket(plain, server_hostname="localhost") as sock,
        ):
            sock.sendall(b"GET /file HTTP/1.1\r\nhost: x\r\n\r\n" + LAST)
            found = b"".join(iter(lambda: sock.recv(1 << 20), b""))
    assert found.count(file.read_bytes()[1:]) == 1


def test_a_file_that_becomes_shorter_ends_the_connection(port: int, file: Path) -> None:
    os.truncate(file, 3_000_000)
    assert talk(port, b"GET /file HTTP/1.1\r\nhost: x\r\n\r\n" + LAST).endswith(file.read_bytes()[-1000:])


def test_an_answer_shorter_than_it_says_ends_the_connection(port: int) -> None:
    assert talk(port, b"GET /cut HTTP/1.1\r\nhost: x\r\n\r\n" + LAST)[-7:] in (b"\r\n\r\nfew", b"")


def test_an_answer_of_unknown_length_ends_with_the_connection(port: int) -> None:
    found = talk(port, b"GET /open HTTP/1.1\r\nhost: x\r\n\r\n")
    assert b"connection: close" in found and found.endswith(b"\r\n\r\nfew")


@pytest.mark.parametrize("path", [b"/split", b"/fails"])
def test_what_cannot_be_sent_ends_the_connection(port: int, path: bytes) -> None:
    assert talk(port, b"GET %s HTTP/1.1\r\nhost: x\r\n\r\n" % path + LAST) == b""


@pytest.mark.parametrize("text", [b"nonsense\r\n\r\n", b"GET /\xc3\xa9 HTTP/1.1\r\nhost: x\r\n\r\n"])
def test_what_is_no_http_is_refused_behind_the_answers_to_what_was(port: int, text: bytes) -> None:
    assert talk(port, text).startswith(b"HTTP/1.1 400")
    found = talk(port, b"GET /echo HTTP/1.1\r\nhost: x\r\n\r\n" + text)
    assert found.startswith(b"HTTP/1.1 200")
    assert b"400" not in found


def test_a_broken_body_is_refused(port: int) -> None:
    head = b"PUT /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    assert talk(port, head, b"nonsense\r\n").startswith(b"HTTP/1.1 400")


def test_another_protocol_is_not_spoken(port: int) -> None:
    head = b"GET /echo HTTP/1.1\r\nhost: x\r\nconnection: upgrade, close\r\nupgrade: websocket\r\n\r\n"
    assert talk(port, head).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("size", [100, 600_000])
def test_nothing_is_answered_behind_connect(port: int, size: int) -> None:
    head = b"CONNECT http://b/x HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % size
    with client(port) as sock:
        sock.sendall(head + bytes(size) + b"GET /echo?behind HTTP/1.1\r\nhost: x\r\n\r\n")
        sock.settimeout(1)
        found = b""
        with contextlib.suppress(TimeoutError, ConnectionError):
            while piece := sock.recv(1 << 20):
                found += piece
    assert b"behind" not in found


def test_the_old_protocol_has_one_request_per_connection(port: int) -> None:
    assert talk(port, b"GET /echo HTTP/1.0\r\n\r\n").endswith(b"GET   ")


def test_an_address_with_its_host_is_one(port: int) -> None:
    found = talk(port, b"GET http://x/echo?a=1#b HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert found.endswith(b"GET a=1  ")


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")
def test_a_client_that_hangs_up_costs_nothing_more(port: int) -> None:
    before = descriptors()
    for text in (
        b"GET /file HTTP/1.1\r\nhost: x\r\n\r\n" * 3,
        b"PUT /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nx",
    ):
        for _ in range(5):
            with client(port) as sock:
                sock.sendall(text)
                sock.recv(1000 if text.startswith(b"GET") else 0)
    assert talk(port, LAST).endswith(b"GET last  ")
    until = time.monotonic() + 10
    while descriptors() > before and time.monotonic() < until:
        time.sleep(0.05)
    assert descriptors() <= before


@pytest.mark.parametrize("seed", range(10))
def test_requests_may_come_in_any_pieces(port: int, file: Path, seed: int) -> None:
    chance = random.Random(seed)
    text, answers = b"", []
    for number in range(30):
        body = chance.randbytes(chance.choice([0, 1, 100, 70_000, 200_000, 524_289, 1_500_000]))
        kind = chance.choice(["get", "whole", "chunks", "deaf", "file"])
        if kind == "get":
            text += b"GET /echo?%d HTTP/1.1\r\nhost: x\r\n\r\n" % number
            answers.append(b"GET %d  " % number)
        elif kind == "file":
            text += b"GET /small HTTP/1.1\r\nhost: x\r\n\r\n"
            answers.append(file.read_bytes()[5:70_005])
        elif kind == "chunks":
            text += b"PUT /echo?%d HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n" % number
            for at in range(0, len(body), 40_000):
                piece = body[at : at + 40_000]
                text += b"%x\r\n%s\r\n" % (len(piece), piece)
            text += b"0\r\n\r\n"
            answers.append(b"PUT %d  " % number + body)
        else:
            path = b"deaf" if kind == "deaf" else b"echo"
            head = b"PUT /%s?%d HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % (path, number, len(body))
            text += head + body
            answers.append(b"no" if kind == "deaf" else b"PUT %d  " % number + body)
    cuts = sorted(chance.randrange(len(text)) for _ in range(chance.choice([0, 5, 60])))
    pieces = [text[first:last] for first, last in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    found = b""
    with client(port) as sock:
        sender = threading.Thread(target=lambda: [sock.sendall(piece) for piece in (*pieces, LAST)])
        sender.start()
        while piece := sock.recv(1 << 20):
            found += piece
        sender.join()
    for answer in (*answers, b"GET last  "):
        head, _, rest = found.partition(b"\r\n\r\n")
        assert b"content-length: %d\r\n" % len(answer) in head + b"\r\n"
        assert rest[: len(answer)] == answer
        found = rest[len(answer) :]
    assert found == b""
