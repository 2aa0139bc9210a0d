"""Blobs on disk: a full disk, torn appends, renames with properties, events, names, and what sweeping removes."""

from __future__ import annotations

import base64
import os
import threading

import pytest

from kyanite.errors import StorageError
from kyanite.secrets import Vault
from kyanite.server.storage.copy_source import is_refused
from kyanite.storage import StorageAccounts, appending, blocks, containers, events, listing, names, staged
from kyanite.storage.conditions import Conditions
from kyanite.storage.properties import APPEND_BLOB, Properties
from kyanite.storage.renames import rename
from kyanite.storage.sweeping import sweep_records


@pytest.fixture(params=[True, False], ids=["folders", "flat"])
def store(request, tmp_path):
    account = StorageAccounts(tmp_path / "storage", Vault()).create("acct", hierarchical=request.param)
    containers.create(account.blobs, "box")
    return account.blobs


def put(store, path, data=b"x", properties=None, conditions=None, container="box"):
    with store.stage() as made:
        made.write(data)
        return store.publish(made, container, path, properties or Properties(), conditions or Conditions())


def read(store, path, container="box"):
    fd, blob = store.open(container, path)
    try:
        return os.pread(fd, blob.size, 0)
    finally:
        os.close(fd)


def code_of(action):
    with pytest.raises(StorageError) as caught:
        action()
    return caught.value.error_code


def leavings(store):
    return [path.name for path in (store.folder / ".staging").iterdir()]


def records(store, container="box"):
    return store.records(container).keys()


def test_a_full_disk_leaves_the_old_version_and_no_junk(store, monkeypatch):
    put(store, "a", b"old")
    before = store.require("box", "a")

    def full(*_details):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        put(store, "a", b"new")
    monkeypatch.undo()
    assert read(store, "a") == b"old" and store.require("box", "a") == before
    monkeypatch.setattr("kyanite.storage.record_store.RecordStore.add", full)
    assert code_of(lambda: put(store, "a", b"new")) == "DiskFull"
    monkeypatch.undo()
    assert read(store, "a") == b"old" and leavings(store) == [] and len(records(store)) == 1


def test_a_full_disk_during_an_append_takes_the_append_back(store, monkeypatch):
    put(store, "log", b"", Properties(blob_type=APPEND_BLOB))
    with store.stage() as piece:
        piece.write(b"one")
        appending.append(store, "box", "log", piece)
    before = store.require("box", "log")

    def half(source, target, length, *offsets):
        staged.os.pwrite(target, b"t", offsets[-1])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(appending, "copy_range", half)
    with store.stage() as piece:
        piece.write(b"two")
        assert code_of(lambda: appending.append(store, "box", "log", piece)) == "DiskFull"
    assert store.require("box", "log") == before and read(store, "log") == b"one"
    assert (store.folder / "box" / "log").read_bytes() == b"one" and leavings(store) == []


def test_an_append_that_a_kill_cut_short_is_neither_seen_nor_kept(store, monkeypatch):
    put(store, "log", b"", Properties(blob_type=APPEND_BLOB, metadata={"a": "b"}))
    with store.stage() as piece:
        piece.write(b"one")
        whole, _ = appending.append(store, "box", "log", piece)

    class Killed(BaseException):
        pass

    def cut(source, target, length, *offsets):
        os.pwrite(target, b"tw", offsets[-1])
        raise Killed

    monkeypatch.setattr(appending, "copy_range", cut)
    with pytest.raises(Killed), store.stage() as piece:
        piece.write(b"two")
        appending.append(store, "box", "log", piece)
    monkeypatch.undo()
    assert (store.folder / "box" / "log").read_bytes() == b"onetw"
    assert store.require("box", "log") == whole and read(store, "log") == b"one"
    assert [blob.size for blob in listing.walk(store, "box")] == [3]
    with store.stage() as piece:
        piece.write(b"2")
        blob, offset = appending.append(store, "box", "log", piece)
    assert (offset, blob.size, blob.properties.metadata) == (3, 4, {"a": "b"})
    assert (store.folder / "box" / "log").read_bytes() == b"one2"


def test_a_reader_goes_on_with_the_version_it_opened(store):
    put(store, "a", b"old version")
    fd, blob = store.open("box", "a")
    put(store, "a", b"new")
    store.delete("box", "a")
    assert os.pread(fd, 100, 0) == b"old version" and blob.size == 11
    os.close(fd)


def test_records_go_with_their_versions(store):
    for version in range(5):
        put(store, "d/a", b"x" * version, Properties(metadata={"v": str(version)}))
        store.change("box", "d/a", lambda old: Properties(metadata={**old.metadata, "more": "1"}))
    assert len(records(store)) == 1
    assert store.require("box", "d/a").properties.metadata == {"v": "4", "more": "1"}
    store.delete("box", "d/a")
    assert records(store) == []
    assert (store.folder / "box" / "d").exists() == store.hierarchical


def test_deleting_and_renaming_folders(tmp_path):
    store = StorageAccounts(tmp_path / "storage", Vault()).create("acct").blobs
    for box in ("box", "other"):
        containers.create(store, box)
    put(store, "d/e/f", b"data", Properties(metadata={"a": "b"}, content_type="x/y"))
    store.make_folder("box", "d/e", Properties(metadata={"folder": "1"}))
    before = store.require("box", "d/e/f")
    rename(store, ("box", "d"), ("box", "moved"))
    after = store.require("box", "moved/e/f")
    assert (after.etag, after.properties) == (before.etag, before.properties)
    assert store.require("box", "moved/e").properties.metadata == {"folder": "1"}
    rename(store, ("box", "moved"), ("other", "there"))
    assert store.require("other", "there/e/f").properties == before.properties
    assert store.require("other", "there/e").properties.metadata == {"folder": "1"}
    assert code_of(lambda: rename(store, ("other", "there"), ("other", "there/in"))) == "InvalidRenameSourcePath"
    assert code_of(lambda: rename(store, ("other", "nothing"), ("other", "x"))) == "SourcePathNotFound"
    assert code_of(lambda: store.delete("other", "there")) == "DirectoryNotEmpty"
    store.delete("other", "there", recursive=True)
    assert store.get("other", "there") is None and records(store, "other") == [] and leavings(store) == []


def test_events_of_blobs_feed_the_trigger(store):
    account = store.folder
    events.listen(account)
    put(store, "d/a", b"1")
    blocks.commit(store, "box", "b", [], Properties())
    store.change("box", "b", lambda old: old)
    store.delete("box", "d/a")
    noted = [(note.kind, note.paths) for note in events.noted(account)]
    assert noted == [("created", ("d/a",)), ("created", ("b",)), ("deleted", ("d/a",))]


@pytest.mark.parametrize(
    "path",
    [
        "a",
        "a/b",
        "x" * 255,
        "x" * 256,
        "ü" * 300 + "/" + "y" * 700,
        "a//b",
        "a/",
        "/a",
        ".",
        "..",
        "a/../b",
        ".kyanite~a",
        ".kyanite+a",
        ".kyanite=a",
        ".hidden",
        "…",
        "a" * 247,
        "a" * 246,
    ],
)
def test_names_are_stored_so_that_they_come_back(path):
    stored = names.stored_parts(path)
    assert names.read_parts(stored) == path
    assert all(part not in ("", ".", "..") and "/" not in part and len(part.encode()) <= 255 for part in stored)


def test_the_files_of_many_blocks_go_when_the_commit_is_done(store, monkeypatch):
    ids = [base64.b64encode(f"{number:04}".encode()).decode() for number in range(150)]
    for each in ids:
        with store.stage() as staged:
            staged.write(each.encode())
            blocks.stage_block(store, "box", "b", each, staged)
    begun, real = threading.Event(), blocks.staging.remove
    monkeypatch.setattr(blocks.staging, "remove", lambda *where: begun.wait(20) and real(*where))
    blocks.commit(store, "box", "b", [("Latest", each) for each in ids], Properties())
    assert read(store, "b") == "".join(ids).encode()
    assert blocks.uncommitted(store, "box", "b") == [] and len(leavings(store)) == 1
    begun.set()
    for thread in threading.enumerate():
        if thread.name == "kyanite-blocks":
            thread.join(20)
    assert leavings(store) == []


def test_a_list_that_is_committed_again_copies_nothing(store):
    ids = ["YTAx", "YTAy"]
    for each in ids:
        with store.stage() as staged:
            staged.write(each.encode())
            blocks.stage_block(store, "box", "b", each, staged)
    latest = [("Latest", each) for each in ids]
    first = blocks.commit(store, "box", "b", latest, Properties(metadata={"a": "1"}))
    again = blocks.commit(store, "box", "b", latest, Properties(metadata={"a": "2"}))
    assert again.inode == first.inode and again.etag != first.etag
    assert store.require("box", "b") == again and again.properties.metadata == {"a": "2"}
    assert read(store, "b") == b"YTAxYTAy" and blocks.committed(store, again) == [(each, 4) for each in ids]
    stale = Conditions(if_match=first.etag)
    assert code_of(lambda: blocks.commit(store, "box", "b", latest, Properties(), stale)) == "ConditionNotMet"
    other = blocks.commit(store, "box", "b", latest[::-1], Properties())
    assert read(store, "b") == b"YTAyYTAx" and other.inode != first.inode
    assert len(records(store)) == 2 and leavings(store) == []


def test_a_flat_account_keeps_every_name_apart(tmp_path):
    store = StorageAccounts(tmp_path / "storage", Vault()).create("acct", hierarchical=False).blobs
    containers.create(store, "box")
    wanted = [
        "a",
        "a/",
        "a//b",
        "a/b",
        "a/b/c",
        "..",
        "../x",
        ".",
        "./a",
        "/a",
        "x" * 300,
        "x" * 300 + "/y",
        "x" * 301,
        ".kyanite~a",
        ".kyanite=a",
    ]
    for name in wanted:
        put(store, name, name.encode())
    for name in wanted:
        assert read(store, name) == name.encode()
    assert [blob.path for blob in listing.walk(store, "box")] == sorted(wanted)
    for after in sorted(wanted):
        rest = [blob.path for blob in listing.walk(store, "box", after=after)]
        assert rest == [name for name in sorted(wanted) if name > after]
    for name in wanted:
        store.delete("box", name)
    assert list(listing.walk(store, "box")) == [] and list((store.folder / "box").iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["storage"]


def test_prefixes(store):
    for name in ("a/1", "a/2", "ab/3", "b"):
        put(store, name)
    for prefix, expected in (("a", ["a/1", "a/2", "ab/3"]), ("a/", ["a/1", "a/2"]), ("a/2", ["a/2"]), ("c", [])):
        assert [blob.path for blob in listing.walk(store, "box", prefix=prefix, folders=False)] == expected
    shown = [item.path for item in listing.level(store, "box", prefix="a")]
    assert shown == ["a/", "ab/"]


def calm(store):
    """Nothing happened in the folders of late."""
    for folder, _, _ in os.walk(store.folder / "box"):
        os.utime(folder, (1e9, 1e9))


def test_old_records_without_a_file_are_swept(store, monkeypatch):
    monkeypatch.setattr("kyanite.storage.properties.RECORDS_SWEPT_AT_ONCE", 2)
    for number in range(5):
        put(store, f"gone{number}", b"1")
        (store.folder / "box" / f"gone{number}").unlink()
    for name in ("b", "folder/c", "folder/below/d"):
        put(store, name, b"1")
    kept = sorted(f"{store.require('box', name).modified_ns:x}-1" for name in ("b", "folder/c", "folder/below/d"))
    assert sweep_records(store, "box", 0) == sweep_records(store, "box", 2**62) == 0
    calm(store)
    assert sweep_records(store, "box", 2**62) == 5
    assert records(store) == kept


def test_records_are_kept_while_files_move(store, monkeypatch):
    put(store, "one/file", b"1")
    put(store, "two/file", b"1")
    (store.folder / "box" / "one" / "file").unlink()
    before = records(store)
    scandir = os.scandir

    def meanwhile(folder):
        if str(folder).endswith("two") and not (store.folder / "box" / "three").exists():
            (store.folder / "box" / "two" / "file").rename(store.folder / "box" / "three")
        return scandir(folder)

    calm(store)
    monkeypatch.setattr(os, "scandir", meanwhile)
    assert sweep_records(store, "box", 2**62) == 0
    assert records(store) == before
    calm(store)
    assert sweep_records(store, "box", 2**62) == 1


@pytest.mark.parametrize(
    ("address", "refused"),
    [
        ("169.254.169.254", True),
        ("fe80::1", True),
        ("fe80::1%eth0", True),
        ("::ffff:169.254.169.254", True),
        ("0.0.0.0", True),
        ("::", True),
        ("168.63.129.16", True),
        ("224.0.0.1", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("93.184.216.34", False),
    ],
)
def test_addresses_that_no_copy_reads_from(address, refused):
    assert is_refused(address) is refused
