"""The planner alone: complete, contiguous, within the capacity, as few parts as possible, equal."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kyanite.parquet.plan import Group, Planner, Steps, linear_steps, steps_of_columns

GROUPS = st.lists(st.builds(Group, st.integers(1, 500), st.integers(1, 20_000)), min_size=1, max_size=12)


def planner_of(groups, base=0.0, fixed=0.0):
    steps = [Steps((0, group.rows), (0.0, float(group.size)), fixed) for group in groups]
    return Planner(groups, steps.__getitem__, base)


def rows_of(planned):
    return [(piece.group, row) for part in planned for piece in part for row in range(piece.first, piece.last)]


def every_row(groups, start=0):
    return [(index, row) for index, group in enumerate(groups) for row in range(group.rows)][start:]


def size_of(part, groups, fixed=0.0):
    total = 0.0
    for piece in part:
        group = groups[piece.group]
        rows = piece.last - piece.first
        total += group.size if rows == group.rows else group.size * rows / group.rows + fixed
    return total


@settings(max_examples=40)
@given(GROUPS, st.integers(1, 60_000), st.integers(0, 300), st.integers(0, 200), st.data())
def test_parts_by_bytes_hold_every_row_once_in_order(groups, capacity, base, fixed, data):
    planner = planner_of(groups, base, fixed)
    start = data.draw(st.integers(0, planner.rows - 1))
    first_rows = data.draw(st.none() | st.integers(1, 50))
    planned = planner.by_bytes(capacity, start, first_rows)
    assert rows_of(planned) == every_row(groups, start)
    assert all(piece.last > piece.first for part in planned for piece in part)
    if first_rows is not None:
        assert sum(piece.last - piece.first for piece in planned[0]) <= first_rows
    for part in planned:
        rows = sum(piece.last - piece.first for piece in part)
        assert rows == 1 or base + size_of(part, groups, fixed) <= capacity * 1.000001


@settings(max_examples=40)
@given(st.integers(1, 40), st.integers(20, 400), st.integers(2, 9))
def test_uniform_rows_give_the_fewest_and_equal_parts(count, rows, parts):
    groups = [Group(rows, rows * 100)] * count
    total = count * rows * 100
    capacity = total / parts + 1000
    planned = planner_of(groups).by_bytes(capacity)
    sizes = [size_of(part, groups) for part in planned]
    assert len(planned) == -(-count * rows // int(capacity // 100))
    assert max(sizes) - min(sizes) <= 100 * len(sizes) + 200


@pytest.mark.parametrize(
    ("count", "rows", "dictionary", "capacity"),
    [(5, 3865, 59_443, 310_851), (11, 3189, 33_422, 311_819), (12, 5557, 57_972, 498_546), (9, 3388, 57_145, 931_881)],
)
def test_a_dictionary_that_is_repeated_or_not_makes_no_part_small(count, rows, dictionary, capacity):
    """Filled with the least that is enough, the last part would be 8 to 23 % smaller than the others."""
    steps = Steps((0, rows), (0.0, float(rows * 100)), 0.0, ((rows * 9 // 10, dictionary),))
    groups = [Group(rows, rows * 100 + dictionary)] * count
    planned = Planner(groups, lambda _: steps, 0.0).by_bytes(capacity)
    sizes = [
        sum((piece.last - piece.first) * 100 + steps.dictionaries_from(piece.first) for piece in part)
        for part in planned
    ]
    assert rows_of(planned) == every_row(groups)
    assert max(sizes) <= capacity
    assert max(sizes) / min(sizes) < 1.012


@pytest.mark.parametrize(("most", "parts", "spread"), [(5_000, 10, 1.01), (4_400, 11, 1.01), (3_000, 18, 1.02)])
def test_a_row_group_that_costs_much_to_enter_makes_no_part_small(most, parts, spread):
    """Its first slice has all of the dictionary: parts that cannot hold it end before, and share what that makes."""
    steps = Steps((0, 20_000), (0.0, 20_500.0), 0.0, ((5_000, 1_100), (20_000, 150)))
    groups = [Group(20_000, 21_750)] * 2
    planned = Planner(groups, lambda _: steps, 0.0).by_bytes(most)
    sizes = [exact_size(part, groups, [steps] * 2, 0) for part in planned]
    assert rows_of(planned) == every_row(groups)
    assert len(planned) == parts
    assert max(sizes) <= most
    assert max(sizes) / min(sizes) < spread


@settings(max_examples=40)
@given(GROUPS, st.integers(1, 60))
def test_a_number_of_parts_is_kept_unless_rows_are_fewer(groups, count):
    planned = planner_of(groups).by_parts(count)
    assert rows_of(planned) == every_row(groups)
    assert len(planned) == min(count, sum(group.rows for group in groups))


@settings(max_examples=40)
@given(GROUPS, st.integers(1, 700))
def test_a_number_of_rows_is_exact(groups, count):
    planned = planner_of(groups).by_rows(count)
    assert rows_of(planned) == every_row(groups)
    sizes = [sum(piece.last - piece.first for piece in part) for part in planned]
    assert all(size == count for size in sizes[:-1])
    assert 1 <= sizes[-1] <= count


def test_no_rows_give_no_parts():
    planner = planner_of([])
    assert planner.by_bytes(100) == planner.by_parts(3) == planner.by_rows(5) == ()


def test_a_row_above_the_capacity_is_a_part_alone():
    groups = [Group(2, 20), Group(1, 5000), Group(2, 20)]
    planned = planner_of(groups).by_bytes(1000)
    assert [[(piece.group, piece.first, piece.last) for piece in part] for part in planned] == [
        [(0, 0, 2)],
        [(1, 0, 1)],
        [(2, 0, 2)],
    ]


@settings(max_examples=40)
@given(st.lists(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 999)), max_size=9), min_size=1, max_size=4))
def test_page_tables_add_up(columns):
    rows = max(sum(page[0] for page in pages) for pages in columns)
    columns = [[*pages, (rows + 1 - sum(page[0] for page in pages), 7)] for pages in columns]
    tables = [
        (tuple(accumulate((count for count, _ in pages), initial=0)), [size for _, size in pages]) for pages in columns
    ]
    steps = steps_of_columns(tables, 3)
    assert steps.fixed == 3
    for row in range(rows + 2):
        expected = 0.0
        for pages in columns:
            done = 0
            for count, size in pages:
                expected += size * min(max(row - done, 0), count) / count
                done += count
        assert abs(steps.size_at(row) - expected) < 1e-6
        assert abs(steps.size_at(steps.row_at(steps.size_at(row))) - steps.size_at(row)) <= 4000  # of a row


def test_linear_steps_span_the_row_group():
    steps = linear_steps(10, 500)
    assert (steps.size_at(0), steps.size_at(5), steps.size_at(10)) == (0, 250, 500)
    assert (steps.row_at(-1), steps.row_at(249), steps.row_at(500), steps.row_at(900)) == (0, 4, 10, 10)


TINY = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 90)), min_size=1, max_size=4)


def fewest_parts(groups, steps, base, capacity):
    """By trying every cut."""
    rows = [(index, row) for index, group in enumerate(groups) for row in range(group.rows)]

    def size(first, last):
        total = base
        for index, group in enumerate(groups):
            inside = [row for owner, row in rows[first:last] if owner == index]
            if len(inside) == group.rows:
                total += group.size
            elif inside:
                begin, end = inside[0], inside[-1] + 1
                total += steps[index].size_at(end) - steps[index].size_at(begin) + steps[index].fixed_from(begin)
        return total

    best = [0] + [len(rows)] * len(rows)
    for last in range(1, len(rows) + 1):
        best[last] = min(best[first] + 1 for first in range(last) if last - first == 1 or size(first, last) <= capacity)
    return best[-1]


@settings(max_examples=40)
@given(TINY, st.integers(0, 20), st.integers(0, 9), st.integers(0, 40), st.integers(5, 200), st.data())
def test_no_plan_has_fewer_parts(sizes, base, fixed, dictionary, capacity, data):
    groups, steps = [], []
    for rows, size in sizes:
        last = data.draw(st.integers(1, rows))
        steps.append(Steps((0, rows), (0.0, float(size)), fixed, ((last, dictionary),)))
        groups.append(Group(rows, size + dictionary + fixed))
    planned = Planner(groups, steps.__getitem__, base).by_bytes(capacity)
    assert len(planned) == fewest_parts(groups, steps, base, capacity + 1e-6)


@settings(max_examples=40)
@given(st.integers(2, 30), st.integers(50, 300), st.floats(0.03, 0.9))
def test_parts_are_as_few_as_the_bytes_allow_and_equal(count, rows, share):
    groups = [Group(rows, rows * 100)] * count
    total = count * rows * 100
    capacity = max(20_000, total * share)
    planned = planner_of(groups).by_bytes(capacity)
    assert len(planned) in (-(-total // int(capacity)), -(-total // (int(capacity) - 100)))
    sizes = [size_of(part, groups) for part in planned]
    assert max(sizes) - min(sizes) <= 100 * len(sizes) + 200


@settings(max_examples=40)
@given(st.integers(2, 12), st.integers(100, 400), st.integers(3, 40), st.integers(2, 9))
def test_cuts_snap_to_page_boundaries_nearby(count, rows, page, parts):
    groups = [Group(rows, rows * 100)] * count
    steps = Steps((0, rows), (0.0, rows * 100.0), 0.0, (), tuple(range(page, rows, page)))
    planner = Planner(groups, lambda _: steps, 0, snap=page * 50.0)
    capacity = max(count * rows * 100 / parts, page * 1000) + page * 100
    planned = planner.by_bytes(capacity)
    plain = planner_of(groups).by_bytes(capacity)
    assert len(planned) == len(plain)
    assert rows_of(planned) == every_row(groups)
    sizes = [size_of(part, groups) for part in planned]
    assert max(sizes) <= capacity
    equal = [size_of(part, groups) for part in plain]
    assert all(abs(size - one) <= page * 100 for size, one in zip(sizes, equal, strict=True))
    if max(equal) <= capacity - page * 100:
        assert all(part[-1].last % page == 0 or part[-1].last == rows for part in planned)


def drawn_steps(data, sizes, fixed, dictionary):
    """Row groups whose bytes lie unevenly, with a dictionary each."""
    groups, steps = [], []
    for rows, size in sizes:
        middle = data.draw(st.integers(1, rows))
        last = data.draw(st.integers(1, rows))
        first = data.draw(st.integers(0, size))
        at = [(0, 0.0), (rows, float(size))] if middle == rows else [(0, 0.0), (middle, float(first)), (rows, size)]
        steps.append(Steps([row for row, _ in at], [taken for _, taken in at], fixed, ((last, dictionary),)))
        groups.append(Group(rows, size + dictionary + fixed))
    return groups, steps


@settings(max_examples=60)
@given(GROUPS, st.integers(0, 20), st.integers(0, 9), st.integers(0, 400), st.integers(500, 60_000), st.data())
def test_a_plan_made_with_estimates_is_as_good_as_one_that_knows_all(groups, base, fixed, dictionary, capacity, data):
    groups, steps = drawn_steps(data, [(group.rows, group.size) for group in groups], fixed, dictionary)
    exact = Planner(groups, steps.__getitem__, base)
    thrifty = Planner(groups, steps.__getitem__, base, estimate=lambda g: linear_steps(groups[g].rows, groups[g].size))
    known, found = exact.by_bytes(capacity), thrifty.by_bytes(capacity)
    assert rows_of(found) == every_row(groups)
    assert len(found) == len(known)
    for part in found:
        assert sum(piece.last - piece.first for piece in part) == 1 or exact_size(part, groups, steps, base) <= (
            capacity + 1e-6
        )
    count = data.draw(st.integers(1, 20))
    assert rows_of(thrifty.by_parts(count)) == every_row(groups)
    assert len(thrifty.by_parts(count)) == len(exact.by_parts(count))


def exact_size(part, groups, steps, base):
    total = base
    for piece in part:
        known = steps[piece.group]
        if piece.last - piece.first == groups[piece.group].rows:
            total += groups[piece.group].size
        else:
            total += known.size_at(piece.last) - known.size_at(piece.first) + known.fixed_from(piece.first)
    return total


@pytest.mark.parametrize(("count", "parts"), [(40, 9), (600, 10), (120, 14), (53, 6)])
def test_only_row_groups_under_cuts_are_read(count, parts):
    steps = Steps((0, 300, 1000), (0.0, 500_000.0, 1_000_000.0), 800.0, ((900, 30_000),))
    groups = [Group(1000, 1_030_800)] * count
    read = []

    def steps_of(group):
        read.append(group)
        return steps

    planner = Planner(groups, steps_of, 4000, 5000, lambda g: linear_steps(1000, groups[g].size))
    planned = planner.by_bytes(count * 1_030_800 / (parts - 0.4))
    sizes = [exact_size(part, groups, [steps] * count, 4000) for part in planned]
    assert len(planned) == parts
    assert max(sizes) / min(sizes) < 1.005
    assert len(read) == len(set(read)) <= 2 * parts


def test_fewer_parts_are_not_missed_where_slices_drop_something():
    """Bytes that only whole row groups have do not prove that parts are needed."""
    steps = Steps((0, 100), (0.0, 10_000.0), 0.0)
    for count, capacity in ((3, 10_100), (3, 14_100), (3, 20_100), (3, 21_100), (3, 34_100), (5, 34_886)):
        groups = [Group(100, 14_000)] * count
        estimate = [linear_steps(100, 14_000)] * count
        exact = Planner(groups, lambda _: steps, 50).by_bytes(capacity)
        assert len(Planner(groups, lambda _: steps, 50, 0, estimate.__getitem__).by_bytes(capacity)) == len(exact)
