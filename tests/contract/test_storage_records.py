"""The small database of an account's records, when many threads want it first."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kyanite.storage import properties
from kyanite.storage.record_store import RecordStore, record_store


def test_threads_that_open_it_at_once_share_it(tmp_path: Path) -> None:
    problems: list[BaseException] = []
    for number in range(20):
        account = str(tmp_path / f"account{number}")
        together = threading.Barrier(8)

        def write(name: int, account: str = account, together: threading.Barrier = together) -> None:
            together.wait()
            try:
                for key in range(3):
                    record_store(account).put("c", f"{name}-{key}", "text")
            except BaseException as problem:  # noqa: BLE001 - told below, by the test's own thread
                problems.append(problem)

        threads = [threading.Thread(target=write, args=(name,)) for name in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert problems == []
        assert len(record_store(account).keys("c")) == 24


PROGRAM = """
import sys
from kyanite.storage.record_store import record_store
store = record_store(sys.argv[1])
for number in range(int(sys.argv[2])):
    store.add("c", f"key{number:03}", f"text{number}")
print("written", flush=True)
if sys.stdin.readline():
    for number in range(int(sys.argv[2])):
        store.put("c", f"key{number:03}", "newer")
    print("written", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def writer(account: Path, count: int) -> Iterator[subprocess.Popen[str]]:
    """Another process that has added so many rows; a line makes it replace them, an end makes it end."""
    command = [sys.executable, "-c", PROGRAM, str(account), str(count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        try:
            yield process
        finally:
            process.kill()


def opened(account: Path) -> RecordStore:
    return RecordStore(f"{account}/.properties/records.db")


def journals(account: Path) -> list[str]:
    return [each.name for each in (account / ".properties").glob("*.journal")]


def test_what_another_process_has_just_added_is_seen(tmp_path: Path) -> None:
    store = opened(tmp_path)
    with writer(tmp_path, 300) as process:
        assert [store.get("c", f"key{number:03}") for number in (0, 255, 256, 299)] == [
            "text0",
            "text255",
            "text256",
            "text299",
        ]
        assert store.get("c", "key300") is None
        seen = [*store.unwritten("c"), *(text for _, text in store.bodies("c", "text29"))]
        expected = ["text29", *(f"text29{number}" for number in range(10))]
        assert sorted(text for text in seen if "text29" in text) == expected
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        assert store.get("c", "key299") == "newer"
    store.close()


def test_what_a_killed_process_added_is_taken_over(tmp_path: Path) -> None:
    with writer(tmp_path, 10) as process:
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        (left,) = journals(tmp_path)
        with (tmp_path / ".properties" / left).open("ab") as file:
            file.write(b"c\ttorn\t17\tte")
    before = opened(tmp_path)
    assert journals(tmp_path) == []
    assert before.keys("c") == [f"key{number:03}" for number in range(10)]
    before.close()


def test_what_is_newer_than_a_journal_stays(tmp_path: Path) -> None:
    with writer(tmp_path, 1) as process:
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        (left,) = journals(tmp_path)
        text = (tmp_path / ".properties" / left).read_bytes()
        with_newer = opened(tmp_path)
        with_newer.put("c", "key000", "newer")
        (tmp_path / ".properties" / left).write_bytes(text)
    again = opened(tmp_path)
    assert again.get("c", "key000") == "newer"
    with_newer.close()
    again.close()


def test_what_another_process_has_replaced_meanwhile_stays(tmp_path: Path) -> None:
    store = opened(tmp_path)
    with writer(tmp_path, 3) as process:
        store.put("c", "key001", "newer")
        assert process.stdin is not None
        process.stdin.close()  # it moves what it has into the database
        assert process.wait(10) == 0
    assert [store.get("c", f"key{number:03}") for number in range(3)] == ["text0", "newer", "text2"]
    store.close()


def test_what_was_dropped_can_be_added_again(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.put("c", "key", "old")
    store.drop("c", "key")
    store.add("c", "key", "new")
    assert store.get("c", "key") == "new"
    store.close()
    again = opened(tmp_path)
    assert again.get("c", "key") == "new"
    again.close()


def test_a_process_that_ends_leaves_no_journal(tmp_path: Path) -> None:
    with writer(tmp_path, 3) as process:
        assert len(journals(tmp_path)) == 1
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(10) == 0
    assert journals(tmp_path) == []
    store = opened(tmp_path)
    assert len(store.keys("c")) == 3
    store.close()


def test_what_is_dropped_stays_so_whenever_it_was_added(tmp_path: Path) -> None:
    store = opened(tmp_path)
    for number in range(300):
        store.add("c", f"key{number:03}", "text")
    for number in range(100, 300):
        store.drop("c", f"key{number:03}")
    store.add("d", "other", "text")
    store.drop_container("d")
    assert store.get("c", "key299") is None
    assert store.get("c", "key099") == "text"
    assert store.keys("c") == [f"key{number:03}" for number in range(100)]
    assert store.keys("d") == []
    store.close()
    again = opened(tmp_path)
    assert len(again.keys("c")) == 100
    again.close()


def test_a_full_disk_keeps_what_was_there(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.add("c", "one", "text")
    written = os.write
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "write", lambda fd, data: written(fd, data[:5]))
        with pytest.raises(OSError, match="No space left"):
            store.add("c", "two", "text")
    store.add("c", "three", "text")
    assert store.get("c", "two") is None
    other = opened(tmp_path)
    assert other.get("c", "three") == "text"
    other.close()
    store.close()


def test_records_read_together_are_all_there_when_the_cache_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(properties, "PROPERTIES_CACHED", 10)
    monkeypatch.setattr(properties.Records, "_cache", OrderedDict())
    records = properties.Records(tmp_path, "c")
    for number in range(16):
        records.add(f"{number:x}-1", properties.Properties(metadata={"number": str(number)}))
    found = records.read_all([f"{number:x}-1" for number in (*range(6, 16), *range(6))])
    assert [record and record.metadata["number"] for record in found] == [str(n) for n in (*range(6, 16), *range(6))]
    properties.record_store(str(tmp_path)).close()
