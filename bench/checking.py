"""Whether parts hold what the file they come from holds; run as a process of its own, prints JSON.

    python bench/checking.py MAX_BYTES KEY[,KEY...] ORIGINAL[,ORIGINAL...] PART...

Parts count in the order of their names. Rows are compared value by value, column by column;
types may be wider or written otherwise, that is the column "schema".
"""

from __future__ import annotations

import json
import re
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 250_000
OURS_TO_KEEP_NOT = {b"ARROW:schema", b"pandas"}


@dataclass(frozen=True)
class Verdict:
    """Sizes in bytes; `rows_lost` below 0: rows too many; `order`: "yes", "lost" (every row is there once), or "no"."""

    parts: int
    smallest: int
    mean: float
    largest: int
    over: int
    rows_lost: int
    order: str
    schema: bool
    metadata: bool
    problem: str = ""

    @property
    def right(self) -> bool:
        """All rows, in order, with their values, and no part over the target."""
        return self.order == "yes" and not self.rows_lost and not self.over and not self.problem

    @property
    def spread(self) -> float:
        return self.largest / self.smallest


def in_order(paths: Sequence[Path]) -> list[Path]:
    """By name when all are equally long (some count in hexadecimal digits), else `part-10` after `part-9`."""

    def by_number(path: Path) -> list[tuple[int, str]]:
        return [(int(piece), "") if piece.isdigit() else (0, piece) for piece in re.split(r"(\d+)", path.name)]

    if len({len(path.name) for path in paths}) == 1:
        return sorted(paths, key=lambda path: path.name)
    return sorted(paths, key=by_number)


def judge(originals: Sequence[Path], parts: Sequence[Path], most: int, key: Sequence[str]) -> Verdict:
    """Compare parts with the files that they come from."""
    sizes = [path.stat().st_size for path in parts]
    expected, found = pq.ParquetFile(originals[0]), pq.ParquetFile(parts[0])
    wanted = sum(pq.read_metadata(path).num_rows for path in originals)
    lost = wanted - sum(pq.read_metadata(path).num_rows for path in parts)
    order, problem = "no", ""
    if lost:
        problem = f"{lost:,} rows are missing" if lost > 0 else f"{-lost:,} rows too many"
    elif not (problem := first_difference(originals, parts)):
        order = "yes"
    elif key:
        expected_keys, found_keys = keys_of(originals, key), keys_of(parts, key)
        if expected_keys.equals(found_keys):
            order = "yes"  # then it is values or types that differ
        elif sorted_by(expected_keys, key).equals(sorted_by(found_keys, key)):
            order, problem = "lost", "order lost"
    return Verdict(
        len(parts),
        min(sizes),
        statistics.fmean(sizes),
        max(sizes),
        sum(size > most for size in sizes),
        lost,
        order,
        expected.schema.equals(found.schema),
        all(own(path).items() >= own(originals[0]).items() for path in parts),
        problem,
    )


def own(path: Path) -> dict[bytes, bytes]:
    """The key/value metadata that the user put in."""
    metadata = pq.read_metadata(path).metadata or {}
    return {name: value for name, value in metadata.items() if name not in OURS_TO_KEEP_NOT}


def first_difference(originals: Sequence[Path], parts: Sequence[Path]) -> str:
    """Where the rows first differ; empty when they do not."""
    names = pq.read_schema(originals[0]).names
    if set(found := pq.read_schema(parts[0]).names) != set(names):
        return f"columns differ: {sorted(set(found) ^ set(names))}"
    left, right = batches(originals, names), batches(parts, names)
    a, b, at = pa.table({}), pa.table({}), 0
    while True:
        a = next(left, None) if a is not None and not a.num_rows else a
        b = next(right, None) if b is not None and not b.num_rows else b
        if a is None or b is None:
            return "" if a is b else f"one side ends at row {at:,}"
        count = min(a.num_rows, b.num_rows)
        for name in names:
            if not same(a.column(name).slice(0, count), b.column(name).slice(0, count)):
                return f"column {name} differs in rows {at:,} to {at + count:,}"
        a, b, at = a.slice(count), b.slice(count), at + count


def batches(paths: Sequence[Path], names: Sequence[str]) -> Iterator[pa.Table]:
    for path in paths:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(ROWS, columns=list(names)):
                if batch.num_rows:
                    yield pa.Table.from_batches([batch])


def same(a: pa.ChunkedArray, b: pa.ChunkedArray) -> bool:
    """Equal values, whatever their types say."""
    if a.type != b.type:
        if pa.types.is_map(a.type) and (pa.types.is_list(b.type) or pa.types.is_large_list(b.type)):
            a = as_list(a, b.type)
        if pa.types.is_dictionary(a.type):
            a = a.cast(a.type.value_type)
        try:
            b = b.cast(a.type)
        except pa.ArrowException:
            return False
    return bool(a.equals(b))


def as_list(maps: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Maps as the lists of pairs that some writers call them; nulls are not expected."""
    found = maps.combine_chunks()
    found = found.chunk(0) if isinstance(found, pa.ChunkedArray) else found
    pairs = pa.StructArray.from_arrays([found.keys, found.items], names=[field.name for field in kind.value_type])
    return pa.chunked_array([pa.ListArray.from_arrays(found.offsets, pairs).cast(kind)])


def keys_of(paths: Sequence[Path], key: Sequence[str]) -> pa.Table:
    """The columns that name a row, as numbers."""
    table = pa.concat_tables([pq.read_table(path, columns=list(key)) for path in paths], promote_options="permissive")
    return table.cast(pa.schema([(name, pa.int64()) for name in key])).combine_chunks()


def sorted_by(table: pa.Table, key: Sequence[str]) -> pa.Table:
    return table.sort_by([(name, "ascending") for name in key])


def main(arguments: Sequence[str]) -> None:
    most, key, originals, *parts = arguments
    files = in_order([Path(part) for part in parts])
    names = [name for name in key.split(",") if name]
    verdict = judge([Path(path) for path in originals.split(",")], files, int(most), names)
    print(json.dumps(asdict(verdict)))


if __name__ == "__main__":
    main(sys.argv[1:])
