"""Applications and their packages. A package is uploaded to blob storage of this workspace, then activated."""

from __future__ import annotations

import hashlib
import os
import shutil
from datetime import timedelta
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from kyanite.batch.application_service import Package
from kyanite.errors import BatchError, StorageError
from kyanite.limits import COPY_CHUNK_BYTES, PACKAGE_BYTES
from kyanite.server.http import Response
from kyanite.server.management.arm import ArmCall, ArmError
from kyanite.server.management.batch.account_documents import read_documents
from kyanite.server.management.batch.calls import account_id, account_of, blocking, service
from kyanite.server.management.batch.documents import NAMESPACE
from kyanite.server.storage.sas import Sas, service_text
from kyanite.server.storage.shared_key import sign
from kyanite.storage import StorageAccount

UPLOAD_TIME = timedelta(hours=4)
_AZURE = "management.azure.com"
_STORAGE = "batchpackages"  # where packages of accounts without a storage account of their own go
_SAS_VERSION = "2022-11-02"


@blocking
def create(call: ArmCall) -> Response:
    """Application_Create."""
    account = account_of(call).name
    service(call).add_application(account, call.names["application"], _properties(call))
    return Response.json(_application(call, account, call.names["application"]))


@blocking
def update(call: ArmCall) -> Response:
    """Application_Update."""
    account = account_of(call).name
    service(call).update_application(account, call.names["application"], _properties(call))
    return Response.json(_application(call, account, call.names["application"]))


@blocking
def get(call: ArmCall) -> Response:
    """Application_Get."""
    account = account_of(call).name
    return Response.json(_application(call, account, call.names["application"]))


@blocking
def list_all(call: ArmCall) -> Response:
    """Application_List."""
    account = account_of(call).name
    found = service(call).list_applications(account)
    return Response.json({"value": [_application(call, account, each["id"]) for each in found]})


@blocking
def delete(call: ArmCall) -> Response:
    """Application_Delete: 204 when there is none."""
    account = account_of(call).name
    try:
        service(call).delete_application(account, call.names["application"])
    except BatchError as error:
        if error.error_code != "ApplicationNotFound":
            raise
        return Response(204)
    return Response(200)


@blocking
def create_package(call: ArmCall) -> Response:
    """ApplicationPackage_Create: where to upload the zip file to."""
    account = account_of(call).name
    made = service(call).add_package(account, call.names["application"], call.names["version"])
    return Response.json(_package(call, account, made, upload=True))


@blocking
def activate_package(call: ArmCall) -> Response:
    """ApplicationPackage_Activate: takes what was uploaded; tasks get it from now on."""
    account = account_of(call).name
    kind = str(call.json.get("format") or "zip").lower()
    if kind != "zip":
        raise ArmError("Only zip files are taken.", code="InvalidPropertyValue", status=400, target="format")
    names = (account, call.names["application"], call.names["version"])
    _take_over(call, service(call).get_package(*names), *names)
    made = service(call).activate_package(*names)
    return Response.json(_package(call, account, made, upload=False))


@blocking
def get_package(call: ArmCall) -> Response:
    """ApplicationPackage_Get."""
    account = account_of(call).name
    found = service(call).get_package(account, call.names["application"], call.names["version"])
    return Response.json(_package(call, account, found, upload=False))


@blocking
def list_packages(call: ArmCall) -> Response:
    """ApplicationPackage_List."""
    account = account_of(call).name
    found = service(call).list_packages(account, call.names["application"])
    return Response.json({"value": [_package(call, account, each, upload=False) for each in found]})


@blocking
def delete_package(call: ArmCall) -> Response:
    """ApplicationPackage_Delete: what was uploaded goes too; 204 when there is none."""
    account = account_of(call).name
    names = (account, call.names["application"], call.names["version"])
    try:
        service(call).delete_package(*names)
    except BatchError as error:
        if error.error_code not in ("ApplicationNotFound", "ResourceNotFound"):
            raise
        return Response(204)
    storage, container, path = _place(call, *names)
    if storage.stat(container, path) is not None:
        storage.delete(container, path)
    return Response(200)


def _place(call: ArmCall, account: str, application: str, version: str) -> tuple[StorageAccount, str, str]:
    """The storage account, container and blob of a package; the first two are made when they are not there."""
    accounts = call.context.workspace.accounts
    given = read_documents(call.context.workspace).get(account.casefold(), {}).get("properties") or {}
    wanted = str((given.get("autoStorage") or {}).get("storageAccountId") or "").rpartition("/")[2]
    storage = (accounts.get(wanted) if wanted else None) or accounts.create(_STORAGE)
    digest = hashlib.sha256(f"{account}/{application}".casefold().encode()).hexdigest()[:40]
    container = f"app-{digest}"
    storage.create_container(container)
    return storage, container, f"{application}-{version}.zip".casefold()


def _take_over(call: ArmCall, package: Package, account: str, application: str, version: str) -> None:
    """Copy what was uploaded to where nodes take packages from; visible there as a whole."""
    storage, container, path = _place(call, account, application, version)
    try:
        uploaded = storage.open_read(container, path)
    except StorageError as error:
        raise ArmError(
            "The package was not uploaded to its storageUrl.", code="ApplicationPackageBlobNotFound", status=409
        ) from error
    if uploaded.seek(0, os.SEEK_END) > PACKAGE_BYTES:
        uploaded.close()
        raise ArmError("The package is too large.", code="InvalidPropertyValue", status=400, target="version")
    uploaded.seek(0)
    beside = package.file.with_name(f".{uuid4().hex}")
    try:
        with uploaded, beside.open("xb") as out:
            shutil.copyfileobj(uploaded, out, COPY_CHUNK_BYTES)
        beside.replace(package.file)
    finally:
        beside.unlink(missing_ok=True)


def _upload_url(call: ArmCall, account: str, application: str, version: str) -> tuple[str, str]:
    """An address that may be written to for some hours, and its end as ISO text."""
    storage, container, path = _place(call, account, application, version)
    now = call.context.clock()
    ends = f"{now + UPLOAD_TIME:%Y-%m-%dT%H:%M:%SZ}"
    values = {
        "sv": _SAS_VERSION,
        "st": f"{now - timedelta(minutes=15):%Y-%m-%dT%H:%M:%SZ}",
        "se": ends,
        "sr": "b",
        "sp": "rcw",
    }
    values["sig"] = sign(service_text(Sas(values), f"/{storage.name}/{container}/{path}"), storage.keys[0])
    if call.request.host == _AZURE:
        base = f"https://{storage.name}.blob.core.windows.net"
    else:
        base = f"{call.request.origin}/{storage.name}"
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in values.items())
    return f"{base}/{container}/{quote(path)}?{query}", ends


def _properties(call: ArmCall) -> dict[str, Any]:
    properties = call.json.get("properties") or {}
    if not isinstance(properties, dict):
        raise ArmError("properties is no object.", code="InvalidRequestContent", status=400, target="properties")
    return properties


def _application(call: ArmCall, account: str, application: str) -> dict[str, Any]:
    name = service(call).get_application(account, application)["id"]
    settings = dict(service(call).application_settings(account, application))
    etag = settings.pop("etag")
    return {
        "id": f"{account_id(call, account)}/applications/{name}",
        "name": name,
        "type": f"{NAMESPACE}/batchAccounts/applications",
        "etag": f'W/"{etag}"',
        "properties": settings,
    }


def _package(call: ArmCall, account: str, found: Package, *, upload: bool) -> dict[str, Any]:
    properties: dict[str, Any] = {"state": found.state.capitalize()}
    if found.format:
        properties["format"] = found.format
    if found.activated_at is not None:
        properties["lastActivationTime"] = f"{found.activated_at:%Y-%m-%dT%H:%M:%S.%f}Z"
    if upload:
        url, ends = _upload_url(call, account, found.application, found.version)
        properties |= {"storageUrl": url, "storageUrlExpiry": ends}
    return {
        "id": f"{account_id(call, account)}/applications/{found.application}/versions/{found.version}",
        "name": found.version,
        "type": f"{NAMESPACE}/batchAccounts/applications/versions",
        "properties": properties,
    }
