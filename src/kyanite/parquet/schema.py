"""A parquet file's schema: the columns it flattens to, and what makes two schemas the same."""

from __future__ import annotations

from typing import NamedTuple

from kyanite import limits
from kyanite.errors import DataError, LimitError
from kyanite.parquet.order import VALUE_BYTES, declared_orders, order_of
from kyanite.parquet.thrift import LIST, STRUCT, Struct, bytes_of, encode, number_of, structs_of


class Leaf(NamedTuple):
    """One column as stored: physical type (0 BOOLEAN .. 7 FIXED_LEN_BYTE_ARRAY), length in bytes when fixed, depths.

    `order` names how its minima and maxima compare (`order.KEYS`); "" = they say nothing.
    """

    path: tuple[str, ...]
    type: int
    length: int
    max_definition: int
    max_repetition: int
    order: str = ""

    @property
    def length_of_value(self) -> int:
        """Bytes of each value, 0 for texts."""
        return VALUE_BYTES.get(self.type, self.length)


class Column(NamedTuple):
    """A leaf column: dotted path, and its type as a text that tells any two different types apart."""

    path: str
    type: str


def column_name(leaf: Leaf) -> str:
    """The column as people write it: `a.b.c`."""
    return ".".join(leaf.path)


def schema_key_of(struct: Struct) -> bytes:
    """Schema and column orders as bytes, without the root's name, which means nothing and differs between writers."""
    root, *elements = structs_of(struct, 2)
    root = {number: value for number, value in root.items() if number not in (3, 4)}
    key: Struct = {2: (LIST, (STRUCT, [root, *elements]))}
    if 7 in struct:
        key[7] = struct[7]
    return encode(key)


def leaf_elements(footer: Struct) -> list[Struct]:
    """The SchemaElements of the columns, in order."""
    return [element for element in structs_of(footer, 2)[1:] if 1 in element and not number_of(element, 5, 0)]


def ordered_leaves(leaves: tuple[Leaf, ...], footer: Struct) -> tuple[Leaf, ...]:
    """The leaves with the order of their bounds."""
    elements = leaf_elements(footer)
    orders = declared_orders(footer, len(leaves))
    return tuple(
        leaf._replace(order=order_of(element, declared))
        for leaf, element, declared in zip(leaves, elements, orders, strict=True)
    )


def leaves_of(elements: list[Struct]) -> tuple[Leaf, ...]:
    """The columns of the flattened schema tree, in order."""
    if not elements:
        raise DataError("The footer has no schema.")
    leaves: list[Leaf] = []
    open_groups = [(number_of(elements[0], 5, 0), 0, 0, ())]  # children left, definition, repetition, path
    path: tuple[str, ...]
    for element in elements[1:]:
        while open_groups and open_groups[-1][0] == 0:
            open_groups.pop()
        if not open_groups:
            raise DataError("The footer's schema has elements outside its tree.")
        left, definition, repetition, path = open_groups.pop()
        open_groups.append((left - 1, definition, repetition, path))
        kind = number_of(element, 3, 0)
        definition += kind != 0
        repetition += kind == 2
        try:
            path = (*path, bytes_of(element, 4).decode())
        except UnicodeDecodeError:
            raise DataError("A column's name is not UTF-8.") from None
        children = number_of(element, 5, 0)
        if children:
            open_groups.append((children, definition, repetition, path))  # type: ignore[arg-type]
        else:
            if 1 not in element:
                continue  # a group without children holds no column
            leaves.append(Leaf(path, number_of(element, 1), number_of(element, 2, 0), definition, repetition))
        if len(leaves) > limits.PARQUET_COLUMNS:
            raise LimitError(f"The file has more than {limits.PARQUET_COLUMNS} columns.")
    if any(left for left, *_ in open_groups):
        raise DataError("The footer's schema ends inside its tree.")
    return tuple(leaves)
