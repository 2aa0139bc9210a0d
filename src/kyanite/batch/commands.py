"""Starting and ending the commands of a node: sessions, limits, trees. Standard library only, for the node agent."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any
if TYPE_CHECKING or __name__ != "commands":
    from kyanite.batch import processes
else:  # beside the node agent, which is started by path
    import processes

_PR_SET_CHILD_SUBREAPER = 36
_FRESH_SECONDS = 1.0
_LIMITS = (("memory", resource.RLIMIT_AS), ("processes", resource.RLIMIT_NPROC), ("fileSize", resource.RLIMIT_FSIZE))
_DEFAULT_SIGNALS = (
    signal.SIGPIPE,
    signal.SIGXFSZ,
    signal.SIGTERM,
    signal.SIGCHLD,
    signal.SIGHUP,
    signal.SIGINT,
)
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def become_parent() -> None:
    """Orphans of our commands become our children (Linux); commands get a private umask and no core files."""
    os.umask(0o077)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if _libc is not None:
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


# ---- starting


def start(spec: dict[str, Any]) -> tuple[int, dict[str, Any] | None]:
    """Start the command of an order: its pid, or 0 and the failure in the wire shape."""
    name = spec["argv"][0]
    program, problem = find_program(name, spec["environment"].get("PATH", ""), spec["workingFolder"])
    child = 0
    if program is not None:
        try:
            child, problem = _spawn(program, spec)
        except (OSError, ValueError) as error:
            problem = failure("CommandLaunchFailed", f"The command could not be started: {error}.", Program=name)
    if problem is not None:
        _say_in_stderr(spec["taskFolder"], problem)
    return child, problem


def find_program(name: str, path: str, folder: str) -> tuple[str | None, dict[str, Any] | None]:
    """The file to execute: as given, on PATH, then in the working directory."""
    if "/" in name:
        places = [os.path.join(folder, name)]
    else:
        places = [os.path.join(place or folder, name) for place in path.split(os.pathsep)]
        places.append(os.path.join(folder, name))
    present = False
    for place in places:
        if os.access(place, os.X_OK) and os.path.isfile(place):
            return place, None
        present = present or os.path.isfile(place)
    if present:
        return None, failure("CommandLaunchFailed", f"The program '{name}' is not executable.", Program=name)
    return None, failure("CommandProgramNotFound", f"The program '{name}' was not found.", Program=name)


def failure(code: str, message: str, **details: str) -> dict[str, Any]:
    """A failure in the wire shape."""
    items = [{"name": name, "value": value} for name, value in details.items()]
    return {"category": "UserError", "code": code, "message": message, "details": items}


def stop_failure(reason: str | None, spec: dict[str, Any]) -> dict[str, Any] | None:
    """The failure of a command that was stopped; None for one that ended by itself."""
    if reason == "stopped":
        return failure("TaskEnded", "Task Was Ended by User Request")
    if reason == "wallClock":
        return failure("TaskEnded", f"The task exceeded its maxWallClockTime of {spec['wallClock']:g} s.")
    return None


def _open_output(folder: str, name: str) -> int:
    """A new file in the place of an earlier attempt's, or of whatever the task put there."""
    path = os.path.join(folder, name)
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o600)
    except FileExistsError:
        os.unlink(path)
        return os.open(path, flags, 0o600)


def _say_in_stderr(folder: str, problem: dict[str, Any]) -> None:
    """People look there first; `exit.json` has it anyway, so an unwritable folder is no further problem."""
    try:
        os.close(_open_output(folder, "stdout.txt"))
        handle = _open_output(folder, "stderr.txt")
        os.write(handle, (problem["message"] + "\n").encode())
        os.close(handle)
    except OSError:
        return


def _spawn(program: str, spec: dict[str, Any]) -> tuple[int, dict[str, Any] | None]:
    """Start without copying the agent's memory: own session, its output files, no input, default signals.

    There is one thread, so the working folder (and, for a moment, the limits) of this process are what it inherits.
    """
    outputs: list[int] = []
    here = os.open(".", os.O_RDONLY | os.O_CLOEXEC)
    limited: list[tuple[int, tuple[int, int]]] = []
    try:
        outputs += [_open_output(spec["taskFolder"], name) for name in ("stdout.txt", "stderr.txt")]
        os.chdir(spec["workingFolder"])
        limited += _lower_limits(spec)
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, outputs[0], 1),
            (os.POSIX_SPAWN_DUP2, outputs[1], 2),
        ]
        child = os.posix_spawn(
            program,
            spec["argv"],
            spec["environment"],
            file_actions=actions,
            setsid=True,
            setsigdef=_DEFAULT_SIGNALS,
        )
    except OSError as error:
        code = "CommandProgramNotFound" if error.errno == errno.ENOENT and outputs else "CommandLaunchFailed"
        text = f"The program '{spec['argv'][0]}' could not be started: {os.strerror(error.errno or errno.EINVAL)}."
        return 0, failure(code, text, Program=spec["argv"][0])
    finally:
        for kind, former in limited:
            resource.setrlimit(kind, former)
        os.fchdir(here)
        for handle in (here, *outputs):
            os.close(handle)
    _fix_limits(child, limited)
    return child, None


def _lower_limits(spec: dict[str, Any]) -> list[tuple[int, tuple[int, int]]]:
    """Lower this process's soft limits to those of the order; what they were."""
    former = []
    for name, kind in _LIMITS:
        if spec.get(name) is not None:
            soft, hard = resource.getrlimit(kind)
            most = int(spec[name]) if hard == resource.RLIM_INFINITY else min(int(spec[name]), hard)
            resource.setrlimit(kind, (most, hard))
            former.append((kind, (soft, hard)))
    return former


def _fix_limits(child: int, limited: list[tuple[int, tuple[int, int]]]) -> None:
    """Make the command's inherited soft limits hard ones, so that it cannot raise them again (Linux)."""
    if not limited or not processes.LINUX:
        return
    for kind, _former in limited:
        try:
            soft = resource.prlimit(child, kind)[0]
            resource.prlimit(child, kind, (soft, soft))
        except (ProcessLookupError, PermissionError):
            return


# ---- ending


def end_marked(marks: Collection[bytes]) -> None:
    """Kill every process whose environment holds one of the marks (NAME=value), until none is left (Linux)."""
    for _ in range(200 if marks else 0):
        found = [pid for pid, _parent, _session in processes.living() if processes.is_marked(pid, marks)]
        if not found:
            return
        processes.send(found, signal.SIGKILL)
        time.sleep(0.01)


def end_below() -> None:
    """Kill every process below us, until none is left (Linux); one that is just being started has no mark yet."""
    for _ in range(200):
        found = processes.descendants([os.getpid()])
        if not found:
            return
        processes.send(found, signal.SIGKILL)
        time.sleep(0.01)


def signal_tree(child: int, mark: bytes, number: int) -> None:
    """Signal a command, its group, everything below it, and what it left to us."""
    try:
        os.killpg(child, number)
    except (ProcessLookupError, PermissionError):
        pass
    if not processes.LINUX:
        return
    orphans = [pid for pid in _orphans({child}) if _belongs(pid, child, mark)]
    below = [pid for pid in processes.descendants([child, *orphans]) if not _in_group(pid, child)]
    processes.send([*orphans, *below], number)


def leftovers(child: int, mark: bytes, others: set[int], any_left: bool) -> list[int]:
    """The processes an ended command left: our children now, told by their mark or session.

    With no other command running every child of ours is one.
    """
    if not processes.LINUX:
        try:
            os.killpg(child, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return []
        return []
    if not any_left:
        return []
    found = _orphans(others)
    return found if not others else [pid for pid in found if _belongs(pid, child, mark)]


def end_strays() -> None:
    """No command runs: whatever is still below us was left by one that hid it (other session, no environment)."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return
    processes.send(processes.descendants([os.getpid()]), signal.SIGKILL)


def _orphans(known: set[int]) -> list[int]:
    """Our children but for the known ones; asked at the end of every command, so it must not cost a look at all."""
    me = os.getpid()
    try:
        with open(f"/proc/self/task/{me}/children", encoding="ascii") as file:
            return [int(pid) for pid in file.read().split() if int(pid) not in known]
    except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
        return [pid for pid in _strangers.look(me) if pid not in known]


class _Strangers:
    """Processes that are none of our descendants and so never become our children: looked at once, not each time.

    A number may be used again, so after a second everything is looked at anew.
    """

    def __init__(self) -> None:
        self._known: set[int] = set()
        self._until = 0.0

    def look(self, me: int) -> list[int]:
        """Our children."""
        if time.monotonic() >= self._until:
            self._known = set()
            self._until = time.monotonic() + _FRESH_SECONDS
        names = os.listdir("/proc")
        parents: dict[int, int] = {}
        present = {int(name) for name in names if name.isdigit()}
        for pid in present - self._known:
            fields = processes.stat_fields(pid)
            if fields is not None and fields[0] not in ("Z", "X"):
                parents[pid] = int(fields[1])
        ours = {me}
        found = True
        while found:
            more = {pid for pid, parent in parents.items() if parent in ours} - ours
            ours |= more
            found = bool(more)
        self._known = (self._known & present) | (parents.keys() - ours)
        return [pid for pid, parent in parents.items() if parent == me]


_strangers = _Strangers()


def _belongs(pid: int, child: int, mark: bytes) -> bool:
    fields = processes.stat_fields(pid)
    return fields is not None and (int(fields[3]) == child or processes.is_marked(pid, (mark,)))


def _in_group(pid: int, group: int) -> bool:
    try:
        return os.getpgid(pid) == group
    except ProcessLookupError:
        return False
