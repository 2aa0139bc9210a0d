"""What every call of the management API goes through, top to bottom: token, route, role, version, body, handler, audit.

Nothing is looked at before the token is known, so a path without a route answers strangers as any other does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar
from urllib.parse import unquote
from uuid import uuid4

from kyanite.engine.events import utc_text
from kyanite.limits import MANAGEMENT_BODY_BYTES
from kyanite.server.context import ServerContext
from kyanite.server.guard import BadMethod, Refused
from kyanite.server.http import ClientGone, Request, Response
from kyanite.server.management.admission import Admission
from kyanite.server.management.arm import ArmCall, ArmError, Provider, Route, Shared
from kyanite.server.management.audit import AuditEntry, append
from kyanite.server.management.committing import Committer
from kyanite.server.management.failures import error_body, failure_response, status_of
from kyanite.server.management.providers import load_providers
from kyanite.server.management.routing import Router, namespace_of, split_path
from kyanite.server.tokens import AuthenticationError, Identity, bearer

Value = TypeVar("Value")
_NOBODY = Identity("", "anonymous", frozenset())


@dataclass
class _Progress:
    """How far a call has come, for the audit log and the answer's headers."""

    request_id: str
    identity: Identity = _NOBODY
    route: Route | None = None
    warnings: list[str] = field(default_factory=list)
    written: bool = False  # the entry of the audit log was committed together with what the call did


class ManagementService:
    """Azure Resource Manager's front for this workspace."""

    name = "management"

    def __init__(self, context: ServerContext) -> None:
        self._context = context
        self._providers = load_providers()
        self._router = Router(self._providers.values())
        self._shared = Shared(context)
        self._admission = Admission()
        self.committer = self._shared.get(committer)
        self._audits: set[asyncio.Future[None]] = set()

    async def handle(self, request: Request) -> Response:
        """Answer a call; every refusal and every change is in the audit log before the answer goes out."""
        progress = _Progress(str(uuid4()))
        try:
            response = await self._answer(request, progress)
            code = ""
        except ClientGone:
            raise
        except Exception as error:
            if status_of(error) < 500 or isinstance(error, ArmError):
                response = self._failed(error)
                code = error_body(error)["error"]["code"]
            else:
                await self._audit(request, progress, status_of(error), error_body(error)["error"]["code"])
                raise
        await self._audit(request, progress, response.status, code)
        _add_headers(request, response, progress)
        return response

    def failure(self, request: Request, error: Exception) -> Response:
        """Resource Manager's error body, without secrets. What the guard refused is written down here."""
        if isinstance(error, Refused | BadMethod):
            task = asyncio.ensure_future(self._audit(request, _Progress(str(uuid4())), error.status, error.error_code))
            self._audits.add(task)
            task.add_done_callback(self._audits.discard)
        return self._failed(error)

    def _failed(self, error: Exception) -> Response:
        return failure_response(error, self._context.workspace.vault.mask_json(error_body(error)))

    async def _answer(self, request: Request, progress: _Progress) -> Response:
        progress.identity = identity = self._identity(request)
        with self._admission.place(identity.id):
            segments = split_path(request.rest)
            found = self._router.find(request.method, segments)
            progress.route = route = found.route
            if not identity.may(route.role):
                raise _forbidden(identity, route, request)
            namespace = namespace_of(segments)
            _check_version(request, self._providers.get(namespace))
            if route.handler is None:
                raise _not_supported(route)
            call = ArmCall(
                context=self._context,
                request=request,
                route=route,
                identity=identity,
                provider=namespace,
                segments=segments,
                names=found.names,
                content=await request.body(MANAGEMENT_BODY_BYTES),
                shared=self._shared,
                warnings=progress.warnings,
                write=partial(self._write, request, progress),
            )
            return await route.handler(call)

    async def _write(self, request: Request, progress: _Progress, work: Callable[[], Value]) -> Value:
        database = self._context.workspace.database
        entry = self._entry(request, progress, 200, "")

        def both() -> Value:
            value = work()
            append(database, entry)
            return value

        value = await self.committer.run(both)
        progress.written = True
        return value

    def _identity(self, request: Request) -> Identity:
        try:
            identity = bearer(request, self._context.workspace.vault, self._context.clock())
        except AuthenticationError:
            self._admission.count_refusal(request.client)
            raise
        if identity is None:
            raise AuthenticationError(
                "Authentication failed. The 'Authorization' header is missing.", code="AuthenticationFailed"
            )
        request.identity = identity
        return identity

    async def _audit(self, request: Request, progress: _Progress, status: int, code: str) -> None:
        route = progress.route
        if status < 400 and (progress.written or (route is not None and route.role == "reader")):
            return
        database, entry = self._context.workspace.database, self._entry(request, progress, status, code)
        await self.committer.run(lambda: append(database, entry))

    def _entry(self, request: Request, progress: _Progress, status: int, code: str) -> AuditEntry:
        route = progress.route
        return AuditEntry(
            at=utc_text(self._context.clock()),
            who=progress.identity.name,
            kind=progress.identity.kind,
            client=request.client,
            method=request.method,
            operation=route.operation if route else "",
            target=self._context.workspace.vault.mask(_printable(request.rest)),
            result=status,
            code=code,
            request_id=progress.request_id,
        )


def committer(context: ServerContext) -> Committer:
    """The server's group commit: `call.shared.get(committer).run(work)`."""
    return Committer(context.workspace.database)


def _check_version(request: Request, provider: Provider | None) -> None:
    version = request.query.get("api-version")
    if not version:
        raise ArmError(
            "The api-version query parameter (?api-version=) is required for all requests.",
            code="MissingApiVersionParameter",
            status=400,
        )
    known = provider.api_versions if provider else ()
    if known and version not in known:
        raise ArmError(
            f"The api-version '{version[:40]}' is not supported here. Supported: {', '.join(known)}.",
            code="InvalidApiVersionParameter",
            status=400,
        )


def _forbidden(identity: Identity, route: Route, request: Request) -> ArmError:
    roles = ", ".join(sorted(identity.roles)) or "none"
    return ArmError(
        f"The client '{identity.name}' does not have authorization to perform '{route.operation}' "
        f"over scope '{_printable(request.rest)[:400]}': it needs the role {route.role}, and has {roles}.",
        code="AuthorizationFailed",
        status=403,
    )


def _not_supported(route: Route) -> ArmError:
    return ArmError(
        f"The operation {route.operation} is not supported by kyanite.",
        code="NotSupported",
        status=501,
        target=route.operation,
    )


def _printable(path: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in unquote(path))


def _add_headers(request: Request, response: Response, progress: _Progress) -> None:
    headers = response.headers
    headers.setdefault("x-ms-request-id", progress.request_id)
    headers["x-ms-correlation-request-id"] = _plain(request.headers.get("x-ms-correlation-request-id")) or (
        progress.request_id
    )
    client_id = _plain(request.headers.get("x-ms-client-request-id"))
    if client_id:
        headers["x-ms-client-request-id"] = client_id
    headers.setdefault("cache-control", "no-store")
    headers.setdefault("x-content-type-options", "nosniff")
    if progress.warnings:
        headers["warning"] = ", ".join(f'199 kyanite "{_quotable(text)}"' for text in progress.warnings[:10])


def _plain(value: str | None) -> str:
    return value if value and len(value) <= 80 and value.isascii() and value.isprintable() else ""


def _quotable(text: str) -> str:
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in text).replace("\\", "/").replace('"', "'")
