"""Statistics of a slice folded from those of its pages: a bound that is not known is left out, never guessed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from kyanite.parquet.order import KEYS, key_of, spread_zero
from kyanite.parquet.schema import Leaf
from kyanite.parquet.thrift import BINARY, FALSE, I32, I64, LIST, TRUE, Struct, bytes_of, number_of, struct_of

BOUND_BYTES = 4096  # longer texts are no bounds in a footer: pyarrow's own limit
UNORDERED, ASCENDING, DESCENDING = range(3)


class Summary(NamedTuple):
    """What is known of some values: bounds (None = unknown), whether they are values themselves, nulls, `empty` = all.

    `low_exact` and `high_exact` are None when the writer did not say.
    """

    low: bytes | None = None
    high: bytes | None = None
    nulls: int | None = None
    empty: bool = False
    low_exact: bool | None = None
    high_exact: bool | None = None


UNKNOWN = Summary()


def page_summary(head: Struct, leaf: Leaf, version: int) -> Summary:
    """What a data page's header (DataPageHeader or DataPageHeaderV2) tells of its values."""
    number = 5 if version == 1 else 8
    statistics = struct_of(head, number) if number in head else {}
    nulls: int | None = number_of(statistics, 3, -1)
    if nulls == -1:
        nulls = number_of(head, 2) if version == 2 else None
    low = bytes_of(statistics, 6) if 6 in statistics else None
    high = bytes_of(statistics, 5) if 5 in statistics else None
    return summary_of(leaf, number_of(head, 1), nulls, low, high, _flag(statistics, 8), _flag(statistics, 7))


def summary_of(
    leaf: Leaf,
    values: int,
    nulls: int | None,
    low: bytes | None = None,
    high: bytes | None = None,
    low_exact: bool | None = None,
    high_exact: bool | None = None,
) -> Summary:
    """The summary of a page of `values` values whose header tells so much of them."""
    if leaf.max_definition == 0:
        nulls = 0
    empty = nulls == values
    if low is None or high is None or not leaf.order:
        return Summary(nulls=nulls, empty=empty)
    return _checked(Summary(low, high, nulls, empty, low_exact, high_exact), leaf)


def _flag(statistics: Struct, number: int) -> bool | None:
    return None if number not in statistics else statistics[number] == (TRUE, True)


def _checked(summary: Summary, leaf: Leaf) -> Summary:
    """Without bounds when they cannot be bounds of the column's type."""
    low, high = summary.low, summary.high
    if low is None or high is None:
        return summary
    length = leaf.length_of_value if leaf.order != "bytes" else 0
    key = KEYS[leaf.order]
    least, greatest = (None, None) if length and not len(low) == len(high) == length else (key(low), key(high))
    if least is None or greatest is None or least > greatest:
        return summary._replace(low=None, high=None, low_exact=None, high_exact=None)
    return summary


def indexed_summaries(index: Struct, leaf: Leaf, values: Sequence[int]) -> list[Summary] | None:
    """The pages' summaries of a ColumnIndex; None when it does not fit pages with these numbers of values."""
    empty, lows, highs = _items(index, 1, TRUE, FALSE), _items(index, 2, BINARY), _items(index, 3, BINARY)
    nulls = _items(index, 5, I64) if 5 in index else [None] * len(empty)
    if not leaf.order or {len(empty), len(lows), len(highs), len(nulls)} != {len(values)}:
        return None
    # Texts may have been shortened: then they are bounds, not values.
    exact = None if leaf.order in ("bytes",) else True
    summaries = []
    for none, low, high, count in zip(empty, lows, highs, nulls, strict=True):
        bounds = Summary(nulls=count, empty=True) if none == TRUE else Summary(low, high, count, False, exact, exact)
        summaries.append(_checked(bounds, leaf))
    if exact is None:
        summaries = [one._replace(low_exact=False, high_exact=False) for one in summaries]
    return summaries


def _items(struct: Struct, number: int, *kinds: int) -> list[Any]:
    kind, value = struct.get(number, (0, None))
    return list(value[1]) if kind == LIST and value[0] in kinds else []


def fold(summaries: Sequence[Summary], leaf: Leaf) -> Summary:
    """What is known of all the values together."""
    counted = [one.nulls for one in summaries if one.nulls is not None]
    nulls = sum(counted) if len(counted) == len(summaries) else None
    filled = [one for one in summaries if not one.empty]
    if not filled:
        return Summary(nulls=nulls, empty=True)
    if not leaf.order:
        return Summary(nulls=nulls)
    key = KEYS[leaf.order]
    lows = [key(one.low) for one in filled if one.low is not None]
    highs = [key(one.high) for one in filled if one.high is not None]
    if len(lows) < len(filled) or len(highs) < len(filled):
        return Summary(nulls=nulls)
    least, greatest = filled[lows.index(min(lows))], filled[highs.index(max(highs))]
    return Summary(least.low, greatest.high, nulls, False, least.low_exact, greatest.high_exact)


def is_within(part: Summary, whole: Summary, leaf: Leaf) -> bool:
    """Whether values bounded as `part` says change no bound of `whole`."""
    if part.low is None or part.high is None or whole.low is None or whole.high is None:
        return False
    key = KEYS[leaf.order]
    return bool(key(whole.low) <= key(part.low) and key(part.high) <= key(whole.high))


def of_one_value(page: Summary, leaf: Leaf) -> bool:
    """Whether all values of the page are the same, so that its bounds are those of any of them (NaN has no bounds)."""
    known = page.low is not None and page.low_exact is not False and page.high_exact is not False
    return known and page.low == page.high and leaf.order not in ("float", "half")


def statistics_of(summary: Summary, leaf: Leaf, source: Struct) -> Struct:
    """The Statistics of a slice, empty when the whole chunk has none (`source`); never a count of distinct values."""
    statistics: Struct = {}
    if not source:
        return statistics
    if summary.nulls is not None:
        statistics[3] = (I64, summary.nulls)
    low, high = summary.low, summary.high
    if low is None or high is None or max(len(low), len(high)) > BOUND_BYTES:
        return statistics
    statistics[5] = (BINARY, spread_zero(leaf.order, high, low=False))
    statistics[6] = (BINARY, spread_zero(leaf.order, low, low=True))
    for number, exact in ((7, summary.high_exact), (8, summary.low_exact)):
        if exact is False or (exact and number in source):
            statistics[number] = (TRUE if exact else FALSE, exact)
    return statistics


def column_index_of(summaries: Sequence[Summary], leaf: Leaf) -> Struct | None:
    """The ColumnIndex of pages with these summaries; None when one is not known well enough."""
    known = all(one.empty or (one.low is not None and one.high is not None) for one in summaries)
    longest = max((len(text) for one in summaries for text in (one.low or b"", one.high or b"")), default=0)
    if not leaf.order or not known or longest > BOUND_BYTES:
        return None
    bounds = [
        (b"", b"")
        if one.empty
        else (spread_zero(leaf.order, one.low or b"", low=True), spread_zero(leaf.order, one.high or b"", low=False))
        for one in summaries
    ]
    filled = [pair for one, pair in zip(summaries, bounds, strict=True) if not one.empty]
    index: Struct = {
        1: (LIST, (TRUE, [TRUE if one.empty else FALSE for one in summaries])),
        2: (LIST, (BINARY, [low for low, _ in bounds])),
        3: (LIST, (BINARY, [high for _, high in bounds])),
        4: (I32, _boundary_order(filled, leaf)),
    }
    if all(one.nulls is not None for one in summaries):
        index[5] = (LIST, (I64, [one.nulls for one in summaries]))
    return index


def _boundary_order(bounds: Sequence[tuple[bytes, bytes]], leaf: Leaf) -> int:
    keys = [(key_of(leaf.order, low), key_of(leaf.order, high)) for low, high in bounds]
    if all(before[0] <= after[0] and before[1] <= after[1] for before, after in pairwise(keys)):
        return ASCENDING
    if all(before[0] >= after[0] and before[1] >= after[1] for before, after in pairwise(keys)):
        return DESCENDING
    return UNORDERED
