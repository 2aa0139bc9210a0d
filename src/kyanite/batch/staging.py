"""Resource files -> the working directory, before the command starts. A failure ends the task without a retry."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from kyanite.batch.files import split_path, written_file
from kyanite.batch.model import FailureInfo, ResourceFile
from kyanite.errors import BatchError, KyaniteError

OpenUrl = Callable[[str], tuple[Any, str]]


class StagingError(BatchError):
    """A resource file could not be put in place; `failure` is what the task reports."""

    def __init__(self, failure: FailureInfo) -> None:
        super().__init__(failure.message, code=failure.code)
        self.failure = failure


def check_paths(files: Iterable[ResourceFile]) -> None:
    """BatchError for a resource file whose target leaves the working directory or which has not one source."""
    for file in files:
        split_path(file.file_path)
        sources = [source for source in (file.http_url, file.source_path, file.content) if source is not None]
        if len(sources) != 1:
            raise BatchError(
                f"Resource file '{file.file_path}' must have exactly one source, it has {len(sources)}.",
                code="InvalidPropertyValue",
            )


def stage(node_folder: Path, working: Sequence[str], files: Iterable[ResourceFile], open_url: OpenUrl) -> None:
    """Put each file below the working directory (`working` are its steps below the node's root)."""
    for file in files:
        try:
            _stage_one(node_folder, (*working, *split_path(file.file_path)), file, open_url)
        except OSError as error:
            raise StagingError(_write_failure(file, error)) from error
        except KyaniteError as error:
            raise StagingError(_read_failure(file, error)) from error


def _stage_one(node_folder: Path, parts: Sequence[str], file: ResourceFile, open_url: OpenUrl) -> None:
    if file.content is not None:
        with written_file(node_folder, parts, file.mode) as out:
            out.write(file.content)
        return
    if file.source_path is not None:
        source = _open_local(file.source_path)
    else:
        connection, path = open_url(str(file.http_url))
        source = connection.open_read(path)
    with source, written_file(node_folder, parts, file.mode) as out:
        shutil.copyfileobj(source, out, 1 << 20)


def _open_local(path: str) -> Any:
    try:
        return Path(path).open("rb")
    except OSError as error:
        raise BatchError(f"{path}: {error.strerror}", code="BlobNotFound") from error


def _read_failure(file: ResourceFile, error: KyaniteError) -> FailureInfo:
    code = error.error_code
    if "NotFound" in code:
        code = "BlobNotFound"
    elif "Auth" in code or "Forbidden" in code or "Denied" in code:
        code = "BlobAccessDenied"
    else:
        code = "BlobDownloadMiscError"
    return _failure(code, file, error.message)


def _write_failure(file: ResourceFile, error: OSError) -> FailureInfo:
    if error.errno == errno.ENOSPC:
        return _failure("DiskFull", file, "the disk is full")
    if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EEXIST):
        return _failure("ResourceFileCreateFailed", file, "a link, file or folder is in its place")
    return _failure("ResourceFileWriteFailed", file, error.strerror or "it cannot be written")


def _failure(code: str, file: ResourceFile, reason: str) -> FailureInfo:
    source = (file.http_url or "").split("?")[0] or file.source_path or "its content"
    details = (("FilePath", file.file_path), ("Source", source))
    return FailureInfo(
        "UserError", code, f"The resource file '{file.file_path}' could not be staged: {reason}", details
    )
