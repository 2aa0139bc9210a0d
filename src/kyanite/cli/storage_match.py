"""Files and folders that a typed place means: one of them, or all that fit its wildcards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kyanite.cli.session import Session
from kyanite.cli.storage_path import StoragePath, find_account, parse_storage_path
from kyanite.errors import ConflictError, NotFoundError, UserError

if TYPE_CHECKING:
    from kyanite.connections import Connection, Entry

_LOCAL = ("/", "./", "../", "~")
ANY_FOLDERS = "**"


@dataclass(frozen=True)
class Spot:
    """A place opened: `path` is `container/dir/file` or a local path below `/`; `folder` tells a trailing slash."""

    text: str
    connection: Connection
    path: str
    folder: bool

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    def at(self, path: str) -> Spot:
        """Another path of the same connection."""
        return Spot(self.connection.url(path), self.connection, path, False)


@dataclass(frozen=True)
class Found:
    """A file to be read; `relative` is what stands behind the folder it is taken from."""

    entry: Entry
    relative: str


def open_spot(session: Session, text: str, credential: str | None = None) -> Spot:
    """A place of the workspace, a path of this machine (`./`, `/`, `~`) or an address of another store."""
    from kyanite.connections import open_url
    from kyanite.connections.embedded import EmbeddedConnection

    folder = text.endswith("/")
    if text in (".", "..") or text.startswith(_LOCAL) or text.startswith("file://"):
        connection, path = open_url(str(Path(text).expanduser()) if "://" not in text else text, None)
        return Spot(text, connection, path, folder or text in (".", ".."))
    accounts = session.workspace().accounts
    if "://" in text and _is_elsewhere(text, accounts.names()):
        connection, path = open_url(text, accounts, credential)
        return Spot(text, connection, path, folder)
    place = parse_storage_path(text)
    if accounts.get(place.account) is None and Path(text).exists():
        raise NotFoundError(
            "There is no such storage account in the workspace.", where=place.account, cure=f"The file here is ./{text}"
        )
    account = find_account(accounts, place.account)
    if not place.container:
        raise UserError(f"{text} is an account.", cure=f"Name a container in it: {place.account}/CONTAINER/")
    return Spot(text, EmbeddedConnection(account), "/".join(filter(None, (place.container, place.path))), folder)


def _is_elsewhere(text: str, known: Sequence[str]) -> bool:
    if text.partition("://")[0].lower() not in ("http", "https", "abfs", "abfss", "wasb", "wasbs"):
        return True
    return parse_storage_path(text).account not in known


def is_pattern(path: str) -> bool:
    """Whether a path has wildcards."""
    return any(character in path for character in "*?")


def matching(connection: Connection, path: str) -> list[Entry]:
    """The files and folders that fit, in path order; NotFoundError when there is none."""
    if not is_pattern(path):
        entry = connection.stat(path)
        if entry is None:
            raise NotFoundError("There is no such file or folder.", where=connection.url(path), code="BlobNotFound")
        return [entry]
    levels = path.split("/")
    first = next(number for number, level in enumerate(levels) if is_pattern(level))
    if first == 0:
        raise UserError("A container is named without wildcards.", where=path)
    base = "/".join(levels[:first])
    above = connection.stat(base)
    found = list(_below(connection, base, levels[first:])) if above is not None and above.is_folder else []
    if not found:
        raise NotFoundError("Nothing fits.", where=connection.url(path), code="BlobNotFound")
    return found


def _below(connection: Connection, folder: str, patterns: Sequence[str]) -> Iterator[Entry]:
    from kyanite.movement.wildcard import wildcard

    if ANY_FOLDERS in patterns:
        yield from (
            entry for entry in connection.list(folder) if _fits(patterns, entry.path[len(folder) + 1 :].split("/"))
        )
        return
    for entry in connection.list(folder, recursive=False):
        if not wildcard(patterns[0]).matches(entry.name):
            continue
        if len(patterns) == 1:
            yield entry
        elif entry.is_folder:
            yield from _below(connection, entry.path, patterns[1:])


def _fits(patterns: Sequence[str], names: Sequence[str]) -> bool:
    from kyanite.movement.wildcard import wildcard

    reached = {0}
    for pattern in patterns:
        if not reached:
            return False
        if pattern == ANY_FOLDERS:
            reached = set(range(min(reached), len(names) + 1))
        else:
            reached = {end + 1 for end in reached if end < len(names) and wildcard(pattern).matches(names[end])}
    return len(names) in reached


def files_of(connection: Connection, path: str, *, recursive: bool) -> Iterator[Found]:
    """The files that a path means, folders with all below them when `recursive`, else ConflictError for a folder."""
    for entry in matching(connection, path):
        if not entry.is_folder:
            yield Found(entry, entry.name)
            continue
        if not recursive:
            raise ConflictError(
                "This is a folder.", where=connection.url(entry.path), cure="Add -r to take all below it."
            )
        for file in connection.list(entry.path):
            if not file.is_folder:
                yield Found(file, f"{entry.name}/{file.path[len(entry.path) + 1 :]}")


def shown(place: StoragePath, path: str) -> str:
    """A path of the connection as ACCOUNT/CONTAINER/PATH."""
    return f"{place.account}/{path}"
