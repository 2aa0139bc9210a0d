"""Blobs with all that the service knows of them: read, write, change and delete, each one atomic for everybody else."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from kyanite.errors import LimitError, StorageError, UserError
from kyanite.limits import PATH_CHARACTERS, PATH_PARTS
from kyanite.storage import leases, names, staging
from kyanite.storage.conditions import NO_CONDITIONS, Conditions
from kyanite.storage.events import DELETED, announced
from kyanite.storage.failures import disk_errors, storage_error
from kyanite.storage.folders import FOLDER_MODE, open_below, open_path
from kyanite.storage.lease_files import LeaseFiles
from kyanite.storage.leases import Lease
from kyanite.storage.locks import locked
from kyanite.storage.model import check_container_name, normalise, printable
from kyanite.storage.properties import PLAIN, Blob, Properties, Records, key_of
from kyanite.storage.publishing import publish
from kyanite.storage.staged import Beside, Staged
from kyanite.storage.torn import repair, settled

_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_ATTEMPTS = 4


class BlobStore:
    """The containers of one account. Errors are StorageError with the service's codes."""

    def __init__(
        self, account: str, folder: Path, hierarchical: bool, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.account = account
        self.folder = folder
        self.root = str(folder)
        self.hierarchical = hierarchical
        self.clock = clock

    # ---- names

    def spell(self, path: str) -> str:
        """The one spelling of a path. In an account without folders each character counts, slashes too."""
        if self.hierarchical:
            return normalise(path)
        if len(path) > PATH_CHARACTERS or path.count("/") >= PATH_PARTS:
            raise LimitError(f"The name `{printable(path)}` is too long for a blob.", code="OutOfRangeInput")
        if "\0" in path or any("\ud800" <= character <= "\udfff" for character in path):
            raise UserError(f"`{printable(path)}` cannot be the name of a blob.", code="InvalidUri")
        return path

    def where(self, container: str, path: str = "") -> str:
        """The place for messages."""
        return "/".join(part for part in (self.account, container, path) if part)

    def records(self, container: str) -> Records:
        """Where the container's properties are."""
        return Records(self.root, container)

    # ---- reading

    def get(self, container: str, path: str) -> Blob | None:
        """The blob or folder at a path, or None. `ContainerNotFound` when even that is missing."""
        path = self.spell(path)
        with self.errors(container, path, missing=None):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError), self.parent(container, path) as place:
                found = self.find(*place, container, path)
                return found and found[1]
            self.require_container(container)
        return None

    def require(self, container: str, path: str) -> Blob:
        """The blob or folder at a path; `BlobNotFound` when there is none."""
        found = self.get(container, path)
        if found is None:
            raise StorageError(
                "The specified blob does not exist.", where=self.where(container, path), code="BlobNotFound"
            )
        return found

    def open(self, container: str, path: str) -> tuple[int, Blob]:
        """A descriptor for reading, and what it shows; it goes on showing this version when another one is written."""
        path = self.spell(path)
        try:
            folder, name = self._parent(container, path)
            try:
                return self._opened(folder, name, container, path)
            except FileNotFoundError:
                other = None if self.hierarchical else names.beside_folder(name)
                if other is None:
                    raise
                return self._opened(folder, other, container, path)
            finally:
                os.close(folder)
        except OSError as problem:
            raise self.told(problem, container, path) from problem

    def _opened(self, folder: int, name: str, container: str, path: str) -> tuple[int, Blob]:
        fd = os.open(name, _READ_FLAGS, dir_fd=folder)
        try:
            status = os.fstat(fd)
            if stat.S_ISDIR(status.st_mode) and not self.hierarchical:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            return fd, self.blob_of(status, container, path)
        except BaseException:
            os.close(fd)
            raise

    def find(self, folder: int, name: str, container: str, path: str) -> tuple[str, Blob] | None:
        """The stored name and the blob or folder in an open folder."""
        for candidate in self._candidates(name):
            try:
                status = os.stat(candidate, dir_fd=folder, follow_symlinks=False)
            except FileNotFoundError:
                continue
            if self.hierarchical or not stat.S_ISDIR(status.st_mode):
                return candidate, self.blob_of(status, container, path)
        return None

    def _candidates(self, name: str) -> tuple[str, ...]:
        other = None if self.hierarchical else names.beside_folder(name)
        return (name,) if other is None else (name, other)

    def blob_of(self, status: os.stat_result, container: str, path: str) -> Blob:
        """What a status says of a file or folder; `LinkRefused` when it is neither."""
        records = self.records(container)
        if stat.S_ISDIR(status.st_mode):
            found = records.get_folder(status, path.rpartition("/")[2])
            return Blob(container, path, 0, status.st_mtime_ns, status.st_ino, True, found)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            raise StorageError(
                "It is not a plain file of its own (a link, a device, a pipe).",
                where=self.where(container, path),
                cure="Copy the file there instead of linking it.",
                code="LinkRefused",
            )
        return self.version(status, container, path, records.get(status))

    def version(self, status: os.stat_result, container: str, path: str, record: Properties | None) -> Blob:
        """What the status of a plain file and its record say; without one it may be an append that is in progress."""
        size, modified = status.st_size, status.st_mtime_ns
        if record is None:
            torn = settled(self.records(container), status, path)
            if torn is not None:
                size, modified, record = torn
        return Blob(container, path, size, modified, status.st_ino, False, record or PLAIN)

    # ---- writing

    def stage(self) -> Staged:
        """A file beside the containers, to be written and then published."""
        try:
            return Staged(self.root)
        except FileNotFoundError:
            with disk_errors(self.account):
                (self.folder / ".staging").mkdir(mode=FOLDER_MODE, exist_ok=True)
                return Staged(self.root)
        except OSError as problem:
            raise storage_error(problem, self.account) from problem

    def publish(
        self,
        staged: Beside,
        container: str,
        path: str,
        properties: Properties | None,
        conditions: Conditions = NO_CONDITIONS,
        *,
        blocks: list[tuple[str, int]] | None = None,
        quietly: bool = False,
    ) -> Blob:
        """Make a staged file the blob of this path at once; folders on the way are made. None: derived properties.

        `quietly`: no storage event is told of it.
        """
        return publish(self, staged, container, self.spell(path), properties, conditions, blocks, quietly)

    def change(
        self,
        container: str,
        path: str,
        changed: Callable[[Properties], Properties],
        conditions: Conditions = NO_CONDITIONS,
        *,
        quietly: bool = False,
        check: Callable[[Blob], None] = lambda blob: None,
    ) -> Blob:
        """Other properties for the same bytes, under a new ETag; `quietly` keeps ETag and time, as tags do."""
        path = self.spell(path)
        records = self.records(container)
        with self.errors(container, path), self.parent(container, path) as (folder, name):
            with locked(self.folder, container, path):
                name, blob = self.writable(folder, name, container, path, conditions)
                check(blob)
                status = os.stat(name, dir_fd=folder, follow_symlinks=False)
                new = changed(blob.properties)
                if blob.is_folder:
                    records.put_folder(status, path.rpartition("/")[2], new)
                    return replace(blob, properties=new)
                new = replace(new, created_ns=new.created_ns or blob.modified_ns)
                if quietly:
                    records.put(key_of(status), new)
                    return replace(blob, properties=new)
                moment = max(time.time_ns(), blob.modified_ns + 1)
                blocks = records.get_blocks(key_of(status))
                key = f"{moment:x}-{blob.size:x}"
                records.add(key, new)
                if blocks:
                    records.put_blocks(key, blocks)
                os.utime(name, ns=(moment, moment), dir_fd=folder, follow_symlinks=False)
                records.drop(key_of(status))
            return replace(blob, modified_ns=moment, properties=new)

    def make_folder(
        self, container: str, path: str, properties: Properties = PLAIN, conditions: Conditions = NO_CONDITIONS
    ) -> Blob:
        """Make a folder and those above it. One that exists keeps its files and takes the properties."""
        path = self.spell(path)
        with self.errors(container, path), self.parent_made(container, path) as (folder, name):
            with locked(self.folder, container, path):
                found = self.find(folder, name, container, path)
                self.check_write(found and found[1], conditions, container, path)
                if found and not found[1].is_folder:
                    raise StorageError("A file stands there.", where=self.where(container, path), code="PathConflict")
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, FOLDER_MODE, dir_fd=folder)
                status = os.stat(name, dir_fd=folder, follow_symlinks=False)
                if properties != PLAIN or found:
                    self.records(container).put_folder(status, path.rpartition("/")[2], properties)
            return self.blob_of(status, container, path)

    # ---- deleting

    def delete(
        self,
        container: str,
        path: str,
        conditions: Conditions = NO_CONDITIONS,
        *,
        recursive: bool = False,
        check: Callable[[Blob], None] = lambda blob: None,
    ) -> Blob:
        """Remove a blob, an empty folder, or with `recursive` a filled one, at once for readers; what it was."""
        path = self.spell(path)
        records = self.records(container)
        with self.errors(container, path), self.parent(container, path) as (folder, name):
            with locked(self.folder, container, path):
                name, blob = self.writable(folder, name, container, path, conditions)
                check(blob)
                status = os.stat(name, dir_fd=folder, follow_symlinks=False)
                if not blob.is_folder:
                    with announced(self.folder, DELETED, container, [path]):
                        os.unlink(name, dir_fd=folder)
                    self.forget(records, blob)
                elif not recursive:
                    os.rmdir(name, dir_fd=folder)
                    records.drop_folder(status)
                else:
                    self._remove_tree(folder, name, container, path)
                LeaseFiles(self.folder, container).write(path, None)
        if not self.hierarchical:
            self._prune(container, path)
        return blob

    def _remove_tree(self, folder: int, name: str, container: str, path: str) -> None:
        lease_files = LeaseFiles(self.folder, container)
        leased = lease_files.below(path)
        for each in leased:
            leases.check_write(lease_files.read(each), None, self.clock())
        away = staging.new_name()
        with contextlib.closing(_Descriptor(self.folder / ".staging")) as beside:
            os.rename(name, away, src_dir_fd=folder, dst_dir_fd=beside.fd)
            self.records(container).drop_tree(self.folder / ".staging" / away)
            staging.remove(away, beside.fd)
        for each in leased:
            lease_files.write(each, None)

    def _prune(self, container: str, path: str) -> None:
        """Folders that only carried a blob's name go with the last one."""
        parts = names.stored_parts(path)
        for depth in range(len(parts) - 1, 0, -1):
            try:
                with self.opened(container, parts[: depth - 1]) as folder:
                    os.rmdir(parts[depth - 1], dir_fd=folder)
            except OSError:  # not empty, or somebody else was quicker
                return

    # ---- leases

    def lease_of(self, blob: Blob) -> Lease | None:
        """The lease of what a path holds, in whatever state."""
        return LeaseFiles(self.folder, blob.container).read(blob.path)

    def lease(
        self, container: str, path: str, step: Callable[[Lease | None], Lease | None], conditions: Conditions
    ) -> Blob:
        """Take a lease from one state to the next; ETag and time stay."""
        path = self.spell(path)
        with self.errors(container, path), self.parent(container, path) as (folder, name):
            with locked(self.folder, container, path):
                found = self.find(folder, name, container, path)
                if found is None:
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
                conditions.check(found[1].etag, found[1].modified, tags=found[1].properties.tags)
                files = LeaseFiles(self.folder, container)
                files.write(path, step(files.read(path)))
                return found[1]

    def check_write(self, current: Blob | None, conditions: Conditions, container: str, path: str) -> None:
        """StorageError unless conditions and lease allow a write in place of what is there now."""
        if current is None:
            conditions.check(None, None)
        else:
            conditions.check(current.etag, current.modified, tags=current.properties.tags)
        lease = LeaseFiles(self.folder, container).read(path) if current else None
        leases.check_write(lease, conditions.lease_id, self.clock())

    # ---- inside, also for the modules beside this one

    def writable(self, folder: int, name: str, container: str, path: str, conditions: Conditions) -> tuple[str, Blob]:
        """The stored name and version that a locked change begins with; an append that a kill cut short is undone."""
        found = self.find(folder, name, container, path)
        if found is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        if not found[1].is_folder and repair(self.records(container), folder, found[0], path):
            found = self.find(folder, name, container, path) or found
        self.check_write(found[1], conditions, container, path)
        return found

    def replaceable(self, folder: int, name: str, container: str, path: str) -> tuple[str, Blob] | None:
        """What a write would replace; a link is replaced itself and counts as nothing."""
        try:
            return self.find(folder, name, container, path)
        except StorageError as problem:
            if problem.error_code != "LinkRefused":
                raise
            return None

    def free(self, folder: int, name: str) -> str:
        """The stored name for a new blob: the escaped one where a folder stands in an account without folders."""
        if self.hierarchical:
            return name
        try:
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return name
        return self._other(name) if stat.S_ISDIR(status.st_mode) else name

    def _other(self, name: str) -> str:
        other = names.beside_folder(name)
        if other is None:
            raise StorageError("Blobs go on behind a name as long as this.", where=self.account, code="NameCollision")
        return other

    def forget(self, records: Records, old: Blob | None) -> None:
        """Drop the record of a version that was replaced or deleted."""
        if old is not None and not old.is_folder:
            records.drop(f"{old.modified_ns:x}-{old.size:x}")

    def require_container(self, container: str) -> None:
        """`ContainerNotFound` unless it is there."""
        try:
            status = os.stat(f"{self.root}/{check_container_name(container)}", follow_symlinks=False)
        except FileNotFoundError:
            status = None
        if status is None or not stat.S_ISDIR(status.st_mode):
            raise StorageError(
                "The specified container does not exist.", where=self.where(container), code="ContainerNotFound"
            )

    @contextlib.contextmanager
    def opened(self, container: str, parts: tuple[str, ...] = (), *, create: bool = False) -> Iterator[int]:
        """A descriptor of a container, or of a folder in it."""
        fd = self._open(container, parts, create=create)
        try:
            yield fd
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def parent(self, container: str, path: str) -> Iterator[tuple[int, str]]:
        """The open folder that holds a path, and the stored name in it; FileNotFoundError when it cannot hold one."""
        folder, name = self._parent(container, path)
        try:
            yield folder, name
        finally:
            os.close(folder)

    def _parent(self, container: str, path: str) -> tuple[int, str]:
        parts = names.stored_parts(path)
        if not parts:
            return open_path(self.folder), check_container_name(container)
        try:
            return self._open(container, parts[:-1]), parts[-1]
        except NotADirectoryError as problem:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from problem

    @contextlib.contextmanager
    def parent_made(self, container: str, path: str) -> Iterator[tuple[int, str]]:
        """The same with missing folders made. A blob in their way makes room in an account without folders."""
        parts = names.stored_parts(path)
        folder = self.made(container, parts[:-1])
        try:
            yield folder, parts[-1]
        finally:
            os.close(folder)

    def made(self, container: str, parts: tuple[str, ...]) -> int:
        """The open folder at these stored names, made if need be."""
        for _ in range(_ATTEMPTS):
            try:
                return self._open(container, parts, create=True)
            except NotADirectoryError:
                if self.hierarchical:
                    raise
                self._make_room(container, parts)
        return self._open(container, parts, create=True)

    def _open(self, container: str, parts: tuple[str, ...], *, create: bool = False) -> int:
        return open_below(f"{self.root}/{check_container_name(container)}", parts, create=create)

    def _make_room(self, container: str, parts: tuple[str, ...]) -> None:
        """Store a blob whose name a folder needs under its escaped name."""
        for depth, part in enumerate(parts):
            with contextlib.suppress(FileNotFoundError), self.opened(container, parts[:depth]) as folder:
                status = os.stat(part, dir_fd=folder, follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    continue
                with locked(self.folder, container, names.read_parts(parts[: depth + 1])):
                    os.rename(part, self._other(part), src_dir_fd=folder, dst_dir_fd=folder)
            return

    @contextlib.contextmanager
    def errors(self, container: str, path: str, missing: str | None = "BlobNotFound") -> Iterator[None]:
        """System errors in the service's words; for a missing file it is first asked whether the container is there."""
        try:
            yield
        except OSError as problem:
            raise self.told(problem, container, path, missing) from problem

    def told(self, problem: OSError, container: str, path: str, missing: str | None = "BlobNotFound") -> StorageError:
        """A system error in the service's words."""
        where = self.where(container, path)
        if isinstance(problem, FileNotFoundError | NotADirectoryError):
            self.require_container(container)
            if missing is not None and isinstance(problem, FileNotFoundError):
                return StorageError("The specified blob does not exist.", where=where, code=missing)
        return storage_error(problem, where)


class _Descriptor:
    def __init__(self, path: Path) -> None:
        path.mkdir(mode=FOLDER_MODE, exist_ok=True)
        self.fd = open_path(path)

    def close(self) -> None:
        os.close(self.fd)
