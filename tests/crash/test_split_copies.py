"""Parts written by copies of the process: the same bytes as by one, errors told, nothing left, whoever is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kyanite.movement.split import split

SCRIPT = """
import json, os, sys, threading
import kyanite
import kyanite.movement.split_run as runs
import kyanite.parquet.copies as copies
{before}
runs.LARGE_BYTES = 0  # of inputs that copies are made for
made = []
real = copies.os.fork
def fork():
    made.append(real())
    return made[-1]
copies.os.fork = fork
try:
    result = kyanite.split(sys.argv[1], sys.argv[2], **json.loads(sys.argv[3]))
    told = [[part.name, part.rows, part.bytes, part.checksum] for part in result.parts]
except kyanite.errors.KyaniteError as error:
    told = str(error)
children = sum(len(open(f"/proc/self/task/{{task}}/children").read().split()) for task in os.listdir("/proc/self/task"))
print(json.dumps([len(made), children, told]))
"""
END_SECONDS = 20


@pytest.fixture
def source(tmp_path: Path) -> Path:
    texts = [f"text {n * 7919 % 9973}" if n % 11 else None for n in range(40_000)]
    table = pa.table({"n": range(40_000), "t": texts, "f": [n / 7 for n in range(40_000)]})
    pq.write_table(table, tmp_path / "in.parquet", row_group_size=10_000, data_page_size=4_000, write_batch_size=256)
    return tmp_path / "in.parquet"


def started(tmp_path: Path, source: Path, before: str = "", **options: Any) -> subprocess.Popen[str]:
    (tmp_path / "script.py").write_text(SCRIPT.format(before=before))
    command = [sys.executable, str(tmp_path / "script.py"), str(source), str(tmp_path / "out"), json.dumps(options)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def told(process: subprocess.Popen[str]) -> tuple[int, list[list[object]] | str]:
    """How many copies there were, and the parts or the error; none of them is left."""
    out, problems = process.communicate(timeout=120)
    assert problems == ""
    copies, children, result = json.loads(out)
    assert children == 0
    return copies, result


@pytest.mark.parametrize(
    "options",
    [{"max_size": 100_000}, {"parts": 7}, {"rows": 3_333}, {"max_size": 100_000, "checksum": "sha256", "sync": True}],
)
def test_copies_write_the_same_bytes(tmp_path: Path, source: Path, options: dict[str, Any]) -> None:
    alone = split(source, tmp_path / "alone", workers=1, **options)
    copies, parts = told(started(tmp_path, source, workers=3, verify="deep", **options))
    assert copies == 3
    assert parts == [[part.name, part.rows, part.bytes, part.checksum] for part in alone.parts]
    for part in alone.parts:
        assert (tmp_path / "out" / part.name).read_bytes() == Path(part.path).read_bytes()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["alone", "in.parquet", "out", "script.py"]


def test_a_part_that_is_too_large_is_planned_again_in_the_same_way(tmp_path: Path, source: Path) -> None:
    """The planner's slack is taken away, so that parts come out larger than planned."""
    plain = {"row_group_size": 10_000, "data_page_size": 4_000, "write_batch_size": 256, "use_dictionary": False}
    pq.write_table(pq.read_table(source), source, **plain)
    before = "import kyanite.parquet.parts_plan as plans\nplans.SLACK = -0.2"
    one, alone = told(started(tmp_path, source, before, max_size=100_000, workers=1))
    (tmp_path / "out").rename(tmp_path / "first")
    several, parts = told(started(tmp_path, source, before, max_size=100_000, workers=2))
    assert (one, several > 2) == (0, True)
    assert parts == alone
    assert all(int(part[2]) <= 100_000 for part in parts)  # type: ignore[call-overload]
    names = {str(part[0]) for part in parts}
    assert {path.name for path in (tmp_path / "out").glob("*.parquet")} == names


def test_a_process_with_threads_is_not_copied(tmp_path: Path, source: Path) -> None:
    before = "threading.Thread(target=threading.Event().wait, daemon=True).start()"
    copies, parts = told(started(tmp_path, source, before, max_size=100_000))
    assert copies == 0
    assert len(parts) > 3


@pytest.mark.parametrize("how", ["head", "values"])
def test_an_error_in_a_copy_is_told_and_nothing_is_left(tmp_path: Path, source: Path, how: str) -> None:
    data = bytearray(source.read_bytes())
    data[4 : len(data) // 2] = (b"\0" if how == "head" else b"\xff") * (len(data) // 2 - 4)
    source.write_bytes(data)
    _, problem = told(started(tmp_path, source, max_size=100_000, workers=2))
    assert isinstance(problem, str)
    assert str(source) in problem
    assert sorted(one.name for one in tmp_path.iterdir()) == ["in.parquet", "script.py"]


def slow(tmp_path: Path, source: Path) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """A split whose parts take long to write, begun, and its copies."""
    before = (
        "import time, kyanite.parquet.by_copies as by\n"
        "real_part = by.complete_part\n"
        "def complete_part(inputs, part, writer, step, **more):\n"
        "    for _ in range(100):\n"
        "        step(1)\n"
        "        time.sleep(0.02)\n"
        "    return real_part(inputs, part, writer, step, **more)\n"
        "by.complete_part = complete_part"
    )
    process = started(tmp_path, source, before, rows=5_000, workers=2)
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        if any(tmp_path.glob(".kyanite-*/part-*")):
            return process, psutil.Process(process.pid).children()
        time.sleep(0.02)
    raise AssertionError("no part was begun")


def test_copies_end_with_the_process_that_is_killed(tmp_path: Path, source: Path) -> None:
    process, copies = slow(tmp_path, source)
    assert len(copies) == 2
    process.kill()
    process.communicate()
    assert psutil.wait_procs(copies, END_SECONDS)[1] == []
    assert not (tmp_path / "out").exists()
    assert split(source, tmp_path / "out", parts=2).rows_out == 40_000
    assert not list(tmp_path.glob(".kyanite-*"))


def test_a_copy_that_is_killed_is_told_as_that(tmp_path: Path, source: Path) -> None:
    process, copies = slow(tmp_path, source)
    copies[1].send_signal(signal.SIGKILL)
    _, problem = told(process)
    assert isinstance(problem, str)
    assert "ended from outside" in problem
    assert psutil.wait_procs(copies, END_SECONDS)[1] == []
    assert sorted(one.name for one in tmp_path.iterdir()) == ["in.parquet", "script.py"]


def test_ctrl_c_ends_the_copies_too(tmp_path: Path, source: Path) -> None:
    process, copies = slow(tmp_path, source)
    for one in [*copies, psutil.Process(process.pid)]:  # a terminal sends it to all
        one.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert psutil.wait_procs(copies, END_SECONDS)[1] == []
    assert sorted(one.name for one in tmp_path.iterdir()) == ["in.parquet", "script.py"]
