"""The contract of every place data can live, and of a file being written there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import BinaryIO, Protocol

from kyanite.storage.model import Entry


class Writer(Protocol):
    """A binary file object whose content is invisible until `commit`.

    Leaving a `with` block without a commit aborts, and `close` means abort too: no half file is ever seen.
    """

    closed: bool

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Append bytes; how many these were."""

    def tell(self) -> int:
        """Bytes written so far."""

    def flush(self) -> None:
        """Hand buffered bytes on; nothing becomes visible by it."""

    def read_back(self) -> BinaryIO | None:
        """What was written, for verification before the commit; None where the store shows nothing before it."""

    def commit(self) -> None:
        """Make the file visible at once, in place of an older one."""

    def abort(self) -> None:
        """Drop everything; the target stays as it was."""

    def close(self) -> None:
        """Abort unless committed."""

    def readable(self) -> bool:
        """False."""

    def writable(self) -> bool:
        """True until commit or abort."""

    def seekable(self) -> bool:
        """False."""

    def __enter__(self) -> Writer: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class WriterSet(Protocol):
    """Several files of one folder that become visible together; leaving a `with` block without a commit aborts."""

    def open(self, name: str) -> Writer:
        """A file of the set; its own `commit` completes it, in place of a completed one of that name."""

    def open_read(self, name: str) -> BinaryIO:
        """A completed file of the set, to be verified before anybody else sees it."""

    def commit(self) -> None:
        """Show the completed files and remove the older files the set replaces."""

    def abort(self) -> None:
        """Drop what was staged; the folder stays as it was."""

    def __enter__(self) -> WriterSet: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Connection(Protocol):
    """A place of data. Paths are `container/dir/file`, normalised by the connection; errors are StorageError
    (`ContainerNotFound`, `PathNotFound`, `BlobNotFound`, `AuthenticationFailed`, `DiskFull`, `Unreachable`, ...).
    """

    @property
    def kind(self) -> str:
        """The linked service type, such as `AzureBlobStorage`."""

    def list(self, folder: str, *, recursive: bool = True) -> Iterator[Entry]:
        """Entries in the order of their full paths: files at every depth, or with `recursive=False` the folder's
        own files and folders. StorageError when the folder is not there.
        """

    def stat(self, path: str) -> Entry | None:
        """The file or folder at a path, or None."""

    def open_read(self, path: str) -> BinaryIO:
        """A seekable binary file; StorageError `BlobNotFound` when there is none."""

    def open_write(self, path: str) -> Writer:
        """A writer for a new file or a new version of one; folders on the way come with the commit."""

    def open_set(self, folder: str, replaces: Callable[[str], bool], *, is_synced: bool = True) -> WriterSet:
        """Files that appear together in a folder, in place of the files there whose names `replaces` accepts.

        With `is_synced` off no disk of this machine is waited for; a store elsewhere keeps files as it always does.
        """

    def delete(self, path: str) -> None:
        """Remove a file, or a folder with all in it; StorageError `BlobNotFound` when nothing is there."""

    def copy(self, source: str, target: str) -> None:
        """Copy one file inside the connection; the target appears at once."""

    def url(self, path: str) -> str:
        """The address a person or another program knows the path by, without credentials."""

    def check(self) -> None:
        """Test the connection; StorageError when it cannot be used."""
