"""The commands as processes: what they import, and what they write where."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("line", [["--help"], ["--version"], ["run", "--help"], ["storage", "put", "--help"]])
def test_help_imports_nothing_heavy(line: list[str]) -> None:
    program = (
        "import sys; from kyanite.cli.main import main; code = main(sys.argv[1:]); "
        "print('|'.join(sys.modules)); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program, *line], capture_output=True, text=True, check=True)
    modules = set(done.stdout.splitlines()[-1].split("|"))
    for heavy in ("pyarrow", "obstore", "rich", "psutil", "sqlite3", "kyanite.runtime.workspace", "kyanite.engine"):
        assert heavy not in modules
    if line == ["--help"]:
        assert {name for name in modules if name.startswith("kyanite.")} == {
            "kyanite._version", "kyanite.cli", "kyanite.cli.command", "kyanite.cli.main", "kyanite.cli.session",
            "kyanite.errors",
        }  # fmt: skip


def test_a_reader_that_goes_away_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "kyanite", "--help"], stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert done.stderr == ""
    assert done.returncode in (0, 1)


def test_a_poor_encoding_of_the_terminal_is_no_error() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "kyanite", "eval", "@concat('ü', uriComponentToString('%E2%82%AC'))"],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "\\xfc\\u20ac\n"


def test_the_command_runs_and_says_when_there_is_no_file(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "kyanite.testing", "triggers", str(tmp_path / "none.jsonl")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "none.jsonl" in done.stderr and "Traceback" not in done.stderr
