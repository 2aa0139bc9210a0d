"""kill -9 in the middle of a split: a reader that follows the manifest sees the old set or the new one, never half."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("split_program.py")
PLACES = ("own", "shared", "store")


def kill(place: str, folder: Path, points: str, seed: int) -> dict:
    done = subprocess.run(
        [sys.executable, "-W", "error", PROGRAM, place, folder, points, str(seed)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("place", PLACES)
def test_killed_at_part_boundaries_and_random_steps(place: str, tmp_path: Path) -> None:
    result = kill(place, tmp_path, "3", seed=1)
    assert result["complete"] >= 3  # parts, each a boundary
    assert set(result["seen"]) == {"old", "new"}


@pytest.mark.slow
@pytest.mark.parametrize("place", [*PLACES, *(f"{place}-fresh" for place in PLACES)])
def test_killed_at_every_step(place: str, tmp_path: Path) -> None:
    result = kill(place, tmp_path, "all", seed=0)
    assert set(result["seen"]) == {"none" if place.endswith("-fresh") else "old", "new"}
    assert sum(result["seen"].values()) == result["steps"]
