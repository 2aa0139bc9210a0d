"""`kyanite storage put|get`: between this machine and a storage account."""

from __future__ import annotations

from pathlib import Path

import click

from kyanite.cli.command import command, json_option
from kyanite.cli.session import Session, pass_session, visible
from kyanite.cli.storage_match import files_of, is_pattern, matching, open_spot, shown
from kyanite.cli.storage_path import StoragePath, find_account, parse_storage_path
from kyanite.cli.transfer import Moving, download, files_below, show_transfers, upload
from kyanite.errors import ConflictError, NotFoundError, UserError


@command(
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
@click.option("-r", "--recursive", is_flag=True, expose_value=False, help="Taken for granted: a folder comes whole.")
@json_option
@pass_session
def put(session: Session, files: tuple[Path, ...], destination: StoragePath, name: str | None) -> None:
    """Upload FILEs to DEST: a folder when it ends with `/`, is one already, or more than one file comes.

    Links to files are followed; links to folders, pipes and devices are left out and named. A file is seen under its
    name only when all of it is there. The container is made when it does not exist. An upload of 64 MB or more that was
    interrupted goes on where it stopped when it is started again.
    """
    if not destination.container:
        raise click.UsageError(f"{destination} is an account; name a container in it: {destination}/CONTAINER/")
    if name is not None and (len(files) != 1 or files[0].is_dir()):
        raise click.UsageError("--name is for one file.")
    account = find_account(session.workspace().accounts, destination.account)
    for file in files:
        if not file.exists():
            raise NotFoundError("There is no such file.", where=str(file))

    def left_out(file: Path, what: str) -> None:
        if file in files:
            raise UserError(f"It is {what}.", where=str(file), cure="Name a file or a folder.")
        session.echo(f"left out: {visible(str(file))} is {what}", err=True)

    account.create_container(destination.container)
    moves: list[tuple[Path, StoragePath]] = []
    for file in files:
        found = account.stat(destination.container, destination.path) if destination.path else None
        is_folder = (
            destination.folder or not destination.path or len(files) > 1 or name is not None or file.is_dir()
        ) or (found is not None and found.is_folder)
        target = destination.join(name or file.resolve().name) if is_folder else destination
        moves += [(source, target.join(below) if below else target) for source, below in files_below(file, left_out)]
    for _, target in moves:
        account.blobs.spell(target.path)  # a name that no blob may have is told before anything is sent
    with Moving(session, [source.stat().st_size for source, _ in moves]).shown() as moving:
        transfers = []
        for source, target in moves:
            moving.begin()
            transfers.append(upload(account, source, target.container, target.path, moving))
    show_transfers(session, transfers)


@command(
    "get",
    short_help="Download files and folders.",
    examples=[
        ("a file into this folder", "kyanite storage get airline/filestorage/source/NewFile.parq"),
        ("a folder with all below it", "kyanite storage get -r airline/filestorage/target parts/"),
        ("what fits", "kyanite storage get 'airline/filestorage/target/part-0*' parts/"),
    ],
)
@click.argument("place", type=parse_storage_path)
@click.argument("destination", metavar="[DEST]", default=".", type=click.Path(path_type=Path))
@click.option("-r", "--recursive", is_flag=True, help="PLACE is a folder; take all below it.")
@json_option
@pass_session
def get(session: Session, place: StoragePath, destination: Path, recursive: bool) -> None:
    """Download PLACE to DEST (this folder by default). A file appears only when all of it is there.

    A download of 64 MB or more that was interrupted goes on where it stopped when it is started again.
    """
    if not place.container:
        raise click.UsageError(f"{place} is an account; name a container in it: {place}/CONTAINER/")
    connection = open_spot(session, str(place)).connection
    path = "/".join(filter(None, (place.container, place.path)))
    found = matching(connection, path)
    if is_pattern(path):
        moves = [(one.entry, destination / one.relative) for one in files_of(connection, path, recursive=recursive)]
    elif not found[0].is_folder:
        moves = [(found[0], destination / found[0].name if destination.is_dir() else destination)]
    elif not recursive:
        raise ConflictError("This is a folder.", where=str(place), cure="Add -r to download all below it.")
    else:
        below = (entry for entry in connection.list(path) if not entry.is_folder)
        moves = [(entry, destination / entry.path[len(path) + 1 :]) for entry in below]
    with Moving(session, [entry.size for entry, _ in moves]).shown() as moving:
        transfers = []
        for entry, target in moves:
            moving.begin()
            with connection.open_read(entry.path) as reader:
                source = shown(place, entry.path)
                transfers.append(download(reader, source, entry.etag or "", entry.size, target, moving))
    show_transfers(session, transfers)
