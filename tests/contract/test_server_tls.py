"""The private authority and the TLS listener: who is trusted with which name, and for how long."""

from __future__ import annotations

import http.client
import shutil
import socket
import ssl
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from kyanite.runtime.workspace import Workspace, open_workspace
from kyanite.server.certificates import CA_DAYS, HOST_DAYS, LOCAL_NAMES, RENEW_DAYS, CertificateAuthority
from server_kit import LiveServer, live_server

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = open_workspace(tmp_path / "home", create=True)
    made.accounts.create("raw")
    made.batch.create_account("Nodes")
    return made


def healthz(server: LiveServer, name: str) -> str:
    """What the https port says to a client that knows it as `name` and trusts our authority alone."""
    context = ssl.create_default_context(cafile=server.ca_file)
    with (
        socket.create_connection(("127.0.0.1", server.context.ports["https"])) as plain,
        context.wrap_socket(plain, server_hostname=name) as tls,
    ):
        tls.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        response = http.client.HTTPResponse(tls)
        response.begin()
        return response.read().decode()


@pytest.mark.parametrize(
    "name",
    [
        "localhost",
        "127.0.0.1",
        "raw.blob.core.windows.net",
        "raw.dfs.core.windows.net",
        "nodes.batch.azure.com",
        "nodes.westeurope.batch.azure.com",
        "management.azure.com",
        "login.microsoftonline.com",
    ],
)
def test_the_listener_proves_to_be_each_name_of_the_workspace(workspace: Workspace, name: str) -> None:
    with live_server(workspace, tls=True) as server:
        assert healthz(server, name) in ("ok", "")  # an Azure name in the handshake, ours in the Host header


@pytest.mark.parametrize("name", ["other.blob.core.windows.net", "pypi.org", "raw.x-y.batch.azure.com"])
def test_the_listener_is_nobody_else(workspace: Workspace, name: str) -> None:
    with live_server(workspace, tls=True) as server, pytest.raises((ssl.SSLError, ConnectionError)):
        healthz(server, name)


def test_an_account_made_later_is_served_at_once(workspace: Workspace) -> None:
    with live_server(workspace, tls=True) as server:
        workspace.accounts.create("late")
        healthz(server, "late.blob.core.windows.net")


def test_the_files_are_private_and_kept(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path / "tls")
    assert authority.ensure(NOW)
    before = authority.ca_file.read_bytes()
    assert not authority.ensure(NOW + timedelta(days=1))
    authority.host_file(LOCAL_NAMES, NOW)
    assert authority.ca_file.read_bytes() == before
    assert {stat.S_IMODE(file.stat().st_mode) for file in authority.folder.iterdir()} == {0o600}
    assert stat.S_IMODE(authority.folder.stat().st_mode) == 0o700


def test_a_certificate_is_renewed_before_its_end_and_the_authority_too(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path / "tls")
    file, until = authority.host_file(LOCAL_NAMES, NOW)
    first = file.read_bytes()
    assert until == NOW + timedelta(days=HOST_DAYS - RENEW_DAYS)
    authority.host_file(LOCAL_NAMES, until - timedelta(seconds=1))
    assert file.read_bytes() == first
    assert authority.host_file(LOCAL_NAMES, until)[1] > until
    assert file.read_bytes() != first
    assert authority.ensure(NOW + timedelta(days=CA_DAYS - RENEW_DAYS))


@pytest.mark.parametrize("name", ["ca.pem", "ca-key.pem"])
def test_a_broken_file_is_made_anew(tmp_path: Path, name: str) -> None:
    authority = CertificateAuthority(tmp_path / "tls")
    authority.ensure(NOW)
    (authority.folder / name).write_text("torn", encoding="ascii")
    assert authority.ensure(NOW)
    assert not authority.ensure(NOW)


def test_the_authority_can_speak_for_azures_names_and_this_machine_only(tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl")
    authority = CertificateAuthority(tmp_path / "tls")
    now = datetime.now(UTC)

    def verdict(name: str) -> str:
        file, _ = authority.host_file((name,), now)
        command = [openssl, "verify", "-x509_strict", "-CAfile", str(authority.ca_file), str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    assert "OK" in verdict("raw.blob.core.windows.net")
    assert "OK" in verdict("localhost")
    assert "permitted subtree violation" in verdict("pypi.org")
    assert "permitted subtree violation" in verdict("192.168.1.7")


def test_a_host_certificate_signs_nothing(tmp_path: Path) -> None:
    file, _ = CertificateAuthority(tmp_path / "tls").host_file(LOCAL_NAMES, NOW)
    certificate = x509.load_pem_x509_certificate(file.read_bytes())
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
