"""Appends in place that a kill may cut short: an intent beside the container says what the file was before."""

from __future__ import annotations

import contextlib
import json
import os

from kyanite.storage.properties import Properties, Records, key_of


def intend(records: Records, status: os.stat_result, path: str, size: int) -> str:
    """Note that the file will grow to `size`; the name of the note, to be removed once its new record stands."""
    os.makedirs(records.folder, 0o700, exist_ok=True)
    note = f"{records.folder}/append-{status.st_ino:x}"
    document = {"path": path, "from": status.st_size, "at": status.st_mtime_ns, "to": size}
    with open(f"{note}.new", "w", encoding="utf-8", errors="surrogatepass") as file:
        json.dump(document, file)
    os.replace(f"{note}.new", note)
    return note


def settled(records: Records, status: os.stat_result, path: str) -> tuple[int, int, Properties | None] | None:
    """Size, time and properties before an append that is in progress or was killed; None when there was none."""
    note = _read(records, status, path)
    if note is None:
        return None
    return note["from"], note["at"], records.read(f"{note['at']:x}-{note['from']:x}")


def repair(records: Records, folder: int, name: str, path: str) -> bool:
    """Undo an append that was killed; whether there was one. Only while the name is locked."""
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if records.get(status) is not None:
        return False
    note = _read(records, status, path)
    if note is None:
        return False
    fd = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        os.ftruncate(fd, note["from"])
        os.utime(fd, ns=(note["at"], note["at"]))
    finally:
        os.close(fd)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{records.folder}/append-{status.st_ino:x}")
    return True


def _read(records: Records, status: os.stat_result, path: str) -> dict[str, int] | None:
    try:
        with open(f"{records.folder}/append-{status.st_ino:x}", encoding="utf-8") as file:
            note = json.load(file)
    except FileNotFoundError:
        return None
    except ValueError:
        return None
    same = note["path"] == path and note["from"] <= status.st_size <= note["to"]
    return note if same and key_of(status) != f"{note['at']:x}-{note['from']:x}" else None
