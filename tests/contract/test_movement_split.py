"""The splitter over accounts of a workspace and local folders."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import subprocess
import sys
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kyanite.connections import open_url
from kyanite.connections.local_folder import LocalFolder
from kyanite.errors import ConflictError, DataError, InvariantError, NotFoundError, StorageError, UserError
from kyanite.movement.split import read_manifest, split
from kyanite.parquet import Source
from kyanite.secrets import Vault
from kyanite.storage import StorageAccounts

MANIFEST = "_kyanite_split.json"
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


def parts_in(folder):
    return [name for name in names(folder) if name != MANIFEST]


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
    result = split(tmp_path / "in", tmp_path / "out", max_size="20kB", progress=seen.append)
    out = tmp_path / "out"
    assert (result.rows_in, result.rows_out) == (5000, 5000) and numbers(out) == list(range(5000))
    assert parts_in(out) == [part.name for part in result.parts] and parts_in(out)[0] == "part-00000.parquet"
    assert all(part.bytes == Path(part.path).stat().st_size <= 20_000 and not part.oversize for part in result.parts)
    assert [Path(name).name for name in result.inputs] == ["a.parq", "b.parquet"]
    assert result.bytes_out == sum(part.bytes for part in result.parts) and result.seconds >= 0
    assert (seen[-1].rows, seen[-1].parts) == (5000, len(result.parts)) and seen[-1].total_bytes == result.bytes_in
    assert [part.first_row for part in result.parts] == [
        sum(part.rows for part in result.parts[:number]) for number in range(len(result.parts))
    ]
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
        result = split(source, f"{BOX}/target/", max_size="10KiB", credential=keys[0], overwrite=True)
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
    few = len(split(source, out, max_size=50_000, overwrite=True).parts)
    assert few < many and len(parts_in(out)) == few + 1 and (out / "keep.txt").read_bytes() == b"mine"
    (out / "part-99999.parquet").write_bytes(b"mine too: no part of the set")
    split(source, out, max_size=50_000, prefix="other", overwrite=True)
    assert parts_in(out) == ["keep.txt", "other-00000.parquet", "part-99999.parquet"]


def test_parts_without_a_manifest_are_known_by_their_names(tmp_path):
    source, out = write(tmp_path / "in.parquet", range(2000)), tmp_path / "out"
    split(source, out, max_size=5_000)
    (out / MANIFEST).unlink()
    with pytest.raises(ConflictError, match=r"part-00000\.parquet: The file exists"):
        split(source, out, max_size=50_000)
    split(source, out, max_size=50_000, overwrite=True)
    assert parts_in(out) == ["part-00000.parquet"]


def test_a_set_is_not_replaced_unasked(tmp_path):
    source, out = write(tmp_path / "in.parquet", range(2000)), tmp_path / "out"
    many = split(source, out, max_size=5_000)
    before = {p.name: p.stat().st_mtime_ns for p in out.iterdir()}
    with pytest.raises(ConflictError, match=r"holds the .* parts of another split"):
        split(source, out, max_size=50_000)
    again = split(source, out, max_size=5_000)
    assert again.up_to_date and not many.up_to_date and (again.rows_in, again.rows_out) == (2000, 2000)
    assert [(part.name, part.checksum) for part in again.parts] == [(part.name, part.checksum) for part in many.parts]
    assert split(source, out, max_size=5_000, overwrite=True, if_changed=True).up_to_date
    assert {p.name: p.stat().st_mtime_ns for p in out.iterdir()} == before
    assert not split(source, out, max_size=5_000, overwrite=True).up_to_date
    write(source, range(1000))
    assert not split(source, out, max_size=5_000, overwrite=True, if_changed=True).up_to_date
    (out / "part-00000.parquet").write_bytes(b"short")
    assert not split(source, out, max_size=5_000, overwrite=True, if_changed=True).up_to_date
    assert numbers(out) == list(range(1000))


def test_the_manifest_tells_the_truth(tmp_path):
    first, second = write(tmp_path / "a.parquet", range(2000)), write(tmp_path / "b.parquet", range(2000, 2500))
    out = tmp_path / "out"
    result = split([first, second], out, max_size=9_000)
    document = json.loads((out / MANIFEST).read_bytes())
    assert [(one["path"], one["bytes"]) for one in document["inputs"]] == [
        (str(path), path.stat().st_size) for path in (first, second)
    ]
    assert document["target"] == {"maxBytes": 9_000} and document["rows"] == 2500
    assert parts_in(out) == [part["name"] for part in document["parts"]]
    for part, told in zip(result.parts, document["parts"], strict=True):
        data = (out / part.name).read_bytes()
        read = pq.read_table(out / part.name).column("n").to_pylist()
        assert read == list(range(told["firstRow"], told["firstRow"] + told["rows"]))
        assert told["bytes"] == len(data) and told["checksum"] == f"crc32:{zlib.crc32(data):08x}" == part.checksum
    split([first, second], tmp_path / "sha", max_size=9_000, checksum="sha256")
    for told in json.loads((tmp_path / "sha" / MANIFEST).read_bytes())["parts"]:
        digest = hashlib.sha256((tmp_path / "sha" / told["name"]).read_bytes()).hexdigest()
        assert told["checksum"] == f"sha256:{digest}"
    assert {part.checksum for part in split(first, tmp_path / "no", parts=2, checksum="none").parts} == {None}
    assert (
        read_manifest(*open_url(str(out), None)).schemas == read_manifest(*open_url(str(tmp_path / "no"), None)).schemas
    )


def test_a_strange_manifest_is_not_overwritten(tmp_path):
    source, out = write(tmp_path / "in.parquet", range(10)), tmp_path / "out"
    out.mkdir()
    for text in ("{}", "nothing", "[" * 100_000, '{"kind": "kyanite split", "format": 99}'):
        (out / MANIFEST).write_text(text)
        with pytest.raises(DataError, match="no manifest of a split"):
            split(source, out, max_size=5_000, overwrite=True)
        assert names(out) == [MANIFEST]


def test_parts_and_rows_instead_of_a_size(tmp_path):
    source = write(tmp_path / "in.parquet", range(2000))
    assert [part.rows for part in split(source, tmp_path / "rows", rows=700).parts] == [700, 700, 600]
    assert len(split(source, tmp_path / "parts", parts=3).parts) == 3
    for wrong in ({}, {"parts": 2, "rows": 2}, {"max_size": "1MB", "parts": 2}, {"parts": 0}, {"rows": True}):
        with pytest.raises(UserError):
            split(source, tmp_path / "none", **wrong)
    assert not (tmp_path / "none").exists()


def test_each_input_for_itself(tmp_path):
    write(tmp_path / "in/b.parquet", range(1000))
    write(tmp_path / "in/a.x.parq", range(1000, 1300))
    write(tmp_path / "in/deep/b.parquet", range(1300, 1310))
    out = tmp_path / "out"
    result = split(tmp_path / "in", out, rows=500, merge=False)
    assert not result.merged and parts_in(out) == sorted(part.name for part in result.parts)
    assert [(part.name, part.input, part.first_row) for part in result.parts] == [
        ("a.x-00000.parquet", 0, 0),
        ("in-b-00000.parquet", 1, 0),
        ("in-b-00001.parquet", 1, 500),
        ("deep-b-00000.parquet", 2, 0),
    ]
    assert (result.rows_in, result.rows_out) == (1310, 1310)
    named = split(tmp_path / "in", out, rows=5000, merge=False, prefix="x", overwrite=True)
    assert [part.name for part in named.parts] == [f"x-{stem}-00000.parquet" for stem in ("a.x", "in-b", "deep-b")]
    assert parts_in(out) == sorted(part.name for part in named.parts)


def test_inputs_are_merged_when_their_schemas_are_equal(tmp_path):
    first, second = write(tmp_path / "a.parquet", range(1000)), write(tmp_path / "b.parquet", range(1000, 1500))
    assert split([first, second], tmp_path / "one", max_size="1MB").merged
    other = tmp_path / "c.parquet"
    pq.write_table(pa.table({"n": pa.array(range(10), pa.int32()), "more": ["x"] * 10}), other)
    result = split([first, other], tmp_path / "two", max_size="1MB")
    assert not result.merged and parts_in(tmp_path / "two") == ["a-00000.parquet", "c-00000.parquet"]
    with pytest.raises(DataError) as caught:
        split([first, other], tmp_path / "three", max_size="1MB", merge=True)
    told = str(caught.value)
    assert str(first) in told and str(other) in told and "--no-merge" in told
    assert "column `t` is missing" in told and "column `more` is only here" in told
    assert "column `n` is INT32 optional here and INT64 optional there" in told
    assert not (tmp_path / "three").exists()


def test_patterns(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(["a/x.parquet", "a/b/y.parquet", "a/b/c/z.parq", "a/_old/w.parquet", "a/b/q[1].txt"]):
        write(tmp_path / name, range(number * 10, number * 10 + 10))
    for pattern, found in (
        ("a/*.parquet", ["x"]),
        ("a/**/*.parquet", ["y", "x"]),
        ("a/**", ["z", "y", "x"]),
        ("a/**/b", ["z", "y"]),
        ("a/**/c/*", ["z"]),
        ("a/*", ["z", "y", "x"]),
        ("a/_*/*.parquet", ["w"]),
        ("?/b/?.parquet", ["y"]),
        ("a/b/q*", ["q[1]"]),
    ):
        result = split(pattern, "out", rows=1000, merge=False, overwrite=True)
        assert [Path(name).stem for name in result.inputs] == found, pattern
    assert split(["a/b", "a/*.parquet"], "out", rows=1000, overwrite=True).rows_out == 30
    for none in ("a/**/*.pq", "x/*.parquet", "a/x.parquet/*"):
        with pytest.raises(NotFoundError):
            split(none, "out2", rows=10)


def test_a_plan_writes_nothing(tmp_path):
    source = write(tmp_path / "in.parquet", range(2000))
    plan = split(source, tmp_path / "out", max_size=9_000, dry_run=True)
    assert plan.dry_run and not (tmp_path / "out").exists() and plan.manifest is None
    done = split(source, tmp_path / "out", max_size=9_000)
    assert [(part.name, part.rows) for part in plan.parts] == [(part.name, part.rows) for part in done.parts]
    assert all(0 <= told.bytes - part.bytes < 500 for told, part in zip(plan.parts, done.parts, strict=True))
    assert sum(part.whole + part.cut + part.encoded for part in done.parts) >= 4
    assert done.bytes_out >= done.bytes_raw + done.bytes_cut + done.bytes_encoded > 0


def test_several_workers_give_the_same_parts(tmp_path):
    source = write(tmp_path / "in.parquet", range(5000))
    one = split(source, tmp_path / "one", max_size=9_000)
    two = split(source, tmp_path / "two", max_size=9_000, workers=3)
    assert [part.checksum for part in one.parts] == [part.checksum for part in two.parts]
    assert numbers(tmp_path / "two") == list(range(5000))


def test_several_workers_are_processes_where_all_is_on_this_machine(tmp_path, monkeypatch):
    import kyanite.parquet.parallel as parallel

    pools = []
    real = parallel.ProcessPoolExecutor
    monkeypatch.setattr(parallel, "ProcessPoolExecutor", lambda *given: pools.append(given[0]) or real(*given))
    accounts = StorageAccounts(tmp_path / "home" / "storage", Vault(tmp_path / "home" / "secrets.json"))
    account = accounts.create("boxes")
    account.create_container("data")
    with account.open_write("data", "in.parquet") as writer:
        writer.write(write(tmp_path / "in.parquet", range(5000)).read_bytes())
        writer.commit()
    base = "https://boxes.blob.core.windows.net/data"
    result = split(f"{base}/in.parquet", f"{base}/out/", max_size=9_000, workers=2, home=tmp_path / "home")
    assert pools == [2]
    assert result.rows_out == 5000
    assert numbers(account.folder / "data" / "out") == list(range(5000))
    again = split(
        f"{base}/in.parquet", f"{base}/out/", max_size=8_000, workers=2, home=tmp_path / "home", overwrite=True
    )
    assert numbers(account.folder / "data" / "out") == list(range(5000))
    assert len(again.parts) > len(result.parts)


@pytest.mark.parametrize("into", ["new", "shared"])
def test_the_disk_is_waited_for_when_told(tmp_path, monkeypatch, into):
    synced = set()
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: synced.add(os.fstat(fd).st_ino) or real(fd))
    source = write(tmp_path / "in.parquet", range(5000))
    if into == "shared":
        for name in ("safe", "fast"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "notes.txt").write_text("mine")
    safe = split(source, tmp_path / "safe", max_size=9_000, sync=True)
    assert {Path(part.path).stat().st_ino for part in safe.parts} <= synced
    synced.clear()
    fast = split(source, tmp_path / "fast", max_size=9_000)
    assert not synced & {Path(part.path).stat().st_ino for part in fast.parts}
    assert into == "shared" or not synced
    assert [part.checksum for part in fast.parts] == [part.checksum for part in safe.parts]
    manifests = [json.loads((tmp_path / name / MANIFEST).read_text()) for name in ("safe", "fast")]
    assert manifests[0]["parts"] == manifests[1]["parts"]


@pytest.mark.parametrize("shared", [False, True])
def test_an_older_set_is_only_given_up_for_one_on_the_disk(tmp_path, monkeypatch, shared):
    source = write(tmp_path / "in.parquet", range(5000))
    split(source, tmp_path / "out", max_size=9_000)
    if shared:
        (tmp_path / "out" / "notes.txt").write_text("mine")
    synced = set()
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: synced.add(os.fstat(fd).st_ino) or real(fd))
    result = split(source, tmp_path / "out", max_size=8_000, sync=False, overwrite=True)
    assert {Path(part.path).stat().st_ino for part in result.parts} <= synced
    assert numbers(tmp_path / "out") == list(range(5000))


@pytest.mark.parametrize("sync", [True, False])
def test_processes_wait_for_the_disk_as_told(tmp_path, sync):
    from kyanite.movement.split_processes import staged_parts
    from kyanite.movement.split_publish import PartSet

    with LocalFolder(tmp_path).open_set("out", lambda name: True, is_synced=sync) as files:
        opened = staged_parts(PartSet(files, lambda manifest: None), "fast")
        assert opened is not None and pickle.loads(pickle.dumps(opened)).is_synced is sync


def test_nothing_appears_when_a_process_fails(tmp_path):
    source = write(tmp_path / "in.parquet", range(5000))
    data = bytearray(source.read_bytes())
    data[4 : len(data) // 2] = bytes(len(data) // 2 - 4)
    source.write_bytes(data)
    with pytest.raises(DataError):
        split(source, tmp_path / "out", max_size=9_000, workers=2)
    assert not (tmp_path / "out").exists()


def test_every_value_is_compared_before_the_parts_appear(tmp_path, monkeypatch):
    import kyanite.movement.split_run as split_run

    source, out = write(tmp_path / "in.parquet", range(2000)), tmp_path / "out"
    result = split(source, out, max_size=9_000, verify="deep")
    assert result.verified == "deep" and numbers(out) == list(range(2000))
    other = write(tmp_path / "other.parquet", [*range(1999), 0])
    real = split_run.verify_parquet

    def against_other(parts, sources, mode):
        return real(parts, [Source("other", lambda: other.open("rb"), other.stat().st_size)], mode)

    monkeypatch.setattr(split_run, "verify_parquet", against_other)
    with pytest.raises(InvariantError, match="1999"):
        split(source, tmp_path / "wrong", max_size=9_000, verify="deep")
    assert not (tmp_path / "wrong").exists()
    assert split(source, tmp_path / "fast", max_size=9_000).verified == "fast"


def test_an_input_that_changes_meanwhile(tmp_path):
    source, out = write(tmp_path / "in.parquet", range(2000)), tmp_path / "out"

    def touch(now):
        os.utime(source, ns=(1, 1))

    with pytest.raises(ConflictError, match="changed while it was split"):
        split(source, out, max_size=5_000, progress=touch)
    assert names(tmp_path) == ["in.parquet"]


def test_into_the_current_folder(tmp_path, monkeypatch):
    source, out = write(tmp_path / "in.parquet", range(2000)), tmp_path / "out"
    out.mkdir()
    monkeypatch.chdir(out)
    for size in (5_000, 50_000):
        split("../in.parquet", ".", max_size=size, overwrite=True)
        assert numbers(Path()) == numbers(out) == list(range(2000))
        assert not (out / "_kyanite_split").exists()
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
        split(out, out, max_size=50_000, overwrite=True)
    assert names(out) == before
    with pytest.raises(ConflictError, match="is an input"):
        split(out, out, max_size=50_000, prefix="big", overwrite=True)
    (out / MANIFEST).unlink()
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


def test_a_split_of_local_files_begins_without_what_it_does_not_need():
    program = (
        "import sys, kyanite.movement.split\n"
        "needless = {'pyarrow', 'numpy', 'obstore', 'sqlite3', 'ssl', 'http.client', 'asyncio', 'cryptography',"
        " 'kyanite.secrets', 'kyanite.storage.account', 'kyanite.connections.azure_blocks'}\n"
        "print(*needless & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []
