"""The files that a split reads: files, folders and patterns at any address, in path order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from kyanite.connections import Connection, Entry, is_local, open_url
from kyanite.errors import ConflictError, NotFoundError, UserError
from kyanite.limits import SPLIT_INPUT_FILES
from kyanite.movement.wildcard import wildcard
from kyanite.parquet import Source

if TYPE_CHECKING:
    from kyanite.storage import StorageAccounts

SUFFIXES = (".parquet", ".parq", ".pq")
ANY_FOLDERS = "**"


class InputFile(NamedTuple):
    """One parquet file to read; `url` is its address without credentials."""

    connection: Connection
    entry: Entry
    url: str

    @property
    def source(self) -> Source:
        """The file for the parquet layer, opened when it is read."""
        return Source(self.url, partial(self.connection.open_read, self.entry.path), self.entry.size)

    @property
    def version(self) -> str:
        """What changes when the file is written again: its ETag, else the time of its last change."""
        return self.entry.etag or self.entry.modified.isoformat()

    def check_unchanged(self) -> None:
        """ConflictError when the file was written since it was listed."""
        now = self.connection.stat(self.entry.path)
        if now is None or InputFile(self.connection, now, self.url).version != self.version:
            raise ConflictError("The file changed while it was split; nothing is shown.", where=self.url)


def find_inputs(
    addresses: Sequence[str], accounts: StorageAccounts | None, credential: str | None
) -> tuple[InputFile, ...]:
    """All files that the addresses name, in the order given and by path within one address.

    A folder means every .parquet, .parq and .pq file below it; `*` and `?` match within a name, `**` any number of
    folders. Names that begin with `_` or `.` are only taken when they are spelled out.
    """
    found: list[InputFile] = []
    for address in addresses:
        connection, path = open_url(address, accounts, credential)
        room = SPLIT_INPUT_FILES - len(found)
        entries = list(islice(_entries(connection, path, is_local(address)), room + 1))
        if not entries:
            raise NotFoundError(
                f"No parquet file is found at {connection.url(path)}.", cure=f"Looked for {', '.join(SUFFIXES)}."
            )
        if len(entries) > room:
            raise UserError(f"The inputs are more than {SPLIT_INPUT_FILES:,} files.", cure="Split folder by folder.")
        found += [InputFile(connection, entry, connection.url(entry.path)) for entry in entries]
    if not found:
        raise UserError("There is nothing to split.", cure="Name at least one file or folder.")
    return tuple(found)


def _entries(connection: Connection, path: str, local: bool) -> Iterator[Entry]:
    levels = path.split("/") if path else []
    patterned = [number for number, level in enumerate(levels) if _is_pattern(level)]
    # a local file may really be called `a*.parquet`; a blob is only asked for when the path is no pattern
    found = connection.stat(path) if not patterned or local else None
    if found is not None:
        yield from _data_below(connection, path) if found.is_folder else [found]
    elif not patterned:
        raise NotFoundError(f"There is no file or folder {connection.url(path)}.")
    else:
        base = "/".join(levels[: patterned[0]])
        above = connection.stat(base) if base else None
        if base and (above is None or not above.is_folder):
            raise NotFoundError(f"There is no folder {connection.url(base)}.")
        yield from _matching(connection, base, levels[patterned[0] :])


def _matching(connection: Connection, folder: str, patterns: Sequence[str]) -> Iterator[Entry]:
    """Files below a folder that fit a pattern for each level; a folder that fits stands for the data below it."""
    if not patterns:
        yield from _data_below(connection, folder)
    elif patterns[0] == ANY_FOLDERS:
        for entry in connection.list(folder):
            below = _below(entry, folder)
            if not _is_hidden(below[:-1]) and _fits(patterns, below):
                yield entry
    else:
        for entry in connection.list(folder, recursive=False):
            if not _name_fits(patterns[0], entry.name):
                continue
            if entry.is_folder:
                yield from _matching(connection, entry.path, patterns[1:])
            elif len(patterns) == 1:
                yield entry


def _fits(patterns: Sequence[str], levels: Sequence[str]) -> bool:
    """Whether patterns, `**` among them, cover the levels of a path."""
    reached = {0}  # numbers of levels that the patterns so far can cover
    for pattern in patterns:
        if pattern == ANY_FOLDERS:
            reached = set(range(min(reached), len(levels))) if reached else reached
        else:
            reached = {end + 1 for end in reached if end < len(levels) and _name_fits(pattern, levels[end])}
    if patterns[-1] == ANY_FOLDERS:
        return bool(reached) and _is_data(levels)
    return len(levels) in reached or (bool(reached - {len(levels)}) and _is_data(levels))


def _name_fits(pattern: str, name: str) -> bool:
    hidden = name.startswith(("_", ".")) and not pattern.startswith(name[0])
    return not hidden and wildcard(pattern).matches(name)


def _data_below(connection: Connection, folder: str) -> Iterator[Entry]:
    return (entry for entry in connection.list(folder) if _is_data(_below(entry, folder)))


def _below(entry: Entry, folder: str) -> list[str]:
    return entry.path[len(folder) :].strip("/").split("/")


def _is_pattern(level: str) -> bool:
    return wildcard(level).literal is None


def _is_hidden(levels: Sequence[str]) -> bool:
    return any(level.startswith(("_", ".")) for level in levels)


def _is_data(levels: Sequence[str]) -> bool:
    """Parquet files by their name, without what writers keep beside them (`_metadata`, `.crc`, `_temporary/`)."""
    return levels[-1].lower().endswith(SUFFIXES) and not _is_hidden(levels)
