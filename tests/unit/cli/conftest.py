"""Fixtures of the command line's tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_up_workspace import SECRET, FakeSession, FakeWorkspace, Result, Run

from kyanite.cli.main import main


@pytest.fixture
def fake(tmp_path: Path) -> FakeWorkspace:
    """A workspace in memory whose vault knows SECRET; every command line must close it."""
    workspace = FakeWorkspace(tmp_path / "home")
    workspace.vault.put("storage/airline/key1", SECRET)
    return workspace


@pytest.fixture
def kyanite(fake: FakeWorkspace, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command line on the workspace in memory."""

    def run(*arguments: str) -> Result:
        fake.closed = False
        code = main(arguments, FakeSession(fake))
        captured = capsys.readouterr()
        assert fake.closed
        assert "Traceback" not in captured.out + captured.err
        return Result(code, captured.out, captured.err)

    return run
