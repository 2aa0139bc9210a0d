"""A storage account of this workspace, used directly on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import quote

from kyanite.errors import StorageError
from kyanite.limits import COPY_CHUNK_BYTES
from kyanite.storage import Entry, FileWriter
from kyanite.storage.file_set import FileSet
from kyanite.storage.model import split_container

if TYPE_CHECKING:
    from kyanite.storage import StorageAccount


class EmbeddedConnection:
    """Connection over a StorageAccount; `kind` is the linked service type it stands for."""

    def __init__(self, account: StorageAccount, kind: str = "AzureBlobStorage") -> None:
        self.account = account
        self._kind = kind

    @property
    def kind(self) -> str:
        """The linked service type, such as `AzureBlobStorage`."""
        return self._kind

    def list(self, folder: str, *, recursive: bool = True) -> Iterator[Entry]:
        """Entries in path order; at the root these are the containers."""
        container, inside = split_container(folder)
        if container:
            for entry in self.account.list(container, inside, recursive=recursive):
                yield replace(entry, path=f"{container}/{entry.path}")
            return
        for found in self.account.containers():
            if recursive:
                yield from self.list(found.path)
            else:
                yield found

    def stat(self, path: str) -> Entry | None:
        """The file, folder or container at a path, or None."""
        container, inside = split_container(path)
        if not container:
            return None
        entry = self.account.stat(container, inside)
        return entry and replace(entry, path=f"{container}/{inside}".rstrip("/"))

    def open_read(self, path: str) -> BinaryIO:
        """A seekable binary file on disk."""
        return self.account.open_read(*_file(path))

    def open_write(self, path: str) -> FileWriter:
        """A writer staged beside the containers and renamed into place."""
        return self.account.open_write(*_file(path))

    def open_set(self, folder: str, replaces: Callable[[str], bool], *, is_synced: bool = True) -> FileSet:
        """Files that appear together; atomic when the folder holds nothing but the older set."""
        return self.account.open_set(*_file(folder), replaces, is_synced=is_synced)

    def delete(self, path: str) -> None:
        """Remove a file, or a folder or container with all in it."""
        self.account.delete(*_file(path), recursive=True)

    def copy(self, source: str, target: str) -> None:
        """Copy one file; the target appears at once."""
        import shutil

        with self.open_read(source) as reader, self.open_write(target) as writer:
            shutil.copyfileobj(reader, writer, COPY_CHUNK_BYTES)
            writer.commit()

    def url(self, path: str) -> str:
        """The address the file has under the account's Azure name."""
        service = "dfs" if self._kind == "AzureBlobFS" else "blob"
        return f"https://{self.account.name}.{service}.core.windows.net/{quote('/'.join(split_container(path)))}"

    def check(self) -> None:
        """Nothing to test: the account exists, its key was compared when the connection was opened."""
        self.account.containers()


def _file(path: str) -> tuple[str, str]:
    container, inside = split_container(path)
    if not container:
        raise StorageError("The path names no container.", cure="Write container/folder/file.", code="InvalidUri")
    return container, inside
