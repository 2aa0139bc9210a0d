"""`/healthz` says only "ok" and needs no key; `/metrics` is for Prometheus and needs a token of any role."""

from __future__ import annotations

import asyncio

from kyanite.errors import KyaniteError, NotFoundError
from kyanite.server.context import ServerContext
from kyanite.server.guard import BadMethod
from kyanite.server.http import Request, Response
from kyanite.server.metrics import CONTENT_TYPE, Metrics
from kyanite.server.tokens import AuthenticationError, bearer


class StatusService:
    """The routes about the server itself."""

    name = "status"

    def __init__(self, context: ServerContext) -> None:
        self._context = context
        self._metrics = Metrics()
        context.observers.append(self._metrics.observe)

    async def handle(self, request: Request) -> Response:
        """`/healthz` or `/metrics`; NotFoundError for all else."""
        if request.raw_path not in ("/healthz", "/metrics"):
            raise NotFoundError("There is nothing here.")
        if request.method not in ("GET", "HEAD"):
            raise BadMethod("This can only be read.")
        if request.raw_path == "/healthz":
            return Response.text("ok")
        workspace = self._context.workspace
        identity = bearer(request, workspace.vault, self._context.clock())
        if identity is None or not identity.may("reader"):
            raise AuthenticationError("A token is needed.", cure="The workspace's file `token` holds the owner's.")
        text = await asyncio.to_thread(self._metrics.text, workspace.database)
        return Response(200, {"content-type": CONTENT_TYPE}, text.encode())

    def failure(self, request: Request, error: Exception) -> Response:
        """A small JSON error."""
        if isinstance(error, KyaniteError):
            ask = {"www-authenticate": 'Bearer realm="kyanite"'} if error.status == 401 else None
            return Response.json({"error": {"code": error.error_code, "message": str(error)}}, error.status, ask)
        return Response.json({"error": {"code": "InternalError", "message": "The server failed."}}, 500)


def open_service(context: ServerContext) -> StatusService:
    """For the table of services."""
    return StatusService(context)
