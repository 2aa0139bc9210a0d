"""Batch accounts: create, read, change, delete, keys; quotas and names of a location."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from kyanite import limits
from kyanite.batch.model import Account
from kyanite.errors import BatchError
from kyanite.server.http import Response
from kyanite.server.management.arm import ArmCall, ArmError
from kyanite.server.management.batch.account_documents import drop_document, read_documents, write_document
from kyanite.server.management.batch.calls import account_id, account_of, blocking, service
from kyanite.server.management.batch.documents import NAMESPACE, account_properties

_NAME = re.compile(r"[a-z0-9]{3,24}")
_AZURE = "management.azure.com"


@blocking
def create(call: ArmCall) -> Response:
    """BatchAccount_Create: makes the account, or gives the one that exists its new tags and properties."""
    name = call.names["account"]
    location = str(call.json.get("location") or "local").replace(" ", "").lower()
    document = _kept(call, {})
    account = _existing(call, name)
    if account is None:
        if not _NAME.fullmatch(name):
            raise _bad_name(name)
        account = service(call).create_account(name, location)
    write_document(call.context.workspace, account.name, document)
    return Response.json(account_json(call, account, document))


@blocking
def update(call: ArmCall) -> Response:
    """BatchAccount_Update: what is not given stays."""
    account = account_of(call)
    document = _kept(call, _document(call, account))
    write_document(call.context.workspace, account.name, document)
    return Response.json(account_json(call, account, document))


@blocking
def get(call: ArmCall) -> Response:
    """BatchAccount_Get."""
    account = account_of(call)
    return Response.json(account_json(call, account, _document(call, account)))


@blocking
def list_all(call: ArmCall) -> Response:
    """BatchAccount_List and BatchAccount_ListByResourceGroup: a workspace is one resource group."""
    documents = read_documents(call.context.workspace)
    found = service(call).accounts()
    return Response.json(
        {"value": [account_json(call, each, documents.get(each.name.casefold(), {})) for each in found]}
    )


@blocking
def delete(call: ArmCall) -> Response:
    """BatchAccount_Delete: 204 when there is none."""
    account = _existing(call, call.names["account"])
    if account is None:
        return Response(204)
    service(call).delete_account(account.name)
    drop_document(call.context.workspace, account.name)
    return Response(200)


@blocking
def list_keys(call: ArmCall) -> Response:
    """BatchAccount_GetKeys."""
    return Response.json(_keys(call, account_of(call)))


@blocking
def regenerate_key(call: ArmCall) -> Response:
    """BatchAccount_RegenerateKey: the other key goes on working."""
    account = account_of(call)
    which = str(call.json.get("keyName", "")).lower()
    if which not in ("primary", "secondary"):
        raise ArmError("keyName is Primary or Secondary.", code="InvalidRequestBody", status=400, target="keyName")
    service(call).regenerate_key(account.name, which)
    return Response.json(_keys(call, account))


@blocking
def sync_keys(call: ArmCall) -> Response:
    """BatchAccount_SynchronizeAutoStorageKeys: nothing to do, the storage accounts of a workspace are its own."""
    account_of(call)
    return Response(204)


@blocking
def quotas(call: ArmCall) -> Response:
    """Location_GetQuotas: what limits.py says."""
    return Response.json({"accountQuota": limits.BATCH_ACCOUNTS})


@blocking
def check_name(call: ArmCall) -> Response:
    """Location_CheckNameAvailability."""
    name = str(call.json.get("name", ""))
    if not _NAME.fullmatch(name):
        answer: dict[str, Any] = {"nameAvailable": False, "reason": "Invalid", "message": str(_bad_name(name))}
    elif _existing(call, name) is not None:
        message = f"An account named '{name}' exists already."
        answer = {"nameAvailable": False, "reason": "AlreadyExists", "message": message}
    else:
        answer = {"nameAvailable": True}
    return Response.json(answer)


def account_json(call: ArmCall, account: Account, given: Mapping[str, Any]) -> dict[str, Any]:
    """An account as a resource; `given` is what was told of it."""
    return {
        "id": account_id(call, account.name, str(given.get("resourceGroup", ""))),
        "name": account.name,
        "type": f"{NAMESPACE}/batchAccounts",
        "location": account.location,
        "tags": given.get("tags") or {},
        "identity": given.get("identity") or {"type": "None"},
        "properties": account_properties(given.get("properties") or {}, endpoint(call, account)),
    }


def endpoint(call: ArmCall, account: Account) -> str:
    """Where the data plane is for whoever asks: the clients put https:// before it."""
    request = call.request
    if request.host == _AZURE:
        return account.url.removeprefix("https://")
    return f"{request.origin.partition('://')[2]}/batch/{account.name}"


def _document(call: ArmCall, account: Account) -> dict[str, Any]:
    return read_documents(call.context.workspace).get(account.name.casefold(), {})


def _kept(call: ArmCall, before: Mapping[str, Any]) -> dict[str, Any]:
    """The document of an account after a PUT (nothing before) or a PATCH."""
    document = {**before, "resourceGroup": call.resource_group}
    for name in ("tags", "identity"):
        if call.json.get(name) is not None:
            document[name] = call.part(name)
    properties = call.part("properties")
    storage = properties.get("autoStorage")
    if storage is not None and not isinstance(storage, dict):
        raise ArmError("autoStorage is no object.", code="InvalidRequestContent", status=400, target="autoStorage")
    if properties:
        document["properties"] = {**(document.get("properties") or {}), **properties}
    return document


def _keys(call: ArmCall, account: Account) -> dict[str, str]:
    return {"accountName": account.name, **service(call).keys(account.name)}


def _existing(call: ArmCall, name: str) -> Account | None:
    try:
        return service(call).account(name)
    except BatchError as error:
        if error.error_code != "AccountNotFound":
            raise
        return None


def _bad_name(name: str) -> ArmError:
    message = f"The account name '{name[:100]}' is not valid: 3 to 24 lower-case letters and digits."
    return ArmError(message, code="InvalidAccountName", status=400, target="accountName")
