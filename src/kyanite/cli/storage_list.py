"""`kyanite storage ls|du|cat|rm`: what is there, how much it is, what is in it, and away with it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import click

from kyanite.cli.command import command, json_option
from kyanite.cli.output import count, print_table, size
from kyanite.cli.report import moment
from kyanite.cli.session import Session, pass_session, silence, visible
from kyanite.cli.storage_match import is_pattern, matching, open_spot, shown
from kyanite.cli.storage_path import StoragePath, find_account, parse_storage_path
from kyanite.errors import ConflictError, NotFoundError

_BLOCK_BYTES = 1024 * 1024


@command(
    "ls",
    short_help="List accounts, containers, folders and files.",
    examples=[
        ("the accounts", "kyanite storage ls"),
        ("a folder and all below it", "kyanite storage ls -r airline/filestorage/target"),
        ("what fits", "kyanite storage ls 'airline/filestorage/target/*.parquet'"),
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
        session.echo(f"{_files(len(files))}, {size(sum(row['size'] for row in files))}")


def _files(number: int) -> str:
    return f"{count(number)} {'file' if number == 1 else 'files'}"


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
    connection = open_spot(session, str(place)).connection
    path = "/".join(filter(None, (place.container, place.path)))
    entries = matching(connection, path) if place.path else []
    if not is_pattern(path) and (not entries or entries[0].is_folder):
        entries = list(connection.list(path, recursive=recursive))
    return [
        {
            "name": shown(place, entry.path) + ("/" if entry.is_folder else ""),
            "size": None if entry.is_folder else entry.size,
            "modified": entry.modified.isoformat(),
        }
        for entry in entries
    ]


@dataclass
class _Sum:
    files: int = 0
    bytes: int = 0

    def add(self, size: int) -> None:
        self.files += 1
        self.bytes += size


@command(
    "du",
    short_help="Sum up files and bytes.",
    examples=[
        ("all accounts", "kyanite storage du"),
        ("the folders of a container", "kyanite storage du airline/filestorage"),
    ],
)
@click.argument("place", type=parse_storage_path, required=False)
@json_option
@pass_session
def du(session: Session, place: StoragePath | None) -> None:
    """Sum up what is below PLACE: a line for each account, container or folder in it, and the total."""
    sums: dict[str, _Sum] = {}
    total = _Sum()
    for row in _all_files(session, place):
        parts = row["name"].split("/")
        depth = len(str(place).strip("/").split("/")) + 1 if place is not None else 1
        label = "/".join(parts[:depth]) + ("/" if len(parts) > depth else "")
        sums.setdefault(label, _Sum()).add(row["size"])
        total.add(row["size"])
    lines = [{"name": name, "files": one.files, "bytes": one.bytes} for name, one in sums.items()]
    if session.as_json:
        session.print_json({"items": lines, "files": total.files, "bytes": total.bytes})
        return
    cells = [[visible(str(one["name"])), count(one["files"]), count(one["bytes"])] for one in lines]
    print_table(session, ["name", "files", "bytes"], cells, right=("files", "bytes"))
    session.echo(f"{_files(total.files)}, {size(total.bytes)}")


def _all_files(session: Session, place: StoragePath | None) -> list[dict[str, Any]]:
    places = [place] if place else [StoragePath(name) for name in session.workspace().accounts.names()]
    return [row for one in places for row in _listing(session, one, True) if row.get("size") is not None]


@command(
    "cat",
    short_help="Print files.",
    examples=[
        ("a log", "kyanite storage cat airline/logs/today.txt"),
        ("the last 100 bytes", "kyanite storage cat airline/logs/today.txt --offset -100"),
    ],
)
@click.argument("places", nargs=-1, required=True, metavar="PLACE...")
@click.option("--offset", type=int, default=0, metavar="BYTES", help="Begin there; from the end when negative.")
@click.option("--length", type=click.IntRange(0), metavar="BYTES", help="Print at most so many of each file.")
@pass_session
def cat(session: Session, places: tuple[str, ...], offset: int, length: int | None) -> None:
    """Print the bytes of files as they are, one after the other."""
    for text in places:
        spot = open_spot(session, text)
        for entry in matching(spot.connection, spot.path):
            if entry.is_folder:
                raise ConflictError("This is a folder.", where=text)
            with spot.connection.open_read(entry.path) as file:
                file.seek(max(0, entry.size + offset) if offset < 0 else min(offset, entry.size))
                left = entry.size if length is None else length
                try:
                    while left and (piece := file.read(min(left, _BLOCK_BYTES))):
                        sys.stdout.buffer.write(piece)
                        left -= len(piece)
                    sys.stdout.buffer.flush()
                except BrokenPipeError:
                    silence(sys.stdout)
                    return


@command(
    "rm",
    short_help="Delete files, folders and containers.",
    examples=[
        ("a file", "kyanite storage rm airline/filestorage/source/NewFile.parq"),
        ("a folder with all below it", "kyanite storage rm -r airline/filestorage/target"),
        ("what fits", "kyanite storage rm 'airline/filestorage/target/part-*'"),
    ],
)
@click.argument("places", nargs=-1, required=True, metavar="PLACE...", type=parse_storage_path)
@click.option("-r", "--recursive", is_flag=True, help="Also folders and containers with all that is in them.")
@json_option
@pass_session
def rm(session: Session, places: tuple[StoragePath, ...], recursive: bool) -> None:
    """Delete PLACEs. A folder or a container needs -r; an account is not deleted."""
    for place in places:
        if not place.container:
            raise click.UsageError(f"{place} is an account; only containers, folders and files are deleted.")
    deleted = [name for place in places for name in _delete(session, place, recursive)]
    if session.as_json:
        session.print_json(deleted)


def _delete(session: Session, place: StoragePath, recursive: bool) -> list[str]:
    account = find_account(session.workspace().accounts, place.account)
    if not place.path:
        if account.stat(place.container, "") is None:
            raise NotFoundError("There is no such container.", where=str(place), code="ContainerNotFound")
        _refuse_folder(place, recursive)
        account.delete_container(place.container)
        return [_told(session, str(place))]
    connection = open_spot(session, str(place)).connection
    entries = matching(connection, f"{place.container}/{place.path}")
    for entry in entries:
        if entry.is_folder:
            _refuse_folder(place, recursive)
    names = []
    for entry in entries:
        connection.delete(entry.path)
        names.append(_told(session, shown(place, entry.path) if is_pattern(place.path) else str(place)))
    return names


def _refuse_folder(place: StoragePath, recursive: bool) -> None:
    if not recursive:
        raise ConflictError("This is a folder.", where=str(place), cure="Add -r to delete all in it.")


def _told(session: Session, name: str) -> str:
    if not session.as_json:
        session.echo(f"deleted {visible(name)}")
    return name
