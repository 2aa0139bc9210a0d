"""Paths of task folders: nothing gets out, whatever a task puts there."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kyanite.batch.files import list_folder, read_range, remove_folder, split_path, written_file
from kyanite.errors import BatchError

BAD = ["", "/", "/etc/passwd", "..", "../x", "a/../x", "a/..", ".", "./a", "a//b", "a/", "a\\b", "a\0b", "x" * 256]


@pytest.fixture
def root(tmp_path):
    (tmp_path / "outside.txt").write_text("outside")
    folder = tmp_path / "task"
    (folder / "wd").mkdir(parents=True)
    (folder / "stdout.txt").write_text("0123456789")
    return folder


@pytest.mark.parametrize("path", BAD)
def test_bad_paths_are_refused(path):
    with pytest.raises(BatchError, match="not a path below"):
        split_path(path)


@given(st.lists(st.sampled_from(["..", ".", "a", "", "wd", "\0", "%2e%2e", "~", " "]), max_size=6).map("/".join))
def test_what_is_accepted_never_climbs(path):
    try:
        parts = split_path(path)
    except BatchError:
        return
    assert os.path.normpath(path) == path
    assert not path.startswith("/")
    assert ".." not in parts


def test_reading_by_range(root):
    assert read_range(root, ("stdout.txt",), 3, 4) == b"3456"
    assert read_range(root, ("stdout.txt",), 8, 100) == b"89"
    with pytest.raises(BatchError):
        read_range(root, ("stdout.txt",), -1, 4)


def test_links_pipes_and_folders_are_not_read(root, tmp_path):
    (root / "link").symlink_to(tmp_path / "outside.txt")
    (root / "folder").symlink_to(tmp_path)
    os.mkfifo(root / "pipe")
    for parts in [("link",), ("folder", "outside.txt"), ("pipe",), ("wd",), ("none",), ("stdout.txt", "x")]:
        with pytest.raises(BatchError) as caught:
            read_range(root, parts, 0, None)
        assert caught.value.error_code == "FileNotFound"


def test_listing_leaves_links_out_and_does_not_follow_them(root, tmp_path):
    (root / "wd/link").symlink_to(tmp_path)
    (root / "wd/a").mkdir()
    (root / "wd/a/b.txt").write_text("xyz")
    entries = list_folder(root, (), recursive=True)
    assert [(entry.name, entry.is_folder, entry.size) for entry in entries] == [
        ("stdout.txt", False, 10),
        ("wd", True, 0),
        ("wd/a", True, 0),
        ("wd/a/b.txt", False, 3),
    ]
    assert [entry.name for entry in list_folder(root, (), recursive=False)] == ["stdout.txt", "wd"]
    assert list_folder(root, ("wd", "link"), recursive=True) == []


def test_a_written_file_appears_whole_or_not_at_all(root):
    with written_file(root, ("wd", "deep", "x"), 0o640) as out:
        out.write(b"done")
        assert not (root / "wd/deep/x").exists()
    assert (root / "wd/deep/x").read_bytes() == b"done"
    assert (root / "wd/deep/x").stat().st_mode & 0o777 == 0o640
    with pytest.raises(RuntimeError), written_file(root, ("wd", "y"), 0o640) as out:
        out.write(b"half")
        raise RuntimeError
    assert [path.name for path in (root / "wd").iterdir()] == ["deep"]


def test_writing_does_not_follow_links(root, tmp_path):
    (root / "wd/link").symlink_to(tmp_path)
    with pytest.raises(OSError, match=r"."), written_file(root, ("wd", "link", "outside.txt"), 0o600) as out:
        out.write(b"overwritten")
    (root / "wd/file").symlink_to(tmp_path / "outside.txt")
    with written_file(root, ("wd", "file"), 0o600) as out:
        out.write(b"the link was replaced")
    assert (tmp_path / "outside.txt").read_text() == "outside"


def test_removing_does_not_follow_links(root, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "kept").touch()
    (root / "wd/link").symlink_to(other)
    (root / "top").symlink_to(other)
    remove_folder(root, ("top",))
    remove_folder(root, ("wd",))
    remove_folder(root, ("never", "there"))
    assert (other / "kept").exists()
    assert sorted(path.name for path in root.iterdir()) == ["stdout.txt"]
