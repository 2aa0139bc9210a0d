"""Processes, claims and small files, for programs that start often: standard library only, no import of kyanite.

A process is its pid AND its start time AND the boot it lives in. Used by the node agent and by everything that fences.
"""

from __future__ import annotations

import json
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from typing import Any

LINUX = sys.platform == "linux"


def boot_id() -> str:
    """The name of the machine's present boot; empty where the system has none."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def process_start(pid: int) -> str | None:
    """The start time of a living process in the system's own unit; None when there is none (a zombie is dead)."""
    if not LINUX:
        with os.popen(f"ps -o stat=,lstart= -p {int(pid)}") as answer:
            state, _, started = answer.read().strip().partition(" ")
        return started.strip() if started and not state.startswith("Z") else None
    fields = stat_fields(pid)
    return None if fields is None or fields[0] in ("Z", "X") else fields[19]


def identity(role: str) -> dict[str, Any]:
    """Who this process is, as written into a claim."""
    pid = os.getpid()
    return {"role": role, "pid": pid, "start": process_start(pid), "boot": boot_id()}


def is_alive(who: dict[str, Any]) -> bool:
    """Whether the very process of an identity still lives."""
    return who.get("boot") == boot_id() and who.get("start") is not None and process_start(who["pid"]) == who["start"]


def take_claim(folder: str, who: dict[str, Any]) -> bool:
    """Take an attempt for good; False when somebody has it already. The claim is never seen without its content."""
    temporary = os.path.join(folder, f"claim.{os.getpid()}.{time.monotonic_ns()}")
    write_private(temporary, json.dumps(who))
    try:
        os.link(temporary, os.path.join(folder, "claim"))
    except FileExistsError:
        return False
    finally:
        os.unlink(temporary)
    return True


def write_private(path: str, text: str) -> None:
    """Write a small file that only its owner may read."""
    handle = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        content = memoryview(text.encode())
        while content:
            content = content[os.write(handle, content) :]
    finally:
        os.close(handle)


def read_small_json(path: str) -> dict[str, Any] | None:
    """A small JSON object; None when it is missing or, after a power cut, empty or torn."""
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def stat_fields(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat after the name: state, parent, group, session, ..."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def living(above: int = 0) -> Iterator[tuple[int, int, int]]:
    """(pid, parent, session) of every living process with a pid above `above`."""
    if LINUX:
        for name in os.listdir("/proc"):
            if name.isdigit() and int(name) > above:
                fields = stat_fields(int(name))
                if fields and fields[0] not in ("Z", "X"):
                    yield int(name), int(fields[1]), int(fields[3])
        return
    with os.popen("ps -axo pid=,ppid=,sess=") as answer:
        for line in answer:
            pid, parent, session = line.split()
            yield int(pid), int(parent), int(session) if session.isdigit() else 0


def descendants(roots: Iterable[int]) -> list[int]:
    """Every living process below the given ones, however it was started."""
    children: dict[int, list[int]] = {}
    for pid, parent, _session in living():
        children.setdefault(parent, []).append(pid)
    found: list[int] = []
    waiting = list(roots)
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def is_marked(pid: int, marks: Collection[bytes]) -> bool:
    """Whether a process was started with one of these variables (NAME=value). Linux only."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            variables = set(file.read().split(b"\0"))
    except OSError:
        return False
    return not variables.isdisjoint(marks)


def send(pids: Iterable[int], number: int) -> None:
    """Signal each of the processes that is still there and still ours."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue


def now_text() -> str:
    """UTC with six digits of a second and a Z."""
    seconds = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1e6):06d}Z"
