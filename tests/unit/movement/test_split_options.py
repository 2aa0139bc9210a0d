"""What a split may be asked for."""

from __future__ import annotations

import pytest

from kyanite.errors import UserError
from kyanite.movement.split_model import options


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_size": None},
        {"max_size": "1MB", "parts": 2},
        {"max_size": None, "parts": 0},
        {"max_size": None, "rows": -1},
        {"max_size": None, "rows": 1.5},
        {"max_size": None, "parts": True},
        {"max_size": 5, "workers": 0},
        {"max_size": 5, "verify": "deeper"},
        {"max_size": 5, "checksum": "md5"},
        {"max_size": 5, "name_template": "x"},
    ],
)
def test_refused(wrong):
    with pytest.raises(UserError):
        options(**wrong)


@pytest.mark.parametrize("size", ["nonsense", "100 bytes", "1e9", "-5MB", "", "MB", "5XB", "9" * 5000])
def test_a_size_that_is_none_is_answered_with_the_forms(size):
    with pytest.raises(UserError) as caught:
        options(max_size=size)
    for form in ("100MB", "100MiB", "4194304B", "number of bytes"):
        assert form in str(caught.value)


@pytest.mark.parametrize(
    ("size", "expected"), [("100MB", 10**8), ("100MiB", 100 << 20), ("4194304B", 4194304), ("77", 77), (78, 78)]
)
def test_sizes(size, expected):
    assert options(max_size=size).max_bytes == expected


def test_the_document_holds_what_decides_the_parts():
    one, other = options(max_size="1MB"), options(max_size=1_000_000, verify="deep", workers=2)
    assert one.document() == other.document()
    assert one.document()["target"] == {"maxBytes": 1_000_000}
    assert options(max_size=None, parts=3).document()["target"] == {"parts": 3}
    assert one.document() != options(max_size="1MB", prefix="x").document()
