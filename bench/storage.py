"""The storage endpoint beside the official emulator and beside the least that any Python server could do.

    python bench/storage.py [--megabytes 128] [--small 1000] [--list 5000] [--clients obstore,sdk] [--servers ...]
    python bench/storage.py --turns       the time of each operation, and the server's processor time, side by side

Servers: ours (`kyanite`: signatures checked, properties kept), Azurite (npm, fetched once into bench/.venv/azurite;
fresh folder, fresh container), `starlette`, the least Starlette app that a client accepts, `floor`, the same without
any framework (both on uvicorn; they check nothing and keep bytes only: storage_floors.py), and `ceiling`, sockets and
memory (storage_ceiling.py): about what the client itself can do here.
Clients: obstore (fast: shows the server) and azure-storage-blob (what people use; about 450 MB/s and 550 operations/s
is all it can). Each client is a process of its own; every byte read is compared with what was written, and every
listing with the names that were put, before a figure is told. Servers take turns in the rounds; in each they have a
fresh folder, a fresh container and a disk that has finished what was written before. Small objects come first, while
the container is empty; the lines "after" are those of one that has --list of them. Nothing is deleted before the end:
a file system without a journal looks at each inode that was freed in the last minutes before it takes another one.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

BENCH = Path(__file__).resolve().parent
AZURITE = BENCH / ".venv" / "azurite"
FOLDER = Path(os.environ.get("KYANITE_BENCH_FOLDER", BENCH / ".venv"))
AZURITE_VERSION = "3.35.0"
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="  # the emulator's own
SMALL = ("PUT 4 KB, 1 thread", "PUT 4 KB, 8 threads", "GET 4 KB, 1 thread", "GET 4 KB, 8 threads")
FRESH = tuple(f"{line}, ops/s" for line in SMALL)
AFTER = tuple(f"{line}, after, ops/s" for line in SMALL)
LINES = (*FRESH, "list, ms", *AFTER, "PUT large, MB/s", "GET large, MB/s")
SERVERS = ("kyanite", "azurite", "starlette", "floor", "ceiling")


# ---- servers


def serve_kyanite(home: Path, port: int) -> None:
    from kyanite.runtime.workspace import open_workspace
    from kyanite.server.app import Application
    from kyanite.server.context import ServerContext
    from kyanite.server.listener import Endpoint, Listener, bind

    workspace = open_workspace(home, create=True)
    workspace.vault.put(f"storage/{ACCOUNT}/key1", KEY)
    flat = os.environ.get("KYANITE_BENCH_FLAT") is not None
    workspace.accounts.create(ACCOUNT, hierarchical=not flat)
    for each in filter(
        None, os.environ.get("KYANITE_BENCH_ACCOUNTS", "").split(";")
    ):  # name:key1:key2, as AZURITE_ACCOUNTS
        name, *keys = each.split(":")
        for which, key in zip(("key1", "key2"), keys, strict=False):
            workspace.vault.put(f"storage/{name}/{which}", key)
        workspace.accounts.create(name, hierarchical=not flat)
    with Listener(Application(ServerContext(workspace)), [Endpoint(bind(port))]):
        signal.pause()


def serve_ceiling(_: Path, port: int) -> None:
    import storage_ceiling

    storage_ceiling.serve(port)


def serve_bare(folder: Path, port: int) -> None:
    import storage_floors

    storage_floors.serve(storage_floors.bare(folder), port)


def serve_starlette(folder: Path, port: int) -> None:
    import storage_floors

    storage_floors.serve(storage_floors.starlette(folder), port)


def azurite_program() -> Path:
    """Azurite's own program, installed on first use."""
    program = AZURITE / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
    if not program.exists():
        AZURITE.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--prefix", str(AZURITE)]
        subprocess.run([*command, f"azurite@{AZURITE_VERSION}"], check=True, stdout=sys.stderr)
    return program


@contextlib.contextmanager
def running(name: str) -> Iterator[tuple[str, int]]:
    """A fresh server; its address and process id. What it wrote is removed when the program ends."""
    folder = Path(tempfile.mkdtemp(prefix=f"bench-{name}-", dir=FOLDER))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.sync()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    if name == "azurite":
        command = ["node", str(azurite_program()), "--location", str(folder), "--blobPort", str(port)]
        command += ["--silent", "--skipApiVersionCheck", "--disableTelemetry"]
    else:
        command = [sys.executable, __file__, "serve", name, str(folder / "data"), str(port)]
    (folder / "data").mkdir()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/{ACCOUNT}", process.pid
    finally:
        process.terminate()
        process.wait(20)


def peak_mb(pid: int) -> float:
    """The most memory the server has had."""
    for line in Path(f"/proc/{pid}/status").read_text("ascii", "replace").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1000
    return 0.0


def cpu_seconds(pid: int) -> float:
    """The processor time the server has used: says more than the clock while something else is running."""
    import psutil

    used = psutil.Process(pid).cpu_times()
    return float(used.user + used.system)


# ---- clients, each in a process of its own


class Obstore:
    """obstore: 8 MB parts, 4 at once."""

    def __init__(self, url: str) -> None:
        from obstore.store import AzureStore

        self.store = AzureStore(
            "box",
            account_name=ACCOUNT,
            account_key=KEY,
            endpoint=url,
            client_options={"allow_http": True, "timeout": "120s"},
        )

    def put_large(self, name: str, data: bytes) -> None:
        import obstore

        obstore.put(self.store, name, data, chunk_size=8 * 1024 * 1024, max_concurrency=4, use_multipart=True)

    def put(self, name: str, data: bytes) -> None:
        import obstore

        obstore.put(self.store, name, data, use_multipart=False)

    def get(self, name: str) -> bytes:
        import obstore

        return memoryview(obstore.get(self.store, name).bytes())

    def names(self) -> list[str]:
        import obstore

        return [entry["path"] for page in obstore.list(self.store, prefix="s", chunk_size=5000) for entry in page]


class Sdk:
    """azure-storage-blob: defaults, max_concurrency 4 for large uploads."""

    def __init__(self, url: str) -> None:
        from azure.storage.blob import BlobServiceClient

        self.service = BlobServiceClient(url, credential={"account_name": ACCOUNT, "account_key": KEY})
        self.box = self.service.get_container_client("box")

    def put_large(self, name: str, data: bytes) -> None:
        self.box.upload_blob(name, data, overwrite=True, max_concurrency=4)

    def put(self, name: str, data: bytes) -> None:
        self.box.upload_blob(name, data, overwrite=True)

    def get(self, name: str) -> bytes:
        return self.box.download_blob(name).readall()

    def names(self) -> list[str]:
        return [blob.name for blob in self.box.list_blobs(name_starts_with="s/")]


CLIENTS: dict[str, Any] = {"obstore": Obstore, "sdk": Sdk}


def measure(client: str, url: str, megabytes: int, small: int, count: int) -> dict[str, float]:
    """One client's figures on a server whose container is new."""
    store = CLIENTS[client](url)
    found: dict[str, list[float]] = {line: [] for line in LINES}
    names = [f"s/{number:06}" for number in range(max(count, 2 * small))]
    later = [f"later/{number:06}" for number in range(2 * small)]
    bodies = {name: hashlib.sha256(name.encode()).digest() * 128 for name in (*names, *later)}

    def write(name: str) -> None:
        store.put(name, bodies[name])

    def read(name: str) -> None:
        if bytes(store.get(name)) != bodies[name]:
            raise SystemExit(f"{client}: {name} is not what was written")

    def measure_small(lines: tuple[str, ...], names: list[str]) -> None:
        turns = [
            (write, names[:small], 1),
            (write, names[small:], 8),
            (read, names[:small], 1),
            (read, names[small:], 8),
        ]
        for line, (operation, some, threads) in zip(lines, turns, strict=True):
            found[line].append(rate(operation, some, threads))

    measure_small(FRESH, names[: 2 * small])
    rate(write, names[2 * small :], 8)
    for _ in range(3):
        began = time.perf_counter()
        listed = store.names()
        found["list, ms"].append(1000 * (time.perf_counter() - began))
        if sorted(listed) != names:
            raise SystemExit(f"{client}: the listing has {len(listed)} names, not {len(names)}")
    measure_small(AFTER, later)
    large = os.urandom(1 << 20) * megabytes
    digest = hashlib.sha256(large).digest()
    for number in range(3):
        began = time.perf_counter()
        store.put_large(f"large-{number}", large)
        found["PUT large, MB/s"].append(megabytes / (time.perf_counter() - began))
    for number in range(3):
        began = time.perf_counter()
        data = store.get(f"large-{number}")
        found["GET large, MB/s"].append(megabytes / (time.perf_counter() - began))
        if hashlib.sha256(data).digest() != digest:
            raise SystemExit(f"{client}: what was read is not what was written")
        del data
    return {line: statistics.median(values) for line, values in found.items()}


def rate(operation: Any, names: list[str], threads: int) -> float:
    """Operations a second."""
    if not names:
        return 0.0
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda _: None, range(threads)))
        began = time.perf_counter()
        list(pool.map(operation, names))
        return len(names) / (time.perf_counter() - began)


def make_container(url: str) -> None:
    """The container, by the SDK: every server here can do it."""
    from azure.storage.blob import BlobServiceClient

    BlobServiceClient(url, credential={"account_name": ACCOUNT, "account_key": KEY}).create_container("box")


def processor_ns(pid: int) -> int:
    """The processor time of all threads of a server, to the nanosecond."""
    return sum(int(path.read_text("ascii").split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat"))


def turns(client: str, servers: list[str], rounds: int, small: int, megabytes: int) -> None:
    """What an operation costs, by the clock and in processor time of the server, with all servers running all the time.

    They take turns after every `small` requests or large object, so that what else the machine does meets all alike;
    medians of the rounds.
    """
    import measure as tables

    told = tables.Machine()
    clock: dict[str, dict[str, list[float]]] = {}
    work: dict[str, dict[str, list[float]]] = {}
    body, large = os.urandom(4096), os.urandom(1 << 20) * megabytes
    with contextlib.ExitStack() as stack:
        running_ones = {name: stack.enter_context(running(name)) for name in servers}
        stores = {}
        for name, (url, _) in running_ones.items():
            make_container(url)
            stores[name] = CLIENTS[client](url)

        def take_turns(line: str, count: float, operation: Any, check: Any = lambda found: True) -> None:
            for number in range(rounds):
                names = [f"s/{number:03}{each:05}" for each in range(small)]
                for name, store in list(stores.items())[:: 1 if number % 2 else -1]:
                    pid = running_ones[name][1]
                    before, began = processor_ns(pid), time.perf_counter()
                    found = operation(store, names)
                    took, used = time.perf_counter() - began, processor_ns(pid) - before
                    if not check(found):
                        raise SystemExit(f"{name}: {line}: what came is not what was written")
                    clock.setdefault(line, {}).setdefault(name, []).append(took * 1e6 / count)
                    work.setdefault(line, {}).setdefault(name, []).append(used / count / 1000)

        def put(store: Any, names: list[str]) -> None:
            for name in names:
                store.put(name, body)

        def get(store: Any, names: list[str]) -> bool:
            found = [bytes(store.get(name)) for name in names]
            return found == [body] * len(names)

        # what deletes files comes last: a file system may be slow to take their inodes again
        take_turns("PUT 4 KB, us", small, put)
        take_turns("GET 4 KB, us", small, get, bool)
        take_turns(
            "list, us/name", small * rounds, lambda store, _: store.names(), lambda names: len(names) == small * rounds
        )
        take_turns("PUT large, us/MB", megabytes, lambda store, _: store.put_large("large", large))
        take_turns(
            "GET large, us/MB", megabytes, lambda store, _: store.get("large"), lambda data: bytes(data) == large
        )
        take_turns("PUT 4 KB over, us", small, put)
        peaks = {name: [peak_mb(pid)] for name, (_, pid) in running_ones.items()}
    print(f"{told}; {client}, {rounds} rounds of {small} requests, {megabytes} MB large\n")
    work["peak MB"] = peaks
    for head, found in (("by the clock", clock), ("processor time of the server", work)):
        rows = []
        for line, values in found.items():
            ours, *others = (statistics.median(values[name]) for name in servers)
            ratios = [f"{other / ours:.2f}" for other in others]
            rows.append([line, *(f"{value:.1f}" for value in (ours, *others)), *ratios])
        tables.print_table([head, *servers, *(f"{name} : {servers[0]}" for name in servers[1:])], rows)
        print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--megabytes", type=int, default=128)
    parser.add_argument("--small", type=int, default=1000)
    parser.add_argument("--list", type=int, default=5000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--clients", default="obstore,sdk")
    parser.add_argument("--servers", default=",".join(SERVERS))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--turns", action="store_true")
    options = parser.parse_args()
    if options.turns:
        client = options.clients.split(",")[0]
        turns(client, options.servers.split(","), 4 * options.runs, options.small // 5, options.megabytes)
        return
    import measure as tables

    told = tables.Machine()
    rounds: dict[tuple[str, str], list[dict[str, float]]] = {}
    for number in range(options.runs):
        servers = options.servers.split(",")
        for server in servers[number % len(servers) :] + servers[: number % len(servers)]:
            for client in options.clients.split(","):
                with running(server) as (url, pid):
                    make_container(url)
                    sizes = [str(options.megabytes), str(options.small), str(options.list)]
                    command = [sys.executable, __file__, "client", client, url, *sizes]
                    out = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
                    figures = {**json.loads(out), "server, CPU s": cpu_seconds(pid), "server, peak MB": peak_mb(pid)}
                    rounds.setdefault((server, client), []).append(figures)
                    print(server, client, {k: round(v, 1) for k, v in figures.items()}, file=sys.stderr, flush=True)
    report(options, rounds, told)


def report(options: Any, rounds: dict[tuple[str, str], list[dict[str, float]]], told: object) -> None:
    """A table of medians, and how many times better ours is."""
    if options.json:
        print(json.dumps({f"{server}/{client}": runs for (server, client), runs in rounds.items()}))
        return
    import measure as tables

    print(f"{told}; {options.megabytes} MB large, {options.list} names, {options.runs} runs\n")
    for client in options.clients.split(","):
        servers = [server for server in options.servers.split(",") if (server, client) in rounds]
        rows = []
        for line in (*LINES, "server, CPU s", "server, peak MB"):
            values = {server: [run[line] for run in rounds[server, client]] for server in servers}
            middle = {server: statistics.median(runs) for server, runs in values.items()}
            row = [line, *(tables.spread(values[server], 1) for server in servers)]
            for other in servers[1:]:
                better = (
                    middle[other] / middle[servers[0]]
                    if line.endswith(("ms", " MB", "CPU s"))
                    else middle[servers[0]] / middle[other]
                )
                row.append(f"{better:.2f}")
            rows.append(row)
        tables.print_table([client, *servers, *(f"{servers[0]} : {other}" for other in servers[1:])], rows)
        print()


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        servers = {"kyanite": serve_kyanite, "ceiling": serve_ceiling}
        servers |= {"floor": serve_bare, "starlette": serve_starlette}
        servers[sys.argv[2]](Path(sys.argv[3]), int(sys.argv[4]))
    elif sys.argv[1:2] == ["client"]:
        print(json.dumps(measure(sys.argv[2], sys.argv[3], *map(int, sys.argv[4:7]))))
    else:
        main()
