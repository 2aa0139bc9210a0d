"""The verbs on files of tasks and nodes. Batch reference section 20."""

from __future__ import annotations

from kyanite.batch.codes import refusal
from kyanite.batch.files import FileEntry, OpenFile, split_path
from kyanite.batch.model import Pool
from kyanite.batch.pools import NodeFiles, Place
from kyanite.batch.service_base import ServiceBase
from kyanite.errors import BatchError

Steps = tuple[str, ...]
_PRIVATE = "volatile"  # orders and claims of ours


class FileService(ServiceBase):
    """The verbs on files of tasks and nodes; nothing outside of a task's or node's folder is ever reached."""

    # ---- of tasks

    def list_files(self, account: str, job_id: str, task_id: str, *, recursive: bool = True) -> list[FileEntry]:
        """The files of a task, names relative to its directory (`stdout.txt`, `wd/result.json`)."""
        files, parts = self._task_folder(account, job_id, task_id)
        return files.list(parts, recursive)

    def list_task_files(self, account: str, job: str, task: str, recursive: bool = False) -> list[FileEntry]:
        """The files of a task; without `recursive` only those directly in its directory."""
        return self.list_files(account, job, task, recursive=recursive)

    def read_file(
        self, account: str, job_id: str, task_id: str, path: str, offset: int = 0, length: int | None = None
    ) -> bytes:
        """Bytes of a file of a task, running or completed; at most limits.TASK_OUTPUT_READ_BYTES per call."""
        files, parts = self._task_folder(account, job_id, task_id)
        return files.read((*parts, *split_path(path)), offset, length)

    def task_file(self, account: str, job: str, task: str, path: str) -> OpenFile:
        """A file of a task, held open; close it."""
        files, parts = self._task_folder(account, job, task)
        return files.open((*parts, *split_path(path)))

    def delete_task_file(self, account: str, job: str, task: str, path: str, recursive: bool = False) -> None:
        """Delete a file or folder of a task."""
        files, parts = self._task_folder(account, job, task)
        files.delete((*parts, *split_path(path)), recursive)

    def _task_folder(self, account: str, job_id: str, task_id: str) -> tuple[NodeFiles, Steps]:
        sequence, task = self._found(account, job_id, task_id)
        if task.files_removed:
            raise BatchError(f"The files of task '{task_id}' were removed.", code="TaskFilesCleanedup")
        rows = self._store.rows("attempts_of_task", sequence=sequence)
        found = self._store.pool(task.account, rows[-1]["pool"]) if rows else None
        if not rows or found is None:
            raise BatchError(f"Task '{task_id}' has not run yet and has no files.", code="TaskFilesUnavailable")
        files = self._files_of(found[0], rows[-1]["node"])
        if files is None:
            raise BatchError(f"The node of task '{task_id}' is gone.", code="TaskFilesUnavailable")
        return files, tuple(task.root_directory.split("/"))

    # ---- of nodes

    def list_node_files(self, account: str, pool: str, node: str, recursive: bool = False) -> list[FileEntry]:
        """The files of a node, names relative to its root (`startup/stdout.txt`)."""
        found = self._node_files(account, pool, node).list((), recursive)
        return [entry for entry in found if entry.name.split("/")[0] != _PRIVATE]

    def node_file(self, account: str, pool: str, node: str, path: str) -> OpenFile:
        """A file of a node, held open; close it."""
        return self._node_files(account, pool, node).open(_visible(path))

    def delete_node_file(self, account: str, pool: str, node: str, path: str, recursive: bool = False) -> None:
        """Delete a file or folder of a node."""
        self._node_files(account, pool, node).delete(_visible(path), recursive)

    def _node_files(self, account: str, pool: str, node: str) -> NodeFiles:
        found = self.pool(account, pool)
        for row in self._store.nodes(found):
            if row.node.id.casefold() == node.casefold():
                files = self._files_of(found, row.node.id)
                if files is None:
                    raise refusal("NodeNotReady", "Nothing has run on the node yet.", where=f"node {node}")
                return files
        raise refusal("NodeNotFound", where=f"pool {pool}")

    def _files_of(self, pool: Pool, node: str) -> NodeFiles | None:
        """The files of a node; None when it has no folder, or none any more."""
        backend, account = self._backend(pool.spec.backend), self._name(pool.account)
        root = backend.node_folder(account, pool.id, node)
        if root is not None and not root.is_dir():
            return None
        return backend.files(Place(account, pool.id, node))


def _visible(path: str) -> Steps:
    """A path that the service may reach."""
    parts = split_path(path)
    if parts[0] == _PRIVATE:
        raise refusal("FileNotFound", where=path)
    return parts
