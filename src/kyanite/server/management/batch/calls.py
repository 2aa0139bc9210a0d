"""What the handlers of Microsoft.Batch share: the account a call names, ids, errors in Resource Manager's shape."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import TYPE_CHECKING

from kyanite.batch.codes import status_of
from kyanite.batch.model import Account
from kyanite.errors import BatchError
from kyanite.server.http import Response
from kyanite.server.management.arm import ArmCall, ArmError
from kyanite.server.management.batch.documents import NAMESPACE

if TYPE_CHECKING:
    from kyanite.batch.service import BatchService


def blocking(handler: Callable[[ArmCall], Response]) -> Callable[[ArmCall], Awaitable[Response]]:
    """A handler that waits for the database, run beside the loop; Batch's errors get their own status."""

    @wraps(handler)
    async def handle(call: ArmCall) -> Response:
        try:
            return await asyncio.to_thread(handler, call)
        except BatchError as error:
            raise as_arm(error) from error

    return handle


def as_arm(error: BatchError) -> ArmError:
    """A Batch error as Resource Manager answers it; an account that is missing is a missing resource."""
    code = "ResourceNotFound" if error.error_code == "AccountNotFound" else error.error_code
    details = [{"code": key, "message": value} for key, value in error.values]
    return ArmError(str(error), code=code, status=status_of(error.error_code), details=details)


def service(call: ArmCall) -> BatchService:
    """The workspace's Batch service."""
    return call.context.workspace.batch


def account_of(call: ArmCall) -> Account:
    """The account that a call names; ResourceNotFound."""
    return service(call).account(call.names["account"])


def account_id(call: ArmCall, account: str, group: str = "") -> str:
    """The resource id of an account, in the resource group of the call."""
    group = call.resource_group or group or "kyanite"
    return f"/subscriptions/{call.subscription}/resourceGroups/{group}/providers/{NAMESPACE}/batchAccounts/{account}"


def not_found(call: ArmCall) -> ArmError:
    """ResourceNotFound for the resource that the call's path names."""
    return ArmError(f"The resource '/{'/'.join(call.segments)}' was not found.", code="ResourceNotFound", status=404)
