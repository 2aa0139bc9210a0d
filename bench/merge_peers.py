"""How each peer joins parquet files into one; each run is a process of its own and prints the seconds after imports.

python -P bench/merge_peers.py PEER OUTPUT INPUT...
"""

from __future__ import annotations

import sys
import time
from pathlib import Path


def kyanite(files: list[str], out: str) -> None:
    """The Copy activity with copyBehavior MergeFiles, from and to a container of an embedded account."""
    from kyanite.connections.embedded import EmbeddedConnection
    from kyanite.movement import CopyRequest, Dataset, copy
    from kyanite.secrets import Vault
    from kyanite.storage import StorageAccounts

    begin()
    home = Path(files[0]).parents[4]
    store = EmbeddedConnection(StorageAccounts(home / "storage", Vault(home / "secrets.json")).get("boxes"))

    def dataset(folder: str, name: str) -> Dataset:
        location = {"type": "AzureBlobStorageLocation", "container": "box", "folderPath": folder, "fileName": name}
        return Dataset(folder, "Parquet", {"location": location}, "AzureBlobStorage")

    properties = {
        "source": {
            "type": "ParquetSource",
            "storeSettings": {"recursive": True, "wildcardFolderPath": "input", "wildcardFileName": "*.parquet"},
        },
        "sink": {"type": "ParquetSink", "storeSettings": {"copyBehavior": "MergeFiles"}},
    }
    source, sink = dataset("input", "any"), dataset(Path(out).parent.name, Path(out).name)
    copy(CopyRequest(source, sink, properties, store, store, "11111111-2222-3333-4444-555555555555"))


def polars(files: list[str], out: str) -> None:
    import polars

    begin()
    polars.scan_parquet(files).sink_parquet(out, compression="snappy")


def duckdb(files: list[str], out: str) -> None:
    import duckdb

    begin()
    duckdb.sql(f"COPY (FROM read_parquet({files!r})) TO '{out}' (FORMAT parquet, COMPRESSION snappy)")


def pyarrow(files: list[str], out: str) -> None:
    """Row group by row group."""
    import pyarrow.parquet as pq

    begin()
    with pq.ParquetWriter(out, pq.read_schema(files[0])) as writer:
        for path in files:
            file = pq.ParquetFile(path)
            for group in range(file.num_row_groups):
                writer.write_table(file.read_row_group(group))


PEERS = {"kyanite": kyanite, "Polars": polars, "DuckDB": duckdb, "pyarrow": pyarrow}
started = 0.0


def begin() -> None:
    """Imports are done."""
    global started
    started = time.perf_counter()


if __name__ == "__main__":
    PEERS[sys.argv[1]](sys.argv[3:], sys.argv[2])
    print("seconds", time.perf_counter() - started)
