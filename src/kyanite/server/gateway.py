"""The gateway of a workspace: one loopback port behind which Azure's names lead here, for commands and tasks.

Whoever needs it first listens: `serve`, `exec`, or a `run` that launches a task. The port is remembered, and when the
process that listens ends, another that has asked for the gateway takes its place on the same port. So the environment
of a task that goes on meanwhile stays true.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from secrets import randbelow
from typing import TYPE_CHECKING, Any, Literal

from kyanite.errors import ConflictError, StateError
from kyanite.server.certificates import CertificateAuthority, write_private
from kyanite.server.principals import identity_header
from kyanite.server.trust import proxy_url, trust_files, variables

if TYPE_CHECKING:
    from kyanite.batch.model import Pool
    from kyanite.runtime.workspace import Workspace
    from kyanite.secrets import Vault
    from kyanite.server.context import ServerContext
    from kyanite.server.listener import Listener

_LOG = logging.getLogger("kyanite.gateway")
PORT_FILE = "gateway.json"
LOCK_FILE = "gateway.lock"
POOL_SETTING = "kyanite.gateway"  # name of a pool's metadata item
_TAKE_OVER_SECONDS = 0.2
_APPEAR_SECONDS = 10.0
_PORTS = range(20_000, 32_000)
_PORT_ATTEMPTS = 20

Reach = Literal["closed", "open"]
USERS: dict[str, Reach] = {"kyanite": "closed", "kyanite-open": "open"}  # in the proxy's address


def ensure_gateway(
    workspace: Workspace, context: ServerContext | None = None, listener: Listener | None = None
) -> Gateway:
    """The workspace's gateway, answered by this process unless another one does; close it at the end.

    It is opened on `listener`, which the caller stops before, or else on one of its own that serves `context`.
    """
    gateway = Gateway(workspace, context, listener)
    gateway.start()
    return gateway


def credentials(vault: Vault) -> dict[str, bool]:
    """What the proxy accepts: "user:password" -> whether the rest of the network may be reached."""
    return {f"{user}:{_secret(vault, reach)}": reach == "open" for user, reach in USERS.items()}


def is_counted_on(workspace: Workspace) -> bool:
    """Whether a task is on a node that may have been told of the gateway."""
    from kyanite.database import named_statements

    return bool(workspace.database.query(named_statements("kyanite.server", "gateway.sql")["tasks_on_nodes"]))


def pool_reach(pool: Pool) -> Reach | None:
    """How far a pool's tasks reach by the gateway; None when they do not use it. Its metadata says so.

    Azure's nodes have the internet, and start tasks install packages from it: so the default is open.
    """
    items = pool.spec.document.get("metadata") or ()
    said = {str(item.get("name")): str(item.get("value")).lower() for item in items if isinstance(item, Mapping)}
    found: dict[str, Reach | None] = {"on": "open", "closed": "closed", "off": None}
    return found.get(said.get(POOL_SETTING, "on"), "open")


class Gateway:
    """The share of this process in it: it listens, or waits to take over."""

    def __init__(
        self, workspace: Workspace, context: ServerContext | None = None, shared: Listener | None = None
    ) -> None:
        self._workspace = workspace
        self._context = context or _context(workspace)
        self._shared = shared
        self._authority = CertificateAuthority(workspace.home / "tls")
        self._listener: Listener | None = None
        self._lock: int | None = None
        self._closed = threading.Event()
        self._waiting: threading.Thread | None = None
        self._changing = threading.Lock()
        self.port = 0

    def start(self) -> None:
        """Listen, or find the port where another process does."""
        from kyanite.runtime.clock import utc_now

        self._authority.ensure(utc_now())
        if self._take():
            return
        self.port = self._others_port()
        self._waiting = threading.Thread(target=self._wait, name="kyanite-gateway", daemon=True)
        self._waiting.start()

    @property
    def listens(self) -> bool:
        """Whether it is this process that answers."""
        return self._lock is not None

    def environment(
        self, *, network: bool, program: str = "server/identity/exec", host: Mapping[str, str] = os.environ
    ) -> dict[str, str]:
        """What a program must be told; `program` is one of principals.PROGRAMS."""
        vault = self._workspace.vault
        reach: Reach = "open" if network else "closed"
        user = next(name for name, each in USERS.items() if each == reach)
        trust = trust_files(self._authority.folder, self._authority.ca_file, network=network, host=host)
        endpoint = f"http://127.0.0.1:{self.port}/msi/token"
        proxy = proxy_url(self.port, user, _secret(vault, reach))
        told = variables(trust, proxy, endpoint, identity_header(vault, program))
        return {**told, "KYANITE_HOME": str(self._workspace.home)}

    def close(self) -> None:
        """Stop listening; a process that waits goes on with it."""
        self._closed.set()
        if self._waiting is not None:
            self._waiting.join()
        with self._changing:
            if self._listener is not None:
                self._listener.stop()
                self._listener = None
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    # ---- who listens

    def _take(self) -> bool:
        """Listen unless another process does."""
        lock = os.open(self._workspace.home / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        try:
            self._listen()
        except BaseException:
            os.close(lock)
            raise
        self._lock = lock
        return True

    def _wait(self) -> None:
        while not self._closed.wait(_TAKE_OVER_SECONDS):
            with self._changing:
                try:
                    if self._closed.is_set() or self._take():
                        return
                except Exception as problem:  # noqa: BLE001 - told to the log and tried again: tasks count on the port
                    _LOG.warning("the gateway cannot be taken over: %s", problem)

    def _listen(self) -> None:
        from kyanite.server.app import Application
        from kyanite.server.listener import Endpoint, Listener, bind
        from kyanite.server.ours import is_ours
        from kyanite.server.proxy import Proxy
        from kyanite.server.tls import server_context

        ours = partial(is_ours, self._workspace)
        proxy = Proxy(ours, server_context(self._authority, ours), credentials(self._workspace.vault))
        known = self._remembered()
        try:
            listening = bind(known) if known else _bind_new()
        except ConflictError:
            _LOG.warning("port %d of the gateway is taken by another program; tasks that know it must end first", known)
            listening = _bind_new()
        endpoint = Endpoint(listening, front=proxy.front)
        if self._shared is not None:
            self._shared.add(endpoint, [proxy.close_at_stop])
        else:
            self._listener = Listener(Application(self._context), [endpoint], [proxy.close_at_stop])
            self._listener.start()
        self.port = self._context.ports["proxy"] = endpoint.port
        write_private(self._file, json.dumps({"proxy": endpoint.port}).encode())

    @property
    def _file(self) -> Path:
        return self._workspace.home / PORT_FILE

    def _remembered(self) -> int:
        try:
            document: Any = json.loads(self._file.read_bytes())
        except (FileNotFoundError, ValueError):
            return 0
        port = document.get("proxy") if isinstance(document, dict) else None
        return port if isinstance(port, int) and 0 < port < 65536 else 0

    def _others_port(self) -> int:
        """Where another process listens; it may be about to write that down."""
        import time

        end = time.monotonic() + _APPEAR_SECONDS
        while not (port := self._remembered()):
            if time.monotonic() > end:
                raise StateError("Another process is starting the gateway and does not get on.", where=str(self._file))
            time.sleep(0.01)
        return port


def _context(workspace: Workspace) -> ServerContext:
    from kyanite.server.context import ServerContext

    return ServerContext(workspace)


def _bind_new() -> socket.socket:
    """A port that nobody has, and none of those that systems give to outgoing connections: it must be free later."""
    from kyanite.server.listener import bind

    for _ in range(_PORT_ATTEMPTS):
        with suppress(ConflictError):
            return bind(_PORTS.start + randbelow(len(_PORTS)))
    return bind(0)


def _secret(vault: Vault, reach: Reach) -> str:
    return vault.get_or_create(f"server/proxy/{reach}", 33)


def task_environment(gateway: Gateway, pool: Pool) -> dict[str, str]:
    """What the gateway adds to the environment of a pool's tasks."""
    reach = pool_reach(pool)
    return {} if reach is None else gateway.environment(network=reach == "open", program="server/identity/task")
