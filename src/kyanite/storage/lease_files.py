"""Where leases are kept: one small file for each name that is leased, beside the containers."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from datetime import datetime
from pathlib import Path

from kyanite.storage.leases import Lease


class LeaseFiles:
    """The leases of one container: of its blobs and folders by path, its own under the empty path."""

    def __init__(self, account: Path, container: str) -> None:
        self._folder = f"{account}/.properties/{container}/leases"

    def read(self, path: str) -> Lease | None:
        """The lease of a name, in whatever state, or None."""
        if not os.access(self._folder, os.F_OK):  # most containers never had one
            return None
        try:
            with open(self._file(path), "rb") as file:
                raw = json.loads(file.read())
            return Lease(raw["id"], raw["seconds"], _time(raw["expires"]), _time(raw["breaks_at"]))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):  # half of it was written when the power failed
            return None

    def write(self, path: str, lease: Lease | None) -> None:
        """Keep a lease, or forget it."""
        target = self._file(path)
        if lease is None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(target)
            return
        os.makedirs(self._folder, 0o700, exist_ok=True)
        document = {
            "path": path,
            "id": lease.id,
            "seconds": lease.seconds,
            "expires": lease.expires and lease.expires.isoformat(),
            "breaks_at": lease.breaks_at and lease.breaks_at.isoformat(),
        }
        beside = f"{target}.{os.getpid():x}"
        with open(beside, "w", encoding="utf-8", errors="surrogatepass") as file:
            json.dump(document, file)
        os.replace(beside, target)

    def any(self) -> bool:
        """Whether anything in the container has or had a lease."""
        try:
            return bool(os.listdir(self._folder))
        except FileNotFoundError:
            return False

    def below(self, folder: str) -> list[str]:
        """Names with a lease in a folder, at any depth."""
        found = []
        for file in Path(self._folder).glob("*"):
            with contextlib.suppress(OSError, ValueError, KeyError):
                path = json.loads(file.read_text(encoding="utf-8"))["path"]
                if path.startswith(f"{folder}/" if folder else ""):
                    found.append(path)
        return found

    def _file(self, path: str) -> str:
        name = hashlib.sha256(path.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        return f"{self._folder}/{name}"


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
