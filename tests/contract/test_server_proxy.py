"""The proxy: the workspace's names reach this server, others nowhere, or outside for those who may."""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from functools import partial
from ipaddress import ip_address
from pathlib import Path

import pytest

from kyanite.runtime.workspace import Workspace, open_workspace
from kyanite.server.app import Application
from kyanite.server.certificates import CertificateAuthority
from kyanite.server.context import ServerContext
from kyanite.server.listener import Endpoint, Listener, bind
from kyanite.server.ours import is_ours
from kyanite.server.proxy import Proxy
from kyanite.server.tls import server_context

CLOSED, OPEN = "kyanite:closed-secret", "kyanite:open-secret"


class Site:
    """A proxy and a server of its own somewhere else: `upstream` is what the proxy takes for this machine's proxy."""

    def __init__(self, workspace: Workspace) -> None:
        authority = CertificateAuthority(workspace.home / "tls")
        ours = partial(is_ours, workspace)
        tls = server_context(authority, ours)
        self.upstream: str | None = None
        self.proxy = Proxy(ours, tls, {CLOSED: False, OPEN: True}, lambda scheme, host: self.upstream)
        endpoint = Endpoint(bind(), front=self.proxy.front)
        self.port = endpoint.port
        self.ca_file = authority.ca_file
        self.listener = Listener(Application(ServerContext(workspace)), [endpoint], [self.proxy.close_at_stop])

    def connection(self, host: str, port: int = 443, credential: str | None = CLOSED) -> http.client.HTTPSConnection:
        tls = ssl.create_default_context(cafile=self.ca_file)
        made = http.client.HTTPSConnection("127.0.0.1", self.port, context=tls, timeout=10)
        made.set_tunnel(host, port, authorization(credential))
        return made

    def raw(self, text: str) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as plain:
            plain.sendall(text.encode())
            return b"".join(iter(lambda: plain.recv(65536), b""))


def authorization(credential: str | None) -> dict[str, str]:
    if credential is None:
        return {}
    return {"Proxy-Authorization": f"Basic {base64.b64encode(credential.encode()).decode()}"}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with open_workspace(tmp_path / "home", create=True) as workspace:
        workspace.accounts.create("raw")
        workspace.batch.create_account("nodes")
        made = Site(workspace)
        with made.listener:
            yield made


@pytest.fixture
def elsewhere() -> Iterator[socket.socket]:
    """A server that says what it was sent, in capitals, after the client's end."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            with client:
                for piece in iter(partial(client.recv, 65536), b""):
                    client.sendall(piece.upper())
                client.sendall(b"END")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listening
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join(5)


@pytest.mark.parametrize(
    "host",
    ["raw.blob.core.windows.net", "raw.dfs.core.windows.net", "nodes.batch.azure.com", "management.azure.com",
     "login.microsoftonline.com"],
)  # fmt: skip
def test_names_of_the_workspace_reach_this_server(site: Site, host: str) -> None:
    connection = site.connection(host)
    for _ in range(2):  # the connection is kept
        connection.request("GET", "/no/such/thing")
        response = connection.getresponse()
        response.read()
        assert response.headers["date"]
        assert response.status < 600
    connection.close()


def refusal(connection: http.client.HTTPConnection) -> str:
    with pytest.raises(OSError, match="Tunnel connection failed") as caught:
        connection.request("GET", "/")
    connection.close()
    return str(caught.value)


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("pypi.org", "403 kyanite: pypi.org is not in this workspace"),
        ("other.blob.core.windows.net", "403 kyanite: this workspace has no account other"),
        ("127.0.0.1", "403 kyanite: 127.0.0.1 is not"),
        ("evilblob.core.windows.net", "403 kyanite: evilblob.core.windows.net is not"),
        ("raw.blob.core.windows.net.evil.org", "403 kyanite"),
        ("[::1]", "403 kyanite"),
    ],
)
def test_other_names_are_refused_with_the_switch_that_lets_them_through(site: Site, host: str, told: str) -> None:
    text = refusal(site.connection(host))
    assert told in text
    assert "--allow-network" in text


@pytest.mark.parametrize("credential", [None, "kyanite:", "kyanite:wrong", "x" * 5000])
def test_who_has_no_credential_gets_nowhere(site: Site, credential: str | None) -> None:
    assert "407" in refusal(site.connection("raw.blob.core.windows.net", credential=credential))
    answer = site.raw("GET http://raw.blob.core.windows.net/ HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 407") and b"Proxy-Authenticate: Basic" in answer


def test_an_allowed_client_is_tunnelled(site: Site, elsewhere: socket.socket) -> None:
    host, port = elsewhere.getsockname()
    secret = authorization(OPEN)["Proxy-Authorization"]
    data = b"abc" * 1_000_000
    received = bytearray()
    with socket.create_connection(("127.0.0.1", site.port), timeout=10) as plain:
        plain.sendall(f"CONNECT {host}:{port} HTTP/1.1\r\nProxy-Authorization: {secret}\r\n\r\n".encode())
        assert plain.recv(39) == b"HTTP/1.1 200 Connection established\r\n\r\n"
        reader = threading.Thread(
            target=lambda: [received.extend(piece) for piece in iter(lambda: plain.recv(65536), b"")]
        )
        reader.start()
        plain.sendall(data)
        plain.shutdown(socket.SHUT_WR)
        reader.join(10)
    assert bytes(received) == data.upper() + b"END"


def test_a_server_that_speaks_first_is_heard(site: Site) -> None:
    secret = authorization(OPEN)["Proxy-Authorization"]
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def greet() -> None:
            client, _ = listening.accept()
            with client:
                client.sendall(b"220 welcome")

        thread = threading.Thread(target=greet)
        thread.start()
        port = listening.getsockname()[1]
        answer = site.raw(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\nProxy-Authorization: {secret}\r\n\r\n")
        thread.join()
    assert answer == b"HTTP/1.1 200 Connection established\r\n\r\n220 welcome"


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "168.63.129.16", "[::ffff:169.254.169.254]", "[fe80::1]", "0.0.0.0", "100.100.100.200"]
)
def test_the_clouds_own_addresses_are_never_reached(site: Site, host: str) -> None:
    assert "403 kyanite" in refusal(site.connection(host, 80, OPEN))


def test_a_name_that_leads_to_such_an_address_is_refused_once_connected(
    site: Site, elsewhere: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kyanite.server.outside._METADATA", frozenset({ip_address("127.0.0.1")}))
    assert "403 kyanite: localhost leads to" in refusal(site.connection("localhost", elsewhere.getsockname()[1], OPEN))


def test_what_cannot_be_reached_is_said(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    assert "502 kyanite: 127.0.0.1 cannot be reached" in refusal(site.connection("127.0.0.1", port, OPEN))


def test_plain_http_addresses_of_the_workspace_are_answered(site: Site) -> None:
    secret = authorization(CLOSED)["Proxy-Authorization"]
    answer = site.raw(
        f"GET http://raw.blob.core.windows.net/box/a%2Fb?comp=x HTTP/1.1\r\nHost: raw.blob.core.windows.net\r\n"
        f"Proxy-Authorization: {secret}\r\nProxy-Connection: keep-alive\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 ") and b"kyanite:" not in answer


def test_plain_http_elsewhere_is_passed_on_for_those_who_may(site: Site, elsewhere: socket.socket) -> None:
    host, port = elsewhere.getsockname()

    def ask(credential: str) -> bytes:
        secret = authorization(credential)["Proxy-Authorization"]
        head = f"GET http://{host}:{port}/a?b HTTP/1.1\r\nHost: {host}\r\nProxy-Authorization: {secret}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", site.port), timeout=10) as plain:
            plain.sendall(head.encode())
            plain.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: plain.recv(65536), b""))

    passed = ask(OPEN)
    assert passed.startswith(b"GET /A?B HTTP/1.1") and b"PROXY-AUTHORIZATION" not in passed
    assert ask(CLOSED).startswith(b"HTTP/1.1 403 kyanite")


def test_this_machines_own_proxy_is_used_for_the_rest(site: Site, tmp_path: Path) -> None:
    with open_workspace(tmp_path / "second", create=True) as other:
        other.accounts.create("far")
        far = Site(other)
        with far.listener:
            site.upstream = f"http://{CLOSED}@127.0.0.1:{far.port}"
            connection = site.connection("far.blob.core.windows.net", credential=OPEN)
            connection._context = ssl.create_default_context(cafile=far.ca_file)  # type: ignore[attr-defined]
            connection.request("GET", "/")
            assert connection.getresponse().status < 600
            connection.close()
            assert "502 kyanite: the proxy that this machine uses answered" in refusal(
                site.connection("pypi.org", credential=OPEN)
            )


def test_the_proxy_itself_answers_what_names_this_machine(site: Site) -> None:
    answer = site.raw("GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"ok")


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("nonsense\r\n\r\n", b"400"),
        ("GET ftp://raw.blob.core.windows.net/ HTTP/1.1\r\n\r\n", b"407"),
        ("CONNECT raw.blob.core.windows.net HTTP/1.1\r\nProxy-Authorization: SECRET\r\n\r\n", b"400"),
        ("CONNECT :443 HTTP/1.1\r\nProxy-Authorization: SECRET\r\n\r\n", b"400"),
        ("GET ftp://raw.blob.core.windows.net/ HTTP/1.1\r\nProxy-Authorization: SECRET\r\n\r\n", b"400"),
        ("CONNECT a:1 HTTP/1.1\r\n folded: x\r\n\r\n", b"400"),
        (f"GET http://raw.blob.core.windows.net/ HTTP/1.1\r\nx: {'y' * 70_000}", b"431"),
    ],
)
def test_odd_requests_are_refused(site: Site, text: str, status: bytes) -> None:
    secret = authorization(CLOSED)["Proxy-Authorization"]
    assert site.raw(text.replace("SECRET", secret)).split(b" ", 2)[1] == status
