"""Azure storage linked services: an account of this workspace when there is one, else the real one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kyanite.connections.connection import Connection
from kyanite.connections.embedded import EmbeddedConnection
from kyanite.connections.linked_service import AccountAddress, account_address, name_of
from kyanite.errors import StorageError, UnsupportedError
from kyanite.storage import StorageAccounts


def open_linked_service(linked_service: Mapping[str, Any], accounts: StorageAccounts | None) -> Connection:
    """The connection of an AzureBlobStorage, AzureBlobFS or AzureStorage linked service."""
    return open_account(
        account_address(linked_service),
        accounts,
        kind=str(linked_service["type"]),
        given_in=f"linked service `{name_of(linked_service)}`",
    )


def open_account(address: AccountAddress, accounts: StorageAccounts | None, *, kind: str, given_in: str) -> Connection:
    """The account an address means. A key that is given must be right, also for an account of this workspace.

    No key, a SAS or an identity is accepted for one of this workspace: whoever runs it owns its files.
    """
    account = accounts.get(address.account) if accounts is not None else None
    if account is None:
        return _open_real(address, accounts, kind, given_in)
    if address.key is not None and not account.check_key(address.key):
        raise StorageError(
            f"The account key given in {given_in} is not one of account `{address.account}`'s keys.",
            cure="Deploy again or copy a key of this workspace's account.",
            code="AuthenticationFailed",
        )
    return EmbeddedConnection(account, kind)


def _open_real(address: AccountAddress, accounts: StorageAccounts | None, kind: str, given_in: str) -> Connection:
    if address.key is None and address.sas is None and address.identity != "Anonymous":
        known = ", ".join(accounts.names()[:20]) if accounts is not None else ""
        how = f"authenticates by {address.identity}" if address.identity else "gives neither key nor SAS"
        raise UnsupportedError(
            f"Storage account `{address.account}` is not in this workspace, and {given_in} {how}, which does not reach"
            " the real account from here.",
            cure=f"Create it in this workspace{f' (it has: {known})' if known else ''}, or give an account key or SAS.",
        )
    from kyanite.connections.object_store import open_azure

    return open_azure(address, kind=kind, given_in=given_in)
