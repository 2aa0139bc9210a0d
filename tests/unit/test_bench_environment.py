"""The requirement files of the peers: every package by hash, no address, and what each measured peer needs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).resolve().parent.parent.parent / "requirements"


@pytest.mark.parametrize(
    ("name", "needed"),
    [
        ("bench", {"dask", "datafusion", "duckdb", "fastparquet", "polars", "pyarrow", "tpchgen-cli"}),
        ("bench-batch", {"distributed", "ray"}),
        ("bench-orchestrators", {"dagster", "dbos", "luigi", "prefect"}),
        ("bench-spark", {"pyspark"}),
    ],
)
def test_every_package_is_pinned_by_hash(name, needed):
    text = (REQUIREMENTS / f"{name}.txt").read_text("utf-8")
    blocks = [block for block in re.split(r"\n(?=[a-z0-9])", text) if "==" in block]
    assert [block.split()[0] for block in blocks if "--hash=sha256:" not in block] == []
    assert "://" not in text
    assert needed <= {block.partition("==")[0].strip() for block in blocks}
