"""Pools at another Batch endpoint (Azure, or another kyanite): the same tasks, by address and key.

Nodes here are only capacity; the far side places tasks on its own. Attempt N is remote task `aN` of one job per pool:
the remote task is the claim. Adding it twice runs it once, and a task of that id that can never start is the fence.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from kyanite import limits
from kyanite.batch import remote_files
from kyanite.batch.model import Exited
from kyanite.batch.pools import Health, Key, Launch, Place, Report, Room, Seen
from kyanite.batch.remote_nodes import RemoteFolder, remote_node
from kyanite.batch.remote_pool import FENCE, connection_of, ending_of, metadata, pool_document, start_task_seen
from kyanite.batch.remote_records import Records
from kyanite.batch.remote_rest import RemoteBatch, Unreachable, segment
from kyanite.batch.specs import FailureInfo, PoolSpec
from kyanite.errors import BatchError, KyaniteError, NotFoundError
from kyanite.secrets import Vault

STAMP = "azure_batch"
_NEVER = "kyanite-never"
_NOT_NOW = ("PoolBeingResized", "OperationInvalidForCurrentState", Unreachable.code)
_MISSING = (
    "FileNotFound",
    "JobBeingDeleted",
    "JobNotFound",
    "NodeNotFound",
    "PoolBeingDeleted",
    "PoolNotFound",
    "TaskFilesCleanedup",
    "TaskFilesUnavailable",
    "TaskNotFound",
)


class RemoteNodes:
    """The azure_batch backend. A pool's metadata name its endpoint; the key is in the vault."""

    # what cannot hold elsewhere, and why
    cannot: Mapping[str, str] = {
        "folder": "files are read through the far side's REST, there is no folder on this machine",
        "grace": "how long a stopped command may take to end is the far side's decision",
        "limits": "memory, process and file size limits are not part of the Batch service",
        "node_lost": "the far side requeues by itself when its node is lost; the attempt then begins anew there",
        "packages": "application packages must be uploaded to the far account",
        "place": "the far side decides on which node a task runs",
        "preparation": "job preparation and release run on a node that we choose",
    }

    def __init__(self, room: Room) -> None:
        self._room = room
        self._records = Records(room.root)
        self._reports: deque[Report] = deque()
        self._on_news: Callable[[], None] = lambda: None
        self._clients: dict[tuple[str, str], RemoteBatch] = {}
        self._endings: dict[int, Seen] = {}
        self._jobs: set[str] = set()
        self._trouble: dict[tuple[str, str], str] = {}
        self._lock = threading.Lock()
        self._watched: dict[int, Key] = {}
        self._watcher: threading.Thread | None = None
        self._slow = ThreadPoolExecutor(limits.REMOTE_LAUNCHES_AT_ONCE, "azure-batch")
        self._closed = threading.Event()

    # ---- pools and nodes

    def ensure_pool(self, account: str, spec: PoolSpec) -> None:
        """Make the pool there, or give the one that we made its start task and its size.

        A pool of that id that was there before stays as its owner made it.
        """
        self._records.connect(account, spec.id, connection_of(spec))
        client, path = self._client(account, spec.id), f"/pools/{segment(spec.id)}"
        document = pool_document(spec, self._records.workspace())
        there = _unless_missing(lambda: client.get(path).json())
        if there is None:
            client.post("/pools", document)
            return
        if not self._is_ours(there):
            return
        if _start_of(document) != _start_of(there):
            client.send("PATCH", path, body={"startTask": document.get("startTask", {})})
        size = {name: document[name] for name in ("targetDedicatedNodes", "targetLowPriorityNodes")}
        if any(there.get(name, 0) != wanted for name, wanted in size.items()):
            self._slow.submit(self._resize, client, path, size)

    def _resize(self, client: RemoteBatch, path: str, size: Mapping[str, int]) -> None:
        """Ask for the size until the far side takes it; it refuses while another resize is under way."""
        until = time.monotonic() + limits.REMOTE_RESIZE_SECONDS
        while not self._closed.is_set() and time.monotonic() < until:
            try:
                client.post(f"{path}/resize", dict(size))
                return
            except BatchError as error:
                if error.error_code not in _NOT_NOW:
                    return  # its size stays; the next change asks again
            self._closed.wait(limits.REMOTE_RESIZE_PAUSE_SECONDS)

    def delete_pool(self, account: str, pool: str) -> None:
        """Remove the pool there when we made it, and our job in it."""
        client, job = self._client(account, pool), self._job(pool)
        _unless_missing(lambda: client.send("DELETE", f"/jobs/{segment(job)}"))
        there = _unless_missing(lambda: client.get(f"/pools/{segment(pool)}").json())
        if there is not None and self._is_ours(there):
            _unless_missing(lambda: client.send("DELETE", f"/pools/{segment(pool)}"))
        self._jobs.discard(job)

    def stamp(self, account: str, pool: str) -> str | None:
        """Always the same once the pool is connected: the far side has environments of its own."""
        return STAMP if self._records.connection(account, pool) is not None else None

    def prepare(self, account: str, pool: str, say: Callable[[str], None]) -> str:
        """Check that the endpoint takes our key and has the pool."""
        client = self._client(account, pool)
        there = client.get(f"/pools/{segment(pool)}").json()
        say(f"pool {pool} at {client.endpoint}: {there.get('allocationState', there.get('state', ''))}")
        return STAMP

    def ready_node(self, place: Place) -> None:
        """Nothing to do: a node here is a place in the far pool."""

    def restart_node(self, place: Place, clean: bool) -> None:
        """Reboot or reimage the far node that stands at this place."""
        client = self._client(place.account, place.pool)
        node = remote_node(client, place)
        if node is not None:
            verb = "reimage" if clean else "reboot"
            client.post(f"/pools/{segment(place.pool)}/nodes/{segment(node['id'])}/{verb}")

    def remove_node(self, place: Place) -> None:
        """Nothing to do: the pool's size there follows its targets."""

    def health(self, place: Place) -> Health:
        """Always well: what befalls a far node is the far side's to mend. `reason`: why nothing is heard of it."""
        return Health(True, reason=self._trouble.get((place.account, place.pool), ""))

    # ---- attempts

    def launch(self, launch: Launch) -> None:
        """Add the remote task, behind the caller's back; while the endpoint does not answer it is tried again."""
        self._records.launched(launch)
        if launch.kind == "start":  # the far pool runs its start task by itself
            self._watch(launch.key)
        else:
            self._slow.submit(self._begin, launch)

    def _begin(self, launch: Launch) -> None:
        pause = limits.REMOTE_FIRST_PAUSE_SECONDS
        while not self._closed.is_set():
            try:
                self._add(launch)
                return self._watch(launch.key)
            except Unreachable:
                self._closed.wait(pause)
                pause = min(pause * 2, limits.REMOTE_WAIT_SECONDS)
            except Exception as error:  # noqa: BLE001 - a defect here must not leave the task waiting for ever
                self._reports.append(Report(launch.key.attempt, Exited(None, None, None, _failure(error))))
                return self._on_news()
        return None

    def _add(self, launch: Launch) -> None:
        for name, wanted in (("preparation", launch.kind != "task"), ("packages", bool(launch.packages))):
            if wanted:
                raise BatchError(f"The backend azure_batch cannot do this: {self.cannot[name]}.")
        place = launch.key.place
        container = self._container(place)
        delivery = remote_files.deliver(launch, self._room, container, self._blobs(launch.key))
        line, environment = remote_files.command(launch, delivery)
        constraints: dict[str, Any] = {"maxTaskRetryCount": 0}
        if launch.wall_clock is not None:
            constraints["maxWallClockTime"] = f"PT{launch.wall_clock:.3f}S"
        document = {
            "id": _task_id(launch.key.attempt),
            "displayName": "/".join(launch.folder)[:1024],
            "commandLine": line,
            "resourceFiles": delivery.resource_files,
            "environmentSettings": remote_files.settings(environment),
            "constraints": constraints,
            "requiredSlots": launch.slots,
        }
        self._add_task(self._client(place.account, place.pool), place.pool, document)

    def _add_task(self, client: RemoteBatch, pool: str, document: dict[str, Any]) -> bool:
        """Add a remote task, with its job when that is missing; False when one of that id is there already."""
        job = self._job(pool)
        for _ in range(2):
            if job not in self._jobs:
                _ensure_job(client, job, pool)
                self._jobs.add(job)
            try:
                client.post(f"/jobs/{segment(job)}/tasks", document)
                return True
            except BatchError as error:
                if error.error_code == "TaskExists":
                    return False
                if error.error_code != "JobNotFound":
                    raise
                self._jobs.discard(job)
        raise BatchError(f"Job '{job}' is removed at the endpoint while tasks are added to it.", code="JobNotFound")

    def _watch(self, key: Key) -> None:
        """Look at an attempt until it has ended, and say so."""
        with self._lock:
            self._watched[key.attempt] = key
            if self._watcher is None:
                self._watcher = threading.Thread(target=self._watch_all, name="azure-batch-watch", daemon=True)
                self._watcher.start()

    def _watch_all(self) -> None:
        while not self._closed.wait(limits.REMOTE_LOOK_SECONDS):
            with self._lock:
                keys = list(self._watched.values())
            over = [attempt for attempt, seen in self.poll(keys).items() if seen.status in ("ended", "fenced")]
            for attempt in over:
                self._watched.pop(attempt, None)
                self._reports.append(Report(attempt, None))
            if over:
                self._on_news()

    def poll(self, keys: Iterable[Key]) -> dict[int, Seen]:
        """One listing of what is unfinished per pool; the others are asked for by name, once when they ended."""
        keys = list(keys)
        seen: dict[int, Seen] = {}
        groups: dict[tuple[str, str], list[Key]] = {}
        for key in keys:
            if key.attempt in self._endings:
                seen[key.attempt] = self._endings[key.attempt]
            else:
                groups.setdefault((key.place.account, key.place.pool), []).append(key)
        for (account, pool), wanted in groups.items():
            try:
                seen |= self._poll_pool(self._client(account, pool), pool, wanted)
                self._trouble.pop((account, pool), None)
            except (BatchError, NotFoundError) as error:  # nothing is known, so nothing may be done
                self._trouble[account, pool] = error.message
                seen |= {key.attempt: Seen("running") for key in wanted}
        for key in keys:
            if seen[key.attempt].status == "running" and key.attempt not in self._watched:
                self._watch(key)  # adopted from a process that is gone
        return seen

    def _poll_pool(self, client: RemoteBatch, pool: str, keys: list[Key]) -> dict[int, Seen]:
        starts = [key for key in keys if self._records.kind(key) == "start"]
        seen = {key.attempt: start_task_seen(remote_node(client, key.place)) for key in starts}
        tasks = [key for key in keys if key.attempt not in seen]
        if not tasks:
            return seen
        path = f"/jobs/{segment(self._job(pool))}/tasks"
        unfinished = {"$filter": "state ne 'completed'", "$select": "id,state,displayName"}
        listed = _unless_missing(lambda: {task["id"]: task for task in client.pages(path, **unfinished)}) or {}
        for key in tasks:
            one = f"{path}/{_task_id(key.attempt)}"
            task = listed.get(_task_id(key.attempt)) or _unless_missing(lambda one=one: client.get(one).json())  # type: ignore[misc]
            seen[key.attempt] = self._seen(client, one, task)
            if seen[key.attempt].status == "ended":
                self._endings[key.attempt] = seen[key.attempt]
        return seen

    def _seen(self, client: RemoteBatch, path: str, task: Mapping[str, Any] | None) -> Seen:
        if task is None:
            return Seen("unclaimed")
        if task.get("displayName") == FENCE:
            return Seen("fenced")
        if task["state"] != "completed":
            return Seen("running")
        mark = f"{path}/files/{segment(f'wd/{remote_files.NO_PROGRAM_MARK}')}"
        shell_failed = (task.get("executionInfo") or {}).get("exitCode") == 127
        return Seen("ended", ending_of(task, no_program=shell_failed and _unless_missing(lambda: client.get(mark))))

    def fence(self, key: Key) -> bool:
        """Add a task of the attempt's id that waits for one that never comes; whoever adds first has the attempt."""
        if self._records.kind(key) == "start":
            return False
        client, name = self._client(key.place.account, key.place.pool), _task_id(key.attempt)
        tombstone = {"id": name, "displayName": FENCE, "commandLine": "/bin/true", "dependsOn": {"taskIds": [_NEVER]}}
        path = f"/jobs/{segment(self._job(key.place.pool))}/tasks/{name}"
        if self._add_task(client, key.place.pool, tombstone):
            _unless_missing(lambda: client.post(f"{path}/terminate"))
            return True
        return bool(client.get(path).json().get("displayName") == FENCE)

    def stop(self, key: Key, grace: float) -> None:
        """Terminate the remote task; a start task there ends by itself."""
        if self._records.kind(key) == "start":
            return
        client, job = self._client(key.place.account, key.place.pool), segment(self._job(key.place.pool))
        _unless_missing(lambda: client.post(f"/jobs/{job}/tasks/{_task_id(key.attempt)}/terminate"), "TaskCompleted")

    def forget(self, key: Key) -> None:
        """Delete the remote task, what was delivered for it, and the record."""
        connected = self._records.connection(key.place.account, key.place.pool) is not None
        if connected and self._records.kind(key) != "start":
            client = self._client(key.place.account, key.place.pool)
            path = f"/jobs/{segment(self._job(key.place.pool))}/tasks/{_task_id(key.attempt)}"
            there = _unless_missing(lambda: client.get(path).json())
            container = self._container(key.place)
            if there is not None and container is not None:
                remote_files.delete_blobs(container, self._blobs(key), there.get("resourceFiles") or ())
            _unless_missing(lambda: client.send("DELETE", path))
        self._records.forget(key)
        self._endings.pop(key.attempt, None)

    # ---- news and files

    def listen(self, on_news: Callable[[], None]) -> None:
        """Called when a launch was refused or an attempt that is watched has ended."""
        self._on_news = on_news

    def wake(self) -> None:
        """Call `on_news` from a thread of ours."""
        if not self._closed.is_set():
            self._slow.submit(self._on_news)

    def reports(self) -> list[Report]:
        """The reports since the last call."""
        found = []
        while self._reports:
            found.append(self._reports.popleft())
        return found

    def files(self, place: Place) -> RemoteFolder:
        """The files there: a task's through its remote task, the others through the node at this place."""

        def task_of(folder: tuple[str, ...]) -> str | None:
            attempt = self._records.latest(place.account, place.pool, folder)
            return None if attempt is None else _task_id(attempt)

        return RemoteFolder(self._client(place.account, place.pool), place, self._job(place.pool), task_of)

    def node_folder(self, account: str, pool: str, node: str) -> Path | None:
        """None: the node is elsewhere."""
        return None

    def close(self) -> None:
        """Let go; what runs there goes on."""
        self._closed.set()
        self._slow.shutdown(wait=True, cancel_futures=True)
        if self._watcher is not None and self._watcher is not threading.current_thread():
            self._watcher.join()
        for client in self._clients.values():
            client.close()

    # ---- names and keys

    def _job(self, pool: str) -> str:
        return f"kyanite-{self._records.workspace()}-{pool}"[:64]

    def _blobs(self, key: Key) -> str:
        return f"{self._records.workspace()}/{key.place.pool}/{_task_id(key.attempt)}"

    def _is_ours(self, there: Mapping[str, Any]) -> bool:
        return metadata(there).get("kyanite.workspace") == self._records.workspace()

    def _client(self, account: str, pool: str) -> RemoteBatch:
        with self._lock:
            if (account, pool) in self._clients:
                return self._clients[account, pool]
            there = self._records.connection(account, pool)
            if there is None:
                raise BatchError(f"Pool '{pool}' was never connected to an endpoint.", code="PoolNotFound")
            key = self._vault().get(key_name(there["account"]))
            if key is None:
                raise NotFoundError(
                    f"The workspace has no key for the Batch account '{there['account']}'.",
                    where=f"pool {pool}",
                    cure="Store it with `kyanite batch account connect`.",
                )
            self._clients[account, pool] = RemoteBatch(there["endpoint"], there["account"], key)
            return self._clients[account, pool]

    def _container(self, place: Place) -> str | None:
        there = self._records.connection(place.account, place.pool)
        return None if there is None else self._vault().get(container_name(there["account"]))

    def _vault(self) -> Vault:
        return Vault(self._room.home / "secrets.json")


def key_name(account: str) -> str:
    """Where the vault keeps the key of a Batch account elsewhere."""
    return f"batch-elsewhere/{account.casefold()}/key"


def container_name(account: str) -> str:
    """Where the vault keeps the SAS address of the container through which files go there."""
    return f"batch-elsewhere/{account.casefold()}/container"


def _task_id(attempt: int) -> str:
    return f"a{attempt}"


def _start_of(document: Mapping[str, Any]) -> tuple[Any, ...]:
    """What makes two start tasks the same one; the service adds defaults to what it was given."""
    start = document.get("startTask") or {}
    files = [(item.get("httpUrl"), item.get("filePath")) for item in start.get("resourceFiles") or ()]
    settings = [(item.get("name"), item.get("value")) for item in start.get("environmentSettings") or ()]
    return start.get("commandLine"), files, settings


def _ensure_job(client: RemoteBatch, job: str, pool: str) -> None:
    try:
        client.post("/jobs", {"id": job, "poolInfo": {"poolId": pool}, "usesTaskDependencies": True})
    except BatchError as error:
        if error.error_code != "JobExists":
            raise


def _failure(error: Exception) -> FailureInfo:
    code = error.error_code if isinstance(error, KyaniteError) else ""
    text = " ".join(filter(None, (error.message, error.cure))) if isinstance(error, KyaniteError) else str(error)
    if code.startswith(("Blob", "Resource", "DiskFull")):
        return FailureInfo("UserError", code, text)
    return FailureInfo("ServerError", "CommandLaunchFailed", text or type(error).__name__)


def _unless_missing(call: Callable[[], Any], *also: str) -> Any:
    """The call's result, or None when what it is about is not there (or its code is one of `also`)."""
    try:
        return call()
    except BatchError as error:
        if error.error_code in (*_MISSING, *also):
            return None
        raise
