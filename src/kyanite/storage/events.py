"""Storage events: blobs that came or went are noted in a folder beside the containers while somebody listens.

A note is written as an intent before the change and confirmed after it, so a killed process loses no event: the reader
settles an intent that nobody confirmed by looking at the blob. Delivery is at least once. Like the service, an account
with a hierarchical namespace tells nothing of the files in a folder that is renamed or deleted as a whole.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from kyanite.limits import EVENT_UNSETTLED_SECONDS

CREATED = "created"
DELETED = "deleted"
_FOLDER = ".events"
_INTENT, _EVENT = ".intent", ".event"
_CLOCK_STEP_NS = 20_000_000  # file systems stamp with a clock that moves in steps of up to 10 ms


@dataclass(frozen=True, slots=True)
class Note:
    """Blobs of one container that changed together; `name` tells notes of all time apart, in order of their time."""

    name: str
    kind: str
    container: str
    paths: tuple[str, ...]
    at: datetime
    since_ns: int


def listen(account: Path) -> None:
    """Begin to note events of the account in this folder; twice is fine."""
    (account / _FOLDER).mkdir(mode=0o700, exist_ok=True)


def is_listening(account: Path | str) -> bool:
    """Whether events are noted."""
    return os.access(f"{account}/{_FOLDER}", os.F_OK)


def stop_listening(account: Path) -> None:
    """Note nothing any more and drop what was noted."""
    shutil.rmtree(account / _FOLDER, ignore_errors=True)


@contextlib.contextmanager
def announced(
    account: Path, kind: str, container: str, paths: Sequence[str], *, since_ns: int | None = None
) -> Iterator[None]:
    """Around the step that makes blobs appear or vanish; OSError, before the step, when the note cannot be written.

    `since_ns` is when the first of the blobs was begun, if the step does not touch each of them.
    """
    if not is_listening(account):
        yield
        return
    folder = account / _FOLDER
    now = time.time_ns()
    intent = folder / f"{now:020}-{secrets.token_hex(4)}{_INTENT}"
    note = {"kind": kind, "container": container, "paths": list(paths), "since": since_ns or now}
    text = json.dumps(note)
    with contextlib.suppress(FileNotFoundError):  # nobody listens any more
        intent.write_text(text, encoding="utf-8")
    try:
        yield
    except BaseException:
        intent.unlink(missing_ok=True)
        raise
    with contextlib.suppress(FileNotFoundError):
        _confirm(intent, text)


def _confirm(intent: Path, text: str) -> None:
    event = intent.with_suffix(_EVENT)
    try:
        intent.rename(event)
    except FileNotFoundError:  # the reader lost patience with a very slow disk: say it anew
        beside = intent.with_suffix(".late")
        beside.write_text(text, encoding="utf-8")
        beside.rename(event)


def noted(account: Path, *, unsettled_seconds: float = EVENT_UNSETTLED_SECONDS) -> list[Note]:
    """The events that nobody has forgotten yet, oldest first; intents of killed processes are settled on the way."""
    folder = account / _FOLDER
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    found = []
    for name in names:
        file = folder / name
        if file.suffix == _EVENT:
            found.append(_read(file))
        elif time.time_ns() - int(name.partition("-")[0]) > unsettled_seconds * 1e9:
            found.append(_settle(account, file))
    return [note for note in found if note is not None]


def forget(account: Path, note: Note) -> None:
    """The event has been dealt with."""
    (account / _FOLDER / f"{note.name}{_EVENT}").unlink(missing_ok=True)


def _read(file: Path) -> Note | None:
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
        stamp = int(file.name.partition("-")[0])
        at = datetime.fromtimestamp(stamp / 1e9, UTC)
        return Note(file.stem, raw["kind"], raw["container"], tuple(raw["paths"]), at, raw["since"])
    except FileNotFoundError:  # another reader was quicker
        return None
    except (ValueError, KeyError, TypeError):  # the process was killed while it wrote the intent: nothing happened yet
        file.unlink(missing_ok=True)
        return None


def _settle(account: Path, intent: Path) -> Note | None:
    """What became of an intent that was never confirmed: an event when the blobs look so, else nothing."""
    note = _read(intent)
    if note is None:
        return None
    since = note.since_ns - _CLOCK_STEP_NS
    happened = tuple(path for path in note.paths if _happened(account / note.container / path, note.kind, since))
    if not happened:
        intent.unlink(missing_ok=True)
        return None
    with contextlib.suppress(FileNotFoundError):
        intent.rename(intent.with_suffix(_EVENT))
    return replace(note, paths=happened)


def _happened(path: Path, kind: str, since_ns: int) -> bool:
    """A rename into place stamps the change time of the file, so an older one was there before."""
    try:
        changed = path.lstat().st_ctime_ns
    except (FileNotFoundError, NotADirectoryError):
        return kind == DELETED
    return kind == CREATED and changed >= since_ns
