"""The workspace's factories for a process that serves many calls: each is read once, and again when a file changes."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from kyanite.definitions.model import ARM_SEGMENTS, Factory, Resource, make_resource
from kyanite.definitions.names import suggestion
from kyanite.definitions.save import folder_files
from kyanite.engine.events import utc_text
from kyanite.errors import ConflictError, NotFoundError
from kyanite.runtime.clock import utc_now
from kyanite.runtime.factory_folder import factories_to_itself, read_factory, write_changes
from kyanite.runtime.secret_values import factory_secrets
from kyanite.runtime.workspace import Workspace

Json = Any
Fingerprint = tuple[tuple[str, int, int, int], ...]

_KIND_FOLDERS = frozenset(kind.lower() for kind in (*ARM_SEGMENTS, "factory"))
_LOOK_SHARE = 20  # looking at the files takes at most a twentieth of the time


@dataclass
class LiveFactory:
    """A factory as its files say now. `remembered` is for what callers derive from exactly these definitions."""

    factory: Factory
    folder: Path
    created_at: str
    fingerprint: Fingerprint
    key: bytes = field(repr=False)
    look_again: float = 0.0
    remembered: dict[str, Any] = field(default_factory=dict)

    def etag(self, resource: Resource | None = None) -> str:
        """A text that changes with the document of a resource (None: the factory's own), and tells nothing of it."""
        name = f"etag/{resource.kind}/{resource.name.casefold()}" if resource is not None else "etag"
        if name not in self.remembered:
            document = resource.document if resource is not None else self.factory.document
            text = json.dumps([name, document], sort_keys=True)
            digest = hmac.new(self.key, text.encode(), hashlib.sha256).hexdigest()
            self.remembered[name] = f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}"
        etag: str = self.remembered[name]
        return etag


class FactoryShelf:
    """Gives and changes the factories of a workspace; any thread may use it."""

    def __init__(self, workspace: Workspace, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._workspace = workspace
        self._clock = clock
        self._lock = threading.RLock()
        self._live: dict[str, LiveFactory] = {}
        self._key = b""

    def names(self) -> list[str]:
        """The names of the factories."""
        return self._workspace.factories()

    def get(self, name: str) -> LiveFactory:
        """A factory by its name in any case; NotFoundError with near names."""
        live = self._live.get(name.casefold())
        if live is not None and time.monotonic() < live.look_again:
            return live
        with self._lock:
            return self._look(name)

    def create(self, name: str, document: Mapping[str, Json]) -> LiveFactory:
        """A new factory with nothing but its own document; ConflictError when there is one."""
        with self._lock, factories_to_itself(self._workspace) as root:
            if name.casefold() in {known.casefold() for known in self.names()}:
                raise ConflictError(f"The factory '{name}' exists already.")
            empty = Factory(name, (), {})
            folder = root / name
            folder.mkdir(mode=0o700)
            write_changes(folder, self._workspace.vault, empty, Factory(name, (), document))
            return self._look(name)

    def change(self, name: str, edit: Callable[[LiveFactory], Factory]) -> LiveFactory:
        """Let `edit` make the new factory of the one that is there, and write what differs; nobody else meanwhile."""
        with self._lock, factories_to_itself(self._workspace):
            before = self._look(name, sure=True)
            after = edit(before)
            if after is before.factory:
                return before
            known = set(map(id, before.factory.resources))
            changed = Factory(after.name, tuple(each for each in after.resources if id(each) not in known))
            self._workspace.vault.register(factory_secrets(changed))
            written = write_changes(before.folder, self._workspace.vault, before.factory, after)
            return self._adopted(before, after, written) or self._look(name, sure=True)

    def _adopted(self, before: LiveFactory, after: Factory, written: list[str]) -> LiveFactory | None:
        """What was written, without reading it again; None when somebody else changed another file meanwhile."""
        fingerprint = fingerprint_of(before.folder)
        paths = {str(before.folder / path) for path in written}
        others = tuple(each for each in fingerprint or () if each[0] not in paths)
        if others != tuple(each for each in before.fingerprint if each[0] not in paths) or before.factory.problems:
            return None
        placed = tuple(each if each.file is not None else _placed(after.name, each) for each in after.resources)
        factory = replace(after, resources=placed, file=after.file or (after.place if after.document else None))
        live = LiveFactory(factory, before.folder, before.created_at, fingerprint or (), before.key)
        self._live[factory.name.casefold()] = live
        return live

    def delete(self, name: str) -> None:
        """Forget a factory; the files of one that is linked to a git folder stay."""
        import shutil

        with self._lock, factories_to_itself(self._workspace) as root:
            live = self._look(name, sure=True)
            place = root / live.factory.name
            self._live.pop(name.casefold(), None)
            self._workspace.database.execute("DELETE FROM factories WHERE key = ?", (name.casefold(),))
            if place.is_symlink():
                place.unlink()
                return
            aside = root / f".deleted-{live.factory.name}"
            if aside.exists():
                shutil.rmtree(aside)
            place.rename(aside)
            shutil.rmtree(aside)

    # ---- reading

    def _look(self, name: str, *, sure: bool = False) -> LiveFactory:
        key = name.casefold()
        live = self._live.get(key)
        began = time.monotonic()
        if live is not None and not sure and began < live.look_again:
            return live
        place = self._place(name)
        fingerprint = fingerprint_of(place) if place is not None else None
        if place is None or fingerprint is None:
            self._live.pop(key, None)
            known = self.names()
            raise NotFoundError(
                f"There is no factory '{name}'.", code="FactoryNotFound", cure=suggestion(name, known, "factories")
            )
        if live is None or live.fingerprint != fingerprint or live.folder != place:
            factory = read_factory(self._workspace.vault, place, place.name)
            created = live.created_at if live is not None else self._created_at(key)
            live = LiveFactory(factory, place, created, fingerprint, self._etag_key())
            self._live[key] = live
        took = time.monotonic() - began
        live.look_again = time.monotonic() + took * _LOOK_SHARE
        return live

    def _place(self, name: str) -> Path | None:
        root = self._workspace.home / "factories"
        exact = root / name
        if "/" not in name and name not in ("", ".", "..") and not name.startswith(".") and os.path.isdir(exact):  # noqa: PTH112 - False for names no file can have
            return exact
        spelled = {known.casefold(): known for known in self.names()}.get(name.casefold())
        return root / spelled if spelled is not None else None

    def _created_at(self, key: str) -> str:
        database = self._workspace.database
        rows = database.query("SELECT created_at FROM factories WHERE key = ?", (key,))
        if rows:
            return str(rows[0]["created_at"])
        now = utc_text(self._clock())
        database.execute("INSERT INTO factories (key, created_at) VALUES (?, ?) ON CONFLICT DO NOTHING", (key, now))
        return now

    def _etag_key(self) -> bytes:
        if not self._key:
            self._key = self._workspace.vault.get_or_create("server/etag").encode()
        return self._key


def _placed(factory: str, resource: Resource) -> Resource:
    """The resource with the file that it was written to."""
    (file,) = folder_files(Factory(factory, (resource,)))
    return make_resource(resource.kind, resource.name, resource.document, file)


def fingerprint_of(folder: Path) -> Fingerprint | None:
    """What tells one state of a factory's files from another; None when the folder is gone."""
    found: list[tuple[str, int, int, int]] = []
    try:
        with os.scandir(folder) as entries:
            kinds = [entry.path for entry in entries if entry.name.lower() in _KIND_FOLDERS and entry.is_dir()]
    except OSError:
        return None
    for kind in kinds:
        _scan(kind, found)
    return tuple(sorted(found))


def _scan(folder: str, found: list[tuple[str, int, int, int]]) -> None:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    _scan(entry.path, found)
                elif entry.name.lower().endswith(".json"):
                    status = entry.stat()
                    found.append((entry.path, status.st_mtime_ns, status.st_size, status.st_ino))
    except FileNotFoundError:
        return  # changed just now: the next look tells
