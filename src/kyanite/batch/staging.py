"""Resource files -> the working directory, before the command starts. A failure ends the task without a retry.

Batch reference section 13: one file by address or from this machine, or all blobs of a container below a prefix.
"""

from __future__ import annotations

import errno
import http.client
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from urllib.parse import urlsplit

from kyanite import limits
from kyanite.batch.files import split_path, written_file
from kyanite.batch.specs import FailureInfo, ResourceFile
from kyanite.errors import BatchError, KyaniteError

OpenUrl = Callable[[str], tuple[Any, str]]

_STORAGE_HOSTS = (".blob.", ".dfs.")
_SOURCES = ("http_url", "source_path", "content", "container_url", "auto_container")


class Sources(Protocol):
    """Where files come from; see `Room`."""

    @property
    def open_url(self) -> OpenUrl:
        """Open a file or container by its address."""

    @property
    def auto_storage(self) -> Callable[[str], str | None]:
        """The address of a Batch account's own storage."""


class StagingError(BatchError):
    """A resource file could not be put in place; `failure` is what the task reports."""

    def __init__(self, failure: FailureInfo) -> None:
        super().__init__(failure.message, code=failure.code)
        self.failure = failure


def check_paths(files: Iterable[ResourceFile]) -> None:
    """BatchError for a resource file whose target leaves the working directory or which has not one source."""
    for file in files:
        many = file.container_url is not None or file.auto_container is not None
        if file.file_path or not many:
            split_path(file.file_path.rstrip("/") if many else file.file_path)
        given = [name for name in _SOURCES if getattr(file, name) is not None]
        if len(given) != 1:
            raise BatchError(
                f"Resource file '{file.file_path}' must have exactly one source, it has {len(given)}.",
                code="InvalidPropertyValue",
            )


def stage(
    node_folder: Path, working: Sequence[str], files: Iterable[ResourceFile], sources: Sources, account: str = ""
) -> None:
    """Put each file below the working directory (`working` are its steps below the node's root)."""
    for file in files:
        try:
            for steps, content in opened(file, sources, account):
                with content as source, written_file(node_folder, (*working, *steps), file.mode) as out:
                    shutil.copyfileobj(source, out, 1 << 20)
        except OSError as error:
            raise StagingError(_write_failure(file, error)) from error
        except KyaniteError as error:
            raise StagingError(_read_failure(file, error)) from error


def opened(file: ResourceFile, sources: Sources, account: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every file meant, with its steps below the working directory."""
    if file.content is not None:
        yield split_path(file.file_path), _Bytes(file.content)
    elif file.source_path is not None:
        yield split_path(file.file_path), _open_local(file.source_path)
    elif file.http_url is not None:
        yield split_path(file.file_path), _open_address(file.http_url, sources.open_url)
    else:
        yield from _container(file, sources, account)


def _container(file: ResourceFile, sources: Sources, account: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every blob whose name begins with the prefix; its whole name is kept beneath the file path."""
    url = file.container_url
    if url is None:
        own = sources.auto_storage(account)
        if own is None:
            raise BatchError(f"Batch account '{account}' has no storage of its own.", code="ResourceContainerNotFound")
        url = f"{own.rstrip('/')}/{file.auto_container}"
    connection, path = sources.open_url(url)
    container, _, below = path.partition("/")
    prefix = "/".join(part for part in (below, file.blob_prefix.lstrip("/")) if part)
    folder = prefix.rpartition("/")[0]
    found = 0
    for entry in connection.list(f"{container}/{folder}" if folder else container, recursive=True):
        name = entry.path.partition("/")[2]
        if entry.is_folder or not name.startswith(prefix):
            continue
        found += 1
        if found > limits.RESOURCE_FILES_PER_CONTAINER:
            message = f"More than {limits.RESOURCE_FILES_PER_CONTAINER:,} blobs begin with '{prefix}'."
            raise BatchError(message, code="BlobDownloadMiscError")
        target = f"{file.file_path.rstrip('/')}/{name}" if file.file_path else name
        yield split_path(target), connection.open_read(entry.path)


class _Bytes:
    """Content as an open file."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __enter__(self) -> BinaryIO:
        import io

        return io.BytesIO(self._content)

    def __exit__(self, *_details: object) -> None:
        return


def _open_local(path: str) -> Any:
    try:
        return Path(path).open("rb")
    except OSError as error:
        raise BatchError(f"{path}: {error.strerror}", code="BlobNotFound") from error


def _open_address(url: str, open_url: OpenUrl) -> Any:
    """A blob of a storage account through its connection; any other http address by a plain GET."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    if parts.scheme.lower() not in ("http", "https") or any(piece in host for piece in _STORAGE_HOSTS):
        connection, path = open_url(url)
        return connection.open_read(path)
    try:
        return urllib.request.urlopen(url, timeout=limits.RESOURCE_FILE_SECONDS)  # noqa: S310 - http and https only
    except urllib.error.HTTPError as error:
        with error:
            code = {404: "BlobNotFound", 401: "BlobAccessDenied", 403: "BlobAccessDenied"}.get(error.code)
            raise BatchError(f"{host} answered {error.code}.", code=code or "BlobDownloadMiscError") from error
    except TimeoutError as error:
        raise BatchError(f"{host} did not answer in time.", code="BlobDownloadTimedOut") from error
    except (urllib.error.URLError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        code = "BlobDownloadTimedOut" if isinstance(reason, TimeoutError) else "BlobDownloadMiscError"
        raise BatchError(f"{host} cannot be reached: {reason}.", code=code) from error


def _read_failure(file: ResourceFile, error: KyaniteError) -> FailureInfo:
    code = error.error_code
    if code in ("BlobDownloadTimedOut", "ResourceContainerNotFound"):
        pass
    elif code == "ContainerNotFound" and file.http_url is None:
        code = "ResourceContainerNotFound"
    elif "NotFound" in code:
        code = "BlobNotFound"
    elif "Auth" in code or "Forbidden" in code or "Denied" in code:
        code = "BlobAccessDenied"
    elif code == "InvalidUri":
        code = "ResourceFileCreateFailed"
    else:
        code = "BlobDownloadMiscError"
    return _failure(code, file, error.message)


def _write_failure(file: ResourceFile, error: OSError) -> FailureInfo:
    if isinstance(error, TimeoutError):
        return _failure("BlobDownloadTimedOut", file, "the source stopped answering")
    if isinstance(error, ConnectionError):
        return _failure("BlobDownloadMiscError", file, "the source broke the connection")
    if error.errno == errno.ENOSPC:
        return _failure("DiskFull", file, "the disk is full")
    if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EEXIST):
        return _failure("ResourceFileCreateFailed", file, "a link, file or folder is in its place")
    return _failure("ResourceFileWriteFailed", file, error.strerror or "it cannot be written")


def _failure(code: str, file: ResourceFile, reason: str) -> FailureInfo:
    address = file.http_url or file.container_url or ""
    source = address.split("?")[0] or file.source_path or file.auto_container or "its content"
    name = file.file_path or file.blob_prefix or source
    details = (("FilePath", file.file_path), ("Source", source))
    return FailureInfo("UserError", code, f"The resource file '{name}' could not be staged: {reason}", details)
