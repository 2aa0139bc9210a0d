"""Row groups found by learned patterns: the same as decoded, copied descriptions the same as encoded ones."""

from __future__ import annotations

import io
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kyanite.errors import KyaniteError
from kyanite.parquet import merge
from kyanite.parquet.chunk_shapes import CAPTURED, NoShape, learn, number_at
from kyanite.parquet.footer import footer_of
from kyanite.parquet.row_groups import FEW, RowGroups
from kyanite.parquet.thrift import BINARY, I16, I64, LIST, STRUCT, decode, encode, struct_of, structs_of
from kyanite.parquet.write import FileWriter, RangeCopier
from parquet_files import COLUMNS, metadata, read, source, split_all, table_of, written


def footer(data):
    return footer_of(io.BytesIO(data), len(data), "in.parquet")


def many_groups(columns, groups, seed=0, **options):
    """Row groups whose bounds, encodings and nulls differ a lot."""
    rng = random.Random(seed)
    out = io.BytesIO()
    with pq.ParquetWriter(out, table_of(columns, 1).schema, **options) as writer:
        for number in range(groups):
            writer.write_table(table_of(columns, rng.choice([1, 2, 7, 30]), number))
    return out.getvalue()


@settings(max_examples=6)
@given(
    st.lists(st.sampled_from(sorted(COLUMNS)), min_size=1, max_size=6, unique=True),
    st.integers(FEW + 4, 90),
    st.booleans(),
)
def test_what_is_found_is_what_is_decoded(columns, count, index):
    data = many_groups(columns, count, count, write_page_index=index)
    found = footer(data)
    groups = found.row_groups
    assert isinstance(groups, RowGroups)
    size = int.from_bytes(data[-8:-4], "little")
    structs = structs_of(decode(data[-8 - size : -8])[0], 4)
    assert len(groups) == len(structs) == count
    for number, group in enumerate(groups):
        assert encode(group.struct) == encode(structs[number])
        assert (groups.rows[number], groups.sizes[number]) == (group.rows, group.size)
        assert groups.index_sizes[number] == group.index_size
    assert (groups.find(count - 1) is None) == index


@pytest.mark.parametrize("options", [{}, {"compression": "none", "use_dictionary": False}])
def test_descriptions_copied_are_those_encoded(options):
    data = many_groups(["key", "text", "list", "real", "nothing"], 70, **options)
    source_footer = footer(data)

    def copied(footer_to_use):
        out = io.BytesIO()
        with FileWriter(out, footer_to_use, RangeCopier(lambda _: None)) as writer:
            writer.put(b"x" * 1000)  # offsets get longer
            for number in range(70):
                writer.add_row_group(io.BytesIO(data), footer_to_use, number)
            writer.finish()
        return out.getvalue()

    decoded = source_footer._replace(row_groups=tuple(source_footer.row_groups))
    assert copied(decoded) == copied(source_footer)


def test_many_row_groups_are_merged():
    data = many_groups(["key", "text", "kind"], 60)
    out = io.BytesIO()
    merge([source(data), source(data)], out)
    assert read(out.getvalue()).equals(pa.concat_tables([read(data)] * 2))
    assert metadata(out.getvalue()).num_row_groups == 120


def test_shapes_are_used_and_bounded():
    groups = footer(many_groups(["key", "text"], 80)).row_groups
    assert all(1 <= len(shapes) <= 8 for shapes in groups.scanner._shapes)
    assert groups.find(0) is not None
    assert [group.rows for group in groups[:3]] == list(groups.rows[:3])
    assert groups[-1].rows == groups.rows[79]
    few = footer(many_groups(["key"], 5)).row_groups
    assert few.find(0) is None


@given(st.binary(max_size=30), st.lists(st.integers(-(2**63), 2**63 - 1), min_size=5, max_size=5))
def test_a_shape_finds_the_numbers_and_the_end(text, numbers):
    def chunk(text, numbers):
        statistics = {3: (I64, numbers[0]), 5: (BINARY, text), 6: (BINARY, text + b"x"), 7: (1, True)}
        meta = {
            3: (LIST, (BINARY, [b"a"])),
            5: (I64, numbers[1]),
            7: (I64, numbers[2]),
            9: (I64, numbers[3]),
            12: (STRUCT, statistics),
            13: (LIST, (STRUCT, [{1: (5, 0)}])),
        }
        return encode({2: (I64, numbers[4]), 3: (STRUCT, meta)})

    shape = learn(b"ab" + chunk(b"", [0] * 5), 2, 6)
    data = b"abc" + chunk(text, numbers) + b"rest"
    spans, end = shape.match(data, 3)
    assert data[end:] == b"rest"
    assert {path: number_at(data, span) for path, span in zip(shape.paths, spans, strict=True)} == {
        (2,): numbers[4],
        (3, 5): numbers[1],
        (3, 7): numbers[2],
        (3, 9): numbers[3],
    }
    assert set(shape.paths) <= set(CAPTURED)
    assert shape.match(data, 4) is None


def test_odd_fields_have_no_shape():
    with pytest.raises(NoShape):
        learn(encode({3: (STRUCT, {8: (11, ((8, 8), [(b"k", b"v")]))})}), 0, 2)


def test_damaged_footers_of_many_row_groups_are_refused():
    data = many_groups(["key", "text"], 60)
    size = int.from_bytes(data[-8:-4], "little")
    rng = random.Random(7)
    refused = 0
    for _ in range(60):
        broken = bytearray(data)
        broken[rng.randrange(len(data) - 8 - size * 3 // 4, len(data) - 600)] = rng.randrange(256)
        try:
            found = footer(bytes(broken))
            for number, group in enumerate(found.row_groups):
                assert group.rows == found.row_groups.rows[number]
                assert group.size == found.row_groups.sizes[number]
        except KyaniteError as error:
            assert error.where == "in.parquet"
            refused += 1
    assert refused > 5


def test_a_wide_file_has_its_struct_kept():
    data = written(table_of(sorted(COLUMNS), 30), row_group_size=10)
    group = footer(data).row_groups[1]
    assert [struct_of(chunk.struct, 3) for chunk in group.chunks] == [chunk.meta for chunk in group.chunks]


def test_indexes_of_many_row_groups_are_written_between_them(monkeypatch):
    data = many_groups(["key", "kind"], 50, write_page_index=True)
    plain, between = io.BytesIO(), io.BytesIO()
    merge([source(data)], plain)
    monkeypatch.setattr("kyanite.parquet.write.MOST_INDEXES", 9)
    merge([source(data)], between)
    assert read(between.getvalue()).equals(read(data))
    wanted, found = footer(plain.getvalue()), footer(between.getvalue())
    for one, other in zip(wanted.row_groups, found.row_groups, strict=True):
        for have, want in zip(other.chunks, one.chunks, strict=True):
            offsets, _ = decode(between.getvalue(), have.struct[4][1])
            index, _ = decode(between.getvalue(), have.struct[6][1])
            assert structs_of(offsets, 1)[0][1][1] == have.meta[9][1]
            assert index == decode(plain.getvalue(), want.struct[6][1])[0]
    places = [chunk.struct[6][1] for group in found.row_groups for chunk in group.chunks]
    starts = [chunk.start for group in found.row_groups for chunk in group.chunks]
    assert min(places) < max(starts)


def ordinals_of(data):
    return [group.struct.get(7, (0, None))[1] for group in footer(data).row_groups]


@pytest.mark.parametrize(("most", "numbered"), [(58, False), (59, True)])
def test_row_groups_beyond_16_bits_have_no_ordinals(monkeypatch, most, numbered):
    monkeypatch.setattr("kyanite.parquet.write.MOST_ORDINAL", most)
    data = with_ordinals(many_groups(["key"], 60), range(60))
    out = io.BytesIO()
    merge([source(data)], out)
    assert ordinals_of(out.getvalue()) == (list(range(60)) if numbered else [None] * 60)
    assert read(out.getvalue()).equals(read(data))


@pytest.mark.parametrize("count", [3, 50])
@pytest.mark.parametrize("numbered", [lambda n: True, lambda n: n % 2 == 0, lambda n: n > 1, lambda n: n == 0])
def test_all_row_groups_are_numbered_when_a_source_numbers_one(count, numbered):
    data = with_ordinals(many_groups(["key", "kind"], count), filter(numbered, range(count)))
    assert [ordinal is not None for ordinal in ordinals_of(data)] == [numbered(n) for n in range(count)]
    out = io.BytesIO()
    merge([source(data), source(data)], out)
    assert ordinals_of(out.getvalue()) == list(range(2 * count))
    assert read(out.getvalue()).num_rows == 2 * read(data).num_rows


def test_sources_without_ordinals_give_none():
    data = with_ordinals(many_groups(["key"], 50), ())
    _, parts = split_all(data, parts=4)
    assert {ordinal for part in parts for ordinal in ordinals_of(part)} == {None}


def with_ordinals(data, numbers):
    """The file with an ordinal in those row groups only."""
    numbers = set(numbers)
    length = int.from_bytes(data[-8:-4], "little")
    struct, _ = decode(data[-8 - length : -8])
    for number, group in enumerate(structs_of(struct, 4)):
        group.pop(7, None)
        if number in numbers:
            group[7] = (I16, number)
    changed = encode(struct)
    return data[: -8 - length] + changed + len(changed).to_bytes(4, "little") + data[-4:]
