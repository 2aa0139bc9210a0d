"""Writes a table the way other writers do; run as a program in an environment that has the writer.

    python -P peer_writers.py WRITER FOLDER     reads FOLDER/flat.parquet and nested.parquet, prints what failed as JSON

Each variant becomes FOLDER/<writer>-<variant>.parquet.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

# writer -> variant -> options; a variant whose name begins with "nested" takes the nested table
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "arro3": {
        "plain": {"compression": "uncompressed"},
        "v2-zstd": {"compression": "zstd(3)", "writer_version": "parquet_2_0", "data_page_row_count_limit": 700},
        "no-dictionary-snappy": {"compression": "snappy", "dictionary_enabled": False, "data_page_size_limit": 4096},
        "delta": {"delta": True, "dictionary_enabled": False, "compression": "lz4_raw"},
        "delta-v2": {"delta": True, "dictionary_enabled": False, "writer_version": "parquet_2_0"},
        "bloom": {"bloom_filter_enabled": True, "compression": "snappy", "max_row_group_size": 9000},
        "nested-v2": {"compression": "snappy", "writer_version": "parquet_2_0", "data_page_row_count_limit": 500},
        "nested-brotli": {"compression": "brotli(3)", "data_page_row_count_limit": 900},
    },
    "datafusion": {
        "default": {},
        "v2": {"writer_version": "2.0", "compression": "snappy", "data_page_row_count_limit": 1000},
        "gzip": {"compression": "gzip(6)", "dictionary_enabled": False},
        "small-row-groups": {"max_row_group_size": 1500, "compression": "lz4_raw", "bloom_filter_on_write": True},
        "nested": {"compression": "zstd(3)", "data_page_row_count_limit": 800},
    },
    "duckdb": {
        "default": {},
        "v2-zstd": {"COMPRESSION": "zstd", "PARQUET_VERSION": "v2"},
        "gzip": {"COMPRESSION": "gzip", "ROW_GROUP_SIZE": 4096},
        "brotli": {"COMPRESSION": "brotli"},
        "lz4": {"COMPRESSION": "lz4_raw"},
        "uncompressed-v2": {"COMPRESSION": "uncompressed", "PARQUET_VERSION": "v2"},
        "nested": {},
        "nested-v2": {"PARQUET_VERSION": "v2", "ROW_GROUP_SIZE": 6000},
    },
    "fastparquet": {
        "snappy": {"compression": "SNAPPY"},
        "gzip": {"compression": "GZIP", "row_group_offsets": 6000},
        "uncompressed": {"compression": None},
        "zstd-int96": {"compression": "ZSTD", "times": "int96"},
        "has-nulls": {"compression": "LZ4_RAW", "has_nulls": True, "row_group_offsets": 15000},
    },
    "polars": {
        "zstd": {},
        "snappy-small-pages": {"compression": "snappy", "data_page_size": 4096},
        "lz4": {"compression": "lz4", "row_group_size": 5000},
        "gzip": {"compression": "gzip", "statistics": "full"},
        "uncompressed": {"compression": "uncompressed", "data_page_size": 65536},
        "nested": {"compression": "zstd", "data_page_size": 8192},
    },
    "spark": {
        "snappy": {},
        "small-pages": {"parquet.page.size": 4096, "parquet.page.row.count.limit": 600},
        "v2-delta": {"parquet.writer.version": "v2", "parquet.enable.dictionary": False, "parquet.page.size": 8192},
        "v2-zstd": {"parquet.writer.version": "v2", "compression": "zstd"},
        "int96-gzip": {"compression": "gzip", "int96": True},
        "lz4-bloom": {"compression": "lz4_raw", "parquet.bloom.filter.enabled": True, "parquet.block.size": 600_000},
        "uncompressed": {"compression": "uncompressed", "parquet.enable.dictionary": False},
        "nested": {"parquet.page.size": 4096},
        "nested-v2": {"parquet.writer.version": "v2", "parquet.page.size": 8192},
    },
}


def arro3(source: Path, out: Path, options: dict[str, Any]) -> None:
    import arro3.io
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(source)
    if options.pop("delta", False):
        named = {}
        for field in table.schema:
            if pa.types.is_string(field.type) or pa.types.is_binary(field.type):
                named[field.name] = "delta_byte_array" if field.name != "word" else "delta_length_byte_array"
            elif pa.types.is_integer(field.type) and field.type.bit_width >= 32:
                named[field.name] = "delta_binary_packed"
            elif pa.types.is_floating(field.type):
                named[field.name] = "byte_stream_split"
        options["column_encoding"] = named
    arro3.io.write_parquet(table, out, **options)


def datafusion(source: Path, out: Path, options: dict[str, Any]) -> None:
    import datafusion

    context = datafusion.SessionContext(datafusion.SessionConfig({"datafusion.execution.target_partitions": "1"}))
    context.read_parquet(str(source)).write_parquet(str(out), datafusion.ParquetWriterOptions(**options))


def duckdb(source: Path, out: Path, options: dict[str, Any]) -> None:
    import duckdb

    told = ", ".join(["FORMAT parquet", *(f"{name} {value}" for name, value in options.items())])
    duckdb.sql(f"COPY (FROM read_parquet('{source}')) TO '{out}' ({told})")


def fastparquet(source: Path, out: Path, options: dict[str, Any]) -> None:
    import fastparquet
    import pyarrow.parquet as pq

    frame = pq.read_table(source).drop_columns(["day", "price", "nothing"]).to_pandas()
    fastparquet.write(str(out), frame, write_index=False, **options)


def polars(source: Path, out: Path, options: dict[str, Any]) -> None:
    import polars

    polars.read_parquet(source).write_parquet(out, **options)


def spark(source: Path, out: Path, options: dict[str, Any]) -> None:
    session = spark_session()
    kind = "INT96" if options.pop("int96", False) else "TIMESTAMP_MICROS"
    session.conf.set("spark.sql.parquet.outputTimestampType", kind)
    folder = out.with_suffix(".folder")
    frame = session.read.parquet(str(source)).coalesce(1)
    frame.write.options(**{name: str(value).lower() for name, value in options.items()}).parquet(str(folder))
    (part,) = folder.glob("part-*.parquet")
    part.rename(out)


def spark_session() -> Any:
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[1]").appName("peers").config("spark.ui.enabled", "false")
    builder = builder.config("spark.sql.session.timeZone", "UTC").config("spark.sql.files.maxPartitionBytes", "1g")
    return builder.config("spark.driver.memory", "2g").getOrCreate()


WRITERS: dict[str, Callable[[Path, Path, dict[str, Any]], None]] = {
    "arro3": arro3,
    "datafusion": datafusion,
    "duckdb": duckdb,
    "fastparquet": fastparquet,
    "polars": polars,
    "spark": spark,
}


def main(writer: str, folder: Path) -> None:
    failed = {}
    for variant, options in VARIANTS[writer].items():
        source = folder / ("nested.parquet" if variant.startswith("nested") else "flat.parquet")
        try:
            WRITERS[writer](source, folder / f"{writer}-{variant}.parquet", dict(options))
        except Exception as error:  # noqa: BLE001 - whatever a foreign writer raises is told
            failed[variant] = f"{type(error).__name__}: {error}"[:300]
    print(json.dumps(failed))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
