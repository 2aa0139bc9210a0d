"""Writers of parts where systems and stores do not do what they usually do."""

from __future__ import annotations

import errno
import json
import mmap
import os
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import kyanite.movement.split_processes as split_processes
from kyanite.connections.local_folder import LocalFolder
from kyanite.errors import DataError, StorageError
from kyanite.movement.split import split
from kyanite.movement.split_processes import StagedParts
from kyanite.movement.split_writer import Checksum, Finisher, PartWriter
from kyanite.storage import FileWriter


@pytest.fixture
def source(tmp_path):
    table = pa.table({"n": range(60_000), "t": [f"text {n * 7919 % 9973}" for n in range(60_000)]})
    pq.write_table(table, tmp_path / "in.parquet", row_group_size=5_000, compression="none", use_dictionary=False)
    return tmp_path / "in.parquet"


def rows(folder):
    return [n for part in sorted(folder.glob("*.parquet")) for n in pq.read_table(part).column("n").to_pylist()]


def writer_at(path):
    done = []
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    return FileWriter(descriptor, "part", lambda: done.append("published"), lambda: done.append("dropped")), done


@pytest.mark.parametrize("answer", [0, errno.EXDEV, errno.EOPNOTSUPP])
def test_a_system_that_copies_nothing(tmp_path, source, monkeypatch, answer):
    asked = []

    def copy(*_):
        asked.append(1)
        if answer:
            raise OSError(answer, "no")
        return 0

    monkeypatch.setattr(os, "copy_file_range", copy, raising=False)
    split(source, tmp_path / "out", max_size="200kB")
    assert asked
    assert rows(tmp_path / "out") == list(range(60_000))


def test_a_system_that_copies_a_little_at_a_time(tmp_path, source, monkeypatch):
    real, turns = getattr(os, "copy_file_range", None), []
    if real is None:
        pytest.skip("the system has no copy_file_range")

    def copy(descriptor, other, size, start):
        turns.append(size)
        return real(descriptor, other, min(size, 10_007), start) if len(turns) % 3 else 0

    monkeypatch.setattr(os, "copy_file_range", copy)
    split(source, tmp_path / "out", max_size="200kB")
    assert rows(tmp_path / "out") == list(range(60_000))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_disk_that_fails_while_the_system_copies(tmp_path, source, monkeypatch, number):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "copy_file_range", fail, raising=False)
    with pytest.raises(StorageError):
        split(source, tmp_path / "out", max_size="200kB")
    assert [one.name for one in tmp_path.iterdir()] == ["in.parquet"]


@pytest.mark.parametrize("error", [OSError(errno.ENODEV, "no maps"), ValueError("length is greater than file size")])
def test_files_that_cannot_be_mapped_are_read(tmp_path, source, monkeypatch, error):
    split(source, tmp_path / "mapped", max_size="200kB")

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(mmap, "mmap", fail)
    split(source, tmp_path / "read", max_size="200kB")
    read, mapped = (json.loads((tmp_path / name / "_kyanite_split.json").read_text()) for name in ("read", "mapped"))
    assert read["parts"] == mapped["parts"]


def test_a_part_that_somebody_shortens_is_an_error(tmp_path):
    writer, done = writer_at(tmp_path / "part")
    writer.write(b"x" * 20_000)
    writer.flush()
    os.truncate(tmp_path / "part", 5_000)
    with Finisher() as finisher:
        PartWriter(writer, Checksum("fast"), done.append, finisher, readable=True).commit()
        with pytest.raises(StorageError, match="shorter"):
            finisher.wait()
    assert done == ["dropped"]


def test_a_part_is_dropped_only_when_nobody_works_on_it(tmp_path, monkeypatch):
    """The checksum fails while the disk is still at it."""
    writer, done = writer_at(tmp_path / "part")
    going, order = threading.Event(), []

    def sync():
        going.wait(20)
        order.append("synced")

    def pieces():
        going.set()
        raise StorageError("The file cannot be read.")

    monkeypatch.setattr(writer, "sync", sync)
    monkeypatch.setattr(writer, "pieces", pieces)
    monkeypatch.setattr(writer, "abort", lambda: order.append("aborted"))
    with Finisher() as finisher:
        PartWriter(writer, Checksum("fast"), done.append, finisher, readable=True).commit()
        with pytest.raises(StorageError):
            finisher.wait()
    assert (order, done) == (["synced", "aborted"], [])
    monkeypatch.undo()
    writer.abort()


def test_an_error_of_the_disk_is_told_by_a_later_part(tmp_path, monkeypatch):
    """A part is complete in the background: its error must not get lost, and the parts behind it are dropped."""
    finished = []
    writers = [writer_at(tmp_path / f"part{number}") for number in range(5)]

    def fail():
        raise StorageError("The disk is full.", code="DiskFull")

    monkeypatch.setattr(writers[1][0], "sync", fail)
    with pytest.raises(StorageError) as caught, Finisher() as finisher:
        for writer, _ in writers:
            part = PartWriter(writer, Checksum("fast"), finished.append, finisher, readable=True)
            part.write(b"some bytes")
            part.commit()
        finisher.wait()
    assert caught.value.error_code == "DiskFull"
    assert writers[1][1] == ["dropped"]
    for writer, _ in writers:
        writer.abort()


@pytest.mark.parametrize("call", ["open", "unlink"])
def test_a_part_that_cannot_be_opened_in_a_process_is_our_error(tmp_path, monkeypatch, call):
    def fail(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(split_processes.os if call == "open" else split_processes.Path, call, fail)
    with pytest.raises(StorageError) as caught:
        StagedParts(str(tmp_path), 0o600, "fast")("part")
    assert caught.value.error_code == "DiskFull"


def test_without_proc_the_parts_are_written_by_threads(tmp_path, source, monkeypatch):
    monkeypatch.setattr(split_processes, "path_of", lambda _: None)
    monkeypatch.setattr("kyanite.storage.file_set.path_of", lambda _: None)
    result = split(source, tmp_path / "out", max_size="200kB", workers=2)
    assert result.rows_out == 60_000
    assert rows(tmp_path / "out") == list(range(60_000))


@pytest.mark.parametrize("workers", [1, 2])
def test_folders_and_files_behind_links(tmp_path, source, workers):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real", target_is_directory=True)
    (tmp_path / "in-link.parquet").symlink_to(source)
    split(tmp_path / "in-link.parquet", tmp_path / "link", max_size="200kB", workers=workers)
    split(tmp_path / "in-link.parquet", tmp_path / "link", max_size="300kB", workers=workers, overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert rows(tmp_path / "real") == list(range(60_000))
    assert sorted(one.name for one in tmp_path.iterdir()) == ["in-link.parquet", "in.parquet", "link", "real"]


def test_an_input_that_ends_early_while_it_is_copied(tmp_path, source, monkeypatch):
    """It was whole when it was planned."""
    real = os.copy_file_range if hasattr(os, "copy_file_range") else None
    if real is None:
        pytest.skip("the system has no copy_file_range")

    def shorten(*arguments):
        os.truncate(source, 100_000)
        return real(*arguments)

    monkeypatch.setattr(os, "copy_file_range", shorten)
    with pytest.raises((DataError, StorageError)):
        split(source, tmp_path / "out", max_size="200kB")
    assert [one.name for one in tmp_path.iterdir()] == ["in.parquet"]


def test_a_set_adopts_only_files_that_are_there(tmp_path):
    with LocalFolder(tmp_path).open_set("out", lambda _: True) as files:
        with pytest.raises(StorageError):
            files.adopt("part")
        Path(files.folder_path(), "part").touch()
        files.adopt("part")
        files.adopt("part")
        assert files.names == ["part"]
        files.commit()
    assert (tmp_path / "out" / "part").exists()


def test_parts_have_the_same_permissions_whoever_writes_them(tmp_path, source):
    modes = []
    for workers in (1, 2):
        split(source, tmp_path / f"out{workers}", max_size="200kB", workers=workers)
        modes.append({one.stat().st_mode for one in (tmp_path / f"out{workers}").glob("*.parquet")})
    (tmp_path / "plain").touch()
    assert modes == [{(tmp_path / "plain").stat().st_mode}] * 2
