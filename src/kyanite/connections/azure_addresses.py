"""Addresses of blobs - of this workspace's accounts and of real ones - opened as a connection and a path in it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from kyanite.connections.azure_storage import open_account
from kyanite.connections.connection import Connection
from kyanite.connections.linked_service import AccountAddress, from_endpoint
from kyanite.errors import UserError
from kyanite.storage.model import join, normalise

if TYPE_CHECKING:
    from kyanite.storage import StorageAccounts


def open_azure_url(
    url: str, scheme: str, accounts: StorageAccounts | None, credential: str | None
) -> tuple[Connection, str]:
    """`open_url` for `https`, `abfss`, `wasbs` and the like."""
    if scheme.startswith("http"):
        return _open_https(url, accounts, credential)
    return _open_hadoop(url, scheme, accounts, credential)


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
