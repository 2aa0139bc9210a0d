"""Merge and split over real files: nothing is visible before commit, pyarrow stays unloaded until it is needed."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kyanite.errors import DataError
from kyanite.parquet import FileOpener, Source, merge, split


class FileWriter:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.beside = path.with_name(path.name + ".partial")
        self.file = self.beside.open("wb")

    def write(self, data):
        return self.file.write(data)

    def tell(self):
        return self.file.tell()

    def commit(self):
        self.file.close()
        self.beside.rename(self.path)

    def abort(self):
        self.file.close()
        self.beside.unlink()


def source(path: Path) -> Source:
    return Source(path.name, lambda: path.open("rb"), path.stat().st_size)


def wide_table(rows: int, seed: int) -> pa.Table:
    rng = random.Random(seed)
    return pa.table(
        {
            "id": pa.array(range(rows), pa.int64()),
            "name": [f"name {rng.randrange(10**9)}" for _ in range(rows)],
            "kind": [rng.choice("abcdef") for _ in range(rows)],
            "amount": [rng.random() if rng.random() < 0.8 else None for _ in range(rows)],
            "tags": [["t"] * rng.randrange(3) for _ in range(rows)],
        }
    )


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    paths = [tmp_path_factory.mktemp("originals") / f"in-{number}.parquet" for number in range(3)]
    for number, path in enumerate(paths):
        pq.write_table(wide_table(40_000, number), path, row_group_size=25_000)
    return paths


@pytest.fixture
def files(originals, tmp_path):
    return [Path(shutil.copy(path, tmp_path)) for path in originals]


def test_merge_then_split_gives_the_rows_back_in_equal_parts(files, tmp_path):
    merged = tmp_path / "merged.parquet"
    with merged.open("wb") as out:
        result = merge([source(path) for path in files], out)
    assert result.raw
    assert result.bytes_written == merged.stat().st_size
    expected = pa.concat_tables([pq.read_table(path) for path in files])
    assert pq.read_table(merged).equals(expected)

    target = tmp_path / "parts"
    target.mkdir()
    most = merged.stat().st_size // 5
    outcome = split([source(merged)], lambda name: FileWriter(target / name), max_bytes=most)
    parts = sorted(target.iterdir())
    assert [path.name for path in parts] == [part.name for part in outcome.parts]
    sizes = [path.stat().st_size for path in parts]
    assert max(sizes) <= most
    assert max(sizes) / min(sizes) < 1.02
    assert pa.concat_tables([pq.read_table(path) for path in parts]).equals(expected)


def test_filters_over_cut_row_groups_find_the_same_rows(files, tmp_path):
    """Engines skip row groups by their statistics: a wrong minimum would lose rows here."""
    split([source(path) for path in files], lambda name: FileWriter(tmp_path / name), rows=7_001)
    parts = sorted(tmp_path.glob("part-*"))
    for rule in (
        [("id", ">", 24_000), ("id", "<", 26_500)],
        [("kind", "==", "c"), ("amount", "<", 0.01)],
        [("id", "==", 7)],
    ):
        expected = pa.concat_tables([pq.read_table(path, filters=rule) for path in files])
        found = pa.concat_tables([pq.read_table(path, filters=rule) for path in parts])
        assert found.num_rows > 0
        assert found.equals(expected)


def test_a_corrupt_file_leaves_the_target_folder_untouched(files, tmp_path):
    data = bytearray(files[1].read_bytes())
    data[5_000 : len(data) // 2] = bytes(len(data) // 2 - 5_000)
    files[1].write_bytes(data)
    target = tmp_path / "parts"
    target.mkdir()
    with pytest.raises(DataError) as caught:
        split([source(path) for path in files], lambda name: FileWriter(target / name), rows=9_000)
    assert caught.value.where == "in-1.parquet"
    assert list(target.iterdir()) == []


def test_the_package_does_not_load_pyarrow_before_it_is_needed(files, tmp_path):
    program = (
        "import sys, pathlib\n"
        "from kyanite.parquet import Source, merge\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "with open(sys.argv[2], 'wb') as out:\n"
        "    merge([Source('a', lambda: path.open('rb'), path.stat().st_size)], out)\n"
        "assert 'pyarrow' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program, str(files[0]), str(tmp_path / "out.parquet")], check=True)
    assert pq.read_table(tmp_path / "out.parquet").equals(pq.read_table(files[0]))


class Staging:
    """Opens parts in a folder; other processes can do it too."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, name: str) -> FileWriter:
        return FileWriter(self.folder / name)


def test_processes_write_the_same_parts(files, tmp_path):
    sources = [Source(path.name, FileOpener(str(path)), path.stat().st_size) for path in files]
    results = []
    for workers in (1, 2):
        target = tmp_path / f"by-{workers}"
        target.mkdir()
        results.append(split(sources, Staging(target), max_bytes=600_000, staged=True, workers=workers))
    assert results[0] == results[1]
    for part in results[0].parts:
        assert (tmp_path / "by-1" / part.name).read_bytes() == (tmp_path / "by-2" / part.name).read_bytes()
    assert len(list((tmp_path / "by-2").iterdir())) == len(results[0].parts) > 3


def test_an_error_in_a_process_comes_back(files, tmp_path):
    sources = [Source(path.name, FileOpener(str(path)), path.stat().st_size) for path in files]
    data = bytearray(files[2].read_bytes())
    data[5_000:400_000] = bytes(395_000)
    files[2].write_bytes(data)
    target = tmp_path / "parts"
    target.mkdir()
    with pytest.raises(DataError) as caught:
        split(sources, Staging(target), rows=30_001, staged=True, workers=2)
    assert caught.value.where == "in-2.parquet"


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "zstd", "brotli", "lz4"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("dictionary", [True, False])
def test_every_codec_page_version_and_size(tmp_path, codec, version, dictionary):
    path = tmp_path / "in.parquet"
    table = wide_table(30_000, 9)
    options = {"data_page_version": version, "use_dictionary": dictionary, "write_page_index": version == "2.0"}
    pq.write_table(table, path, compression=codec, row_group_size=11_000, data_page_size=20_000, **options)
    for share in (2.5, 7, 31):
        target = tmp_path / f"parts-{share}"
        target.mkdir()
        most = int(path.stat().st_size / share)
        result = split([source(path)], lambda name: FileWriter(target / name), max_bytes=most)  # noqa: B023
        parts = sorted(target.iterdir())
        assert max(part.stat().st_size for part in parts) <= most
        assert not result.oversize
        assert pa.concat_tables([pq.read_table(part) for part in parts]).equals(table)
