"""Functions of arrays, objects and strings as collections."""

from __future__ import annotations

from collections.abc import Mapping

from kyanite.expressions import characters, values
from kyanite.expressions.functions.arguments import (
    ArgumentRefused,
    array,
    collections,
    count,
    text,
    text_or_array,
)
from kyanite.expressions.scope import Evaluation, Json


def contains(evaluation: Evaluation, collection: Json, value: Json) -> bool:
    """A substring of a text, an item of an array, or a key of an object (in any case, as the engine finds it)."""
    if type(collection) is str:
        evaluation.spend(len(collection) >> 10)
        return text(value, 1) in collection
    if isinstance(collection, Mapping):
        evaluation.spend(len(collection) >> 4)
        return values.find_key(collection, text(value, 1)) is not None
    if isinstance(collection, list | tuple):
        evaluation.spend(len(collection) >> 4)
        return any(values.same(item, value, evaluation) for item in collection)
    kind = values.kind_of(collection)
    raise ArgumentRefused(0, f"A string, an array or an object is expected, not a value of type '{kind}'.")


def empty(evaluation: Evaluation, collection: Json) -> bool:
    """Whether there is nothing in a text, array or object; null is empty."""
    if collection is None:
        return True
    if isinstance(collection, str | list | tuple | Mapping):
        return not collection
    kind = values.kind_of(collection)
    raise ArgumentRefused(0, f"A string, an array or an object is expected, not a value of type '{kind}'.")


def first(evaluation: Evaluation, collection: Json) -> Json:
    """The first item or character; null of an empty array, empty text of an empty one."""
    items = text_or_array(collection)
    evaluation.spend(len(items) >> 10)
    if isinstance(items, str):
        return characters.cut(items, 0, 1)
    return items[0] if items else None


def last(evaluation: Evaluation, collection: Json) -> Json:
    """The last item or character; null of an empty array, empty text of an empty one."""
    items = text_or_array(collection)
    evaluation.spend(len(items) >> 10)
    if isinstance(items, str):
        size = characters.length(items)
        return characters.cut(items, max(size - 1, 0), size)
    return items[-1] if items else None


def intersection(evaluation: Evaluation, *parts: Json) -> Json:
    """Items in all arrays, once each in the first one's order; of objects the properties equal in all."""
    checked = collections(parts)
    for part in checked:
        evaluation.reserve_items(len(part))
    if isinstance(checked[0], Mapping):
        others = checked[1:]
        return {
            key: value
            for key, value in checked[0].items()
            if all(key in other and values.same(value, other[key], evaluation) for other in others)
        }
    keys = [{values.identity(item, evaluation) for item in part} for part in checked[1:]]
    found = {values.identity(item, evaluation): item for item in reversed(checked[0])}
    kept = dict.fromkeys(values.identity(item, evaluation) for item in checked[0])
    return [found[key] for key in kept if all(key in others for others in keys)]


def union(evaluation: Evaluation, *parts: Json) -> Json:
    """All items once each, in order of appearance; of objects the last value of each name, not merged in depth."""
    checked = collections(parts)
    for part in checked:
        evaluation.reserve_items(len(part))
    if isinstance(checked[0], Mapping):
        merged: dict[str, Json] = {}
        for part in checked:
            merged.update(part)
        return merged
    found: dict[tuple[type, Json], Json] = {}
    for part in checked:
        for item in part:
            found.setdefault(values.identity(item, evaluation), item)
    return list(found.values())


def join(evaluation: Evaluation, items: Json, delimiter: Json) -> str:
    """The text forms of an array's items with a text between them."""
    return values.joined(array(items), text(delimiter, 1), evaluation)


def length(evaluation: Evaluation, collection: Json) -> int:
    """Number of items, or of UTF-16 units of a text."""
    items = text_or_array(collection)
    evaluation.spend(len(items) >> 10)
    return characters.length(items) if isinstance(items, str) else len(items)


def skip(evaluation: Evaluation, collection: Json, number: Json) -> Json:
    """All but the first `number` items or characters."""
    items, wanted = text_or_array(collection), count(number, 1)
    evaluation.spend(len(items) >> 8)
    return characters.cut(items, wanted, characters.length(items)) if isinstance(items, str) else items[wanted:]


def take(evaluation: Evaluation, collection: Json, number: Json) -> Json:
    """The first `number` items or characters, fewer if there are not as many."""
    items, wanted = text_or_array(collection), count(number, 1)
    evaluation.spend(len(items) >> 8)
    return characters.cut(items, 0, wanted) if isinstance(items, str) else items[:wanted]
