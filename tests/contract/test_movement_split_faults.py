"""The splitter when disks and stores fail, and on object stores."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from obstore.store import MemoryStore

import kyanite.connections.object_files as object_files
import kyanite.connections.object_store as object_store
import kyanite.movement.split as split_module
import kyanite.movement.split_inputs as split_inputs
from kyanite.connections.object_store import ObjectStoreConnection
from kyanite.errors import ConflictError, StorageError
from kyanite.movement.split import split

MANIFEST = "_kyanite_split.json"


def write(path, rows):
    table = pa.table({"n": pa.array(rows, pa.int64()), "t": [f"some longer text {n * 7919}" for n in rows]})
    pq.write_table(table, path, row_group_size=500, data_page_size=2048, write_batch_size=64)
    return path


def content(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def source(tmp_path):
    return write(tmp_path / "in.parquet", range(2000))


class Failing:
    """Calls through to a function, and raises `error` at call number `at` (1 is the first); 0 never."""

    def __init__(self, real, error, at=0):
        self.real, self.error, self.at, self.calls = real, error, at, 0

    def __call__(self, *arguments, **named):
        self.calls += 1
        if self.calls == self.at:
            raise self.error
        return self.real(*arguments, **named)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
def test_a_disk_that_fails_at_any_call_keeps_the_old_parts(tmp_path, monkeypatch, source, call, shared):
    out = tmp_path / "out"
    split(source, out, max_size=5_000)
    if shared:
        (out / "keep.txt").write_text("mine")
    before, at, seen = content(out), 0, []
    while True:
        at += 1
        failing = Failing(getattr(os, call), OSError(errno.ENOSPC, "No space left on device"), at)
        monkeypatch.setattr(os, call, failing)
        try:
            split(source, out, max_size=20_000, overwrite=True)
        except StorageError as problem:
            assert problem.error_code == "DiskFull"
        finally:
            monkeypatch.undo()
        if failing.calls < at:
            break
        manifest = json.loads((out / MANIFEST).read_bytes())
        seen.append(manifest["target"]["maxBytes"])
        if seen[-1] == 5_000:
            assert content(out) == before and {p.name for p in tmp_path.iterdir()} == {"in.parquet", "out"}
        else:
            for part in manifest["parts"]:
                assert (out / manifest.get("folder", "") / part["name"]).stat().st_size == part["bytes"]
            split(source, out, max_size=5_000, overwrite=True)
            assert content(out) == before
    assert (5_000 in seen) or call == "rename"
    assert len(pq.read_table(out / "part-00000.parquet")) > 0


MANY = """
import resource, sys
import kyanite
resource.setrlimit(resource.RLIMIT_NOFILE, (48, 48))
for target in sys.argv[2:]:
    result = kyanite.split(sys.argv[1], target, rows=7)
    assert result.rows_out == 700 and len(result.parts) == 100
"""


def test_few_files_are_open_at_once_however_many_there_are(tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(70):
        write(tmp_path / f"in/{number:02}.parquet", range(number * 10, number * 10 + 10))
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/keep.txt").write_text("mine")
    places = [str(tmp_path / name) for name in ("own", "shared")]
    done = subprocess.run(
        [sys.executable, "-c", MANY, str(tmp_path / "in"), *places], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_an_output_that_is_a_file(tmp_path, source):
    for output in (source, source / "below"):
        with pytest.raises((StorageError, ConflictError)) as caught:
            split(source, output, max_size=5_000, overwrite=True)
        assert str(source) in str(caught.value)
    assert pq.read_table(source).num_rows == 2000 and [p.name for p in tmp_path.iterdir()] == ["in.parquet"]


@pytest.fixture
def far(monkeypatch):
    """An object store, reached as `far/...`, empty."""
    memory = MemoryStore()
    connection = ObjectStoreConnection("AzureBlobStorage", "https://far.blob.core.windows.net", lambda name: memory)
    real = split_module.open_url

    def open_far(url, *more):
        return (connection, url.replace("far", "box", 1)) if url.startswith("far") else real(url, *more)

    for module in (split_module, split_inputs):
        monkeypatch.setattr(module, "open_url", open_far)
    return connection


def names(far, folder="box/out"):
    return [entry.path[len(folder) + 1 :] for entry in far.list(folder)]


def put(far, path, data):
    with far.open_write(path) as writer:
        writer.write(data)
        writer.commit()


def read(far, folder="box/out"):
    """Numbers of the parts that the manifest names, where it says they are."""
    with far.open_read(f"{folder}/{MANIFEST}") as file:
        document = json.loads(file.read())
    found = []
    for part in document["parts"]:
        with far.open_read(f"{folder}/{document.get('folder', '')}/{part['name']}") as file:
            found += pq.read_table(file).column("n").to_pylist()
    return found


def test_from_and_to_an_object_store(far, source, tmp_path):
    many = split(source, "far/out", max_size=5_000)
    assert names(far) == [MANIFEST, *(part.name for part in many.parts)] and read(far) == list(range(2000))
    assert many.parts[0].path == "https://far.blob.core.windows.net/box/out/part-00000.parquet"
    assert split(source, "far/out", max_size=5_000).up_to_date
    with pytest.raises(ConflictError, match="another split"):
        split(source, "far/out", max_size=20_000)
    put(far, "box/out/keep.txt", b"mine")
    few = split(source, "far/out", max_size=20_000, overwrite=True)
    assert names(far) == [MANIFEST, "keep.txt", *(part.name for part in few.parts)]
    assert len(few.parts) < len(many.parts) and read(far) == list(range(2000))
    back = split("far/out/*.parquet", tmp_path / "back", max_size="1MB")
    assert back.rows_out == 2000 and len(back.inputs) == len(few.parts)
    assert split("far/out", "far/other", rows=1500, workers=2).rows_out == 2000


def test_a_remote_input_is_read_in_ranges(far, tmp_path, monkeypatch):
    numbers = pa.array(range(1_000_000), pa.int64())
    table = pa.table({"n": numbers, "t": numbers.cast(pa.string())})
    path = tmp_path / "big.parquet"
    pq.write_table(table, path, row_group_size=25_000, use_dictionary=False, compression="none")
    put(far, "box/big.parquet", path.read_bytes())
    fetched = []
    real = object_files.obstore.get

    def get(store, name, *, options):
        fetched.append(options["range"][1] - options["range"][0])
        return real(store, name, options=options)

    monkeypatch.setattr(object_files.obstore, "get", get)
    size = path.stat().st_size
    split("far/big.parquet", tmp_path / "none", max_size=size // 2 - 1000, dry_run=True)
    assert 0 < sum(fetched) < size * 0.7 and max(fetched) <= 1024 * 1024
    fetched.clear()
    result = split("far/big.parquet", tmp_path / "out", max_size=size // 2 - 1000)
    assert result.rows_out == 1_000_000 and len(result.parts) == 3
    assert sum(fetched) < size * 1.7 and max(fetched) <= 1024 * 1024


@pytest.mark.parametrize("call", ["open_writer", "copy", "delete", "head", "list"])
@pytest.mark.parametrize("fresh", [False, True])
def test_a_store_that_fails_at_any_call_keeps_a_whole_set(far, source, monkeypatch, call, fresh):
    at = 0
    while True:
        at += 1
        folder = f"box/out{at}"
        put(far, f"{folder}/keep.txt", b"mine")
        if not fresh:
            split(source, f"far/out{at}", max_size=5_000)
        before = names(far, folder)
        failing = Failing(getattr(object_store.obstore, call), OSError("the store is down"), at)
        with monkeypatch.context() as patched:
            patched.setattr(object_store.obstore, call, failing)
            try:
                split(source, f"far/out{at}", max_size=20_000, overwrite=True)
            except StorageError as problem:
                assert "far.blob" in str(problem)
        if not fresh or far.stat(f"{folder}/{MANIFEST}") is not None:
            assert read(far, folder) == list(range(2000))
        elif far.stat(f"{folder}/_kyanite_split") is None:
            assert names(far, folder) == before
        done = split(source, f"far/out{at}", max_size=20_000, overwrite=True)
        assert names(far, folder) == [MANIFEST, "keep.txt", *(part.name for part in done.parts)]
        if failing.calls < at:
            break
    assert at > 1 or (fresh and call == "copy")


def test_another_split_at_work_is_not_disturbed(far, source, monkeypatch):
    put(far, "box/out/keep.txt", b"mine")
    seen = []

    def meanwhile(now):
        if not seen:
            seen.append(now)
            with pytest.raises(ConflictError, match="Another split writes"):
                split(source, "far/out", max_size=5_000)

    split(source, "far/out", max_size=20_000, progress=meanwhile)
    assert seen and read(far) == list(range(2000))


def test_work_of_a_machine_that_is_gone_is_taken_over(far, source):
    work = {"owner": "deadbeef-1-2-abc", "namings": {"prefixes": ["part"], "template": "{prefix}-{index:05d}.parquet"}}
    put(far, "box/out/_kyanite_split/work.json", json.dumps({**work, "replaces": []}).encode())
    for name in ("part-00000.parquet", "part-00001.parquet", "mine.parquet"):
        put(far, f"box/out/{name}", b"half")
    split(source, "far/out", max_size="1MB")
    assert names(far) == [MANIFEST, "mine.parquet", "part-00000.parquet"] and read(far) == list(range(2000))


def test_nothing_is_left_of_a_split_that_fails_on_a_store(far, tmp_path):
    good, bad = write(tmp_path / "a.parquet", range(100)), tmp_path / "b.parquet"
    bad.write_bytes(b"PAR1" + b"x" * 100 + b"PAR1")
    with pytest.raises(Exception, match=r"b\.parquet"):
        split([good, bad], "far/out", rows=10, merge=False)
    assert far.stat("box/out") is None
    assert Path(tmp_path).exists()
