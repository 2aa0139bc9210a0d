"""Schemas of inputs: compared before files are joined, told by their columns when they differ."""

from __future__ import annotations

from collections.abc import Sequence

from kyanite.errors import DataError
from kyanite.movement.split_inputs import InputFile
from kyanite.parquet.columns import columns_of
from kyanite.parquet.footer import read_footer
from kyanite.parquet.schema import Column

COLUMNS_NAMED = 5


def fingerprint(columns: Sequence[Column]) -> str:
    """A short text that is equal for equal columns."""
    from anycrc import Model

    text = "\n".join(f"{column.path}\t{column.type}" for column in columns)
    return f"crc64:{Model('CRC64-XZ').calc(text.encode()):016x}"


def have_one_schema(files: Sequence[InputFile], merge: bool | None) -> bool:
    """Whether all files have the same columns; with `merge` a DataError tells which file and columns differ."""
    first = columns_of(read_footer(files[0].source))
    for file in files[1:]:
        columns = columns_of(read_footer(file.source))
        if columns == first:
            continue
        if merge:
            raise DataError(
                f"Its schema differs from that of {files[0].url}: {differences(first, columns)}.",
                where=file.url,
                cure="Split them one by one (`--no-merge`), or give only files of one schema.",
            )
        return False
    return True


def differences(first: Sequence[Column], second: Sequence[Column]) -> str:
    """What differs between two lists of columns, for a message."""
    there, here = ({column.path: column.type for column in columns} for columns in (first, second))
    found = [f"column `{path}` is missing" for path in there if path not in here]
    found += [f"column `{path}` is only here" for path in here if path not in there]
    found += [
        f"column `{path}` is {here[path]} here and {there[path]} there"
        for path in there
        if path in here and here[path] != there[path]
    ]
    if not found:
        found = ["the columns are the same, in another order"]
    more = f" and {len(found) - COLUMNS_NAMED} more" if len(found) > COLUMNS_NAMED else ""
    return "; ".join(found[:COLUMNS_NAMED]) + more
