"""`kyanite init`: make a workspace."""

from __future__ import annotations

import click

from kyanite.cli.command import command, json_option
from kyanite.cli.session import Session, pass_session


@command(
    "init",
    short_help="Make a workspace.",
    examples=[
        ("in ./.kyanite", "kyanite init"),
        ("elsewhere, with two storage accounts", "kyanite init --home /data/kyanite --account raw --account curated"),
    ],
)
@click.option("--account", "accounts", metavar="NAME", multiple=True, help="Also make a storage account of this name.")
@json_option
@pass_session
def init(session: Session, accounts: tuple[str, ...]) -> None:
    """Make a workspace: the folder that holds storage accounts, pools, factories and the history of runs.

    Random keys and a private certificate authority are made with it (file `token`, folder `tls`). Only its owner may
    read it. What is there already is kept.
    """
    from kyanite.server.keys import make_keys

    known = (session.home_path / "kyanite.db").exists()
    workspace = session.workspace(create=True)
    make_keys(workspace)
    made: list[str] = []
    kept: list[str] = []
    for name in accounts:
        (kept if workspace.accounts.get(name) is not None else made).append(name)
        workspace.accounts.create(name)
    if session.as_json:
        session.print_json({"home": str(workspace.home), "created": not known, "accountsCreated": made})
        return
    session.echo(f"workspace  {workspace.home}  {'was there already' if known else 'created'}")
    for name in (*made, *kept):
        session.echo(f"account    {name}  {'created' if name in made else 'was there already'}")
    if not known:
        session.echo("\nnext: kyanite deploy TEMPLATE, or kyanite run PIPELINE --factory DIR")
