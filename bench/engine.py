"""What one activity costs, durably, beside the floor of the same disk in the same minutes.

    python bench/engine.py [--activities 1000] [--runs 3] [--json]

Floor: stdlib sqlite3 (WAL, synchronous=FULL), two transactions per activity, each an event row and a state row. Here:
a chain of SetVariable, a chain of no-op execution activities, and as many no-op activities side by side. After each run
another process's view of the database is checked: every activity has its start and its end there, or no time is
reported. Luigi (weaker promise: one output file per task, no log) is measured too when it is installed.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from kyanite.activities.context import ActivityContext
from kyanite.definitions.load import load_documents
from kyanite.definitions.model import Factory
from kyanite.runtime.start import start_run
from kyanite.runtime.worker import Worker
from kyanite.runtime.workspace import open_workspace


def floor(folder: Path, count: int) -> float:
    connection = sqlite3.connect(folder / "floor.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE event(seq INTEGER PRIMARY KEY, body TEXT)")
    connection.execute("CREATE TABLE state(name TEXT PRIMARY KEY, status TEXT)")
    began = time.perf_counter()
    for number in range(count):
        for status in ("InProgress", "Succeeded"):
            connection.execute("BEGIN IMMEDIATE")
            body = json.dumps({"activity": f"a{number}", "status": status, "at": time.time()})
            connection.execute("INSERT INTO event(body) VALUES (?)", (body,))
            connection.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (f"a{number}", status))
            connection.execute("COMMIT")
    seconds = time.perf_counter() - began
    rows = connection.execute("SELECT count(*) FROM event").fetchone()[0]
    connection.close()
    if rows != 2 * count:
        raise SystemExit("the floor lost rows")
    return seconds


def chain(count: int, kind: str, linked: bool) -> Factory:
    properties = {
        "SetVariable": {
            "variableName": "v",
            "value": {"value": "@concat('n', pipeline().RunId)", "type": "Expression"},
        },
        "Custom": {"command": "true"},
    }[kind]
    activities = [
        {
            "name": f"a{number}",
            "type": kind,
            "typeProperties": properties,
            "dependsOn": [{"activity": f"a{number - 1}", "dependencyConditions": ["Succeeded"]}]
            if linked and number
            else [],
            **(
                {"linkedServiceName": {"referenceName": "pool", "type": "LinkedServiceReference"}}
                if kind == "Custom"
                else {}
            ),
        }
        for number in range(count)
    ]
    pipeline = {"name": "p", "properties": {"activities": activities, "variables": {"v": {"type": "String"}}}}
    reference = {"referenceName": "store", "type": "LinkedServiceReference"}
    store = {
        "name": "store",
        "properties": {"type": "AzureBlobStorage", "typeProperties": {"connectionString": "AccountName=a"}},
    }
    pool = {
        "name": "pool",
        "properties": {
            "type": "AzureBatch",
            "typeProperties": {
                "accountName": "a",
                "batchUri": "https://a.local.batch.azure.com",
                "poolName": "p",
                "linkedServiceName": reference,
            },
        },
    }
    return load_documents("bench", [("pipeline", pipeline), ("linkedService", store), ("linkedService", pool)])


def nothing(context: ActivityContext) -> dict[str, str]:
    return {}


def kyanite(folder: Path, factory: Factory, count: int) -> tuple[float, int]:
    with open_workspace(folder / "home", create=True) as workspace:
        run_id = start_run(workspace, factory, "p")
        worker = Worker(workspace, activities={"Custom": nothing})
        commits = workspace.database.commits
        began = time.perf_counter()
        status = worker.run(run_id)
        seconds = time.perf_counter() - began
        commits = workspace.database.commits - commits
    check(folder / "home" / "kyanite.db", run_id, status, count)
    return seconds, commits


def check(database: Path, run_id: str, status: str, count: int) -> None:
    """Every transition is in the database, seen from another connection; otherwise no figure is printed."""
    connection = sqlite3.connect(database)
    kinds = Counter(kind for (kind,) in connection.execute("SELECT kind FROM events WHERE run_id = ?", (run_id,)))
    connection.close()
    if status != "Succeeded" or kinds["ActivityStarted"] != count or kinds["ActivityEnded"] != count:
        raise SystemExit(f"wrong result: {status}, {dict(kinds)}")


def luigi_chain(folder: Path, count: int) -> float | None:
    program = f"""
import luigi, pathlib, sys
class T(luigi.Task):
    n = luigi.IntParameter()
    def requires(self): return [T(n=self.n - 1)] if self.n else []
    def output(self): return luigi.LocalTarget({str(folder)!r} + f"/t{{self.n}}")
    def run(self): self.output().open("w").close()
sys.setrecursionlimit(100000)
import time; began = time.perf_counter()
luigi.build([T(n={count} - 1)], local_scheduler=True, log_level="ERROR")
print("seconds", time.perf_counter() - began)
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("seconds ")]
    return float(lines[-1].split()[1]) if lines and len(list(folder.glob("t*"))) == count else None


def cold_run(folder: Path) -> float:
    """Command start to exit of `kyanite run` with a one-activity pipeline given as a git folder."""
    wait = {"name": "set", "type": "SetVariable", "typeProperties": {"variableName": "v", "value": "x"}}
    document = {"name": "one", "properties": {"activities": [wait], "variables": {"v": {"type": "String"}}}}
    file = folder / "factory" / "pipeline" / "one.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(document), encoding="utf-8")
    home = ["--home", str(folder / "home")]
    command = [sys.executable, "-m", "kyanite", *home]
    subprocess.run([*command, "init"], check=True, capture_output=True)
    began = time.perf_counter()
    done = subprocess.run(
        [*command, "run", "one", "--factory", str(folder / "factory")], capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - began
    if done.returncode != 0:
        raise SystemExit(f"kyanite run failed: {done.stderr}")
    return seconds


def measure(runs: int, work: Callable[[Path], float]) -> list[float]:
    times = []
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            times.append(work(Path(folder)))
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--activities", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    count = options.activities
    commits: dict[str, int] = {}

    def shape(name: str, kind: str, linked: bool) -> Callable[[Path], float]:
        def work(folder: Path) -> float:
            seconds, commits[name] = kyanite(folder, chain(count, kind, linked), count)
            return seconds

        return work

    rows = {"floor: 2 transactions an activity": measure(options.runs, lambda folder: floor(folder, count))}
    for name, kind, linked in (
        ("SetVariable, chain", "SetVariable", True),
        ("no-op activity, chain", "Custom", True),
        ("no-op activity, side by side", "Custom", False),
    ):
        rows[name] = measure(options.runs, shape(name, kind, linked))
    peers = [luigi_chain(Path(tempfile.mkdtemp()), 200) for _ in range(options.runs)]
    report(options.json, count, rows, commits, [time for time in peers if time is not None])


def report(
    as_json: bool, count: int, rows: dict[str, list[float]], commits: dict[str, int], luigi: list[float]
) -> None:
    base = statistics.median(next(iter(rows.values()))) / count
    table = {
        name: {
            "msPerActivity": statistics.median(times) / count * 1000,
            "timesFloor": statistics.median(times) / count / base,
            "commits": commits.get(name, 2 * count),
        }
        for name, times in rows.items()
    }
    if luigi:
        each = statistics.median(luigi) / 200
        table["Luigi, chain of 200"] = {"msPerActivity": each * 1000, "timesFloor": each / base, "commits": 0}
    cold = statistics.median(measure(5, cold_run))
    if as_json:
        print(json.dumps({"activities": count, "rows": table, "coldRunSeconds": cold}, indent=2))
        return
    print(f"{count} activities, median of {len(next(iter(rows.values())))} runs\n")
    print(f"{'':36}{'ms each':>9}{'x floor':>9}{'commits':>9}")
    for name, row in table.items():
        print(f"{name:36}{row['msPerActivity']:9.3f}{row['timesFloor']:9.2f}{row['commits']:9.0f}")
    print(f"\ncold `kyanite run` of a one-activity pipeline: {cold:.2f} s (median of 5)")


if __name__ == "__main__":
    main()
