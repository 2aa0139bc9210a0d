"""What has been written, checked against what should have been: before anything is committed."""

from __future__ import annotations

import struct as packing
from contextlib import closing
from typing import Any, BinaryIO

from kyanite.errors import InvariantError
from kyanite.parquet.footer import MAGIC, Footer, parse_footer
from kyanite.parquet.model import Writer
from kyanite.parquet.reencode import decoding
from kyanite.parquet.write import Written


def check_written(written: Written, template: Footer, rows: int, name: str) -> Footer:
    """The footer just written, read back: right rows and schema, every chunk inside the file; else `InvariantError`."""
    footer = parse_footer(written.footer, written.size, name)
    if footer.rows != rows:
        raise InvariantError(f"{footer.rows} rows were written instead of {rows}; nothing is committed.", where=name)
    if footer.schema_key != template.schema_key:
        raise InvariantError("The written schema differs from the source's; nothing is committed.", where=name)
    return footer


def check_part(writer: Writer, written: Written, template: Footer, rows: int, name: str) -> None:
    """`check_written`, the size, and what pyarrow finds: in the part itself when the writer has `read_back()`."""
    check_written(written, template, rows, name)
    if writer.tell() != written.size:
        raise InvariantError(f"{writer.tell()} bytes were written instead of {written.size}.", where=name)
    import pyarrow as pa

    tail = written.footer + packing.pack("<I", len(written.footer)) + MAGIC
    read_back = getattr(writer, "read_back", None)
    file: BinaryIO | None = read_back() if read_back else None
    if file is not None:
        with closing(file):  # the footer only: what stands before it may still be on its way
            file.seek(written.size - len(tail))
            tail = file.read(len(tail))
    _check_found(pa.BufferReader(MAGIC + tail), written, rows, name)


def _check_found(file: Any, written: Written, rows: int, name: str) -> None:
    """Another implementation than ours must find the same rows; what it cannot read came with the source's metadata."""
    import pyarrow.parquet as pq

    with decoding(name):
        found = pq.read_metadata(file)
    if (found.num_rows, found.num_row_groups) != (rows, written.row_groups):
        raise InvariantError(f"pyarrow finds {found.num_rows} rows instead of {rows} in the part.", where=name)
