"""A split planned without writing, described as JSON, its parts written one by one and at the same time."""

from __future__ import annotations

import io
import json
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kyanite.errors import ActivityError, DataError, ParameterError
from kyanite.parquet import PlannedPart, SplitPlan, plan, split, write_part
from parquet_files import Folder, MemoryWriter, joined, read, source, split_all, table_of, written

NAMES = ["key", "text", "kind", "list"]
DATA = written(table_of(NAMES, 3000), row_group_size=700, data_page_size=900)


@settings(max_examples=8)
@given(
    st.integers(1, 900),
    st.sampled_from([{"parts": 4}, {"rows": 333}, {"max_bytes": 9000}, {"max_bytes": 30_000}]),
    st.booleans(),
)
def test_parts_written_from_json_are_those_of_the_split(group, target, index):
    files = [
        written(table_of(NAMES, rows, rows), row_group_size=group, data_page_size=500, write_page_index=index)
        for rows in (600, 0, 500)
    ]
    result, parts = split_all(files, **target)
    sources = [source(file, f"in-{n}.parquet") for n, file in enumerate(files)]
    made = plan(sources, **target)
    assert SplitPlan.from_json(json.loads(json.dumps(made.to_json()))) == made
    assert made.rows == result.rows_in
    assert made.bytes_in == result.bytes_in
    assert len(made.parts) == len(parts)
    for planned, part, data in zip(made.parts, result.parts, parts, strict=True):
        out = io.BytesIO()
        again = PlannedPart.from_json(json.loads(json.dumps(planned.to_json())))
        assert write_part(sources, again, out) == part
        assert out.getvalue() == data
        assert (planned.name, planned.rows, planned.first_row) == (part.name, part.rows, part.first_row)
        for how in ("raw", "cut", "encoded"):
            assert planned.work(how).row_groups == getattr(part, how).row_groups
        assert part.raw.bytes + part.cut.bytes + part.encoded.bytes < part.bytes


def test_predicted_sizes_are_close_and_on_the_high_side():
    for most in (len(DATA) // 3, len(DATA) // 7):
        made = plan([source(DATA)], max_bytes=most)
        result, _ = split_all(DATA, max_bytes=most)
        for planned, part in zip(made.parts, result.parts, strict=True):
            assert part.bytes * 0.99 <= planned.bytes <= most
            assert planned.bytes <= part.bytes * 1.15  # small parts: footers of cut row groups are shorter


def test_what_is_copied_cut_and_encoded_is_told():
    result, _ = split_all(DATA, rows=1000)
    assert result.raw.row_groups == 3
    assert result.cut.row_groups == 4
    assert result.encoded.row_groups == 0
    assert 0 < sum(part.rewritten for part in result.parts) < result.cut.bytes
    made = plan([source(DATA)], rows=1000)
    assert (made.work("raw").row_groups, made.work("cut").row_groups) == (3, 4)
    assert abs(made.bytes_out - result.bytes_out) < 0.1 * result.bytes_out


def test_files_of_different_schemas_are_merged_for_each_part():
    first, second = written(table_of(["key", "text"], 100)), written(table_of(["key"], 50))
    sources = [source(first), source(second)]
    made = plan(sources, rows=60)
    outs = [io.BytesIO() for _ in made.parts]
    for part, out in zip(made.parts, outs, strict=True):
        assert part.merged
        write_part(sources, part, out)
    assert [out.getvalue() for out in outs] == split_all([first, second], rows=60)[1]


def test_a_plan_that_is_none_is_refused():
    made = plan([source(DATA)], parts=2)
    document = made.parts[0].to_json()
    for change in ({"rows": 1}, {"pieces": [{}]}, {"other": 1}):
        with pytest.raises(DataError):
            PlannedPart.from_json({**document, **change})
    with pytest.raises(DataError):
        SplitPlan.from_json({**made.to_json(), "version": 2})
    with pytest.raises(DataError):
        SplitPlan.from_json({"version": 1})
    with pytest.raises(DataError):
        write_part([], made.parts[0], io.BytesIO())
    with pytest.raises(ParameterError):
        plan([source(DATA)])


@pytest.mark.parametrize("staged", [True, False])
@pytest.mark.parametrize("target", [{"parts": 5}, {"max_bytes": 20_000}, {"rows": 800}])
def test_threads_give_the_same_parts(target, staged):
    one, several = Folder(), Folder()
    seen = []
    first = split([source(DATA)], one.open_part, **target)
    second = split(
        [source(DATA)], several.open_part, workers=3, staged=staged, progress=lambda *c: seen.append(c), **target
    )
    assert first == second
    assert one.committed() == several.committed()
    assert seen == sorted(seen)
    assert seen[-1] == (3000, first.bytes_out, len(first.parts))


@pytest.mark.parametrize("staged", [True, False])
def test_an_error_in_one_thread_leaves_nothing_open(staged):
    folder = Folder()

    def open_part(name):
        writer = folder.open_part(name)
        if name.endswith("3.parquet"):
            writer.write = fail
        return writer

    def fail(data):
        raise OSError(28, "disk full")

    with pytest.raises(OSError, match="disk full"):
        split([source(DATA)], open_part, rows=300, workers=3, staged=staged)
    states = {writer.state for _, writer in folder.writers}
    assert states <= ({"aborted", "committed"} if staged else {"aborted"})


def test_threads_stop_when_cancelled():
    folder = Folder()
    with pytest.raises(ActivityError):
        split([source(DATA)], folder.open_part, rows=300, workers=2, cancelled=lambda: len(folder.writers) > 2)
    assert folder.untouched()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_part_measured_too_large_is_planned_again(monkeypatch, workers):
    """The planner's slack is taken away and each part made larger than predicted."""
    monkeypatch.setattr(sys.modules["kyanite.parquet.parts_plan"], "SLACK", -0.2)
    data = written(table_of(["key"], 4000), row_group_size=1000, data_page_size=900, use_dictionary=False)
    folder = Folder()
    result = split([source(data)], folder.open_part, max_bytes=10_000, workers=workers)
    assert max(part.bytes for part in result.parts) <= 10_000
    assert joined(list(folder.committed().values())).equals(read(data))
    assert any(writer.state == "aborted" for _, writer in folder.writers)
    assert all(isinstance(writer, MemoryWriter) for _, writer in folder.writers)


def test_parts_are_written_again_when_a_later_one_was_too_large_and_would_make_the_rest_smaller(monkeypatch):
    module = sys.modules["kyanite.parquet.split"]
    data = written(table_of(["key"], 40_000), data_page_size=900, write_batch_size=64, use_dictionary=False)
    full = split([source(data)], Folder().open_part, parts=8)
    target = int(max(part.bytes for part in full.parts) * 1.003)
    assert len(split([source(data)], Folder().open_part, max_bytes=target).parts) == 8
    calls = []
    real = module.put_part

    def measured(inputs, planned, *more):
        made = real(inputs, planned, *more)
        calls.append(planned.name)
        return made if len(calls) != 3 else made._replace(part=made.part._replace(bytes=target + 30))

    monkeypatch.setattr(module, "put_part", measured)
    folder = Folder()
    result = split([source(data)], folder.open_part, max_bytes=target)
    assert calls[:4] == ["part-00000.parquet", "part-00001.parquet", "part-00002.parquet", "part-00000.parquet"]
    sizes = [part.bytes for part in result.parts]
    assert len(sizes) == 9 and max(sizes) <= target and max(sizes) <= min(sizes) * 1.02
    assert joined(list(folder.committed().values())).equals(read(data))
    assert len(calls) == 3 + 9
