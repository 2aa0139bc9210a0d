"""Reads files the way other readers do; run as a program in an environment that has the reader.

    python -P peer_readers.py READER FOLDER     reads FOLDER/cases.json, writes FOLDER/read-<reader>.json

A case is an original and the files that were made of it, in order. The reader must see the same rows, and the same
answers to questions it takes from statistics. The result of a case is "" or what differs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

Answers = tuple[Any, ...]


def duckdb(files: list[str]) -> tuple[Any, Answers]:
    import duckdb

    connection = duckdb.connect()
    rows = connection.sql(f"FROM read_parquet({files!r})").to_arrow_table()
    low, high = rows.num_rows // 3, rows.num_rows // 2
    query = (
        f"SELECT count(*), min(id), max(id), count(*) FILTER (id BETWEEN {low} AND {high}) FROM read_parquet({files!r})"
    )
    filtered = f"SELECT count(*), sum(id) FROM read_parquet({files!r}) WHERE id BETWEEN {low} AND {high}"
    return rows, (*connection.sql(query).fetchall()[0], *connection.sql(filtered).fetchall()[0])


def polars(files: list[str]) -> tuple[Any, Answers]:
    import polars

    scan = polars.scan_parquet(files)
    rows = scan.collect()
    low, high = rows.height // 3, rows.height // 2
    found = scan.filter(polars.col("id").is_between(low, high)).select(polars.col("id").sum(), polars.len().alias("n"))
    bounds = scan.select(polars.col("id").min().alias("low"), polars.col("id").max().alias("high"))
    return rows.to_arrow(), (*found.collect().row(0), *bounds.collect().row(0))


def datafusion(files: list[str]) -> tuple[Any, Answers]:
    import datafusion
    import pyarrow as pa

    config = datafusion.SessionConfig(
        {
            "datafusion.execution.target_partitions": "1",
            "datafusion.execution.parquet.pushdown_filters": "true",
        }
    )
    context = datafusion.SessionContext(config)
    tables = [context.read_parquet(file).to_arrow_table() for file in files]
    rows = pa.concat_tables(tables)
    low, high = rows.num_rows // 3, rows.num_rows // 2
    totals = [0, 0]
    least, most = [], []
    for number, file in enumerate(files):
        context.register_parquet(f"t{number}", file)
        query = f"SELECT count(*) AS n, sum(id) AS s FROM t{number} WHERE id BETWEEN {low} AND {high}"
        found = context.sql(query).to_pylist()[0]
        totals = [totals[0] + found["n"], totals[1] + (found["s"] or 0)]
        bounds = context.sql(f"SELECT min(id) AS a, max(id) AS b FROM t{number}").to_pylist()[0]
        least.append(bounds["a"])
        most.append(bounds["b"])
    return rows, (*totals, min(least), max(most))


def fastparquet(files: list[str]) -> tuple[Any, Answers]:
    """Values only: its row filter answers wrongly about files of other writers too."""
    import fastparquet
    import pandas as pd

    frame = pd.concat([fastparquet.ParquetFile(file).to_pandas() for file in files], ignore_index=True)
    return frame, (len(frame), int(frame["id"].sum()), int(frame["id"].min()), int(frame["id"].max()))


def spark(files: list[str]) -> tuple[Any, Answers]:
    sys.path.insert(0, str(Path(__file__).parent))
    from peer_writers import spark_session
    from pyspark.sql import functions

    session = spark_session()
    rows = [row for file in files for row in session.read.parquet(file).coalesce(1).collect()]
    low, high = len(rows) // 3, len(rows) // 2
    frame = session.read.parquet(*files)
    found = frame.where(frame.id.between(low, high)).agg(functions.count("*"), functions.sum("id")).first()
    bounds = frame.agg(functions.min("id"), functions.max("id")).first()
    return rows, (*found, *bounds)


READERS: dict[str, Callable[[list[str]], tuple[Any, Answers]]] = {
    "datafusion": datafusion,
    "duckdb": duckdb,
    "fastparquet": fastparquet,
    "polars": polars,
    "spark": spark,
}


@lru_cache(maxsize=1)
def original_of(reader: str, original: str) -> tuple[Any, Answers]:
    return READERS[reader]([original])


def difference(reader: str, original: str, made: list[str]) -> str:
    """What differs between an original and what was made of it; "unreadable" when the original is, for this reader."""
    try:
        expected, told = original_of(reader, original)
    except Exception as error:  # noqa: BLE001
        return f"unreadable: {type(error).__name__}: {error}"[:300]
    if reader == "fastparquet" and told[1] != sum(range(told[0])):
        return "unreadable: it reads other numbers than were written"
    try:
        found, answers = READERS[reader](made)
    except Exception as error:  # noqa: BLE001
        return f"{type(error).__name__}: {error}"[:300]
    if told != answers:
        return f"answers {answers} instead of {told}"
    if len(expected) != len(found):
        return f"{len(found)} rows instead of {len(expected)}"
    if isinstance(expected, list):
        where = [number for number, (a, b) in enumerate(zip(expected, found, strict=True)) if a != b]
        return f"{len(where)} rows differ, the first is row {where[0]}" if where else ""
    names = list(getattr(expected, "column_names", expected.columns))
    wrong = [name for name in names if not expected[name].equals(found[name])]
    return f"columns differ: {wrong}" if wrong else ""


def main(reader: str, folder: Path) -> None:
    cases = json.loads((folder / "cases.json").read_text("utf-8"))
    results = {case["name"]: difference(reader, case["original"], case["made"]) for case in cases}
    (folder / f"read-{reader}.json").write_text(json.dumps(results), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
