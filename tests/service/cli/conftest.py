"""A real workspace, a git folder to fill, and the command line on both."""

from __future__ import annotations

from pathlib import Path

import pytest
from git_factory import ACCOUNT, GitFactory, Result, Run

from kyanite.cli.main import main


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def kyanite(home: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command line in this process on the workspace; a traceback or a defect is never right."""

    def run(*arguments: object) -> Result:
        code = main(["--home", str(home), *map(str, arguments)])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        assert code != 70, captured.err
        return Result(code, captured.out, captured.err)

    return run


@pytest.fixture
def factory(tmp_path: Path) -> GitFactory:
    folder = tmp_path / "factory"
    folder.mkdir()
    return GitFactory(folder)


@pytest.fixture
def parquet_file(tmp_path: Path) -> Path:
    """A parquet file of 1,000 rows."""
    import pyarrow
    import pyarrow.parquet

    file = tmp_path / "numbers.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"n": range(1000)}), file, row_group_size=100)
    return file


@pytest.fixture
def filled(kyanite: Run, factory: GitFactory, parquet_file: Path) -> GitFactory:
    """A workspace with an account whose `data/in` holds two files, and a factory that merges them."""
    assert kyanite("init", "--account", ACCOUNT).code == 0
    for name in ("a.parquet", "b.parquet"):
        assert kyanite("storage", "put", parquet_file, f"{ACCOUNT}/data/in/", "--name", name).code == 0
    factory.storage()
    factory.copy_pipeline()
    return factory
