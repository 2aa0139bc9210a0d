"""One request to the Blob service, with what its operations need to answer it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from kyanite.errors import StorageError, UserError
from kyanite.server.http import Request, Response
from kyanite.server.storage.headers import http_date, quoted
from kyanite.storage import StorageAccount
from kyanite.storage.blobs import BlobStore

if TYPE_CHECKING:
    from kyanite.server.storage.authorise import Authority
    from kyanite.server.storage.service import StorageService

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True)
class Call:
    """`container` and `path` are decoded; `path` is empty for the operations of containers and the service."""

    request: Request
    account: StorageAccount
    container: str
    path: str
    service: StorageService

    @property
    def store(self) -> BlobStore:
        """The account on disk."""
        return self.account.blobs

    @property
    def authority(self) -> Authority:
        """Who decides what a request may do."""
        return self.service.authority

    @property
    def now(self) -> datetime:
        """The service's clock."""
        return self.service.context.clock()

    def header(self, name: str, default: str = "") -> str:
        """A request header, named in lower case."""
        return self.request.headers.get(name, default)

    def option(self, name: str, default: str = "") -> str:
        """A value of the query, named in lower case."""
        return self.request.query.get(name, default)

    def required(self, name: str) -> str:
        """A header that must be there. StorageError `MissingRequiredHeader`."""
        value = self.request.headers.get(name)
        if value is None:
            raise StorageError(f"The header {name} is required for this request.", code="MissingRequiredHeader")
        return value

    def number(self, name: str, *, required: bool = False) -> int | None:
        """A header as a number. UserError `InvalidHeaderValue`."""
        text = self.required(name) if required else self.request.headers.get(name)
        if text is None:
            return None
        try:
            return int(text)
        except ValueError as problem:
            raise UserError(f"The header {name} must be a number.", code="InvalidHeaderValue") from problem

    async def in_thread(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run something that may wait for the disk beside the event loop."""
        return await asyncio.to_thread(function, *args, **kwargs)


def changed(etag: str, modified: datetime, status: int = 200, **headers: str) -> Response:
    """An answer without a body that tells the new version; header names are given with `_` for `-`."""
    found = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, {"etag": quoted(etag), "last-modified": http_date(modified), **found})
