"""The storage service of a workspace: Blob and Data Lake requests, told apart, authorised and answered."""

from __future__ import annotations

import itertools
import logging
import os
import re
import threading
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime

from kyanite.errors import KyaniteError, StorageError, UserError
from kyanite.server.app import load
from kyanite.server.context import ServerContext
from kyanite.server.http import Request, Response
from kyanite.server.storage import datalake
from kyanite.server.storage.authorise import Authority
from kyanite.server.storage.call import Call
from kyanite.server.storage.operations import BY_KEY, Operation, key_of, needs, split_path
from kyanite.server.storage.refusal import AccessRefused
from kyanite.server.storage.sas import AccessPolicy
from kyanite.server.storage.xml import answer, element, leaf
from kyanite.storage import StorageAccount, containers
from kyanite.storage.codes import status_of
from kyanite.storage.sweeping import sweep

_LOG = logging.getLogger("kyanite.server")
VERSION = "2026-02-06"  # told to clients that name none
_VERSION = re.compile(r"\d{4}-\d\d-\d\d\Z")


class StorageService:
    """Mounted as `storage`; one account after the other is looked up by the request's name for it."""

    name = "storage"

    def __init__(self, context: ServerContext) -> None:
        self.context = context
        self.authority = Authority(context.workspace.vault, context.clock, policies)
        self._accounts: dict[str, StorageAccount] = {}
        self._datalake = datalake.DataLake(context, self.authority)
        self._loaded: dict[str, object] = {}

    async def handle(self, request: Request) -> Response:
        """Answer a Blob or Data Lake request."""
        if datalake.is_datalake(request):
            datalake.restore_account(request, self.has_account)
            response = await self._datalake.handle(request, self.account(request.account))
        else:
            response = await self.blob(request)
        return self.finish(request, response)

    def failure(self, request: Request, error: Exception) -> Response:
        """The service's error in XML, or in JSON for Data Lake requests."""
        if datalake.is_datalake(request):
            return self.finish(request, self._datalake.failure(request, error))
        return self.finish(request, failure(request, error))

    def finish(self, request: Request, response: Response) -> Response:
        """The headers that every answer has."""
        headers = response.headers
        if "x-ms-request-id" not in headers:
            headers["x-ms-request-id"] = new_id()
        headers["x-ms-version"] = request.headers.get("x-ms-version", VERSION)
        given = request.headers.get("x-ms-client-request-id")
        if given is not None and len(given) <= 1024:
            headers["x-ms-client-request-id"] = given
        return response

    def has_account(self, name: str) -> bool:
        """Whether there is an account of this name."""
        return self.context.workspace.accounts.get(name) is not None

    def account(self, name: str) -> StorageAccount:
        """The account of this name. AccessRefused when there is none, so that names are not told to anybody."""
        found = self._accounts.get(name)
        if found is None or not os.access(found.blobs.root, os.F_OK):
            fresh = self.context.workspace.accounts.get(name)
            if fresh is None:
                self._accounts.pop(name, None)
                raise AccessRefused("AuthenticationFailed", f"There is no storage account {name[:24]!r} here.")
            found = self._accounts[name] = fresh
            fresh.blobs.clock = self.context.clock
            threading.Thread(target=tidy, args=(fresh,), name="kyanite-tidy", daemon=True).start()
            fresh.sweep()
        return found

    async def blob(self, request: Request) -> Response:
        """Answer a Blob request that has been told apart from Data Lake ones."""
        account = self.account(request.account)
        version = request.headers.get("x-ms-version")
        if version is not None and not _VERSION.match(version):
            raise UserError("The header x-ms-version is not a version.", code="InvalidHeaderValue")
        container, path = split_path(request)
        call = Call(request, account, container, path, self)
        operation = BY_KEY.get(key_of(call))
        if operation is None:
            self.authority.authorise(request, account)
            raise StorageError("The request names no operation of the Blob service.", code="UnsupportedHttpVerb")
        if operation.run == PREFLIGHT:
            raise StorageError("CORS is not enabled for this account.", code="CorsPreflightFailure")
        access = self.authority.enter(request, account)
        if not access.is_owner:
            access.meet(*needs(operation, call))
        refuse_unsupported(operation, call)
        function = self._loaded.get(operation.run)
        if function is None:
            function = self._loaded[operation.run] = load(f"kyanite.server.storage.{operation.run}")
        response: Response = await function(call)  # type: ignore[operator]
        return response


def tidy(account: StorageAccount) -> None:
    """Remove what killed servers left beside the containers, old blocks, and records of what is no more."""
    try:
        sweep(account)
    except (OSError, KyaniteError):
        _LOG.exception("Leavings beside the containers of %s could not be removed", account.name)


PREFLIGHT = "cors"
_IDS = itertools.count()
_ID_PREFIX = str(uuid.uuid4())[:24]


def new_id() -> str:
    """A GUID for an answer: its beginning is this process's, its end counts."""
    return f"{_ID_PREFIX}{next(_IDS):012x}"


# what no operation here does, by header or query, told by its name instead of being overlooked
_REFUSED_HEADERS = {
    "x-ms-encryption-key": "customer-provided encryption keys",
    "x-ms-encryption-scope": "encryption scopes",
    "x-ms-immutability-policy-until-date": "immutability policies",
    "x-ms-legal-hold": "legal holds",
}
_REFUSED_NAMES = frozenset(_REFUSED_HEADERS)
_REFUSED_QUERY = {"snapshot": "snapshots", "versionid": "versions", "prevsnapshot": "snapshots"}


def refuse_unsupported(operation: Operation, call: Call) -> None:
    """StorageError that names the operation or feature that is asked for and not here."""
    if operation.refused:
        raise StorageError(f"{operation.name} is not supported: {operation.refused}.", code=operation.code)
    headers = call.request.headers
    if _REFUSED_NAMES.isdisjoint(headers) and call.request.query.is_empty:
        return
    for name in _REFUSED_HEADERS.keys() & headers.keys():
        if headers[name].lower() not in ("", "false"):
            message = f"The header {name} is not supported: no {_REFUSED_HEADERS[name]}."
            raise StorageError(message, code="UnsupportedHeader")
    for name, feature in _REFUSED_QUERY.items():
        if call.option(name):
            message = f"The query parameter {name} is not supported: no {feature}."
            raise StorageError(message, code="UnsupportedQueryParameter")


def policies(account: StorageAccount, container: str) -> Mapping[str, AccessPolicy]:
    """The stored access policies of a container; none for one that is not there."""
    try:
        found = containers.get(account.blobs, container)
    except KyaniteError:
        return {}
    return {name: AccessPolicy(start, expiry, permission) for name, start, expiry, permission in found.policies}


def failure(request: Request, error: Exception) -> Response:
    """The Blob service's error body; nothing of an unexpected error is told."""
    code, message, status = "InternalError", "The server encountered an internal error.", 500
    headers = {"x-ms-request-id": new_id()}
    if isinstance(error, KyaniteError):
        code, message = error.error_code, error.message if not error.cure else f"{error.message} {error.cure}"
        status = getattr(error, "http_status", None) or status_of(code, error.status)
    headers |= getattr(error, "headers", {})
    extra = ""
    if isinstance(error, AccessRefused):
        if error.challenge:
            headers["www-authenticate"] = error.challenge
        extra = leaf("AuthenticationErrorDetail", error.detail) if error.detail else ""
    headers["x-ms-error-code"] = code
    if status == 304:
        return Response(304, headers)
    if request.method == "HEAD":
        return Response(status, headers)
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f0Z")
    text = f"{message}\nRequestId:{headers['x-ms-request-id']}\nTime:{stamp}"
    return answer(element("Error", leaf("Code", code), leaf("Message", text), extra), status=status, headers=headers)
