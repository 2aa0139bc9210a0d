"""Storage accounts: create, read, change, delete, names and keys."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from typing import Any

from kyanite.database import named_statements
from kyanite.errors import KyaniteError, UserError
from kyanite.runtime.workspace import Workspace
from kyanite.server.http import Response
from kyanite.server.management.arm import ArmCall, ArmError
from kyanite.storage import StorageAccount
from kyanite.storage.model import check_account_name
from kyanite.storage.staging import new_name

Json = Any
NAMESPACE = "Microsoft.Storage"
_KEPT = ("location", "tags", "sku", "kind", "identity")
_AZURE = "management.azure.com"
_KEY_BYTES = 64
_SQL = named_statements("kyanite.server.management.storage", "accounts.sql")


def blocking(handler: Callable[[ArmCall], Response]) -> Callable[[ArmCall], Awaitable[Response]]:
    """A handler that waits for the disk, run beside the loop."""

    @wraps(handler)
    async def handle(call: ArmCall) -> Response:
        return await asyncio.to_thread(handler, call)

    return handle


@blocking
def put(call: ArmCall) -> Response:
    """Make an account, or give the one that exists new tags; the kind of its namespace stays."""
    name = call.names["account"]
    try:
        check_account_name(name)
    except UserError as error:
        raise ArmError(str(error), code="AccountNameInvalid", status=400) from None
    properties, told = call.part("properties"), _told(call)
    wanted = properties.get("isHnsEnabled") is True
    accounts = call.context.workspace.accounts
    known = accounts.get(name)
    if known is not None and "isHnsEnabled" in properties and known.hierarchical != wanted:
        raise ArmError(
            "isHnsEnabled of an account cannot be changed.", code="AccountPropertyCannotBeUpdated", status=409
        )
    account = known or accounts.create(name, hierarchical=wanted)
    document = {**told, "properties": properties, "resourceGroup": call.resource_group}
    write_document(call.context.workspace, name, document)
    return Response.json(account_json(call, account))


@blocking
def patch(call: ArmCall) -> Response:
    """Change what was told of an account."""
    account = required(call)
    document = read_document(call.context.workspace, account.name) | _told(call)
    document["properties"] = {**document.get("properties", {}), **call.part("properties")}
    write_document(call.context.workspace, account.name, document)
    return Response.json(account_json(call, account))


@blocking
def get(call: ArmCall) -> Response:
    """One account; ResourceNotFound."""
    return Response.json(account_json(call, required(call)))


@blocking
def list_all(call: ArmCall) -> Response:
    """The accounts of the workspace."""
    accounts = call.context.workspace.accounts
    found = [account for name in accounts.names() if (account := accounts.get(name)) is not None]
    return Response.json({"value": [account_json(call, each) for each in found]})


@blocking
def delete(call: ArmCall) -> Response:
    """Delete an account with all that is in it; 204 when there is none."""
    workspace = call.context.workspace
    account = workspace.accounts.get(call.names["account"].lower())
    if account is None:
        return Response(204)
    aside = account.folder.with_name(f".deleted-{new_name()}")
    try:
        account.folder.rename(aside)
    except FileNotFoundError:  # somebody else deletes it just now
        return Response(204)
    shutil.rmtree(aside)
    for which in ("key1", "key2"):  # an account of that name that is made again has other keys
        workspace.vault.put(f"storage/{account.name}/{which}", _fresh_key())
    workspace.database.execute(_SQL["drop"], {"account": account.name})
    return Response(200)


@blocking
def list_keys(call: ArmCall) -> Response:
    """Both keys."""
    return Response.json(_keys(required(call)))


@blocking
def regenerate_key(call: ArmCall) -> Response:
    """A new key in the place of one; the other goes on working."""
    account = required(call)
    which = str(call.json.get("keyName", "")).lower()
    if which not in ("key1", "key2"):
        raise ArmError("keyName is key1 or key2.", code="InvalidRequestPropertyValue", status=400, target="keyName")
    call.context.workspace.vault.put(f"storage/{account.name}/{which}", _fresh_key())
    return Response.json(_keys(account))


@blocking
def check_name(call: ArmCall) -> Response:
    """Whether an account could be called so."""
    name = str(call.json.get("name", ""))
    try:
        check_account_name(name)
    except KyaniteError as error:
        return Response.json({"nameAvailable": False, "reason": "AccountNameInvalid", "message": str(error)})
    if call.context.workspace.accounts.get(name) is not None:
        message = f"The storage account named {name} is already taken."
        return Response.json({"nameAvailable": False, "reason": "AlreadyExists", "message": message})
    return Response.json({"nameAvailable": True})


def _told(call: ArmCall) -> dict[str, Json]:
    """What the body tells of an account besides its properties."""
    for name in ("location", "kind"):
        if not isinstance(call.json.get(name, ""), str):
            raise ArmError(f"'{name}' is a text.", code="InvalidRequestContent", status=400, target=name)
    parts = {name: call.part(name) for name in ("tags", "sku", "identity")}
    return {key: parts.get(key, call.json[key]) for key in _KEPT if key in call.json}


def required(call: ArmCall) -> StorageAccount:
    """The account a call names; ResourceNotFound."""
    account = call.context.workspace.accounts.get(call.names["account"].lower())
    if account is None:
        raise ArmError(
            f"The Resource 'Microsoft.Storage/storageAccounts/{call.names['account'][:80]}' under resource group "
            f"'{call.resource_group[:90]}' was not found.",
            code="ResourceNotFound",
            status=404,
        )
    return account


def account_json(call: ArmCall, account: StorageAccount) -> dict[str, Json]:
    """An account as a resource."""
    document = read_document(call.context.workspace, account.name)
    given = {
        key: value
        for key, value in document.get("properties", {}).items()
        if key in ("accessTier", "minimumTlsVersion")
    }
    return {
        "id": account_id(call, account.name, document),
        "name": account.name,
        "type": f"{NAMESPACE}/storageAccounts",
        "location": document.get("location") or "local",
        "tags": document.get("tags") or {},
        "sku": {"name": (document.get("sku") or {}).get("name", "Standard_LRS"), "tier": "Standard"},
        "kind": document.get("kind") or "StorageV2",
        "properties": {
            **given,
            "provisioningState": "Succeeded",
            "creationTime": account.created.isoformat(),
            "isHnsEnabled": account.hierarchical,
            "supportsHttpsTrafficOnly": False,
            "allowBlobPublicAccess": False,
            "primaryLocation": document.get("location") or "local",
            "statusOfPrimary": "available",
            "primaryEndpoints": endpoints(call, account.name),
        },
    }


def endpoints(call: ArmCall, account: str) -> dict[str, str]:
    """Where the account's services are for whoever asks."""
    if call.request.host == _AZURE:
        return {service: f"https://{account}.{service}.core.windows.net/" for service in ("blob", "dfs")}
    return dict.fromkeys(("blob", "dfs"), f"{call.request.origin}/{account}/")


def account_id(call: ArmCall, account: str, document: Mapping[str, Json]) -> str:
    """The account's resource id."""
    group = call.resource_group or document.get("resourceGroup") or "kyanite"
    return f"/subscriptions/{call.subscription}/resourceGroups/{group}/providers/{NAMESPACE}/storageAccounts/{account}"


def read_document(workspace: Workspace, account: str) -> dict[str, Json]:
    """What was told of an account."""
    rows = workspace.database.query(_SQL["read"], {"account": account})
    found: dict[str, Json] = workspace.vault.open_json(rows[0]["document"]) if rows else {}
    return found


def write_document(workspace: Workspace, account: str, document: Mapping[str, Json]) -> None:
    """Keep what was told of an account."""
    workspace.database.execute(
        _SQL["write"],
        {"account": account, "document": workspace.vault.seal_json(document)},
    )


def _fresh_key() -> str:
    return base64.b64encode(os.urandom(_KEY_BYTES)).decode()


def _keys(account: StorageAccount) -> dict[str, Json]:
    key1, key2 = account.keys
    return {
        "keys": [
            {"keyName": name, "value": value, "permissions": "FULL"} for name, value in (("key1", key1), ("key2", key2))
        ]
    }
