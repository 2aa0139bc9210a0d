"""The verbs on files of tasks and nodes. Batch reference section 20."""

from __future__ import annotations

from pathlib import Path

from kyanite.batch.codes import refusal
from kyanite.batch.files import (
    FileEntry,
    OpenFile,
    delete_path,
    list_folder,
    open_file,
    read_range,
    split_path,
)
from kyanite.batch.service_base import ServiceBase
from kyanite.errors import BatchError

Steps = tuple[str, ...]


class FileService(ServiceBase):
    """The verbs on files of tasks and nodes; nothing outside of a task's or node's folder is ever reached."""

    # ---- of tasks

    def list_files(self, account: str, job_id: str, task_id: str, *, recursive: bool = True) -> list[FileEntry]:
        """The files of a task, names relative to its directory (`stdout.txt`, `wd/result.json`)."""
        root, parts = self._task_folder(account, job_id, task_id)
        return list_folder(root, parts, recursive)

    def list_task_files(self, account: str, job: str, task: str, recursive: bool = False) -> list[FileEntry]:
        """The files of a task; without `recursive` only those directly in its directory."""
        return self.list_files(account, job, task, recursive=recursive)

    def read_file(
        self, account: str, job_id: str, task_id: str, path: str, offset: int = 0, length: int | None = None
    ) -> bytes:
        """Bytes of a file of a task, running or completed; at most limits.TASK_OUTPUT_READ_BYTES per call."""
        root, parts = self._task_folder(account, job_id, task_id)
        return read_range(root, (*parts, *split_path(path)), offset, length)

    def task_file(self, account: str, job: str, task: str, path: str) -> OpenFile:
        """A file of a task, held open; close it."""
        root, parts = self._task_folder(account, job, task)
        return open_file(root, (*parts, *split_path(path)))

    def delete_task_file(self, account: str, job: str, task: str, path: str, recursive: bool = False) -> None:
        """Delete a file or folder of a task."""
        root, parts = self._task_folder(account, job, task)
        delete_path(root, (*parts, *split_path(path)), recursive)

    def _task_folder(self, account: str, job_id: str, task_id: str) -> tuple[Path, Steps]:
        sequence, task = self._found(account, job_id, task_id)
        if task.files_removed:
            raise BatchError(f"The files of task '{task_id}' were removed.", code="TaskFilesCleanedup")
        rows = self._store.rows("attempts_of_task", sequence=sequence)
        found = self._store.pool(task.account, rows[-1]["pool"]) if rows else None
        if not rows or found is None:
            raise BatchError(f"Task '{task_id}' has not run yet and has no files.", code="TaskFilesUnavailable")
        root = self._root_of(found[0].account, found[0].id, rows[-1]["node"], found[0].spec.backend)
        if root is None or not root.is_dir():
            raise BatchError(f"The node of task '{task_id}' is gone.", code="TaskFilesUnavailable")
        return root, tuple(task.root_directory.split("/"))

    # ---- of nodes

    def list_node_files(self, account: str, pool: str, node: str, recursive: bool = False) -> list[FileEntry]:
        """The files of a node, names relative to its root (`startup/stdout.txt`)."""
        return list_folder(self._node_root(account, pool, node), (), recursive)

    def node_file(self, account: str, pool: str, node: str, path: str) -> OpenFile:
        """A file of a node, held open; close it."""
        return open_file(self._node_root(account, pool, node), _visible(path))

    def delete_node_file(self, account: str, pool: str, node: str, path: str, recursive: bool = False) -> None:
        """Delete a file or folder of a node."""
        delete_path(self._node_root(account, pool, node), _visible(path), recursive)

    def _node_root(self, account: str, pool: str, node: str) -> Path:
        found = self.pool(account, pool)
        for row in self._store.nodes(found):
            if row.node.id.casefold() == node.casefold():
                root = self._root_of(found.account, found.id, row.node.id, found.spec.backend)
                if root is None or not root.is_dir():
                    raise refusal("NodeNotReady", "Nothing has run on the node yet.", where=f"node {node}")
                return root
        raise refusal("NodeNotFound", where=f"pool {pool}")

    def _root_of(self, account: str, pool: str, node: str, backend: str) -> Path | None:
        return self._backend(backend).node_folder(self._name(account), pool, node)


def _visible(path: str) -> Steps:
    """`volatile` holds orders and claims of ours: it is not reached through the service."""
    parts = split_path(path)
    if parts[0] == "volatile":
        raise refusal("FileNotFound", where=path)
    return parts
