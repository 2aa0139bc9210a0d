"""The listeners of `kyanite serve`: http and https on known ports, and the gateway; where they are stands in a file."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from kyanite.errors import ConflictError
from kyanite.runs.store import Owner
from kyanite.runtime.serve import RunPool
from kyanite.runtime.workspace import Workspace
from kyanite.server.app import Application
from kyanite.server.certificates import CertificateAuthority, write_private
from kyanite.server.context import ServerContext
from kyanite.server.gateway import ensure_gateway, task_environment
from kyanite.server.http import Request, Response
from kyanite.server.keys import TLS_FOLDER, make_keys
from kyanite.server.listener import Endpoint, Listener, bind
from kyanite.server.ours import is_ours
from kyanite.server.tls import server_context

ADDRESS_FILE = "serve.json"
HTTP_PORT = 10010
HTTPS_PORT = 10011

Observer = Callable[[Request, Response], None]


@dataclass(frozen=True)
class Addresses:
    """Where a server listens, and where the files are that a client needs."""

    http: str
    https: str
    proxy: str
    token_file: str
    ca_file: str
    pid: int


@contextmanager
def listening(
    workspace: Workspace,
    pool: RunPool,
    *,
    http_port: int | None = None,
    https_port: int | None = None,
    observers: Sequence[Observer] = (),
    told: Callable[[Addresses], None] = lambda addresses: None,
) -> Iterator[Addresses]:
    """Answer clients of a workspace for the length of a `with`; runs that they make go to `pool`.

    A port that is None is the usual one, or any free one when another program has that. ConflictError for a named port
    that is taken.
    """
    token_file = make_keys(workspace)
    authority = CertificateAuthority(workspace.home / TLS_FOLDER)
    context = ServerContext(workspace, on_run=pool.submit, observers=list(observers))
    tls = server_context(authority, partial(is_ours, workspace))
    with ExitStack() as until_both:
        http = Endpoint(until_both.enter_context(_bind(http_port, HTTP_PORT)))
        https = Endpoint(until_both.enter_context(_bind(https_port, HTTPS_PORT)), tls)
        until_both.pop_all()
    context.ports.update(http=http.port, https=https.port)
    with Listener(Application(context), [http, https]) as listener:
        gateway = ensure_gateway(workspace, context, listener)
        workspace.task_environment = partial(task_environment, gateway)
        workspace.batch.run_in_background()  # adopts the tasks that run
        addresses = Addresses(
            http=f"http://127.0.0.1:{http.port}",
            https=f"https://localhost:{https.port}",
            proxy=f"http://127.0.0.1:{gateway.port}",
            token_file=str(token_file),
            ca_file=str(authority.ca_file),
            pid=Owner.current().pid,
        )
        file = workspace.home / ADDRESS_FILE
        write_private(file, (json.dumps(asdict(addresses), indent=2) + "\n").encode())
        try:
            told(addresses)
            yield addresses
        finally:
            file.unlink(missing_ok=True)
            listener.stop()
            gateway.close()


def read_addresses(home: Path) -> Addresses | None:
    """Where the server of a workspace listens; None when the file does not say so (a killed one leaves it behind)."""
    try:
        return Addresses(**json.loads((home / ADDRESS_FILE).read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _bind(port: int | None, usual: int) -> socket.socket:
    if port is not None:
        return bind(port)
    try:
        return bind(usual)
    except ConflictError:
        return bind(0)
