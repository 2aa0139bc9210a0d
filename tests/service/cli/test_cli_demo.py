"""The demonstration: it proves what it promises, and fails when it cannot."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import pytest
from git_factory import Run

from kyanite.cli import demo
from kyanite.cli.demo_proof import Measured, Proof
from kyanite.cli.main import main

TARGET = 1024 * 1024


def test_the_demo_in_a_named_workspace_can_be_looked_at(kyanite: Run, home: Path) -> None:
    first = kyanite("demo", "--files", "2", "--target-mb", "2")
    assert first.code == 0, first.out + first.err
    assert "SplitParquetInPython (Custom) Succeeded" in first.out
    assert "all checks passed" in first.out
    assert kyanite("runs", "show", "latest").code == 0
    assert "rows in" in kyanite("runs", "logs", "latest").out
    again = kyanite("demo", "--files", "1", "--target-mb", "1", "--json")
    assert again.code == 0, again.err
    proof = json.loads(again.out)["proof"]
    assert proof["faults"] == []
    assert proof["rowsIn"] == proof["rowsOut"] == sum(part["rows"] for part in proof["parts"])
    assert max(part["bytes"] for part in proof["parts"]) <= proof["targetBytes"] == TARGET
    assert home.is_dir()


def test_a_temporary_workspace_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert main(["demo", "--files", "1"]) == 0
    assert "the workspace is kept" not in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_data_that_is_broken_fails_the_demo(
    kyanite: Run, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(repository / "examples" / "airline", tmp_path / "airline")
    (tmp_path / "airline" / "data" / "flights.parquet").write_bytes(b"PAR1 none PAR1")
    monkeypatch.setattr(demo, "examples_folder", lambda: tmp_path / "airline")
    result = kyanite("demo")
    assert result.code == 1
    assert "flights0001.parq" in result.out
    assert "check failed: the run Failed" in result.err


def proof(*parts: tuple[int, int]) -> Proof:
    """A proof with 10 rows in and parts of (size, rows)."""
    measured = tuple(Measured(f"part{index}", size, rows) for index, (size, rows) in enumerate(parts))
    return Proof((Measured("a", 50, 10),), (Measured("m", 50, 10),), measured, target=100)


def test_the_proof_finds_lost_rows_and_parts_that_are_too_large() -> None:
    assert proof((60, 5), (60, 5)).faults() == []
    assert proof((60, 5), (60, 4)).faults() == ["rows differ: 10 in, 10 merged, 9 out"]
    assert proof((101, 10)).faults() == ["part0 is larger than the target (101 > 100 bytes)"]
    assert proof().faults()[0] == "there are no parts"
