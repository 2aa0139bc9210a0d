"""Which rows go into which part: contiguous, complete, as few parts as the capacity allows, as equal as can be.

Sizes are arithmetic: whole row groups from the footer, cut ones from their page tables, piecewise linear between pages.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from operator import add
from typing import NamedTuple

BISECTIONS = 26
EVEN_ENOUGH = 0.003  # of a part: how much smaller another may be
EVENINGS, MOST_EVENED = 2, 40  # how often parts behind such a place are looked at again; in plans of so many parts


class Group(NamedTuple):
    """A row group: its rows (at least one) and all bytes it adds to a part when it goes there whole."""

    rows: int
    size: int


class Steps(NamedTuple):
    """Sizes of slices of a row group: rows a..b take `fixed_from(a)` + the difference of `sizes` at b and a.

    `rows` rises strictly from 0 to the group's rows; `sizes[0]` is 0; `fixed` is what every slice pays again;
    `dictionaries` are (row, bytes): slices that begin before that row repeat these bytes; `boundaries` are rows where
    pages of most columns begin, so that a cut there makes hardly any page anew.
    """

    rows: Sequence[int]
    sizes: Sequence[float]
    fixed: float
    dictionaries: tuple[tuple[int, int], ...] = ()
    boundaries: Sequence[int] = ()

    def boundary_near(self, row: int, most: float) -> int:
        """The boundary (or end of the group) nearest to `row` when at most `most` bytes lie between; else `row`."""
        index = bisect_left(self.boundaries, row)
        near = [0, *self.boundaries[max(0, index - 1) : index + 1], self.rows[-1]]
        size = self.size_at(row)
        distance, boundary = min((abs(self.size_at(other) - size), other) for other in near)
        return boundary if distance <= most else row

    def hopeful(self) -> Steps:
        """The same rows as if no dictionary were repeated but each slice held its rows' share of it."""
        rows = sorted({*self.rows, *(last for last, _ in self.dictionaries)})
        shared = [sum(size * min(1.0, row / last) for last, size in self.dictionaries) for row in rows]
        return Steps(rows, [self.size_at(row) + more for row, more in zip(rows, shared, strict=True)], self.fixed)

    def dictionaries_from(self, first: int) -> int:
        """Bytes of the dictionaries that a slice beginning at row `first` refers to."""
        return sum(size for last, size in self.dictionaries if first < last)

    def fixed_from(self, first: int) -> float:
        """Bytes that a slice beginning at row `first` takes beyond those of its rows."""
        return self.fixed + self.dictionaries_from(first)

    def size_at(self, row: int) -> float:
        """Bytes of the first `row` rows."""
        index = bisect_left(self.rows, row)
        if self.rows[index] == row:
            return self.sizes[index]
        below, above = self.rows[index - 1], self.rows[index]
        step = self.sizes[index] - self.sizes[index - 1]
        return self.sizes[index - 1] + step * (row - below) / (above - below)

    def row_at(self, size: float) -> int:
        """The largest row whose bytes are not above `size`."""
        index = bisect_right(self.sizes, size)
        if index >= len(self.sizes):
            return self.rows[-1]
        if index == 0:
            return 0
        below, above = self.sizes[index - 1], self.sizes[index]
        rows = self.rows[index] - self.rows[index - 1]
        return self.rows[index - 1] + int(rows * (size - below) / (above - below))


class Piece(NamedTuple):
    """Rows `first` .. `last` (exclusive) of row group `group`."""

    group: int
    first: int
    last: int


Part = tuple[Piece, ...]
StepsOf = Callable[[int], Steps]
Cut = tuple[int, int]  # row group, row in it; (g, 0) is the boundary before group g


class Planner:
    """Plans parts over a fixed list of row groups; `steps_of` is asked only for row groups under a cut.

    `base` bytes are in every part; cuts move by up to `snap` bytes to where pages begin. With `estimate`, row groups
    count as it says until a cut that the plan depends on falls into them: few are read, and the plan is the same.
    """

    def __init__(
        self,
        groups: Sequence[Group],
        steps_of: StepsOf,
        base: float,
        snap: float = 0.0,
        estimate: StepsOf | None = None,
    ) -> None:
        self._groups = groups
        self._steps_of = steps_of
        self._base = base
        self._snap = snap
        self._estimate = estimate
        self._read: dict[int, Steps] = {}
        self._guessed: dict[int, Steps] = {}
        self._sizes = [0, *accumulate(group.size for group in groups)]
        self._rows = [0, *accumulate(group.rows for group in groups)]
        self._end: Cut = (len(groups), 0)

    @property
    def rows(self) -> int:
        """Rows of all row groups."""
        return self._rows[-1]

    def by_bytes(self, capacity: float, start: int = 0, first_rows: int | None = None) -> tuple[Part, ...]:
        """Parts of at most `capacity` bytes from row `start` on, where one row is the least a part can hold.

        First greedily, to know how few parts are enough; then with the smallest capacity that still gives that few.
        `first_rows` limits the first part: it has been measured to be larger than the arithmetic said.
        """
        if start >= self.rows:
            return ()
        if self._left_of(start) > capacity * len(self._groups):
            self._estimate = None  # most row groups will be cut
        while True:
            cuts, smaller = self._fewest(capacity, start, first_rows)
            if not self._all_read():
                continue
            if first_rows is None:
                cuts = self._snapped(self._evened(cuts, smaller, start, capacity), start, capacity)
                self._guessed.clear()
                self._sizes_of(cuts, start)
            if self._all_read():
                return self._parts(cuts, start)

    def _fewest(self, capacity: float, start: int, first_rows: int | None) -> tuple[list[Cut], list[Cut]]:
        """The cuts with the smallest capacity that the fewest parts allow, and those with one that is too small."""
        count = len(self._fill(capacity, start, first_rows))
        low, high = self._bisected(capacity, start, first_rows, count)
        # What was looked at on the way does not matter: these tell that no fewer parts, and no smaller ones, are enough
        self._guessed.clear()
        if first_rows is not None or not self._is_needed(count, capacity, start):
            self._fill(capacity, start, first_rows)
        smaller = self._fill(low, start, first_rows, count)
        return self._fill(high, start, first_rows), smaller

    def _bisected(
        self, high: float, start: int, first_rows: int | None, count: int, end: Cut | None = None, likely: float = 0.0
    ) -> tuple[float, float]:
        """(low, high) near to each other: parts of `high` bytes, which is enough, hold all in `count`, of `low` not.

        `likely` is about what they will be, if that is known.
        """
        low, near = 0.0, max(64.0, high * 1e-5)
        guesses = [0.97 * likely, 1.01 * likely] if likely else []
        for _ in range(2 * BISECTIONS):
            if high - low < near:
                break
            middle = guesses.pop() if guesses else (low + high) / 2
            if not low < middle < high:
                continue
            if self._fill(middle, start, first_rows, count, end)[-1] < (end or self._end):
                low = middle
            else:
                high = middle
        return low, high

    def _is_needed(self, count: int, capacity: float, start: int) -> bool:
        """Whether the bytes alone are too many for fewer parts; slices of a row group have no fewer bytes than it."""
        if any(self._slices_are_small(group, steps) for group, steps in self._read.items()):
            return False
        return self._left_of(start) > (count - 1) * (capacity - self._base)

    def _slices_are_small(self, group: int, steps: Steps) -> bool:
        return steps.sizes[-1] + steps.fixed_from(0) < self._groups[group].size - 1

    def _steps(self, group: int) -> Steps:
        """What is known of the row group, or guessed."""
        if group not in self._read:
            if self._estimate is not None:
                self._guessed[group] = self._estimate(group)
                return self._guessed[group]
            self._read[group] = self._steps_of(group)
        return self._read[group]

    def _all_read(self) -> bool:
        """Whether nothing was guessed wrongly since the guesses were cleared; they are exact the next time."""
        guessed, self._guessed = self._guessed, {}
        self._read.update((group, self._steps_of(group)) for group in guessed)
        return all(self._read[group] is steps for group, steps in guessed.items())

    def _evened(
        self, cuts: list[Cut], smaller: list[Cut], start: int, capacity: float, depth: int = EVENINGS
    ) -> list[Cut]:
        """`cuts`, or others as many whose parts are more alike.

        A slice repeats the dictionaries of its row group: parts that end where a row group does have a little less, and
        a cut just before the last page that refers to a dictionary costs more than one behind it. The smallest capacity
        leaves what that makes to one part; here the parts on one side of such a place share it.
        """
        best, alike = cuts, self._alike(cuts, start)
        if not 1 < len(cuts) <= MOST_EVENED or not depth:
            return best
        most = max(self._sizes_of(cuts, start))
        for kept in self._places_of_jumps(cuts, smaller, start):
            if alike > 1 - EVEN_ENOUGH:
                break
            behind: dict[Cut, list[Cut]] = {}
            evened = self._least(start, kept, capacity, most, 0, cuts[kept - 1])
            for before in filter(None, (cuts[:kept], smaller[:kept], evened)):
                place = before[-1]
                if place not in behind:
                    behind[place] = self._least(self._row(place), len(cuts) - kept, capacity, most, depth - 1)
                others = [*before, *behind[place]]
                if len(others) == len(cuts) and max(self._sizes_of(others, start)) <= capacity:
                    best, alike = max((best, alike), (others, self._alike(others, start)), key=lambda pair: pair[1])
        return best

    def _least(
        self, start: int, count: int, capacity: float, likely: float, depth: int, end: Cut | None = None
    ) -> list[Cut]:
        """`count` parts from row `start` up to `end` of no more bytes than need be; none when the capacity is less."""
        cuts = self._fill(capacity, start, None, count, end)
        if len(cuts) < count or cuts[-1] < (end or self._end):
            return []
        low, high = self._bisected(capacity, start, None, count, end, likely)
        cuts, smaller = self._fill(high, start, None, None, end), self._fill(low, start, None, count, end)
        return self._evened(cuts, smaller, start, capacity, depth)

    def _places_of_jumps(self, cuts: Sequence[Cut], smaller: Sequence[Cut], start: int) -> list[int]:
        """How many parts lie before a place where sizes jump: where two fills part most, beside the smallest part."""
        apart = [self._row(one) - self._row(other) for one, other in zip(cuts[:-1], smaller, strict=False)]
        grown = [after - before for before, after in pairwise([0, *apart])]
        most = max(range(len(grown)), key=grown.__getitem__)
        sizes = self._sizes_of(cuts, start)
        least = sizes.index(min(sizes))
        places = {most, most + 1, least, least + 1, len(cuts) - 1}
        return sorted(place for place in places if 0 < place < len(cuts))

    def _alike(self, cuts: Sequence[Cut], start: int) -> float:
        """The smallest part as a share of the largest."""
        sizes = self._sizes_of(cuts, start)
        return min(sizes) / max(sizes)

    def _sizes_of(self, cuts: Sequence[Cut], start: int) -> list[float]:
        return [self._size(*pair) for pair in pairwise([self._cut(start), *cuts])]

    def by_parts(self, count: int) -> tuple[Part, ...]:
        """`count` parts of bytes as equal as can be; fewer only when there are fewer rows."""
        if not self.rows:
            return ()
        while True:
            low, high = self._bisected(self._base + self._left_of(0) * 2.0, 0, None, count)
            self._guessed.clear()
            self._fill(low, 0, None, count)
            best = self._snapped(self._fill(high, 0, None), 0, float("inf"))
            if self._all_read():
                break
        rows = sorted({0, *(self._row(cut) for cut in best), self.rows})
        while len(rows) - 1 < min(count, self.rows):
            widest = max(range(len(rows) - 1), key=lambda index: rows[index + 1] - rows[index])
            rows.insert(widest + 1, (rows[widest] + rows[widest + 1]) // 2)
        return self._between(rows)

    def by_rows(self, count: int, start: int = 0) -> tuple[Part, ...]:
        """Parts of exactly `count` rows; the last one has the rest."""
        return self._between([*range(start, self.rows, count), self.rows])

    def _left_of(self, start: int) -> float:
        group, row = self._cut(start)
        done = self._sizes[group] + (self._steps(group).size_at(row) if row else 0.0)
        return max(1.0, self._sizes[-1] - done)

    def _cut(self, row: int) -> Cut:
        group = min(bisect_right(self._rows, row) - 1, len(self._groups))
        return group, row - self._rows[group]

    def _row(self, cut: Cut) -> int:
        return self._rows[cut[0]] + cut[1]

    def _fill(
        self, capacity: float, start: int, first_rows: int | None, most: int | None = None, end: Cut | None = None
    ) -> list[Cut]:
        """Ends of greedily filled parts up to `end` (else the data's end), or up to part `most`."""
        position = self._cut(start)
        end = end or self._end
        cuts: list[Cut] = []
        while position < end and len(cuts) != most:
            position = min(end, self._next_cut(position, capacity - self._base))
            if not cuts and first_rows is not None:
                position = min(position, self._cut(start + first_rows))
            cuts.append(position)
        return cuts

    def _snapped(self, cuts: Sequence[Cut], start: int, capacity: float) -> list[Cut]:
        """The cuts moved to page boundaries nearby where both parts beside them stay within the capacity."""
        snapped = [self._cut(start), *cuts]
        for index in range(1, len(snapped) - 1):
            group, row = snapped[index]
            if row == 0 or not self._snap:
                continue
            moved = self._cut(self._rows[group] + self._steps(group).boundary_near(row, self._snap))
            before, cut, after = snapped[index - 1 : index + 2]
            if before < moved < after and self._as_large(before, cut, moved, after, capacity):
                snapped[index] = moved
        return snapped[1:]

    def _as_large(self, before: Cut, cut: Cut, moved: Cut, after: Cut, capacity: float) -> bool:
        """Whether both parts keep their size but for `snap` bytes: dictionaries weigh in where a row group ends."""
        old = self._size(before, cut), self._size(cut, after)
        new = self._size(before, moved), self._size(moved, after)
        change = max(abs(size - was) for size, was in zip(new, old, strict=True))
        return change <= self._snap and max(new) <= capacity

    def _size(self, begin: Cut, end: Cut) -> float:
        """Bytes of the part between two cuts."""
        (first, row), (last, inside) = begin, end
        if first == last:
            steps = self._steps(first)
            return self._base + steps.size_at(inside) - steps.size_at(row) + steps.fixed_from(row)
        total = self._base + self._sizes[last] - self._sizes[first]
        if row:
            steps = self._steps(first)
            rest = steps.size_at(self._groups[first].rows) - steps.size_at(row) + steps.fixed_from(row)
            total += rest - self._groups[first].size
        if inside:
            steps = self._steps(last)
            total += steps.size_at(inside) + steps.fixed_from(0)
        return total

    def _next_cut(self, position: Cut, room: float) -> Cut:
        """Where the part that begins at `position` ends: behind it by at least one row."""
        group, row = position
        begin = self._row(position)
        if row:
            steps = self._steps(group)
            done = steps.size_at(row)
            fixed = steps.fixed_from(row)
            rest = steps.size_at(self._groups[group].rows) - done + fixed
            if rest > room:
                return self._cut(max(begin + 1, self._rows[group] + steps.row_at(room - fixed + done)))
            room -= rest
            group += 1
        whole = bisect_right(self._sizes, self._sizes[group] + room, lo=group) - 1
        whole = max(whole, group)
        if whole >= len(self._groups):
            return len(self._groups), 0
        room -= self._sizes[whole] - self._sizes[group]
        steps = self._steps(whole)
        fixed = steps.fixed_from(0)
        inside = steps.row_at(room - fixed) if room > fixed else 0
        inside = min(inside, self._groups[whole].rows - 1)
        return self._cut(max(begin + 1, self._rows[whole] + inside))

    def _parts(self, cuts: Sequence[Cut], start: int) -> tuple[Part, ...]:
        return self._between([start, *(self._row(cut) for cut in cuts)])

    def _between(self, rows: Sequence[int]) -> tuple[Part, ...]:
        return tuple(self._pieces(first, last) for first, last in pairwise(rows) if last > first)

    def _pieces(self, first: int, last: int) -> Part:
        """Rows `first` .. `last` of all the data as pieces of row groups."""
        group = bisect_right(self._rows, first) - 1
        pieces = []
        while first < last:
            base = self._rows[group]
            stop = min(last, self._rows[group + 1])
            pieces.append(Piece(group, first - base, stop - base))
            first = stop
            group += 1
        return tuple(pieces)


def linear_steps(rows: int, size: int) -> Steps:
    """The estimate for a row group whose pages are not known: every row takes the same."""
    return Steps((0, rows), (0.0, float(size)), 0.0)


def steps_of_columns(
    columns: Sequence[tuple[tuple[int, ...], Sequence[float]]],
    fixed: float,
    dictionaries: tuple[tuple[int, int], ...] = (),
    boundaries: Sequence[int] = (),
) -> Steps:
    """The sum of the columns' page tables: of each the rows at which pages begin, and all of them; and their bytes."""
    changes: dict[int, float] = {}
    alike: dict[tuple[int, ...], Sequence[float]] = {}  # bytes of columns whose pages begin at the same rows
    for starts, sizes in columns:
        alike[starts] = list(map(add, alike[starts], sizes)) if starts in alike else sizes
    for starts, sizes in alike.items():
        slope = 0.0
        for row, end, size in zip(starts, starts[1:], sizes, strict=False):
            if end > row:
                changes[row] = changes.get(row, 0.0) + size / (end - row) - slope
                slope = size / (end - row)
        changes[starts[-1]] = changes.get(starts[-1], 0.0) - slope
    total, slope, last = 0.0, 0.0, 0
    rows_at, sizes_at = [0], [0.0]
    for row in sorted(changes):
        if row > last:
            total += slope * (row - last)
            rows_at.append(row)
            sizes_at.append(max(total, sizes_at[-1]))
            last = row
        slope += changes[row]
    return Steps(rows_at, sizes_at, fixed, dictionaries, boundaries)
