"""What one activity costs, durably, beside the floor of the same disk in the same minutes.

    python bench/engine.py [--activities 1000] [--runs 3] [--peers Luigi,DBOS] [--json]

Floor: stdlib sqlite3 (WAL, synchronous=FULL), two transactions per activity, each an event row and a state row. Here:
a chain of SetVariable, a chain of no-op execution activities, as many no-op activities side by side, and a ForEach over
as many items, 50 at once. After each run another process's view of the database is checked: every activity has its
start and its end there, or no time is reported. Peers (200 no-op tasks each, `bench/engine_peers.py`) run when
`python bench/environment.py bench-orchestrators` has installed them; "recorded" is what their own record holds at the
end, and a run that lost tasks is called wrong.
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
from typing import Any

import environment
from engine_peers import PEERS

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


PEER_TASKS = 200


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
    return factory_of(activities)


def for_each(count: int) -> Factory:
    """One ForEach over `count` items, 50 at once, a no-op execution activity inside."""
    inner = {
        "name": "a",
        "type": "Custom",
        "typeProperties": {"command": "true"},
        "linkedServiceName": {"referenceName": "pool", "type": "LinkedServiceReference"},
    }
    items = {"value": f"@range(0, {count})", "type": "Expression"}
    properties = {"items": items, "isSequential": False, "batchCount": 50, "activities": [inner]}
    return factory_of([{"name": "loop", "type": "ForEach", "typeProperties": properties}])


def factory_of(activities: list[dict[str, Any]]) -> Factory:
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


def peer(name: str, runs: int) -> tuple[list[float], str]:
    """A peer's seconds for its tasks, run by run, and what is to be said: what it recorded, or why it did not run."""
    python = environment.python_of("bench-orchestrators")
    if python is None:
        return [], "not installed"
    times, recorded = [], []
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            command = [str(python), "-P", str(Path(__file__).with_name("engine_peers.py")), name, folder]
            done = subprocess.run(
                [*command, str(PEER_TASKS)],
                capture_output=True,
                text=True,
                check=False,
                env=environment.clean_environ(),
                timeout=600,
            )
        results = [line for line in done.stdout.splitlines() if line.startswith('{"seconds"')]
        if not results:
            return [], f"does not run: {(done.stderr.strip().splitlines() or ['no message'])[-1][:150]}"
        result = json.loads(results[-1])
        times.append(result["seconds"])
        recorded.append(result["recorded"])
    told = f"recorded {min(recorded)} of {PEER_TASKS}"
    return times, told if min(recorded) == PEER_TASKS else f"WRONG: {told}"


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
    parser.add_argument("--peers", default=",".join(PEERS), help="all unless named; none with an empty text")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    count = options.activities
    commits: dict[str, int] = {}

    def shape(name: str, factory: Factory, activities: int) -> Callable[[Path], float]:
        def work(folder: Path) -> float:
            seconds, commits[name] = kyanite(folder, factory, activities)
            return seconds

        return work

    rows = {"floor: 2 transactions an activity": measure(options.runs, lambda folder: floor(folder, count))}
    for name, factory, activities in (
        ("SetVariable, chain", chain(count, "SetVariable", True), count),
        ("no-op activity, chain", chain(count, "Custom", True), count),
        ("no-op activity, side by side", chain(count, "Custom", False), count),
        (f"ForEach, {count} items, 50 at once", for_each(count), count + 1),
    ):
        rows[name] = measure(options.runs, shape(name, factory, activities))
    peers = {name: peer(name, options.runs) for name in options.peers.split(",") if name}
    report(options.json, count, rows, commits, peers)


def report(
    as_json: bool,
    count: int,
    rows: dict[str, list[float]],
    commits: dict[str, int],
    peers: dict[str, tuple[list[float], str]],
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
    others = {name: each_of(times, told, base) for name, (times, told) in peers.items()}
    cold = statistics.median(measure(5, cold_run))
    if as_json:
        print(json.dumps({"activities": count, "rows": table, "peers": others, "coldRunSeconds": cold}, indent=2))
        return
    print(f"{count} activities, median of {len(next(iter(rows.values())))} runs\n")
    print(f"{'':36}{'ms each':>9}{'x floor':>9}{'commits':>9}")
    for name, row in table.items():
        print(f"{name:36}{row['msPerActivity']:9.3f}{row['timesFloor']:9.2f}{row['commits']:9.0f}")
    for name, other in others.items():
        figures = f"{other['msPerTask']:9.3f}{other['timesFloor']:9.2f}" if "msPerTask" in other else " " * 18
        print(f"{name + f', {PEER_TASKS} tasks':36}{figures}{'':9}  {other['result']}")
    print(f"\ncold `kyanite run` of a one-activity pipeline: {cold:.2f} s (median of 5)")


def each_of(times: list[float], told: str, base: float) -> dict[str, Any]:
    """A peer's figures; none when its result is wrong."""
    if not times or told.startswith("WRONG"):
        return {"result": told + (f" in {statistics.median(times):.1f} s" if times else "")}
    each = statistics.median(times) / PEER_TASKS
    return {"msPerTask": each * 1000, "timesFloor": each / base, "result": told}


if __name__ == "__main__":
    main()
