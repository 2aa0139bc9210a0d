"""The sockets: loopback addresses only, one thread with one event loop for all of them."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from email.utils import formatdate
from functools import partial
from typing import TYPE_CHECKING, Any

from kyanite.errors import ConflictError, UserError

if TYPE_CHECKING:
    from kyanite.server.connection import Shared
    from kyanite.server.http import Request, Response

_LOG = logging.getLogger("kyanite.server")

THREADS = 32  # for calls that wait for the disk or the database
HANDSHAKE_SECONDS = 15
STOP_SECONDS = 5  # for answers in progress
_GOODBYE_SECONDS = 0.3  # a TLS client may answer a close; one that keeps its connection for later does not
_STOP_LOOK_SECONDS = 0.02
_BACKLOG = 1024

MakeConnection = Callable[[], asyncio.Protocol]
Background = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Endpoint:
    """A bound socket; with a TLS context it speaks https.

    `front` makes what a client meets first, from what makes an HTTP connection (the proxy hands over to that).
    """

    socket: socket.socket
    tls: ssl.SSLContext | None = None
    front: Callable[[MakeConnection], asyncio.Protocol] | None = None

    @property
    def port(self) -> int:
        """The port that it listens on."""
        number: int = self.socket.getsockname()[1]
        return number


def bind(port: int = 0, host: str = "127.0.0.1") -> socket.socket:
    """A socket bound to a loopback address (0: any free port). ConflictError when the port is taken."""
    if host not in ("127.0.0.1", "::1", "localhost"):
        raise UserError(f"{host} is not a loopback address.", cure="Listen on 127.0.0.1 or ::1.")
    made = socket.socket(socket.AF_INET6 if host == "::1" else socket.AF_INET)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        made.listen(_BACKLOG)
    except OSError as problem:
        made.close()
        if problem.errno in (errno.EADDRINUSE, errno.EACCES):
            raise ConflictError(
                f"Port {port} of {host} cannot be used: {problem.strerror}.",
                cure="Stop the program that has it, or name another with --port (0: any free one).",
            ) from problem
        raise
    return made


class Listener:
    """Serves what answers requests on some endpoints from a thread of its own; `with` starts and stops it.

    `also` are coroutine functions that run on the same loop until they are cancelled at the stop.
    """

    def __init__(
        self,
        application: Callable[[Request], Coroutine[Any, Any, Response]],
        endpoints: Sequence[Endpoint],
        also: Sequence[Background] = (),
    ) -> None:
        self._application = application
        self._endpoints = endpoints
        self._also = also
        self._open: Callable[[Endpoint, Sequence[Background]], Coroutine[Any, Any, None]]
        self._loop: asyncio.AbstractEventLoop
        self._thread: threading.Thread | None = None
        self._started: Future[Callable[[], object]] = Future()

    def __enter__(self) -> Listener:
        self.start()
        return self

    def __exit__(self, *_details: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to answer; returns once requests are accepted."""
        self._thread = threading.Thread(target=self._run, name="kyanite-server", daemon=True)
        self._thread.start()
        self._started.result()

    def add(self, endpoint: Endpoint, also: Sequence[Background] = ()) -> None:
        """Listen on one more endpoint; it must have been started."""
        asyncio.run_coroutine_threadsafe(self._open(endpoint, also), self._loop).result()

    def stop(self) -> None:
        """Accept no more, let answers in progress end for a few seconds, close."""
        if self._thread is not None:
            with suppress(RuntimeError):  # its loop has ended already
                self._started.result()()
            self._thread.join(STOP_SECONDS + 5)

    def _run(self) -> None:
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            try:
                runner.run(self._serve())
            except BaseException as problem:
                if self._started.done():
                    raise
                self._started.set_exception(problem)

    async def _serve(self) -> None:
        loop = self._loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(THREADS, "kyanite-call"))
        shared = _shared(self._application, loop)
        make = _maker(shared)
        servers: list[asyncio.AbstractServer] = []
        others = [asyncio.ensure_future(_tell_date(shared))]

        async def open_endpoint(endpoint: Endpoint, also: Sequence[Background]) -> None:
            servers.append(await _listen(endpoint, make))
            others.extend(asyncio.ensure_future(start()) for start in also)

        self._open = open_endpoint
        for number, endpoint in enumerate(self._endpoints):
            await open_endpoint(endpoint, () if number else self._also)
        stopping = asyncio.Event()
        self._started.set_result(partial(loop.call_soon_threadsafe, stopping.set))
        await stopping.wait()
        for server in servers:
            server.close()
        await _drain(shared)
        for other in others:
            other.cancel()
        await asyncio.gather(*others, return_exceptions=True)


async def _listen(endpoint: Endpoint, make: MakeConnection) -> asyncio.AbstractServer:
    return await asyncio.get_running_loop().create_server(
        make if endpoint.front is None else partial(endpoint.front, make),
        sock=endpoint.socket,
        ssl=endpoint.tls,
        ssl_handshake_timeout=HANDSHAKE_SECONDS if endpoint.tls else None,
        backlog=_BACKLOG,
    )


def _shared(application: Callable[[Request], Coroutine[Any, Any, Response]], loop: asyncio.AbstractEventLoop) -> Shared:
    from kyanite.server.connection import Shared

    return Shared(application, loop, _date())


def _maker(shared: Shared) -> MakeConnection:
    from kyanite.server.connection import Connection

    return partial(Connection, shared)


def _date() -> str:
    return f"date: {formatdate(usegmt=True)}\r\n"


async def _tell_date(shared: Shared) -> None:
    """Every answer has a Date header; once a second is often enough."""
    while True:
        shared.date = _date()
        await asyncio.sleep(1)


async def _drain(shared: Shared) -> None:
    """Close idle connections, give those with an answer in progress a few seconds."""
    for connection in list(shared.connections):
        connection.shutdown()
    with suppress(TimeoutError):
        async with asyncio.timeout(STOP_SECONDS):
            while shared.tasks or any(each.is_busy for each in shared.connections):
                await asyncio.sleep(_STOP_LOOK_SECONDS)
        async with asyncio.timeout(_GOODBYE_SECONDS):
            while shared.connections:
                await asyncio.sleep(_STOP_LOOK_SECONDS)
    if shared.tasks:
        _LOG.warning("%d requests were cut off by the stop", len(shared.tasks))
    for task in list(shared.tasks):
        task.cancel()
    for connection in list(shared.connections):
        connection.abort()
    await asyncio.gather(*shared.tasks, return_exceptions=True)
