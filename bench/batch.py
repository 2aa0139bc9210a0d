"""Tasks per second and latency of the command `true` on two slots, beside what else starts commands.

    python bench/batch.py [--tasks 500] [--runs 3] [--queued 10000] [--peers Dask,Ray] [--json]

Every engine gives each task a folder of its own with stdout, stderr and exit code in files; those are counted before
a figure is printed. kyanite's tasks are added a hundred at a time, within the time taken, and only they are durable:
added, started and ended are each in SQLite (WAL, synchronous=FULL) before the next step. Latency: from submitting one
task to an idle engine until its end is seen, median of 20. Floor: two threads with Popen. `parallel` runs when it is
on the PATH, Dask and Ray when `python bench/environment.py bench-batch` has installed them. `--queued`: so many tasks
waiting at once (0: not); the rate of the first and the last tenth tells whether a long queue slows the scheduler.
Memory: resident MB of the process with the service and of the node's processes, as they are after that.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import sqlite3
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import environment
import psutil

from kyanite.batch import processes
from kyanite.batch.node_link import end_agent
from kyanite.batch.service import BatchService
from kyanite.batch.specs import PoolSpec, TaskSpec
from kyanite.runtime.workspace import open_workspace

SLOTS = 2
LATENCIES = 20


@dataclass
class Figures:
    """One run of an engine: seconds for all tasks, seconds of each single one, and what else there is to say."""

    seconds: float
    latencies: list[float] = field(default_factory=list)
    note: str = ""


# ---- the plain ways


def one(folder: Path, number: int) -> None:
    place = folder / str(number)
    place.mkdir()
    with (place / "stdout.txt").open("wb") as out, (place / "stderr.txt").open("wb") as err:
        code = subprocess.Popen(["true"], stdout=out, stderr=err, stdin=subprocess.DEVNULL, cwd=place).wait()
    (place / "exit.json.new").write_text(json.dumps({"exitCode": code}))
    (place / "exit.json.new").rename(place / "exit.json")


def popen(folder: Path, count: int) -> Figures:
    each = []
    for number in range(LATENCIES):
        began = time.perf_counter()
        one(folder, number)
        each.append(time.perf_counter() - began)
    numbers = itertools.count(LATENCIES)
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                number = next(numbers)
            if number >= count + LATENCIES:
                return
            one(folder, number)

    threads = [threading.Thread(target=work) for _ in range(SLOTS)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Figures(time.perf_counter() - began, each)


def shell(command: list[str], folder: Path, numbers: range) -> float:
    script = 'mkdir "$1" && cd "$1" && true > stdout.txt 2> stderr.txt; echo "{\\"exitCode\\": $?}" > exit.json'
    given = "\n".join(str(folder / str(number)) for number in numbers)
    began = time.perf_counter()
    subprocess.run([*command, "sh", "-c", script, "sh"], input=given, text=True, check=True, capture_output=True)
    return time.perf_counter() - began


def xargs(folder: Path, count: int) -> Figures:
    command = ["xargs", "-P", str(SLOTS), "-n", "1"]
    each = [shell(command, folder, range(number, number + 1)) for number in range(LATENCIES)]
    return Figures(shell(command, folder, range(LATENCIES, LATENCIES + count)), each)


def parallel(folder: Path, count: int) -> Figures | None:
    if shutil.which("parallel") is None:
        return None

    def run(numbers: range) -> float:
        script = 'mkdir {} && cd {} && true > stdout.txt 2> stderr.txt; echo "{\\"exitCode\\": $?}" > exit.json'
        given = "\n".join(str(folder / str(number)) for number in numbers)
        began = time.perf_counter()
        subprocess.run(["parallel", f"-j{SLOTS}", script], input=given, text=True, check=True, capture_output=True)
        return time.perf_counter() - began

    each = [run(range(number, number + 1)) for number in range(LATENCIES)]
    return Figures(run(range(LATENCIES, LATENCIES + count)), each)


def peer(name: str) -> Callable[[Path, int], Figures | None]:
    def work(folder: Path, count: int) -> Figures | None:
        python = environment.python_of("bench-batch")
        if python is None:
            return None
        script = str(Path(__file__).with_name("batch_peers.py"))
        done = subprocess.run(
            [str(python), "-P", script, name, str(folder), str(count), str(LATENCIES)],
            capture_output=True,
            text=True,
            check=False,
            env=environment.clean_environ(),
            timeout=300,
        )
        lines = [line for line in done.stdout.splitlines() if line.startswith('{"seconds"')]
        if not lines:
            return None
        result = json.loads(lines[-1])
        for warm in ("-1", "-2"):
            shutil.rmtree(folder / warm)
        return Figures(result["seconds"], result["latencies"], f"up in {result['up']:.1f} s")

    return work


# ---- kyanite


class Kyanite:
    """A workspace with one node of two slots that is ready."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.workspace = open_workspace(self.home, create=True)
        self.batch: BatchService = self.workspace.batch
        self.batch.create_account("bench")
        self.batch.create_pool("bench", PoolSpec("pool", slots_per_node=SLOTS))
        self.batch.ensure_job("bench", "job", "pool")
        self.batch.prepare_pool("bench", "pool")
        self.volatile = self.home / "batch/bench/pool/nodes/tvm-0001/volatile"

    def add(self, name: str) -> None:
        self.batch.add_task("bench", "job", TaskSpec(name, "true"))

    def add_all(self, count: int) -> None:
        """t0, t1, ... a hundred at a time, as the clients do."""
        for first in range(0, count, 100):
            names = range(first, min(first + 100, count))
            documents = [{"id": f"t{number}", "commandLine": "true"} for number in names]
            self.batch.add_tasks("bench", "job", documents)

    def wait(self, name: str) -> None:
        self.batch.wait_task("bench", "job", name)

    def memory(self) -> tuple[float, float]:
        """Resident MB of this process and of the node's processes."""
        agent = processes.read_small_json(str(self.volatile / "agent.json"))
        pids = [agent["pid"], psutil.Process(agent["pid"]).ppid()] if agent else []
        node = sum(psutil.Process(pid).memory_info().rss for pid in pids if pid > 1)
        return psutil.Process().memory_info().rss / 1e6, node / 1e6

    def close(self) -> None:
        self.workspace.close()
        end_agent(self.volatile)


def kyanite(folder: Path, count: int) -> Figures:
    made = Kyanite(folder)
    each = []
    for number in range(LATENCIES):
        began = time.perf_counter()
        made.add(f"l{number}")
        made.wait(f"l{number}")
        each.append(time.perf_counter() - began)
        time.sleep(0.01)
    commits = made.workspace.database.commits
    began = time.perf_counter()
    made.add_all(count)
    for number in range(count):
        made.wait(f"t{number}")
    seconds = time.perf_counter() - began
    commits = made.workspace.database.commits - commits
    made.close()
    check_kyanite(made.home, count + LATENCIES)
    return Figures(seconds, each, f"submitting included, {commits / count:.1f} commits each")


def check_kyanite(home: Path, count: int) -> None:
    """Every task is completed in the database, seen from another connection, after one attempt, and has its files."""
    connection = sqlite3.connect(home / "kyanite.db")
    row = connection.execute(
        "SELECT COUNT(*), SUM(result = 'success' AND exit_code = 0 AND attempt = 1 AND start_time <= end_time) "
        "FROM batch_tasks"
    ).fetchone()
    attempts = connection.execute("SELECT COUNT(*) FROM batch_attempts WHERE kind = 'task' AND ended_at IS NOT NULL")
    closed = attempts.fetchone()[0]
    connection.close()
    folder = home / "batch/bench/pool/nodes/tvm-0001"
    outputs = len(list(folder.glob("workitems/job/job-1/*/stdout.txt")))
    ends = [json.loads(path.read_text())["exitCode"] for path in folder.glob("volatile/attempts/*/exit.json")]
    if (tuple(row), closed, outputs, ends.count(0)) != ((count, count), count, count, count):
        raise SystemExit(f"wrong result: {tuple(row)}, {closed} attempts, {outputs} outputs, {len(ends)} ends")


def queued(count: int) -> dict[str, float]:
    """A long queue: rates of its first and last tenth, and the memory afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        made = Kyanite(Path(folder))
        before = made.memory()
        made.workspace.database.execute("UPDATE batch_nodes SET scheduling = 'disabled'")
        began = time.perf_counter()
        made.add_all(count)
        adding = time.perf_counter() - began
        made.workspace.database.execute("UPDATE batch_nodes SET scheduling = 'enabled'")
        ends, began = [], time.perf_counter()
        for number in range(count):
            made.wait(f"t{number}")
            ends.append(time.perf_counter() - began)
        service, node = made.memory()
        made.close()
        check_kyanite(made.home, count)
    tenth = count // 10
    return {
        "tasks": count,
        "addedPerSecond": count / adding,
        "firstTenthPerSecond": tenth / ends[tenth - 1],
        "lastTenthPerSecond": tenth / (ends[-1] - ends[-tenth - 1]),
        "serviceMegabytes": service,
        "serviceMegabytesBefore": before[0],
        "nodeMegabytes": node,
    }


# ---- all of it


def check_files(folder: Path, count: int) -> None:
    """Each task left its three files and exit code 0."""
    good = [
        path
        for path in folder.iterdir()
        if json.loads((path / "exit.json").read_text())["exitCode"] == 0
        and (path / "stdout.txt").is_file()
        and (path / "stderr.txt").is_file()
    ]
    if len(good) != count:
        raise SystemExit(f"wrong result: {len(good)} of {count} tasks left their files")


def measure(work: Callable[[Path, int], Figures | None], count: int, runs: int) -> list[Figures]:
    found = []
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            figures = work(Path(folder), count)
            if figures is None:
                return []
            if work is not kyanite:
                check_files(Path(folder), count + LATENCIES)
            found.append(figures)
    return found


def row_of(runs: list[Figures], count: int) -> dict[str, Any]:
    return {
        "tasksPerSecond": count / statistics.median(run.seconds for run in runs),
        "latencyMs": statistics.median(statistics.median(run.latencies) for run in runs) * 1000,
        "worstLatencyMs": max(max(run.latencies) for run in runs) * 1000,
        "note": runs[-1].note,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=500)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--queued", type=int, default=10_000)
    parser.add_argument("--peers", default="Dask,Ray", help="none with an empty text")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    engines: dict[str, Callable[[Path, int], Figures | None]] = {
        "floor: Popen in 2 threads": popen,
        "kyanite": kyanite,
        "xargs -P2": xargs,
        "GNU parallel": parallel,
        **{name: peer(name) for name in options.peers.split(",") if name},
    }
    rows: dict[str, dict[str, Any] | None] = {}
    for name, work in engines.items():
        runs = measure(work, options.tasks, options.runs)
        rows[name] = row_of(runs, options.tasks) if runs else None
    queue = queued(options.queued) if options.queued else None
    if options.json:
        print(json.dumps({"tasks": options.tasks, "rows": rows, "queued": queue}, indent=2))
        return
    report(rows, queue, options.tasks, options.runs)


def report(rows: dict[str, dict[str, Any] | None], queue: dict[str, float] | None, tasks: int, runs: int) -> None:
    own = rows["kyanite"]
    print(f"{tasks} x `true`, {SLOTS} at once, median of {runs} runs\n")
    print(f"{'':28}{'tasks/s':>9}{'kyanite is':>12}{'latency ms':>12}{'worst':>8}")
    for name, row in rows.items():
        if row is None:
            print(f"{name:28}  not installed")
            continue
        times = f"{own['tasksPerSecond'] / row['tasksPerSecond']:.2f} x" if own and row is not own else ""
        figures = f"{row['tasksPerSecond']:9.0f}{times:>12}{row['latencyMs']:12.1f}{row['worstLatencyMs']:8.1f}"
        print(f"{name:28}{figures}  {row['note']}")
    if queue:
        print(
            f"\n{queue['tasks']:,.0f} queued: added {queue['addedPerSecond']:.0f}/s, first tenth "
            f"{queue['firstTenthPerSecond']:.0f}/s, last tenth {queue['lastTenthPerSecond']:.0f}/s; resident "
            f"{queue['serviceMegabytes']:.0f} MB here ({queue['serviceMegabytesBefore']:.0f} before), "
            f"{queue['nodeMegabytes']:.0f} MB node"
        )


if __name__ == "__main__":
    main()
