"""Many clients of the management API at once: each starts runs, asks for their status until they are over, queries.

    python bench/management.py [--clients 50] [--seconds 30] [--json]

`kyanite serve` runs as a process of its own and works on the runs. A client keeps one connection; it starts a run of
two SetVariable activities, asks every 50 ms for its status until it is over, asks for its activity runs, and each fifth
time queries the runs. At the end another process's view of the database is checked: every run that was
acknowledged is there and has succeeded, and every answer was 200; otherwise no figure is printed. Requests are answered
over http on loopback; times are those of the client, from the first byte sent to the last byte read.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

GROUP = "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/rg"
FACTORY = f"{GROUP}/providers/Microsoft.DataFactory/factories/bench"
VERSION = "?api-version=2018-06-01"
POLL_SECONDS = 0.05
LAST_RUNS_SECONDS = 60
PIPELINE = {
    "properties": {
        "activities": [
            {
                "name": f"set{number}",
                "type": "SetVariable",
                "typeProperties": {"variableName": "v", "value": "@concat('n', string(pipeline().parameters.n))"},
                "dependsOn": [{"activity": "set0", "dependencyConditions": ["Succeeded"]}] if number else [],
            }
            for number in range(2)
        ],
        "variables": {"v": {"type": "String"}},
        "parameters": {"n": {"type": "Int"}},
    }
}
RANGE = {"lastUpdatedAfter": "2000-01-01T00:00:00Z", "lastUpdatedBefore": "2100-01-01T00:00:00Z"}
NEWEST = {**RANGE, "orderBy": [{"orderBy": "RunStart", "order": "DESC"}]}
OVER = ("Succeeded", "Failed", "Cancelled")


class Client:
    """One connection that is kept; remembers what each kind of call took, in milliseconds, and its statuses."""

    def __init__(self, port: int, token: str, took: dict[str, list[float]], statuses: Counter[int]) -> None:
        self._port = port
        self._token = token
        self._took = took
        self._statuses = statuses

    async def __aenter__(self) -> Client:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    async def call(self, kind: str, method: str, path: str, body: Any = None) -> Any:
        """The JSON of an answer."""
        content = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{method} {FACTORY}{path}{VERSION} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n"
            f"Authorization: Bearer {self._token}\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        began = time.perf_counter()
        self._writer.write(head.encode() + content)
        answer = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status = int(answer.split(" ", 2)[1])
        length = re.search(r"(?i)\r\ncontent-length: *(\d+)", answer)
        data = await self._reader.readexactly(int(length[1])) if length else b""
        self._took[kind].append((time.perf_counter() - began) * 1000)
        self._statuses[status] += 1
        return json.loads(data) if data else None


async def one(client: Client, until: float, made: list[str]) -> None:
    """Runs, one after the other."""
    number = 0
    while time.perf_counter() < until:
        number += 1
        run = (await client.call("start a run", "POST", "/pipelines/P/createRun", {"n": number}))["runId"]
        made.append(run)
        while time.perf_counter() < until:
            status = await client.call("status", "GET", f"/pipelineruns/{run}")
            if status["status"] in OVER:
                break
            await asyncio.sleep(POLL_SECONDS)
        await client.call("activity runs", "POST", f"/pipelineruns/{run}/queryActivityruns", RANGE)
        if number % 5 == 0:
            await client.call("query runs", "POST", "/queryPipelineRuns", NEWEST)


async def load(port: int, token: str, clients: int, seconds: float) -> dict[str, Any]:
    """All clients for so long, then the end of every run."""
    took: dict[str, list[float]] = defaultdict(list)
    statuses: Counter[int] = Counter()
    made: list[str] = []
    async with Client(port, token, defaultdict(list), statuses) as first:
        await first.call("factory", "PUT", "", {"location": "local"})
        await first.call("pipeline", "PUT", "/pipelines/P", PIPELINE)

        async def work() -> None:
            async with Client(port, token, took, statuses) as client:
                await one(client, until, made)

        began = time.perf_counter()
        until = began + seconds
        await asyncio.gather(*(work() for _ in range(clients)))
        elapsed = time.perf_counter() - began
        left = list(made)
        while left and time.perf_counter() < until + LAST_RUNS_SECONDS:
            found = [await first.call("status", "GET", f"/pipelineruns/{run}") for run in left]
            left = [each["runId"] for each in found if each["status"] not in OVER]
            await asyncio.sleep(0.2)
    return {"seconds": elapsed, "took": took, "statuses": statuses, "made": made, "unfinished": len(left)}


def check(home: Path, result: dict[str, Any]) -> None:
    """Every acknowledged run is in the database and succeeded, every answer was 200."""
    connection = sqlite3.connect(f"file:{home / 'kyanite.db'}?mode=ro", uri=True)
    kept = dict(connection.execute("SELECT run_id, status FROM runs").fetchall())
    audited = connection.execute("SELECT count(*) FROM audit WHERE operation = 'Pipelines_CreateRun'").fetchone()[0]
    connection.close()
    lost = [run for run in result["made"] if run not in kept]
    bad = Counter(kept[run] for run in result["made"] if kept.get(run) != "Succeeded")
    others = {status: count for status, count in result["statuses"].items() if status != 200}
    if lost or bad or others or audited != len(result["made"]):
        raise SystemExit(
            f"WRONG: {len(lost)} runs lost, {dict(bad)} not Succeeded, answers {others}, {audited} audited of "
            f"{len(result['made'])}"
        )


def rows(result: dict[str, Any]) -> list[dict[str, Any]]:
    """What each kind of call took: calls, calls/s, median, p99 and most in ms."""
    found = []
    for kind, times in sorted(result["took"].items()):
        ordered = sorted(times)
        found.append(
            {
                "call": kind,
                "calls": len(times),
                "per s": len(times) / result["seconds"],
                "median ms": statistics.median(ordered),
                "p99 ms": ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))],
                "most ms": ordered[-1],
            }
        )
    return found


def serve(home: Path, seconds: float) -> tuple[subprocess.Popen[bytes], int]:
    """`kyanite serve` on a workspace of its own, and its http port."""
    program = [sys.executable, "-m", "kyanite", "--home", str(home)]
    subprocess.run([*program, "init"], check=True, capture_output=True)
    log = home.with_name("serve.log")
    with log.open("w") as out:
        process = subprocess.Popen(
            [*program, "serve", "--port", "0", "--https-port", "0", "--for", str(seconds)], stdout=out
        )
    while process.poll() is None:
        if match := re.search(r"http +http://[^:]+:(\d+)", log.read_text("utf-8")):
            return process, int(match[1])
        time.sleep(0.05)
    raise SystemExit("kyanite serve ended before it listened")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        process, port = serve(home, options.seconds + LAST_RUNS_SECONDS + 30)
        try:
            token = (home / "token").read_text("utf-8").strip()
            result = asyncio.run(load(port, token, options.clients, options.seconds))
        finally:
            process.terminate()
            process.wait(timeout=30)
        check(home, result)
    table = rows(result)
    if options.json:
        print(json.dumps({"clients": options.clients, "runs": len(result["made"]), "calls": table}, indent=2))
        return
    print(
        f"{options.clients} clients, {result['seconds']:.0f} s: {len(result['made']):,} runs, none lost, no failure\n"
    )
    print("| call | calls | per s | median ms | p99 ms | most ms |\n| --- | ---: | ---: | ---: | ---: | ---: |")
    for row in table:
        print(
            f"| {row['call']} | {row['calls']:,} | {row['per s']:,.0f} | {row['median ms']:.1f} | {row['p99 ms']:.1f} "
            f"| {row['most ms']:.1f} |"
        )


if __name__ == "__main__":
    main()
