"""Runs ONE attempt of one task and records how it ended. Stand-alone, standard library only, started detached:

    python -I -S task_runner.py ATTEMPT_FOLDER

It takes the attempt by linking `claim` (its identity inside), starts the command in a session of its own, stops it on
SIGTERM, on a `stop` file or when its time is over, ends every process the command left behind, and writes `exit.json`
last. It needs nothing of the process that started it and outlives it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import select
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Iterator
    from typing import Any
else:
    # A third of a short task's cost is this program's start. `signal`, `json` and `typing` would double it: their C
    # halves do all that is needed here.
    try:
        import _signal as signal
    except ImportError:
        import signal

POLL_SECONDS = 0.25
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_SWEEPS = 500
_LINUX = sys.platform == "linux"


# ---- JSON without the cost of importing `json`


class _Reading:
    """The settings that the C scanner asks for: plain JSON."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float


def read_json(text: str) -> Any:
    """The value of a JSON text without blanks around it."""
    try:
        from _json import make_scanner
    except ImportError:
        import json

        return json.loads(text)
    return make_scanner(_Reading)(text, 0)[0]  # type: ignore[arg-type]


def json_text(value: Any) -> str:
    """JSON text of None, booleans, finite numbers, texts, lists and dictionaries of them."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json_text(key)}: {json_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(json_text(item) for item in value) + "]"
    if isinstance(value, str):
        return _quoted(value)
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _quoted(text: str) -> str:
    try:
        from _json import encode_basestring_ascii
    except ImportError:
        import json

        return json.dumps(text)
    return str(encode_basestring_ascii(text))


# ---- identities: a process is its pid AND its start time AND the boot it lives in


def boot_id() -> str:
    """The name of the machine's present boot; empty where the system has none."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def process_start(pid: int) -> str | None:
    """The start time of a living process in the system's own unit; None when there is none (a zombie is dead)."""
    if not _LINUX:
        with os.popen(f"ps -o stat=,lstart= -p {int(pid)}") as answer:  # noqa: S605
            state, _, started = answer.read().strip().partition(" ")
        return started.strip() if started and not state.startswith("Z") else None
    fields = _stat_fields(pid)
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
    write_private(temporary, json_text(who))
    try:
        os.link(temporary, os.path.join(folder, "claim"))
    except FileExistsError:
        return False
    finally:
        os.unlink(temporary)
    return True


def write_private(path: str, text: str, durable: bool = False) -> None:
    """Write a small file that only its owner may read; `durable` flushes it to the disk."""
    handle = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    try:
        content = memoryview(text.encode())
        while content:
            content = content[os.write(handle, content) :]
        if durable:
            os.fsync(handle)
    finally:
        os.close(handle)


def _stat_fields(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat after the name: state, parent, group, session, ..."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


# ---- the processes below this one


def descendants(root: int) -> list[int]:
    """Every living process below `root`, however it was started."""
    children: dict[int, list[int]] = {}
    for pid, parent in _processes():
        children.setdefault(parent, []).append(pid)
    found: list[int] = []
    waiting = [root]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def _processes() -> Iterator[tuple[int, int]]:
    if _LINUX:
        for name in os.listdir("/proc"):
            fields = _stat_fields(int(name)) if name.isdigit() else None
            if fields and fields[0] not in ("Z", "X"):
                yield int(name), int(fields[1])
        return
    with os.popen("ps -axo pid=,ppid=") as answer:  # noqa: S605
        for line in answer:
            pid, parent = line.split()
            yield int(pid), int(parent)


def _send(pids: list[int], number: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue  # it is gone, or it became another user's


def _send_group(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return


def _reap(child: int) -> tuple[bool, int | None]:
    """Collect what ended: (is any child left, the command's wait status if it was among them)."""
    status: int | None = None
    while True:
        try:
            pid, ended = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False, status
        if pid == 0:
            return True, status
        if pid == child:
            status = ended


# ---- starting the command


def find_program(name: str, path: str, folder: str) -> tuple[str | None, dict[str, Any] | None]:
    """The file to execute: as given, on PATH, then in the working directory."""
    if "/" in name:
        places = [os.path.join(folder, name)]
    else:
        places = [os.path.join(place or folder, name) for place in path.split(os.pathsep)] + [
            os.path.join(folder, name)
        ]
    present = [place for place in places if os.path.isfile(place)]
    for place in present:
        if os.access(place, os.X_OK):
            return place, None
    if present:
        return None, failure("CommandLaunchFailed", f"The program '{name}' is not executable.", Program=name)
    return None, failure("CommandProgramNotFound", f"The program '{name}' was not found.", Program=name)


def failure(code: str, message: str, **details: str) -> dict[str, Any]:
    """A failure in the wire shape."""
    items = [{"name": name, "value": value} for name, value in details.items()]
    return {"category": "UserError", "code": code, "message": message, "details": items}


def _open_output(folder: str, name: str) -> int:
    """A new file in the place of an earlier attempt's, or of whatever the task put there."""
    path = os.path.join(folder, name)
    if os.path.lexists(path):
        os.unlink(path)
    return os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)


def _say_in_stderr(folder: str, problem: dict[str, Any]) -> None:
    """People look there first; `exit.json` has it anyway, so an unwritable folder is no further problem."""
    try:
        os.close(_open_output(folder, "stdout.txt"))
        handle = _open_output(folder, "stderr.txt")
        os.write(handle, (problem["message"] + "\n").encode())
        os.close(handle)
    except OSError:
        return


def _start(program: str, spec: dict[str, Any], libc: Any) -> tuple[int, dict[str, Any] | None]:
    """Fork and execute; the pipe closes on success and carries the error number otherwise."""
    outputs = [_open_output(spec["taskFolder"], name) for name in ("stdout.txt", "stderr.txt")]
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _become(program, spec, outputs, libc)
        except (OSError, ValueError) as error:
            os.write(writing, str(getattr(error, "errno", None) or errno.EINVAL).encode())
        finally:
            os._exit(127)
    for handle in (writing, *outputs):
        os.close(handle)
    answer = os.read(reading, 16)
    os.close(reading)
    if not answer:
        return child, None
    os.waitpid(child, 0)
    number = int(answer)
    text = f"The program '{spec['argv'][0]}' could not be started: {os.strerror(number)}."
    code = "CommandProgramNotFound" if number == errno.ENOENT else "CommandLaunchFailed"
    return 0, failure(code, text, Program=spec["argv"][0])


def _become(program: str, spec: dict[str, Any], outputs: list[int], libc: Any) -> None:
    """In the child: own session, die with the runner, default signals, no core files, then the command."""
    os.setsid()
    if libc is not None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(outputs[0], 1)
    os.dup2(outputs[1], 2)
    os.chdir(spec["workingFolder"])
    os.umask(0o077)
    os.execve(program, spec["argv"], spec["environment"])  # noqa: S606


# ---- one attempt


class Stopper:
    """Watches for the three reasons to stop early; `reason` is set once."""

    def __init__(self, folder: str, wall_clock: float | None) -> None:
        self._file = os.path.join(folder, "stop")
        self._deadline = None if wall_clock is None else time.monotonic() + wall_clock
        self.signalled = False
        self.reason: str | None = None

    def seconds(self) -> float:
        """How long to sleep before looking again."""
        if self._deadline is None:
            return POLL_SECONDS
        return max(0.0, min(POLL_SECONDS, self._deadline - time.monotonic()))

    def check(self) -> bool:
        """Whether the command must stop now."""
        if self.reason is None:
            if self.signalled or os.path.exists(self._file):
                self.reason = "stopped"
            elif self._deadline is not None and time.monotonic() >= self._deadline:
                self.reason = "wallClock"
        return self.reason is not None


def _supervise(child: int, stopper: Stopper, wakeup: int, grace: float) -> int:
    """Wait for the command, stopping it when asked to; the wait status. Nothing it started is left afterwards."""
    kill_at: float | None = None
    status: int | None = None
    while status is None:
        if kill_at is None and stopper.check():
            kill_at = time.monotonic() + grace
            _send_group(child, signal.SIGTERM)
            _send([pid for pid in descendants(os.getpid()) if not _in_group(pid, child)], signal.SIGTERM)
        if kill_at is not None and time.monotonic() >= kill_at:
            _send(descendants(os.getpid()), signal.SIGKILL)
        seconds = stopper.seconds() if kill_at is None else min(POLL_SECONDS, max(0.01, kill_at - time.monotonic()))
        if select.select([wakeup], [], [], seconds)[0]:
            os.read(wakeup, 4096)
        status = _reap(child)[1]
    _sweep(child)
    return status


def _in_group(pid: int, group: int) -> bool:
    try:
        return os.getpgid(pid) == group
    except ProcessLookupError:
        return False


def _sweep(child: int) -> None:
    """End what the command left behind, daemons included: they are this process's children now (Linux)."""
    for _ in range(_SWEEPS):
        left = _reap(child)[0]
        below = descendants(os.getpid()) if left else []
        if not _LINUX:
            _send_group(child, signal.SIGKILL)
        if not left:
            return
        _send(below, signal.SIGKILL)
        time.sleep(0.002)


def run_attempt(folder: str, spec: dict[str, Any]) -> dict[str, Any]:
    """Run the command of a claimed attempt to its end; the content of `exit.json`."""
    libc = ctypes.CDLL(None, use_errno=True) if _LINUX else None
    if libc is not None:
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    stopper = Stopper(folder, spec.get("wallClock"))
    wakeup = _listen(stopper)
    started = now_text()
    program, problem = find_program(spec["argv"][0], spec["environment"].get("PATH", ""), spec["workingFolder"])
    child = 0
    if program is not None and not stopper.check():
        try:
            child, problem = _start(program, spec, libc)
        except OSError as error:
            problem = failure("CommandLaunchFailed", f"The command could not be started: {error}.")
    if problem is not None:
        _say_in_stderr(spec["taskFolder"], problem)
        return {"exitCode": None, "startTime": started, "endTime": now_text(), "reason": "launch", "failure": problem}
    code = None
    if child:
        status = _supervise(child, stopper, wakeup, spec["grace"])
        code = os.waitstatus_to_exitcode(status)
        code = 128 - code if code < 0 else code
    return _ending(code, started, stopper.reason, spec)


def _ending(code: int | None, started: str, reason: str | None, spec: dict[str, Any]) -> dict[str, Any]:
    problem = None
    if reason == "stopped":
        problem = failure("TaskEnded", "Task Was Ended by User Request")
    elif reason == "wallClock":
        problem = failure("TaskEnded", f"The task exceeded its maxWallClockTime of {spec['wallClock']:g} s.")
    return {
        "exitCode": code,
        "startTime": started,
        "endTime": now_text(),
        "reason": reason or "exited",
        "failure": problem,
    }


def _listen(stopper: Stopper) -> int:
    """Signals become bytes in a pipe, so that a sleeping runner wakes at once."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)

    def on_stop(_number: int, _frame: Any) -> None:
        stopper.signalled = True

    signal.signal(signal.SIGTERM, on_stop)
    signal.signal(signal.SIGINT, on_stop)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    return reading


def now_text() -> str:
    """UTC with six digits of a second and a Z."""
    seconds = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1e6):06d}Z"


def main(folder: str) -> int:
    """Read the order, take the attempt, run it, record it. 0 when recorded, 3 when somebody else has the attempt."""
    path = os.path.join(folder, "spec.json")
    with open(path, encoding="utf-8") as file:
        spec = read_json(file.read())
    won = take_claim(folder, identity("runner"))
    if os.path.exists(path):
        os.unlink(path)
    if not won:
        return 3
    ending = run_attempt(folder, spec)
    beside = os.path.join(folder, "exit.json.new")
    write_private(beside, json_text(ending), durable=True)
    os.rename(beside, os.path.join(folder, "exit.json"))
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1])
    os._exit(code)  # nothing is left to clean up, and the next task need not wait for an interpreter to end
