"""Files and folders that come, go and move in the Data Lake service."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from kyanite.errors import StorageError, UserError
from kyanite.server.http import Query, Response
from kyanite.server.storage.authorise import container_and_path
from kyanite.server.storage.datalake import Call
from kyanite.server.storage.dfs_changing import take_lease
from kyanite.server.storage.dfs_reading import find
from kyanite.server.storage.dfs_wire import conditions, flag, read_properties, version_headers, with_content
from kyanite.storage import renames
from kyanite.storage.access_control import inherited, permitted
from kyanite.storage.appends import Appends
from kyanite.storage.model import check_container_name
from kyanite.storage.properties import PLAIN, Blob, Properties


async def create_file(call: Call) -> Response:
    """Make an empty file, in place of one that is there unless a condition forbids it.

    No event is told of it: as in Azure, that is for the flush that closes the file (FlushWithClose).
    """
    _require_new(call)

    def make() -> Blob:
        properties = _new_properties(call, is_folder=False)
        with call.store.stage() as staged:
            return call.store.publish(
                staged, call.filesystem, call.path, properties, conditions(call.request), quietly=True
            )

    made = await asyncio.to_thread(make)
    return await _created(call, made)


async def create_directory(call: Call) -> Response:
    """Make a folder and those above it; one that is there keeps its files."""
    _require_new(call)

    def make() -> Blob:
        properties = _new_properties(call, is_folder=True)
        return call.store.make_folder(call.filesystem, call.path, properties, conditions(call.request))

    return await _created(call, await asyncio.to_thread(make))


async def _created(call: Call, made: Blob) -> Response:
    headers = {**version_headers(made), "x-ms-request-server-encrypted": "true"}
    if "x-ms-proposed-lease-id" in call.request.headers:
        headers.update(await asyncio.to_thread(take_lease, call))
    return Response(201, headers)


def _require_new(call: Call) -> None:
    if not call.path:
        raise UserError("The request URI is invalid: it names no path.", code="InvalidUri")
    call.require("cw")
    if call.access.identity.kind == "sas" and _exists(call):
        call.require("w")


def _exists(call: Call) -> bool:
    try:
        return call.store.get(call.filesystem, call.path) is not None
    except StorageError:  # whatever it is, making the path will say it
        return True


def _new_properties(call: Call, *, is_folder: bool) -> Properties:
    headers = call.request.headers
    properties = with_content(PLAIN, call.request)
    call.store.require_container(check_container_name(call.filesystem))
    folder = call.store.spell(call.path).rpartition("/")[0]
    parent = call.store.get(call.filesystem, folder)
    access = inherited(parent.properties.access, is_folder=is_folder) if parent is not None else {}
    if not access:
        access = permitted(headers.get("x-ms-permissions", ""), headers.get("x-ms-umask", ""), is_folder=is_folder)
    if "x-ms-acl" in headers:
        from kyanite.storage.access_control import read_acl, with_acl

        access = with_acl(access, read_acl(headers["x-ms-acl"]), "set", is_folder=is_folder)
    for name in ("owner", "group"):
        if f"x-ms-{name}" in headers:
            access = {**access, name: headers[f"x-ms-{name}"]}
    return replace(properties, access=access)


async def delete(call: Call) -> Response:
    """Remove a file or an empty folder, with `recursive` a filled one; at once, so there is never a continuation."""
    call.require("d")
    recursive = flag(call.request, "recursive")
    if not call.store.spell(call.path):
        raise UserError("The root of a filesystem cannot be deleted; delete the filesystem.", code="InvalidUri")

    def remove() -> None:
        blob = find(call)
        call.store.delete(call.filesystem, call.path, conditions(call.request), recursive=recursive)
        if not blob.is_folder:
            Appends(call.store.folder, appends_key(blob), "").drop()

    await asyncio.to_thread(remove)
    return Response(200)


def appends_key(blob: Blob) -> str:
    """By what the bytes appended to a file are found: it stays when the file is renamed."""
    return f"{blob.inode:x}-{blob.properties.created_ns:x}"


async def rename(call: Call) -> Response:
    """Move a file or folder here, from any filesystem of the account, in one step."""
    if call.request.query.get("mode", "posix") not in ("legacy", "posix"):
        raise UserError("mode is legacy or posix.", code="InvalidQueryParameterValue")
    filesystem, path = _source(call)
    call.require("cwm")
    moved = await asyncio.to_thread(_move, call, filesystem, path)
    return Response(201, version_headers(moved))


def _source(call: Call) -> tuple[str, str]:
    address, _, query = call.request.headers["x-ms-rename-source"].partition("?")
    if not address.startswith("/"):
        raise UserError("The source URI is invalid: it is not /filesystem/path.", code="InvalidSourceUri")
    filesystem, path = container_and_path(address)
    if filesystem == call.account.name and not call.request.host_style and not _has_filesystem(call, filesystem):
        filesystem, path = container_and_path(f"/{address.lstrip('/').partition('/')[2]}")
    path = path.strip("/")
    if not filesystem or not path:
        raise UserError("The source URI is invalid: it is not /filesystem/path.", code="InvalidSourceUri")
    access = call.authority.enter_source(call.request, call.account, Query(query), call.access)
    access.require("md", container=filesystem, path=path)
    return filesystem, path


def _has_filesystem(call: Call, name: str) -> bool:
    return (call.store.folder / name).is_dir()


def _move(call: Call, filesystem: str, path: str) -> Blob:
    store, request = call.store, call.request
    for name in (filesystem, call.filesystem):
        store.require_container(check_container_name(name))
    target = store.spell(call.path)
    parent = target.rpartition("/")[0]
    if parent and not _is_folder(call, parent):
        raise StorageError(
            "The parent directory of the destination path does not exist.", code="RenameDestinationParentPathNotFound"
        )
    metadata = read_properties(request.headers["x-ms-properties"]) if "x-ms-properties" in request.headers else None
    try:
        moved = renames.rename(
            store,
            (filesystem, path),
            (call.filesystem, target),
            conditions(request, "x-ms-source-"),
            conditions(request),
        )
    except StorageError as problem:
        raise _rename_problem(problem) from problem
    if metadata is not None:
        moved = store.change(call.filesystem, target, lambda before: replace(before, metadata=metadata))
    return moved


def _is_folder(call: Call, path: str) -> bool:
    try:
        found = call.store.get(call.filesystem, path)
    except StorageError:
        return False
    return found is not None and found.is_folder


def _rename_problem(problem: StorageError) -> StorageError:
    if problem.error_code == "DirectoryNotEmpty":
        return StorageError("The specified path already exists.", code="PathAlreadyExists")
    if problem.error_code == "PathConflict":
        return StorageError(
            "The source and destination resource type must be identical.", code="InvalidSourceOrDestinationResourceType"
        )
    return problem
