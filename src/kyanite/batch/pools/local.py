"""Nodes on this machine: a node is a folder and one agent process, an attempt is a folder with its claim and result.

ATTEMPT_FOLDER = NODE/volatile/attempts/N holds `claim` (who has it), `stop` (end it) and `exit.json` (how it ended).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from kyanite import limits
from kyanite.batch import commands, node_agent, processes, python_env
from kyanite.batch.command_line import parse_command_line
from kyanite.batch.environment import batch_environment, node_environment
from kyanite.batch.files import (
    FileEntry,
    OpenFile,
    delete_path,
    list_folder,
    open_file,
    opened_folder,
    read_range,
    remove_folder,
)
from kyanite.batch.model import Exited, Fenced
from kyanite.batch.node_link import NodeLinks, end_agent, kill_agent
from kyanite.batch.packages import unpack
from kyanite.batch.pools import Health, Key, Launch, Place, Report, Room, Seen, read_ending
from kyanite.batch.specs import FailureInfo, PoolSpec
from kyanite.batch.staging import StagingError, stage
from kyanite.errors import BatchError, StateError

_LOOK_AGAIN_SECONDS = 0.01
SILENT_SECONDS = 5.0  # a told agent that has not ended by then is killed
NODE_FOLDERS = ("applications", "certs", "fsmounts", "shared", "startup", "volatile", "workitems")


class LocalFiles:
    """The files below a node's root."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def list(self, parts: Sequence[str], recursive: bool) -> list[FileEntry]:
        """What is in a folder, names relative to it."""
        return list_folder(self.root, parts, recursive)

    def read(self, parts: Sequence[str], offset: int, length: int | None) -> bytes:
        """Bytes of a file; BatchError FileNotFound."""
        return read_range(self.root, parts, offset, length)

    def open(self, parts: Sequence[str]) -> OpenFile:
        """A file or folder, held open; BatchError FileNotFound."""
        return open_file(self.root, parts)

    def remove(self, parts: Sequence[str]) -> None:
        """Remove a file or a folder with all below it, if it is there."""
        if self.root.is_dir():
            remove_folder(self.root, tuple(parts))

    def delete(self, parts: Sequence[str], recursive: bool) -> None:
        """Delete a file or folder, a folder that is not empty only when `recursive`; BatchError FileNotFound."""
        delete_path(self.root, parts, recursive)


class LocalNodes:
    """The local backend: `room.root` holds ACCOUNT/POOL/{env,nodes/NODE}."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._root = room.root.absolute()
        self._home = room.home.absolute()
        self._reports: deque[Report] = deque()
        self._on_news: Callable[[], None] = lambda: None
        self._launched: dict[Path, dict[Path, int]] = {}  # node's folder -> attempts given to it here
        self._environments: dict[tuple[str, str], dict[str, str]] = {}
        self._stamps: dict[tuple[str, str], tuple[tuple[int, int], str | None]] = {}
        self._markers: dict[tuple[str, str], Path] = {}
        self._places: dict[Place, tuple[Path, Path]] = {}
        self._lock = threading.Lock()
        self._links = NodeLinks(self._heard, lambda: self._on_news())
        self._slow: ThreadPoolExecutor | None = None
        self._closed = False

    # ---- pools and nodes

    def ensure_pool(self, account: str, spec: PoolSpec) -> None:
        """Nothing to do: folders are made with the first node."""

    def delete_pool(self, account: str, pool: str) -> None:
        """Remove the pool's folder with its environment."""
        folder = self._root / account / pool
        if folder.exists():
            shutil.rmtree(folder)

    def stamp(self, account: str, pool: str) -> str | None:
        """Which build of the pool's Python environment is in place; None when there is none that fits."""
        key = (account, pool)
        marker = self._markers.get(key)
        if marker is None:
            marker = self._markers[key] = self._environment_folder(account, pool) / python_env.MARKER
        try:
            status = marker.stat()
        except OSError:
            return None
        version = (status.st_mtime_ns, status.st_ino)
        kept = self._stamps.get(key)
        if kept is None or kept[0] != version:
            kept = self._stamps[key] = (version, python_env.current_stamp(marker.parent))
        return kept[1]

    def prepare(self, account: str, pool: str, say: Callable[[str], None]) -> str:
        """Make the pool's Python environment unless it is there."""
        return python_env.ensure(self._environment_folder(account, pool), say)

    def node_folder(self, account: str, pool: str, node: str) -> Path:
        """The root folder of a node (AZ_BATCH_NODE_ROOT_DIR)."""
        return self._node(Place(account, pool, node))

    def ready_node(self, place: Place) -> None:
        """Make the node's folders and start its agent."""
        self._make_folders(place)
        if not self._links.attach(self._agent_folder(place), start=True):
            raise StateError("The node's agent cannot be reached.", where=place.node)

    def restart_node(self, place: Place, clean: bool) -> None:
        """End everything on the node, with `clean` remove its files, and start its agent anew."""
        end_agent(self._agent_folder(place), SILENT_SECONDS)
        self._links.forget(self._agent_folder(place))
        root = self._node(place)
        if clean and root.exists():
            # results that nobody has read yet stay: they tell how the attempts ended
            for name in (*NODE_FOLDERS, *(entry.name for entry in root.iterdir())):
                if name != "volatile":
                    remove_folder(root, (name,))
        self.ready_node(place)

    def revive_node(self, place: Place) -> None:
        """Give the node a new agent in the place of a dead or silent one; one that another process made stays."""
        end = time.monotonic() + SILENT_SECONDS
        while self.health(place).wanted == "unknown" and time.monotonic() < end:
            kill_agent(self._agent_folder(place), lambda: self.health(place).wanted == "unknown")
            self._links.forget(self._agent_folder(place))
            self.ready_node(place)  # a dying agent may still take the connection: look again
            time.sleep(_LOOK_AGAIN_SECONDS)

    def remove_node(self, place: Place) -> None:
        """End the node's agent and remove the node's folder."""
        end_agent(self._agent_folder(place), SILENT_SECONDS)
        self._links.forget(self._agent_folder(place))
        root = self._node(place)
        if root.exists():
            shutil.rmtree(root, ignore_errors=True)  # an agent that just ended may still take its socket away
            if root.exists():
                shutil.rmtree(root)

    def health(self, place: Place) -> Health:
        """`unknown`: the agent died or was not heard of for limits.NODE_LOST_SECONDS; `unusable`: the disk is full."""
        folder = self._agent_folder(place)
        who = processes.read_small_json(str(folder / "agent.json"))
        try:
            free = shutil.disk_usage(self._root).free
        except OSError:
            free = 0
        if free < limits.NODE_DISK_RESERVED_BYTES:
            reason = f"{free:,} bytes are free, {limits.NODE_DISK_RESERVED_BYTES:,} must be."
            return Health(who is not None, None, "unusable", reason)
        if who is None:
            return Health(False)
        if not processes.is_alive(who):
            return Health(False, None, "unknown", "The node's agent was killed.")
        try:
            heard = max(0.0, time.time() - (folder / "heartbeat").stat().st_mtime)
        except FileNotFoundError:
            return Health(False)
        if heard > limits.NODE_LOST_SECONDS:
            return Health(True, heard, "unknown", f"The node's agent was last heard of {heard:.0f} s ago.")
        return Health(True, heard)

    # ---- attempts

    def launch(self, launch: Launch) -> None:
        """Stage the files, then give the attempt to the node's agent; at once when that is quick."""
        quick = not launch.resource_files and not launch.packages
        if quick and self._links.connected(self._agent_folder(launch.key.place)):
            self._begin(launch)
            return
        with self._lock:
            if self._slow is None:
                self._slow = ThreadPoolExecutor(limits.STAGING_AT_ONCE, "staging")
        self._slow.submit(self._begin_aside, launch)

    def _begin_aside(self, launch: Launch) -> None:
        if not self._closed:
            self._begin(launch)
            self._on_news()

    def _begin(self, launch: Launch) -> None:
        key = launch.key
        try:
            spec = self._stage(launch)
            folder = self._agent_folder(key.place)
            attempt = self.attempt_folder(key)
            with self._lock:
                self._launched.setdefault(folder, {})[attempt] = key.attempt
            spec["environment"][node_agent.MARK] = str(attempt)
            if not self._links.tell(folder, {"do": "launch", "folder": str(attempt), "spec": spec}, start=True):
                self._reports.append(Report(key.attempt, Fenced() if self.fence(key) else None))
        except StagingError as error:
            self._reports.append(Report(key.attempt, Exited(None, None, None, error.failure)))
        except (BatchError, StateError, OSError, ValueError) as error:
            message = error.message if isinstance(error, BatchError | StateError) else str(error)
            failure = FailureInfo("ServerError", "CommandLaunchFailed", message)
            self._reports.append(Report(key.attempt, Exited(None, None, None, failure)))

    def _stage(self, launch: Launch) -> dict[str, Any]:
        """Folders and files in place; the order for the agent."""
        place = launch.key.place
        root = self._node(place)
        if not self._links.connected(self._agent_folder(place)):
            self._make_folders(place)
        with opened_folder(root, (*launch.folder, "wd"), create=True):
            stage(root, (*launch.folder, "wd"), launch.resource_files, self._room, place.account)
        folder = root.joinpath(*launch.folder)
        system = batch_environment(launch, root, folder)
        system.update(unpack(root / "applications", launch.packages))
        environment = {**self._environment(place), **launch.environment, **system}
        return {
            "argv": list(parse_command_line(launch.command_line)),
            "environment": environment,
            "taskFolder": str(folder),
            "workingFolder": str(folder / "wd"),
            "wallClock": launch.wall_clock,
            "grace": launch.grace,
            "memory": launch.limits.memory,
            "processes": launch.limits.processes,
            "fileSize": launch.limits.file_size,
        }

    def poll(self, keys: Iterable[Key]) -> dict[int, Seen]:
        """Look at attempts; what a dead agent left behind is ended before `lost` is said."""
        return {key.attempt: self._inspect(key) for key in keys}

    def _inspect(self, key: Key) -> Seen:
        folder = self.attempt_folder(key)
        ending = processes.read_small_json(str(folder / "exit.json"))
        if ending is not None:
            return Seen("ended", ending)
        if not (folder / "claim").exists():
            return Seen("unclaimed")
        owner = processes.read_small_json(str(folder / "claim"))
        if owner is not None and owner["role"] == "fence":
            return Seen("fenced")
        if owner is not None and processes.is_alive(owner):
            self._links.attach(self._agent_folder(key.place), start=False)  # its news shall come here
            return Seen("running")
        ending = processes.read_small_json(str(folder / "exit.json"))  # it may have been written while we looked
        if ending is not None:
            return Seen("ended", ending)
        _end_leftovers(f"{node_agent.MARK}={folder}")
        return Seen("lost")

    def fence(self, key: Key) -> bool:
        """Take the attempt so that no agent ever can; False when one was first."""
        folder = self.attempt_folder(key)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if processes.take_claim(str(folder), processes.identity("fence")):
            return True
        owner = processes.read_small_json(str(folder / "claim"))
        return owner is not None and owner["role"] == "fence"

    def stop(self, key: Key, grace: float) -> None:
        """A file that the agent looks for before it starts the command, and a message so that it acts now."""
        folder = self.attempt_folder(key)
        with contextlib.suppress(FileExistsError):
            (folder / "stop").touch(mode=0o600, exist_ok=False)
        message = {"do": "stop", "folder": str(folder), "grace": grace}
        self._links.tell(self._agent_folder(key.place), message, start=False)

    def forget(self, key: Key) -> None:
        """Remove the attempt's folder."""
        if self._node(key.place).is_dir():
            remove_folder(self._node(key.place), ("volatile", "attempts", str(key.attempt)))

    # ---- news

    def listen(self, on_news: Callable[[], None]) -> None:
        """Call back, in the thread that hears the agents, when there are reports."""
        self._on_news = on_news

    def wake(self) -> None:
        """Call `on_news` soon, if a node is connected."""
        self._links.wake()

    def reports(self) -> list[Report]:
        """The reports since the last call."""
        found = []
        while self._reports:
            found.append(self._reports.popleft())
        return found

    def _heard(self, folder: Path, message: Mapping[str, Any] | None) -> None:
        if message is None:  # the agent is gone: whatever was given to it must be looked at
            with self._lock:
                given = self._launched.pop(folder, {})
            self._reports.extend(Report(attempt, None) for attempt in given.values())
            return
        name = message.get("ended") or message.get("refused")
        if name is None:
            return
        attempt = Path(name)
        with self._lock:
            self._launched.get(folder, {}).pop(attempt, None)
        end = read_ending(message["ending"]) if "ending" in message else None
        self._reports.append(Report(int(attempt.name), end))

    # ---- places

    def files(self, place: Place) -> LocalFiles:
        """The files below the node's root."""
        return LocalFiles(self._node(place))

    def attempt_folder(self, key: Key) -> Path:
        """The private folder of an attempt."""
        return self._agent_folder(key.place) / f"attempts/{key.attempt}"

    def close(self) -> None:
        """Drop the connections; nodes and what runs on them go on."""
        self._closed = True
        if self._slow is not None:
            self._slow.shutdown(wait=True, cancel_futures=True)
        self._links.close()

    def _node(self, place: Place) -> Path:
        return self._folders(place)[0]

    def _agent_folder(self, place: Place) -> Path:
        return self._folders(place)[1]

    def _folders(self, place: Place) -> tuple[Path, Path]:
        """The node's root and its agent's folder; asked for many times in each turn."""
        found = self._places.get(place)
        if found is None:
            root = self._root / place.account / place.pool / "nodes" / place.node
            found = self._places[place] = (root, root / "volatile")
        return found

    def _make_folders(self, place: Place) -> None:
        root = self._node(place)
        for name in NODE_FOLDERS:
            (root / name).mkdir(parents=True, exist_ok=True, mode=0o700)

    def _environment_folder(self, account: str, pool: str) -> Path:
        return self._root / account / pool / "env"

    def _environment(self, place: Place) -> dict[str, str]:
        """The node's part of a task's environment: allowed host variables, the pool's Python first on PATH."""
        key = (place.account, place.pool)
        if key not in self._environments:
            self._environments[key] = node_environment(os.environ, self._environment_folder(*key), self._home)
        return self._environments[key]


def _end_leftovers(mark: str) -> None:
    """Kill every process that carries the attempt's mark in its environment: its agent is dead."""
    if processes.LINUX:
        commands.end_marked([mark.encode()])
        return
    import psutil

    name, _, value = mark.partition("=")
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(name) == value:
                process.kill()
