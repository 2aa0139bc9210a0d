"""Merge and split parquet: kyanite against cp, pyarrow and (when installed) Polars and DuckDB, same input, one run.

    python bench/parquet.py [--megabytes 200] [--repeat 3] [--folder DIR]

Every result is checked (rows, order of a key column, sizes) before its time is printed. Times are whole calls in a warm
process: imports are not counted, inputs are in the page cache, outputs are not synced.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kyanite.parquet import Source, merge, split

ROWS = 500_000
FILES = 8


def generate(folder: Path, megabytes: int) -> list[Path]:
    """Airline-like files: delays, times, carriers, tail numbers; the key counts through all files."""
    files = []
    per_file = megabytes * 1_000_000 // FILES
    key = 0
    for number in range(FILES):
        path = folder / f"in-{number}.parquet"
        with pq.ParquetWriter(path, _table(0, 1).schema) as writer:
            while path.stat().st_size < per_file * 0.97:
                writer.write_table(_table(key, ROWS), row_group_size=ROWS)
                key += ROWS
        files.append(path)
    return files


def _table(first: int, rows: int) -> pa.Table:
    key = pa.array(range(first, first + rows), pa.int64())
    mixed = pc.bit_wise_and(pc.multiply(key, 0x9E3779B97F4A7C1), (1 << 50) - 1)

    def below(most: int, salt: int) -> pa.Array:
        number = pc.shift_right(pc.bit_wise_xor(mixed, salt * 0x5BD1E995), 7)
        return pc.subtract(number, pc.multiply(pc.divide(number, most), most))

    carriers = pa.array(["AA", "B6", "DL", "EV", "MQ", "UA", "US", "WN", "9E", "VX"])
    columns = {"key": key, "flown": pc.add(below(86_400_000, 1), 1_360_000_000_000).cast(pa.timestamp("ms"))}
    columns |= {f"delay_{n}": below(60 + 300 * n, n).cast(pa.int16()) for n in range(6)}
    columns |= {f"distance_{n}": pc.divide(below(10**6, 20 + n).cast(pa.float64()), 16.0) for n in range(4)}
    columns["carrier"] = carriers.take(below(10, 40))
    columns["tail"] = pc.binary_join_element_wise("N", below(4000, 41).cast(pa.string()), "")
    return pa.table(columns)


def source(path: Path) -> Source:
    return Source(path.name, lambda: path.open("rb"), path.stat().st_size)


def kyanite_merge(files: list[Path], out: Path) -> None:
    with out.open("wb") as target:
        merge([source(path) for path in files], target)


def cp(files: list[Path], out: Path) -> None:
    """No parquet file: the bytes only, as the physical limit."""
    with out.open("wb") as target:
        for path in files:
            with path.open("rb") as file:
                size = path.stat().st_size
                while size:
                    size -= os.copy_file_range(file.fileno(), target.fileno(), min(size, 1 << 30))


def pyarrow_merge(files: list[Path], out: Path) -> None:
    with pq.ParquetWriter(out, pq.read_schema(files[0])) as writer:
        for path in files:
            file = pq.ParquetFile(path)
            for group in range(file.num_row_groups):
                writer.write_table(file.read_row_group(group))


def polars_merge(files: list[Path], out: Path) -> None:
    import polars

    polars.scan_parquet(files).sink_parquet(out, compression="snappy")


def duckdb_merge(files: list[Path], out: Path) -> None:
    import duckdb

    names = [str(path) for path in files]
    duckdb.sql(f"COPY (FROM read_parquet({names!r})) TO '{out}' (FORMAT parquet, COMPRESSION snappy)")


class FileWriter:
    """A part on disk: written beside, renamed on commit."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._beside = path.with_suffix(".partial")
        self._file = self._beside.open("wb", buffering=0)

    def write(self, data: bytes) -> int:
        return self._file.write(data)

    def tell(self) -> int:
        return self._file.tell()

    def commit(self) -> None:
        self._file.close()
        self._beside.rename(self._path)

    def abort(self) -> None:
        self._file.close()
        self._beside.unlink()


def kyanite_split(files: list[Path], out: Path, size: int) -> None:
    split([source(path) for path in files], lambda name: FileWriter(out / name), max_bytes=size, staged=True)


def pyarrow_split(files: list[Path], out: Path, size: int) -> None:
    """Rolls over when the next row group may not fit: what one writes by hand."""
    number, writer, last = 0, None, 0
    for batch in _batches(files, ROWS // 8):
        if writer is None:
            path = out / f"part-{number:05d}.parquet"
            writer, last, number = pq.ParquetWriter(path, batch.schema), 0, number + 1
        before = path.stat().st_size
        writer.write_table(batch)
        last = max(last, path.stat().st_size - before)
        if path.stat().st_size + 1.1 * last > size:
            writer.close()
            writer = None
    if writer is not None:
        writer.close()


def _batches(files: list[Path], rows: int) -> Iterator[pa.Table]:
    for path in files:
        for batch in pq.ParquetFile(path).iter_batches(rows):
            yield pa.Table.from_batches([batch])


def check_rows(paths: list[Path], rows: int) -> None:
    """All rows, in order: the key column counts from 0."""
    position = 0
    for path in paths:
        file = pq.ParquetFile(path)
        for group in range(file.num_row_groups):
            keys = file.read_row_group(group, columns=["key"]).column(0)
            expected = pa.array(range(position, position + len(keys)), pa.int64())
            if not keys.combine_chunks().equals(expected):
                raise SystemExit(f"{path.name}: rows are missing or out of order")
            position += len(keys)
    if position != rows:
        raise SystemExit(f"{position} rows instead of {rows}")


def timed(action: Callable[[], None], clear: Callable[[], None], repeat: int) -> float:
    times = []
    for _ in range(repeat):
        clear()
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def bench_merge(files: list[Path], folder: Path, repeat: int, rows: int) -> None:
    size = sum(path.stat().st_size for path in files)
    out = folder / "merged.parquet"
    peers: dict[str, Callable[[list[Path], Path], None]] = {
        "cp": cp,
        "kyanite": kyanite_merge,
        "pyarrow": pyarrow_merge,
    }
    for name, peer in (("polars", polars_merge), ("duckdb", duckdb_merge)):
        if importlib.util.find_spec(name):
            peers[name] = peer
    print(f"\nmerge {len(files)} files, {size / 1e6:.0f} MB, {rows:,} rows")
    times = {}
    for name, peer in peers.items():
        times[name] = timed(lambda peer=peer: peer(files, out), lambda: out.unlink(missing_ok=True), repeat)
        if name != "cp":
            check_rows([out], rows)
        print(
            f"{name:9} {times[name]:8.3f} s {size / times[name] / 1e6:8.0f} MB/s {times[name] / times['cp']:7.1f} x cp",
            end="",
        )
        print(f" {times[name] / times['kyanite']:7.1f} x kyanite" if "kyanite" in times else "")


def bench_split(files: list[Path], folder: Path, repeat: int, rows: int) -> None:
    size = sum(path.stat().st_size for path in files)
    target = size * 10 // 65
    out = folder / "parts"

    def clear() -> None:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()

    print(f"\nsplit into parts of at most {target / 1e6:.1f} MB")
    times = {}
    for name, peer in (("kyanite", kyanite_split), ("pyarrow", pyarrow_split)):
        times[name] = timed(lambda peer=peer: peer(files, out, target), clear, repeat)
        parts = sorted(out.iterdir())
        check_rows(parts, rows)
        sizes = [path.stat().st_size for path in parts]
        over = sum(part > target for part in sizes)
        print(
            f"{name:9} {times[name]:8.3f} s {size / times[name] / 1e6:8.0f} MB/s {len(parts):4} parts, {over} over,"
            f" largest/smallest {max(sizes) / min(sizes):.4f}, {times[name] / times['kyanite']:.1f} x kyanite"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        files = generate(folder, options.megabytes)
        rows = sum(pq.read_metadata(path).num_rows for path in files)
        bench_merge(files, folder, options.repeat, rows)
        bench_split(files, folder, options.repeat, rows)


if __name__ == "__main__":
    main()
