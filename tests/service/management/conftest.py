"""A front of the management API with a factory in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kyanite.runtime.workspace import open_workspace
from management_kit import FACTORY, PIPELINE, Front


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Front]:
    with open_workspace(tmp_path / "home", create=True) as workspace:
        made = Front(workspace)
        yield made
        made.close()


@pytest.fixture
def airline(front: Front) -> Front:
    """The front with the factory `airline` and its pipeline `P`."""
    assert front.put(FACTORY, {"location": "local"}).status == 200
    assert front.put(f"{FACTORY}/pipelines/P", PIPELINE).status == 200
    return front
