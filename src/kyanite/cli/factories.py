"""Which factory a command means: `--factory`, else the git folder one stands in, else the only one deployed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from kyanite.cli.session import Session
from kyanite.errors import ConflictError, NotFoundError

if TYPE_CHECKING:
    from kyanite.definitions.model import Factory

factory_option = click.option(
    "--factory", metavar="NAME|DIR", help="A deployed factory or a git folder; needed when there are several."
)
_KINDS = ("pipeline", "dataset", "linkedService")


def is_git_folder(folder: Path) -> bool:
    """Whether a folder holds Data Factory resources: `pipeline/*.json` or the like."""
    return any(next((folder / kind).glob("*.json"), None) is not None for kind in _KINDS)


def chosen_factory(session: Session, given: str | None) -> Factory:
    """The factory a command works on."""
    if given is None and is_git_folder(Path()):
        given = "."
    if given is not None:
        workspace = session.workspace(create=Path(given).is_dir())
        deployed = given.casefold() in {name.casefold() for name in workspace.factories()}
        return workspace.factory(given if deployed else Path(given))
    names = session.workspace().factories()
    if not names:
        raise NotFoundError(
            "No factory is deployed in the workspace.",
            where=str(session.home_path),
            cure="Deploy one: kyanite deploy TEMPLATE|DIR, or name a git folder with --factory DIR.",
        )
    if len(names) > 1:
        raise ConflictError(
            "Several factories are deployed.",
            where=str(session.home_path),
            cure=f"Name one with --factory: {', '.join(sorted(names))}.",
        )
    return session.workspace().factory(names[0])
