"""`kyanite storage cp|mv`: between places of the workspace, this machine and other stores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from kyanite.cli.command import command, json_option
from kyanite.cli.session import Session, pass_session, visible
from kyanite.cli.storage_match import Spot, files_of, matching, open_spot
from kyanite.cli.transfer import Moving, Transfer, pump, show_transfers
from kyanite.errors import ConflictError

if TYPE_CHECKING:
    from kyanite.connections import Connection, Entry
    from kyanite.connections.embedded import EmbeddedConnection

_PLACES = """

    A place is ACCOUNT/CONTAINER/PATH, a path of this machine that begins with `/`, `./`, `../` or `~`, or the address
    of another store (https://..., abfss://..., s3://...). DEST is a folder when it ends with `/` or is one already."""

_credential = click.option(
    "--credential", envvar="KYANITE_CREDENTIAL", metavar="TEXT", help="Account key or SAS for accounts elsewhere."
)


@command(
    "cp",
    short_help="Copy files and folders between places.",
    examples=[
        ("a folder", "kyanite storage cp -r airline/filestorage/target airline/archive/2026/"),
        ("what fits", "kyanite storage cp 'airline/filestorage/target/*.parquet' ./parts/"),
        ("from another store", "kyanite storage cp -r s3://bucket/input airline/filestorage/"),
    ],
    help=f"Copy SOURCEs to DEST; each copy appears when all of it is there.{_PLACES}",
)
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.argument("destination", metavar="DEST")
@click.option("-r", "--recursive", is_flag=True, help="Also folders with all below them.")
@_credential
@json_option
@pass_session
def cp(session: Session, sources: tuple[str, ...], destination: str, recursive: bool, credential: str | None) -> None:
    """See the help text above."""
    show_transfers(session, _copy(session, sources, destination, recursive, credential))


@command(
    "mv",
    short_help="Move or rename files and folders.",
    examples=[
        ("rename a folder, in one step", "kyanite storage mv airline/filestorage/target airline/filestorage/done"),
        ("into a folder", "kyanite storage mv 'airline/filestorage/in/*.parquet' airline/filestorage/seen/"),
    ],
    help="Move SOURCEs to DEST. Inside an account that is one step for each; elsewhere a copy, then a deletion."
    f"{_PLACES}",
)
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.argument("destination", metavar="DEST")
@_credential
@json_option
@pass_session
def mv(session: Session, sources: tuple[str, ...], destination: str, credential: str | None) -> None:
    """See the help text above."""
    target = open_spot(session, destination, credential)
    moved: list[Transfer] = []
    for text in sources:
        source = open_spot(session, text, credential)
        entries = matching(source.connection, source.path)
        into = _is_folder(target) or len(sources) > 1 or len(entries) > 1
        for entry in entries:
            to = _join(target.path, entry.name) if into else target.path
            moved.append(_move(session, source, entry, target, to, credential))
    show_transfers(session, moved)


def _move(session: Session, source: Spot, entry: Entry, target: Spot, to: str, credential: str | None) -> Transfer:
    from kyanite.connections.embedded import EmbeddedConnection
    from kyanite.storage.model import split_container

    one, other = source.connection, target.connection
    if isinstance(one, EmbeddedConnection) and isinstance(other, EmbeddedConnection) and _same_account(one, other):
        from kyanite.storage.renames import rename

        other.account.create_container(split_container(to)[0])
        total = sum(file.size for file in one.list(entry.path)) if entry.is_folder else entry.size
        rename(one.account.blobs, split_container(entry.path), split_container(to))
        return Transfer(one.url(entry.path), other.url(to), total)
    if one.url(entry.path) == other.url(to):
        return Transfer(one.url(entry.path), other.url(to), entry.size)
    files = [entry] if not entry.is_folder else [file for file in one.list(entry.path) if not file.is_folder]
    pairs = [(file, f"{to}{file.path[len(entry.path) :]}") for file in files]
    done = _copy_files(session, one, pairs, target)
    one.delete(entry.path)
    return Transfer(one.url(entry.path), other.url(to), sum(item.size for item in done))


def _copy(
    session: Session, sources: Sequence[str], destination: str, recursive: bool, credential: str | None
) -> list[Transfer]:
    target = open_spot(session, destination, credential)
    done: list[Transfer] = []
    into = _is_folder(target) or len(sources) > 1
    for text in sources:
        source = open_spot(session, text, credential)
        found = list(files_of(source.connection, source.path, recursive=recursive))
        several = len(matching(source.connection, source.path)) > 1
        pairs = []
        for one in found:
            below = one.relative if into or several else one.relative.partition("/")[2]
            pairs.append((one.entry, _join(target.path, below) if below else target.path))
        done += _copy_files(session, source.connection, pairs, target)
    return done


def _copy_files(
    session: Session, source: Connection, pairs: Sequence[tuple[Entry, str]], target: Spot
) -> list[Transfer]:
    transfers = []
    _make_container(target)
    with Moving(session, [entry.size for entry, _ in pairs]).shown() as moving:
        for entry, to in pairs:
            here, there = source.url(entry.path), target.connection.url(to)
            if here == there:
                raise ConflictError("Source and target are the same.", where=visible(here))
            moving.begin()
            if not _copy_beside(source, entry, target, to):
                with source.open_read(entry.path) as reader, target.connection.open_write(to) as writer:
                    pump(reader, writer.write, moving)
                    writer.commit()
            transfers.append(Transfer(here, there, entry.size))
    return transfers


def _copy_beside(source: Connection, entry: Entry, target: Spot, to: str) -> bool:
    """Copy inside the workspace, with all that is known of the blob; False where that cannot be."""
    from kyanite.connections.embedded import EmbeddedConnection
    from kyanite.storage.model import split_container

    if not isinstance(source, EmbeddedConnection) or not isinstance(target.connection, EmbeddedConnection):
        return False
    import os

    descriptor, blob = source.account.blobs.open(*split_container(entry.path))
    staged = target.connection.account.blobs.stage()
    try:
        if blob.size:
            staged.add(descriptor, 0, blob.size)
        os.fsync(staged.fd)
        target.connection.account.blobs.publish(staged, *split_container(to), blob.properties)
    finally:
        os.close(descriptor)
        staged.abort()
    return True


def _make_container(target: Spot) -> None:
    from kyanite.connections.embedded import EmbeddedConnection
    from kyanite.storage.model import split_container

    if isinstance(target.connection, EmbeddedConnection):
        target.connection.account.create_container(split_container(target.path)[0])


def _same_account(one: EmbeddedConnection, other: EmbeddedConnection) -> bool:
    return one.account.name == other.account.name


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _is_folder(target: Spot) -> bool:
    if target.folder or "/" not in target.path:
        return True
    found = target.connection.stat(target.path)
    return found is not None and found.is_folder
