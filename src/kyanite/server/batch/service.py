"""The Batch service on the wire: who asks, which operation, its answer or the service's error body."""

from __future__ import annotations

import asyncio
import base64
import secrets

from kyanite import limits
from kyanite.errors import BatchError, KyaniteError, LimitError
from kyanite.server.batch import protocol
from kyanite.server.batch.operations import Operation
from kyanite.server.batch.options import check_query
from kyanite.server.batch.protocol import Call
from kyanite.server.batch.routing import Route, find_route
from kyanite.server.batch.shared_key import Signed, check_signature, read_authorization
from kyanite.server.context import ServerContext
from kyanite.server.http import Request, Response
from kyanite.server.tokens import AuthenticationError, Identity, bearer

_NO_KEY = base64.b64encode(secrets.token_bytes(64)).decode()
_PATH_CHARACTERS = 8_192


class BatchRest:
    """The data plane of all Batch accounts of a workspace."""

    name = "batch"

    def __init__(self, context: ServerContext) -> None:
        self._context = context

    async def handle(self, request: Request) -> Response:
        """Answer one request; KyaniteError for what cannot be done."""
        if len(request.raw_path) > _PATH_CHARACTERS:
            raise BatchError("The path of the request is too long.", code="InvalidUri")
        account, identity = await asyncio.to_thread(self._authenticate, request)
        request.identity = identity
        route = find_route(request.method, request.rest)
        operation = route.operation
        check_query(request, operation.query)
        if not identity.may(operation.role):
            raise BatchError(
                f"The operation needs the role {operation.role}.", code="Forbidden", cure="Ask with another token."
            )
        if operation.handler is None:
            raise _not_implemented(operation)
        call = self._call(request, account, identity, route)
        if request.method in ("POST", "PUT", "PATCH"):
            call.body = await _read_body(request)
        reply = await asyncio.to_thread(operation.handler, call)
        response = protocol.to_response(call, reply, operation.status)
        return protocol.add_common(request, response, protocol.new_request_id())

    def failure(self, request: Request, error: Exception) -> Response:
        """The service's error body."""
        return protocol.failure(request, error, protocol.new_request_id(), self._context.clock())

    def _call(self, request: Request, account: str, identity: Identity, route: Route) -> Call:
        base = request.mounted.rstrip("/")
        return Call(request, self._context, account, identity, base, route.parameters)

    def _authenticate(self, request: Request) -> tuple[str, Identity]:
        """The account's name as it is spelled here, and who asks."""
        vault, now = self._context.workspace.vault, self._context.clock()
        header = request.headers.get("authorization", "")
        if header[:7].lower() == "bearer ":
            identity = bearer(request, vault, now)
            if identity is None:
                raise AuthenticationError("The request carries no access token.")
            return self._account_of(request), identity
        claimed, _ = read_authorization(header)
        keys: list[str] = []
        account = claimed
        if not request.account or request.account.casefold() == claimed.casefold():
            try:
                account = self._context.workspace.batch.account(claimed).name
                keys = [*self._context.workspace.batch.keys(account).values()]
            except BatchError:
                keys = []
        signed = Signed(request.method, request.raw_path, request.headers, request.query.pairs)
        check_signature(signed, keys or [_NO_KEY], now)
        return account, Identity(account, "sharedKey", frozenset({"author"}))

    def _account_of(self, request: Request) -> str:
        """The account a request with a token means: the one its address names, else the only one there is."""
        batch = self._context.workspace.batch
        if request.account:
            return batch.account(request.account).name
        names = [account.name for account in batch.accounts()]
        if len(names) != 1:
            raise BatchError(
                "The address names no Batch account.", code="InvalidUri", cure="Use .../batch/ACCOUNT/ as the endpoint."
            )
        return names[0]


async def _read_body(request: Request) -> dict[str, object]:
    try:
        return await protocol.read_json(request, limits.BATCH_BODY_BYTES)
    except LimitError as problem:
        raise protocol.too_large_for(problem) from None


def _not_implemented(operation: Operation) -> KyaniteError:
    details = (("Operation", operation.name), ("Reason", operation.reason))
    return BatchError(
        f"The operation {operation.name} is not available here. {operation.reason}",
        code="NotImplemented",
        values=details,
    )
