"""Page headers read quickly say the same as page headers read in full."""

import io
import random
from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kyanite.parquet import Source
from kyanite.parquet.footer import read_footer
from kyanite.parquet.pages import HeaderReader, page_tables

ROWS = 3_000


def table():
    pick = random.Random(7)
    return pa.table(
        {
            "small": pa.array([pick.randrange(5) for _ in range(ROWS)], pa.int32()),
            "wide": pa.array([pick.getrandbits(62) - 2**61 for _ in range(ROWS)], pa.int64()),
            "unsigned": pa.array([pick.getrandbits(32) for _ in range(ROWS)], pa.uint32()),
            "real": pa.array([None if pick.random() < 0.1 else pick.gauss(0, 1) for _ in range(ROWS)]),
            "text": pa.array([None if n % 7 == 0 else "x" * pick.randrange(300) for n in range(ROWS)]),
            "nothing": pa.nulls(ROWS, pa.string()),
            "flag": pa.array([n % 3 == 0 for n in range(ROWS)]),
            "when": pa.array([datetime(2026, 1, 1, tzinfo=UTC)] * ROWS, pa.timestamp("us", "UTC")),
            "price": pa.array([Decimal(n) / 100 for n in range(ROWS)], pa.decimal128(9, 2)),
            "list": pa.array([[pick.randrange(9)] * pick.randrange(4) for _ in range(ROWS)]),
        }
    )


WAYS = {
    "v1": {},
    "v2": {"data_page_version": "2.0"},
    "checksums": {"write_page_checksum": True},
    "v2 with checksums": {"data_page_version": "2.0", "write_page_checksum": True},
    "plain": {"use_dictionary": False, "compression": "none"},
    "no statistics": {"write_statistics": False},
    "index": {"write_page_index": True, "compression": "zstd"},
    "delta": {"use_dictionary": False, "column_encoding": {"wide": "DELTA_BINARY_PACKED", "text": "DELTA_BYTE_ARRAY"}},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("on_disk", [False, True], ids=["memory", "disk"])
def test_quick_and_full_reading_agree(way, on_disk, tmp_path, monkeypatch):
    out = io.BytesIO()
    pq.write_table(table(), out, data_page_size=2_000, write_batch_size=64, row_group_size=1_000, **WAYS[way])
    path = tmp_path / "f.parquet"
    path.write_bytes(out.getvalue())
    footer = read_footer(Source("f", lambda: path.open("rb"), path.stat().st_size))

    def read():
        with path.open("rb") if on_disk else io.BytesIO(out.getvalue()) as file:
            return [page_tables(file, footer, group) for group in footer.row_groups]

    found = []
    quick = HeaderReader.quick
    monkeypatch.setattr(HeaderReader, "quick", lambda self, at, leaf: found.append(quick(self, at, leaf)) or found[-1])
    quickly = read()
    monkeypatch.setattr(HeaderReader, "quick", lambda self, at, leaf: None)
    assert quickly == read()
    pages = sum(len(one.pages) for tables in quickly for one in tables)
    if on_disk:
        assert sum(page is not None for page in found) > 0.9 * pages
