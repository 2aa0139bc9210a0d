"""Splits that are killed at a chosen step, each in a forked child; what a reader finds afterwards is checked here.

    python split_program.py PLACE FOLDER POINTS SEED

PLACE is `own` (a folder for the parts alone), `shared` (with a file of somebody else) or `store` (objects, through
obstore), each also as `...-fresh`: without an older set. POINTS is a number of random steps, or `all`. The steps at
which a part is complete are always tried. Prints JSON: how many steps there are and which set was found how often.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import threading
import zlib
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from obstore.store import LocalStore

import kyanite.connections.object_store as object_store
import kyanite.movement.split as split_module
import kyanite.movement.split_writer as split_writer
import kyanite.storage.file_set as file_set
from kyanite.connections.object_store import ObjectStoreConnection

OLD_ROWS, NEW_ROWS = range(3000), range(3000, 5000)
OLD_SIZE, NEW_SIZE = 12_000, 9_000


class Steps:
    """Counts every call that changes something outside this process, and ends the process at the chosen one."""

    def __init__(self, stop: int) -> None:
        self.stop = stop
        self.done = 0
        self.lock = threading.Lock()  # parts are completed in another thread
        self.complete: list[int] = []

    def counted(self, real: Callable) -> Callable:
        def call(*args: object, **named: object) -> object:
            with self.lock:
                self.done += 1
                if self.done == self.stop:
                    os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **named)

        return call

    def watch(self) -> None:
        for name in ("write", "copy_file_range", "fsync", "rename", "replace", "mkdir", "chmod", "unlink", "rmdir"):
            setattr(os, name, self.counted(getattr(os, name)))
        file_set.exchange = self.counted(file_set.exchange)
        store = object_store.obstore
        for name in ("copy", "delete"):
            setattr(store, name, self.counted(getattr(store, name)))
        open_writer = store.open_writer
        store.open_writer = lambda *args, **named: Upload(open_writer(*args, **named), self)
        finish = split_writer.PartWriter._finish

        def noted(writer: split_writer.PartWriter, *synced: object) -> None:
            self.complete.append(self.done + 1)
            finish(writer, *synced)

        split_writer.PartWriter._finish = noted


class Upload:
    """An obstore writer whose calls are steps."""

    def __init__(self, writer: object, steps: Steps) -> None:
        self.write = steps.counted(writer.write)
        self.close = steps.counted(writer.close)


def in_child(work: Callable[[], object]) -> tuple[int, object]:
    """The exit status of a forked child that does the work, and what the work gave."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        try:
            os.write(writer, json.dumps(work()).encode())
        except BaseException as problem:  # noqa: BLE001 - a child never goes on as the parent
            print(f"{type(problem).__name__}: {problem}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return status, json.loads(text) if text else None


class Place:
    """A target folder, an older set in it or none, and what a reader sees."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind, _, fresh = kind.partition("-")
        self.fresh = bool(fresh)
        self.folder = folder
        self.target = folder / "box" / "out"
        self.old, self.new = folder / "old.parquet", folder / "new.parquet"
        for path, rows in ((self.old, OLD_ROWS), (self.new, NEW_ROWS)):
            table = pa.table({"n": pa.array(rows, pa.int64()), "t": [f"text {n * 7919}" for n in rows]})
            pq.write_table(table, path, row_group_size=500, data_page_size=2048, write_batch_size=64)

    def split(self, source: Path, size: int) -> None:
        if self.kind == "store":
            store = LocalStore(self.folder / "box", automatic_cleanup=True)
            far = ObjectStoreConnection("AzureBlobStorage", "https://far.blob.core.windows.net", lambda name: store)
            split_module.open_url = lambda *_: (far, "box/out")
        split_module.split(source, self.target, max_size=size, overwrite=True)

    def reset(self) -> None:
        shutil.rmtree(self.target, ignore_errors=True)
        if self.kind != "own":
            self.target.mkdir(parents=True)
            (self.target / "foreign.txt").write_text("mine")
        if not self.fresh:
            must(in_child(lambda: self.split(self.old, OLD_SIZE)))

    def found(self) -> str:
        """Which set a reader that follows the manifest sees."""
        manifest = self.target / "_kyanite_split.json"
        if not manifest.exists():
            return "none"
        document = json.loads(manifest.read_bytes())
        numbers: list[int] = []
        for part in document["parts"]:
            data = (self.target / document.get("folder", "") / part["name"]).read_bytes()
            assert len(data) == part["bytes"], f"{part['name']} has {len(data)} bytes, not {part['bytes']}"
            assert part["checksum"] == f"crc32:{zlib.crc32(data):08x}", part["name"]
            assert part["firstRow"] == len(numbers)
            numbers += pq.read_table(pa.BufferReader(data), use_threads=False).column("n").to_pylist()
        if numbers == list(OLD_ROWS):
            return "old"
        assert numbers == list(NEW_ROWS), f"half a set of {len(numbers)} rows"
        return "new"

    def check(self) -> str:
        """The set a reader sees, which is whole; in a folder of its own also who lists the folder sees just that."""
        found = self.found()
        assert found in (("none", "new") if self.fresh else ("old", "new")), found
        if self.kind == "own" and self.target.exists():
            assert self.names() == (set() if found == "none" else self.listed())
        if self.kind != "own":
            assert (self.target / "foreign.txt").read_text() == "mine"
        return found

    def check_clean(self) -> None:
        """After another run: the new set, and nothing else is left anywhere."""
        assert self.found() == "new"
        assert self.names() - {"foreign.txt"} == self.listed(), sorted(self.names())
        assert {path.name for path in (self.folder / "box").iterdir()} == {"out"}
        assert {path.name for path in self.folder.iterdir()} == {"box", "old.parquet", "new.parquet"}

    def names(self) -> set[str]:
        """What is in the target; obstore's own leavings for files on disk (`name#0`) are uploads that nobody sees,
        and a folder with nothing but such files in it is none in an object store.
        """
        return {path.name for path in self.target.iterdir() if not (self.kind == "store" and unseen(path))}

    def listed(self) -> set[str]:
        document = json.loads((self.target / "_kyanite_split.json").read_bytes())
        return {"_kyanite_split.json", *(part["name"] for part in document["parts"])}


def unseen(path: Path) -> bool:
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    return all("#" in file.name for file in files)


def must(ended: tuple[int, object]) -> object:
    assert ended[0] == 0, f"a split that nobody killed ended with {ended[0]}"
    return ended[1]


def counted(place: Place) -> tuple[int, list[int]]:
    """How many steps a whole split has, and those at which a part is complete."""

    def work() -> list[object]:
        steps = Steps(-1)
        steps.watch()
        place.split(place.new, NEW_SIZE)
        return [steps.done, steps.complete]

    place.reset()
    total, complete = must(in_child(work))
    place.check_clean()
    return total, complete


def main(kind: str, folder: Path, points: str, seed: int) -> None:
    (folder / "box").mkdir()
    place = Place(kind, folder)
    total, complete = counted(place)
    every = range(1, total + 1)
    chance = random.Random(seed)
    chosen = every if points == "all" else chance.sample(every, min(total, int(points)))
    seen: Counter[str] = Counter()
    for stop in sorted({*chosen, *complete, *(step + 1 for step in complete), total} & set(every)):
        place.reset()

        def killed(stop: int) -> None:
            Steps(stop).watch()
            place.split(place.new, NEW_SIZE)

        status, _ = in_child(partial(killed, stop))
        again = chance.randrange(1, total)
        try:
            assert status == -signal.SIGKILL, f"ended with {status} instead of being killed"
            found = place.check()
            seen[found] += 1
            in_child(partial(killed, again))
            assert place.check() in (found, "new"), f"the next split, killed at step {again}, lost the set"
            must(in_child(lambda: place.split(place.new, NEW_SIZE)))
            place.check_clean()
        except AssertionError as problem:
            raise SystemExit(f"{kind}, killed at step {stop} of {total}: {problem}") from problem
    print(json.dumps({"steps": total, "complete": len(complete), "seen": seen}))


if __name__ == "__main__":
    code = 0
    try:
        main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
    except SystemExit as problem:
        print(problem, file=sys.stderr)
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # a process that forked beside Arrow's threads does not always come through their destructors
