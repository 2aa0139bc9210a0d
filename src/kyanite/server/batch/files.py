"""The files of tasks and nodes: lists, properties, ranges read in pieces, deletion."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from urllib.parse import quote

from kyanite import limits
from kyanite.batch.files import FileEntry, OpenFile
from kyanite.batch.wire import file_json
from kyanite.errors import BatchError
from kyanite.server.batch.options import check_read, conditions_of, page
from kyanite.server.batch.protocol import Call, Reply, http_date, wrong_header
from kyanite.server.http import Response

_RANGE = re.compile(r"bytes=(\d{1,18})?-(\d{1,18})?")


def list_of_task(call: Call) -> Reply:
    """File_ListFromTask."""
    listed = call.service.list_task_files(*_task(call), recursive=call.flag("recursive"))
    return _list(call, listed)


def list_of_node(call: Call) -> Reply:
    """File_ListFromComputeNode."""
    listed = call.service.list_node_files(*_node(call), recursive=call.flag("recursive"))
    return _list(call, listed)


def properties_of_task(call: Call) -> Reply:
    """File_GetPropertiesFromTask."""
    return _properties(call, call.service.task_file(*_task(call), call.parameters["filePath"]))


def properties_of_node(call: Call) -> Reply:
    """File_GetPropertiesFromComputeNode."""
    return _properties(call, call.service.node_file(*_node(call), call.parameters["filePath"]))


def read_of_task(call: Call) -> Reply:
    """File_GetFromTask."""
    return _read(call, call.service.task_file(*_task(call), call.parameters["filePath"]))


def read_of_node(call: Call) -> Reply:
    """File_GetFromComputeNode."""
    return _read(call, call.service.node_file(*_node(call), call.parameters["filePath"]))


def delete_of_task(call: Call) -> Reply:
    """File_DeleteFromTask."""
    recursive = call.flag("recursive")
    call.service.delete_task_file(*_task(call), call.parameters["filePath"], recursive=recursive)
    return Reply()


def delete_of_node(call: Call) -> Reply:
    """File_DeleteFromComputeNode."""
    recursive = call.flag("recursive")
    call.service.delete_node_file(*_node(call), call.parameters["filePath"], recursive=recursive)
    return Reply()


def read_range(text: str, size: int) -> tuple[int, int]:
    """First byte and length of a range header for a file of `size` bytes. InvalidHeaderValue, InvalidRange."""
    found = _RANGE.fullmatch(text.strip())
    if found is None or (found[1] is None and found[2] is None):
        raise wrong_header("ocp-range", text, "It is bytes=FIRST-LAST, bytes=FIRST- or bytes=-LENGTH.")
    if found[1] is None:
        length = min(int(found[2]), size)
        first = size - length
    else:
        first = int(found[1])
        last = size - 1 if found[2] is None else min(int(found[2]), size - 1)
        length = last - first + 1
        if found[2] is not None and int(found[2]) < first:
            raise wrong_header("ocp-range", text, "Its end is before its beginning.")
    if length <= 0 or first >= size:
        raise BatchError(
            "The range specified is invalid for the current size of the resource.",
            code="InvalidRange",
            values=(("Size", str(size)), ("Range", text[:100])),
        )
    return first, length


def _task(call: Call) -> tuple[str, str, str]:
    return call.account, call.parameters["jobId"], call.parameters["taskId"]


def _node(call: Call) -> tuple[str, str, str]:
    return call.account, call.parameters["poolId"], call.parameters["nodeId"]


def _list(call: Call, listed: Sequence[FileEntry]) -> Reply:
    place = call.base + call.request.rest.rstrip("/")

    def after(name: str | None) -> list[FileEntry]:
        return [entry for entry in listed if name is None or entry.name > name]

    return page(call, "files", after, lambda entry: file_json(entry, place), lambda entry: entry.name, "files")


def _properties(call: Call, file: OpenFile) -> Reply:
    with file:
        _check(call, file)
        headers = _headers(call, file)
        headers["content-length"] = str(file.size)
    return Reply(raw=Response(200, headers))


def _read(call: Call, file: OpenFile) -> Reply:
    try:
        _check(call, file)
        if file.is_folder:
            raise BatchError("The specified file is a directory.", where=file.name, code="FileNotFound")
        headers = _headers(call, file)
        own, usual = call.request.headers.get("ocp-range", ""), call.request.headers.get("range", "")
        first, length = 0, file.size
        if own or usual:
            first, length = read_range(own or usual, file.size)
            headers["content-range"] = f"bytes {first}-{first + length - 1}/{file.size}"
        headers["content-length"] = str(length)
        # the official clients take 200 only, also for their ocp-range; 206 is for those who ask by Range
        status = 206 if usual and not own else 200
        return Reply(raw=Response(status, headers, _pieces(file, first, length)))
    except BaseException:
        file.close()
        raise


async def _pieces(file: OpenFile, first: int, length: int) -> AsyncIterator[bytes]:
    """The bytes of a range; a file that became shorter meanwhile ends the connection, its length was promised."""
    try:
        end = first + length
        while first < end:
            piece = await asyncio.to_thread(file.read, first, min(limits.FILE_CHUNK_BYTES, end - first))
            if not piece:
                raise BatchError("The file became shorter while it was read.", where=file.name)
            first += len(piece)
            yield piece
    finally:
        file.close()


def _check(call: Call, file: OpenFile) -> None:
    """If-Modified-Since and If-Unmodified-Since of a file."""
    moment = f"{file.modified:%Y-%m-%dT%H:%M:%S.%f}Z"
    check_read(conditions_of(call), {"lastModified": moment, "eTag": _etag(file)})


def _etag(file: OpenFile) -> str:
    return f"0x{int(file.modified.timestamp() * 1_000_000):X}"


def _headers(call: Call, file: OpenFile) -> dict[str, str]:
    return {
        "content-type": "application/octet-stream",
        "etag": f'"{_etag(file)}"',
        "last-modified": http_date(file.modified),
        "ocp-creation-time": http_date(file.modified),
        "ocp-batch-file-isdirectory": "true" if file.is_folder else "false",
        "ocp-batch-file-url": quote(call.base + call.request.rest, safe="/:%()[]!*'@&=+$,;~"),
        "ocp-batch-file-mode": f"{'04' if file.is_folder else '10'}{file.mode:04o}",
        "accept-ranges": "bytes",
    }
