"""Thrift's compact protocol, generic: a struct is a dict of field id -> (type, value); unknown fields survive.

Values: bool, int, bytes (also doubles and uuids, kept as they are), dict for a struct, (element type, list) for a list
or set, ((key type, value type), list of pairs) for a map.
"""

from __future__ import annotations

import gc
import struct as packing
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from kyanite import limits
from kyanite.errors import DataError

Struct = dict[int, tuple[int, Any]]

TRUE, FALSE, I8, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT, UUID = range(1, 14)
_FIXED = {DOUBLE: 8, UUID: 16}


ALL_LEVELS = 1000


class Opaque(bytes):
    """A struct, list, set or map kept as its bytes: nested deeper than the caller wanted to look."""


class Truncated(DataError):
    """The bytes end inside a value."""


@contextmanager
def uncollected() -> Iterator[None]:
    """Garbage collection off: footers are hundreds of thousands of small acyclic objects (3x faster)."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def decode(data: bytes, position: int = 0, levels: int = ALL_LEVELS) -> tuple[Struct, int]:
    """One struct at `position` and the position after it; `DataError` on anything that is not one.

    Containers in structs nested `levels` deep become `Opaque`: a third of the time for a footer.
    """
    try:
        struct, end = _read_struct(data, position, levels)
    except IndexError:
        raise Truncated("The thrift data ends inside a value.") from None
    except RecursionError:
        raise DataError("The thrift data is nested too deeply.") from None
    if end > len(data):
        raise Truncated("The thrift data ends inside a value.")
    return struct, end


def read_value(data: bytes, position: int, kind: int, levels: int) -> tuple[Any, int]:
    """The value of a struct's field and the position behind it; see `decode` for `levels`."""
    if kind <= FALSE:
        return kind == TRUE, position
    return _read_value(data, position, kind, levels)


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """An unsigned LEB128 number and the position after it; `IndexError` at the end of the data."""
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
        shift += 7
        if shift > 63:
            raise DataError("A thrift number is longer than 64 bits.")


def signed(data: bytes) -> int:
    """The zigzag number that is all of `data`."""
    size = len(data)
    if size == 1:
        number = data[0]
    elif size == 2:
        number = data[0] & 127 | data[1] << 7
    elif size == 3:
        number = data[0] & 127 | (data[1] & 127) << 7 | data[2] << 14
    elif size == 4:
        number = data[0] & 127 | (data[1] & 127) << 7 | (data[2] & 127) << 14 | data[3] << 21
    elif size == 5:
        number = data[0] & 127 | (data[1] & 127) << 7 | (data[2] & 127) << 14 | (data[3] & 127) << 21 | data[4] << 28
    else:
        number = read_varint(data, 0)[0]
    return (number >> 1) ^ -(number & 1)


def all_signed(texts: Sequence[bytes]) -> Sequence[int]:
    """`signed` of each: many at once, in a third of the time, as one long number with 64 bits for each of them."""
    count = len(texts)
    data = b"".join([text.ljust(8, b"\0") for text in texts])
    if len(data) == 8 * count:
        low7, high7, low14, high14, low28, high28, ones = _lanes(count)
        number = int.from_bytes(data, "little")
        number = number & low7 | number >> 1 & high7
        number = number & low14 | number >> 2 & high14
        number = number & low28 | number >> 4 & high28
        if not number & ones:
            return packing.unpack(f"<{count}Q", (number >> 1).to_bytes(8 * count, "little"))
    return list(map(signed, texts))  # there are negative numbers or very large ones


@lru_cache(64)
def _lanes(count: int) -> list[int]:
    """Masks for as many numbers: bits of their lower and higher halves, as these grow together; and the lowest bit."""
    masks = (0x7F, 0x3F80), (0x3FFF, 0x0FFFC000), (0x0FFFFFFF, 0x00FFFFFFF0000000)
    lanes = [
        mask.to_bytes(size, "little") * (8 // size)
        for size, pair in zip((2, 4, 8), masks, strict=True)
        for mask in pair
    ]
    return [int.from_bytes(lane * count, "little") for lane in (*lanes, (1).to_bytes(8, "little"))]


def _read_struct(data: bytes, position: int, levels: int) -> tuple[Struct, int]:
    fields: Struct = {}
    number = 0
    while True:
        head = data[position]
        position += 1
        if head == 0:
            return fields, position
        kind = head & 15
        if head >> 4:
            number += head >> 4
        else:
            value, position = read_varint(data, position)
            number = (value >> 1) ^ -(value & 1)
        # The frequent kinds inline: a footer holds some thirty values per column chunk.
        if I16 <= kind <= I64:
            byte = data[position]
            if byte < 128:
                value = byte
                position += 1
            else:
                value, position = read_varint(data, position)
            fields[number] = (kind, (value >> 1) ^ -(value & 1))
        elif kind == BINARY:
            length, position = read_varint(data, position)
            end = position + length
            if end > len(data):
                raise IndexError
            fields[number] = (BINARY, data[position:end])
            position = end
        elif kind <= FALSE:
            fields[number] = (kind, kind == TRUE)
        elif levels or kind < LIST or kind > STRUCT:
            item, position = _read_value(data, position, kind, levels)
            fields[number] = (kind, item)
        else:
            end = skip(data, position, kind)
            fields[number] = (kind, Opaque(data[position:end]))
            position = end


def skip(data: bytes, position: int, kind: int) -> int:
    """The position behind a value of this kind."""
    if kind == STRUCT:
        while True:
            head = data[position]
            position += 1
            if head == 0:
                return position
            if not head >> 4:
                _, position = read_varint(data, position)
            kind = head & 15
            if kind == BINARY:
                length, position = read_varint(data, position)
                position += length
            elif kind > FALSE:
                position = skip(data, position, kind)
    if I16 <= kind <= I64:
        while data[position] > 127:
            position += 1
        return position + 1
    if kind in (LIST, SET):
        head = data[position]
        position += 1
        length, kind = head >> 4, head & 15
        if length == 15:
            length, position = read_varint(data, position)
        _check_length(data, position, length)
        for _ in range(length):
            position = skip(data, position, kind)
        return position
    return _read_value(data, position, kind, ALL_LEVELS)[1]


def _read_value(data: bytes, position: int, kind: int, levels: int) -> tuple[Any, int]:
    if kind == STRUCT:
        return _read_struct(data, position, levels - 1)
    if kind in (LIST, SET):
        return _read_list(data, position, levels)
    if kind in (I16, I32, I64):
        value, position = read_varint(data, position)
        return (value >> 1) ^ -(value & 1), position
    if kind == BINARY:
        length, position = read_varint(data, position)
        return _take(data, position, length)
    if kind in (TRUE, FALSE, I8):
        return data[position], position + 1
    if kind in _FIXED:
        return _take(data, position, _FIXED[kind])
    if kind == MAP:
        return _read_map(data, position, levels)
    raise DataError(f"The thrift data has a value of the unknown type {kind}.")


def _take(data: bytes, position: int, length: int) -> tuple[bytes, int]:
    end = position + length
    if end > len(data):
        raise IndexError
    return data[position:end], end


def _check_length(data: bytes, position: int, length: int) -> None:
    if length > len(data) - position:
        raise IndexError  # every element takes a byte or more
    if length > limits.PARQUET_LIST_ITEMS:
        raise DataError(f"A thrift list has {length} items, more than {limits.PARQUET_LIST_ITEMS}.")


def _read_list(data: bytes, position: int, levels: int) -> tuple[tuple[int, list[Any]], int]:
    head = data[position]
    position += 1
    length, kind = head >> 4, head & 15
    if length == 15:
        length, position = read_varint(data, position)
    _check_length(data, position, length)
    items = []
    for _ in range(length):
        item, position = _read_value(data, position, kind, levels)
        items.append(item)
    return (kind, items), position


def _read_map(data: bytes, position: int, levels: int) -> tuple[tuple[tuple[int, int], list[tuple[Any, Any]]], int]:
    length, position = read_varint(data, position)
    if length == 0:
        return ((0, 0), []), position
    kinds = data[position]
    position += 1
    _check_length(data, position, length)
    pairs = []
    for _ in range(length):
        key, position = _read_value(data, position, kinds >> 4, levels)
        value, position = _read_value(data, position, kinds & 15, levels)
        pairs.append((key, value))
    return ((kinds >> 4, kinds & 15), pairs), position


def encode(struct: Struct) -> bytes:
    """The struct's bytes, fields in the order of their ids."""
    out = bytearray()
    _write_struct(out, struct)
    return bytes(out)


def write_varint(out: bytearray, value: int) -> None:
    """Append an unsigned LEB128 number."""
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)


def list_head(element: int, length: int) -> bytes:
    """What stands before the elements of a list or set."""
    if length < 15:
        return bytes([length << 4 | element])
    head = bytearray([0xF0 | element])
    write_varint(head, length)
    return bytes(head)


def _write_struct(out: bytearray, struct: Struct) -> None:
    last = 0
    for number in sorted(struct):
        kind, value = struct[number]
        if kind <= FALSE:
            kind = TRUE if value else FALSE
        step = number - last
        if 0 < step < 16:
            out.append(step << 4 | kind)
        else:
            out.append(kind)
            write_varint(out, (number << 1) ^ (number >> 31))
        last = number
        if kind > FALSE:
            _write_value(out, kind, value)
    out.append(0)


def _write_value(out: bytearray, kind: int, value: Any) -> None:
    if kind in (I16, I32, I64):
        write_varint(out, (value << 1) ^ (value >> 63))
    elif kind == BINARY:
        write_varint(out, len(value))
        out += value
    elif type(value) is Opaque:
        out += value
    elif kind == STRUCT:
        _write_struct(out, value)
    elif kind in (LIST, SET):
        element, items = value
        out += list_head(element, len(items))
        for item in items:
            _write_value(out, element, item)
    elif kind == MAP:
        (key_kind, value_kind), pairs = value
        write_varint(out, len(pairs))
        if pairs:
            out.append(key_kind << 4 | value_kind)
        for key, item in pairs:
            _write_value(out, key_kind, key)
            _write_value(out, value_kind, item)
    elif kind in _FIXED:
        out += value
    else:
        out.append(value)


def number_of(struct: Struct, field: int, default: int | None = None) -> int:
    """The integer in `field`; `DataError` when it is missing without a default or is no integer."""
    kind, value = struct.get(field, (0, default))
    if not I16 <= kind <= I64 and (kind or value is None):
        raise DataError(f"Field {field} of a thrift struct is not a number.")
    return int(value)


def bytes_of(struct: Struct, field: int, default: bytes = b"") -> bytes:
    """The bytes in `field`, `default` when it is missing."""
    kind, value = struct.get(field, (BINARY, default))
    if kind != BINARY:
        raise DataError(f"Field {field} of a thrift struct is not text.")
    return bytes(value)


def _opened(kind: int, value: Any) -> Any:
    """The value, decoded now when it is `Opaque`."""
    return _read_value(value, 0, kind, ALL_LEVELS)[0] if type(value) is Opaque else value


def struct_of(struct: Struct, field: int) -> Struct:
    """The struct in `field`; `DataError` when it is missing or something else."""
    kind, value = struct.get(field, (0, None))
    if kind != STRUCT:
        raise DataError(f"Field {field} of a thrift struct is not a struct.")
    found: Struct = _opened(kind, value)
    return found


def structs_of(struct: Struct, field: int) -> list[Struct]:
    """The list of structs in `field`, empty when it is missing."""
    kind, value = struct.get(field, (LIST, (STRUCT, [])))
    value = _opened(kind, value)
    if kind != LIST or (value[0] != STRUCT and value[1]):
        raise DataError(f"Field {field} of a thrift struct is not a list of structs.")
    return list(value[1])


def texts_of(struct: Struct, field: int) -> tuple[str, ...]:
    """The list of texts in `field`, empty when it is missing."""
    kind, value = struct.get(field, (LIST, (BINARY, [])))
    value = _opened(kind, value)
    if kind != LIST or (value[0] != BINARY and value[1]):
        raise DataError(f"Field {field} of a thrift struct is not a list of texts.")
    return tuple(item.decode("utf-8", "replace") for item in value[1])


def numbers_of(struct: Struct, field: int) -> tuple[int, ...]:
    """The list of integers in `field`, empty when it is missing."""
    kind, value = struct.get(field, (LIST, (I32, [])))
    value = _opened(kind, value)
    if kind != LIST or (not I16 <= value[0] <= I64 and value[1]):
        raise DataError(f"Field {field} of a thrift struct is not a list of numbers.")
    return tuple(value[1])
