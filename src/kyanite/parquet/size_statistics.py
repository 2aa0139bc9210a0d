"""How many bytes of texts and how many values at each level pages hold: folded over a slice's pages, or left out.

Members of parquet-format's SizeStatistics, ColumnIndex and OffsetIndex; a slice gets those that its source has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kyanite.parquet.schema import Leaf
from kyanite.parquet.thrift import I64, LIST, Struct, number_of, numbers_of

TEXTS, REPETITIONS, DEFINITIONS = 1, 2, 3  # in SizeStatistics
PAGE_REPETITIONS, PAGE_DEFINITIONS = 6, 7  # in ColumnIndex
PAGE_TEXTS = 2  # in OffsetIndex


class Sizes(NamedTuple):
    """Of a page or of several: bytes of texts without their lengths, values at each level; None = not known."""

    texts: int | None = None
    repetitions: tuple[int, ...] | None = None
    definitions: tuple[int, ...] | None = None


UNKNOWN_SIZES = Sizes()


def indexed_sizes(column_index: Struct, offset_index: Struct, leaf: Leaf, pages: int) -> list[Sizes]:
    """What a chunk's page indexes (empty where it has none) tell of each of its pages."""
    texts = numbers_of(offset_index, PAGE_TEXTS)
    repetitions = _by_page(numbers_of(column_index, PAGE_REPETITIONS), leaf.max_repetition, pages)
    definitions = _by_page(numbers_of(column_index, PAGE_DEFINITIONS), leaf.max_definition, pages)
    return [
        Sizes(texts[number] if len(texts) == pages else None, repetitions[number], definitions[number])
        for number in range(pages)
    ]


def _by_page(numbers: Sequence[int], deepest: int, pages: int) -> list[tuple[int, ...] | None]:
    width = deepest + 1
    if len(numbers) != width * pages:
        return [None] * pages
    return [tuple(numbers[start : start + width]) for start in range(0, len(numbers), width)]


def with_plain_levels(sizes: Sizes, leaf: Leaf, values: int, nulls: int | None) -> Sizes:
    """The sizes with the levels that follow from the number of values and, in flat columns, of nulls."""
    repetitions, definitions = sizes.repetitions, sizes.definitions
    if repetitions is None and not leaf.max_repetition:
        repetitions = (values,)
    if definitions is None and not leaf.max_definition:
        definitions = (values,)
    if definitions is None and (leaf.max_repetition, leaf.max_definition) == (0, 1) and nulls is not None:
        definitions = (nulls, values - nulls)
    return Sizes(sizes.texts, repetitions, definitions)


def fold_sizes(pages: Sequence[Sizes]) -> Sizes:
    """What is known of all the pages together."""
    texts = [page.texts for page in pages if page.texts is not None]
    repetitions = [page.repetitions for page in pages if page.repetitions is not None]
    definitions = [page.definitions for page in pages if page.definitions is not None]
    return Sizes(
        sum(texts) if len(texts) == len(pages) else None,
        tuple(map(sum, zip(*repetitions, strict=True))) if len(repetitions) == len(pages) else None,
        tuple(map(sum, zip(*definitions, strict=True))) if len(definitions) == len(pages) else None,
    )


def size_statistics_of(whole: Sizes, source: Struct) -> Struct:
    """The SizeStatistics of a slice with the members of `source`, as far as they are known."""
    made: Struct = {}
    if TEXTS in source and whole.texts is not None:
        made[TEXTS] = (I64, whole.texts)
    for number, histogram in ((REPETITIONS, whole.repetitions), (DEFINITIONS, whole.definitions)):
        _put(made, number, source, [histogram])
    return made


def put_histograms(index: Struct, pages: Sequence[Sizes], source: Struct) -> None:
    """Give a new ColumnIndex the histograms that `source`, the whole chunk's, has."""
    _put(index, PAGE_REPETITIONS, source, [page.repetitions for page in pages])
    _put(index, PAGE_DEFINITIONS, source, [page.definitions for page in pages])


def put_texts(index: Struct, pages: Sequence[Sizes], source: Struct) -> None:
    """Give a new OffsetIndex the bytes of texts that `source`, the whole chunk's, has."""
    _put(index, PAGE_TEXTS, source, [None if page.texts is None else (page.texts,) for page in pages])


def _put(made: Struct, number: int, source: Struct, lists: Sequence[tuple[int, ...] | None]) -> None:
    """Lists of numbers, joined, when all are known; an empty one where the source's is."""
    if number not in source:
        return
    known = [one for one in lists if one is not None]
    if not numbers_of(source, number):
        made[number] = (LIST, (I64, []))
    elif len(known) == len(lists):
        made[number] = (LIST, (I64, [count for one in known for count in one]))


def wants_texts(size_statistics: Struct, offset_index: Struct) -> bool:
    """Whether bytes of texts are told of a chunk or of its pages."""
    return number_of(size_statistics, TEXTS, -1) >= 0 or bool(numbers_of(offset_index, PAGE_TEXTS))
