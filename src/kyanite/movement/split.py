"""The splitter over any address: parquet files in, equal parts of at most a size out, all of them or none."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from kyanite.connections import Connection, Entry, is_local, open_url
from kyanite.errors import ConflictError, NotFoundError, UserError
from kyanite.limits import SPLIT_INPUT_FILES
from kyanite.movement.part_names import NAME_TEMPLATE, PartNaming, parse_size
from kyanite.movement.select import Selection, select
from kyanite.movement.wildcard import wildcard
from kyanite.parquet import Source
from kyanite.parquet import split as split_parquet
from kyanite.secrets import Vault
from kyanite.storage import StorageAccounts
from kyanite.storage.model import join

SUFFIXES = (".parquet", ".parq", ".pq")


@dataclass(frozen=True)
class SplitPart:
    """One part: its file name, its address, its rows and its size in bytes; `oversize` when one row alone is larger."""

    name: str
    path: str
    rows: int
    bytes: int
    oversize: bool = False


@dataclass(frozen=True)
class SplitResult:
    """What a split did; `rows_in` always equals `rows_out`. `inputs` are the files read, in order."""

    parts: tuple[SplitPart, ...]
    inputs: tuple[str, ...]
    rows_in: int
    rows_out: int
    bytes_in: int
    bytes_out: int
    seconds: float


def split(
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    max_size: int | str,
    home: str | os.PathLike[str] | None = None,
    credential: str | None = None,
    prefix: str = "part",
    name_template: str = NAME_TEMPLATE,
    overwrite: bool = True,
    progress: Callable[[int, int, int], None] | None = None,
) -> SplitResult:
    """Split parquet files into parts of at most `max_size` bytes in the folder `output`, rows in order, none lost.

    Inputs are files, folders (every .parquet, .parq and .pq file below, sorted) or paths with `*` and `?`; addresses as
    `open_url` knows them, accounts of the workspace `home` (default: KYANITE_HOME, else ./.kyanite) under their Azure
    names. `max_size` is bytes or text: `100MB` is 10^8, `100MiB` is 100 x 2^20. The parts appear together in place of
    the older parts of the same naming, which are removed; `overwrite=False` raises ConflictError when there are any.
    `progress(rows, bytes, parts)`.
    """
    began = time.monotonic()
    max_bytes = parse_size(max_size)
    naming = PartNaming(prefix, name_template)
    accounts = _accounts(home)
    target, folder = open_url(os.fspath(output), accounts, credential)
    given = [inputs] if isinstance(inputs, str | os.PathLike) else list(inputs)
    sources = [
        source for one in given for source in _sources(os.fspath(one), accounts, credential, (target, folder, naming))
    ]
    if not sources:
        raise UserError("There is nothing to split.", cure="Name at least one file or folder.")
    if not overwrite:
        _refuse_existing(target, folder, naming)
    with target.open_set(folder, naming.matches) as files:
        result = split_parquet(
            sources, files.open, max_bytes=max_bytes, name=naming.name, progress=progress or _no_progress
        )
        files.commit()
    return SplitResult(
        tuple(
            SplitPart(part.name, target.url(join(folder, part.name)), part.rows, part.bytes, part.oversize)
            for part in result.parts
        ),
        tuple(source.name for source in sources),
        result.rows_in,
        result.rows_out,
        result.bytes_in,
        result.bytes_out,
        time.monotonic() - began,
    )


def _no_progress(rows: int, size: int, parts: int) -> None:
    """Nobody watches."""


def _accounts(home: str | os.PathLike[str] | None) -> StorageAccounts | None:
    """The accounts of a workspace; None when there is none."""
    folder = Path(home or os.environ.get("KYANITE_HOME") or ".kyanite")
    if not folder.is_dir():
        return None
    return StorageAccounts(folder / "storage", Vault(folder / "secrets.json"))


def _sources(
    address: str,
    accounts: StorageAccounts | None,
    credential: str | None,
    target: tuple[Connection, str, PartNaming],
) -> Iterator[Source]:
    """The files an input names, in path order; ConflictError for one that the split itself would replace."""
    connection, path = open_url(address, accounts, credential)
    entries = _entries(connection, path, address)
    if not entries:
        raise NotFoundError(f"No parquet file is found at {connection.url(path)}.", cure=f"Looked for {SUFFIXES}.")
    if len(entries) > SPLIT_INPUT_FILES:
        raise UserError(f"{connection.url(path)} holds more than {SPLIT_INPUT_FILES} files.")
    for entry in entries:
        _refuse_own_part(connection, entry, target)
        yield Source(connection.url(entry.path), _opener(connection, entry.path), entry.size)


def _opener(connection: Connection, path: str) -> Callable[[], BinaryIO]:
    return lambda: connection.open_read(path)


def _entries(connection: Connection, path: str, address: str) -> list[Entry]:
    found = connection.stat(path) if not _has_wildcard(path) or is_local(address) else None
    if found is not None and not found.is_folder:
        return [found]
    if found is not None:
        return [entry for entry in connection.list(path) if _is_data(entry.path[len(path) :])]
    if not _has_wildcard(path):
        raise NotFoundError(f"There is no file or folder {connection.url(path)}.")
    levels = path.split("/")
    first = next(number for number, level in enumerate(levels) if wildcard(level).literal is None)
    selection = Selection(
        "/".join(levels[:first]),
        folders=tuple(wildcard(level) for level in levels[first:-1]),
        name=wildcard(levels[-1]),
        recursive=False,
    )
    listed = list(connection.list(selection.folder, recursive=selection.lists_recursively))
    chosen = {file.path for file in select(listed, selection)}
    return [entry for entry in listed if entry.path in chosen]


def _has_wildcard(path: str) -> bool:
    return any(wildcard(level).literal is None for level in path.split("/"))


def _is_data(relative: str) -> bool:
    """Parquet files by their name, without what writers keep beside them (`_metadata`, `.crc`, `_temporary/`)."""
    parts = [part for part in relative.split("/") if part]
    return parts[-1].lower().endswith(SUFFIXES) and not any(part.startswith(("_", ".")) for part in parts)


def _refuse_own_part(connection: Connection, entry: Entry, target: tuple[Connection, str, PartNaming]) -> None:
    output, folder, naming = target
    parent = entry.path.rpartition("/")[0]
    if naming.matches(entry.name) and connection.url(parent) == output.url(folder):
        raise ConflictError(
            f"{connection.url(entry.path)} is an input, and the parts of this split would replace it.",
            cure="Write to another folder, or with another prefix.",
        )


def _refuse_existing(target: Connection, folder: str, naming: PartNaming) -> None:
    present = target.stat(folder)
    if present is None or not present.is_folder:
        return
    for entry in target.list(folder, recursive=False):
        if naming.matches(entry.name):
            raise ConflictError(f"{target.url(entry.path)} exists.", cure="Allow overwriting, or use another prefix.")


__all__ = ["PartNaming", "SplitPart", "SplitResult", "parse_size", "split"]
