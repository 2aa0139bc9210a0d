from __future__ import annotations

import importlib
import io
import random

import pyarrow as pa
import pytest

from kyanite.errors import ActivityError, DataError, InvariantError, ParameterError
from kyanite.parquet import split
from kyanite.parquet.parts_plan import PartsPlan
from parquet_files import (
    Folder,
    MemoryWriter,
    check,
    joined,
    metadata,
    read,
    source,
    split_all,
    table_of,
    written,
)

split_module = importlib.import_module("kyanite.parquet.split")  # the function has its name


@pytest.mark.parametrize(
    "options", [{}, {"data_page_version": "2.0"}, {"write_page_index": True}, {"use_dictionary": False}]
)
def test_uniform_rows_give_equal_parts(options):
    data = written(
        table_of(["key", "kind", "real", "flag"], 20_000), row_group_size=7000, data_page_size=8000, **options
    )
    result, parts = split_all(data, max_bytes=len(data) // 4)
    check(data, result, parts, len(data) // 4)
    assert len(parts) in (4, 5)
    assert max(map(len, parts)) / min(map(len, parts)) < 1.03


ENCODINGS = {
    "plain": ({}, ["key", "text", "flag", "fixed", "price"]),
    "delta numbers": ({"key": "DELTA_BINARY_PACKED", "small": "DELTA_BINARY_PACKED"}, ["key", "small"]),
    "delta lengths": ({"text": "DELTA_LENGTH_BYTE_ARRAY"}, ["text", "key"]),
    "delta texts": ({"text": "DELTA_BYTE_ARRAY", "fixed": "DELTA_BYTE_ARRAY"}, ["text", "fixed"]),
    "byte streams": (
        dict.fromkeys(("real", "half", "key", "fixed"), "BYTE_STREAM_SPLIT"),
        ["real", "half", "key", "fixed"],
    ),
    "boolean runs": ({"flag": "RLE"}, ["flag", "key"]),
}


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("name", ENCODINGS)
def test_every_encoding_is_cut_and_kept(name, version):
    encodings, columns = ENCODINGS[name]
    options = {"use_dictionary": False, "column_encoding": encodings, "data_page_version": version}
    data = written(table_of(columns, 900), compression="zstd", **options)
    result, parts = split_all(data, rows=170)
    check(data, result, parts)
    encoded = metadata(data).row_group(0)
    for part in parts:
        group = metadata(part).row_group(0)
        for column in range(group.num_columns):
            assert group.column(column).encodings == encoded.column(column).encodings
            assert group.column(column).compression == "ZSTD"


@pytest.mark.parametrize("dictionary", [True, False])
def test_int96_times_are_copied_as_they_are(dictionary):
    times = pa.array([n * 86_400_000_000_123 for n in range(-3, 97)], pa.timestamp("ns"))
    options = {"use_deprecated_int96_timestamps": True, "use_dictionary": dictionary}
    data = written(pa.table({"at": times, "n": range(100)}), **options)
    result, parts = split_all(data, rows=33)
    check(data, result, parts)
    assert all(metadata(part).row_group(0).column(0).physical_type == "INT96" for part in parts)


def test_arrow_types_beyond_parquets_are_kept():
    table = pa.table(
        {
            "d": pa.array(["a", "b", "a"] * 50).dictionary_encode(),
            "s": pa.array([1, 2, None] * 50, pa.duration("ms")),
            "l": pa.array(["x", "y", "z"] * 50, pa.large_string()),
            "h": pa.array([1.5, 2.5, None] * 50, pa.float16()),
            "t": pa.array([1, 2, 3] * 50, pa.time64("ns")),
        }
    )
    data = written(table)
    result, parts = split_all(data, rows=40)
    check(data, result, parts)
    assert read(parts[0]).schema.equals(table.schema)


def test_a_dictionary_that_is_not_referenced_is_not_carried():
    texts = [f"only-here-{n % 50}" for n in range(500)] + [f"text-{n:040d}" for n in range(500)]
    data = written(pa.table({"text": texts}), dictionary_pagesize_limit=3000, data_page_size=2000, write_batch_size=100)
    result, parts = split_all(data, rows=250)
    check(data, result, parts)
    assert metadata(parts[0]).row_group(0).column(0).has_dictionary_page
    assert not metadata(parts[-1]).row_group(0).column(0).has_dictionary_page


def test_a_slice_lists_the_encodings_of_its_own_pages():
    table = pa.table({"word": [f"word {n * 104_729 % 99_991}" for n in range(20_000)]})
    data = written(table, dictionary_pagesize_limit=2000, data_page_size=2000, write_batch_size=64)
    _, parts = split_all(data, rows=5000)
    columns = [metadata(part).row_group(0).column(0) for part in parts]
    assert [column.has_dictionary_page for column in columns] == [True, False, False, False]
    assert ["RLE_DICTIONARY" in column.encodings for column in columns] == [True, False, False, False]
    assert set(columns[1].encodings) == {"PLAIN", "RLE"}


def test_dictionaries_large_against_the_target_are_not_repeated():
    rng = random.Random(5)
    texts = [f"some longer text {rng.randrange(3000)}" for _ in range(30_000)]
    data = written(pa.table({"text": texts, "n": range(30_000)}))
    most = 60_000
    result, parts = split_all(data, max_bytes=most)
    check(data, result, parts, most)
    assert result.bytes_out < 1.6 * len(data)
    assert max(map(len, parts)) / min(map(len, parts)) < 1.25


@pytest.mark.parametrize("share", [8, 4])
def test_dictionaries_that_cost_no_part_are_carried(share):
    """Encoding the rows anew with smaller dictionaries would take more bytes than repeating them."""
    rng = random.Random(6)
    texts = [f"some longer text {rng.randrange(300)}" for _ in range(40_000)]
    data = written(pa.table({"text": texts, "n": [rng.random() for _ in range(40_000)]}), use_dictionary=["text"])
    most = len(data) // share
    result, parts = split_all(data, max_bytes=most)
    check(data, result, parts, most)
    assert result.encoded.row_groups == 0
    assert len(parts) == share + 1
    assert max(map(len, parts)) / min(map(len, parts)) < 1.05


@pytest.mark.parametrize(("most", "count"), [(50_000, 4), (60_000, 4), (70_000, 3)])
def test_row_groups_that_dictionaries_would_keep_whole_make_fewer_and_equal_parts(most, count):
    data = written(pa.table({"a": range(20_000), "b": range(20_000)}), row_group_size=3_000)
    result, parts = split_all(data, max_bytes=most)
    check(data, result, parts, most)
    assert len(parts) == count  # 7, 6 and 4 if they stayed whole, one of them small
    assert max(map(len, parts)) < 1.01 * min(map(len, parts))


def test_parts_that_differ_by_repeated_dictionaries_are_alike_when_little_is_encoded_anew():
    rng = random.Random(7)
    rows = 600_000
    table = pa.table({"n": range(rows), "real": [rng.random() for _ in range(rows)]})
    data = written(table, row_group_size=30_000, compression="none", use_dictionary=["n"])
    most = 1_700_000
    result, parts = split_all(data, max_bytes=most)
    check(data, result, parts, most)
    assert result.encoded.row_groups > 0
    assert len(parts) == 7
    assert max(map(len, parts)) < 1.006 * min(map(len, parts))  # 1.012 if each slice repeated them


def test_a_dictionary_above_the_target_is_never_carried():
    texts = [f"{n % 4000:030d}" for n in range(20_000)]
    data = written(pa.table({"text": texts}), compression="none")
    most = 60_000
    result, parts = split_all(data, max_bytes=most)
    check(data, result, parts, most)
    assert result.encoded.row_groups > 0
    assert not result.oversize


def test_no_rows_give_one_empty_part():
    data = written(table_of(["key", "deep"], 0))
    for target in ({"max_bytes": 10}, {"parts": 3}, {"rows": 2}):
        result, parts = split_all(data, **target)
        assert len(parts) == 1
        assert read(parts[0]).schema.equals(read(data).schema, check_metadata=True)
        assert result.parts[0].rows == 0
        assert result.parts[0].oversize == (target == {"max_bytes": 10})


def test_a_row_larger_than_the_target_is_a_part_alone_and_said_so():
    rng = random.Random(3)
    texts = ["small"] * 50 + [rng.randbytes(20_000).hex()] + ["small"] * 50
    data = written(pa.table({"text": texts}), use_dictionary=False, compression="none")
    result, parts = split_all(data, max_bytes=4000)
    check(data, result, parts, 4000)
    assert [part.rows for part in result.oversize] == [1]
    assert result.oversize[0].first_row == 50
    assert len(parts) <= 6


def test_rows_of_very_different_sizes_stay_within_the_target():
    rng = random.Random(4)
    texts = [rng.randbytes(rng.choice([1, 5, 900])).hex() for _ in range(1500)]
    data = written(pa.table({"text": texts}), use_dictionary=False, compression="none")
    result, parts = split_all(data, max_bytes=30_000)
    check(data, result, parts, 30_000)
    assert not result.oversize


def test_several_files_become_parts_in_their_order():
    tables = [table_of(["key", "text"], rows, rows) for rows in (300, 0, 5, 900)]
    files = [written(table, row_group_size=130) for table in tables]
    result, parts = split_all(files, max_bytes=9000)
    assert joined(parts).equals(pa.concat_tables(tables))
    assert max(map(len, parts)) <= 9000
    assert result.bytes_in == sum(map(len, files))
    assert result.bytes_out == sum(map(len, parts))


def test_files_of_different_schemas_are_mapped_by_name_first():
    first = pa.table({"a": range(100), "b": [str(n) for n in range(100)]})
    second = pa.table({"a": range(50)})
    result, parts = split_all([written(first), written(second)], rows=60)
    assert result.rows_out == 150
    assert joined(parts).column("a").to_pylist() == [*range(100), *range(50)]
    assert joined(parts).column("b").null_count == 50


def test_names_and_progress():
    seen = []
    data = written(table_of(["key"], 100), row_group_size=10)
    result, _ = split_all(data, rows=30, name=lambda n: f"out/{n}.parq", progress=lambda *counts: seen.append(counts))
    assert [part.name for part in result.parts] == ["out/0.parq", "out/1.parq", "out/2.parq", "out/3.parq"]
    assert seen == sorted(seen)
    assert seen[-1][0] == 100
    assert seen[-1][2] == 4


@pytest.mark.parametrize("target", [{}, {"rows": 1, "parts": 2}, {"max_bytes": 0}, {"parts": -1}])
def test_an_unclear_target_is_refused(target):
    with pytest.raises(ParameterError):
        split([source(written(table_of(["key"], 1)))], Folder().open_part, **target)


class TestNothingIsCommittedOnFailure:
    data = written(table_of(["key", "text"], 500), row_group_size=100, data_page_size=500)

    def fails(self, folder, kind, sources=None, **calls):
        with pytest.raises(kind):
            split(sources or [source(self.data)], folder.open_part, rows=90, **calls)
        assert folder.untouched()

    def test_cancelled(self):
        calls = iter([False] * 20 + [True] * 100)
        folder = Folder()
        self.fails(folder, ActivityError, cancelled=lambda: next(calls))
        assert len(folder.writers) > 1

    def test_a_writer_breaks(self):
        folder = Folder()

        def open_part(name):
            writer = folder.open_part(name)
            if len(folder.writers) == 4:
                writer.write = self.full
            return writer

        with pytest.raises(OSError, match="disk full"):
            split([source(self.data)], open_part, rows=90)
        assert folder.untouched()

    def full(self, data):
        raise OSError(28, "disk full")

    def test_a_page_is_corrupt(self):
        broken = bytearray(self.data)
        broken[300:1200] = bytes(900)
        folder = Folder()
        self.fails(folder, DataError, [source(self.data), source(bytes(broken), "broken.parquet")])

    def test_the_file_is_shorter_when_read_again(self):
        opened = iter([self.data, self.data[:2000]])
        folder = Folder()
        shrinking = source(self.data).__class__("shrinking.parquet", lambda: io.BytesIO(next(opened)), len(self.data))
        self.fails(folder, DataError, [shrinking])


def test_staged_parts_are_committed_one_by_one():
    data = written(table_of(["key", "text"], 400), row_group_size=90)
    folder = Folder()
    open_at_once = []

    def open_part(name):
        open_at_once.append(sum(writer.state == "open" for _, writer in folder.writers))
        return folder.open_part(name)

    result = split([source(data)], open_part, rows=70, staged=True)
    assert open_at_once == [0] * 6
    assert joined(folder.committed().values()).equals(read(data))
    assert result.rows_out == 400


def test_parts_are_read_back_where_that_is_possible():
    data = written(table_of(["key", "text"], 100), row_group_size=90)

    class Reread(MemoryWriter):
        def read_back(self):
            return io.BytesIO(self.getvalue()[:-30] + b"\0" * 26 + b"PAR1" if self.damaged else self.getvalue())

    for damaged in (False, True):
        Reread.damaged = damaged
        writers = []

        def open_part(name, writers=writers):
            writers.append(Reread())
            return writers[-1]

        if damaged:
            with pytest.raises(InvariantError, match="does not end with the footer"):
                split([source(data)], open_part, rows=70)
            assert {writer.state for writer in writers} == {"aborted"}
        else:
            split([source(data)], open_part, rows=70)
            assert {writer.state for writer in writers} == {"committed"}


class TestFirstPartIsBegunWhileThePartsArePlanned:
    """The guess what it begins with shows in nothing: right or wrong, the parts are the same bytes."""

    DATA = written(table_of(["key", "text"], 4_000), row_group_size=500, compression="none", write_page_index=True)

    @pytest.fixture
    def opened(self, monkeypatch):
        """The names of the parts, each time one is opened, with guesses for files of this size."""
        monkeypatch.setattr("kyanite.parquet.parts_plan.SURE_BYTES", 1_000)
        writers = []

        def split_it(**target):
            def open_part(name):
                writers.append((name, MemoryWriter()))
                return writers[-1][1]

            split([source(self.DATA)], open_part, **target)
            return writers

        return split_it

    @pytest.mark.parametrize("target", [{"rows": 1_300}, {"max_bytes": 30_000}, {"parts": 3}], ids=str)
    def test_a_right_guess(self, opened, monkeypatch, target):
        begun = []
        begin = split_module.begin_part
        monkeypatch.setattr(split_module, "begin_part", lambda *given: begun.append(given[1]) or begin(*given))
        writers = opened(**target)
        assert begun
        assert begun[0] >= 1
        assert [writer.state for _, writer in writers] == ["committed"] * len(writers)
        assert [writer.getvalue() for _, writer in writers] == self.parts(target)

    def test_a_wrong_guess_is_thrown_away(self, opened, monkeypatch):
        monkeypatch.setattr(PartsPlan, "sure_row_groups", lambda self: 5)
        (first, thrown), *rest = opened(rows=1_300)
        assert thrown.state == "aborted"
        assert rest[0][0] == first
        assert [writer.getvalue() for _, writer in rest] == self.parts({"rows": 1_300})

    def parts(self, target):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(PartsPlan, "sure_row_groups", lambda self: 0)
            return split_all(self.DATA, **target)[1]
