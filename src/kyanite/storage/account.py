"""The operations of an embedded storage account; each one is atomic on disk and stays inside its folder."""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from kyanite.errors import StorageError
from kyanite.secrets import Vault
from kyanite.storage import containers, listing, names, staging
from kyanite.storage.appends import sweep_appends
from kyanite.storage.blobs import BlobStore
from kyanite.storage.events import CREATED, DELETED, announced
from kyanite.storage.failures import disk_errors, storage_error
from kyanite.storage.file_set import FileSet
from kyanite.storage.file_writer import FileWriter
from kyanite.storage.folders import (
    FILE_MODE,
    FOLDER_MODE,
    entry_of,
    open_file,
    open_path,
    opened_folder,
    walk,
)
from kyanite.storage.model import Entry, check_account_name, check_container_name, is_account_name, normalise
from kyanite.storage.properties import Blob
from kyanite.storage.staged import Beside

_STAGING = ".staging"
_METADATA = ".account.json"


class StorageAccounts:
    """The storage accounts below one folder (`<home>/storage`); their keys live in the vault."""

    def __init__(self, root: Path, vault: Vault, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.root = root
        self._vault = vault
        self._clock = clock

    def create(self, name: str, hierarchical: bool = True) -> StorageAccount:
        """The account of this name, made when there is none; one that exists keeps its kind of namespace."""
        existing = self.get(name)
        if existing is not None:
            return existing
        folder = self.root / check_account_name(name)
        with disk_errors(f"storage account {name}"):
            for path in (self.root, folder, folder / _STAGING):
                path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            document = {"hierarchical": hierarchical, "created": self._clock().isoformat()}
            beside = folder / _STAGING / f"{staging.new_name()}.json"
            beside.touch(FILE_MODE)
            beside.write_text(json.dumps(document), encoding="utf-8")
            beside.replace(folder / _METADATA)
        return StorageAccount(name, folder, self._vault)

    def get(self, name: str) -> StorageAccount | None:
        """The account of this name, or None."""
        if not is_account_name(name) or not (self.root / name / _METADATA).is_file():
            return None
        return StorageAccount(name, self.root / name, self._vault)

    def names(self) -> list[str]:
        """Names of all accounts, sorted."""
        return sorted(
            path.parent.name for path in self.root.glob(f"*/{_METADATA}") if is_account_name(path.parent.name)
        )


class StorageAccount:
    """One account: containers, folders and files. Paths are those inside a container and are normalised here.

    Errors are StorageError with the service's codes (`ContainerNotFound`, `BlobNotFound`, `PathNotFound`, ...).
    """

    def __init__(self, name: str, folder: Path, vault: Vault) -> None:
        self.name = name
        self.folder = folder
        self._vault = vault
        self._swept = False
        self._keys: tuple[object, tuple[str, str]] | None = None
        try:
            metadata = json.loads((folder / _METADATA).read_text(encoding="utf-8"))
            self.hierarchical: bool = metadata["hierarchical"]
            self.created = datetime.fromisoformat(metadata["created"])
        except (ValueError, KeyError, TypeError) as problem:
            raise StorageError(
                "The account's description is damaged.",
                where=str(folder / _METADATA),
                cure='Write {"hierarchical": true, "created": "2026-01-01T00:00:00+00:00"} into it.',
            ) from problem

        self.blobs = BlobStore(name, folder, self.hierarchical)

    def __repr__(self) -> str:
        return f"StorageAccount({self.name!r})"

    # ---- keys

    @property
    def keys(self) -> tuple[str, str]:
        """key1 and key2, base64 text; made when the vault has none."""
        revision = self._vault.revision()
        if self._keys is None or self._keys[0] is not revision:
            key1, key2 = (self._vault.get_or_create(f"storage/{self.name}/{which}") for which in ("key1", "key2"))
            self._keys = revision, (key1, key2)
        return self._keys[1]

    def check_key(self, key: str) -> bool:
        """Whether the key is one of the account's two, in constant time."""
        given = key.encode("utf-8", "surrogatepass")
        matches = [hmac.compare_digest(given, own.encode()) for own in self.keys]
        return any(matches)

    # ---- containers

    def create_container(self, name: str) -> None:
        """Make a container; one that exists already is fine."""
        check_container_name(name)
        with self._root() as root, disk_errors(self._where(name)), contextlib.suppress(FileExistsError):
            os.mkdir(name, FOLDER_MODE, dir_fd=root)

    def containers(self) -> list[Entry]:
        """All containers as folder entries, sorted by name."""
        with self._root() as root, disk_errors(self.name):
            return [entry for entry in walk(root, (), "", recursive=False, hidden=".") if entry.is_folder]

    def delete_container(self, name: str) -> None:
        """Remove a container and everything in it, at once for readers."""
        self.delete(name, "", recursive=True)

    # ---- reading

    def list(self, container: str, folder: str = "", *, recursive: bool = True) -> Iterator[Entry]:
        """Entries of a folder in path order, paths inside the container; recursive gives files only.

        StorageError `ContainerNotFound` or `PathNotFound` when the folder is not there.
        """
        base = normalise(folder)
        with self._errors(container, base), self.blobs.opened(container, names.stored_parts(base)) as folder_fd:
            own = datetime.fromtimestamp(os.fstat(folder_fd).st_mtime, UTC)
        prefix = f"{base}/" if base else ""
        with self._errors(container, base):
            if recursive:
                yield from map(_entry, listing.walk(self.blobs, container, prefix=prefix, folders=False))
                return
            for item in listing.level(self.blobs, container, prefix=prefix):
                if isinstance(item, Blob):
                    yield _entry(item)
                else:
                    modified = item.folder.modified if item.folder else own
                    yield Entry(item.path.removesuffix("/"), 0, modified, is_folder=True)

    def stat(self, container: str, path: str) -> Entry | None:
        """The entry of a file or folder (the container itself for an empty path), or None when there is none."""
        base = normalise(path)
        *parents, name = (check_container_name(container), *_parts(base))
        try:
            with self._root() as root, opened_folder(root, parents) as folder:
                found = None if self.hierarchical or not base else self.blobs.find(folder, name, container, base)
                if found is not None:
                    return _entry(found[1])
                return entry_of(base, os.stat(name, dir_fd=folder, follow_symlinks=False))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as problem:
            raise storage_error(problem, self._where(container, base)) from problem

    def open_read(self, container: str, path: str) -> BinaryIO:
        """A seekable binary file. StorageError `BlobNotFound`, or `LinkRefused` for a link of any kind."""
        base, parents, name = self._split_file(container, path)
        with (
            self._root() as root,
            self._errors(container, base, missing="BlobNotFound"),
            opened_folder(root, parents) as folder,
        ):
            found = None if self.hierarchical else self.blobs.find(folder, name, container, base)
            return open_file(folder, found[0] if found else name, self._where(container, base))

    # ---- writing

    def open_write(self, container: str, path: str) -> FileWriter:
        """A writer whose `commit` replaces the file at once; folders on the way are made by then."""
        base, _, _ = self._split_file(container, path)
        where = self._where(container, base)
        self._require_container(container)
        self._sweep_once()
        beside = staging.new_name()
        with self._staging() as fd, disk_errors(where):
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            descriptor = os.open(beside, flags, FILE_MODE, dir_fd=fd)
        return FileWriter(
            descriptor,
            where,
            publish=lambda: self._publish(beside, container, base),
            discard=lambda: self._discard(beside),
        )

    def open_set(
        self, container: str, folder: str, replaces: Callable[[str], bool], *, is_synced: bool = True
    ) -> FileSet:
        """Several files of one folder that become visible together; see FileSet."""
        base = normalise(folder)
        self._require_container(container)
        self._sweep_once()
        place = _AccountPlace(self, (container, *_parts(base)), self._where(container, base))
        return _AccountSet(place, replaces, is_synced=is_synced)

    def make_folder(self, container: str, path: str) -> None:
        """Make a folder and those above it; existing ones are fine."""
        base = normalise(path)
        self._require_container(container)
        parts = (container, *_parts(base))
        with self._root() as root, self._errors(container, base), opened_folder(root, parts, create=True):
            return

    def delete(self, container: str, path: str, *, recursive: bool = False) -> None:
        """Remove a file, an empty folder, or with `recursive` a folder with all in it, at once for readers.

        StorageError `BlobNotFound` when nothing is there, `DirectoryNotEmpty` for a filled folder.
        """
        base = normalise(path)
        known = self.stat(container, base) if base else None
        if known is not None and (self.hierarchical or not known.is_folder):
            self.blobs.delete(container, base, recursive=recursive)
            return
        *parents, name = (check_container_name(container), *_parts(base))
        with (
            self._root() as root,
            self._staging() as beside,
            self._errors(container, base, missing="BlobNotFound" if base else "ContainerNotFound"),
            opened_folder(root, parents) as folder,
        ):
            entry = entry_of(base, os.stat(name, dir_fd=folder, follow_symlinks=False))
            if entry is not None and entry.is_folder and not recursive:
                os.rmdir(name, dir_fd=folder)
                return
            away = staging.new_name()
            gone = [base] if entry is not None and not entry.is_folder else []
            with announced(self.folder, DELETED, container, gone) if gone else contextlib.nullcontext():
                os.rename(name, away, src_dir_fd=folder, dst_dir_fd=beside)
            if base:
                self.blobs.records(container).drop_tree(self.folder / _STAGING / away)
            else:
                containers.forget(self.folder, container)
            staging.remove(away, beside)

    def rename(self, container: str, source: str, target: str) -> None:
        """Move a file or folder inside its container, atomically; a file there before is replaced."""
        old, new = normalise(source), normalise(target)
        *old_parents, old_name = (check_container_name(container), *_parts(old))
        *new_parents, new_name = (container, *_parts(new))
        if not old or not new:
            raise StorageError("A container cannot be renamed.", where=self._where(container), code="InvalidUri")
        if new.startswith(f"{old}/"):
            raise StorageError(
                "A folder cannot move into itself.", where=self._where(container, old), code="InvalidUri"
            )
        with (
            self._root() as root,
            self._errors(container, old, missing="BlobNotFound"),
            opened_folder(root, old_parents) as before,
        ):
            os.stat(old_name, dir_fd=before, follow_symlinks=False)
            with opened_folder(root, new_parents, create=True) as after:
                os.rename(old_name, new_name, src_dir_fd=before, dst_dir_fd=after)

    def sweep(self) -> int:
        """Remove what killed processes left beside the containers; how many files and folders."""
        with self._staging() as fd, disk_errors(self.name):
            return staging.sweep(fd) + sweep_appends(self.folder)

    # ---- inside

    def _where(self, container: str, path: str = "") -> str:
        return "/".join(part for part in (self.name, container, path) if part)

    def _split_file(self, container: str, path: str) -> tuple[str, tuple[str, ...], str]:
        base = normalise(path)
        if not base:
            raise StorageError("A file needs a name.", where=self._where(container), code="InvalidUri")
        *parents, name = (check_container_name(container), *_parts(base))
        return base, tuple(parents), name

    @contextlib.contextmanager
    def _root(self) -> Iterator[int]:
        with disk_errors(self.name):
            fd = open_path(self.folder)
        try:
            yield fd
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def _staging(self) -> Iterator[int]:
        with self._root() as root, opened_folder(root, (_STAGING,), create=True) as fd:
            yield fd

    @contextlib.contextmanager
    def _errors(self, container: str, path: str, missing: str = "PathNotFound") -> Iterator[None]:
        where = self._where(container, path)
        try:
            with disk_errors(where):
                yield
        except StorageError as problem:
            if problem.error_code != "PathNotFound":
                raise
            self._require_container(container)
            raise StorageError("There is no such file or folder.", where=where, code=missing) from problem

    def _require_container(self, container: str) -> None:
        if self.stat(container, "") is None:
            known = ", ".join(entry.path for entry in self.containers()[:20])
            raise StorageError(
                f"Storage account `{self.name}` has no container `{container}`.",
                cure=f"It has: {known}." if known else "It has none yet.",
                code="ContainerNotFound",
            )

    def _sweep_once(self) -> None:
        if not self._swept:
            self._swept = True
            self.sweep()

    def _publish(self, beside: str, container: str, base: str) -> None:
        staged = Beside(f"{self.folder}/{_STAGING}/{beside}")
        self.blobs.publish(staged, container, base, None)
        with self.blobs.opened(container, names.stored_parts(base)[:-1]) as folder, disk_errors(self._where(container)):
            os.fsync(folder)

    def _discard(self, beside: str) -> None:
        with self._staging() as fd:
            staging.remove(beside, fd)


class _AccountPlace:
    """A folder of an account as the target of a file set."""

    file_mode = FILE_MODE
    folder_mode = FOLDER_MODE

    def __init__(self, account: StorageAccount, parts: tuple[str, ...], where: str) -> None:
        self._account = account
        self._parts = parts
        self.where = where

    @contextlib.contextmanager
    def staging(self) -> Iterator[tuple[int, str]]:
        with self._account._staging() as fd:
            yield fd, ""

    @contextlib.contextmanager
    def parent(self, *, create: bool) -> Iterator[tuple[int, str]]:
        *parents, name = self._parts
        with self._account._root() as root, opened_folder(root, parents, create=create) as fd:
            yield fd, name

    def may_swap(self) -> bool:
        return True

    def announced(self, names: list[str], since_ns: int) -> contextlib.AbstractContextManager[None]:
        container, *folder = self._parts
        paths = ["/".join((*folder, name)) for name in names]
        return announced(self._account.folder, CREATED, container, paths, since_ns=since_ns)


class _AccountSet(FileSet):
    """A file set whose files are announced when they appear."""

    def __init__(self, place: _AccountPlace, replaces: Callable[[str], bool], *, is_synced: bool) -> None:
        super().__init__(place, replaces, is_synced=is_synced)
        self._account_place, self._begun_ns = place, time.time_ns()

    def _publish(self) -> None:
        with self._account_place.announced(self.names, self._begun_ns):
            super()._publish()


def _parts(path: str) -> list[str]:
    return list(names.stored_parts(path))


def _entry(blob: Blob) -> Entry:
    modified = datetime.fromtimestamp(blob.modified_ns / 1e9, UTC)
    return Entry(blob.path, blob.size, modified, is_folder=blob.is_folder, etag=blob.etag)
