"""Row groups that cannot be cut as they are, and old codecs that can."""

from __future__ import annotations

import pyarrow as pa
import pytest

from kyanite.errors import DataError
from kyanite.parquet import split
from kyanite.parquet.codecs import CODECS, compress, decompress
from kyanite.parquet.thrift import decode, structs_of
from parquet_files import Folder, check, joined, metadata, read, source, split_all, table_of, with_codec, written


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_old_lz4_pages_are_cut_and_keep_their_codec(version):
    """pyarrow reads bare LZ4 blocks under codec 5 and, as in the pages made anew, Hadoop's framing."""
    data = with_codec(written(table_of(["key", "text", "list"], 900), compression="lz4", data_page_version=version), 5)
    result, parts = split_all(data, rows=170)
    check(data, result, parts)
    assert result.encoded.row_groups == 0
    again, reparts = split_all(parts, rows=77)
    assert again.encoded.row_groups == 0
    assert joined(reparts).equals(read(data))
    assert decompress(compress(b"text" * 9, 5) + compress(b"more", 5), 40, 5) == b"text" * 9 + b"more"
    with pytest.raises(DataError):
        decompress(b"\0\0\0\x09\0\0\0\x02ab", 9, 5)


class TestRowGroupsThatCannotBeCut:
    """They are encoded anew when a cut hits them; the others are still copied."""

    NAMES = ("key", "text", "price", "list", "deep", "flag")

    @pytest.fixture(autouse=True)
    def old_lz4_is_not_cut(self, monkeypatch):
        monkeypatch.setattr("kyanite.parquet.codecs.CODECS", CODECS - {5})

    def test_a_codec_that_is_not_cut(self):
        hadoop_lz4 = 5  # pyarrow reads plain LZ4 blocks under it too
        data = with_codec(written(table_of(self.NAMES, 600), compression="lz4", row_group_size=200), hadoop_lz4)
        result, parts = split_all(data, rows=170)
        check(data, result, parts)
        groups = [metadata(part).row_group(n) for part in parts for n in range(metadata(part).num_row_groups)]
        assert sum(group.num_rows for group in groups) == 600

    def test_only_row_groups_under_a_cut_are_encoded_anew(self):
        data = with_codec(written(table_of(["key"], 600), compression="lz4", row_group_size=100), 5)
        _, parts = split_all(data, rows=250)
        codecs = [
            structs_of(group, 1)[0][3][1][4][1]
            for part in parts
            for group in structs_of(decode(part[-8 - int.from_bytes(part[-8:-4], "little") :])[0], 4)
        ]
        assert codecs == [5, 5, 7, 7, 5, 5, 5]

    @pytest.mark.parametrize("target", [{"max_bytes": 9000}, {"parts": 5}])
    def test_by_size(self, target):
        data = with_codec(written(table_of(self.NAMES, 900), compression="lz4", row_group_size=300), 5)
        result, parts = split_all(data, **target)
        check(data, result, parts, target.get("max_bytes"))
        assert not result.oversize

    @pytest.mark.parametrize("options", [{"store_decimal_as_integer": True}, {"use_dictionary": False}])
    def test_column_storage_is_kept(self, options):
        data = with_codec(written(table_of(self.NAMES, 100), compression="lz4", **options), 5)
        result, parts = split_all(data, rows=40)
        check(data, result, parts)

    def test_int96_times_keep_their_nanoseconds(self):
        times = pa.array([n * 86_400_000_000_123 for n in range(100)], pa.timestamp("ns"))
        data = written(pa.table({"at": times}), use_deprecated_int96_timestamps=True, compression="lz4")
        result, parts = split_all(with_codec(data, 5), rows=33)
        check(data, result, parts)

    def test_int96_times_beyond_arrows_are_refused(self):
        times = pa.array([-(2**55)] * 10, pa.timestamp("us"))
        data = with_codec(written(pa.table({"at": times}), use_deprecated_int96_timestamps=True, compression="lz4"), 5)
        folder = Folder()
        with pytest.raises(DataError, match="1677"):
            split([source(data, "old.parquet")], folder.open_part, rows=3)
        assert folder.untouched()

    def test_a_codec_that_cannot_be_read_is_refused(self):
        data = with_codec(written(table_of(["key"], 10)), 3)
        with pytest.raises(DataError) as caught:
            split_all(data, rows=3)
        assert caught.value.where == "in-0.parquet"
        assert len(split_all(data, rows=10)[1]) == 1
