"""Nodes and files of a pool at another Batch endpoint, read through its REST."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from kyanite.batch.files import FileEntry
from kyanite.batch.pools import Place
from kyanite.batch.remote_rest import RemoteBatch, segment
from kyanite.errors import BatchError

_TASK_STEPS = 4  # workitems/JOB/job-1/TASK


def remote_node(client: RemoteBatch, place: Place) -> dict[str, Any] | None:
    """The far node that stands at a place: our nth node is their nth, by id; None when there are fewer."""
    number = int((re.findall(r"\d+", place.node) or ["1"])[-1])
    nodes = sorted(client.pages(f"/pools/{segment(place.pool)}/nodes"), key=lambda node: str(node["id"]))
    return nodes[number - 1] if 1 <= number <= len(nodes) else None


class RemoteFolder:
    """The files of a node elsewhere: `task_of` gives the remote task whose folder a path begins with."""

    def __init__(
        self, client: RemoteBatch, place: Place, job: str, task_of: Callable[[tuple[str, ...]], str | None]
    ) -> None:
        self._client = client
        self._place = place
        self._job = job
        self._task_of = task_of

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
        try:
            return self._client.get(f"{base}/{segment('/'.join(below))}", headers).body
        except BatchError as error:
            if error.error_code in ("InvalidRange", "Status416"):
                return b""  # the file ends before the offset
            raise

    def remove(self, parts: Sequence[str]) -> None:
        """Remove a file or a folder with all below it, if it is there."""
        base, below = self._base(parts)
        try:
            self._client.send("DELETE", f"{base}/{segment('/'.join(below))}", query={"recursive": "true"})
        except BatchError as error:
            if error.error_code not in ("FileNotFound", "TaskNotFound", "TaskFilesCleanedup", "TaskFilesUnavailable"):
                raise

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


def _entry(name: str, item: dict[str, Any]) -> FileEntry:
    properties = item.get("properties") or {}
    modified = str(properties.get("lastModified") or datetime.now(UTC).isoformat())
    at = datetime.fromisoformat(modified) if modified[:1].isdigit() else parsedate_to_datetime(modified)
    return FileEntry(name, bool(item.get("isDirectory")), int(properties.get("contentLength") or 0), at)
