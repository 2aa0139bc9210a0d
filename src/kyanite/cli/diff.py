"""`kyanite diff`: what publishing a working copy would change."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kyanite.cli.command import command, json_option
from kyanite.cli.session import Session, pass_session, visible

if TYPE_CHECKING:
    from kyanite.runtime.publish import Difference

COLORS = {"+": "green", "-": "red", "@": "cyan"}


@command(
    "diff",
    short_help="Show what publishing a working copy would change.",
    examples=[
        ("the git folder you stand in", "kyanite diff"),
        ("in a check of a pull request", "kyanite diff ./factory --factory-name airline --exit-code"),
    ],
)
@click.argument("folder", metavar="[DIR]", type=click.Path(path_type=Path), default=Path())
@click.option("--factory-name", metavar="NAME", help="The published factory; else the name in factory/*.json.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 when something differs.")
@click.option("--names", is_flag=True, help="Only the names of what differs.")
@json_option
@pass_session
def diff(session: Session, folder: Path, factory_name: str | None, exit_code: bool, names: bool) -> None:
    """Compare DIR (a git folder; the current one by default) with the factory that the workspace runs."""
    from kyanite.runtime.publish import differences, published_factory, working_copy

    workspace = session.workspace()
    copy = working_copy(workspace, folder, factory_name)
    found = differences(workspace, copy, published_factory(workspace, copy.name))
    if session.as_json:
        session.print_json({"factory": copy.name, "differences": [difference_json(each) for each in found]})
    else:
        show_differences(session, found, lines=not names)
        if not found:
            session.echo(f"no difference: {visible(copy.name)} is published as the folder has it")
    if found and exit_code:
        raise click.exceptions.Exit(1)


def difference_json(difference: Difference) -> dict[str, Any]:
    """A difference for a program."""
    return {
        "kind": difference.kind,
        "name": difference.name,
        "change": difference.change,
        "diff": list(difference.lines),
    }


def show_differences(session: Session, found: Sequence[Difference], *, lines: bool) -> None:
    """One heading per document, and its changed lines."""
    for difference in found:
        session.echo(f"{difference.change:8} {visible(difference.file)}")
        for line in difference.lines[2:] if lines else ():
            session.echo(click.style(f"  {visible(line)}", fg=COLORS.get(line[:1])))
