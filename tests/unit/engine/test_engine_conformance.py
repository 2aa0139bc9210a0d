"""The conformance cases of control flow, run through the pure engine on a virtual clock."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kyanite.testing.conformance.control_flow import failure_of

FIXTURES = Path(__file__).parents[2] / "fixtures" / "conformance"
CASES = [json.loads(line) for line in (FIXTURES / "control_flow.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_case(case: dict) -> None:
    assert failure_of(case) is None
