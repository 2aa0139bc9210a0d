"""The environment of the older official clients."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture
def old_python(repository: Path) -> Path:
    """The interpreter that has them; without it a test is skipped, in CI it fails."""
    python = repository / "bench" / ".venv" / "clients-old" / "bin" / "python"
    if not python.exists():
        if os.environ.get("CI"):
            pytest.fail("the environment of the older clients is missing")
        pytest.skip("needs the environment clients-old: python3 bench/environment.py clients-old")
    return python
