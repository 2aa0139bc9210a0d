"""Pools at another Batch endpoint (Azure, or another kyanite): the same tasks, by address and key.

Nodes here are only capacity; the far side places tasks on its own. Attempt N is remote task `aN` of one job per pool:
the remote task is the claim. Adding it twice runs it once, and a task of that id that can never start is the fence.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from kyanite import limits
from kyanite.batch import remote_files
from kyanite.batch.model import Exited
from kyanite.batch.pools import Health, Key, Launch, Place, Report, Room, Seen
from kyanite.batch.remote_link import RemoteLink
from kyanite.batch.remote_nodes import RemoteFolder, remote_node
from kyanite.batch.remote_pool import FENCE, connection_of, ending_of, metadata, pool_document, start_task_seen
from kyanite.batch.remote_records import Records
from kyanite.batch.remote_rest import RemoteBatch, Unreachable, segment
from kyanite.batch.specs import FailureInfo, PoolSpec
from kyanite.errors import BatchError, KyaniteError
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
        self._links: dict[tuple[str, str], RemoteLink] = {}
        self._jobs: set[str] = set()
        self._lock = threading.Lock()

    # ---- pools and nodes

    def ensure_pool(self, account: str, spec: PoolSpec) -> None:
        """Make the pool there, or give the one that we made its start task and its size.

        A pool of that id that was there before stays as its owner made it. While the endpoint does not answer this is
        done behind the caller's back: tasks can be given to the pool meanwhile.
        """
        self._records.connect(account, spec.id, connection_of(spec))
        link = self._link(account, spec.id)
        try:
            self._ensure(account, spec)
        except Unreachable as error:
            link.trouble = error.message
            link.later(lambda: self._ensure(account, spec))

    def _ensure(self, account: str, spec: PoolSpec) -> None:
        client, path = self._client(account, spec.id), f"/pools/{segment(spec.id)}"
        document = pool_document(spec, self._records.workspace())
        size = {name: document[name] for name in ("targetDedicatedNodes", "targetLowPriorityNodes")}
        link = self._link(account, spec.id)
        with link.sizing:
            link.size = size
        there = _unless_missing(lambda: client.get(path).json())
        if there is None:
            client.post("/pools", document)
            return
        if not self._is_ours(there):
            return
        if _start_of(document) != _start_of(there):
            client.send("PATCH", path, body={"startTask": document.get("startTask", {})})
        if any(there.get(name, 0) != wanted for name, wanted in size.items()):
            link.later(lambda: self._resize(link, path, size))

    def _resize(self, link: RemoteLink, path: str, size: Mapping[str, int]) -> None:
        """Ask for the size until the far side takes it (it refuses during another resize) or another is wanted."""
        until = time.monotonic() + limits.REMOTE_RESIZE_SECONDS
        while True:
            try:
                with link.sizing:
                    if link.size is size:
                        link.client.post(f"{path}/resize", dict(size))
                return
            except BatchError as error:
                if error.error_code not in _NOT_NOW or time.monotonic() > until:
                    raise
            if not link.pause(limits.REMOTE_RESIZE_PAUSE_SECONDS):
                return

    def delete_pool(self, account: str, pool: str) -> None:
        """Remove the pool there when we made it, and our job in it."""
        if self._records.connection(account, pool) is None:
            return
        client, job = self._client(account, pool), self._job(pool)

        def remove() -> None:
            _unless_missing(lambda: client.send("DELETE", f"/jobs/{segment(job)}"))
            there = _unless_missing(lambda: client.get(f"/pools/{segment(pool)}").json())
            if there is not None and self._is_ours(there):
                _unless_missing(lambda: client.send("DELETE", f"/pools/{segment(pool)}"))

        self._jobs.discard(job)
        self._link(account, pool).later(remove)

    def stamp(self, account: str, pool: str) -> str | None:
        """Always the same once the pool is connected: the far side has environments of its own."""
        return STAMP if self._records.connection(account, pool) is not None else None

    def prepare(self, account: str, pool: str, say: Callable[[str], None]) -> str:
        """Check that the endpoint takes our key and has the pool; one that does not answer may do so later."""
        client = self._client(account, pool)
        try:
            there = client.get(f"/pools/{segment(pool)}").json()
            say(f"pool {pool} at {client.endpoint}: {there.get('allocationState', there.get('state', ''))}")
        except Unreachable as error:
            say(error.message)
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

    def revive_node(self, place: Place) -> None:
        """Reboot the far node."""
        self.restart_node(place, False)

    def remove_node(self, place: Place) -> None:
        """Nothing to do: the pool's size there follows its targets."""

    def health(self, place: Place) -> Health:
        """Always well: what befalls a far node is the far side's to mend. `reason`: why nothing is heard of it."""
        link = self._links.get((place.account, place.pool))
        return Health(True, reason=link.trouble if link is not None else "")

    # ---- attempts

    def launch(self, launch: Launch) -> None:
        """Add the remote task, behind the caller's back; while the endpoint does not answer it is tried again."""
        self._records.launched(launch)
        link = self._link(launch.key.place.account, launch.key.place.pool)
        if launch.kind == "start":  # the far pool runs its start task by itself
            link.watch(launch.key)
        else:
            link.later(lambda: self._begin(link, launch))

    def _begin(self, link: RemoteLink, launch: Launch) -> None:
        try:
            self._add(launch)
            link.watch(launch.key)
        except Unreachable:
            raise
        except Exception as error:  # noqa: BLE001 - a defect here must not leave the task waiting for ever
            self._reports.append(Report(launch.key.attempt, Exited(None, None, None, _failure(error))))
            self._on_news()

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
            "outputFiles": [dict(file) for file in launch.output_files],
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

    def poll(self, keys: Iterable[Key]) -> dict[int, Seen]:
        """What was seen last; looking goes on in a thread of the pool's own."""
        return {key.attempt: self._seen_last(key) for key in keys}

    def _seen_last(self, key: Key) -> Seen:
        if self._records.connection(key.place.account, key.place.pool) is None:
            return Seen("unclaimed")
        try:
            return self._link(key.place.account, key.place.pool).seen(key)
        except BatchError:  # its key was taken away: nothing can be known
            return Seen("running")

    def _over(self, attempts: list[int]) -> None:
        self._reports.extend(Report(attempt, None) for attempt in attempts)
        self._on_news()

    def _look(self, client: RemoteBatch, pool: str, keys: list[Key]) -> dict[int, Seen]:
        """One listing of what is unfinished; the others are asked for by name, once when they ended."""
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
        connected = self._records.connection(key.place.account, key.place.pool) is not None
        if self._records.kind(key) == "start" or not connected:
            return not connected
        if self._link(key.place.account, key.place.pool).trouble:
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
        path = f"/jobs/{job}/tasks/{_task_id(key.attempt)}/terminate"
        link = self._link(key.place.account, key.place.pool)
        link.later(lambda: _unless_missing(lambda: client.post(path), "TaskCompleted"))

    def forget(self, key: Key) -> None:
        """Delete the remote task, what was delivered for it, and the record."""
        place, kind = key.place, self._records.kind(key)
        if self._records.connection(place.account, place.pool) is None:
            return
        link = self._link(place.account, place.pool)
        link.forget(key.attempt)
        if kind == "start":
            self._records.forget(key)
        else:
            link.later(lambda: self._delete(link.client, key))

    def _delete(self, client: RemoteBatch, key: Key) -> None:
        path = f"/jobs/{segment(self._job(key.place.pool))}/tasks/{_task_id(key.attempt)}"
        there = _unless_missing(lambda: client.get(path).json())
        container = self._container(key.place)
        if there is not None and container is not None:
            remote_files.delete_blobs(container, self._blobs(key), there.get("resourceFiles") or ())
        _unless_missing(lambda: client.send("DELETE", path))
        self._records.forget(key)

    # ---- news and files

    def listen(self, on_news: Callable[[], None]) -> None:
        """Called when a launch was refused or an attempt that is watched has ended."""
        self._on_news = on_news

    def wake(self) -> None:
        """Call `on_news` from a thread of its own."""
        threading.Thread(target=self._on_news, name="azure-batch-wake", daemon=True).start()

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

        link = self._link(place.account, place.pool)
        return RemoteFolder(link.client, place, self._job(place.pool), task_of, link.later)

    def node_folder(self, account: str, pool: str, node: str) -> Path | None:
        """None: the node is elsewhere."""
        return None

    def close(self) -> None:
        """Let go; what runs there goes on."""
        for link in self._links.values():
            link.close()

    # ---- names and keys

    def _job(self, pool: str) -> str:
        return f"kyanite-{self._records.workspace()}-{pool}"[:64]

    def _blobs(self, key: Key) -> str:
        return f"{self._records.workspace()}/{key.place.pool}/{_task_id(key.attempt)}"

    def _is_ours(self, there: Mapping[str, Any]) -> bool:
        return metadata(there).get("kyanite.workspace") == self._records.workspace()

    def _client(self, account: str, pool: str) -> RemoteBatch:
        return self._link(account, pool).client

    def _link(self, account: str, pool: str) -> RemoteLink:
        with self._lock:
            if (account, pool) in self._links:
                return self._links[account, pool]
            there = self._records.connection(account, pool)
            if there is None:
                raise BatchError(f"Pool '{pool}' was never connected to an endpoint.", code="PoolNotFound")
            key = self._vault().get(key_name(there["account"]))
            if key is None:
                raise BatchError(
                    f"The workspace has no key for the Batch account '{there['account']}'.",
                    where=f"pool {pool}",
                    cure="Store it with `kyanite batch account connect`.",
                    code="AccountKeyMissing",
                )
            client = RemoteBatch(there["endpoint"], there["account"], key)
            self._links[account, pool] = RemoteLink(client, partial(self._look, client, pool), self._over)
            return self._links[account, pool]

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
