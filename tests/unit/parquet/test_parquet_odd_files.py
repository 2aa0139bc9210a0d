"""Files that pyarrow does not write: pages that begin inside a row, data far behind the first 4 GiB."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kyanite.errors import UnsupportedError
from kyanite.parquet import FileOpener, Source, merge, split
from kyanite.parquet.footer import footer_of, moved_chunk, read_footer
from kyanite.parquet.hybrid import cut
from kyanite.parquet.page_cut import Body, _page_v1, open_body
from kyanite.parquet.thrift import I64, STRUCT, decode
from kyanite.parquet.write import FileWriter, RangeCopier
from parquet_files import Folder, joined, metadata, read, split_all, table_of, written


def pages_inside_rows():
    """One column of lists of 3 numbers, 40 rows, in two v1 pages: the second begins with the second number of a row."""
    table = pa.table({"v": pa.array([[n, n + 1, n + 2] for n in range(40)], pa.list_(pa.int64()))})
    data = written(table, use_dictionary=False, compression="none")
    footer = footer_of(io.BytesIO(data), len(data), "in")
    group, leaf = footer.row_groups[0], footer.leaves[0]
    header, begin = decode(data, group.chunks[0].start)
    body = open_body(header, data[begin : begin + header[3][1]], leaf, 0)
    out = io.BytesIO()
    with FileWriter(out, footer, RangeCopier(lambda _: None)) as writer:
        start = writer.position
        for first, last in ((0, 61), (61, 120)):
            half = Body(
                cut(body.repetition, 1, 120, first, last),
                cut(body.definition, leaf.max_definition.bit_length(), 120, first, last),
                body.values[8 * first : 8 * last],
            )
            writer.put(_page_v1(header, half, leaf, 0, last - first)[0])
        size = writer.position - start
        meta = {**group.chunks[0].meta, 6: (I64, size), 7: (I64, size), 9: (I64, start)}
        writer.add_columns(dict(group.struct), [{2: (I64, 0), 3: (STRUCT, meta)}], 40, start)
        writer.finish()
    assert read(out.getvalue()).equals(table)
    return out.getvalue(), table


def test_pages_that_begin_inside_a_row_are_encoded_anew():
    data, table = pages_inside_rows()
    result, parts = split_all(data, rows=15)
    assert joined(parts).equals(table)
    assert (result.raw.row_groups, result.cut.row_groups) == (0, 0)
    assert result.encoded.row_groups == 3
    assert [metadata(part).num_rows for part in parts] == [15, 15, 10]
    result, parts = split_all([data, data], rows=40)
    assert result.raw.row_groups == 2
    assert result.encoded.row_groups == 0


@pytest.mark.slow
def test_offsets_beyond_4_gib(tmp_path):
    """The data lies behind a hole of 5 GiB, which takes no space on disk."""
    hole = 5 * 2**30
    table = table_of(["key", "text", "kind", "list"], 3000)
    data = written(table, row_group_size=1000, data_page_size=900, write_page_index=True)
    footer = footer_of(io.BytesIO(data), len(data), "in")
    path = tmp_path / "far.parquet"
    with path.open("wb") as out:

        class Far:
            def write(self, piece):
                if out.tell() == 4:
                    out.seek(hole)
                return out.write(piece)

        with FileWriter(Far(), footer, RangeCopier(lambda _: None)) as writer:
            writer.put(b"")
            writer.position = hole
            for index in range(3):
                writer.add_row_group(io.BytesIO(data), footer, index)
            writer.finish()
    assert path.stat().st_size > hole
    far = Source("far", FileOpener(str(path)), path.stat().st_size)
    assert all(chunk.start >= hole for group in read_footer(far).row_groups for chunk in group.chunks)
    assert pq.read_table(path).equals(table)
    folder = Folder()
    split([far], folder.open_part, rows=700)
    assert joined(list(folder.committed().values())).equals(table)
    merged = io.BytesIO()
    merge([far, far], merged)
    assert read(merged.getvalue()).equals(pa.concat_tables([table] * 2))
    moved = moved_chunk(read_footer(far).row_groups[2].chunks[0], 2**40)
    assert moved[3][1][9][1] > 2**40


def test_a_file_encrypted_with_a_plain_footer_is_refused_by_name():
    data = written(table_of(["key"], 10))
    for encrypted in (data[:-4] + b"PARE", b"PARE" + data[4:-4] + b"PARE"):
        with pytest.raises(UnsupportedError, match="encrypted") as caught:
            split_all([data, encrypted], rows=3)
        assert caught.value.where == "in-1.parquet"
