"""Parts written by other processes of this machine: everything they need can be pickled."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kyanite.movement.split_inputs import InputFile
from kyanite.movement.split_publish import PartSet
from kyanite.movement.split_writer import Checksum
from kyanite.parquet import FileOpener, Source
from kyanite.parquet.footer import descriptor_of
from kyanite.storage import FileWriter
from kyanite.storage.failures import disk_errors
from kyanite.storage.folders import path_of


@dataclass(frozen=True)
class StagedParts:
    """Opens parts in the folder where their set is staged; one of a name that is there already is replaced."""

    folder: str
    mode: int
    checksum: str
    is_synced: bool = True

    def __call__(self, name: str) -> StagedPart:
        """A part to be written; its `commit` completes it."""
        path = Path(self.folder, name)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with disk_errors(str(path)):
            path.unlink(missing_ok=True)
            descriptor = os.open(path, flags, self.mode)
        return StagedPart(descriptor, path, Checksum(self.checksum), is_synced=self.is_synced)


class StagedPart(FileWriter):
    """A part whose `checksum` is known once it is committed."""

    def __init__(self, descriptor: int, path: Path, checksum: Checksum, *, is_synced: bool) -> None:
        discard = partial(path.unlink, missing_ok=True)
        super().__init__(descriptor, str(path), lambda: None, discard, is_synced=is_synced)
        self._taken = checksum
        self.checksum: str | None = None

    def commit(self) -> None:
        """Complete the part: the disk works while the checksum is taken."""
        self.flush()
        trouble: list[BaseException] = []

        def sync() -> None:
            try:
                self.sync()
            except BaseException as error:  # noqa: BLE001 - raised in the thread that commits
                trouble.append(error)

        syncing = threading.Thread(target=sync)
        syncing.start()
        try:
            try:
                if self._taken.is_taken:
                    for piece in self.pieces():
                        self._taken.update(piece)
            finally:
                syncing.join()
            if trouble:
                raise trouble[0]
        except BaseException:
            self.abort()
            raise
        super().commit()
        self.checksum = self._taken.text


def local_sources(files: Sequence[InputFile]) -> list[Source] | None:
    """The inputs as files of this machine; None when one is not."""
    sources = []
    for file in files:
        with file.connection.open_read(file.entry.path) as opened:
            descriptor = descriptor_of(opened)
            path = path_of(descriptor) if descriptor is not None else None
        if path is None:
            return None
        sources.append(Source(file.url, FileOpener(path), file.entry.size))
    return sources


def staged_parts(files: PartSet, checksum: str) -> StagedParts | None:
    """What processes open parts with; None when the set is not staged in a folder of this machine."""
    staged = files.staged()
    return StagedParts(staged.folder, staged.mode, checksum, staged.is_synced) if staged is not None else None
