"""Places in a storage account as they are typed: `ACCOUNT/CONTAINER/PATH` or the address Azure would give it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import click

from kyanite.errors import NotFoundError

if TYPE_CHECKING:
    from kyanite.storage import StorageAccount, StorageAccounts

_HOST = re.compile(r"([a-z0-9]+)\.(?:blob|dfs)\.", re.IGNORECASE)


@dataclass(frozen=True)
class StoragePath:
    """A place in an account; `container` and `path` may be empty, `folder` tells a trailing slash."""

    account: str
    container: str = ""
    path: str = ""
    folder: bool = False

    def __str__(self) -> str:
        text = "/".join(part for part in (self.account, self.container, self.path) if part)
        return f"{text}/" if self.folder else text

    def join(self, name: str) -> StoragePath:
        """The place of a name inside this folder."""
        return StoragePath(self.account, self.container, f"{self.path}/{name}" if self.path else name)


def parse_storage_path(text: str) -> StoragePath:
    """Read `ACCOUNT[/CONTAINER[/PATH]]`, `https://ACCOUNT.blob.core.windows.net/...` or `abfss://CONTAINER@ACCOUNT.dfs...`."""
    if "://" in text:
        return _parse_address(text)
    parts = [part for part in text.split("/") if part]
    if not parts or text.startswith(("/", ".")):
        raise click.BadParameter(f"{text!r} is not ACCOUNT/CONTAINER/PATH.")
    return _place(parts, text.endswith("/"))


def _parse_address(text: str) -> StoragePath:
    split = urlsplit(text)
    parts = [part for part in unquote(split.path).split("/") if part]
    container, at, host = split.netloc.rpartition("@")
    match = _HOST.match(host)
    if match is None:
        raise click.BadParameter(f"{text!r} is not the address of a storage account.")
    return _place([match[1].lower(), *([container] if at else []), *parts], split.path.endswith("/"))


def _place(parts: list[str], folder: bool) -> StoragePath:
    container = parts[1] if len(parts) > 1 else ""
    return StoragePath(parts[0], container, "/".join(parts[2:]), folder)


def find_account(accounts: StorageAccounts, name: str) -> StorageAccount:
    """The account of a name; NotFoundError that lists the ones there are."""
    account = accounts.get(name)
    if account is None:
        known = ", ".join(sorted(accounts.names()))
        raise NotFoundError(
            "There is no such storage account in the workspace.",
            where=name,
            cure=f"Accounts: {known}." if known else f"Make it: kyanite storage account create {name}",
            code="AccountNotFound",
        )
    return account
