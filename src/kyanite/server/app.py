"""From the wire to a service and back: guard, place, handle, and an error in the shape the client reads."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from kyanite.errors import KyaniteError
from kyanite.server.guard import check
from kyanite.server.http import ClientGone, Request, Response, Service
from kyanite.server.places import azure_suffix, place

if TYPE_CHECKING:
    from kyanite.server.context import ServerContext

_LOG = logging.getLogger("kyanite.server")

# name -> "module:function", the function takes a ServerContext and gives a Service; imported on the first request
SERVICES: dict[str, str] = {
    "authority": "kyanite.server.authority:open_service",
    "batch": "kyanite.server.batch:open_service",
    "management": "kyanite.server.management:open_service",
    "status": "kyanite.server.status:open_service",
    "storage": "kyanite.server.storage:open_service",
}


class Application:
    """What answers the requests of a workspace."""

    def __init__(self, context: ServerContext, services: Mapping[str, str] = SERVICES) -> None:
        self._context = context
        self._names = services
        self._services: dict[str, Service] = {}
        self._service("status")  # it counts from the first request on

    async def __call__(self, request: Request) -> Response:
        """Answer one request. ClientGone when nobody waits for the answer any more."""
        response = await self._answer(request)
        self._context.observe(request, response)
        return response

    async def _answer(self, request: Request) -> Response:
        request.service = place(request)
        service = self._service(request.service)
        try:
            check(request, _is_azure)
            return await service.handle(request)
        except ClientGone:
            raise
        except KyaniteError as error:
            return service.failure(request, error)
        except Exception as error:  # noqa: BLE001 - told to the log, answered as InternalError
            _LOG.exception("%s of %s failed", request.method, request.service)
            return service.failure(request, error)

    def _service(self, name: str) -> Service:
        if name not in self._services:
            self._services[name] = load(self._names[name])(self._context)
        return self._services[name]


def _is_azure(host: str) -> bool:
    return azure_suffix(host) is not None


def load(reference: str) -> Callable[[ServerContext], Service]:
    """The function that a table names as "module:function"."""
    from importlib import import_module

    module, _, attribute = reference.partition(":")
    found: Callable[[ServerContext], Service] = getattr(import_module(module), attribute)
    return found
