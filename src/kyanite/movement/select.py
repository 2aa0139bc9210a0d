"""Which files of a source a copy takes: static path, wildcards, prefix, recursion, time of the last change."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from kyanite.errors import DefinitionError, UnsupportedError
from kyanite.movement.location import Location, flag, text
from kyanite.movement.wildcard import Wildcard, wildcard
from kyanite.storage.model import Entry, join, normalise

_TIME = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(:\d\d)?(\.\d{1,7})?)?\s*(Z|[+-]\d\d:?\d\d)?\Z", re.IGNORECASE)
_REFUSED = ("fileListPath", "fileFilter", "partitionRootPath")


@dataclass(frozen=True)
class SourceFile:
    """A file a copy reads: its full path, its size in bytes, and its path relative to where the selection begins."""

    path: str
    size: int
    relative: str


@dataclass(frozen=True)
class Selection:
    """What to list and what of it to keep.

    `file` is the one static file; otherwise the files below `folder` are listed, those in folders that `folders` match
    level by level (and below them when `recursive`), whose names match `name` and whose path begins with `prefix`.
    """

    folder: str
    file: str = ""
    folders: tuple[Wildcard, ...] = ()
    name: Wildcard | None = None
    prefix: str = ""
    recursive: bool = True
    modified_start: datetime | None = None
    modified_end: datetime | None = None

    @property
    def is_static(self) -> bool:
        """Whether the path is given without any wildcard or prefix, so that it must exist."""
        return self.name is None and not self.prefix

    @property
    def must_match(self) -> bool:
        """Whether to find nothing is a mistake: it is, unless only files changed in some period are wanted."""
        return self.modified_start is None and self.modified_end is None

    @property
    def lists_recursively(self) -> bool:
        """Whether folders below `folder` must be listed at all."""
        return self.recursive or bool(self.folders)


def read_selection(location: Location, settings: Mapping[str, Any]) -> Selection:
    """The selection of a source dataset's location and its `storeSettings`.

    `wildcardFileName` overrides the dataset's file, `wildcardFolderPath` its folder; an option that is not implemented
    and would change the result raises UnsupportedError by its name.
    """
    where = "source's storeSettings"
    for key in _REFUSED:
        if text(settings, key, where):
            raise UnsupportedError(f"`{key}` in the {where} is not supported.", cure="Use wildcards or a prefix.")
    for key in ("enablePartitionDiscovery", "deleteFilesAfterCompletion"):
        if flag(settings, key, False, where):
            raise UnsupportedError(f"`{key}` in the {where} is not supported.", cure="Set it to false.")
    everything = Selection(
        location.folder_path,
        recursive=flag(settings, "recursive", True, where),
        modified_start=read_time(settings, "modifiedDatetimeStart"),
        modified_end=read_time(settings, "modifiedDatetimeEnd"),
    )
    folder_pattern = text(settings, "wildcardFolderPath", where)
    name_pattern = text(settings, "wildcardFileName", where)
    prefix = text(settings, "prefix", where).lstrip("/")
    if folder_pattern or name_pattern:
        name = wildcard(name_pattern) if name_pattern else _literal(location.file)
        base, folders = _split_pattern(folder_pattern) if folder_pattern else (location.folder, ())
        return replace(everything, folder=join(location.container, base), folders=folders, name=name)
    if prefix:
        base = prefix.rpartition("/")[0]
        full = f"{location.container}/{prefix}".lstrip("/")
        return replace(everything, folder=join(location.container, base), prefix=full)
    return replace(everything, file=join(location.folder_path, location.file) if location.file else "")


def select(entries: Iterable[Entry], selection: Selection) -> Iterator[SourceFile]:
    """The files of a listing of `selection.folder` that the selection takes, in the listing's order."""
    skipped = len(selection.folder) + 1 if selection.folder else 0
    for entry in entries:
        relative = entry.path[skipped:]
        if not entry.is_folder and _takes(selection, entry, relative):
            yield SourceFile(entry.path, entry.size, relative)


def _takes(selection: Selection, entry: Entry, relative: str) -> bool:
    *folders, name = relative.split("/")
    depth = len(selection.folders)
    if len(folders) < depth or (len(folders) > depth and not selection.recursive):
        return False
    if not entry.path.startswith(selection.prefix):
        return False
    if selection.name is not None and not selection.name.matches(name):
        return False
    if not all(pattern.matches(folder) for pattern, folder in zip(selection.folders, folders[:depth], strict=True)):
        return False
    return in_period(entry.modified, selection)


def in_period(modified: datetime, selection: Selection) -> bool:
    """Whether a time of last change is wanted: the start is inclusive, the end exclusive."""
    if selection.modified_start is not None and modified < selection.modified_start:
        return False
    return selection.modified_end is None or modified < selection.modified_end


def read_time(settings: Mapping[str, Any], key: str) -> datetime | None:
    """A UTC time with up to seven fraction digits, as the service writes them; None when absent or empty."""
    value = text(settings, key, "source's storeSettings").strip()
    if not value:
        return None
    match = _TIME.match(value)
    try:
        if match is None:
            raise ValueError
        day, minute, second, fraction, zone = match.groups()
        read = datetime.fromisoformat(f"{day}T{minute or '00:00'}{second or ':00'}").replace(tzinfo=UTC)
        if fraction:
            read += timedelta(microseconds=int(fraction[1:].ljust(7, "0")) // 10)
        if zone and zone not in "Zz":
            hours, minutes = int(zone[1:3]), int(zone[-2:])
            offset = timedelta(hours=hours, minutes=minutes)
            read = read - offset if zone[0] == "+" else read + offset
    except (ValueError, OverflowError) as problem:
        raise DefinitionError(
            f"`{key}` in the source's storeSettings is {value!r}, not a time.", cure="Write 2026-01-31T06:00:00Z."
        ) from problem
    return read


def _literal(name: str) -> Wildcard:
    """A pattern for exactly this name; any name when it is empty."""
    if not name:
        return wildcard("*")
    return wildcard("".join(f"^{c}" if c in "*?^" else c for c in name))


def _split_pattern(pattern: str) -> tuple[str, tuple[Wildcard, ...]]:
    """The folders before the first wildcard as a path, and a pattern for each level from there on."""
    levels = [wildcard(level) for level in pattern.split("/") if level not in ("", ".")]
    literal: list[str] = []
    while levels and levels[0].literal is not None:
        literal.append(str(levels.pop(0).literal))
    return normalise("/".join(literal)), tuple(levels)
