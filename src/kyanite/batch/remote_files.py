"""Resource files for a pool elsewhere: what it can fetch itself is only named, the rest is brought to it.

Brought means: put into a storage container of its own (a SAS address, kept in the vault) when there is one, else
carried in the task's environment and written by the command that starts the task.
"""

from __future__ import annotations

import base64
import http.client
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import quote, urlsplit

from kyanite import limits
from kyanite.batch.command_line import parse_command_line
from kyanite.batch.pools import Launch, Room
from kyanite.batch.specs import ResourceFile
from kyanite.batch.staging import opened as opened_files
from kyanite.connections.embedded import EmbeddedConnection
from kyanite.errors import BatchError

NO_PROGRAM_MARK = "kyanite-program-not-found"
_SCRIPT = "KYANITE_RUN"
_FILE = "KYANITE_FILE_"
_STORAGE_HOSTS = (".blob.", ".dfs.")
_VERSION = "2023-11-03"
_CHUNK = 1 << 20


@dataclass
class Delivery:
    """What a remote task gets: files by address, environment variables, and the first lines of its script."""

    resource_files: list[dict[str, str]] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)


def deliver(launch: Launch, room: Room, container: str | None, folder: str) -> Delivery:
    """Name or bring every resource file of a launch; BatchError when one is too large to be carried."""
    delivery = Delivery()
    carried = 0
    for number, (file, steps, content) in enumerate(_to_bring(launch, room, delivery)):
        path = "/".join(steps)
        if container is not None:
            address = put_blob(container, f"{folder}/{number}", content)
            mode = f"{file.mode:04o}"
            delivery.resource_files.append({"httpUrl": address, "filePath": path, "fileMode": mode})
            continue
        carried += len(content)
        if carried > limits.REMOTE_CARRIED_BYTES:
            raise BatchError(
                f"The task's own files are larger than {limits.REMOTE_CARRIED_BYTES:,} bytes in all.",
                cure="Give the pool a storage container: `kyanite batch account connect --container SAS_URL`.",
                code="ResourceFileWriteFailed",
            )
        delivery.environment[f"{_FILE}{number}"] = base64.b64encode(content).decode()
        parent = "/".join(steps[:-1])
        if parent:
            delivery.lines.append(f"mkdir -p {shlex.quote(parent)}")
        quoted = shlex.quote(path)
        delivery.lines.append(f'printf %s "${_FILE}{number}" | base64 -d > {quoted} && chmod {file.mode:o} {quoted}')
        delivery.lines.append(f"unset {_FILE}{number}")
    return delivery


def _to_bring(launch: Launch, room: Room, delivery: Delivery) -> Iterator[tuple[ResourceFile, tuple[str, ...], bytes]]:
    for file in launch.resource_files:
        if _reachable(file, room):
            delivery.resource_files.append(_named(file))
            continue
        for steps, source in opened_files(file, room, launch.key.place.account):
            with source as stream:
                yield file, steps, b"".join(iter(partial(stream.read, _CHUNK), b""))


def _reachable(file: ResourceFile, room: Room) -> bool:
    """Whether the far side can fetch it: an address that is not one of this workspace's own storage."""
    address = file.http_url or file.container_url
    if address is None:
        return False
    host = urlsplit(address).hostname or ""
    if urlsplit(address).scheme not in ("http", "https"):
        return False
    if not any(part in host for part in _STORAGE_HOSTS):
        return True
    connection, _ = room.open_url(address)
    return not isinstance(connection, EmbeddedConnection)


def _named(file: ResourceFile) -> dict[str, str]:
    document = {"filePath": file.file_path, "fileMode": f"{file.mode:04o}"}
    if file.http_url is not None:
        return document | {"httpUrl": file.http_url}
    prefix = {"blobPrefix": file.blob_prefix} if file.blob_prefix else {}
    return document | {"storageContainerUrl": file.container_url or ""} | prefix


def command(launch: Launch, delivery: Delivery) -> tuple[str, dict[str, str]]:
    """The remote command line and environment: a shell writes the files and becomes the command.

    The script is a variable, so that no quoting depends on how the far side splits command lines. A program that does
    not exist leaves a mark, because a shell can only say 127.
    """
    place = launch.key.place
    own = {
        "AZ_BATCH_ACCOUNT_NAME": place.account,
        "AZ_BATCH_POOL_ID": place.pool,
        "AZ_BATCH_JOB_ID": launch.job_id or "",
        "AZ_BATCH_TASK_ID": launch.task_id or "",
    }
    arguments = parse_command_line(launch.command_line)
    program = shlex.quote(arguments[0])
    lines = [
        f"unset {_SCRIPT}",
        *delivery.lines,
        *(f"export {name}={shlex.quote(value)}" for name, value in own.items() if value),
        f"command -v {program} >/dev/null || {{ touch {NO_PROGRAM_MARK}; exit 127; }}",
        f"exec {shlex.join(arguments)}",
    ]
    environment = {**launch.environment, **delivery.environment, _SCRIPT: "\n".join(lines)}
    return f"/bin/sh -c 'eval \"${_SCRIPT}\"'", environment


def settings(environment: dict[str, str]) -> list[dict[str, str]]:
    """Environment variables in the wire's form."""
    return [{"name": name, "value": value} for name, value in environment.items()]


# ---- blobs behind a SAS address


def put_blob(container: str, name: str, content: bytes) -> str:
    """Write a blob below a container's SAS address; its own address, with the signature."""
    address = _blob_address(container, name)
    headers = {"x-ms-blob-type": "BlockBlob", "x-ms-version": _VERSION, "content-length": str(len(content))}
    status, reason = _storage("PUT", address, content, headers)
    if status != 201:
        raise BatchError(
            f"A file could not be put into the pool's storage container: {status} {reason}.",
            cure="The container's SAS address needs the permissions read, create and write; it may have expired.",
            code="BlobAccessDenied",
        )
    return address


def delete_blobs(container: str, folder: str, files: Iterable[Mapping[str, Any]]) -> None:
    """Remove the blobs that `deliver` wrote among a task's resource files; BatchError when the container refuses."""
    brought = [file["httpUrl"] for file in files if f"/{quote(folder)}/" in file.get("httpUrl", "")]
    for number in range(len(brought)):
        headers = {"x-ms-version": _VERSION}
        status, reason = _storage("DELETE", _blob_address(container, f"{folder}/{number}"), b"", headers)
        if status not in (202, 404):
            raise BatchError(f"A delivered file could not be deleted: {status} {reason}.", code="BlobAccessDenied")


def _blob_address(container: str, name: str) -> str:
    base, _, signature = container.partition("?")
    return f"{base.rstrip('/')}/{quote(name)}?{signature}"


def _storage(method: str, address: str, content: bytes, headers: dict[str, Any]) -> tuple[int, str]:
    parts = urlsplit(address)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=limits.REMOTE_TIMEOUT_SECONDS)
    try:
        connection.request(method, f"{parts.path}?{parts.query}", body=content or None, headers=headers)
        response = connection.getresponse()
        response.read()
        return response.status, response.reason
    except (OSError, http.client.HTTPException) as error:
        raise BatchError(
            f"The pool's storage container does not answer: {error}.", code="BlobDownloadMiscError"
        ) from error
    finally:
        connection.close()
