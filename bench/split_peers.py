"""How each peer splits a parquet file, as one writes it with that library; each run is a process of its own.

    python -P bench/split_peers.py PEER INPUT OUTPUT_FOLDER MAX_BYTES

Peers that count rows get the rows a part may have from the file's own average, with 3 % of slack.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

SLACK = 1.03


def rows_of_a_part(source: str, most: int) -> int:
    import pyarrow.parquet as pq

    parts = math.ceil(Path(source).stat().st_size * SLACK / most)
    return math.ceil(pq.read_metadata(source).num_rows / parts)


def codec_of(source: str) -> str:
    """The codec of the input, so that nobody writes smaller or larger files by another choice."""
    import pyarrow.parquet as pq

    return str(pq.read_metadata(source).row_group(0).column(0).compression).lower()


def duckdb(source: str, out: str, most: int) -> None:
    """COPY with FILE_SIZE_BYTES, the library's own limit on sizes."""
    import duckdb

    options = f"FORMAT parquet, COMPRESSION {codec_of(source)}, FILE_SIZE_BYTES {most}"
    duckdb.sql(f"COPY (FROM read_parquet('{source}')) TO '{out}' ({options})")


def polars(source: str, out: str, most: int) -> None:
    """A lazy scan into files of so many rows."""
    import polars

    rows = rows_of_a_part(source, most)
    by_rows = polars.PartitionBy(out, max_rows_per_file=rows, approximate_bytes_per_file=None)
    polars.scan_parquet(source).sink_parquet(by_rows, compression=codec_of(source))


def datafusion(source: str, out: str, most: int) -> None:
    """One partition, files of so many rows."""
    import datafusion

    rows = rows_of_a_part(source, most)
    settings = datafusion.SessionConfig(
        {
            "datafusion.execution.target_partitions": "1",
            "datafusion.execution.minimum_parallel_output_files": "1",
            "datafusion.execution.soft_max_rows_per_output_file": str(rows),
        }
    )
    context = datafusion.SessionContext(settings)
    context.read_parquet(source).write_parquet(f"{out}/", compression=codec_of(source))


def pyarrow_roll(source: str, out: str, most: int) -> None:
    """Row groups of an eighth of a part; the next file when one more may not fit."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = pq.ParquetFile(source)
    number, writer, path, largest = 0, None, Path(), 0.0
    for batch in file.iter_batches(max(1, rows_of_a_part(source, most) // 8)):
        if writer is None:
            path = Path(out) / f"part-{number:05d}.parquet"
            writer, number = pq.ParquetWriter(path, file.schema_arrow, compression=codec_of(source)), number + 1
        before = path.stat().st_size
        writer.write_table(pa.Table.from_batches([batch]), row_group_size=batch.num_rows)
        largest = max(largest, path.stat().st_size - before)
        if path.stat().st_size + 1.1 * largest > most:
            writer.close()
            writer = None
    if writer is not None:
        writer.close()


def pyarrow_dataset(source: str, out: str, most: int) -> None:
    """The dataset writer, files of so many rows."""
    import pyarrow.dataset as ds

    rows = rows_of_a_part(source, most)
    ds.write_dataset(
        ds.dataset(source),
        out,
        format="parquet",
        file_options=ds.ParquetFileFormat().make_write_options(compression=codec_of(source)),
        max_rows_per_file=rows,
        max_rows_per_group=min(rows, 1 << 20),
        preserve_order=True,
    )


def dask(source: str, out: str, most: int) -> None:
    """A partition for each row group, then as many partitions as parts are needed."""
    import dask.dataframe as dd

    parts = math.ceil(Path(source).stat().st_size * SLACK / most)
    frame = dd.read_parquet(source, split_row_groups=True, dtype_backend="pyarrow")
    frame.repartition(npartitions=parts).to_parquet(out, write_index=False, compression=codec_of(source))


def fastparquet(source: str, out: str, most: int) -> None:
    """Read as a frame, written slice by slice."""
    import fastparquet

    rows = rows_of_a_part(source, most)
    frame = fastparquet.ParquetFile(source).to_pandas()
    for number, first in enumerate(range(0, len(frame), rows)):
        path = f"{out}/part-{number:05d}.parquet"
        fastparquet.write(
            path, frame.iloc[first : first + rows], compression=codec_of(source).upper(), write_index=False
        )


def tutorial(source: str, out: str, most: int) -> None:
    """What the Data Factory and Batch tutorial's program does, with files for blobs.

    The ratio of frame to file decides the number of parts, each next part begins one row after the end of the last
    (which leaves a row out), and every part is read again to count its rows.
    """
    import pyarrow.parquet as pq

    frame = pq.read_table(source).to_pandas()
    held = frame.memory_usage(index=True).sum()
    ratio = held / Path(source).stat().st_size
    splits = int(held / (most * ratio) + 1)
    step = round(len(frame) / splits) - 1
    first, last = 0, step
    for number in range(splits):
        if number == splits - 1:
            last = len(frame)
        path = Path(out) / f"part{number:04d}.parq"
        frame.iloc[first:last].to_parquet(path)
        print(path.name, len(pq.read_table(path).to_pandas()), path.stat().st_size)
        first, last = last + 1, last + step


PEERS = {
    "DuckDB": duckdb,
    "Polars": polars,
    "DataFusion": datafusion,
    "pyarrow roll-over": pyarrow_roll,
    "pyarrow dataset": pyarrow_dataset,
    "Dask": dask,
    "fastparquet": fastparquet,
    "tutorial": tutorial,
}

if __name__ == "__main__":
    PEERS[sys.argv[1]](sys.argv[2], sys.argv[3], int(sys.argv[4]))
