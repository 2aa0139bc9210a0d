"""What the commands of `kyanite batch` send."""

from __future__ import annotations

import pytest

from kyanite.cli.batch_target import duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(90, "PT90S"), (0.25, "PT0.25S"), (1_234_567.5, "PT1234567.5S"), (100, "PT100S"), (None, None)],
)
def test_seconds_become_durations_without_exponents(seconds: float | None, text: str | None) -> None:
    assert duration(seconds) == text
