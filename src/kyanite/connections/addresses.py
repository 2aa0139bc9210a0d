"""Addresses as people write them - URLs and file paths - opened as a connection and a path in it."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from kyanite.connections.azure_storage import open_account
from kyanite.connections.connection import Connection
from kyanite.connections.linked_service import AccountAddress, from_endpoint
from kyanite.connections.local_folder import LocalFolder
from kyanite.errors import UnsupportedError, UserError
from kyanite.storage import StorageAccounts
from kyanite.storage.model import join, normalise

_FORMS = (
    "https://ACCOUNT.blob.core.windows.net/container/path",
    "abfss://container@ACCOUNT.dfs.core.windows.net/path",
    "wasbs://container@ACCOUNT.blob.core.windows.net/path",
    "s3://bucket/path",
    "a file path",
)


def open_url(url: str, accounts: StorageAccounts | None, credential: str | None = None) -> tuple[Connection, str]:
    """The connection of an address and the path in it (`container/dir/file`, or the path below `/` for files).

    `credential` is an account key, or a SAS when it looks like one; an account of the workspace checks it.
    """
    scheme = url.partition("://")[0].lower() if "://" in url else ""
    match scheme:
        case "":
            return _open_file(url)
        case "file":
            return _open_file(unquote(urlsplit(url).path))
        case "http" | "https":
            return _open_https(url, accounts, credential)
        case "abfs" | "abfss" | "wasb" | "wasbs":
            return _open_hadoop(url, scheme, accounts, credential)
        case "s3" | "s3a":
            from kyanite.connections.object_store import open_bucket

            bucket, _, rest = url.partition("://")[2].partition("/")
            return open_bucket(bucket), join(bucket, rest)
    raise UnsupportedError(f"`{scheme}://` addresses are not known.", cure=f"Known are {', '.join(_FORMS)}.")


def is_local(url: str) -> bool:
    """Whether an address is a file path of this machine."""
    return "://" not in url or url.lower().startswith("file://")


def _open_file(path: str) -> tuple[Connection, str]:
    if not path:
        raise UserError("The path is empty.")
    return LocalFolder(Path("/")), normalise(os.path.realpath(Path(path).expanduser()))


def _open_https(url: str, accounts: StorageAccounts | None, credential: str | None) -> tuple[Connection, str]:
    address = from_endpoint(url, "The address")
    path = unquote(urlsplit(url).path)
    if address.endpoint is not None and address.endpoint.endswith(f"/{address.account}"):
        path = path.lstrip("/").partition("/")[2]
    kind = "AzureBlobFS" if ".dfs." in (urlsplit(url).hostname or "") else "AzureBlobStorage"
    return _open(address, accounts, credential, kind), normalise(path)


def _open_hadoop(
    url: str, scheme: str, accounts: StorageAccounts | None, credential: str | None
) -> tuple[Connection, str]:
    authority, _, rest = url.partition("://")[2].partition("/")
    container, at, host = authority.rpartition("@")
    if not at or not container:
        raise UserError(f"The address names no container: {scheme}://container@ACCOUNT... is expected.")
    address = from_endpoint(f"https://{host}", "The address")
    kind = "AzureBlobFS" if scheme.startswith("abfs") else "AzureBlobStorage"
    return _open(address, accounts, credential, kind), join(container, rest)


def _open(address: AccountAddress, accounts: StorageAccounts | None, credential: str | None, kind: str) -> Connection:
    if credential and "sig=" in credential:
        address = AccountAddress(address.account, address.endpoint, sas=credential)
    elif credential:
        address = AccountAddress(address.account, address.endpoint, key=credential, sas=address.sas)
    return open_account(address, accounts, kind=kind, given_in="this call")
