"""What a file being written can do besides taking bytes: copy in the system, show its bytes, reach the disk early."""

import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from kyanite.errors import StorageError
from kyanite.storage import file_writer
from kyanite.storage.file_writer import LATER_BYTES, MAPPED_BYTES, FileWriter


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "out"
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    writer = FileWriter(fd, "out", lambda: None, path.unlink)
    yield path, writer
    writer.abort()


def test_ranges_are_copied_behind_what_was_written(written, tmp_path):
    path, writer = written
    (tmp_path / "in").write_bytes(bytes(range(256)) * 1_000)
    writer.write(b"head")
    with (tmp_path / "in").open("rb") as file:
        assert writer.copy_from(file.fileno(), 1_000, 500) == 500
        assert writer.copy_from(file.fileno(), 256_000, 500) == 0
    writer.write(b"tail")
    assert writer.tell() == 508
    writer.commit()
    assert path.read_bytes() == b"head" + (bytes(range(256)) * 1_000)[1_000:1_500] + b"tail"


def test_what_cannot_be_copied_in_the_system_is_left_to_the_caller(written):
    _, writer = written
    read, write = os.pipe()
    try:
        assert writer.copy_from(read, 0, 10) == -1
    finally:
        os.close(read)
        os.close(write)
    writer.write(b"still open")
    assert writer.tell() == 10


def test_a_full_disk_aborts(written, monkeypatch):
    path, writer = written

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "copy_file_range", full)
    with pytest.raises(StorageError) as error:
        writer.copy_from(0, 0, 10)
    assert error.value.error_code == "DiskFull"
    assert not path.exists()


def test_pieces_are_all_that_was_written(written):
    _, writer = written
    data = os.urandom(MAPPED_BYTES + 1_234)
    writer.write(data[:10])
    writer.write(data[10:])
    assert b"".join(bytes(piece) for piece in writer.pieces()) == data
    writer.sync()
    assert not writer.closed


class Held:
    """copy_file_range that begins when it is let go, and may fail."""

    def __init__(self, monkeypatch, answer=None):
        self.go = threading.Event()
        self.begun = threading.Event()
        self.answer = answer
        self.real = os.copy_file_range
        monkeypatch.setattr(os, "copy_file_range", self)

    def __call__(self, *arguments):
        self.begun.set()
        assert self.go.wait(10)
        if isinstance(self.answer, OSError):
            raise self.answer
        return self.real(*arguments) if self.answer is None else self.answer


@pytest.fixture
def source(tmp_path):
    (tmp_path / "in").write_bytes(os.urandom(LATER_BYTES + 1_000))
    with (tmp_path / "in").open("rb") as file:
        yield file


@pytest.fixture
def later():
    with ThreadPoolExecutor(1) as executor:
        yield executor


@pytest.mark.parametrize("answer", [None, 0, OSError(errno.EXDEV, "other file system")])
def test_what_is_copied_later_is_written_around(written, source, later, monkeypatch, answer):
    path, writer = written
    held = Held(monkeypatch, answer)
    writer.write(b"head")
    assert writer.copy_from(source.fileno(), 1_000, LATER_BYTES, later) == LATER_BYTES
    source.close()
    writer.write(b"tail")
    assert writer.tell() == LATER_BYTES + 8
    with writer.read_back() as back:  # what stands around it is not waited for
        back.seek(LATER_BYTES + 4)
        assert back.read(4) == b"tail"
    held.go.set()
    writer.commit()
    assert path.read_bytes() == b"head" + (path.parent / "in").read_bytes()[1_000:] + b"tail"


def test_what_is_still_to_come_is_read_when_it_is_there(written, source, later, monkeypatch):
    _, writer = written
    held = Held(monkeypatch)
    writer.copy_from(source.fileno(), 0, LATER_BYTES, later)
    held.go.set()
    with writer.read_back() as back:
        assert back.read() == source.read(LATER_BYTES)


def test_a_file_that_ends_before_is_not_promised(written, source, later):
    _, writer = written
    assert writer.copy_from(source.fileno(), 2_000, LATER_BYTES, later) == LATER_BYTES - 1_000
    assert writer.tell() == LATER_BYTES - 1_000


def test_a_file_that_became_shorter_is_an_error(written, source, later, monkeypatch):
    path, writer = written
    held = Held(monkeypatch)
    writer.copy_from(source.fileno(), 0, LATER_BYTES, later)
    assert held.begun.wait(10)
    os.truncate(source.name, 5_000)
    held.go.set()
    with pytest.raises(StorageError, match="became shorter"):
        writer.commit()
    assert not path.exists()


@pytest.mark.parametrize("ask", ["sync", "commit", "pieces"])
def test_a_disk_that_becomes_full_later_is_told(written, source, later, monkeypatch, ask):
    path, writer = written
    held = Held(monkeypatch, OSError(errno.ENOSPC, "No space left on device"))
    writer.copy_from(source.fileno(), 0, LATER_BYTES, later)
    held.go.set()
    with pytest.raises(StorageError) as error:
        list(getattr(writer, ask)() or ())
    assert error.value.error_code == "DiskFull"
    writer.abort()
    assert not path.exists()


def test_an_abort_waits_for_what_is_being_copied(written, source, later, monkeypatch):
    path, writer = written
    held = Held(monkeypatch)
    for _ in range(3):
        writer.copy_from(source.fileno(), 0, LATER_BYTES, later)
    assert held.begun.wait(10)
    aborting = threading.Thread(target=writer.abort)
    aborting.start()
    aborting.join(0.05)
    assert aborting.is_alive()
    held.go.set()
    aborting.join(10)
    assert not path.exists()


class TestAppendMapped:
    """Bytes of another file, written from the memory that it is mapped to."""

    @pytest.fixture
    def source(self, tmp_path):
        path = tmp_path / "source"
        path.write_bytes(os.urandom(50_000))
        with path.open("r+b") as file:
            yield file, path.read_bytes()

    def test_every_byte_is_written_and_handed_on(self, written, source, monkeypatch):
        monkeypatch.setattr(file_writer, "MAPPED_BYTES", 8_192)
        monkeypatch.setattr(file_writer, "PIECE_BYTES", 4_096)
        file, data = source
        path, writer = written
        writer.write(b"before")
        pieces = []
        assert writer.append_mapped(file.fileno(), 5_001, 40_000, lambda piece: pieces.append(bytes(piece))) == 40_000
        writer.write(b"after")
        writer.commit()
        assert b"".join(pieces) == data[5_001:45_001]
        assert path.read_bytes() == b"before" + data[5_001:45_001] + b"after"

    def test_a_file_that_ends_before_is_told_by_the_count(self, written, source):
        file, _ = source
        _, writer = written
        assert writer.append_mapped(file.fileno(), 49_000, 2_000, bytes) < 2_000
        assert not writer.closed

    def test_bytes_that_are_cut_off_meanwhile_are_not_written(self, written, source, monkeypatch):
        monkeypatch.setattr(file_writer, "PIECE_BYTES", 4_096)
        file, data = source
        path, writer = written
        done = writer.append_mapped(file.fileno(), 0, 50_000, lambda piece: file.truncate(8_192))
        assert done == writer.tell() == 8_192
        writer.commit()
        assert path.read_bytes() == data[:8_192]

    def test_what_cannot_be_mapped_is_not_written(self, written):
        _, writer = written
        reading, writing = os.pipe()
        try:
            assert writer.append_mapped(reading, 0, 10, bytes) == 0
        finally:
            os.close(reading)
            os.close(writing)
        assert not writer.closed

    def test_a_full_disk_aborts(self, written, source, monkeypatch):
        def full(*_):
            raise OSError(28, "No space left on device")

        path, writer = written
        monkeypatch.setattr(os, "write", full)
        with pytest.raises(StorageError) as error:
            writer.append_mapped(source[0].fileno(), 0, 10, bytes)
        assert error.value.error_code == "DiskFull"
        assert not path.exists()
