"""`kyanite split`: parquet files in, equal parts of at most a size out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kyanite.cli.command import command, json_option
from kyanite.cli.output import count, print_table, size
from kyanite.cli.session import Session, pass_session

if TYPE_CHECKING:
    from kyanite.parquet import SplitResult


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

    result = split_files(list(inputs), output, max_size=max_size, home=session.home_path)
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
        "parts": [{"name": part.name, "rows": part.rows, "bytes": part.bytes} for part in result.parts],
    }


def show_parts(session: Session, result: SplitResult) -> None:
    """The parts as a table, and below it the proof that no row is lost."""
    rows = [[part.name, count(part.rows), size(part.bytes), count(part.bytes)] for part in result.parts]
    print_table(session, ["part", "rows", "size", "bytes"], rows, right=("rows", "size", "bytes"))
    session.echo(
        f"{count(result.rows_in)} rows in, {count(result.rows_out)} rows out; "
        f"{size(result.bytes_in)} in, {size(result.bytes_out)} out; {count(len(result.parts))} parts"
    )
