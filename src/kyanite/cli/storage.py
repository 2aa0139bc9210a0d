"""`kyanite storage`: files in the storage accounts of the workspace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kyanite.cli.command import group, json_option
from kyanite.cli.output import count, print_table, size
from kyanite.cli.report import moment
from kyanite.cli.session import Session, pass_session, visible
from kyanite.cli.storage_path import StoragePath, find_account, parse_storage_path
from kyanite.cli.transfer import Transfer, download, files_below, upload
from kyanite.errors import ConflictError, NotFoundError


@group(
    "storage",
    short_help="List, upload, download and delete files in storage accounts.",
    examples=[
        ("the accounts and their containers", "kyanite storage ls"),
        ("upload into a folder", "kyanite storage put flights.parquet airline/filestorage/input/"),
        ("download a folder", "kyanite storage get -r airline/filestorage/target parts/"),
    ],
)
def storage() -> None:
    """List, upload, download and delete files in storage accounts.

    A place is ACCOUNT/CONTAINER/PATH or https://ACCOUNT.blob.core.windows.net/CONTAINER/PATH.
    """


@storage.command(
    "ls",
    short_help="List accounts, containers, folders and files.",
    examples=[
        ("the accounts", "kyanite storage ls"),
        ("a folder and all below it", "kyanite storage ls -r airline/filestorage/target"),
    ],
)
@click.argument("place", type=parse_storage_path, required=False)
@click.option("-r", "--recursive", is_flag=True, help="Also what is in the folders below.")
@json_option
@pass_session
def ls(session: Session, place: StoragePath | None, recursive: bool) -> None:
    """List the accounts, the containers of an account, or the files and folders at PLACE with their sizes."""
    rows = _listing(session, place, recursive)
    if session.as_json:
        session.print_json(rows)
        return
    cells = [[visible(row["name"]), count(row.get("size")), moment(row.get("modified"))] for row in rows]
    print_table(session, ["name", "bytes", "modified (UTC)"], cells, right=("bytes",))
    files = [row for row in rows if row.get("size") is not None]
    if files:
        noun = "file" if len(files) == 1 else "files"
        session.echo(f"{count(len(files))} {noun}, {size(sum(row['size'] for row in files))}")


def _listing(session: Session, place: StoragePath | None, recursive: bool) -> list[dict[str, Any]]:
    accounts = session.workspace().accounts
    if place is None:
        return [{"name": f"{name}/"} for name in sorted(accounts.names())]
    account = find_account(accounts, place.account)
    if not place.container:
        containers = [StoragePath(place.account, entry.path) for entry in account.containers()]
        if recursive:
            return [row for container in containers for row in _listing(session, container, recursive)]
        return [{"name": f"{container}/"} for container in containers]
    found = account.stat(place.container, place.path) if place.path else None
    entries = [found] if found is not None and not found.is_folder else None
    if place.path and found is None:
        raise NotFoundError("There is no such file or folder.", where=str(place), code="BlobNotFound")
    if entries is None:
        entries = list(account.list(place.container, place.path, recursive=recursive))
    return [
        {
            "name": f"{place.account}/{place.container}/{entry.path}" + ("/" if entry.is_folder else ""),
            "size": None if entry.is_folder else entry.size,
            "modified": entry.modified.isoformat(),
        }
        for entry in entries
    ]


@storage.command(
    "put",
    short_help="Upload files and folders.",
    examples=[
        ("into a folder, under their own names", "kyanite storage put a.parquet b.parquet airline/filestorage/input/"),
        ("under another name", "kyanite storage put flights.parquet airline/filestorage/input --name day1.parq"),
        ("a folder with all below it", "kyanite storage put ./scripts airline/batchstorage/"),
    ],
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.argument("destination", metavar="DEST", type=parse_storage_path)
@click.option("--name", metavar="NAME", help="The name in the folder DEST; for one FILE.")
@json_option
@pass_session
def put(session: Session, files: tuple[Path, ...], destination: StoragePath, name: str | None) -> None:
    """Upload FILEs to DEST: a folder when it ends with `/`, is one already, or more than one file comes.

    A file is seen under its name only when all of it is there. The container is made when it does not exist.
    """
    if not destination.container:
        raise click.UsageError(f"{destination} is an account; name a container in it: {destination}/CONTAINER/")
    if name is not None and (len(files) != 1 or files[0].is_dir()):
        raise click.UsageError("--name is for one file.")
    account = find_account(session.workspace().accounts, destination.account)
    for file in files:
        if not file.exists():
            raise NotFoundError("There is no such file.", where=str(file))
    account.create_container(destination.container)
    transfers = []
    for file in files:
        found = account.stat(destination.container, destination.path) if destination.path else None
        is_folder = (
            destination.folder or not destination.path or len(files) > 1 or name is not None or file.is_dir()
        ) or (found is not None and found.is_folder)
        target = destination.join(name or file.resolve().name) if is_folder else destination
        for source, relative in files_below(file):
            transfers.append(upload(session, account, source, target.join(relative) if relative else target))
    _show(session, transfers)


@storage.command(
    "get",
    short_help="Download files and folders.",
    examples=[
        ("a file into this folder", "kyanite storage get airline/filestorage/source/NewFile.parq"),
        ("a folder with all below it", "kyanite storage get -r airline/filestorage/target parts/"),
    ],
)
@click.argument("place", type=parse_storage_path)
@click.argument("destination", metavar="[DEST]", default=".", type=click.Path(path_type=Path))
@click.option("-r", "--recursive", is_flag=True, help="PLACE is a folder; take all below it.")
@json_option
@pass_session
def get(session: Session, place: StoragePath, destination: Path, recursive: bool) -> None:
    """Download PLACE to DEST (this folder by default). A file appears only when all of it is there."""
    account = find_account(session.workspace().accounts, place.account)
    if not place.container:
        raise click.UsageError(f"{place} is an account; name a container in it: {place}/CONTAINER/")
    found = account.stat(place.container, place.path) if place.path else None
    if place.path and found is None:
        raise NotFoundError("There is no such file or folder.", where=str(place), code="BlobNotFound")
    if found is not None and not found.is_folder:
        target = destination / place.path.rpartition("/")[2] if destination.is_dir() else destination
        _show(session, [download(session, account, place, target)])
        return
    if not recursive:
        raise ConflictError("This is a folder.", where=str(place), cure="Add -r to download all below it.")
    transfers = []
    for entry in account.list(place.container, place.path, recursive=True):
        if not entry.is_folder:
            source = StoragePath(place.account, place.container, entry.path)
            relative = entry.path[len(place.path) :].lstrip("/") if place.path else entry.path
            transfers.append(download(session, account, source, destination / relative))
    _show(session, transfers)


@storage.command(
    "rm",
    short_help="Delete files, folders and containers.",
    examples=[
        ("a file", "kyanite storage rm airline/filestorage/source/NewFile.parq"),
        ("a folder with all below it", "kyanite storage rm -r airline/filestorage/target"),
    ],
)
@click.argument("places", nargs=-1, required=True, metavar="PLACE...", type=parse_storage_path)
@click.option("-r", "--recursive", is_flag=True, help="Also folders and containers with all that is in them.")
@json_option
@pass_session
def rm(session: Session, places: tuple[StoragePath, ...], recursive: bool) -> None:
    """Delete PLACEs. A folder or a container needs -r; an account is not deleted."""
    deleted = []
    for place in places:
        account = find_account(session.workspace().accounts, place.account)
        if not place.container:
            raise click.UsageError(f"{place} is an account; only containers, folders and files are deleted.")
        found = account.stat(place.container, place.path) if place.path else None
        if place.path and found is None:
            raise NotFoundError("There is no such file or folder.", where=str(place), code="BlobNotFound")
        if (found is None or found.is_folder) and not recursive:
            raise ConflictError("This is a folder.", where=str(place), cure="Add -r to delete all in it.")
        if place.path:
            account.delete(place.container, place.path, recursive=recursive)
        else:
            account.delete_container(place.container)
        deleted.append(str(place))
        if not session.as_json:
            session.echo(f"deleted {visible(str(place))}")
    if session.as_json:
        session.print_json(deleted)


def _show(session: Session, transfers: list[Transfer]) -> None:
    if session.as_json:
        session.print_json([{"source": item.source, "target": item.target, "size": item.size} for item in transfers])
        return
    for item in transfers:
        session.echo(f"{visible(item.source)} -> {visible(item.target)}  {size(item.size)}")
