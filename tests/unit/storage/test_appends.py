"""Bytes appended and not flushed yet: what counts, what a killed process leaves, what a flush takes."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kyanite.errors import StorageError
from kyanite.storage.appends import Appends, Moved, sweep_appends


def append(appends: Appends, position: int, content: bytes) -> None:
    piece = appends.begin(position)
    piece.write(content)
    piece.finish()


def flush(appends: Appends, committed: int, end: int, *, keep_rest: bool = False) -> bytes:
    """What the flush gives from `committed` on."""
    with appends.flushing(committed, end, keep_rest=keep_rest) as staged:
        if staged is None:
            return b""
        content = staged.read_bytes()
        staged.unlink()  # as if it had moved away
        return content[committed:]


@given(st.permutations(range(6)), st.integers(0, 3), st.booleans())
def test_pieces_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], committed: int, again: bool
) -> None:
    appends = Appends(tmp_path_factory.mktemp("account"), "key", "where")
    pieces = {number: bytes([number]) * (number + 1) for number in order}
    starts = {number: committed + sum(len(pieces[before]) for before in range(number)) for number in order}
    for number in [*order, *(order[:2] if again else [])]:
        append(appends, starts[number], pieces[number])
    whole = b"".join(pieces[number] for number in sorted(order))
    assert flush(appends, committed, committed + len(whole)) == whole
    assert flush(appends, committed + len(whole), committed + len(whole)) == b""


def test_a_gap(tmp_path: Path) -> None:
    appends = Appends(tmp_path, "key", "where")
    append(appends, 0, b"abc")
    append(appends, 5, b"x")
    for end in (4, 6, 7):
        with pytest.raises(StorageError) as caught, appends.flushing(0, end, keep_rest=False):
            pass
        assert caught.value.error_code == "InvalidFlushPosition"
    assert flush(appends, 0, 3) == b"abc"


def test_a_piece_counts_only_as_a_whole(tmp_path: Path) -> None:
    appends = Appends(tmp_path, "key", "where")
    append(appends, 0, b"abc")
    cut_off = appends.begin(3)
    cut_off.write(b"def")
    cut_off.close()
    with (tmp_path / ".appends" / "key" / "ranges").open("ab") as file:
        file.write(b"3 3")  # the process was killed before the end of the line
    with pytest.raises(StorageError), appends.flushing(0, 6, keep_rest=False):
        pass
    assert flush(appends, 0, 3) == b"abc"


def test_what_is_kept_survives_a_kill_after_the_file_moved(tmp_path: Path) -> None:
    appends = Appends(tmp_path, "key", "where")
    append(appends, 0, b"abcdef")
    with pytest.raises(KeyboardInterrupt), appends.flushing(0, 2, keep_rest=True) as staged:
        assert staged.read_bytes() == b"ab"
        staged.unlink()
        raise KeyboardInterrupt
    append(appends, 6, b"g")
    assert flush(appends, 2, 7) == b"cdefg"


def test_what_is_kept_goes_to_the_next_version(tmp_path: Path) -> None:
    appends = Appends(tmp_path, "old", "where")
    append(appends, 0, b"abcdef")
    assert flush(appends, 0, 2, keep_rest=True) == b"ab"
    appends.move("new")
    assert flush(Appends(tmp_path, "new", "where"), 2, 6) == b"cdef"
    assert not list((tmp_path / ".appends").iterdir())


def test_an_append_that_waited_for_a_flush_looks_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    appends = Appends(tmp_path, "key", "where")
    append(appends, 0, b"a")
    lock = fcntl.flock

    def lock_late(fd: int, kind: int) -> None:
        monkeypatch.undo()
        assert flush(appends, 0, 1) == b"a"
        lock(fd, kind)

    monkeypatch.setattr(fcntl, "flock", lock_late)
    with pytest.raises(Moved):
        appends.begin(1)


def test_old_ones_are_swept(tmp_path: Path) -> None:
    append(Appends(tmp_path, "old", "where"), 0, b"a")
    append(Appends(tmp_path, "new", "where"), 0, b"a")
    for place in (tmp_path / ".appends" / "old", tmp_path / ".appends" / "old" / "ranges"):
        os.utime(place, (1, 1))
    assert sweep_appends(tmp_path) == 1
    assert [each.name for each in (tmp_path / ".appends").iterdir()] == ["new"]
