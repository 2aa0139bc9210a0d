"""`kyanite split`: parquet files in, equal parts of at most a size out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kyanite.cli.command import command, json_option
from kyanite.cli.output import count, duration, print_table, size
from kyanite.cli.session import Session, pass_session, visible
from kyanite.cli.transfer import overwritten_line

if TYPE_CHECKING:
    from kyanite.movement.split import SplitResult


@command(
    "split",
    short_help="Split parquet files into equal parts of at most a size.",
    examples=[
        ("a folder of files, parts of at most 100 MB", "kyanite split input/ parts/ --max-size 100MB"),
        ("inside a storage account of the workspace",
         "kyanite split https://airline.blob.core.windows.net/filestorage/source/NewFile.parq"
         " https://airline.blob.core.windows.net/filestorage/target/ --max-size 4MB"),
        ("the list of parts for a script", "kyanite split a.parquet b.parquet parts/ --max-size 64MiB --json"),
    ],
)  # fmt: skip
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
@click.argument("output")
@click.option("--max-size", required=True, metavar="SIZE", help="The largest a part may be: 4MB, 100MiB or bytes.")
@json_option
@pass_session
def split(session: Session, inputs: tuple[str, ...], output: str, max_size: str) -> None:
    """Split the rows of all INPUTs, in order, into parts in the folder OUTPUT.

    INPUT is a file, a folder or an address of a storage account. No row is lost, which is checked before the parts
    appear.
    """
    from kyanite.movement.split import split as split_files

    with overwritten_line(session) as show:

        def progress(rows: int, done: int, parts: int) -> None:
            show(f"{count(rows)} rows, {size(done)}, {count(parts)} parts")

        result = split_files(list(inputs), output, max_size=max_size, home=session.home_path, progress=progress)
    if session.as_json:
        session.print_json(result_json(result))
    else:
        show_parts(session, result)


def result_json(result: SplitResult) -> dict[str, Any]:
    """A split's result as JSON."""
    return {
        "rowsIn": result.rows_in,
        "rowsOut": result.rows_out,
        "bytesIn": result.bytes_in,
        "bytesOut": result.bytes_out,
        "seconds": result.seconds,
        "parts": [
            {"name": part.name, "path": part.path, "rows": part.rows, "bytes": part.bytes, "oversize": part.oversize}
            for part in result.parts
        ],
    }


def show_parts(session: Session, result: SplitResult) -> None:
    """The parts as a table, and below it the proof that no row is lost."""
    rows = [
        [visible(part.name), count(part.rows), count(part.bytes), "one row alone is larger" if part.oversize else ""]
        for part in result.parts
    ]
    print_table(session, ["part", "rows", "bytes", ""], rows, right=("rows", "bytes"))
    session.echo(
        f"\n{count(result.rows_in)} rows in, {count(result.rows_out)} rows out; "
        f"{size(result.bytes_in)} in, {size(result.bytes_out)} out; "
        f"{count(len(result.parts))} parts in {duration(result.seconds)}"
    )
