"""`kyanite batch account`: the Batch accounts of the workspace, and those elsewhere that its pools may use."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from kyanite.cli.batch_target import cell, chosen_account, show_list, show_one, told
from kyanite.cli.command import group, json_option
from kyanite.cli.session import Session, pass_session, visible
from kyanite.errors import UserError

if TYPE_CHECKING:
    from kyanite.batch.model import Account


@group(
    "account",
    short_help="List, show, create and delete Batch accounts; their keys.",
    examples=[
        ("the accounts", "kyanite batch account list"),
        ("a new one", "kyanite batch account create mybatch"),
        ("its keys, for an official client", "kyanite batch account keys mybatch"),
    ],
)
def account() -> None:
    """List, show, create and delete Batch accounts; their keys."""


def account_document(session: Session, account: Account) -> dict[str, Any]:
    """An account for a program."""
    service = session.workspace().batch
    counts = {"pools": len(service.pools(account.name)), "jobs": len(service.jobs(account.name))}
    return {"name": account.name, "location": account.location, "accountEndpoint": account.url, **counts}


@account.command("list", short_help="List accounts.", examples=[("all", "kyanite batch account list")])
@json_option
@pass_session
def list_command(session: Session) -> None:
    """List the Batch accounts of the workspace."""
    documents = [account_document(session, found) for found in session.workspace().batch.accounts()]
    columns = [
        ("account", cell("name")),
        ("location", cell("location")),
        ("pools", cell("pools")),
        ("jobs", cell("jobs")),
        ("endpoint", cell("accountEndpoint")),
    ]
    show_list(session, documents, columns, right=("pools", "jobs"), none="no accounts")


@account.command("show", short_help="Show an account.", examples=[("the only one", "kyanite batch account show")])
@click.argument("name", required=False)
@json_option
@pass_session
def show(session: Session, name: str | None) -> None:
    """Show an account: its endpoint, how many pools and jobs it has."""
    document = account_document(session, session.workspace().batch.account(chosen_account(session, name)))
    show_one(session, document, [(name, str(value)) for name, value in document.items()])


@account.command("create", short_help="Make an account.", examples=[("", "kyanite batch account create mybatch")])
@click.argument("name")
@click.option("--location", default="local", show_default=True, help="The region in its endpoint.")
@json_option
@pass_session
def create(session: Session, name: str, location: str) -> None:
    """Make a Batch account unless it exists; its two keys are made with it."""
    made = session.workspace(create=True).batch.create_account(name, location)
    told(session, account_document(session, made), f"account {made.name}")


@account.command("delete", short_help="Delete an account.", examples=[("", "kyanite batch account delete mybatch")])
@click.argument("name")
@json_option
@pass_session
def delete(session: Session, name: str) -> None:
    """Delete an account that has no pools and jobs."""
    service = session.workspace().batch
    found = service.account(name)
    service.delete_account(found.name)
    told(session, None, f"deleted {found.name}")


@account.command(
    "keys",
    short_help="Print an account's keys.",
    examples=[
        ("both", "kyanite batch account keys mybatch"),
        ("one, for a script", "kyanite batch account keys mybatch --primary"),
        ("a new one", "kyanite batch account keys mybatch --regenerate secondary"),
    ],
)
@click.argument("name", required=False)
@click.option("--primary", is_flag=True, help="Print the primary key and nothing else.")
@click.option("--regenerate", type=click.Choice(["primary", "secondary"]), help="Make this key anew first.")
@json_option
@pass_session
def keys(session: Session, name: str | None, primary: bool, regenerate: str | None) -> None:
    """Print the keys of an account. They open everything in it: keep them to yourself."""
    service = session.workspace().batch
    chosen = chosen_account(session, name)
    if regenerate is not None:
        service.regenerate_key(chosen, regenerate)
    found = service.keys(chosen)
    if primary:
        text = found["primary"]
    elif session.as_json:
        text = json.dumps(found, indent=2)
    else:
        text = "\n".join(f"{name:<9}  {value}" for name, value in found.items())
    session.write(text + "\n", sys.stdout)  # not masked: they are what was asked for


@account.command(
    "connect",
    short_help="Keep the key of a Batch account elsewhere, for pools there.",
    examples=[
        ("the key from standard input", "kyanite batch account connect far"),
        (
            "and a container for files",
            "kyanite batch account connect far --container 'https://far.blob.core.windows.net/in?sig=s'",
        ),
    ],
)
@click.argument("name")
@click.option("--container", metavar="SAS_URL", help="A storage container there, with read, create, write and delete.")
@json_option
@pass_session
def connect(session: Session, name: str, container: str | None) -> None:
    """Keep what pools of the backend azure_batch need to reach the account NAME: its key, read from standard input.

    Pools name the account and its endpoint: `kyanite batch pool create --endpoint URL --remote-account NAME`.
    """
    from kyanite.batch.pools.azure_batch import container_name, key_name

    workspace = session.workspace(create=True)
    typed = sys.stdin.isatty()
    if container is None or not typed:
        key = str(click.prompt("Key", hide_input=True)) if typed else sys.stdin.read().strip()
        if not key and container is None:
            raise click.UsageError("Give the account's key on standard input.")
        if key and not workspace.vault.put(key_name(name), key):
            raise UserError(f"What was given is too short for the key of the account {name}.")
    if container is not None and not workspace.vault.put(container_name(name), container):
        raise UserError(f"What was given is too short for the address of the container of {name}.")
    told(session, {"name": name}, f"connected {visible(name)}")
