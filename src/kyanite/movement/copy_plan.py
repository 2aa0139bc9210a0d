"""Which files a copy writes, and from which sources each: the three copy behaviours."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from kyanite.errors import UnsupportedError, UserError
from kyanite.movement.location import Location
from kyanite.movement.select import SourceFile
from kyanite.storage.model import join

PRESERVE, FLATTEN, MERGE = "PreserveHierarchy", "FlattenHierarchy", "MergeFiles"
BEHAVIOURS = (PRESERVE, FLATTEN, MERGE)
_SPACE = uuid.UUID("6f9f3c04-53d0-4c38-9d37-6d2f58a3a1c5")  # names are the same when an attempt is repeated


@dataclass(frozen=True)
class Action:
    """Write one target file from these sources, in this order."""

    target: str
    sources: tuple[SourceFile, ...]


def read_behaviour(value: str) -> str:
    """The copy behaviour by its name in any case; PreserveHierarchy when empty."""
    for behaviour in BEHAVIOURS:
        if value.lower() == behaviour.lower():
            return behaviour
    if not value:
        return PRESERVE
    raise UnsupportedError(f"`copyBehavior` is `{value}`.", cure=f"Supported are {', '.join(BEHAVIOURS)}.")


def plan_copy(
    files: Sequence[SourceFile], behaviour: str, sink: Location, *, activity_run_id: str, extension: str | None
) -> tuple[Action, ...]:
    """The actions of a copy in the order of the sources' full paths; none when there are no files.

    `extension` ends generated names; None takes each source's own. UserError when several sources would be written to
    the sink's one file without merging.
    """
    ordered = sorted(files, key=lambda file: file.path)
    if not ordered:
        return ()
    if behaviour == MERGE:
        name = sink.file or f"Data.{activity_run_id}.{_extension(ordered[0], extension)}"
        return (Action(join(sink.folder_path, name), tuple(ordered)),)
    if sink.file:
        if len(ordered) > 1:
            raise UserError(
                f"{len(ordered)} source files would all be written to `{join(sink.folder_path, sink.file)}`,"
                f" among them `{ordered[0].path}` and `{ordered[1].path}`.",
                cure="Set copyBehavior to MergeFiles, or give the sink dataset no file name.",
                code="UserErrorMultipleSourcesOneSink",
            )
        return (Action(join(sink.folder_path, sink.file), (ordered[0],)),)
    return tuple(
        Action(join(sink.folder_path, _own_name(file, behaviour, activity_run_id, extension)), (file,))
        for file in ordered
    )


def _own_name(file: SourceFile, behaviour: str, activity_run_id: str, extension: str | None) -> str:
    if behaviour == PRESERVE:
        return file.relative
    own = uuid.uuid5(_SPACE, f"{activity_run_id}/{file.path}")
    return f"Data.{activity_run_id}.{own}.{_extension(file, extension)}"


def _extension(file: SourceFile, extension: str | None) -> str:
    """The format's own extension, or the source file's, or `bin`."""
    if extension is not None:
        return extension
    stem, dot, last = file.relative.rpartition("/")[2].rpartition(".")
    return last if stem and dot and last else "bin"
