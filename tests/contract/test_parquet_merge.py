from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kyanite.errors import ActivityError, DataError
from kyanite.parquet import merge
from kyanite.parquet.thrift import BINARY, decode, encode, number_of, structs_of
from parquet_files import COLUMNS, MemoryWriter, metadata, read, source, table_of, written

OPTIONS = st.fixed_dictionaries(
    {"row_group_size": st.sampled_from([1, 7, 60, 1000])},
    optional={
        "compression": st.sampled_from(["none", "snappy", "gzip", "zstd", "brotli", "lz4"]),
        "data_page_version": st.sampled_from(["1.0", "2.0"]),
        "use_dictionary": st.booleans(),
        "write_page_index": st.booleans(),
        "data_page_size": st.sampled_from([64, 1000]),
        "write_page_checksum": st.booleans(),
    },
)


def with_footer(data, change):
    """The file with its footer changed."""
    size = int.from_bytes(data[-8:-4], "little")
    footer, _ = decode(data[-8 - size : -8])
    change(footer)
    changed = encode(footer)
    return data[: -8 - size] + changed + len(changed).to_bytes(4, "little") + b"PAR1"


def merged(files, **calls):
    out = io.BytesIO()
    result = merge([source(data, f"in-{n}.parquet") for n, data in enumerate(files)], out, **calls)
    assert result.bytes_written == len(out.getvalue())
    return result, out.getvalue()


@settings(max_examples=12)
@given(
    st.lists(st.sampled_from(sorted(COLUMNS)), min_size=1, max_size=4, unique=True),
    st.lists(st.tuples(st.integers(0, 120), OPTIONS), min_size=1, max_size=4),
)
def test_a_merge_equals_the_concatenation(columns, inputs):
    tables = [table_of(columns, rows, seed) for seed, (rows, _) in enumerate(inputs)]
    files = [written(table, **options) for table, (_, options) in zip(tables, inputs, strict=True)]
    result, data = merged(files)
    assert read(data).equals(pa.concat_tables(tables))
    assert result.raw
    assert result.rows == sum(table.num_rows for table in tables)
    assert result.bytes_read == sum(map(len, files))
    footer = metadata(data)
    assert footer.created_by == metadata(files[0]).created_by
    assert footer.metadata[b"owner"] == b"someone"
    assert footer.num_row_groups == result.row_groups
    assert footer.schema.equals(metadata(files[0]).schema)


def test_pandas_metadata_of_the_first_file_is_kept():
    table = table_of(["key"], 5).replace_schema_metadata({"pandas": '{"index_columns": []}'})
    _, data = merged([written(table), written(table_of(["key"], 4))])
    assert metadata(data).metadata[b"pandas"] == b'{"index_columns": []}'


def test_page_indexes_point_at_the_moved_pages():
    table = table_of(["key", "text", "list"], 300)
    files = [written(table, write_page_index=True, row_group_size=90, write_batch_size=10, data_page_size=90)] * 2
    _, data = merged(files)
    size = int.from_bytes(data[-8:-4], "little")
    footer, _ = decode(data[-8 - size : -8])
    pages = 0
    for group in structs_of(footer, 4):
        for column in structs_of(group, 1):
            start, length = number_of(column, 4), number_of(column, 5)
            offset_index, end = decode(data[start : start + length])
            assert end == length
            decode(data[number_of(column, 6) : number_of(column, 6) + number_of(column, 7)])
            for page in structs_of(offset_index, 1):
                header, header_end = decode(data, number_of(page, 1))
                assert number_of(header, 3) + header_end == number_of(page, 1) + number_of(page, 2)
                pages += 1
    assert pages > 60
    kept = metadata(data).row_group(5).column(0)
    assert kept.has_column_index
    assert kept.has_offset_index
    assert kept.statistics.has_min_max


def test_bloom_filters_move_along():
    table = table_of(["text", "key"], 100)
    options = {"bloom_filter_options": {"text": {"ndv": 100, "fpp": 0.01}}}
    data = written(table, **options)
    _, both = merged([data, data])

    def filters(file):
        size = int.from_bytes(file[-8:-4], "little")
        metas = [
            column[3][1] for group in structs_of(decode(file[-8 - size : -8])[0], 4) for column in structs_of(group, 1)
        ]
        places = [(number_of(meta, 14), number_of(meta, 15)) for meta in metas if 14 in meta]
        return [file[start : start + length] for start, length in places]

    assert len(filters(data)) == 1
    assert filters(both) == filters(data) * 2


def test_a_bloom_filter_without_a_length_is_measured():
    def forget_length(footer):
        for group in structs_of(footer, 4):
            for column in structs_of(group, 1):
                column[3][1].pop(15, None)

    table = table_of(["text"], 100)
    data = written(table, bloom_filter_options={"text": {"ndv": 100, "fpp": 0.01}})
    _, known = merged([data])
    _, measured = merged([with_footer(data, forget_length)])
    assert measured == known


def test_the_name_of_the_schemas_root_does_not_matter():
    data = written(table_of(["key"], 10))

    def rename(footer):
        structs_of(footer, 2)[0][4] = (BINARY, b"spark_schema")

    result, both = merged([data, with_footer(data, rename)])
    assert result.raw
    assert read(both).num_rows == 20


def test_files_without_rows_are_merged():
    empty = written(table_of(["key", "deep"], 0))
    some = written(table_of(["key", "deep"], 3))
    assert read(merged([empty])[1]).num_rows == 0
    assert read(merged([empty, some, empty])[1]).equals(table_of(["key", "deep"], 3))


def test_progress_counts_rows_bytes_and_files():
    seen = []
    data = written(table_of(["key", "text"], 200), row_group_size=50)
    merged([data, data], progress=lambda *counts: seen.append(counts))
    assert seen == sorted(seen)
    assert seen[-1][0] == 400
    assert seen[-1][2] == 2
    assert 0 < seen[-1][1] < 2 * len(data)


def test_a_cancelled_merge_ends_with_an_error():
    calls = iter([False, False, True])
    with pytest.raises(ActivityError, match="cancelled") as caught:
        merged([written(table_of(["key"], 200), row_group_size=10)], cancelled=lambda: next(calls))
    assert caught.value.error_code == "Cancelled"


class TestDifferentSchemas:
    def test_columns_are_mapped_by_name_to_the_first_files_schema(self):
        first = pa.table({"a": pa.array([1, 2], pa.int64()), "b": ["x", None]})
        second = pa.table({"b": pa.array(["z"], pa.large_string()), "a": pa.array([3], pa.int32())})
        third = pa.table({"a": pa.array([4, 5], pa.int64())})
        result, data = merged([written(first, compression="zstd"), written(second), written(third)])
        assert not result.raw
        assert result.rows == 5
        assert read(data).to_pydict() == {"a": [1, 2, 3, 4, 5], "b": ["x", None, "z", None, None]}
        assert read(data).schema.equals(first.schema)
        assert metadata(data).row_group(0).column(0).compression == "ZSTD"

    def test_a_further_column_is_refused_by_name(self):
        files = [written(table_of(["key"], 2)), written(table_of(["key", "text"], 2))]
        with pytest.raises(DataError, match="Column text") as caught:
            merged(files)
        assert caught.value.where == "in-1.parquet"

    def test_values_that_do_not_fit_are_refused_by_name(self):
        files = [written(pa.table({"a": pa.array([1], pa.int8())})), written(pa.table({"a": [1000]}))]
        with pytest.raises(DataError, match="Column a") as caught:
            merged(files)
        assert caught.value.where == "in-1.parquet"

    def test_a_missing_column_that_must_not_be_null_is_refused(self):
        schema = pa.schema([pa.field("a", pa.int64()), pa.field("b", pa.int64(), nullable=False)])
        files = [written(pa.table({"a": [1], "b": [2]}, schema=schema)), written(pa.table({"a": [1]}))]
        with pytest.raises(DataError, match="Column b is missing"):
            merged(files)

    def test_batches_stay_whole_over_many_row_groups(self):
        first = table_of(["key", "list", "struct"], 500)
        second = first.select(["struct", "key", "list"])
        _, data = merged([written(first, row_group_size=70), written(second, row_group_size=33)])
        assert read(data).equals(pa.concat_tables([first, first]))


class TestCreators:
    def old(self, data, by=b"parquet-mr version 1.6.0"):
        """The file as if another program had written it: same length of the name keeps the footer's size."""
        real = metadata(data).created_by.encode()
        assert data.count(real) == 1
        return data.replace(real, by.ljust(len(real)))

    def test_deprecated_statistics_of_another_creator_are_dropped(self):
        data = written(pa.table({"a": [1, 2, 3]}))
        _, both = merged([data, self.old(data)])
        size = int.from_bytes(both[-8:-4], "little")
        groups = structs_of(decode(both[-8 - size : -8])[0], 4)
        statistics = [structs_of(group, 1)[0][3][1][12][1] for group in groups]
        assert {1, 2, 5, 6} <= set(statistics[0])
        assert {5, 6} == {1, 2, 5, 6} & set(statistics[1])

    def test_files_with_understated_chunk_sizes_are_encoded_anew(self):
        table = table_of(["key"], 20)
        data = self.old(written(table), b"parquet-cpp version 1.2.8")
        result, out = merged([data])
        assert not result.raw
        assert read(out).equals(table)


def test_no_file_at_all_is_refused():
    with pytest.raises(DataError):
        merge([], MemoryWriter())


def test_a_reader_without_readinto_is_enough():
    data = written(table_of(["key"], 50))

    class Plain:
        def __init__(self):
            self._file = io.BytesIO(data)

        def read(self, size):
            return self._file.read(min(size, 100))

        def seek(self, position):
            return self._file.seek(position)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self._file.close()

    out = io.BytesIO()
    merge([source(data).__class__("slow", Plain, len(data))], out)
    assert pq.read_table(out).equals(table_of(["key"], 50))
