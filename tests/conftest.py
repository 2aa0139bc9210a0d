"""What every test gets: reproducible random cases, no settings from outside, and nothing left running."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "kyanite",
    derandomize=True,
    deadline=None,
    max_examples=100,
    print_blob=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.register_profile("thorough", settings.get_profile("kyanite"), derandomize=False, max_examples=2000)
settings.load_profile(os.environ.get("KYANITE_TEST_PROFILE", "kyanite"))


def pytest_collection_finish() -> None:
    """What was imported is never garbage; looking through it again and again takes its time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A KYANITE_ variable of the person who runs the tests must not change what they do."""
    for name in [name for name in os.environ if name.startswith("KYANITE_")]:
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def no_thread_left_behind() -> Iterator[None]:
    """A test that leaves a thread running fails: the next one would share it."""
    before = set(threading.enumerate())
    yield
    late = [thread for thread in threading.enumerate() if thread not in before and not thread.daemon]
    for thread in late:
        thread.join(timeout=5)
    assert [thread.name for thread in late if thread.is_alive()] == []


@pytest.fixture
def workspace_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place for a workspace, not made yet; KYANITE_HOME names it."""
    home = tmp_path / "workspace"
    monkeypatch.setenv("KYANITE_HOME", str(home))
    return home


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of this repository."""
    return Path(__file__).resolve().parent.parent
