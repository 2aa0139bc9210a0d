"""Files that are no whole parquet files: only errors of our tree, naming the file; nothing committed."""

from __future__ import annotations

import io
import random

import pytest

from kyanite import limits
from kyanite.errors import DataError, KyaniteError, LimitError, UnsupportedError
from kyanite.parquet import merge, split
from kyanite.parquet.thrift import I32, I64, decode, encode
from parquet_files import Folder, source, table_of, written

GOOD = written(table_of(["key", "text", "list"], 200), row_group_size=60, data_page_size=300)


def with_footer(change):
    size = int.from_bytes(GOOD[-8:-4], "little")
    footer, _ = decode(GOOD[-8 - size : -8])
    change(footer)
    data = encode(footer)
    return GOOD[: -8 - size] + data + len(data).to_bytes(4, "little") + b"PAR1"


def first_group(footer):
    return footer[4][1][1][0]


def first_chunk(footer):
    return first_group(footer)[1][1][1][0]


BROKEN = {
    "empty": b"",
    "short": b"PAR1PAR1",
    "text": b"a,b,c\n1,2,3\n" * 10,
    "cut off": GOOD[:-20],
    "half": GOOD[: len(GOOD) // 2],
    "head only": GOOD[:4] + bytes(200),
    "footer larger than the file": GOOD[:-8] + (len(GOOD)).to_bytes(4, "little") + b"PAR1",
    "footer of zeros": b"PAR1" + bytes(100) + (90).to_bytes(4, "little") + b"PAR1",
    "footer of ones": b"PAR1" + b"\xff" * 100 + (100).to_bytes(4, "little") + b"PAR1",
    "data missing": GOOD[:4] + GOOD[400:],
    "other rows": with_footer(lambda footer: footer.update({3: (I64, 201)})),
    "rows of a group": with_footer(lambda footer: first_group(footer).update({3: (I64, -60)})),
    "a column missing": with_footer(lambda footer: first_group(footer)[1][1][1].pop()),
    "a chunk outside": with_footer(
        lambda footer: first_chunk(footer)[3][1].update({9: (I64, 10**9), 11: (I64, 10**9)})
    ),
    "chunks that overlap": with_footer(lambda footer: first_chunk(footer)[3][1].update({7: (I64, len(GOOD) - 3000)})),
    "a creator that is no text": with_footer(lambda footer: footer.update({6: (I64, 7)})),
    "a physical type below zero": with_footer(lambda footer: footer[2][1][1][1].update({1: (I32, -9)})),
    "no schema": with_footer(lambda footer: footer.pop(2)),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_refused_by_name(name):
    sources = [source(GOOD), source(BROKEN[name], "folder/broken.parquet")]
    with pytest.raises(DataError) as caught:
        merge(sources, io.BytesIO())
    assert caught.value.where == "folder/broken.parquet"
    folder = Folder()
    with pytest.raises(DataError) as caught:
        split(sources, folder.open_part, max_bytes=4000)
    assert caught.value.where == "folder/broken.parquet"
    assert folder.writers == []


def test_encrypted_files_are_refused():
    for data in (GOOD[:-4] + b"PARE", with_footer(lambda footer: footer.update({8: (12, {})}))):
        with pytest.raises(UnsupportedError, match="encrypted") as caught:
            merge([source(data, "secret.parquet")], io.BytesIO())
        assert caught.value.where == "secret.parquet"


def test_data_in_other_files_is_refused():
    data = with_footer(lambda footer: first_chunk(footer).update({1: (8, b"other.parquet")}))
    with pytest.raises(UnsupportedError, match="other files"):
        merge([source(data)], io.BytesIO())


def test_a_footer_above_the_limit_is_refused(monkeypatch):
    monkeypatch.setattr(limits, "PARQUET_FOOTER_BYTES", 100)
    with pytest.raises(LimitError, match="footer") as caught:
        merge([source(GOOD, "large.parquet")], io.BytesIO())
    assert caught.value.where == "large.parquet"


def test_too_many_columns_are_refused(monkeypatch):
    monkeypatch.setattr(limits, "PARQUET_COLUMNS", 2)
    with pytest.raises(LimitError, match="columns"):
        merge([source(GOOD)], io.BytesIO())


def mutations(count):
    rng = random.Random(11)
    size = int.from_bytes(GOOD[-8:-4], "little")
    for turn in range(count):
        data = bytearray(GOOD)
        start = len(data) - 8 - size if turn % 2 else 0
        for _ in range(rng.randrange(1, 6)):
            data[rng.randrange(start, len(data))] = rng.randrange(256)
        yield bytes(data)


def refused_or_done(data):
    folder = Folder()
    try:
        merge([source(data)], io.BytesIO())
        split([source(data)], folder.open_part, max_bytes=2500)
    except KyaniteError as error:
        assert error.where is not None
        assert folder.untouched()


def test_mutated_files_give_only_our_errors():
    for data in mutations(100):
        refused_or_done(data)


@pytest.mark.slow
def test_many_mutated_files_give_only_our_errors():
    for data in mutations(3_000):
        refused_or_done(data)
