"""Where the bytes of a copy come from: a blob of this workspace, read on disk, or an address on the web.

An address that leads to this machine's own link or to the metadata service of a cloud is refused, checked on the
address that the connection really has; redirections are not followed and no credential is ever sent.
"""

from __future__ import annotations

import http.client
import ipaddress
import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from kyanite.errors import KyaniteError, StorageError, UserError
from kyanite.limits import BLOB_BYTES
from kyanite.server.http import Query, Request, split_host
from kyanite.server.places import azure_suffix, place
from kyanite.server.storage.authorise import Need
from kyanite.server.storage.call import Call
from kyanite.server.storage.checksums import NO_CHECKSUM, Checksum, Digests, given_checksums
from kyanite.server.storage.headers import read_conditions, read_range
from kyanite.server.storage.operations import split_path
from kyanite.storage import StorageAccount
from kyanite.storage.codes import status_of
from kyanite.storage.failures import disk_errors
from kyanite.storage.properties import APPEND_BLOB, DEFAULT_TYPE, Blob, Properties
from kyanite.storage.staged import Staged

_PIECE_BYTES = 1024 * 1024
_SECONDS = 60
_SOURCE_AUTHORIZATION = "x-ms-copy-source-authorization"
_MISSING = ("BlobNotFound", "ContainerNotFound")
_METADATA_SERVICES = frozenset({"168.63.129.16", "fd00:ec2::254", "100.100.100.200"})


@dataclass(frozen=True, slots=True)
class Source:
    """What was read: its checksum when the request gave one, and the properties that a whole copy takes over."""

    checksum: Checksum = NO_CHECKSUM
    properties: Properties = field(default_factory=Properties)


class SourceUnreadable(StorageError):
    """A source elsewhere that gave nothing; the answer has the status of its server's refusal, else it is a 404."""

    def __init__(self, why: str, status: int = 404) -> None:
        super().__init__(f"The source cannot be read: {why}.", code="CannotVerifyCopySource")
        self.http_status = status if 400 <= status < 500 else 404


async def fetch_into(call: Call, staged: Staged, wanted_range: str = "") -> Source:
    """Write the source of a copy, or a range of it, into a staged file.

    StorageError `CannotVerifyCopySource`, `SourceConditionNotMet`, `InvalidRange`, `Md5Mismatch`; UserError for an
    address that cannot be used.
    """
    address = call.required("x-ms-copy-source")
    own = own_source(call, address)
    if own is None:
        if call.header(_SOURCE_AUTHORIZATION):
            message = f"The header {_SOURCE_AUTHORIZATION} is not supported for a source elsewhere; give it a SAS."
            raise StorageError(message, code="UnsupportedHeader")
        source = await call.in_thread(_download, address, staged, wanted_range, _forwarded(call))
    else:
        source = await call.in_thread(_read_own, call, *own, staged, wanted_range)
    return await call.in_thread(_verified, call, staged, source)


def own_source(call: Call, address: str) -> tuple[StorageAccount, str, str] | None:
    """The account, container and path that an address names here, allowed to be read; None for one elsewhere."""
    request = _as_request(call, address)
    if request is None or place(request) != "storage":
        return None
    account = call.service.context.workspace.accounts.get(request.account)
    if account is None:
        return None
    container, path = split_path(request)
    for name in ("snapshot", "versionid"):
        if name in request.query:
            raise StorageError(f"The source names a {name}; there are none here.", code="UnsupportedQueryParameter")
    needs = [Need("r", "o", container, path)]
    if call.header("x-ms-copy-source-tag-option").upper() == "COPY":
        needs.append(Need("t", "o", container, path))
    try:
        if token := call.header(_SOURCE_AUTHORIZATION):
            request.headers, request.service = {"authorization": token}, "storage"
            call.authority.authorise(request, account, *needs)
        else:
            for need in needs:
                call.authority.authorise_source(call.request, account, request.query, need)
    except KyaniteError as problem:
        message = "This request is not authorized to perform this operation using this permission."
        raise StorageError(
            message, cure="It is the source that may not be read.", code="CannotVerifyCopySource"
        ) from problem
    return call.service.account(account.name), container, path


def _as_request(call: Call, address: str) -> Request | None:
    """The address as a request to this server, if it is one; UserError `InvalidHeaderValue` for no address at all."""
    try:
        parts = urlsplit(address)
        host, port = split_host(parts.netloc)
    except ValueError:
        parts, host, port = None, "", None
    if parts is None or parts.scheme not in ("http", "https") or not host or "@" in parts.netloc:
        raise UserError("x-ms-copy-source is no http address.", code="InvalidHeaderValue")
    ports = {*call.service.context.ports.values(), call.request.port}
    is_here = host in ("127.0.0.1", "localhost", "::1", call.request.host) and port in ports
    if not is_here and azure_suffix(host) is None:
        return None
    return Request(
        method="GET",
        scheme=parts.scheme,
        host=host,
        port=port,
        raw_path=parts.path or "/",
        query=Query(parts.query),
        headers=call.request.headers,
        client=call.request.client,
        receive=call.request.receive,
    )


def _read_own(
    call: Call, account: StorageAccount, container: str, path: str, staged: Staged, wanted_range: str
) -> Source:
    fd, blob = _opened(call, account, container, path)
    try:
        found = read_range(wanted_range, blob.size) if wanted_range else None
        first, length = found or (0, blob.size)
        with disk_errors(call.store.where(call.container, call.path)):
            staged.add(fd, first, length)
    finally:
        os.close(fd)
    return Source(properties=replace(blob.properties, access={}, copy={}, created_ns=0))


def _opened(call: Call, account: StorageAccount, container: str, path: str) -> tuple[int, Blob]:
    """The source, if it may be copied; as the service does, less is told of another account's than of one's own."""
    try:
        fd, blob = account.blobs.open(container, path)
        try:
            _check_source(call, blob)
        except BaseException:
            os.close(fd)
            raise
        return fd, blob
    except StorageError as problem:
        code = problem.error_code
        if account.name != call.account.name and code in (*_MISSING, "BlobArchived"):
            raise SourceUnreadable(problem.message.rstrip("."), status_of(code, problem.status)) from problem
        if code in _MISSING:
            raise StorageError("The source does not exist.", code="BlobNotFound") from problem
        raise


def _check_source(call: Call, blob: Blob) -> None:
    if blob.is_folder:
        raise StorageError("The source is a folder.", code="InvalidSourceUri")
    if blob.properties.tier == "Archive" and not call.header("x-ms-access-tier"):
        raise StorageError("The source is archived; set another tier first.", code="BlobArchived")
    conditions = read_conditions(call.request.headers, "x-ms-source-", "x-ms-source-lease-id")
    try:
        conditions.check(blob.etag, blob.modified, reading=True, tags=blob.properties.tags)
    except StorageError as problem:
        raise _source_condition() from problem


def _source_condition() -> StorageError:
    return StorageError("The condition on the source is not met.", code="SourceConditionNotMet")


def _verified(call: Call, staged: Staged, source: Source) -> Source:
    md5, crc64 = given_checksums(call.request.headers, "x-ms-source-content-md5", "x-ms-source-content-crc64")
    if not md5 and not crc64:
        return source
    digests = Digests(md5=bool(md5), crc64=bool(crc64))
    for at in range(0, staged.size, _PIECE_BYTES):
        digests.update(os.pread(staged.fd, _PIECE_BYTES, at))
    return replace(source, checksum=digests.checked(md5, crc64))


# ---- elsewhere


def is_refused(address: str) -> bool:
    """Whether no copy may read from an IP address: link-local, metadata services, and what is no host at all."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(ip, "ipv4_mapped", None)
    ip = mapped or ip
    return ip.is_link_local or ip.is_multicast or ip.is_unspecified or str(ip) in _METADATA_SERVICES


def _forwarded(call: Call) -> dict[str, str]:
    """The conditions on the source, for its own server to check."""
    prefix = "x-ms-source-if-"
    found = {name: value for name, value in call.request.headers.items() if name.startswith(prefix)}
    return {"x-ms-if-tags" if name == f"{prefix}tags" else name[12:]: value for name, value in found.items()}


def _download(address: str, staged: Staged, wanted_range: str, conditions: Mapping[str, str]) -> Source:
    parts = urlsplit(address)
    headers = {"user-agent": "kyanite", "accept-encoding": "identity", **conditions}
    if wanted_range:
        headers["range"] = wanted_range
    connection = _connect(parts.scheme, parts.hostname or "", parts.port)
    answer: http.client.HTTPResponse | None = None
    try:
        connection.request("GET", f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}", headers=headers)
        answer = connection.getresponse()
        if conditions and answer.status in (304, 412):
            raise _source_condition()
        if answer.status not in (200, 206) or (wanted_range and answer.status != 206):
            raise SourceUnreadable(f"its server answered {answer.status}", answer.status)
        while piece := answer.read(_PIECE_BYTES):
            if staged.size + len(piece) > BLOB_BYTES:
                raise StorageError("The source is larger than a blob may be.", code="RequestBodyTooLarge")
            with disk_errors(parts.hostname or ""):
                staged.write(piece)
        return Source(properties=_properties({name.lower(): value for name, value in answer.getheaders()}))
    except (http.client.HTTPException, ssl.SSLError, OSError) as problem:
        raise SourceUnreadable(type(problem).__name__) from problem
    finally:
        if answer is not None:  # what is left unread holds the socket
            answer.close()
        connection.close()


def _properties(headers: Mapping[str, str]) -> Properties:
    known = {
        "content_type": headers.get("content-type") or DEFAULT_TYPE,
        "content_encoding": headers.get("content-encoding", ""),
        "content_language": headers.get("content-language", ""),
        "content_disposition": headers.get("content-disposition", ""),
        "cache_control": headers.get("cache-control", ""),
    }
    metadata = {name[10:]: value for name, value in headers.items() if name.startswith("x-ms-meta-")}
    kind = APPEND_BLOB if headers.get("x-ms-blob-type") == APPEND_BLOB else Properties().blob_type
    return Properties(blob_type=kind, metadata=metadata, **known)  # type: ignore[arg-type]


def _connect(scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
    """A connection whose other end is an address that may be read from."""
    number = port or {"http": 80, "https": 443}[scheme]
    try:
        found = socket.getaddrinfo(host, number, type=socket.SOCK_STREAM)
    except OSError as problem:
        raise SourceUnreadable("its host is not known") from problem
    allowed = [entry for entry in found if not is_refused(str(entry[4][0]))]
    if not allowed:
        raise UserError("The source's address is not one that copies may read from.", code="InvalidSourceUri")
    opened = _open(allowed)
    connection = http.client.HTTPConnection(host, number, timeout=_SECONDS)
    if scheme == "https":
        opened = ssl.create_default_context().wrap_socket(opened, server_hostname=host)
    connection.sock = opened
    return connection


def _open(entries: list[Any]) -> socket.socket:
    problem: OSError | None = None
    for family, kind, protocol, _, address in entries:
        made = socket.socket(family, kind, protocol)
        made.settimeout(_SECONDS)
        try:
            made.connect(address)
        except OSError as failed:
            made.close()
            problem = failed
            continue
        return made
    raise SourceUnreadable("nobody answers there") from problem
