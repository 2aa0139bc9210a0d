"""Processes that write parts: they know nothing of the script that runs, and end with the one who started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kyanite.errors import StorageError
from kyanite.movement.split import split

SCRIPT = """
import sys
import kyanite
with open(sys.argv[3], "a") as log:
    log.write("began\\n")
result = kyanite.split(sys.argv[1], sys.argv[2], rows=40, workers=2)
print(len(result.parts), result.rows_out)
"""
START_SECONDS = 60
END_SECONDS = 20


@pytest.fixture
def source(tmp_path: Path) -> Path:
    table = pa.table({"n": range(40_000), "t": [f"text {n * 7919 % 9973}" for n in range(40_000)]})
    pq.write_table(table, tmp_path / "in.parquet", row_group_size=10_000)
    return tmp_path / "in.parquet"


def started(tmp_path: Path, source: Path) -> tuple[subprocess.Popen[str], Path]:
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, str(tmp_path / "script.py"), str(source), str(tmp_path / "out"), str(tmp_path / "log")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    return process, tmp_path / "log"


def writers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Its processes that have a part open or have written one."""
    children = psutil.Process(process.pid).children()
    return [one for one in children if any("spawn_main" in word for word in one.cmdline())]


def wait_for_parts(process: subprocess.Popen[str], folder: Path) -> list[psutil.Process]:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        if any(folder.glob(".kyanite-*/part-*.parquet")):
            return writers_of(process)
        time.sleep(0.02)
    raise AssertionError("no part appeared")


def test_a_script_without_a_guard_runs_once(tmp_path: Path, source: Path) -> None:
    process, log = started(tmp_path, source)
    out, problems = process.communicate(timeout=300)
    assert (out.split(), problems) == (["1000", "40000"], "")
    assert log.read_text() == "began\n"


def test_writers_end_with_the_process_that_is_killed(tmp_path: Path, source: Path) -> None:
    process, _ = started(tmp_path, source)
    writers = wait_for_parts(process, tmp_path)
    assert writers
    process.kill()
    process.communicate()
    assert psutil.wait_procs(writers, END_SECONDS)[1] == []
    assert split(source, tmp_path / "out", parts=2).rows_out == 40_000
    assert not list(tmp_path.glob(".kyanite-*"))


def test_a_writer_that_is_killed_is_told_as_that(tmp_path: Path, source: Path) -> None:
    killed = []

    def kill_one(_: object) -> None:
        if not killed:
            children = psutil.Process().children()
            killed.extend(one for one in children if any("spawn_main" in word for word in one.cmdline()))
            killed[0].send_signal(signal.SIGKILL)

    with pytest.raises(StorageError, match="ended from outside"):
        split(source, tmp_path / "out", rows=40, workers=2, progress=kill_one)
    assert [one.name for one in tmp_path.iterdir()] == ["in.parquet"]
