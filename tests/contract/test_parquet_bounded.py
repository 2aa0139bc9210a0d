"""Memory stays bounded however many row groups a file has and however large they are."""

from __future__ import annotations

import io
import json
import random
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kyanite.parquet.footer import footer_of
from kyanite.parquet.write import FileWriter, RangeCopier

PROGRAM = """
import json, pathlib, sys
from kyanite.parquet import FileOpener, Source, split

class Part:
    def __init__(self, name):
        self.file = open(pathlib.Path(sys.argv[2], name), "wb", buffering=0)
    def write(self, data):
        return self.file.write(data)
    def tell(self):
        return self.file.tell()
    def commit(self):
        self.file.close()
    abort = commit

path = pathlib.Path(sys.argv[1])
source = Source(path.name, FileOpener(str(path)), path.stat().st_size)
result = split([source], Part, max_bytes=int(path.stat().st_size * float(sys.argv[3])), staged=True)
status = pathlib.Path("/proc/self/status").read_text()  # getrusage would tell of the parent's memory too
peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
sizes = [part.bytes for part in result.parts]
print(json.dumps({"peak": peak, "rows": result.rows_out, "spread": max(sizes) / min(sizes), "parts": len(sizes)}))
"""


def split_alone(path, folder, share):
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path), str(folder), str(share)], check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout)


pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")]


def test_fifty_thousand_row_groups(tmp_path):
    small = io.BytesIO()
    columns = {f"c{n}": [f"name {k * n}" if n % 3 else k * n for k in range(40)] for n in range(6)}
    pq.write_table(pa.table(columns), small)
    footer = footer_of(small, len(small.getvalue()), "in")
    path = tmp_path / "many.parquet"
    with path.open("wb") as out, FileWriter(out, footer, RangeCopier(lambda _: None)) as writer:
        for _ in range(50_000):
            writer.add_row_group(small, footer, 0)
        writer.finish()
    outcome = split_alone(path, tmp_path / "parts", 0.11)
    assert outcome["rows"] == 2_000_000
    assert outcome["parts"] == 10
    assert outcome["spread"] <= 1.005
    assert outcome["peak"] < 150


def test_row_groups_of_128_mb(tmp_path):
    path = tmp_path / "large.parquet"
    numbers = pa.array(range(8_000_000), pa.int64())
    with pq.ParquetWriter(
        path, pa.schema([("a", pa.int64()), ("b", pa.int64())]), compression="none", use_dictionary=False
    ) as writer:
        for _ in range(3):
            writer.write_table(pa.table({"a": numbers, "b": numbers}), row_group_size=8_000_000)
    outcome = split_alone(path, tmp_path / "parts", 0.13)
    assert outcome["rows"] == 24_000_000
    assert outcome["parts"] == 8
    assert outcome["spread"] <= 1.005
    assert outcome["peak"] < 150


def test_thousands_of_row_groups_encoded_anew(tmp_path):
    path = tmp_path / "dictionaries.parquet"
    rng = random.Random(4)
    columns = {f"c{n}": pa.array([rng.randrange(6000) for _ in range(200_000)]) for n in range(12)}
    pq.write_table(pa.table(columns), path)
    outcome = split_alone(path, tmp_path / "parts", 0.003)
    assert outcome["rows"] == 200_000
    assert outcome["parts"] > 1000
    assert outcome["peak"] < 150
