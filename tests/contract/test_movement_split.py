"""The splitter over accounts of a workspace and local folders."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kyanite.errors import ConflictError, DataError, NotFoundError, StorageError, UserError
from kyanite.movement.split import split
from kyanite.secrets import Vault
from kyanite.storage import StorageAccounts

BOX = "https://boxes.blob.core.windows.net/box"


def table(rows):
    return pa.table({"n": pa.array(list(rows), pa.int64()), "t": [f"some longer text {n * 7919}" for n in rows]})


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table(rows), path, row_group_size=500, data_page_size=2048, write_batch_size=64)
    return path


def numbers(folder):
    return [n for p in sorted(folder.glob("*.parquet")) for n in pq.read_table(p).column("n").to_pylist()]


def names(folder):
    return sorted(p.name for p in folder.iterdir())


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    home = tmp_path / ".kyanite"
    home.mkdir()
    account = StorageAccounts(home / "storage", Vault(home / "secrets.json")).create("boxes")
    account.create_container("box")
    return home


def test_a_local_folder(tmp_path):
    write(tmp_path / "in/b.parquet", range(3000, 5000))
    write(tmp_path / "in/a.parq", range(3000))
    for other in ("in/_metadata.parquet", "in/.a.parq.crc", "in/notes.txt", "in/_temporary/x.parquet"):
        (tmp_path / other).parent.mkdir(exist_ok=True)
        (tmp_path / other).write_bytes(b"x")
    seen = []
    result = split(tmp_path / "in", tmp_path / "out", max_size="20kB", progress=lambda *now: seen.append(now))
    out = tmp_path / "out"
    assert (result.rows_in, result.rows_out) == (5000, 5000) and numbers(out) == list(range(5000))
    assert names(out) == [part.name for part in result.parts] and names(out)[0] == "part-00000.parquet"
    assert all(part.bytes == Path(part.path).stat().st_size <= 20_000 and not part.oversize for part in result.parts)
    assert [Path(name).name for name in result.inputs] == ["a.parq", "b.parquet"]
    assert result.bytes_out == sum(part.bytes for part in result.parts) and result.seconds >= 0
    assert seen[-1][0] == 5000
    assert names(tmp_path) == ["in", "out"]


def test_workspace_accounts_by_every_address(home, tmp_path):
    write(home / "storage/boxes/box/source/NewFile.parq", range(2000))
    keys = StorageAccounts(home / "storage", Vault(home / "secrets.json")).get("boxes").keys
    target = home / "storage/boxes/box/target"
    for source in (
        f"{BOX}//source/NewFile.parq",
        f"{BOX}/source/",
        f"{BOX}/s*/*.parq",
        "abfss://box@boxes.dfs.core.windows.net/source/New*.parq",
    ):
        result = split(source, f"{BOX}/target/", max_size="10KiB", credential=keys[0])
        assert result.rows_out == 2000 and numbers(target) == list(range(2000))
        assert result.parts[0].path == f"{BOX}/target/part-00000.parquet"
    assert split(f"{BOX}/source", "out", max_size=10_000, home=home).rows_out == 2000
    with pytest.raises(StorageError, match="is not one of account `boxes`'s keys"):
        split(f"{BOX}/source", "out", max_size=10_000, credential="bm90IHRoZSBrZXk=")
    assert list((home / "storage/boxes/.staging").iterdir()) == []


def test_the_home_is_found(home, tmp_path, monkeypatch):
    write(home / "storage/boxes/box/a.parq", range(10))
    away = tmp_path / "elsewhere"
    away.mkdir()
    monkeypatch.chdir(away)
    with pytest.raises(UserError, match="not in this workspace"):
        split(f"{BOX}/a.parq", "out", max_size="1MB")
    monkeypatch.setenv("KYANITE_HOME", str(home))
    assert split(f"{BOX}/a.parq", "out", max_size="1MB").rows_out == 10


def test_inputs_keep_the_order_given(tmp_path):
    first, second = write(tmp_path / "z.parquet", range(5)), write(tmp_path / "a.parquet", range(5, 9))
    split([first, str(second)], tmp_path / "out", max_size="1MB")
    assert numbers(tmp_path / "out") == list(range(9))


def test_older_parts_are_replaced_as_a_set(tmp_path):
    source, out = write(tmp_path / "in.parquet", range(2000)), tmp_path / "out"
    many = len(split(source, out, max_size=5_000).parts)
    (out / "keep.txt").write_bytes(b"mine")
    few = len(split(source, out, max_size=50_000).parts)
    assert few < many and len(names(out)) == few + 1 and (out / "keep.txt").read_bytes() == b"mine"
    (out / "keep.txt").unlink()
    split(source, out, max_size=5_000)
    split(source, out, max_size=50_000, prefix="other")
    assert len(names(out)) == many + few
    with pytest.raises(ConflictError, match=r"part-00000\.parquet exists"):
        split(source, out, max_size=50_000, overwrite=False)
    assert len(names(out)) == many + few and numbers(out) == [*range(2000), *range(2000)]


def test_into_the_current_folder(tmp_path, monkeypatch):
    source, out = write(tmp_path / "in.parquet", range(2000)), tmp_path / "out"
    out.mkdir()
    monkeypatch.chdir(out)
    for size in (5_000, 50_000):
        split("../in.parquet", ".", max_size=size)
        assert numbers(Path()) == numbers(out) == list(range(2000))
    assert source.exists()


def test_a_template_for_names(tmp_path):
    source = write(tmp_path / "in.parquet", range(10))
    result = split(source, tmp_path / "out", max_size="1MB", name_template="{prefix}{index:04d}.parq")
    assert [part.name for part in result.parts] == ["part0000.parq"]


def test_an_input_that_is_a_part_to_be_replaced(tmp_path):
    source, out = write(tmp_path / "in.parquet", range(2000)), tmp_path / "out"
    split(source, out, max_size=5_000)
    before = names(out)
    with pytest.raises(ConflictError, match="is an input"):
        split(out, out, max_size=50_000)
    assert names(out) == before
    assert split(out, out, max_size=50_000, prefix="big").rows_out == 2000


@pytest.mark.parametrize(
    ("inputs", "error"),
    [
        ("none.parquet", NotFoundError),
        ("empty", NotFoundError),
        ("*.parq", NotFoundError),
        ([], UserError),
        ("bad.parquet", DataError),
    ],
)
def test_nothing_appears_after_an_error(tmp_path, monkeypatch, inputs, error):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.parquet").write_bytes(b"x" * 100)
    with pytest.raises(error):
        split(inputs, "out", max_size="1MB")
    assert names(tmp_path) == ["bad.parquet", "empty"]


def test_a_full_disk_keeps_the_old_parts(tmp_path, monkeypatch):
    import errno

    source, out = write(tmp_path / "in.parquet", range(2000)), tmp_path / "out"
    split(source, out, max_size=5_000)
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    real, calls = os.write, []

    def nearly_full(fd, data):
        calls.append(fd)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(fd, data)

    monkeypatch.setattr(os, "write", nearly_full)
    with pytest.raises(StorageError) as caught:
        split(source, out, max_size=20_000)
    monkeypatch.undo()
    assert caught.value.error_code == "DiskFull"
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before and names(tmp_path) == ["in.parquet", "out"]


KILLED = """
import os, sys
import kyanite.storage.file_set as file_set
from kyanite.movement.split import split
stop, calls = int(sys.argv[3]), 0
def counted(real):
    def call(*a, **k):
        global calls
        calls += 1
        if calls == stop: os._exit(9)
        return real(*a, **k)
    return call
for name in ("write", "fsync", "rename", "mkdir", "chmod", "unlink", "rmdir"):
    setattr(os, name, counted(getattr(os, name)))
file_set.exchange = counted(file_set.exchange)
split(sys.argv[1], sys.argv[2], max_size=20_000)
"""


def test_killed_at_every_step_shows_the_old_or_the_new_parts(tmp_path):
    source, out = write(tmp_path / "in.parquet", range(2000)), tmp_path / "out"
    old = write(tmp_path / "old.parquet", range(100))
    split(source, tmp_path / "new", max_size=20_000)
    new = len(names(tmp_path / "new"))
    seen = set()
    for stop in range(1, 60, 2):
        split(old, out, max_size="1MB")
        ended = subprocess.run([sys.executable, "-c", KILLED, str(source), str(out), str(stop)], check=False)
        assert (len(names(out)), numbers(out)) in ((1, list(range(100))), (new, list(range(2000))))
        seen.add(len(names(out)))
        if ended.returncode == 0:
            break
    assert ended.returncode == 0 and seen == {1, new}
    split(old, out, max_size="1MB")
    assert names(tmp_path) == ["in.parquet", "new", "old.parquet", "out"]


def test_to_an_object_store(tmp_path, monkeypatch):
    from obstore.store import MemoryStore

    import kyanite.movement.split as split_module
    from kyanite.connections.object_store import ObjectStoreConnection

    memory = MemoryStore()
    far = ObjectStoreConnection("AzureBlobStorage", "https://far.blob.core.windows.net", lambda name: memory)
    real = split_module.open_url
    monkeypatch.setattr(
        split_module, "open_url", lambda url, *more: (far, "box/out") if url == "far" else real(url, *more)
    )
    source = write(tmp_path / "in.parquet", range(2000))
    many = split(source, "far", max_size=5_000).parts
    few = split(source, "far", max_size=20_000).parts
    assert len(few) < len(many) and [e.name for e in far.list("box/out")] == [part.name for part in few]
    assert split("far", tmp_path / "back", max_size="1MB").rows_out == 2000
