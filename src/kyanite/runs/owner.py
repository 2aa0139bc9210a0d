"""Who advances a run: a process, told apart from a later one with the same number by its boot and its start."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True)
class Owner:
    """One process. `boot_id` is `boot:pid namespace`, the world in which `pid` means something; `started` its start."""

    host: str
    boot_id: str
    pid: int
    started: str

    @staticmethod
    def current() -> Owner:
        """The owner that stands for this process."""
        pid = os.getpid()
        return Owner(socket.gethostname(), _world(), pid, _started(pid) or "")

    def alive(self) -> bool:
        """False when the process is known to be gone; True when it runs or when that cannot be told from here.

        A workspace lies on one machine's disk, so another boot of the same host means that the machine restarted.
        """
        here = _world()
        if self.boot_id == here:
            return _started(self.pid) == self.started
        rebooted = self.boot_id.partition(":")[0] != here.partition(":")[0]
        return not (rebooted and self.host == socket.gethostname())

    def to_text(self) -> str:
        """One line that `from_text` reads back."""
        return json.dumps([self.host, self.boot_id, self.pid, self.started])

    @staticmethod
    def from_text(text: str) -> Owner:
        """The owner that `to_text` wrote."""
        return Owner(*json.loads(text))


def _world() -> str:
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}:{(_PROC / 'self/ns/pid').readlink().name}"
    except OSError:
        import psutil

        return f"{int(psutil.boot_time())}:host"


def _started(pid: int) -> str | None:
    """When a process started, in the kernel's own unit; None when there is none or only its exit code is left."""
    try:
        status = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None if (_PROC / "self").exists() else _started_elsewhere(pid)
    # proc(5): the second field is the program's name in parentheses and may hold spaces and parentheses itself
    fields = status.rpartition(")")[2].split()
    return None if fields[0] in "ZXx" else fields[19]


def _started_elsewhere(pid: int) -> str | None:
    """The same on systems without /proc."""
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else repr(process.create_time())
    except psutil.NoSuchProcess:
        return None
