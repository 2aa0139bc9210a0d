"""`kyanite split` as people use it: plans, reports, pictures, refusals."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from git_factory import Run

from kyanite.cli.session import Session
from kyanite.cli.split_plot import check_plot
from kyanite.cli.split_progress import line, plain_lines, shown
from kyanite.cli.split_report import show_result
from kyanite.errors import UnsupportedError, UserError
from kyanite.movement.split_model import SplitPart, SplitProgress, SplitResult


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """A folder of two parquet files of one schema, 5,000 rows together."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name, first, last in (("a", 0, 3000), ("b", 3000, 5000)):
        table = pyarrow.table({"n": range(first, last), "t": [f"text {n * 7919}" for n in range(first, last)]})
        pyarrow.parquet.write_table(table, folder / f"{name}.parquet", row_group_size=500)
    return folder


def test_report(kyanite: Run, texts: Path, tmp_path: Path) -> None:
    result = kyanite("split", texts, tmp_path / "out", "--max-size", "20kB")
    assert result.code == 0
    assert result.err == ""
    lines = result.out.splitlines()
    assert lines[0].split() == ["part", "size", "bytes", "rows", "fill", "row", "groups"]
    parts = sorted((tmp_path / "out").glob("*.parquet"))
    for part, told in zip(parts, lines[2:], strict=False):
        words = told.split()
        rows = pyarrow.parquet.read_metadata(part).num_rows
        assert (words[0], words[3], words[4]) == (part.name, f"{part.stat().st_size:,}", f"{rows:,}")
        assert words[5] == f"{part.stat().st_size / 20_000:.1%}"
    rest = "\n".join(lines[2 + len(parts) :])
    assert f"{len(parts)} parts: smallest" in rest
    assert "target 20.0 kB (20,000 bytes): no part is larger" in rest
    assert "5,000 rows in, 5,000 rows out: none lost" in rest
    assert "in 2 files" in rest
    assert "copied raw" in rest
    assert "verified: fast" in rest


def test_plan_then_split_then_up_to_date(kyanite: Run, texts: Path, tmp_path: Path) -> None:
    line_of = ("split", texts, tmp_path / "out", "--max-size", "20kB", "--json")
    plan = json.loads(kyanite(*line_of, "--dry-run").out)
    assert plan["dryRun"] is True
    assert not (tmp_path / "out").exists()
    done = json.loads(kyanite(*line_of).out)
    assert [part["rows"] for part in plan["parts"]] == [part["rows"] for part in done["parts"]]
    assert done["merged"] is True
    assert done["rowsIn"] == done["rowsOut"] == sum(part["rows"] for part in done["parts"]) == 5000
    assert done["spread"] == max(p["bytes"] for p in done["parts"]) / min(p["bytes"] for p in done["parts"])
    assert Path(done["manifest"]).is_file()
    again = json.loads(kyanite(*line_of).out)
    assert again["upToDate"] is True
    assert [part["checksum"] for part in again["parts"]] == [part["checksum"] for part in done["parts"]]
    assert "up to date" in kyanite(*line_of[:-1]).out


def test_another_set_is_not_replaced_unasked(kyanite: Run, texts: Path, tmp_path: Path) -> None:
    assert kyanite("split", texts, tmp_path / "out", "--parts", "3").code == 0
    refused = kyanite("split", texts, tmp_path / "out", "--rows", "2000")
    assert refused.code == 1
    assert "--overwrite" in refused.err
    assert kyanite("split", texts, tmp_path / "out", "--rows", "2000", "--overwrite", "--verify", "deep").code == 0
    assert len(list((tmp_path / "out").glob("*.parquet"))) == 3


def test_names_and_no_merge(kyanite: Run, texts: Path, tmp_path: Path) -> None:
    options = ("--rows", "2000", "--no-merge", "--prefix", "x", "--name-template", "{prefix}_{index}.parq")
    assert kyanite("split", texts / "*.parquet", tmp_path / "out", *options, "--checksum", "sha256").code == 0
    names = sorted(path.name for path in (tmp_path / "out").glob("*.parq"))
    assert names == ["x-a_0.parq", "x-a_1.parq", "x-b_0.parq"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "--max-size"),
        (("--max-size", "1MB", "--parts", "2"), "--max-size"),
        (("--parts", "0"), "--parts"),
        (("--max-size", "1MB", "--verify", "slow"), "deep"),
        (("--max-size", "12 potatoes"), "4194304B"),
        (("--parts", "2", "--plot", "sizes.pdf"), ".svg"),
        (("--parts", "2", "--plot", "no/such/folder/sizes.svg"), "no such folder"),
        (("--parts", "2", "--name-template", "part"), "{index}"),
    ],
)
def test_refusals_before_anything_is_written(
    kyanite: Run, texts: Path, tmp_path: Path, options: tuple[str, ...], told: str
) -> None:
    result = kyanite("split", texts, tmp_path / "out", *options)
    assert result.code in (1, 2)
    assert told in result.err
    assert not (tmp_path / "out").exists()


def test_differing_schemas_are_told_with_files_and_columns(kyanite: Run, texts: Path, tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.table({"n": ["x"]}), texts / "c.parquet")
    result = kyanite("split", texts, tmp_path / "out", "--parts", "2", "--merge")
    assert result.code == 1
    for word in ("a.parquet", "c.parquet", "`n`", "`t`", "--no-merge"):
        assert word in result.err
    assert kyanite("split", texts, tmp_path / "out", "--rows", "4000").code == 0
    assert len(list((tmp_path / "out").glob("*.parquet"))) == 3


def test_a_picture_needs_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kyanite.cli.split_plot.find_spec", lambda name: None)
    with pytest.raises(UnsupportedError, match=r"kyanite\[plot\]"):
        check_plot(tmp_path / "sizes.svg")
    monkeypatch.setattr("kyanite.cli.split_plot.find_spec", lambda name: sys)
    check_plot(tmp_path / "sizes.PNG")
    with pytest.raises(UserError, match="no picture"):
        check_plot(tmp_path / "sizes")


def test_pictures_are_drawn(kyanite: Run, texts: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for name, starts in (("s.png", b"\x89PNG"), ("s.svg", b"<?xml")):
        assert kyanite("split", texts, tmp_path / name[2:], "--max-size", "20kB", "--plot", tmp_path / name).code == 0
        assert (tmp_path / name).read_bytes().startswith(starts)
    drawn = (tmp_path / "s.svg").read_text("utf-8")
    assert "part-00000.parquet" in drawn
    assert "target" in drawn
    assert "5,000 rows" in drawn
    assert kyanite("split", texts, tmp_path / "svg", "--max-size", "20kB", "--plot", tmp_path / "t.svg").code == 0
    assert (tmp_path / "t.svg").read_text("utf-8") == drawn


def test_progress_lines(capsys: pytest.CaptureFixture[str]) -> None:
    now = SplitProgress(rows=10, bytes=250_000_000, parts=2, total_bytes=1_000_000_000)
    assert line(now, 2.5) == "[2.50 s] 250 MB of 1.0 GB (25 %), 100 MB/s, 2 parts, about 7.50 s left"
    assert line(SplitProgress(0, 0, 0, 0), 1.0) == "[1.00 s] 0 B of 0 B (0 %), 0 B/s, 0 parts"
    times = iter([0.0, 0.5, 2.5, 2.5, 3.0, 5.0, 5.0])
    show = plain_lines(Session(), clock=lambda: next(times))
    for _ in range(4):
        show(now)
    assert [text.partition("]")[0] for text in capsys.readouterr().err.splitlines()] == ["[2.50 s", "[5.00 s"]


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    session = Session()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    monkeypatch.setattr(session, "is_terminal", lambda *, err=False: err)
    with shown(session) as show:
        assert show is not None
        show(SplitProgress(rows=10, bytes=250_000_000, parts=7, total_bytes=1_000_000_000))
    output = capsys.readouterr()
    assert output.out == ""
    assert "25%" in output.err
    assert "0.2/1.0 GB" in output.err
    assert "7 parts" in output.err
    with shown(session, quiet=True) as none:
        assert none is None


def test_many_parts_are_shown_as_the_first_and_the_last(capsys: pytest.CaptureFixture[str]) -> None:
    parts = tuple(SplitPart(f"part-{number}", "", 1, 10, number, oversize=number == 3) for number in range(1000))
    show_result(Session(), SplitResult(parts, ("in",), 1000, 999, 10_000, 10_000, 1.0, max_bytes=9))
    shown = capsys.readouterr().out
    assert "... 950 more" in shown
    assert "part-999" in shown
    assert "part-500" not in shown
    assert "one row alone is larger" in shown
    assert "1,000 rows in, 999 rows out, 1 LOST" in shown


def test_a_split_does_not_load_numpy_and_leaves_it_to_others(texts: Path, tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from kyanite.cli.main import main\n"
        "code = main(['split', sys.argv[1], sys.argv[2], '--parts', '3', '--verify', 'deep', '--json'])\n"
        "loaded = sys.modules.get('numpy'), 'pyarrow' in sys.modules\n"
        "import numpy\n"
        "print(code, *loaded, numpy.arange(3).sum(), file=sys.stderr)\n"
    )
    command = [sys.executable, "-c", program, str(texts), str(tmp_path / "out")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stderr.split() == ["0", "None", "True", "3"]
    assert len(json.loads(done.stdout)["parts"]) == 3
