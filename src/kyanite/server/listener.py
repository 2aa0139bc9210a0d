"""The sockets: loopback addresses only, one thread with one event loop for all of them."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from kyanite.errors import ConflictError, UserError

THREADS = 32  # for calls that wait for the disk or the database
KEEP_ALIVE_SECONDS = 75
STOP_SECONDS = 5


@dataclass(frozen=True)
class Endpoint:
    """A bound socket; with a TLS context it speaks https."""

    socket: socket.socket
    tls: ssl.SSLContext | None = None

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
        made.listen(1024)
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
    """Serves an ASGI application on some endpoints from a thread of its own; `with` starts and stops it.

    `also` are coroutine functions that run on the same loop until they are cancelled at the stop.
    """

    def __init__(
        self,
        application: Any,
        endpoints: Sequence[Endpoint],
        also: Sequence[Callable[[], Awaitable[None]]] = (),
    ) -> None:
        self._application = application
        self._endpoints = endpoints
        self._also = also
        self._thread: threading.Thread | None = None
        self._started: Future[None] = Future()
        self._servers: list[Any] = []

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

    def stop(self) -> None:
        """Accept no more, let answers in progress end for a few seconds, close."""
        for server in self._servers:
            server.should_exit = True
        if self._thread is not None:
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
        import uvicorn

        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS, "kyanite-call"))
        serving = []
        for endpoint in self._endpoints:
            config = uvicorn.Config(
                self._application,
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=STOP_SECONDS,
                backlog=1024,
            )
            config.load()
            config.ssl = endpoint.tls
            server = uvicorn.Server(config)
            self._servers.append(server)
            serving.append(asyncio.create_task(server.serve(sockets=[endpoint.socket])))
        others = [asyncio.ensure_future(start()) for start in self._also]
        while not all(server.started for server in self._servers):
            for task in (*serving, *others):
                if task.done():
                    task.result()
            await asyncio.sleep(0.005)
        self._started.set_result(None)
        await asyncio.gather(*serving)
        for other in others:
            other.cancel()
        await asyncio.gather(*others, return_exceptions=True)
