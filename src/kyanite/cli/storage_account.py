"""`kyanite storage account` and `kyanite storage container`."""

from __future__ import annotations

import json
import sys

import click

from kyanite.cli.command import group, json_option
from kyanite.cli.output import count, print_table
from kyanite.cli.report import moment
from kyanite.cli.session import Session, pass_session, visible
from kyanite.cli.storage_path import StoragePath, find_account, parse_storage_path
from kyanite.errors import ConflictError, NotFoundError


@group(
    "account",
    short_help="Create and list accounts; show their keys and addresses.",
    examples=[
        ("make one", "kyanite storage account create airline"),
        ("what programs need", "kyanite storage account connection-string airline"),
    ],
)
def account() -> None:
    """The storage accounts of the workspace."""


@account.command(
    "create",
    short_help="Make an account.",
    examples=[
        ("with folders, as Data Lake Gen2 has them", "kyanite storage account create airline"),
        ("as plain Blob storage", "kyanite storage account create logs --flat"),
    ],
)
@click.argument("name")
@click.option("--flat", is_flag=True, help="Without hierarchical namespace: no folders, only names with slashes.")
@json_option
@pass_session
def create(session: Session, name: str, flat: bool) -> None:
    """Make the account NAME (3 to 24 lower-case letters and digits) with two random keys. One that exists is kept."""
    accounts = session.workspace(create=True).accounts
    known = accounts.get(name)
    made = accounts.create(name, hierarchical=not flat)
    if known is not None and known.hierarchical == flat:
        kind = "a hierarchical namespace" if known.hierarchical else "a flat namespace"
        raise ConflictError(f"The account exists with {kind}.", where=name, code="StorageAccountAlreadyExists")
    if session.as_json:
        session.print_json({"name": made.name, "hierarchical": made.hierarchical, "created": known is None})
        return
    session.echo(f"account {made.name}  {'created' if known is None else 'was there already'}")


@account.command("list", short_help="List the accounts.", examples=[("", "kyanite storage account list")])
@json_option
@pass_session
def list_accounts(session: Session) -> None:
    """List the accounts with their kind and how many containers they have."""
    accounts = session.workspace().accounts
    rows = []
    for name in accounts.names():
        one = find_account(accounts, name)
        rows.append(
            {
                "name": name,
                "hierarchical": one.hierarchical,
                "containers": len(one.containers()),
                "created": one.created.isoformat(),
                "folder": str(one.folder),
            }
        )
    if session.as_json:
        session.print_json(rows)
        return
    kinds = {True: "hierarchical", False: "flat"}
    cells = [
        [str(row["name"]), kinds[bool(row["hierarchical"])], count(row["containers"]), moment(str(row["created"]))]
        for row in rows
    ]
    print_table(session, ["name", "namespace", "containers", "created (UTC)"], cells, right=("containers",))


@account.command(
    "keys",
    short_help="Show the keys.",
    examples=[
        ("both", "kyanite storage account keys airline"),
        ("for a program", "kyanite storage account keys airline --json"),
    ],
)
@click.argument("name")
@json_option
@pass_session
def keys(session: Session, name: str) -> None:
    """Show both keys of the account NAME. Whoever has one may do anything in the account."""
    key1, key2 = find_account(session.workspace().accounts, name).keys
    if session.as_json:
        session.write(json.dumps({"key1": key1, "key2": key2}, indent=2) + "\n", sys.stdout)
        return
    session.write(f"key1  {key1}\nkey2  {key2}\n", sys.stdout)


@account.command(
    "connection-string",
    short_help="Show the connection string.",
    examples=[
        ("for the server of this workspace", "kyanite storage account connection-string airline"),
        ("for programs under `kyanite exec`", "kyanite storage account connection-string airline --azure-names"),
    ],
)
@click.argument("name")
@click.option("--azure-names", is_flag=True, help="With Azure's host names: for programs under `kyanite exec`.")
@json_option
@pass_session
def connection_string(session: Session, name: str, azure_names: bool) -> None:
    """Print the connection string of the account NAME for the server that `kyanite serve` runs."""
    from kyanite.server.serving import HTTP_PORT, read_addresses

    workspace = session.workspace()
    one = find_account(workspace.accounts, name)
    parts = {"DefaultEndpointsProtocol": "https", "AccountName": name, "AccountKey": one.keys[0]}
    if azure_names:
        parts["EndpointSuffix"] = "core.windows.net"
    else:
        addresses = read_addresses(workspace.home)
        base = addresses.http if addresses is not None else f"http://127.0.0.1:{HTTP_PORT}"
        parts["DefaultEndpointsProtocol"] = "http"
        parts |= {"BlobEndpoint": f"{base}/{name}", "DfsEndpoint": f"{base}/{name}"}
    text = ";".join(f"{key}={value}" for key, value in parts.items())
    session.write((json.dumps({"connectionString": text}, indent=2) if session.as_json else text) + "\n", sys.stdout)


@group(
    "container",
    short_help="Create, list and delete containers.",
    examples=[
        ("make one", "kyanite storage container create airline/filestorage"),
        ("see them", "kyanite storage container list airline"),
    ],
)
def container() -> None:
    """The containers (file systems) of a storage account."""


@container.command(
    "create", short_help="Make containers.", examples=[("", "kyanite storage container create airline/filestorage")]
)
@click.argument("places", nargs=-1, required=True, metavar="ACCOUNT/CONTAINER...", type=parse_storage_path)
@json_option
@pass_session
def create_container(session: Session, places: tuple[StoragePath, ...]) -> None:
    """Make containers; one that exists is kept."""
    rows = []
    for place in places:
        one = find_account(session.workspace().accounts, _named(place).account)
        known = any(entry.path == place.container for entry in one.containers())
        one.create_container(place.container)
        rows.append({"name": f"{place.account}/{place.container}", "created": not known})
        if not session.as_json:
            session.echo(f"container {rows[-1]['name']}  {'was there already' if known else 'created'}")
    if session.as_json:
        session.print_json(rows)


@container.command(
    "list", short_help="List the containers of an account.", examples=[("", "kyanite storage container list airline")]
)
@click.argument("name", metavar="ACCOUNT")
@json_option
@pass_session
def list_containers(session: Session, name: str) -> None:
    """List the containers of an account."""
    found = find_account(session.workspace().accounts, name).containers()
    rows = [{"name": entry.path, "modified": entry.modified.isoformat()} for entry in found]
    if session.as_json:
        session.print_json(rows)
        return
    print_table(session, ["name", "modified (UTC)"], [[visible(row["name"]), moment(row["modified"])] for row in rows])


@container.command(
    "delete",
    short_help="Delete a container with all in it.",
    examples=[("", "kyanite storage container delete airline/scratch --yes")],
)
@click.argument("place", metavar="ACCOUNT/CONTAINER", type=parse_storage_path)
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@pass_session
def delete_container(session: Session, place: StoragePath, yes: bool) -> None:
    """Delete a container and everything in it."""
    one = find_account(session.workspace().accounts, _named(place).account)
    if one.stat(place.container, "") is None:
        raise NotFoundError("There is no such container.", where=str(place), code="ContainerNotFound")
    files = sum(1 for _ in one.list(place.container))
    if files and not yes:
        if not session.is_terminal(err=True):
            raise ConflictError(f"The container holds {count(files)} files.", where=str(place), cure="Add --yes.")
        click.confirm(f"Delete {place} with {count(files)} files?", abort=True, err=True)
    one.delete_container(place.container)
    if session.as_json:
        session.print_json({"name": f"{place.account}/{place.container}", "deleted": True, "files": files})
        return
    session.echo(f"deleted {place.account}/{place.container} with {count(files)} files")


def _named(place: StoragePath) -> StoragePath:
    if not place.container or place.path:
        raise click.UsageError(f"{place} is not ACCOUNT/CONTAINER.")
    return place
