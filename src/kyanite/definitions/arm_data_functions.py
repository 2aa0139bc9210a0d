"""Array, object, number and logic functions of ARM templates: name -> (fewest arguments, most, function)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kyanite.definitions.arm_values import guard_length, type_name, want, want_all
from kyanite.errors import TemplateError

Json = Any
_RANGE_ITEMS = 10_000  # ARM's own limit


def same(left: Json, right: Json) -> bool:
    """Deep equality in which true is not 1."""
    if type_name(left) != type_name(right):
        return False
    if isinstance(left, list):
        return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right, strict=True))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return bool(left == right)


def _contains(arguments: Sequence[Json]) -> bool:
    container = want("contains", arguments[0], "array", "object", "string")
    if isinstance(container, list):
        return any(same(item, arguments[1]) for item in container)
    wanted = str(want("contains", arguments[1], "string", "int"))
    if isinstance(container, dict):
        return any(key.lower() == wanted.lower() for key in container)
    return wanted in container


def _empty(arguments: Sequence[Json]) -> bool:
    value = want("empty", arguments[0], "array", "object", "string", "null")
    return not value


def _first(arguments: Sequence[Json]) -> Json:
    value = want("first", arguments[0], "array", "string")
    return value[0] if value else ("" if isinstance(value, str) else None)


def _last(arguments: Sequence[Json]) -> Json:
    value = want("last", arguments[0], "array", "string")
    return value[-1] if value else ("" if isinstance(value, str) else None)


def _skip(arguments: Sequence[Json]) -> Json:
    return want("skip", arguments[0], "array", "string")[max(want("skip", arguments[1], "int"), 0) :]


def _take(arguments: Sequence[Json]) -> Json:
    return want("take", arguments[0], "array", "string")[: max(want("take", arguments[1], "int"), 0)]


def _union(arguments: Sequence[Json]) -> Json:
    kind = type_name(want("union", arguments[0], "array", "object"))
    want_all("union", arguments, kind)
    if kind == "object":
        merged: dict[str, Json] = {}
        for argument in arguments:
            merged = _merge(merged, argument)
        return merged
    return _distinct([item for argument in arguments for item in argument])


def _merge(left: dict[str, Json], right: dict[str, Json]) -> dict[str, Json]:
    merged = dict(left)
    for key, value in right.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _distinct(items: list[Json]) -> list[Json]:
    guard_length(len(items) * len(items) // 16)
    kept: list[Json] = []
    for item in items:
        if not any(same(item, other) for other in kept):
            kept.append(item)
    return kept


def _intersection(arguments: Sequence[Json]) -> Json:
    kind = type_name(want("intersection", arguments[0], "array", "object"))
    first, *others = want_all("intersection", arguments, kind)
    if kind == "object":
        return {k: v for k, v in first.items() if all(k in other and same(v, other[k]) for other in others)}
    kept = _distinct(first)
    return [item for item in kept if all(any(same(item, other) for other in array) for array in others)]


def _create_object(arguments: Sequence[Json]) -> Json:
    if len(arguments) % 2:
        raise TemplateError("createObject got a key without a value.", cure="Give keys and values in pairs.")
    return dict(zip(want_all("createObject", arguments[::2], "string"), arguments[1::2], strict=True))


def _range(arguments: Sequence[Json]) -> list[int]:
    start, count = want_all("range", arguments, "int")
    if not 0 <= count <= _RANGE_ITEMS:
        raise TemplateError(f"range got the count {count}.", cure=f"Give a count from 0 to {_RANGE_ITEMS:,}.")
    return list(range(start, start + count))


def _extreme(name: str, pick: Callable[[Sequence[int]], int]) -> Callable[[Sequence[Json]], int]:
    def call(arguments: Sequence[Json]) -> int:
        items = arguments[0] if len(arguments) == 1 and isinstance(arguments[0], list) else arguments
        if not items:
            raise TemplateError(f"{name} got an empty array.", cure="Give at least one integer.")
        return pick(want_all(name, items, "int"))

    return call


def _arithmetic(name: str, compute: Callable[[int, int], int]) -> Callable[[Sequence[Json]], int]:
    def call(arguments: Sequence[Json]) -> int:
        left, right = want_all(name, arguments, "int")
        if name in ("div", "mod") and right == 0:
            raise TemplateError(f"{name} divides by zero.", cure="Give a divisor that is not 0.")
        result = compute(left, right)
        if not -(2**63) <= result < 2**63:
            raise TemplateError(f"The result of {name} does not fit 64 bits.", cure="Use smaller numbers.")
        return result

    return call


def _quotient(left: int, right: int) -> int:
    size = abs(left) // abs(right)
    return size if (left < 0) == (right < 0) else -size


def _comparison(name: str, compare: Callable[[Any, Any], bool]) -> Callable[[Sequence[Json]], bool]:
    def call(arguments: Sequence[Json]) -> bool:
        left, right = (want(name, argument, "int", "string") for argument in arguments)
        want(name, right, type_name(left))
        return compare(left, right)

    return call


def _int(arguments: Sequence[Json]) -> int:
    value = want("int", arguments[0], "string", "int")
    if isinstance(value, str) and not re.fullmatch(r"\s*[+-]?\d{1,18}\s*", value, re.ASCII):
        raise TemplateError("int got a text that is no integer.", cure="Give digits only.")
    return int(value)


def _bool(arguments: Sequence[Json]) -> bool:
    value = want("bool", arguments[0], "string", "int", "bool")
    if isinstance(value, str) and value.lower() not in ("true", "false", "1", "0"):
        raise TemplateError("bool got a text that is neither true nor false.", cure="Give 'true' or 'false'.")
    return value.lower() in ("true", "1") if isinstance(value, str) else bool(value)


def _items(arguments: Sequence[Json]) -> list[Json]:
    value: dict[str, Json] = want("items", arguments[0], "object")
    return [{"key": key, "value": value[key]} for key in sorted(value)]


def _flatten(arguments: Sequence[Json]) -> list[Json]:
    arrays = want_all("flatten", want("flatten", arguments[0], "array"), "array")
    return [item for array in arrays for item in array]


def _shallow_merge(arguments: Sequence[Json]) -> dict[str, Json]:
    merged: dict[str, Json] = {}
    for part in want_all("shallowMerge", want("shallowMerge", arguments[0], "array"), "object"):
        merged |= part
    return merged


def _try_get(arguments: Sequence[Json]) -> Json:
    value = arguments[0]
    for key in arguments[1:]:
        if isinstance(value, dict) and isinstance(key, str):
            value = next((item for name, item in value.items() if name.lower() == key.lower()), None)
        elif isinstance(value, list) and type_name(key) == "int":
            value = value[key] if 0 <= key < len(value) else None
        else:
            return None
    return value


def _from_end(name: str, *, tries: bool) -> Callable[[Sequence[Json]], Json]:
    def call(arguments: Sequence[Json]) -> Json:
        items, index = want(name, arguments[0], "array"), want(name, arguments[1], "int")
        if 1 <= index <= len(items):
            return items[-index]
        if tries:
            return None
        raise TemplateError(f"The array has {len(items)} item(s), there is no item ^{index}.", cure="Count from 1.")

    return call


def _index(name: str, pick: Callable[[list[int]], int]) -> Callable[[Sequence[Json]], int]:
    def call(arguments: Sequence[Json]) -> int:
        container = want(name, arguments[0], "string", "array")
        if isinstance(container, list):
            places = [index for index, item in enumerate(container) if same(item, arguments[1])]
            return pick(places) if places else -1
        text, part = container.lower(), want(name, arguments[1], "string").lower()
        return int(text.find(part) if name == "indexOf" else text.rfind(part))

    return call


def _fail(arguments: Sequence[Json]) -> Json:
    raise TemplateError(f"The template fails: {want('fail', arguments[0], 'string')}", cure="Give it other parameters.")


def _float(arguments: Sequence[Json]) -> Json:
    value = want("float", arguments[0], "string", "int", "float")
    try:
        return float(value)
    except (ValueError, OverflowError):
        raise TemplateError("float got a text that is no number.", cure="Give digits with a point.") from None


DATA_FUNCTIONS: Mapping[str, tuple[int, int | None, Callable[[Sequence[Json]], Json]]] = {
    "add": (2, 2, _arithmetic("add", lambda a, b: a + b)),
    "array": (1, 1, lambda arguments: arguments[0] if isinstance(arguments[0], list) else [arguments[0]]),
    "bool": (1, 1, _bool),
    "contains": (2, 2, _contains),
    "createArray": (0, None, list),
    "createObject": (0, None, _create_object),
    "div": (2, 2, _arithmetic("div", _quotient)),
    "empty": (1, 1, _empty),
    "equals": (2, 2, lambda arguments: same(arguments[0], arguments[1])),
    "fail": (1, 1, _fail),
    "false": (0, 0, lambda _: False),
    "first": (1, 1, _first),
    "flatten": (1, 1, _flatten),
    "float": (1, 1, _float),
    "greater": (2, 2, _comparison("greater", lambda a, b: a > b)),
    "greaterOrEquals": (2, 2, _comparison("greaterOrEquals", lambda a, b: a >= b)),
    "indexFromEnd": (2, 2, _from_end("indexFromEnd", tries=False)),
    "indexOf": (2, 2, _index("indexOf", min)),
    "int": (1, 1, _int),
    "intersection": (2, None, _intersection),
    "items": (1, 1, _items),
    "last": (1, 1, _last),
    "lastIndexOf": (2, 2, _index("lastIndexOf", max)),
    "length": (1, 1, lambda arguments: len(want("length", arguments[0], "array", "object", "string"))),
    "less": (2, 2, _comparison("less", lambda a, b: a < b)),
    "lessOrEquals": (2, 2, _comparison("lessOrEquals", lambda a, b: a <= b)),
    "max": (1, None, _extreme("max", max)),
    "min": (1, None, _extreme("min", min)),
    "mod": (2, 2, _arithmetic("mod", lambda a, b: a - b * _quotient(a, b))),
    "mul": (2, 2, _arithmetic("mul", lambda a, b: a * b)),
    "not": (1, 1, lambda arguments: not want("not", arguments[0], "bool")),
    "null": (0, 0, lambda _: None),
    "objectKeys": (1, 1, lambda arguments: sorted(want("objectKeys", arguments[0], "object"))),
    "range": (2, 2, _range),
    "shallowMerge": (1, 1, _shallow_merge),
    "skip": (2, 2, _skip),
    "sub": (2, 2, _arithmetic("sub", lambda a, b: a - b)),
    "take": (2, 2, _take),
    "true": (0, 0, lambda _: True),
    "tryGet": (2, None, _try_get),
    "tryIndexFromEnd": (2, 2, _from_end("tryIndexFromEnd", tries=True)),
    "union": (2, None, _union),
}
