"""A server on loopback ports of its own for a test: `with live_server(workspace) as server: server.http_url`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kyanite.runtime.workspace import Workspace
from kyanite.server.app import Application
from kyanite.server.certificates import CertificateAuthority
from kyanite.server.context import ServerContext
from kyanite.server.listener import Endpoint, Listener, bind
from kyanite.server.ours import is_ours
from kyanite.server.tls import server_context


@dataclass(frozen=True)
class LiveServer:
    """Where it listens. `https_url` and `ca_file` are set when it was started with `tls=True`."""

    http_url: str
    context: ServerContext
    https_url: str = ""
    ca_file: Path | None = None


@contextmanager
def live_server(
    workspace: Workspace, *, tls: bool = False, context: ServerContext | None = None
) -> Iterator[LiveServer]:
    """Serve a workspace for the length of a `with`; `context` for a clock or callbacks of the test's own."""
    shared = context or ServerContext(workspace)
    http = Endpoint(bind())
    endpoints = [http]
    https_url, ca_file = "", None
    shared.ports["http"] = http.port
    if tls:
        authority = CertificateAuthority(workspace.home / "tls")
        https = Endpoint(bind(), server_context(authority, partial(is_ours, workspace)))
        endpoints.append(https)
        shared.ports["https"] = https.port
        https_url, ca_file = f"https://localhost:{https.port}", authority.ca_file
    with Listener(Application(shared), endpoints):
        yield LiveServer(f"http://127.0.0.1:{http.port}", shared, https_url, ca_file)
