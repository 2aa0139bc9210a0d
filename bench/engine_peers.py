"""No-op tasks in other orchestrators, in their durable default shape; each run is a process of its own.

    python -P bench/engine_peers.py PEER FOLDER TASKS

Prints JSON: seconds from the start of the first task to the end of the run, and how many tasks the peer's own record
says are done when the process is about to end.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path


def luigi(folder: Path, count: int) -> tuple[float, int]:
    """A chain; the record is one (empty) output file per task, not synced."""
    import luigi

    class Task(luigi.Task):
        n = luigi.IntParameter()

        def requires(self) -> list[luigi.Task]:
            return [Task(n=self.n - 1)] if self.n else []

        def output(self) -> luigi.LocalTarget:
            return luigi.LocalTarget(str(folder / f"task-{self.n}"))

        def run(self) -> None:
            self.output().open("w").close()

    sys.setrecursionlimit(100_000)
    began = time.perf_counter()
    luigi.build([Task(n=count - 1)], local_scheduler=True, log_level="ERROR")
    return time.perf_counter() - began, len(list(folder.glob("task-*")))


def dbos(folder: Path, count: int) -> tuple[float, int]:
    """One workflow of so many steps; SQLite, each step's result is there before the next begins."""
    from dbos import DBOS

    database = folder / "dbos.sqlite"
    DBOS(config={"name": "bench", "system_database_url": f"sqlite:///{database}", "log_level": "ERROR"})

    @DBOS.step()
    def step(number: int) -> int:
        return number

    @DBOS.workflow()
    def flow() -> int:
        return sum(step(number) for number in range(count))

    DBOS.launch()
    began = time.perf_counter()
    flow()
    seconds = time.perf_counter() - began
    done = rows(database, "SELECT count(*) FROM operation_outputs")
    DBOS.destroy()
    return seconds, done


def prefect(folder: Path, count: int) -> tuple[float, int]:
    """A flow of sequential tasks; the server that Prefect starts for itself, SQLite."""
    os.environ |= {"PREFECT_HOME": str(folder), "PREFECT_LOGGING_LEVEL": "CRITICAL", "DO_NOT_TRACK": "1"}
    os.environ |= {
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    }
    from prefect import flow, task

    times: list[float] = []

    @task
    def step(number: int) -> int:
        times.append(time.perf_counter())
        return number

    @flow
    def chain() -> int:
        return sum(step(number) for number in range(count))

    chain()
    ended = time.perf_counter()
    query = "SELECT count(*) FROM task_run WHERE state_type = 'COMPLETED'"
    return ended - times[0], rows(folder / "prefect.db", query)


def dagster(folder: Path, count: int) -> tuple[float, int]:
    """A chain of ops in one process; every event in SQLite."""
    import dagster

    @dagster.op
    def first() -> int:
        return 0

    @dagster.op
    def step(number: int) -> int:
        return number

    @dagster.job
    def chain() -> None:
        value = first()
        for number in range(1, count):
            value = step.alias(f"step_{number}")(value)

    with dagster.DagsterInstance.local_temp(str(folder)) as instance:
        began = time.perf_counter()
        result = chain.execute_in_process(instance=instance)
        seconds = time.perf_counter() - began
        stats = instance.get_run_step_stats(result.run_id)
    return seconds, sum(one.status is not None and one.status.value == "SUCCESS" for one in stats)


def rows(database: Path, query: str) -> int:
    with sqlite3.connect(database) as connection:
        return int(connection.execute(query).fetchone()[0])


PEERS: dict[str, Callable[[Path, int], tuple[float, int]]] = {
    "Luigi": luigi,
    "DBOS": dbos,
    "Prefect": prefect,
    "Dagster": dagster,
}

if __name__ == "__main__":
    taken, recorded = PEERS[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))
    print(json.dumps({"seconds": taken, "recorded": recorded}))
    sys.stdout.flush()
