"""`kyanite export`: a factory of the workspace for Azure, another workspace or a repository."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from kyanite.cli.command import command, json_option
from kyanite.cli.output import count
from kyanite.cli.session import Session, pass_session, visible
from kyanite.errors import ConflictError


@command(
    "export",
    short_help="Write a factory as an ARM template or a git folder.",
    examples=[
        ("the template on the screen", "kyanite export"),
        ("into files, with a parameter file beside it", "kyanite export airline -o airline.json"),
        ("as a git folder", "kyanite export airline --git -o ./factory"),
    ],
)
@click.argument("factory", required=False)
@click.option("--output", "-o", type=click.Path(path_type=Path), help="The template's file, or the git folder.")
@click.option("--git", is_flag=True, help="A git folder instead of an ARM template.")
@click.option("--force", is_flag=True, help="Replace files that exist.")
@json_option
@pass_session
def export(session: Session, factory: str | None, output: Path | None, git: bool, force: bool) -> None:
    """Write FACTORY (the only one by default) as Azure takes it.

    No secret is written: in the template each is a secureString parameter, in a git folder it is shown as asterisks.
    `kyanite deploy` takes both back.
    """
    workspace = session.workspace()
    chosen = workspace.factory(factory)
    from kyanite.runtime.export import factory_files, factory_template

    if git:
        if output is None:
            raise click.UsageError("A git folder needs a place: --output DIR.")
        _write(session, output, factory_files(workspace, chosen), force)
        return
    exported = factory_template(workspace, chosen)
    if output is None:
        session.write(json.dumps(exported.template, indent=2, ensure_ascii=False) + "\n", sys.stdout)
        return
    beside = f"{output.stem}.parameters.json"
    _write(session, output.parent, {output.name: exported.template, beside: exported.parameter_file()}, force)


def _write(session: Session, folder: Path, files: dict[str, dict[str, Any]], force: bool) -> None:
    for name in files:
        if (folder / name).exists() and not force:
            raise ConflictError("The file exists.", where=str(folder / name), cure="Add --force to replace it.")
    for name, document in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=4, ensure_ascii=False) + "\n", encoding="utf-8")
    if session.as_json:
        session.print_json({"folder": str(folder), "files": sorted(files)})
        return
    for name in sorted(files)[:20]:
        session.echo(visible(str(folder / name)))
    if len(files) > 20:
        session.echo(f"and {count(len(files) - 20)} more")
