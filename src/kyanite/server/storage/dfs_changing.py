"""Changes of what is known of files and folders in the Data Lake service: properties, access control, leases."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from typing import Any, Literal, cast

from kyanite.errors import StorageError, UserError
from kyanite.limits import ACL_RECURSIVE
from kyanite.server.http import Response
from kyanite.server.storage.datalake import Call
from kyanite.server.storage.dfs_reading import find
from kyanite.server.storage.dfs_wire import bad_header, bad_parameter, conditions, number, version_headers, with_content
from kyanite.storage import hierarchy, leases
from kyanite.storage.access_control import read_acl, with_acl, with_permissions
from kyanite.storage.conditions import NO_CONDITIONS
from kyanite.storage.leases import Lease
from kyanite.storage.properties import Blob, Properties

_OWNER = re.compile(r"[A-Za-z0-9$@._~-]{1,128}\Z")
_MODES = ("modify", "remove", "set")


async def set_properties(call: Call) -> Response:
    """Other metadata and content headers; those that are not given stay."""
    call.require("w")

    def change() -> Blob:
        find(call)
        return call.store.change(
            call.filesystem, call.path, lambda before: with_content(before, call.request), conditions(call.request)
        )

    return Response(200, version_headers(await asyncio.to_thread(change)))


# ---- access control


async def set_access_control(call: Call) -> Response:
    """Another owner, group, and either permissions or a whole access control list."""
    headers = call.request.headers
    call.require("po")
    if "x-ms-acl" in headers and "x-ms-permissions" in headers:
        raise UserError("x-ms-acl and x-ms-permissions exclude each other.", code="InvalidInput")
    for name in ("owner", "group"):
        if f"x-ms-{name}" in headers and not _OWNER.match(headers[f"x-ms-{name}"]):
            raise bad_header(f"x-ms-{name}", "it is no id of a user or group")

    def change() -> Blob:
        is_folder = find(call).is_folder

        def changed(before: Properties) -> Properties:
            access = dict(before.access)
            if headers.get("x-ms-acl"):
                access = with_acl(access, read_acl(headers["x-ms-acl"]), "set", is_folder=is_folder)
            if headers.get("x-ms-permissions"):
                access = with_permissions(access, headers["x-ms-permissions"], is_folder=is_folder)
            for name in ("owner", "group"):
                if f"x-ms-{name}" in headers:
                    access[name] = headers[f"x-ms-{name}"]
            return replace(before, access=access)

        return call.store.change(call.filesystem, call.path, changed, conditions(call.request), quietly=True)

    return Response(200, version_headers(await asyncio.to_thread(change)))


async def set_access_control_recursive(call: Call) -> Response:
    """Set, merge or remove entries of a folder and of all in it, so many paths at a time."""
    from kyanite.server.storage.dfs_filesystems import read_token, token

    call.require("po")
    mode = call.request.query.get("mode")
    if mode not in _MODES:
        raise bad_parameter("mode", "it is set, modify or remove")
    most = number(call.request, "maxRecords", ACL_RECURSIVE)
    if not 1 <= most <= ACL_RECURSIVE:
        raise bad_parameter("maxRecords", f"it is not from 1 to {ACL_RECURSIVE}")
    if not call.request.headers.get("x-ms-acl"):
        raise UserError("The header x-ms-acl is missing.", code="MissingRequiredHeader")
    after = read_token(call)
    counted, last = await asyncio.to_thread(_change_below, call, mode, after, most)
    headers = {"x-ms-namespace-enabled": "true"}
    if last:
        headers["x-ms-continuation"] = token(last)
    return Response.json(counted, headers=headers)


def _change_below(call: Call, mode: str, after: str, most: int) -> tuple[dict[str, Any], str]:
    """How many were changed, and the key of the last one when there are more."""
    top = find(call)
    changes = read_acl(call.request.headers["x-ms-acl"], rights=mode != "remove")
    store, folder = call.store, store_path(call)
    found: list[tuple[str, Blob]] = [] if after else [("", top)]
    if top.is_folder:
        below = hierarchy.paths(store, call.filesystem, folder, recursive=True, after=after)
        found += islice(below, most + 1 - len(found))
    counted: dict[str, Any] = {"directoriesSuccessful": 0, "filesSuccessful": 0, "failureCount": 0, "failedEntries": []}
    chosen = cast(Literal["set", "modify", "remove"], mode)
    for _, blob in found[:most]:
        try:
            store.change(
                call.filesystem,
                blob.path,
                lambda before, blob=blob: replace(  # type: ignore[misc]
                    before, access=with_acl(before.access, changes, chosen, is_folder=blob.is_folder)
                ),
                NO_CONDITIONS,
                quietly=True,
            )
            counted["directoriesSuccessful" if blob.is_folder else "filesSuccessful"] += 1
        except StorageError as problem:
            if problem.error_code == "InvalidInput":
                raise
            counted["failureCount"] += 1
            kind = "DIRECTORY" if blob.is_folder else "FILE"
            counted["failedEntries"].append({"name": blob.path, "type": kind, "errorMessage": problem.message})
    return counted, found[most - 1][0] if len(found) > most else ""


def store_path(call: Call) -> str:
    """The one spelling of the call's path."""
    return call.store.spell(call.path)


# ---- leases


async def lease(call: Call) -> Response:
    """Acquire, renew, change, release or break the lease of a file or folder."""
    call.require("wd" if call.request.headers.get("x-ms-lease-action") in ("break", "release") else "w")
    steps: dict[str, tuple[int, Callable[[Call], dict[str, str]]]] = {
        "acquire": (201, take_lease),
        "break": (202, _break),
        "change": (200, _change),
        "release": (200, release_lease),
        "renew": (200, renew_lease),
    }
    action = call.request.headers.get("x-ms-lease-action", "").lower()
    if action not in steps:
        raise bad_header("x-ms-lease-action", f"it is one of {', '.join(steps)}")
    status, step = steps[action]
    return Response(status, await asyncio.to_thread(step, call))


def take_lease(call: Call) -> dict[str, str]:
    """Acquire; the headers that tell of it."""
    seconds = _seconds(call, "x-ms-lease-duration", required=True)
    proposed = call.request.headers.get("x-ms-proposed-lease-id")
    now = call.context.clock()
    return _step(call, lambda held: leases.acquire(held, seconds or -1, proposed, now))


def renew_lease(call: Call) -> dict[str, str]:
    """Renew; the headers that tell of it."""
    given, now = _given(call), call.context.clock()
    return _step(call, lambda held: leases.renew(held, given, now))


def release_lease(call: Call, held_id: str | None = None) -> dict[str, str]:
    """Release the lease of this id, or of the request's; the headers that tell of it."""
    given = held_id or _given(call)

    def step(held: Lease | None) -> Lease | None:
        leases.release(held, given)
        return None

    headers = _step(call, step)
    headers.pop("x-ms-lease-id", None)
    return headers


def _change(call: Call) -> dict[str, str]:
    given, now = _given(call), call.context.clock()
    proposed = call.request.headers.get("x-ms-proposed-lease-id", "")
    return _step(call, lambda held: leases.change(held, given, proposed, now))


def _break(call: Call) -> dict[str, str]:
    period = _seconds(call, "x-ms-lease-break-period")
    now, left = call.context.clock(), [0]

    def step(held: Lease | None) -> Lease | None:
        broken, left[0] = leases.break_lease(held, period, now)
        return broken

    headers = _step(call, step)
    headers.pop("x-ms-lease-id", None)
    return {**headers, "x-ms-lease-time": str(left[0])}


def _step(call: Call, step: Callable[[Lease | None], Lease | None]) -> dict[str, str]:
    find(call)
    held: list[Lease | None] = []

    def kept(before: Lease | None) -> Lease | None:
        held.append(step(before))
        return held[-1]

    blob = call.store.lease(call.filesystem, call.path, kept, replace(conditions(call.request), lease_id=None))
    headers = version_headers(blob)
    if held and held[-1] is not None:
        headers["x-ms-lease-id"] = held[-1].id
    return headers


def _given(call: Call) -> str:
    given = call.request.headers.get("x-ms-lease-id")
    if not given:
        raise UserError("The header x-ms-lease-id is missing.", code="MissingRequiredHeader")
    return given


def _seconds(call: Call, name: str, *, required: bool = False) -> int | None:
    text = call.request.headers.get(name, "")
    if not text and not required:
        return None
    try:
        return int(text)
    except ValueError:
        raise bad_header(name, "it is not a number of seconds") from None
