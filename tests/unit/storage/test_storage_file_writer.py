"""What a file being written can do besides taking bytes: copy in the system, show its bytes, reach the disk early."""

import os

import pytest

from kyanite.errors import StorageError
from kyanite.storage.file_writer import MAPPED_BYTES, FileWriter


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
