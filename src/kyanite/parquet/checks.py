"""What has been written, checked against what should have been: before anything is committed."""

from __future__ import annotations

import struct as packing
from contextlib import closing
from typing import BinaryIO

from kyanite.errors import InvariantError
from kyanite.parquet.footer import MAGIC, Footer, parse_footer
from kyanite.parquet.model import Writer
from kyanite.parquet.write import Written


def check_written(written: Written, template: Footer, rows: int, name: str) -> Footer:
    """The footer just written, read back: right rows and schema, every chunk inside the file; else `InvariantError`."""
    footer = parse_footer(written.footer, written.size, name, template)
    if footer.rows != rows:
        raise InvariantError(f"{footer.rows} rows were written instead of {rows}; nothing is committed.", where=name)
    if footer.schema_key != template.schema_key:
        raise InvariantError("The written schema differs from the source's; nothing is committed.", where=name)
    return footer


def check_part(writer: Writer, written: Written, template: Footer, rows: int, name: str) -> None:
    """`check_written` and the size; with a writer that has `read_back()`, of the footer as the part itself holds it."""
    if writer.tell() != written.size:
        raise InvariantError(f"{writer.tell()} bytes were written instead of {written.size}.", where=name)
    read_back = getattr(writer, "read_back", None)
    file: BinaryIO | None = read_back() if read_back else None
    if file is None:
        check_written(written, template, rows, name)
        return
    with closing(file):  # the footer only: what stands before it may still be on its way
        tail = written.footer + packing.pack("<I", len(written.footer)) + MAGIC
        file.seek(written.size - len(tail))
        if file.read(len(tail)) != tail:
            raise InvariantError("The part does not end with the footer that was written.", where=name)
    check_written(written, template, rows, name)
