"""Other writers' files split and joined here, and what comes out read by other readers.

Not part of the ordinary run; the environments come from `python bench/environment.py`:

    python3 dev.py test -m peers
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from peer_readers import READERS
from peer_writers import VARIANTS

from kyanite.errors import KyaniteError
from kyanite.movement.split import split
from kyanite.parquet import Source, merge

pytestmark = pytest.mark.peers

HERE = Path(__file__).resolve().parent
ROWS = 20_000
CASES = [f"{writer}-{variant}" for writer, variants in VARIANTS.items() for variant in variants]
PARTS = 5
SMALLEST_TARGET = 40_000  # bytes; a footer of 15 columns takes 4,000 of them
SPREAD = 0.05, 5_000  # of the largest part, and bytes more: the parts are small, so that a cut page counts
FASTPARQUET = "fastparquet reads None where a chunk's dictionary gives way to plain pages, in pyarrow's files too"
KNOWN = {  # (test or reader, case) -> the defect; one of ours that is gone must go from here too
    ("fastparquet", "arro3-bloom"): FASTPARQUET,
    ("fastparquet", "arro3-nested-brotli"): FASTPARQUET,
    ("fastparquet", "arro3-nested-v2"): FASTPARQUET,
    ("fastparquet", "datafusion-default"): FASTPARQUET,
    ("fastparquet", "datafusion-nested"): FASTPARQUET,
    ("fastparquet", "datafusion-small-row-groups"): FASTPARQUET,
}


def environment():
    """bench/environment.py, which knows where the peers' environments are."""
    spec = importlib.util.spec_from_file_location("peer_environment", HERE.parent.parent / "bench" / "environment.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def python_for(peer: str) -> Path | None:
    if peer == "spark":
        return environment().python_of("bench-spark") if shutil.which("java") else None
    return environment().python_of("bench")


def flat() -> pa.Table:
    numbers = range(ROWS)
    return pa.table(
        {
            "id": pa.array(numbers, pa.int64()),
            "small": pa.array([n % 7 if n % 11 else None for n in numbers], pa.int8()),
            "unsigned": pa.array([n * 200_003 % 2**31 for n in numbers], pa.uint32()),
            "mixed": pa.array([n * 7919 % 10_007 - 5000 for n in numbers], pa.int32()),
            "ratio": pa.array([n / 7 if n % 13 else None for n in numbers], pa.float64()),
            "single": pa.array([n % 1000 / 8 for n in numbers], pa.float32()),
            "flag": pa.array([n % 3 == 0 for n in numbers], pa.bool_()),
            "kind": [["alpha", "beta", "gamma", "delta"][n // 50 % 4] for n in numbers],
            "word": pa.array([f"word {n * 104_729 % 99_991}" if n % 17 else None for n in numbers], pa.string()),
            "long": ["x" * (n % 40) + str(n) for n in numbers],
            "raw": pa.array([bytes([n % 251, n % 13]) * (n % 5) for n in numbers], pa.binary()),
            "at": pa.array([1_700_000_000_000_000 + n * 61_000_000 for n in numbers], pa.timestamp("us", tz="UTC")),
            "day": pa.array([19_000 + n // 100 for n in numbers], pa.int32()).cast(pa.date32()),
            "price": pa.array(numbers, pa.int64()).cast(pa.decimal128(19, 0)).cast(pa.decimal128(22, 2)),
            "nothing": pa.nulls(ROWS, pa.int32()),
        }
    )


def nested() -> pa.Table:
    numbers = range(ROWS)
    item = pa.struct([("id", pa.int64()), ("word", pa.string())])
    return pa.table(
        {
            "id": pa.array(numbers, pa.int64()),
            "list": pa.array([list(range(n % 4)) if n % 9 else None for n in numbers], pa.list_(pa.int32())),
            "place": pa.array(
                [{"x": n / 3, "zone": f"z{n % 50}"} if n % 8 else None for n in numbers],
                pa.struct([("x", pa.float64()), ("zone", pa.string())]),
            ),
            "items": pa.array(
                [[{"id": n, "word": f"w{n % 97}"}, None][: n % 3] for n in numbers],
                pa.list_(item),
            ),
            "lists": pa.array([[[n, n + 1], [], None][: n % 4] for n in numbers], pa.list_(pa.list_(pa.int32()))),
        }
    )


@dataclass
class Made:
    """What was made of one file: its parts, the parts joined again, or why there are none."""

    original: Path
    parts: tuple[Path, ...] = ()
    joined: Path | None = None
    target: int = 0
    oversize: int = 0
    failure: str = ""


def run(program: str, peer: str, folder: Path) -> str:
    """Run one of the two programs for a peer; what it printed."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [str(python_for(peer)), "-P", str(HERE / program), peer, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=clean, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""


@pytest.fixture(scope="session")
def files(tmp_path_factory) -> dict[str, Made | str]:
    """Every case: what was made of its file, or why the file is not there."""
    folder = tmp_path_factory.mktemp("peers")
    pq.write_table(flat(), folder / "flat.parquet", compression="zstd")
    pq.write_table(nested(), folder / "nested.parquet", compression="zstd")
    found: dict[str, Made | str] = {}
    for writer, variants in VARIANTS.items():
        absent = python_for(writer) is None
        failed = {} if absent else json.loads(run("peer_writers.py", writer, folder))
        for variant in variants:
            name = f"{writer}-{variant}"
            reason = "not installed" if absent else failed.get(variant, "")
            found[name] = reason or make(folder, name)
    cases = []
    for name, made in found.items():
        if isinstance(made, Made) and not made.failure:
            cases.append({"name": name, "original": str(made.original), "made": [str(part) for part in made.parts]})
            joined = {"name": f"{name} joined", "original": str(made.original), "made": [str(made.joined)]}
            cases.append(joined)
    (folder / "cases.json").write_text(json.dumps(cases), encoding="utf-8")
    return found


def make(folder: Path, name: str) -> Made:
    original = folder / f"{name}.parquet"
    made = Made(original, target=max(SMALLEST_TARGET, original.stat().st_size // PARTS))
    try:
        result = split(original, folder / name, max_size=made.target)
        made.parts = tuple(Path(part.path) for part in result.parts)
        made.oversize = sum(part.oversize for part in result.parts)
        made.joined = folder / f"{name}-joined.parquet"
        with made.joined.open("wb") as out:
            merge([Source(part.name, opener(part), part.stat().st_size) for part in made.parts], out)
    except KyaniteError as error:
        made.failure = str(error)
    return made


def opener(path: Path):
    return lambda: path.open("rb")


@pytest.fixture(scope="session")
def readings(files, tmp_path_factory) -> dict[str, dict[str, str] | None]:
    """Reader -> case -> what differs; None for a reader that is not installed."""
    folder = next(made.original.parent for made in files.values() if isinstance(made, Made))
    results: dict[str, dict[str, str] | None] = {}
    for reader in READERS:
        if python_for(reader) is None:
            results[reader] = None
            continue
        run("peer_readers.py", reader, folder)
        results[reader] = json.loads((folder / f"read-{reader}.json").read_text("utf-8"))
    return results


def made_of(files, case: str) -> Made:
    made = files[case]
    if isinstance(made, str):
        if made == "not installed":
            pytest.skip(f"{case}: {made}")
        pytest.fail(f"the writer failed: {made}")
    assert made.failure == ""
    return made


@pytest.mark.parametrize("case", CASES)
def test_the_parts_hold_every_row_in_order(files, case):
    made = made_of(files, case)
    parts = [pq.read_table(part) for part in made.parts]
    expected = pq.read_table(made.original)
    assert pa.concat_tables(parts).equals(expected)
    assert pq.read_table(made.joined).equals(expected)
    assert all(part.schema.equals(expected.schema, check_metadata=True) for part in parts)


def known(place: str, case: str):
    """The marks of a case with a defect that is known."""
    reason = KNOWN.get((place, case))
    return [pytest.mark.xfail(strict=reason is not FASTPARQUET, reason=reason)] if reason else []


@pytest.mark.parametrize("case", [pytest.param(case, marks=known("sizes", case)) for case in CASES])
def test_the_parts_are_equal_and_at_most_the_target(files, case):
    made = made_of(files, case)
    sizes = [part.stat().st_size for part in made.parts]
    assert [size for size in sizes if size > made.target] == []
    assert made.oversize == 0
    assert max(sizes) - min(sizes) <= SPREAD[0] * max(sizes) + SPREAD[1]
    assert len(sizes) <= 2 * PARTS


@pytest.mark.parametrize("reader", READERS)
def test_a_reader_reads_most_originals(readings, reader):
    """A reader that reads nothing would make every comparison a skipped one."""
    if readings[reader] is None:
        pytest.skip(f"{reader}: not installed")
    unreadable = [case for case, told in readings[reader].items() if told.startswith("unreadable")]
    assert len(unreadable) < len(readings[reader]) / 2


@pytest.mark.parametrize(
    ("case", "reader"),
    [pytest.param(case, reader, marks=known(reader, case)) for case in CASES for reader in READERS],
)
def test_other_readers_see_the_same(files, readings, case, reader):
    made_of(files, case)
    found = readings[reader]
    if found is None:
        pytest.skip(f"{reader}: not installed")
    if found[case].startswith("unreadable"):
        pytest.skip(f"{reader} cannot read the original: {found[case]}")
    assert found[case] == ""
    assert found[f"{case} joined"] == ""


def test_a_slice_lists_the_encodings_it_has(tmp_path):
    words = pa.table({"word": [f"word {n * 104_729 % 99_991}" for n in range(ROWS)]})
    original = tmp_path / "words.parquet"
    pq.write_table(words, original, dictionary_pagesize_limit=2000, data_page_size=2000, write_batch_size=64)
    split(original, tmp_path / "out", max_size=100_000)
    for part in sorted((tmp_path / "out").glob("*.parquet")):
        column = pq.read_metadata(part).row_group(0).column(0)
        assert column.has_dictionary_page or "RLE_DICTIONARY" not in column.encodings
