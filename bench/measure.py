"""One command as a whole process tree: wall clock, CPU time and peak memory; and tables of figures."""

from __future__ import annotations

import contextlib
import os
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import environment
import psutil

INTERVAL = 0.01  # seconds between two looks at the memory


@dataclass(frozen=True)
class Run:
    """What a command took, start-up included: seconds, seconds of CPU, peak MB of all its processes; why it failed."""

    wall: float
    cpu: float
    peak_mb: float
    failure: str = ""
    output: str = ""


def run(command: Sequence[str | Path], timeout: float = 900) -> Run:
    """Run a command to its end."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        began = time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command], stdout=out, stderr=errors, env=environment.clean_environ()
        )
        peak = _Peak(process.pid)
        killer = threading.Timer(timeout, process.kill)
        killer.start()
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        killer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        peak_mb = peak.stop()
        out.seek(0)
        errors.seek(0)
        failure = ""
        if process.returncode:
            lines = errors.read().decode(errors="replace").strip().splitlines() or [f"exit code {process.returncode}"]
            failure = f"more than {timeout:.0f} s" if wall >= timeout else lines[-1][:200]
        return Run(wall, used.ru_utime + used.ru_stime, peak_mb, failure, out.read().decode(errors="replace"))


class _Peak:
    """Watches a process and its children: the largest sum of resident memory, and each one's own high-water mark.

    `ru_maxrss` cannot serve: it starts from the size of the process that forked.
    """

    def __init__(self, pid: int) -> None:
        self._root = pid
        self._most = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def stop(self) -> float:
        """The peak in MB."""
        self._ended.set()
        self._thread.join()
        return self._most / 1e6

    def _watch(self) -> None:
        while not self._ended.wait(INTERVAL):
            sizes = [_resident(pid) for pid in _tree(self._root)]
            self._most = max(self._most, sum(now for now, _ in sizes), *(highest for _, highest in sizes))


def _tree(root: int) -> list[int]:
    """A process and all below it. A look at these files takes 0.05 ms; through psutil, 1.5 ms of every 10."""
    if not Path(f"/proc/{root}/task").is_dir():
        with contextlib.suppress(psutil.Error):
            return [root, *(child.pid for child in psutil.Process(root).children(recursive=True))]
        return [root]
    found = [root]
    for pid in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                found += map(int, (task / "children").read_text("ascii").split())
    return found


def _resident(pid: int) -> tuple[int, int]:
    """Resident bytes now and at most so far (the same twice where the system does not tell)."""
    try:
        text = Path(f"/proc/{pid}/status").read_text("ascii", "replace")
    except OSError:
        with contextlib.suppress(psutil.Error):
            size = psutil.Process(pid).memory_info().rss
            return size, size
        return 0, 0
    found = {line[:6]: int(line.split()[1]) * 1024 for line in text.splitlines() if line[:6] in {"VmRSS:", "VmHWM:"}}
    return found.get("VmRSS:", 0), found.get("VmHWM:", 0)


def settle(folder: Path) -> None:
    """Empty a folder and let the disk finish what was written before, so that a run pays for itself only."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.sync()


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Median (least-most) of some figures."""
    middle = f"{statistics.median(values):.{digits}f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A markdown table, aligned; all columns but the first to the right."""
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
    lines = [heads, ["-" * width for width in widths], *rows]
    for line in lines:
        cells = [cell.rjust(width) for cell, width in zip(line, widths, strict=True)]
        print("| " + " | ".join([line[0].ljust(widths[0]), *cells[1:]]) + " |")


class Machine:
    """What kind of machine this is, in a few words, and how much of it others took until the words are asked for."""

    def __init__(self) -> None:
        self._load = os.getloadavg()[0]
        self._before = psutil.cpu_times()

    def __str__(self) -> str:
        memory = psutil.virtual_memory().total / 2**30
        told = f"{os.cpu_count()} cores, {memory:.0f} GiB memory, {os.uname().sysname}, load {self._load:.1f} before"
        now = psutil.cpu_times()
        stolen = getattr(now, "steal", 0.0) - getattr(self._before, "steal", 0.0)
        share = stolen / max(1e-9, sum(now) - sum(self._before))
        return f"{told}, {share:.1%} of the processors taken by other machines" if stolen else told
