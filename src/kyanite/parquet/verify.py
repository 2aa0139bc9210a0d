"""What has been written, checked against what should have been: before anything is committed."""

from __future__ import annotations

from kyanite.errors import InvariantError
from kyanite.parquet.footer import Footer, parse_footer
from kyanite.parquet.write import Written


def check_written(written: Written, template: Footer, rows: int, name: str) -> Footer:
    """The footer just written, read back: right rows and schema, every chunk inside the file; else `InvariantError`."""
    footer = parse_footer(written.footer, written.size, name)
    if footer.rows != rows:
        raise InvariantError(f"{footer.rows} rows were written instead of {rows}; nothing is committed.", where=name)
    if footer.schema_key != template.schema_key:
        raise InvariantError("The written schema differs from the source's; nothing is committed.", where=name)
    return footer
