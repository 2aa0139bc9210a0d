"""In which order a column's minima and maxima stand, by type and logical type (parquet-format, `ColumnOrder`)."""

from __future__ import annotations

import math
import struct as packing
from collections.abc import Callable
from typing import Any

from kyanite.parquet.thrift import FALSE, Struct, number_of, struct_of, structs_of

BOOLEAN, INT32, INT64, INT96, FLOAT, DOUBLE, BYTE_ARRAY, FIXED = range(8)
VALUE_BYTES = {BOOLEAN: 1, INT32: 4, INT64: 8, INT96: 12, FLOAT: 4, DOUBLE: 8, BYTE_ARRAY: 0}
DECIMAL, FLOAT16, INTEGER = 5, 15, 10  # members of LogicalType
UNORDERED = (11, 16, 17, 18)  # UNKNOWN, VARIANT, GEOMETRY, GEOGRAPHY
LOGICAL_TYPES = range(1, 19)
CONVERTED_UNSIGNED = range(11, 15)
CONVERTED_DECIMAL, CONVERTED_INTERVAL = 5, 21


def order_of(element: Struct, declared: Struct | None) -> str:
    """The name in KEYS of a leaf's order; "" when it has none, or none was declared: then bounds say nothing."""
    kind, converted = number_of(element, 1), number_of(element, 6, -1)
    logical = struct_of(element, 10) if 10 in element else {}
    if declared is None or set(declared) != {1} or converted == CONVERTED_INTERVAL:
        return ""
    if any(member in UNORDERED or member not in LOGICAL_TYPES for member in logical):
        return ""
    if kind in (INT32, INT64):
        return "unsigned" if converted in CONVERTED_UNSIGNED or _is_unsigned(logical) else "signed"
    if kind in (BYTE_ARRAY, FIXED):
        if converted == CONVERTED_DECIMAL or DECIMAL in logical:
            return "decimal"
        return "half" if FLOAT16 in logical else "bytes"
    return {BOOLEAN: "unsigned", FLOAT: "float", DOUBLE: "float"}.get(kind, "")


def _is_unsigned(logical: Struct) -> bool:
    return INTEGER in logical and struct_of(logical, INTEGER).get(2, (0, True)) == (FALSE, False)


def _float_key(data: bytes) -> float | None:
    try:
        value = packing.unpack({2: "<e", 4: "<f", 8: "<d"}.get(len(data), "<d"), data)[0]
    except packing.error:
        return None
    return None if math.isnan(value) else float(value)


KEYS: dict[str, Callable[[bytes], Any]] = {
    "signed": lambda data: int.from_bytes(data, "little", signed=True),
    "unsigned": lambda data: int.from_bytes(data, "little"),
    "decimal": lambda data: int.from_bytes(data, "big", signed=True),
    "bytes": bytes,
    "float": _float_key,
    "half": _float_key,
}


def key_of(order: str, data: bytes) -> Any:
    """What a bound compares by; None for one that is no bound (NaN)."""
    return KEYS[order](data)


def spread_zero(order: str, data: bytes, low: bool) -> bytes:
    """A zero bound with the sign that covers both zeros: -0.0 below, +0.0 above."""
    if order in ("float", "half") and _float_key(data) == 0:
        return bytes(len(data) - 1) + (b"\x80" if low else b"\0")
    return data


def declared_orders(struct: Struct, count: int) -> list[Struct | None]:
    """The footer's ColumnOrder of each column, None where it has none."""
    orders = structs_of(struct, 7)
    return list(orders) if len(orders) == count else [None] * count
