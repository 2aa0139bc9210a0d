"""The files that splitting and merging are measured with, made alike on every machine and kept in a cache folder.

    python bench/inputs.py [a b c d e f g h] [--scale 1.0] [--cache DIR]

Flights are those of examples/airline/data, repeated with their delays and numbers shifted from copy to copy so that
they stay as hard to compress as real ones; a counter `row` proves order. Sizes at scale 1 are about 1 GB (a and h:
25 MB at every scale). g is TPC-H lineitem as tpchgen-cli writes it (parquet-rs).
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import environment
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

FLIGHTS = environment.ROOT / "examples" / "airline" / "data" / "flights.parquet"
MB = 1_000_000


@dataclass(frozen=True)
class Shape:
    """One input: what it is like, its size in MB at scale 1, the columns that name a row, and what makes it."""

    about: str
    megabytes: int
    key: tuple[str, ...]
    make: Callable[[Path, int], None]
    scales: bool = True


def path_of(name: str, scale: float, cache: Path) -> Path:
    """The file of shape `name`, made when the cache has none; RuntimeError with the reason when it cannot be made."""
    shape = SHAPES[name]
    megabytes = max(1, round(shape.megabytes * scale)) if shape.scales else shape.megabytes
    path = cache / f"{name}-{megabytes}MB.parquet"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".partial")
        shape.make(beside, megabytes)
        beside.rename(path)
    return path


def copies(path: Path, count: int) -> list[Path]:
    """`count` hard links to a file, for inputs of a merge."""
    links = [path.with_name(f"{path.stem}-{number:04d}.parquet") for number in range(count)]
    for link in links:
        if not link.exists():
            os.link(path, link)
    return links


# ---- flights


def scattered(first: int, rows: int, below: int, salt: int) -> pa.Array:
    """`rows` numbers in [0, below) that look random and depend on their place only."""
    place = pa.arange(first, first + rows)
    mixed = pc.multiply(pc.bit_wise_xor(place, salt * 0x5BD1E995), 0x9E3779B97F4A7C1)
    mixed = pc.multiply(pc.bit_wise_xor(mixed, pc.shift_right(mixed, 29)), 0x5851F42D4C957F2D)
    number = pc.bit_wise_and(pc.shift_right(mixed, 23), (1 << 40) - 1)
    return pc.subtract(number, pc.multiply(pc.divide(number, below), below))


class Flights:
    """An endless table of flights, taken from anywhere in it."""

    def __init__(self) -> None:
        self._base = pq.read_table(FLIGHTS).combine_chunks()

    def rows(self, first: int, count: int) -> pa.Table:
        """Rows `first` .. `first + count`: the real ones in turn, shifted in every copy but the first."""
        size = self._base.num_rows
        pieces = []
        at, left = first, count
        while left:
            begin = at % size
            taken = min(left, size - begin)
            pieces.append(self._shifted(self._base.slice(begin, taken), at))
            at, left = at + taken, left - taken
        return pa.concat_tables(pieces).combine_chunks()

    def _shifted(self, table: pa.Table, first: int) -> pa.Table:
        copy = first // self._base.num_rows
        columns: dict[str, Any] = {"row": pa.arange(first, first + table.num_rows).cast(pa.int32())}
        for number, field in enumerate(table.schema):
            column = table.column(field.name)
            if copy and field.name in {"dep_delay", "arr_delay", "air_time", "distance", "flight"}:
                shift = pc.subtract(scattered(first, table.num_rows, 9, copy * 64 + number), 4)
                column = pc.add(column.cast(pa.int64()), shift).cast(field.type)
            if copy and field.name == "time_hour":
                column = pc.add(column.cast(pa.int64()), 86_400_000 * 366 * copy).cast(field.type)
            columns[field.name] = column
        return pa.table(columns)


def write_flights(row_group: int | None, extra: Callable[[pa.Table, int, int], pa.Table] | None = None) -> Any:
    """A maker of flights files with row groups of so many rows (None: one row group)."""

    def make(path: Path, megabytes: int) -> None:
        flights = Flights()
        metadata = {"origin": "made by bench/inputs.py", "note": "a key that a split must keep"}

        def table(first: int, rows: int, number: int) -> pa.Table:
            found = flights.rows(first, rows)
            return (extra(found, first, number) if extra else found).replace_schema_metadata(metadata)

        if row_group is None:
            rows = _rows_for(path, table, megabytes)
            pq.write_table(table(0, rows, 0), path, row_group_size=rows)
            return
        with pq.ParquetWriter(path, table(0, 1, 0).schema) as writer:
            number = first = 0
            while path.stat().st_size < megabytes * MB:
                writer.write_table(table(first, row_group, number), row_group_size=row_group)
                first, number = first + row_group, number + 1

    return make


def _rows_for(path: Path, table: Callable[[int, int, int], pa.Table], megabytes: int) -> int:
    """How many rows take about that many MB, from a sample."""
    sample = 700_000
    pq.write_table(table(0, sample, 0), path, row_group_size=sample)
    return math.ceil(sample * megabytes * MB / path.stat().st_size)


def without_counter(table: pa.Table, first: int, number: int) -> pa.Table:
    """The real columns only."""
    return table.drop_columns(["row"])


def with_payload(table: pa.Table, first: int, number: int) -> pa.Table:
    """Texts of 0 to 400 characters beside each row; their length falls off a cliff every few row groups."""
    longest = (4, 400, 40, 4, 120, 4, 240)[number // 3 % 7]
    rows = table.num_rows
    digits = [scattered(first, rows, 10**12, salt).cast(pa.string()) for salt in range(1, 2 + longest // 12)]
    text = pc.binary_join_element_wise(*digits, "")
    return table.append_column("payload", pc.utf8_slice_codeunits(text, 0, longest))


# ---- nested


def make_nested(path: Path, megabytes: int) -> None:
    """Lists, structs, maps, lists of structs, decimals, dictionaries, only nulls; zstd, v2 pages, page index."""
    rows = 100_000
    options = {"compression": "zstd", "data_page_version": "2.0", "write_page_index": True}
    with pq.ParquetWriter(path, nested(0, 8).schema, **options) as writer:
        first = 0
        while path.stat().st_size < megabytes * MB:
            writer.write_table(nested(first, rows), row_group_size=rows)
            first += rows


def nested(first: int, rows: int) -> pa.Table:
    """Rows of every nested type."""
    lengths = scattered(first, rows, 5, 1)
    offsets = pa.array([0, *pc.cumulative_sum(lengths).to_pylist()], pa.int32())
    total = offsets[-1].as_py()
    values = scattered(first * 5, total, 10**6, 2)
    words = pc.binary_join_element_wise("w", scattered(first * 5, total, 5000, 3).cast(pa.string()), "")
    inner = pa.StructArray.from_arrays([values, words], names=["id", "word"])
    cents = scattered(first, rows, 10**8, 4)
    places = pc.subtract(pa.arange(0, total), pc.multiply(pc.divide(pa.arange(0, total), 5), 5)).cast(pa.string())
    keys = pc.binary_join_element_wise(words, places, "-")  # a map's keys are unique: Polars drops doubled ones
    columns = {
        "row": pa.arange(first, first + rows),
        "numbers": pa.ListArray.from_arrays(offsets, values),
        "place": pa.StructArray.from_arrays(
            [pc.divide(cents.cast(pa.float64()), 7.0), scattered(first, rows, 400, 5)], names=["at", "zone"]
        ),
        "tags": pa.MapArray.from_arrays(offsets, keys, values),
        "items": pa.ListArray.from_arrays(offsets, inner),
        "price": cents.cast(pa.decimal128(19, 0)).cast(pa.decimal128(22, 2)),
        "kind": words.take(scattered(first, rows, max(1, total // 4), 6)).dictionary_encode(),
        "nothing": pa.nulls(rows, pa.int32()),
    }
    return pa.table(columns)


# ---- TPC-H


def make_lineitem(path: Path, megabytes: int) -> None:
    python = environment.prepare("bench")
    program = python.parent / "tpchgen-cli" if python else None
    if program is None or not program.exists():
        raise RuntimeError("tpchgen-cli is not installed")
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        scale = f"{megabytes / SHAPES['g'].megabytes:.4f}"
        command = [str(program), "parquet", "--scale-factor", scale, "--tables=lineitem", "--output-dir", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        files = sorted(Path(folder).rglob("lineitem*.parquet"))
        if done.returncode or len(files) != 1:
            raise RuntimeError(f"tpchgen-cli failed: {done.stderr.strip()[-300:]}")
        files[0].rename(path)


SHAPES = {
    "a": Shape("real flights, one row group", 25, (), write_flights(None, without_counter), scales=False),
    "b": Shape("flights, many equal row groups of 1 M rows", 850, ("row",), write_flights(1_000_000)),
    "c": Shape("flights, few row groups of 5 M rows", 850, ("row",), write_flights(5_000_000)),
    "d": Shape("flights, hundreds of row groups of 64 K rows", 1000, ("row",), write_flights(65_536)),
    "e": Shape("rows of 20 to 420 bytes with cliffs", 1400, ("row",), write_flights(100_000, with_payload)),
    "f": Shape("nested types, zstd, v2 pages", 450, ("row",), make_nested),
    "g": Shape("TPC-H lineitem by parquet-rs", 232, ("l_orderkey", "l_linenumber"), make_lineitem),
    "h": Shape("as a, with a counter: a dictionary of 1 MB", 25, ("row",), write_flights(None), scales=False),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shapes", nargs="*", default=[*SHAPES], metavar="SHAPE")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "kyanite-bench")
    options = parser.parse_args()
    for name in options.shapes:
        path = path_of(name, options.scale, options.cache)
        found = pq.read_metadata(path)
        size = path.stat().st_size
        print(
            f"{path}  {size:,} bytes, {found.num_rows:,} rows, {found.num_row_groups} row groups, {SHAPES[name].about}"
        )


if __name__ == "__main__":
    main()
