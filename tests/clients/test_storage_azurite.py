"""The same clients and steps against Azurite; docs/reference/azurite-differences.md says which of the two is right."""

from __future__ import annotations

from pathlib import Path

import pytest
from azurite_server import PROGRAM, azurite

pytestmark = pytest.mark.azurite
CLIENTS = ("adlfs", "blob", "blob_async", "datalake", "fsspec", "obstore", "pyarrow")
DIFFERENT = {
    "blob: a wrong key": "AuthorizationFailure",
    "blob: blob SAS that has expired": "AuthorizationFailure",
    "blob: copy from a URL with SAS": "APINotImplemented",
    "pyarrow: move a file": "Hierarchical Namespace",
    "pyarrow: move a folder": "Hierarchical Namespace",
    "pyarrow: move over a filled folder": "Hierarchical Namespace",
}
WORKS_IN_DATALAKE = {"make a filesystem"}


def test_where_azurite_differs(tmp_path: Path) -> None:
    if not PROGRAM.exists():
        pytest.fail("Azurite is missing: npm install --prefix bench/.venv/azurite azurite@3.35.0")
    with azurite(tmp_path) as endpoint:
        told = endpoint.flows(*CLIENTS)
    lake = told.pop("datalake")["steps"]
    assert {step for step, outcome in lake.items() if outcome == "ok"} == WORKS_IN_DATALAKE
    wrong = {
        f"{client}: {step}": outcome
        for client, found in told.items()
        for step, outcome in found["steps"].items()
        if outcome != "ok"
    }
    assert set(wrong) == set(DIFFERENT)
    for step, part in DIFFERENT.items():
        assert part.replace(" ", "").lower() in wrong[step].replace(" ", "").replace("_", "").lower(), step
