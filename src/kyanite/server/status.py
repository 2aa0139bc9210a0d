"""`/healthz` says only "ok" and needs no key; `/metrics` is for Prometheus."""

from __future__ import annotations

from kyanite.errors import KyaniteError, NotFoundError
from kyanite.server.context import ServerContext
from kyanite.server.http import Request, Response


class StatusService:
    """The routes about the server itself."""

    name = "status"

    def __init__(self, context: ServerContext) -> None:
        self._context = context

    async def handle(self, request: Request) -> Response:
        """`/healthz`; NotFoundError for all else."""
        if request.raw_path == "/healthz" and request.method in ("GET", "HEAD"):
            return Response.text("ok")
        raise NotFoundError("There is nothing here.")

    def failure(self, request: Request, error: Exception) -> Response:
        """A small JSON error."""
        if isinstance(error, KyaniteError):
            return Response.json({"error": {"code": error.error_code, "message": str(error)}}, error.status)
        return Response.json({"error": {"code": "InternalError", "message": "The server failed."}}, 500)


def open_service(context: ServerContext) -> StatusService:
    """For the table of services."""
    return StatusService(context)
