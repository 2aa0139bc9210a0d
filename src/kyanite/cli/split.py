"""`kyanite split`: parquet files in, equal parts of at most a size out."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from kyanite.cli.command import command, json_option
from kyanite.cli.session import Session, pass_session
from kyanite.errors import UserError

TURN_SECONDS = 1e-5


def _size(text: str | None) -> int | None:
    """Bytes of `--max-size`."""
    from kyanite.movement.part_names import parse_size

    try:
        return None if text is None else parse_size(text)
    except UserError as problem:
        raise click.BadParameter(f"{problem.message} {problem.cure or ''}".rstrip()) from problem


@command(
    "split",
    short_help="Split parquet files into equal parts of at most a size.",
    examples=[
        ("a folder of files, merged, into parts of at most 100 MB", "kyanite split input/ parts/ --max-size 100MB"),
        ("what would be done, without doing it", "kyanite split input/ parts/ --max-size 100MB --dry-run"),
        ("files by a pattern, each one for itself: sales-00000.parquet, ...",
         "kyanite split 'data/**/*.parquet' parts/ --max-size 64MiB --no-merge"),
        ("eight equal parts, every value compared, again only if the inputs changed",
         "kyanite split big.parquet parts/ --parts 8 --verify deep --overwrite --if-changed"),
        ("inside a storage account of the workspace",
         "kyanite split https://airline.blob.core.windows.net/filestorage/source/NewFile.parq"
         " https://airline.blob.core.windows.net/filestorage/target/ --max-size 4MB"),
        ("the list of parts for a script, the sizes as a picture",
         "kyanite split a.parquet b.parquet parts/ --max-size 100MB --json --plot parts.svg"),
    ],
)  # fmt: skip
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
@click.argument("output")
@click.option(
    "--max-size",
    metavar="SIZE",
    callback=lambda _, __, value: _size(value),
    help="The largest a part may be: 100MB (10^8 bytes), 100MiB (100 x 2^20), 4194304B or a plain number of bytes.",
)
@click.option("--parts", type=click.IntRange(min=1), metavar="N", help="So many parts of equal size, instead.")
@click.option("--rows", type=click.IntRange(min=1), metavar="N", help="Parts of so many rows, instead.")
@click.option(
    "--merge/--no-merge",
    default=None,
    help="All inputs become one sequence of parts, or each its own, named after it. "
    "Default: merged when the schemas are equal.",
)
@click.option("--prefix", metavar="TEXT", help="How the parts' names begin.  [default: part]")
@click.option(
    "--name-template", metavar="TEXT", help="Names by {prefix} and {index}.  [default: {prefix}-{index:05d}.parquet]"
)
@click.option("--dry-run", is_flag=True, help="Print the plan; write nothing.")
@click.option(
    "--verify",
    type=click.Choice(["fast", "deep", "none"]),
    default="fast",
    show_default=True,
    help="What is checked before the parts appear: footers, rows and sizes; every value too; or nothing more.",
)
@click.option(
    "--checksum",
    type=click.Choice(["fast", "sha256", "none"]),
    default="fast",
    show_default=True,
    help="Of each part, for the manifest _kyanite_split.json; fast is CRC-32.",
)
@click.option("--overwrite", is_flag=True, help="Replace the parts that an earlier split left in OUTPUT.")
@click.option("--if-changed", is_flag=True, help="With --overwrite: only when inputs or options are not the same.")
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Parts written at the same time.  [default: one per processor, up to 4]",
)
@click.option(
    "--sync/--no-sync",
    default=False,
    show_default=True,
    help="Wait until the parts are on the disk, so that they survive a power cut too; always where they replace an "
    "older set.",
)
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE", help="Draw the sizes as a .png or .svg.")
@json_option
@pass_session
def split(
    session: Session,
    /,
    inputs: tuple[str, ...],
    output: str,
    max_size: int | None,
    parts: int | None,
    rows: int | None,
    plot: Path | None,
    **more: Any,
) -> None:
    """Split the rows of all INPUTs, in order, into equal parts in the folder OUTPUT.

    INPUT is a file, a folder, a pattern with *, ? or ** (quote it), or an address of a storage account; give one of
    --max-size, --parts and --rows. No row is lost, which is checked before the parts appear; they appear together. Run
    again after an interruption, it finishes.
    """
    from kyanite.cli.split_plot import check_plot, draw
    from kyanite.cli.split_progress import shown
    from kyanite.cli.split_report import result_json, show_result
    from kyanite.movement.split import split as split_files

    if sum(value is not None for value in (max_size, parts, rows)) != 1:
        raise click.UsageError("Give exactly one of --max-size, --parts and --rows.")
    if plot is not None:
        check_plot(plot)
    chosen = {name: value for name, value in more.items() if value is not None}
    with _without_numpy(), _short_turns(), shown(session, quiet=bool(more["dry_run"])) as progress:
        result = split_files(
            list(inputs), output, max_size=max_size, parts=parts, rows=rows,
            home=session.home_path, progress=progress, **chosen,
        )  # fmt: skip
    if plot is not None:
        draw(result, plot)
    if session.as_json:
        session.print_json(result_json(result))
    else:
        show_result(session, result)


@contextmanager
def _without_numpy() -> Iterator[None]:
    """Arrow loads numpy where it is installed: longer than all else that a split loads, and of no use to it.

    Only where neither has been loaded: whoever needs numpy later gets it.
    """
    modules: dict[str, Any] = sys.modules
    if "numpy" in modules or "pyarrow" in modules:
        yield
        return
    modules["numpy"] = None  # the import system's own way to say that a module is not there
    try:
        yield
    finally:
        del modules["numpy"]


@contextmanager
def _short_turns() -> Iterator[None]:
    """Threads that have copied or summed up some megabytes get Python's lock at once, not within 5 ms."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(TURN_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
