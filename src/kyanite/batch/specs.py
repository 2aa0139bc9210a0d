"""What pools and tasks are asked to do: commands, files, numbers, as read from a document or given in Python."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kyanite import limits
from kyanite.errors import BatchError

_IDENTIFIER = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class FailureInfo:
    """Why a task or start task failed; `category` is UserError or ServerError, `code` one of the service's codes."""

    category: str
    code: str
    message: str
    details: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The wire shape."""
        details = [{"name": name, "value": value} for name, value in self.details]
        return {"category": self.category, "code": self.code, "message": self.message, "details": details}

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> FailureInfo:
        """Read the wire shape."""
        details = tuple((item["name"], item["value"]) for item in document.get("details", ()))
        return FailureInfo(document["category"], document["code"], document["message"], details)


@dataclass(frozen=True)
class ResourceFile:
    """Put into the working directory before the command starts; exactly one of the sources is given.

    `file_path` is relative to `wd`. With `keep` false the file is removed when the task ends (files with secrets).
    A `container_url` (or `auto_container`, a container of the account's own storage) stands for all its blobs whose
    names begin with `blob_prefix`; then `file_path` is a folder, or empty.
    """

    file_path: str
    http_url: str | None = field(default=None, repr=False)
    source_path: str | None = None
    content: bytes | None = field(default=None, repr=False)
    mode: int = 0o770
    keep: bool = True
    container_url: str | None = field(default=None, repr=False)
    auto_container: str | None = None
    blob_prefix: str = ""

    def to_json(self) -> dict[str, Any]:
        """As stored; readable content stays text so that secrets in it can be sealed."""
        document: dict[str, Any] = {"filePath": self.file_path, "mode": self.mode, "keep": self.keep}
        if self.http_url is not None:
            document["httpUrl"] = self.http_url
        if self.source_path is not None:
            document["sourcePath"] = self.source_path
        if self.container_url is not None:
            document["storageContainerUrl"] = self.container_url
        if self.auto_container is not None:
            document["autoStorageContainerName"] = self.auto_container
        if self.blob_prefix:
            document["blobPrefix"] = self.blob_prefix
        if self.content is not None:
            try:
                document["text"] = self.content.decode("utf-8")
            except UnicodeDecodeError:
                document["bytes"] = base64.b64encode(self.content).decode()
        return document

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> ResourceFile:
        """Read what `to_json` wrote."""
        content = document["text"].encode() if "text" in document else None
        if "bytes" in document:
            content = base64.b64decode(document["bytes"])
        return ResourceFile(
            document["filePath"],
            document.get("httpUrl"),
            document.get("sourcePath"),
            content,
            document.get("mode", 0o770),
            document.get("keep", True),
            document.get("storageContainerUrl"),
            document.get("autoStorageContainerName"),
            document.get("blobPrefix", ""),
        )


@dataclass(frozen=True)
class StartTask:
    """What runs once on each node before tasks do; a failing one keeps tasks off the node if `wait_for_success`."""

    command_line: str = field(repr=False)
    resource_files: tuple[ResourceFile, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    max_retry_count: int = 0
    wait_for_success: bool = True

    def to_json(self) -> dict[str, Any]:
        """As stored and as hashed for the start task's version."""
        return {
            "commandLine": self.command_line,
            "resourceFiles": [file.to_json() for file in self.resource_files],
            "environment": dict(self.environment),
            "maxTaskRetryCount": self.max_retry_count,
            "waitForSuccess": self.wait_for_success,
        }

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> StartTask:
        """Read what `to_json` wrote."""
        return StartTask(
            document["commandLine"],
            tuple(ResourceFile.from_json(item) for item in document["resourceFiles"]),
            document["environment"],
            document["maxTaskRetryCount"],
            document["waitForSuccess"],
        )


@dataclass(frozen=True)
class PoolSpec:
    """A pool as asked for; `document` is its wire document, unknown properties included.

    `target_nodes` counts the `low_priority_nodes` too. With a `formula` (autoscale) both are what it gave last;
    `interval` is seconds between evaluations, `resize_timeout` the seconds a change of size may take.
    """

    id: str
    target_nodes: int = 1
    slots_per_node: int = 1
    pack: bool = False
    vm_size: str = "local"
    display_name: str | None = None
    start_task: StartTask | None = None
    windows: bool = False
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)
    backend: str = "local"
    low_priority_nodes: int = 0
    formula: str | None = None
    interval: float = 900.0
    resize_timeout: float = 900.0

    @property
    def dedicated_nodes(self) -> int:
        """How many dedicated nodes are wanted."""
        return self.target_nodes - self.low_priority_nodes


@dataclass(frozen=True)
class TaskSpec:
    """A task as asked for. Times are seconds; `max_wall_clock` None means no limit, `max_retry_count` -1 for ever.

    `document` is the wire document it was read from, empty for a task added in Python.
    """

    id: str
    command_line: str = field(repr=False)
    resource_files: tuple[ResourceFile, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    max_wall_clock: float | None = None
    retention: float = limits.TASK_RETENTION_SECONDS
    required_slots: int = 1
    max_retry_count: int = 0
    display_name: str | None = None
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def to_json(self) -> dict[str, Any]:
        """As stored (sealed by the store)."""
        return {
            "commandLine": self.command_line,
            "resourceFiles": [file.to_json() for file in self.resource_files],
            "environment": dict(self.environment),
            "maxWallClock": self.max_wall_clock,
            "retention": self.retention,
            "requiredSlots": self.required_slots,
            "maxTaskRetryCount": self.max_retry_count,
            "displayName": self.display_name,
        }

    @staticmethod
    def from_json(task_id: str, document: Mapping[str, Any]) -> TaskSpec:
        """Read what `to_json` wrote."""
        return TaskSpec(
            task_id,
            document["commandLine"],
            tuple(ResourceFile.from_json(item) for item in document["resourceFiles"]),
            document["environment"],
            document["maxWallClock"],
            document["retention"],
            document["requiredSlots"],
            document["maxTaskRetryCount"],
            document["displayName"],
        )


def check_identifier(kind: str, identifier: str) -> str:
    """The identifier, or BatchError: letters, digits, `-` and `_`, at most 64."""
    if not _IDENTIFIER.fullmatch(identifier):
        raise BatchError(
            f"'{identifier[:80]}' is not a valid {kind} id.",
            cure="Use 1 to 64 letters, digits, hyphens and underscores.",
            code="InvalidPropertyValue",
        )
    return identifier
