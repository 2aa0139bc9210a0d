"""Parquet files in memory for the tests: generated tables, written in many ways."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kyanite.parquet import Source, SplitResult, split
from kyanite.parquet.thrift import I32, decode, encode, structs_of


class MemoryWriter(io.BytesIO):
    def __init__(self) -> None:
        super().__init__()
        self.state = "open"

    def commit(self) -> None:
        assert self.state == "open"
        self.state = "committed"

    def abort(self) -> None:
        assert self.state == "open"
        self.state = "aborted"


class Folder:
    """Where parts go: remembers every writer ever opened."""

    def __init__(self) -> None:
        self.writers: list[tuple[str, MemoryWriter]] = []

    def open_part(self, name: str) -> MemoryWriter:
        writer = MemoryWriter()
        self.writers.append((name, writer))
        return writer

    def committed(self) -> dict[str, bytes]:
        return {name: writer.getvalue() for name, writer in self.writers if writer.state == "committed"}

    def untouched(self) -> bool:
        return all(writer.state == "aborted" for _, writer in self.writers)


def source(data: bytes, name: str = "in.parquet") -> Source:
    return Source(name, lambda: io.BytesIO(data), len(data))


def written(table: pa.Table, **options: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, **options)
    return out.getvalue()


def read(data: bytes) -> pa.Table:
    return pq.read_table(io.BytesIO(data), use_threads=False)


def metadata(data: bytes) -> Any:
    return pq.ParquetFile(io.BytesIO(data)).metadata


def joined(parts):
    return pa.concat_tables([pq.read_table(io.BytesIO(part), page_checksum_verification=True) for part in parts])


def with_codec(data, codec):
    """The file as if its pages were compressed with another codec."""
    size = int.from_bytes(data[-8:-4], "little")
    footer, _ = decode(data[-8 - size : -8])
    for group in structs_of(footer, 4):
        for column in structs_of(group, 1):
            column[3][1][4] = (I32, codec)
    changed = encode(footer)
    return data[: -8 - size] + changed + len(changed).to_bytes(4, "little") + b"PAR1"


def split_all(data: bytes | Sequence[bytes], **target: Any) -> tuple[SplitResult, list[bytes]]:
    """The split's result and its parts' bytes, in order."""
    folder = Folder()
    files = [data] if isinstance(data, bytes) else list(data)
    result = split([source(file, f"in-{n}.parquet") for n, file in enumerate(files)], folder.open_part, **target)
    parts = folder.committed()
    assert list(parts) == [part.name for part in result.parts]
    assert [len(part) for part in parts.values()] == [part.bytes for part in result.parts]
    return result, list(parts.values())


def _nullable(values: Callable[[random.Random], Any], share: float) -> Callable[[random.Random], Any]:
    return lambda rng: None if rng.random() < share else values(rng)


COLUMNS: dict[str, tuple[pa.DataType, Callable[[random.Random], Any]]] = {
    "key": (pa.int64(), lambda rng: rng.randrange(2**40)),
    "small": (pa.int32(), _nullable(lambda rng: rng.randrange(100), 0.2)),
    "text": (pa.string(), _nullable(lambda rng: f"text-{rng.randrange(10**6)}", 0.1)),
    "kind": (pa.string(), lambda rng: f"kind-{rng.randrange(30)}"),
    "real": (pa.float64(), _nullable(lambda rng: rng.random(), 0.5)),
    "half": (pa.float32(), lambda rng: float(rng.randrange(50))),
    "flag": (pa.bool_(), _nullable(lambda rng: rng.random() < 0.3, 0.1)),
    "price": (pa.decimal128(20, 3), _nullable(lambda rng: Decimal(rng.randrange(10**9)).scaleb(-3), 0.1)),
    "at": (pa.timestamp("us", tz="UTC"), lambda rng: rng.randrange(2 * 10**15)),
    "day": (pa.date32(), lambda rng: rng.randrange(20000)),
    "fixed": (pa.binary(5), lambda rng: bytes([rng.randrange(256)] * 5)),
    "nothing": (pa.int16(), lambda rng: None),
    "one": (pa.string(), lambda rng: "same"),
    "list": (pa.list_(pa.int32()), _nullable(lambda rng: [rng.randrange(9)] * rng.randrange(4), 0.2)),
    "struct": (
        pa.struct([("a", pa.int64()), ("b", pa.string())]),
        _nullable(lambda rng: {"a": rng.randrange(9), "b": None if rng.random() < 0.5 else "b"}, 0.2),
    ),
    "map": (pa.map_(pa.string(), pa.float64()), lambda rng: [(str(k), rng.random()) for k in range(rng.randrange(3))]),
    "deep": (
        pa.list_(pa.list_(pa.struct([("x", pa.int32()), ("y", pa.list_(pa.string()))]))),
        _nullable(
            lambda rng: (
                [[{"x": rng.randrange(5), "y": ["z"] * rng.randrange(3)}] * rng.randrange(3)] * rng.randrange(3)
            ),
            0.2,
        ),
    ),
}


def table_of(names: Sequence[str], rows: int, seed: int = 0) -> pa.Table:
    """A table of these columns of COLUMNS, with two key/value pairs of metadata."""
    rng = random.Random(seed)
    arrays = {name: pa.array([COLUMNS[name][1](rng) for _ in range(rows)], COLUMNS[name][0]) for name in names}
    return pa.table(arrays).replace_schema_metadata({"owner": "someone", "purpose": "a test"})


def check(data, result, parts, most=None, kept=True):
    """Every row once and in order, schema and metadata kept, nothing above the target."""
    table = read(data)
    assert joined(parts).equals(table)
    assert result.rows_in == result.rows_out == table.num_rows
    assert [part.first_row for part in result.parts] == [
        sum(before.rows for before in result.parts[:index]) for index in range(len(result.parts))
    ]
    wanted = metadata(data)
    for part, file in zip(result.parts, parts, strict=True):
        footer = metadata(file)
        assert footer.num_rows == part.rows
        assert footer.schema.equals(wanted.schema)
        assert footer.metadata == wanted.metadata
        assert footer.created_by == wanted.created_by
        if most is not None and len(file) > most:
            assert part.oversize
            assert part.rows <= 1
        check_statistics(file, kept)


def check_statistics(file, kept):
    """Minima, maxima and nulls in the part's footer are what pyarrow finds when it writes the same rows."""
    reader = pq.ParquetFile(io.BytesIO(file))
    options = {"store_decimal_as_integer": any(text in ("INT32", "INT64") for text in decimal_storage(reader))}
    for index in {0, reader.metadata.num_row_groups - 1} if reader.metadata.num_rows else ():  # the cut ones
        group = reader.metadata.row_group(index)
        wanted = metadata(written(reader.read_row_group(index), compression="none", **options)).row_group(0)
        for column in range(group.num_columns):
            found, right = group.column(column).statistics, wanted.column(column).statistics
            if group.column(column).physical_type == "INT96":
                continue
            assert found is not None or not kept
            if found is None:
                continue
            assert found.has_min_max == right.has_min_max
            assert (found.min_raw, found.max_raw) == (right.min_raw, right.max_raw)
            if found.has_null_count:
                assert found.null_count == right.null_count


def decimal_storage(reader):
    schema = reader.metadata.schema
    columns = [schema.column(index) for index in range(len(schema))]
    return [column.physical_type for column in columns if column.logical_type.type == "DECIMAL"]
