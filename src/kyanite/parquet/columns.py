"""A file's columns as texts: to tell what differs between two schemas, whoever wrote them."""

from __future__ import annotations

from kyanite.parquet.footer import Footer, naming
from kyanite.parquet.order import FIXED
from kyanite.parquet.schema import Column, Leaf, leaf_elements
from kyanite.parquet.thrift import Struct, number_of, struct_of

PHYSICAL = ("BOOLEAN", "INT32", "INT64", "INT96", "FLOAT", "DOUBLE", "BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY")
# By the numbers of parquet.thrift: ConvertedType, and the members of LogicalType that take its place
CONVERTED = {0: "String", 4: "Enum", 6: "Date", 19: "JSON", 20: "BSON", 21: "Interval"}
LOGICAL = {
    1: "String", 2: "Map", 3: "List", 4: "Enum", 6: "Date", 11: "Null", 12: "JSON", 13: "BSON", 14: "UUID",
    15: "Float16", 16: "Variant", 17: "Geometry", 18: "Geography",
}  # fmt: skip
CONVERTED_DECIMAL, DECIMAL, TIME, TIMESTAMP, INTEGER = 5, 5, 7, 8, 10
TIMES = {7: ("Time", "milliseconds"), 8: ("Time", "microseconds")}
TIMES |= {9: ("Timestamp", "milliseconds"), 10: ("Timestamp", "microseconds")}
UNITS = {1: "milliseconds", 2: "microseconds", 3: "nanoseconds"}
UNSIGNED, SIGNED = 11, 15  # UINT_8 and INT_8; each is followed by those of 16, 32 and 64 bits


def columns_of(footer: Footer) -> tuple[Column, ...]:
    """The leaf columns of a file. Types are equal whether a writer used the converted types of old or logical ones."""
    elements = leaf_elements(footer.struct)
    with naming(footer.name):
        return tuple(_column(leaf, element) for leaf, element in zip(footer.leaves, elements, strict=True))


def _column(leaf: Leaf, element: Struct) -> Column:
    physical = PHYSICAL[leaf.type] if 0 <= leaf.type < len(PHYSICAL) else f"type {leaf.type}"
    text = f"{physical}({leaf.length})" if leaf.type == FIXED else physical
    meaning = _logical(struct_of(element, 10)) if 10 in element else ""
    meaning = meaning or _converted(element)
    levels = leaf.max_definition, leaf.max_repetition
    nullable = {(0, 0): "required", (1, 0): "optional"}.get(levels, f"levels {levels[0]}/{levels[1]}")
    return Column(".".join(leaf.path), " ".join(filter(None, (text, meaning, nullable))))


def _logical(logical: Struct) -> str:
    """The text of a LogicalType, "" when it is empty."""
    for number in logical:
        if number in LOGICAL:
            return LOGICAL[number]
        member = struct_of(logical, number)
        if number == DECIMAL:
            return _decimal(number_of(member, 2, 0), number_of(member, 1, 0))
        if number in (TIME, TIMESTAMP):
            unit = UNITS.get(next(iter(struct_of(member, 2)), 0), "of an unknown unit")
            return _time("Time" if number == TIME else "Timestamp", unit, _is_true(member, 1))
        if number == INTEGER:
            bits = member.get(1, (0, 0))[1]
            return _integer(int(bits) if isinstance(bits, int) else 0, _is_true(member, 2))
        return f"logical type {number}"
    return ""


def _converted(element: Struct) -> str:
    number = number_of(element, 6, -1)
    if number == CONVERTED_DECIMAL:
        return _decimal(number_of(element, 8, 0), number_of(element, 7, 0))
    if number in TIMES:
        return _time(*TIMES[number], True)
    if UNSIGNED <= number < SIGNED + 4:
        return _integer(8 << (number - UNSIGNED) % 4, number >= SIGNED)
    return "" if number == -1 else CONVERTED.get(number, f"converted type {number}")


def _decimal(precision: int, scale: int) -> str:
    return f"Decimal(precision={precision}, scale={scale})"


def _time(name: str, unit: str, is_utc: bool) -> str:
    return f"{name}({unit}, {'UTC' if is_utc else 'local'})"


def _integer(bits: int, signed: bool) -> str:
    return f"Int({bits}, {'signed' if signed else 'unsigned'})"


def _is_true(struct: Struct, number: int) -> bool:
    return struct.get(number, (0, False))[1] is True
