"""What the azure_batch backend keeps on this machine: a few small files below ACCOUNT/POOL/remote."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kyanite.batch.files import written_file
from kyanite.batch.pools import Key, Launch


class Records:
    """The connection of each pool, and for each attempt what it was; several processes may read and write."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def workspace(self) -> str:
        """A name of this workspace that no other one has: two may use one far account."""
        found = _read(self._root / "remote-name.json")
        if found is None:
            found = {"name": uuid.uuid4().hex[:12]}
            _write(self._root, "remote-name.json", found)
        return str(found["name"])

    def connect(self, account: str, pool: str, connection: Mapping[str, str]) -> None:
        """Keep the endpoint and account that a pool is at."""
        _write(self._folder(account, pool), "remote.json", connection)

    def connection(self, account: str, pool: str) -> dict[str, str] | None:
        """The endpoint and account of a pool; None before `connect`."""
        return _read(self._folder(account, pool) / "remote.json")

    def launched(self, launch: Launch) -> None:
        """Keep what an attempt is, and that it is the last one of its folder."""
        folder = self._folder(launch.key.place.account, launch.key.place.pool)
        _write(folder, f"{launch.key.attempt}.json", {"kind": launch.kind})
        _write(folder, _latest(launch.folder), {"attempt": launch.key.attempt})

    def kind(self, key: Key) -> str:
        """The kind of an attempt; `task` when nothing is kept of it."""
        found = _read(self._folder(key.place.account, key.place.pool) / f"{key.attempt}.json")
        return str(found["kind"]) if found else "task"

    def latest(self, account: str, pool: str, folder: tuple[str, ...]) -> int | None:
        """The last attempt that ran in a folder."""
        found = _read(self._folder(account, pool) / _latest(folder))
        return int(found["attempt"]) if found else None

    def forget(self, key: Key) -> None:
        """Remove what is kept of an attempt."""
        (self._folder(key.place.account, key.place.pool) / f"{key.attempt}.json").unlink(missing_ok=True)

    def _folder(self, account: str, pool: str) -> Path:
        return self._root / account / pool / "remote"


def _latest(folder: tuple[str, ...]) -> str:
    return f"{'-'.join(folder)}.latest"[-200:]


def _write(folder: Path, name: str, content: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with written_file(folder, (name,), 0o600) as out:
        out.write(json.dumps(content).encode())


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None
