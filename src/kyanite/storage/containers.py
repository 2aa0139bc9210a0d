"""What a container has besides its blobs: metadata, stored access policies, its lease, and its own ETag."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from kyanite.errors import StorageError
from kyanite.storage import leases, staging
from kyanite.storage.blobs import BlobStore
from kyanite.storage.conditions import NO_CONDITIONS, Conditions
from kyanite.storage.failures import disk_errors
from kyanite.storage.folders import FOLDER_MODE, open_path
from kyanite.storage.lease_files import LeaseFiles
from kyanite.storage.leases import Lease
from kyanite.storage.locks import locked
from kyanite.storage.model import check_container_name, etag_of
from kyanite.storage.properties import Records


@dataclass(frozen=True, slots=True)
class Container:
    """A container; `policies` are its stored access policies as (id, start, expiry, permission), texts as given."""

    name: str
    modified_ns: int
    created_ns: int = 0
    metadata: Mapping[str, str] = field(default_factory=dict)
    policies: tuple[tuple[str, str, str, str], ...] = ()
    inode: int = 0

    @property
    def etag(self) -> str:
        """Without quotes."""
        return etag_of(self.modified_ns, self.inode)

    @property
    def modified(self) -> datetime:
        """UTC, to the second."""
        return datetime.fromtimestamp(self.modified_ns // 1_000_000_000, UTC)


def create(store: BlobStore, name: str, metadata: Mapping[str, str] | None = None) -> Container:
    """Make a container. StorageError `ContainerAlreadyExists`."""
    check_container_name(name)
    with disk_errors(store.where(name)):
        forget(store.folder, name, only_records=True) if not (store.folder / name).exists() else None
        try:
            os.mkdir(f"{store.folder}/{name}", FOLDER_MODE)
        except FileExistsError as problem:
            raise StorageError(
                "The specified container already exists.", where=store.where(name), code="ContainerAlreadyExists"
            ) from problem
        now = time.time_ns()
        made = Container(name, now, now, dict(metadata or {}), (), os.stat(f"{store.folder}/{name}").st_ino)
        _write(store.folder, made)
    return made


def get(store: BlobStore, name: str) -> Container:
    """A container with its properties; one made by hand gets them now. StorageError `ContainerNotFound`."""
    store.require_container(name)
    with disk_errors(store.where(name)):
        status = os.stat(f"{store.folder}/{name}", follow_symlinks=False)
        known = _read(store.folder, name)
        if known is None or known.inode != status.st_ino:
            known = Container(name, status.st_mtime_ns, status.st_mtime_ns, {}, (), status.st_ino)
            _write(store.folder, known)
    return known


def names(store: BlobStore) -> list[str]:
    """All containers, sorted."""
    with disk_errors(store.account), os.scandir(store.folder) as entries:
        return sorted(e.name for e in entries if e.name[0] != "." and e.is_dir(follow_symlinks=False))


def change(
    store: BlobStore, name: str, changed: Callable[[Container], Container], conditions: Conditions = NO_CONDITIONS
) -> Container:
    """Other metadata or policies under a new ETag."""
    with locked(store.folder, name, ""):
        before = get(store, name)
        check(store, before, conditions)
        after = replace(changed(before), modified_ns=max(time.time_ns(), before.modified_ns + 1))
        with disk_errors(store.where(name)):
            _write(store.folder, after)
    return after


def check(store: BlobStore, container: Container, conditions: Conditions, *, reading: bool = False) -> None:
    """Conditions and lease id against a container; a lease of its own guards only its deletion."""
    conditions.check(container.etag, container.modified, reading=reading)
    leases.check_read(lease_of(store, container.name), conditions.lease_id, store.clock(), "Container")


def delete(store: BlobStore, name: str, conditions: Conditions = NO_CONDITIONS) -> None:
    """Remove a container with all in it, at once for readers."""
    with locked(store.folder, name, ""):
        found = get(store, name)
        conditions.check(found.etag, found.modified)
        leases.check_write(lease_of(store, name), conditions.lease_id, store.clock(), "Container")
        away = staging.new_name()
        with disk_errors(store.where(name)):
            (store.folder / ".staging").mkdir(mode=FOLDER_MODE, exist_ok=True)
            os.rename(f"{store.folder}/{name}", f"{store.folder}/.staging/{away}")
            forget(store.folder, name)
            beside = open_path(store.folder / ".staging")
            try:
                staging.remove(away, beside)
            finally:
                os.close(beside)


def lease_of(store: BlobStore, name: str) -> Lease | None:
    """The container's lease, in whatever state."""
    return LeaseFiles(store.folder, name).read("")


def lease(
    store: BlobStore, name: str, step: Callable[[Lease | None], Lease | None], conditions: Conditions
) -> Container:
    """Take the container's lease from one state to the next."""
    with locked(store.folder, name, ""):
        found = get(store, name)
        conditions.check(found.etag, found.modified)
        files = LeaseFiles(store.folder, name)
        with disk_errors(store.where(name)):
            files.write("", step(files.read("")))
    return found


def forget(account: Path, name: str, *, only_records: bool = False) -> None:
    """Drop what is known of a container that is no more: properties, leases, uncommitted blocks."""
    Records(account, name).remove_all()
    for kind in (".properties",) if only_records else (".properties", ".blocks"):
        folder = account / kind / name
        away = account / ".staging" / staging.new_name()
        with contextlib.suppress(FileNotFoundError):
            folder.rename(away)
            beside = open_path(account / ".staging")
            try:
                staging.remove(away.name, beside)
            finally:
                os.close(beside)


def _file(account: Path, name: str) -> Path:
    return account / ".properties" / name / "container"


def _read(account: Path, name: str) -> Container | None:
    try:
        raw = json.loads(_file(account, name).read_text(encoding="utf-8"))
        raw["policies"] = tuple(tuple(each) for each in raw["policies"])
        return Container(**raw)
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _write(account: Path, container: Container) -> None:
    file = _file(account, container.name)
    file.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    beside = file.with_name(f"container.{staging.new_name()}")
    beside.write_text(json.dumps(asdict(container), ensure_ascii=False), encoding="utf-8")
    beside.chmod(0o600)
    beside.replace(file)
