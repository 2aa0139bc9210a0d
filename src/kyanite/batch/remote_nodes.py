"""Nodes and files of a pool at another Batch endpoint, read through its REST."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any

from kyanite.batch.files import FileEntry, OpenFile
from kyanite.batch.pools import Place
from kyanite.batch.remote_rest import RemoteBatch, segment
from kyanite.errors import BatchError

_GONE = ("FileNotFound", "JobNotFound", "TaskFilesCleanedup", "TaskFilesUnavailable", "TaskNotFound")
_NO_SUCH_RANGE = ("InvalidRange", "InvalidHeaderValue", "Status416")
_TASK_STEPS = 4  # workitems/JOB/job-1/TASK


def remote_node(client: RemoteBatch, place: Place) -> dict[str, Any] | None:
    """The far node that stands at a place: our nth node is their nth, by id; None when there are fewer."""
    number = int((re.findall(r"\d+", place.node) or ["1"])[-1])
    nodes = sorted(client.pages(f"/pools/{segment(place.pool)}/nodes"), key=lambda node: str(node["id"]))
    return nodes[number - 1] if 1 <= number <= len(nodes) else None


class RemoteFolder:
    """The files of a node elsewhere: `task_of` gives the remote task whose folder a path begins with."""

    def __init__(
        self,
        client: RemoteBatch,
        place: Place,
        job: str,
        task_of: Callable[[tuple[str, ...]], str | None],
        later: Callable[[Callable[[], object]], None],
    ) -> None:
        self._client = client
        self._place = place
        self._job = job
        self._task_of = task_of
        self._later = later

    def list(self, parts: Sequence[str], recursive: bool) -> list[FileEntry]:
        """What is in a folder, names relative to it."""
        base, below = self._base(parts)
        prefix = "".join(f"{part}/" for part in below)
        query = {"recursive": "true"} if recursive or prefix else {}
        if prefix:
            query["$filter"] = f"startswith(name, '{prefix.replace(chr(39), chr(39) * 2)}')"
        entries = []
        for item in self._client.pages(base, **query):
            name = item["name"].rstrip("/")
            if not name.startswith(prefix) or name == prefix.rstrip("/"):
                continue
            name = name[len(prefix) :]
            if recursive or "/" not in name:
                entries.append(_entry(name, item))
        return sorted(entries, key=lambda entry: entry.name)

    def read(self, parts: Sequence[str], offset: int, length: int | None) -> bytes:
        """Bytes of a file; BatchError FileNotFound."""
        base, below = self._base(parts)
        if length == 0:
            return b""
        last = "" if length is None else str(offset + length - 1)
        headers = {"ocp-range": f"bytes={offset}-{last}"} if offset or length is not None else {}
        return _read(self._client, f"{base}/{segment('/'.join(below))}", headers)

    def open(self, parts: Sequence[str]) -> RemoteFile:
        """A file or folder with its size as it is now; what is read of it is asked for piece by piece."""
        base, below = self._base(parts)
        return RemoteFile(self._client, f"{base}/{segment('/'.join(below))}", "/".join(parts))

    def remove(self, parts: Sequence[str]) -> None:
        """Remove a file or a folder with all below it, if it is there; soon, for the endpoint may be slow to answer."""
        self._later(lambda: self._remove(tuple(parts)))

    def _remove(self, parts: tuple[str, ...]) -> None:
        try:
            whole = not self._base(parts)[1]  # a task's own directory stays until the task is deleted
            for steps in [(*parts, entry.name) for entry in self.list(parts, False)] if whole else [parts]:
                self.delete(steps, True)
        except BatchError as error:
            if error.error_code not in _GONE:
                raise

    def delete(self, parts: Sequence[str], recursive: bool) -> None:
        """Delete a file or folder, a folder that is not empty only when `recursive`; BatchError FileNotFound."""
        base, below = self._base(parts)
        query = {"recursive": "true"} if recursive else {}
        self._client.send("DELETE", f"{base}/{segment('/'.join(below))}", query=query)

    def _base(self, parts: Sequence[str]) -> tuple[str, Sequence[str]]:
        if len(parts) >= _TASK_STEPS and parts[0] == "workitems":
            task = self._task_of(tuple(parts[:_TASK_STEPS]))
            if task is None:
                raise BatchError("The task never ran at the endpoint.", code="FileNotFound")
            return f"/jobs/{segment(self._job)}/tasks/{segment(task)}/files", parts[_TASK_STEPS:]
        node = remote_node(self._client, self._place)
        if node is None:
            raise BatchError("The endpoint has no node at this place.", code="FileNotFound")
        return f"/pools/{segment(self._place.pool)}/nodes/{segment(node['id'])}/files", parts


class RemoteFile(OpenFile):
    """A file elsewhere, as it was when it was asked about."""

    def __init__(self, client: RemoteBatch, path: str, name: str) -> None:
        self._handle = -1
        headers = client.send("HEAD", path).headers
        self._client, self._path, self.name = client, path, name
        self.is_folder = headers.get("ocp-batch-file-isdirectory", "").lower() == "true"
        self.size = int(headers.get("content-length") or 0)
        self.modified = parsedate_to_datetime(headers.get("last-modified") or format_datetime(datetime.now(UTC)))
        self.mode = int(headers.get("ocp-batch-file-mode", "0o600").removeprefix("0o"), 8) & 0o777

    def read(self, offset: int, length: int) -> bytes:
        """At most `length` bytes from `offset` on; fewer, or none, at the end of the file."""
        length = min(length, self.size - offset)
        if length <= 0:
            return b""
        return _read(self._client, self._path, {"ocp-range": f"bytes={offset}-{offset + length - 1}"})


def _read(client: RemoteBatch, path: str, headers: dict[str, str]) -> bytes:
    try:
        return client.get(path, headers).body
    except BatchError as error:
        if error.error_code in _NO_SUCH_RANGE:
            return b""  # the file ends before the offset
        raise


def _entry(name: str, item: dict[str, Any]) -> FileEntry:
    properties = item.get("properties") or {}
    modified = str(properties.get("lastModified") or datetime.now(UTC).isoformat())
    at = datetime.fromisoformat(modified) if modified[:1].isdigit() else parsedate_to_datetime(modified)
    return FileEntry(name, bool(item.get("isDirectory")), int(properties.get("contentLength") or 0), at)
