"""Talking to the agents of local nodes: one connection per node, one thread per process that hears them all."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kyanite import limits
from kyanite.batch import node_agent, processes
from kyanite.errors import StateError

_START_SECONDS = 20.0
_SEND_SECONDS = 10.0
_LONGEST_ADDRESS = 100  # bytes of a socket's path, on every system


class NodeLinks:
    """The connections of this process to nodes; `heard` gets every message with its node's folder, None when gone."""

    def __init__(self, heard: Callable[[Path, dict[str, Any] | None], None], on_quiet: Callable[[], None]) -> None:
        self._heard = heard
        self._on_quiet = on_quiet
        self._links: dict[Path, socket.socket] = {}
        self._places: dict[Path, threading.Lock] = {}
        self._lock = threading.RLock()
        self._selector: selectors.BaseSelector | None = None
        self._waker: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def connected(self, folder: Path) -> bool:
        """Whether there is a connection."""
        return folder in self._links

    def tell(self, folder: Path, message: dict[str, Any], *, start: bool) -> bool:
        """Send to a node's agent, with `start` making it first if need be; False when it cannot be reached."""
        data = json.dumps(message).encode() + b"\n"
        for _ in range(2):
            link = self._links.get(folder) or self._connect(folder, start)
            if link is None:
                return False
            try:
                with self._lock_of(folder):
                    link.sendall(data)
            except OSError:
                self._drop(folder, link)
            else:
                return True
        return False

    def attach(self, folder: Path, *, start: bool) -> bool:
        """Be connected to the node's agent, so that its news come; with `start` it is made when it is not there."""
        return self.connected(folder) or self._connect(folder, start) is not None

    def forget(self, folder: Path) -> None:
        """Drop the connection: its agent was ended."""
        link = self._links.get(folder)
        if link is not None:
            self._drop(folder, link)

    def wake(self) -> None:
        """Make the thread call `on_quiet`, if there is one."""
        waker = self._waker
        if waker is not None:
            with contextlib.suppress(OSError):
                waker.send(b"x")

    def begin(self) -> None:
        """Start the thread; nothing when it runs."""
        with self._lock:
            if self._thread is None and not self._closed:
                self._selector = selectors.DefaultSelector()
                waiting, self._waker = socket.socketpair()
                waiting.setblocking(False)
                self._waker.setblocking(False)
                self._selector.register(waiting, selectors.EVENT_READ, None)
                self._thread = threading.Thread(target=self._listen, args=(waiting,), name="nodes", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Drop all connections and end the thread."""
        with self._lock:
            self._closed = True
            thread, links = self._thread, dict(self._links)
        for folder, link in links.items():
            self._drop(folder, link, quiet=True)
        self.wake()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=10)

    # ---- connections

    def _lock_of(self, folder: Path) -> threading.Lock:
        with self._lock:
            return self._places.setdefault(folder, threading.Lock())

    def _connect(self, folder: Path, start: bool) -> socket.socket | None:
        with self._lock_of(folder):
            found = self._links.get(folder)
            if found is not None or self._closed:
                return found
            link = open_socket(folder)
            if link is None and start:
                link = _start_agent(folder)
            if link is None:
                return None
            self.begin()
            with self._lock:
                if self._closed or self._selector is None:
                    link.close()
                    return None
                self._links[folder] = link
                self._selector.register(link, selectors.EVENT_READ, (folder, bytearray()))
        self.wake()
        return link

    def _drop(self, folder: Path, link: socket.socket, quiet: bool = False) -> None:
        with self._lock:
            if self._links.get(folder) is not link:
                return
            del self._links[folder]
            if self._selector is not None:
                with contextlib.suppress(KeyError, ValueError):
                    self._selector.unregister(link)
            link.close()
        if not quiet:
            self._heard(folder, None)

    # ---- the thread

    def _listen(self, waiting: socket.socket) -> None:
        selector = self._selector
        assert selector is not None  # noqa: S101 - made by `begin`, before this thread
        while not self._closed:
            for key, _events in selector.select():
                if key.data is None:
                    with contextlib.suppress(BlockingIOError):
                        waiting.recv(4096)
                else:
                    self._receive(key.fileobj, *key.data)
            if not self._closed:
                self._on_quiet()
        with self._lock:
            selector.close()
            waiting.close()
            if self._waker is not None:
                self._waker.close()
            self._selector = self._waker = None

    def _receive(self, link: Any, folder: Path, kept: bytearray) -> None:
        try:
            piece = link.recv(1 << 20)
        except OSError:
            piece = b""
        if not piece:
            self._drop(folder, link)
            return
        kept += piece
        *messages, rest = bytes(kept).split(b"\n")
        kept[:] = rest
        for message in messages:
            self._heard(folder, json.loads(message))


def open_socket(folder: Path) -> socket.socket | None:
    """A connection to the agent of a node's folder; None when none listens. The path may be of any length (Linux)."""
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    link.settimeout(_SEND_SECONDS)
    address = os.fsencode(folder / "agent.sock")
    handle = None
    try:
        if len(address) > _LONGEST_ADDRESS:
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            address = f"/proc/self/fd/{handle}/agent.sock".encode()
        link.connect(address)
    except OSError:
        link.close()
        return None
    finally:
        if handle is not None:
            os.close(handle)
    return link


def _start_agent(folder: Path) -> socket.socket | None:
    with (folder / "agent.txt").open("wb") as trouble:
        process = subprocess.Popen(
            [
                *(sys.executable, "-I", "-S", "-X", "utf8", node_agent.__file__, str(folder)),
                *(str(limits.NODE_IDLE_SECONDS), str(limits.NODE_HEARTBEAT_SECONDS)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=trouble,
            stderr=trouble,
            env={name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ},
            cwd=folder,
            start_new_session=True,
        )
    process.wait()
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until:
        link = open_socket(folder)
        if link is not None:
            return link
        time.sleep(0.002)
    raise StateError(
        "The node's agent did not start.", where=str(folder), cure=f"See {folder / 'agent.txt'} for what it said."
    )


def end_agent(folder: Path, seconds: float = 5.0) -> None:
    """End a node's agent with everything it runs: when told it ends by itself, after `seconds` by force."""
    who = processes.read_small_json(str(folder / "agent.json"))
    link = open_socket(folder)
    with link or contextlib.nullcontext():
        if link is not None:
            with contextlib.suppress(OSError):
                link.sendall(b'{"do": "end"}\n')
        if who is not None and not _is_over(who, seconds):
            with contextlib.suppress(ProcessLookupError):
                os.kill(who["pid"], signal.SIGKILL)
            _is_over(who, _START_SECONDS)


def kill_agent(folder: Path, ill: Callable[[], bool]) -> None:
    """Kill a node's agent by force, if it is still the one that is `ill`; what it runs ends with it."""
    who = processes.read_small_json(str(folder / "agent.json"))
    if who is not None and ill() and who == processes.read_small_json(str(folder / "agent.json")):
        if processes.is_alive(who):
            with contextlib.suppress(ProcessLookupError):
                os.kill(who["pid"], signal.SIGKILL)
        _is_over(who, _START_SECONDS)


def _is_over(who: dict[str, Any], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while processes.is_alive(who):
        if time.monotonic() >= until:
            return False
        time.sleep(0.002)
    return True
