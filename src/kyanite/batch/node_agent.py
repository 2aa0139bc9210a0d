"""A node of a local pool: ONE long-lived process that starts the commands of its node and records how each ended.

    python -I -S node_agent.py NODE_FOLDER IDLE_SECONDS HEARTBEAT_SECONDS

Standard library only. It listens on a Unix socket in its folder, where any process of the workspace may give it
attempts; it takes an attempt by linking `claim` (its identity inside), starts the command in a session of its own,
stops it when told or when its time is over, ends every process the command left behind, writes `exit.json` by rename
and only then tells its clients. It needs nothing of whoever started it and outlives it. It ends when told, when its
folder is gone, or when nothing runs and nobody has been connected for IDLE_SECONDS.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import select
import signal
import socket
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
if TYPE_CHECKING or __name__ != "__main__":
    from kyanite.batch import commands, processes
else:  # started by path, isolated: its two neighbours are found beside it
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import commands
    import processes

POLL_SECONDS = 0.25
SWEEP_SECONDS = 10.0  # a process that cannot be killed for so long (disk wait) is left behind
LONGEST_MESSAGE = 64 * 1024 * 1024
MARK = "KYANITE_ATTEMPT"
LOST = "lost"  # why an attempt ends with its node: it leaves no result


class Attempt:
    """A claimed attempt whose command runs, or whose leftovers are being ended (`status` is set then)."""

    __slots__ = ("child", "deadline", "folder", "kill_at", "mark", "reason", "spec", "started", "status")

    def __init__(self, folder: str, spec: dict[str, Any]) -> None:
        self.folder = folder
        self.spec = spec
        self.mark = f"{MARK}={folder}".encode()
        self.child = 0
        self.started = processes.now_text()
        clock = spec.get("wallClock")
        self.deadline: float | None = None if clock is None else time.monotonic() + clock
        self.kill_at: float | None = None
        self.reason: str | None = None
        self.status: int | None = None


class Client:
    """A connection; what it has not taken yet waits in `unsent`."""

    __slots__ = ("connection", "received", "unsent")

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.received = bytearray()
        self.unsent = bytearray()


class Agent:
    """The node's one process: an event loop over its socket, its signals and its deadlines."""

    def __init__(self, folder: str, me: dict[str, Any], idle_seconds: float, heartbeat_seconds: float) -> None:
        self.folder = folder
        self.idle_seconds = idle_seconds
        self.heartbeat_seconds = heartbeat_seconds
        self.me = me
        self.running: dict[str, Attempt] = {}
        self.clients: dict[int, Client] = {}
        self.ending = False
        self.wanted_since = time.monotonic()
        self.next_beat = 0.0
        self.wakeup = _listen_to_signals()
        self.listener = _bind()
        self.poll = select.poll()
        self.poll.register(self.listener, select.POLLIN)
        self.poll.register(self.wakeup, select.POLLIN)

    def serve(self) -> None:
        """Work until told to end, until nobody needs the node, or until its folder is gone."""
        while True:
            self._beat()
            self._advance()
            if not self.running:
                if self.ending or self._nobody_needs_it():
                    return
                if processes.LINUX:
                    commands.end_strays()
            for handle, _events in self.poll.poll(self._wait_seconds() * 1000):
                if handle == self.wakeup:
                    os.read(self.wakeup, 4096)
                elif handle == self.listener.fileno():
                    self._accept()
                else:
                    self._hear(self.clients.get(handle))

    # ---- life

    def _beat(self) -> None:
        now = time.monotonic()
        if now < self.next_beat:
            return
        self.next_beat = now + self.heartbeat_seconds
        try:
            os.utime("heartbeat")
            mine = processes.read_small_json("agent.json")
        except FileNotFoundError:
            mine = None
        if mine != self.me:  # the node was removed, or is another agent's now
            self.ending = True
            self._stop_all(LOST, 0.0)

    def _nobody_needs_it(self) -> bool:
        if self.clients:
            self.wanted_since = time.monotonic()
        return time.monotonic() - self.wanted_since >= self.idle_seconds

    def _wait_seconds(self) -> float:
        now = time.monotonic()
        until = self.next_beat
        if not self.clients and not self.running:
            until = min(until, self.wanted_since + self.idle_seconds)
        for attempt in self.running.values():
            if attempt.status is not None:
                until = min(until, now + 0.002)
            elif attempt.kill_at is not None:
                until = min(until, max(attempt.kill_at, now + 0.01))
            elif attempt.deadline is not None:
                until = min(until, attempt.deadline)
        return max(0.0, until - now)

    # ---- talking

    def _accept(self) -> None:
        try:
            connection, _ = self.listener.accept()
        except OSError:
            return
        connection.setblocking(False)
        self.clients[connection.fileno()] = client = Client(connection)
        self.poll.register(connection, select.POLLIN)
        self._tell(client, {"hello": self.me})

    def _hear(self, client: Client | None) -> None:
        if client is None:
            return
        try:
            self._tell_rest(client)
            piece = client.connection.recv(1 << 20)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if not piece:
            self._drop(client)
            return
        client.received += piece
        *messages, rest = bytes(client.received).split(b"\n") if b"\n" in piece else (bytes(client.received),)
        client.received[:] = rest
        if len(rest) > LONGEST_MESSAGE:
            self._drop(client)
        for message in messages:
            self._obey(json.loads(message), client)

    def _obey(self, message: dict[str, Any], client: Client) -> None:
        match message["do"]:
            case "launch":
                self._launch(message["folder"], message["spec"], client)
            case "stop":
                attempt = self.running.get(message["folder"])
                if attempt is not None:
                    self._stop(attempt, "stopped", message.get("grace", attempt.spec["grace"]))
            case "end":
                self.ending = True
                self._stop_all(LOST, message.get("grace", 0.0))

    def _tell(self, client: Client, message: dict[str, Any]) -> None:
        client.unsent += json.dumps(message).encode() + b"\n"
        self._tell_rest(client)

    def _tell_rest(self, client: Client) -> None:
        try:
            self._flush(client)
        except OSError:
            client.unsent.clear()  # it hung up, perhaps after an order that is still to be read

    def _flush(self, client: Client) -> None:
        while client.unsent:
            try:
                sent = client.connection.send(client.unsent)
            except BlockingIOError:
                break
            del client.unsent[:sent]
        self.poll.modify(client.connection, select.POLLIN | (select.POLLOUT if client.unsent else 0))

    def _drop(self, client: Client) -> None:
        if self.clients.pop(client.connection.fileno(), None) is not None:
            self.poll.unregister(client.connection)
            client.connection.close()
            self.wanted_since = time.monotonic()

    def _tell_all(self, message: dict[str, Any]) -> None:
        for client in list(self.clients.values()):
            self._tell(client, message)

    # ---- attempts

    def _launch(self, folder: str, spec: dict[str, Any], client: Client) -> None:
        """Claim and start; a claim lost to a fence (or to an earlier order of the attempt) is said, nothing runs."""
        try:
            os.makedirs(folder, 0o700, exist_ok=True)
            won = not self.ending and processes.take_claim(folder, self.me)
        except OSError:
            won = False
        if not won:
            self._tell(client, {"refused": folder})
            return
        attempt = Attempt(folder, spec)
        if os.path.exists(os.path.join(folder, "stop")):
            attempt.reason = "stopped"
            self._record(attempt, None, None)
            return
        child, problem = commands.start(spec)
        if problem is not None:
            self._record(attempt, None, problem)
            return
        attempt.child = child
        self.running[folder] = attempt

    def _stop_all(self, reason: str, grace: float) -> None:
        for attempt in list(self.running.values()):
            self._stop(attempt, reason, grace)

    def _stop(self, attempt: Attempt, reason: str, grace: float) -> None:
        if attempt.kill_at is not None or attempt.status is not None:
            return
        attempt.reason = reason
        attempt.kill_at = time.monotonic() + grace
        if grace > 0:
            commands.signal_tree(attempt.child, attempt.mark, signal.SIGTERM)

    def _advance(self) -> None:
        """Collect what ended, stop what must stop, end leftovers, record what is over."""
        any_left = self._reap()
        now = time.monotonic()
        for attempt in list(self.running.values()):
            if attempt.status is None:
                if attempt.deadline is not None and now >= attempt.deadline:
                    self._stop(attempt, "wallClock", attempt.spec["grace"])
                if attempt.kill_at is not None and now >= attempt.kill_at:
                    commands.signal_tree(attempt.child, attempt.mark, signal.SIGKILL)
            else:
                self._sweep(attempt, any_left)

    def _reap(self) -> bool:
        """Collect ended children; whether any other is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            for attempt in self.running.values():
                if attempt.child == pid and attempt.status is None:
                    attempt.status = status
                    attempt.kill_at = time.monotonic() + SWEEP_SECONDS

    def _sweep(self, attempt: Attempt, any_left: bool) -> None:
        others = [other for other in self.running.values() if other.status is None]
        left = commands.leftovers(attempt.child, attempt.mark, {other.child for other in others}, any_left)
        if left and attempt.kill_at is not None and time.monotonic() < attempt.kill_at:
            processes.send(left, signal.SIGKILL)
            return
        del self.running[attempt.folder]
        self._record(attempt, attempt.status, None)

    def _record(self, attempt: Attempt, status: int | None, problem: dict[str, Any] | None) -> None:
        """The result file first, by rename; then the news. None of what ended with its node."""
        if attempt.reason == LOST:
            return
        code = None if status is None else os.waitstatus_to_exitcode(status)
        ending = {
            "exitCode": 128 - code if code is not None and code < 0 else code,
            "startTime": attempt.started,
            "endTime": processes.now_text(),
            "reason": "launch" if problem else attempt.reason or "exited",
            "failure": problem or commands.stop_failure(attempt.reason, attempt.spec),
        }
        beside = os.path.join(attempt.folder, "exit.json.new")
        try:
            processes.write_private(beside, json.dumps(ending))
            os.rename(beside, os.path.join(attempt.folder, "exit.json"))
        except FileNotFoundError:
            return  # the node's folder was removed under it
        self._tell_all({"ended": attempt.folder, "ending": ending})


def _listen_to_signals() -> int:
    """Signals become bytes in a pipe, so that a sleeping agent wakes at once."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    os.set_blocking(reading, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    return reading


def _bind() -> socket.socket:
    """The socket `agent.sock`; a path is relative to the folder we stand in, so its length never matters."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.unlink("agent.sock")
    except FileNotFoundError:
        pass
    listener.bind("agent.sock")  # the umask makes it private
    listener.listen(64)
    listener.setblocking(False)
    return listener


def guard(folder: str) -> int:
    """Become nobody's child, then two: the agent, and its guardian, which ends what a killed agent leaves running.

    0 in the agent only.
    """
    if os.fork():
        os._exit(0)
    os.setsid()
    agent = os.fork()
    if agent:
        commands.become_parent()  # what a killed agent leaves running is ours then
        _, status = os.waitpid(agent, 0)
        if os.waitstatus_to_exitcode(status) < 0 and processes.LINUX:
            commands.end_below()
            commands.end_marked(_marks_of(agent, folder))
        os._exit(0)
    return 0


def _marks_of(agent: int, folder: str) -> list[bytes]:
    """The marks of what an agent has claimed; by now another agent may run something in the same folder."""
    attempts = os.path.join(folder, "attempts")
    try:
        names = os.listdir(attempts)
    except FileNotFoundError:
        return []
    claims = {name: processes.read_small_json(os.path.join(attempts, name, "claim")) for name in names}
    own = [name for name, claim in claims.items() if claim is not None and claim["pid"] == agent]
    return [f"{MARK}={os.path.join(attempts, name)}".encode() for name in own]


def main(folder: str, idle_seconds: float, heartbeat_seconds: float) -> int:
    """Be the node of a folder; 3 when it has an agent already."""
    guard(folder)
    lock = os.open(os.path.join(folder, "agent.lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return 3
        raise
    commands.become_parent()
    os.chdir(folder)
    me = processes.identity("runner")
    processes.write_private("agent.json.new", json.dumps(me))
    processes.write_private("heartbeat", "")
    os.rename("agent.json.new", "agent.json")
    Agent(folder, me, idle_seconds, heartbeat_seconds).serve()  # who can talk to it knows who it is
    for name in ("agent.sock", "agent.json"):  # a good end: the node is not lost
        try:
            os.unlink(name)
        except FileNotFoundError:
            pass
    return 0


if __name__ == "__main__":
    os._exit(main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3])))
