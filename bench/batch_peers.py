"""Peers of bench/batch.py, run with the Python of the environment bench-batch:

    python bench/batch_peers.py {Dask|Ray} FOLDER COUNT LATENCIES

Each task: the command `true` in a folder of its own, its stdout, stderr and exit code in files there; two at once.
Prints one line of JSON: seconds for COUNT tasks, seconds of each of LATENCIES tasks on the idle engine, start seconds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path


def one(folder: str, number: int) -> int:
    place = Path(folder) / str(number)
    place.mkdir()
    with (place / "stdout.txt").open("wb") as out, (place / "stderr.txt").open("wb") as err:
        code = subprocess.run(
            ["true"], stdout=out, stderr=err, stdin=subprocess.DEVNULL, cwd=place, check=False
        ).returncode
    (place / "exit.json.new").write_text(json.dumps({"exitCode": code}))
    (place / "exit.json.new").rename(place / "exit.json")
    return code


def dask(folder: str) -> tuple[Callable[[list[int]], None], Callable[[], None]]:
    from distributed import Client, LocalCluster

    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, processes=True)
    client = Client(cluster)

    def work(numbers: list[int]) -> None:
        client.gather(client.map(one, [folder] * len(numbers), numbers, pure=False))

    def end() -> None:
        client.close()
        cluster.close()

    return work, end


def ray(folder: str) -> tuple[Callable[[list[int]], None], Callable[[], None]]:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray as engine

    engine.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)

    class Slot:
        def run(self, number: int) -> int:
            return one(folder, number)

    slot = engine.remote(num_cpus=1)(Slot)
    slots = [slot.remote() for _ in range(2)]

    def work(numbers: list[int]) -> None:
        engine.get([slots[place % 2].run.remote(number) for place, number in enumerate(numbers)])

    return work, engine.shutdown


def main(name: str, folder: str, count: int, latencies: int) -> None:
    began = time.perf_counter()
    work, end = {"Dask": dask, "Ray": ray}[name](folder)
    work([-2, -1])
    up = time.perf_counter() - began
    each = []
    for number in range(latencies):
        began = time.perf_counter()
        work([number])
        each.append(time.perf_counter() - began)
    began = time.perf_counter()
    work(list(range(latencies, latencies + count)))
    seconds = time.perf_counter() - began
    end()
    print(json.dumps({"seconds": seconds, "latencies": each, "up": up}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
