"""Pool backends: what provides a pool's nodes and runs attempts on them. A kind is one file here and one line below.

The contract, for every backend (tests/contract/backend_contract.py holds it):

- An attempt's number is its identity for ever. `launch` twice, by whichever processes, runs it at most once; after
  `fence` said True it never runs. A result is never lost: `poll` tells it to any process, however often.
- `lost` is said only when nothing of the attempt runs any more.
- `launch`, `stop` and `poll` answer at once; slow work goes on behind them and comes as a report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from kyanite.batch.files import FileEntry, OpenFile
from kyanite.batch.model import TASK_ENDED, AttemptEnd, Exited
from kyanite.batch.specs import FailureInfo, PoolSpec, ResourceFile
from kyanite.errors import UnsupportedError

BACKENDS = {
    "azure_batch": "kyanite.batch.pools.azure_batch:RemoteNodes",
    "local": "kyanite.batch.pools.local:LocalNodes",
}


@dataclass(frozen=True)
class Place:
    """A node; the names as they are spelled."""

    account: str
    pool: str
    node: str


@dataclass(frozen=True)
class Key:
    """An attempt: where it was given to, and its number, unique in the workspace."""

    place: Place
    attempt: int


@dataclass(frozen=True)
class ProcessLimits:
    """What a command may use: bytes of address space, processes of its user, bytes of one file; None is no limit."""

    memory: int | None = None
    processes: int | None = None
    file_size: int | None = None


@dataclass(frozen=True)
class Launch:
    """What one attempt runs. `folder` are the steps of its directory below the node's root; times are seconds.

    `environment` holds the job's and the task's settings; the backend adds the node's before and AZ_BATCH_* after them.
    `job_id` and `task_id` are None for a start task. `packages` are (variable, zip file) of application packages,
    `preparation` the steps of the job's preparation folder, `token` the AZ_BATCH_AUTHENTICATION_TOKEN. A backend whose
    node folders are not on this machine uploads the `output_files` (wire documents) itself.
    """

    key: Key
    kind: str
    folder: tuple[str, ...]
    command_line: str = field(repr=False)
    account_url: str
    job_id: str | None = None
    task_id: str | None = None
    resource_files: tuple[ResourceFile, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    wall_clock: float | None = None
    grace: float = 15.0
    limits: ProcessLimits = ProcessLimits()
    packages: tuple[tuple[str, Path], ...] = ()
    slots: int = 1
    output_files: tuple[Mapping[str, Any], ...] = ()
    dedicated: bool = True
    preparation: tuple[str, ...] | None = None
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Seen:
    """What is known of an attempt: unclaimed, running, fenced, lost, or ended with its record.

    `ending`: exitCode (None when no process ran), startTime, endTime, reason, failure in the wire shape or None.
    """

    status: str
    ending: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Report:
    """News of an attempt: its end, or None when it must be polled."""

    attempt: int
    end: AttemptEnd | None


def read_ending(ending: Mapping[str, Any]) -> Exited:
    """The end of an attempt from its record."""
    failure = FailureInfo.from_json(ending["failure"]) if ending.get("failure") else None
    if ending.get("reason") == "stopped":
        failure = TASK_ENDED
    started, ended = (datetime.fromisoformat(ending[name]) for name in ("startTime", "endTime"))
    return Exited(ending["exitCode"], started, ended, failure)


@dataclass(frozen=True)
class Health:
    """A node's process: `wanted` is a state the node must take (unknown, unusable) or None when all is well."""

    alive: bool
    heard_seconds: float | None = None
    wanted: str | None = None
    reason: str = ""


@dataclass(frozen=True)
class Room:
    """What a backend works with: `root` is the workspace's batch folder, `home` the workspace.

    `open_url` opens a file or container by address, `auto_storage` gives the address of an account's own storage.
    """

    root: Path
    home: Path
    open_url: Callable[[str], tuple[Any, str]]
    auto_storage: Callable[[str], str | None] = lambda _account: None


class NodeFiles(Protocol):
    """The files of a node; a path is its steps below the node's root, links are never followed."""

    def list(self, parts: Sequence[str], recursive: bool) -> list[FileEntry]:
        """What is in a folder, names relative to it."""

    def read(self, parts: Sequence[str], offset: int, length: int | None) -> bytes:
        """Bytes of a file; BatchError FileNotFound."""

    def open(self, parts: Sequence[str]) -> OpenFile:
        """A file or folder, held open; BatchError FileNotFound."""

    def remove(self, parts: Sequence[str]) -> None:
        """Remove a file or a folder with all below it, if it is there."""

    def delete(self, parts: Sequence[str], recursive: bool) -> None:
        """Delete a file or folder; BatchError FileNotFound, or when a folder is not empty and `recursive` is false."""


class PoolBackend(Protocol):
    """Nodes and what runs on them. Any thread may call; several processes may have one on the same pools."""

    def ensure_pool(self, account: str, spec: PoolSpec) -> None:
        """Make the pool there, or give it its new properties; called before its nodes are used."""

    def delete_pool(self, account: str, pool: str) -> None:
        """Remove the pool; it has no nodes any more."""

    def stamp(self, account: str, pool: str) -> str | None:
        """Which build of the pool's environment is in place; None when there is none that fits."""

    def prepare(self, account: str, pool: str, say: Callable[[str], None]) -> str:
        """Put the pool's environment in place; the new stamp. May take long."""

    def ready_node(self, place: Place) -> None:
        """Make the node able to run attempts (folders, its process); nothing when it is."""

    def restart_node(self, place: Place, clean: bool) -> None:
        """End everything that runs on the node and start it anew; `clean` removes its files (reimage)."""

    def revive_node(self, place: Place) -> None:
        """Bring a node back whose health was `unknown`; nothing when another process has done so already."""

    def remove_node(self, place: Place) -> None:
        """End the node and remove its files."""

    def health(self, place: Place) -> Health:
        """How the node is. A node that ended because nobody needed it is well: `ready_node` brings it back."""

    def launch(self, launch: Launch) -> None:
        """Begin an attempt: files in place, then the command, once. What goes wrong comes as a report or by `poll`."""

    def poll(self, keys: Iterable[Key]) -> dict[int, Seen]:
        """What is known of many attempts, by number."""

    def fence(self, key: Key) -> bool:
        """Make sure that an attempt never begins; False when it has, or when its end is known."""

    def stop(self, key: Key, grace: float) -> None:
        """End a running attempt: politely, after `grace` seconds by force. Its end comes like any other."""

    def forget(self, key: Key) -> None:
        """Remove what was kept about an attempt whose task is gone."""

    def listen(self, on_news: Callable[[], None]) -> None:
        """Call back, in a thread of the backend's, when there are reports. A backend without news never calls."""

    def wake(self) -> None:
        """Call `on_news` soon, when the backend has a thread for it."""

    def reports(self) -> list[Report]:
        """The reports since the last call."""

    def files(self, place: Place) -> NodeFiles:
        """The files of a node."""

    def node_folder(self, account: str, pool: str, node: str) -> Path | None:
        """The node's root folder when it is on this machine."""

    def close(self) -> None:
        """Let go; what runs goes on."""


def open_backend(name: str, room: Room) -> PoolBackend:
    """The backend of that name; UnsupportedError names those that exist."""
    target = BACKENDS.get(name)
    if target is None:
        raise UnsupportedError(f"There is no pool backend '{name}'.", cure=f"Supported: {', '.join(sorted(BACKENDS))}.")
    module, _, attribute = target.partition(":")
    return cast(PoolBackend, getattr(import_module(module), attribute)(room))
